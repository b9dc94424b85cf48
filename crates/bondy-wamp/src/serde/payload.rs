//! From `args` and `kwargs` to one typed value.

use serde::de::value::SeqDeserializer;
use serde::de::{self, Visitor};

use super::error::{Error, ErrorKind, Step};
use super::reader::{Reader, read_list};
use crate::payload::Payload;
use crate::serializer::{Decoder, ParseError};

/// Reads a payload as the one value that it stands for.
pub(super) struct PayloadReader<'de> {
    payload: Payload<'de>,
}

impl<'de> PayloadReader<'de> {
    pub(super) fn new(payload: Payload<'de>) -> Self {
        Self { payload }
    }

    /// The only positional argument.
    fn only<T>(self, read: impl FnOnce(Reader<'_, 'de>) -> Result<T, Error>) -> Result<T, Error> {
        if self.payload.args.is_empty() {
            return Err(self.wrong_count(0));
        }
        let mut decoder = self.decoder(self.payload.args).map_err(in_args)?;
        let mut items = decoder.list().map_err(in_args)?;
        if !decoder.next_item(&mut items).map_err(in_args)? {
            return Err(self.wrong_count(0));
        }
        let start = decoder.offset();
        match read(Reader::new(&mut decoder)) {
            Ok(value) if !decoder.next_item(&mut items).map_err(in_args)? => {
                decoder.end().map_err(in_args)?;
                Ok(value)
            }
            Ok(_) => Err(self.wrong_count(self.positional_count().max(2))),
            // That there are several is more to the point than why the first of them does not fit.
            Err(_) if self.positional_count() > 1 => Err(self.wrong_count(self.positional_count())),
            Err(error) => Err(in_args(error.at(start).inside(Step::Index(0)))),
        }
    }

    /// All positional arguments.
    fn positional<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.payload.args.is_empty() {
            let none = SeqDeserializer::<_, Error>::new(std::iter::empty::<()>());
            return visitor.visit_seq(none).map_err(in_args);
        }
        let mut decoder = self.decoder(self.payload.args).map_err(in_args)?;
        let items = decoder.list().map_err(in_args)?;
        let value = read_list(&mut decoder, items, visitor).map_err(|error| in_args(error.at(0)))?;
        decoder.end().map_err(in_args)?;
        Ok(value)
    }

    /// The keyword arguments where there is nothing else, or the only positional argument.
    fn entries<T>(self, read: impl FnOnce(Reader<'_, 'de>) -> Result<T, Error>) -> Result<T, Error> {
        if self.payload.kwargs.is_empty() || self.first_is_null() != Ok(None) {
            return self.only(read);
        }
        let mut decoder = self.decoder(self.payload.kwargs).map_err(in_kwargs)?;
        let value = read(Reader::new(&mut decoder)).map_err(|error| in_kwargs(error.at(0)))?;
        decoder.end().map_err(in_kwargs)?;
        Ok(value)
    }

    /// Is there no argument, or is the only one null?
    fn is_nothing(&self) -> bool {
        match self.first_is_null() {
            Ok(None) => !self.has_keywords(),
            Ok(Some(true)) => self.positional_count() == 1,
            // What is wrong is said by whoever reads it.
            Ok(Some(false)) | Err(_) => false,
        }
    }

    /// Is the first positional argument null, if there is one?
    fn first_is_null(&self) -> Result<Option<bool>, ParseError> {
        if self.payload.args.is_empty() {
            return Ok(None);
        }
        let mut decoder = self.decoder(self.payload.args)?;
        let mut items = decoder.list()?;
        if decoder.next_item(&mut items)? { decoder.is_null().map(Some) } else { Ok(None) }
    }

    /// Is there at least one keyword argument?
    fn has_keywords(&self) -> bool {
        let first = self.decoder(self.payload.kwargs).and_then(|mut decoder| {
            let mut items = decoder.dict()?;
            decoder.next_entry(&mut items)
        });
        !self.payload.kwargs.is_empty() && first.unwrap_or(true)
    }

    /// How many positional arguments there are, so far as they are well-formed.
    fn positional_count(&self) -> usize {
        let mut count = 0;
        let Ok(mut decoder) = self.decoder(self.payload.args) else { return count };
        let Ok(mut items) = decoder.list() else { return count };
        while decoder.next_item(&mut items) == Ok(true) && decoder.skip().is_ok() {
            count += 1;
        }
        count
    }

    fn decoder(&self, part: &'de [u8]) -> Result<Decoder<'de>, ParseError> {
        Decoder::new(self.payload.serializer, part)
    }

    #[cold]
    fn wrong_count(&self, positional: usize) -> Error {
        Error::new(ErrorKind::ArgumentCount { positional, keywords: self.has_keywords() })
    }
}

#[cold]
fn in_args(error: impl Into<Error>) -> Error {
    error.into().inside(Step::key("args"))
}

#[cold]
fn in_kwargs(error: impl Into<Error>) -> Error {
    error.into().inside(Step::key("kwargs"))
}

impl<'de> de::Deserializer<'de> for PayloadReader<'de> {
    type Error = Error;

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.positional(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.positional(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.entries(|reader| reader.deserialize_map(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.entries(|reader| reader.deserialize_struct(name, fields, visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_nothing() { visitor.visit_none() } else { visitor.visit_some(self) }
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
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_enum(name, variants, visitor))
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_any(visitor))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_bool(visitor))
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_u8(visitor))
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_u16(visitor))
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_u32(visitor))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_u64(visitor))
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_u128(visitor))
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_i8(visitor))
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_i16(visitor))
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_i32(visitor))
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_i64(visitor))
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_i128(visitor))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_f32(visitor))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_f64(visitor))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_char(visitor))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_str(visitor))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_string(visitor))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_bytes(visitor))
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_byte_buf(visitor))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_seq(visitor))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only(|reader| reader.deserialize_identifier(visitor))
    }
}
