//! Keys of dictionaries: text, and integers as their decimal text.

use std::borrow::Cow;

use serde::de::value::CowStrDeserializer;
use serde::de::{self, Visitor};
use serde::ser::{self, Impossible, Serialize};

use super::error::{Error, ErrorKind};
use crate::serializer::Encoder;

type Written = Result<(), Error>;

/// Writes one key.
pub(super) struct KeyWriter<'w, 'o>(pub(super) &'w mut Encoder<'o>);

impl KeyWriter<'_, '_> {
    fn unsigned(self, value: u64) -> Written {
        self.0.key(itoa::Buffer::new().format(value));
        Ok(())
    }

    fn signed(self, value: i64) -> Written {
        self.0.key(itoa::Buffer::new().format(value));
        Ok(())
    }
}

fn no_key<T>(what: &'static str) -> Result<T, Error> {
    Err(Error::new(ErrorKind::Key(what)))
}

impl ser::Serializer for KeyWriter<'_, '_> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Impossible<(), Error>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStruct = Impossible<(), Error>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_str(self, value: &str) -> Written {
        self.0.key(value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Written {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Written {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Written {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        value.serialize(self)
    }

    fn serialize_u8(self, value: u8) -> Written {
        self.unsigned(value.into())
    }

    fn serialize_u16(self, value: u16) -> Written {
        self.unsigned(value.into())
    }

    fn serialize_u32(self, value: u32) -> Written {
        self.unsigned(value.into())
    }

    fn serialize_u64(self, value: u64) -> Written {
        self.unsigned(value)
    }

    fn serialize_u128(self, value: u128) -> Written {
        match u64::try_from(value) {
            Ok(value) => self.unsigned(value),
            Err(_) => Err(Error::new(ErrorKind::WideInteger(value.to_string()))),
        }
    }

    fn serialize_i8(self, value: i8) -> Written {
        self.signed(value.into())
    }

    fn serialize_i16(self, value: i16) -> Written {
        self.signed(value.into())
    }

    fn serialize_i32(self, value: i32) -> Written {
        self.signed(value.into())
    }

    fn serialize_i64(self, value: i64) -> Written {
        self.signed(value)
    }

    fn serialize_i128(self, value: i128) -> Written {
        match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => self.unsigned(value),
            (_, Ok(value)) => self.signed(value),
            _ => Err(Error::new(ErrorKind::WideInteger(value.to_string()))),
        }
    }

    fn serialize_bool(self, _: bool) -> Written {
        no_key("a boolean")
    }

    fn serialize_f32(self, _: f32) -> Written {
        no_key("a float")
    }

    fn serialize_f64(self, _: f64) -> Written {
        no_key("a float")
    }

    fn serialize_bytes(self, _: &[u8]) -> Written {
        no_key("bytes")
    }

    fn serialize_none(self) -> Written {
        no_key("null")
    }

    fn serialize_unit(self) -> Written {
        no_key("null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Written {
        no_key("null")
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Written {
        no_key("an enum variant with content")
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Error> {
        no_key("a list")
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Error> {
        no_key("a tuple")
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Error> {
        no_key("a tuple")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        no_key("an enum variant with content")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Error> {
        no_key("a dictionary")
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Error> {
        no_key("a struct")
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        no_key("an enum variant with content")
    }
}

/// Reads one key, which is text by now.
pub(super) struct KeyReader<'de>(pub(super) Cow<'de, str>);

impl<'de> KeyReader<'de> {
    /// As the integer whose text it is, or else as text, so that the type says what it wanted.
    fn integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // Only one text stands for each integer: "1", and not "01" or "+1".
        match (self.0.parse::<u64>(), self.0.parse::<i64>()) {
            (Ok(value), _) if itoa::Buffer::new().format(value) == self.0 => visitor.visit_u64(value),
            (_, Ok(value)) if itoa::Buffer::new().format(value) == self.0 => visitor.visit_i64(value),
            _ => self.text(visitor),
        }
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }
}

impl<'de> de::Deserializer<'de> for KeyReader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(CowStrDeserializer::new(self.0))
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}
