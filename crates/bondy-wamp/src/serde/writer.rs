//! From a typed value to bytes: serde's `Serializer` over [`Encoder`].

use serde::ser::{self, Serialize};

use super::error::{Error, ErrorKind, Step};
use super::key::KeyWriter;
use crate::serializer::{DEPTH_MAX, Decoder, Encoder, Serializer};

type Written = Result<(), Error>;

/// What a whole value turned out to be, once it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The unit or a unit struct, written as null.
    Unit,
    /// A tuple or a tuple struct, written as a list.
    Tuple,
    /// Anything else.
    Other,
}

/// Writes values one after the other.
pub(super) struct Writer<'e, 'o> {
    encoder: &'e mut Encoder<'o>,
    depth: usize,
    depth_max: usize,
    shape: Shape,
    /// A tuple, if it is the whole value, is the list of positional arguments, which is no nesting.
    tuple_is_args: bool,
}

impl<'e, 'o> Writer<'e, 'o> {
    /// Writes a value that is an argument, or an entry of `kwargs`, options or details.
    pub(super) fn new(encoder: &'e mut Encoder<'o>) -> Self {
        Self { encoder, depth: 0, depth_max: DEPTH_MAX, shape: Shape::Other, tuple_is_args: false }
    }

    /// Writes a value that is all arguments, where it is a tuple, else the only one, and says what it was.
    pub(super) fn write_payload<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Shape, Error> {
        self.tuple_is_args = true;
        match value.serialize(&mut self) {
            Ok(()) => Ok(self.shape),
            Err(error) if self.shape == Shape::Tuple => Err(error.inside(Step::key("args"))),
            Err(error) => Err(error.inside(Step::Index(0)).inside(Step::key("args"))),
        }
    }

    fn integer(&mut self, value: i128) -> Written {
        if !(i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value) {
            return Err(Error::new(ErrorKind::WideInteger(value.to_string())));
        }
        self.encoder.integer(value);
        Ok(())
    }

    fn enter(&mut self) -> Written {
        if self.depth >= self.depth_max {
            return Err(Error::new(ErrorKind::TooDeep));
        }
        self.depth += 1;
        Ok(())
    }

    /// The dictionary of one entry that an enum variant with content is.
    fn enter_variant(&mut self, variant: &'static str) -> Written {
        self.enter()?;
        self.encoder.begin_dict(1);
        self.encoder.key(variant);
        Ok(())
    }

    fn leave_variant(&mut self) {
        self.encoder.end_dict();
        self.depth -= 1;
    }
}

impl<'w, 'e, 'o> Writer<'e, 'o> {
    fn list(
        &'w mut self,
        variant: Option<&'static str>,
        len: Option<usize>,
    ) -> Result<Container<'w, 'e, 'o>, Error> {
        self.container(Brackets::List, variant, len)
    }

    fn dict(
        &'w mut self,
        variant: Option<&'static str>,
        len: Option<usize>,
    ) -> Result<Container<'w, 'e, 'o>, Error> {
        self.container(Brackets::Dict, variant, len)
    }

    fn container(
        &'w mut self,
        brackets: Brackets,
        variant: Option<&'static str>,
        len: Option<usize>,
    ) -> Result<Container<'w, 'e, 'o>, Error> {
        if let Some(variant) = variant {
            self.enter_variant(variant)?;
        }
        self.enter()?;
        let length = match (len, brackets) {
            (Some(len), Brackets::List) => {
                self.encoder.begin_list(len);
                Length::Announced(len)
            }
            (Some(len), Brackets::Dict) => {
                self.encoder.begin_dict(len);
                Length::Announced(len)
            }
            (None, _) => Length::ToPatch(self.encoder.begin_open(brackets == Brackets::Dict)),
        };
        Ok(Container { writer: self, brackets, variant, length, count: 0, key_range: (0, 0) })
    }
}

impl<'w, 'e, 'o> ser::Serializer for &'w mut Writer<'e, 'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Container<'w, 'e, 'o>;
    type SerializeTuple = Container<'w, 'e, 'o>;
    type SerializeTupleStruct = Container<'w, 'e, 'o>;
    type SerializeTupleVariant = Container<'w, 'e, 'o>;
    type SerializeMap = Container<'w, 'e, 'o>;
    type SerializeStruct = Container<'w, 'e, 'o>;
    type SerializeStructVariant = Container<'w, 'e, 'o>;

    fn serialize_bool(self, value: bool) -> Written {
        self.encoder.bool(value);
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Written {
        self.integer(value.into())
    }

    fn serialize_i16(self, value: i16) -> Written {
        self.integer(value.into())
    }

    fn serialize_i32(self, value: i32) -> Written {
        self.integer(value.into())
    }

    fn serialize_i64(self, value: i64) -> Written {
        self.integer(value.into())
    }

    fn serialize_i128(self, value: i128) -> Written {
        self.integer(value)
    }

    fn serialize_u8(self, value: u8) -> Written {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Written {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Written {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Written {
        self.encoder.unsigned(value);
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Written {
        match u64::try_from(value) {
            Ok(value) => self.serialize_u64(value),
            Err(_) => Err(Error::new(ErrorKind::WideInteger(value.to_string()))),
        }
    }

    fn serialize_f32(self, value: f32) -> Written {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Written {
        self.encoder.float(value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Written {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Written {
        self.encoder.string(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Written {
        self.encoder.binary(value);
        Ok(())
    }

    fn serialize_none(self) -> Written {
        self.encoder.null();
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Written {
        if self.depth == 0 {
            self.shape = Shape::Unit;
        }
        self.encoder.null();
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Written {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Written {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Written {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Written {
        self.enter_variant(variant)?;
        value.serialize(&mut *self).map_err(|error| error.inside(Step::key(variant)))?;
        self.leave_variant();
        Ok(())
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Error> {
        self.list(None, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, Error> {
        if self.depth == 0 {
            self.shape = Shape::Tuple;
            self.depth_max += usize::from(self.tuple_is_args);
        }
        self.list(None, Some(len))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, Error> {
        self.serialize_tuple(len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        self.list(Some(variant), Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, Error> {
        self.dict(None, len)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Self::SerializeStruct, Error> {
        self.dict(None, Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        self.dict(Some(variant), Some(len))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brackets {
    List,
    Dict,
}

/// How the reader learns the number of items.
#[derive(Clone, Copy, Debug)]
enum Length {
    /// It stands in the header, and must turn out to be true.
    Announced(usize),
    /// It is filled in at this position when the end is reached.
    ToPatch(usize),
}

/// A list or a dictionary that is being written, alone or as the content of an enum variant.
pub(super) struct Container<'w, 'e, 'o> {
    writer: &'w mut Writer<'e, 'o>,
    brackets: Brackets,
    variant: Option<&'static str>,
    length: Length,
    count: usize,
    /// Where the key of the current entry stands in the output, to be named in an error.
    key_range: (usize, usize),
}

impl Container<'_, '_, '_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        let outcome = value.serialize(&mut *self.writer);
        outcome.map_err(|error| self.inside_variant(error.inside(Step::Index(self.count))))?;
        self.count += 1;
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Written {
        self.writer.encoder.key(key);
        let outcome = value.serialize(&mut *self.writer);
        outcome.map_err(|error| self.inside_variant(error.inside(Step::key(key))))?;
        self.count += 1;
        Ok(())
    }

    fn inside_variant(&self, error: Error) -> Error {
        match self.variant {
            Some(variant) => error.inside(Step::key(variant)),
            None => error,
        }
    }

    /// The key of the current entry, from the output.
    fn current_key(&mut self) -> Step {
        let serializer = self.writer.encoder.serializer();
        let (start, end) = self.key_range;
        let mut written = self.writer.encoder.out().get(start..end).unwrap_or_default();
        if serializer == Serializer::Json {
            written = written.strip_prefix(b",").unwrap_or(written);
            written = written.strip_suffix(b":").unwrap_or(written);
        }
        let key = Decoder::new(serializer, written).and_then(|mut decoder| decoder.string());
        Step::key(&key.unwrap_or_default())
    }

    fn finish(self) -> Written {
        match self.length {
            Length::Announced(announced) if announced != self.count => {
                let error = Error::new(ErrorKind::Length { announced, written: self.count });
                return Err(self.inside_variant(error));
            }
            Length::Announced(_) => {}
            Length::ToPatch(position) => {
                let len = u32::try_from(self.count).map_err(|_| Error::new(ErrorKind::TooLong))?;
                self.writer.encoder.patch_len(position, len);
            }
        }
        match self.brackets {
            Brackets::List => self.writer.encoder.end_list(),
            Brackets::Dict => self.writer.encoder.end_dict(),
        }
        self.writer.depth -= 1;
        if self.variant.is_some() {
            self.writer.leave_variant();
        }
        Ok(())
    }
}

impl ser::SerializeSeq for Container<'_, '_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        self.item(value)
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl ser::SerializeTuple for Container<'_, '_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        self.item(value)
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl ser::SerializeTupleStruct for Container<'_, '_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        self.item(value)
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl ser::SerializeTupleVariant for Container<'_, '_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        self.item(value)
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl ser::SerializeMap for Container<'_, '_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        let start = self.writer.encoder.len();
        key.serialize(KeyWriter(&mut *self.writer.encoder))?;
        self.key_range = (start, self.writer.encoder.len());
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        let outcome = value.serialize(&mut *self.writer);
        outcome.map_err(|error| error.inside(self.current_key()))?;
        self.count += 1;
        Ok(())
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl ser::SerializeStruct for Container<'_, '_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Written {
        self.field(key, value)
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl ser::SerializeStructVariant for Container<'_, '_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Written {
        self.field(key, value)
    }

    fn end(self) -> Written {
        self.finish()
    }
}
