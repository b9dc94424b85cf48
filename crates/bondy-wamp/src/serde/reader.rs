//! From bytes to a typed value: serde's `Deserializer` over [`Decoder`].
//!
//! It recurses as deep as the bytes nest, which the decoder bounds.

use std::borrow::Cow;

use serde::de::value::{CowStrDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeSeed, Visitor};

use super::error::{Error, ErrorKind, Step};
use super::key::KeyReader;
use crate::serializer::{Decoder, Items, ParseErrorKind, Token};

/// Integers up to here, which is 2^53, have a float of their own.
const FLOAT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// Reads the item that stands next.
pub(super) struct Reader<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
}

impl<'a, 'de> Reader<'a, 'de> {
    pub(super) fn new(decoder: &'a mut Decoder<'de>) -> Self {
        Self { decoder }
    }

    /// As what it is.
    fn any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let start = self.decoder.offset();
        let token = self.decoder.token()?;
        self.visit(token, start, visitor)
    }

    fn visit<V: Visitor<'de>>(self, token: Token<'de>, start: usize, visitor: V) -> Result<V::Value, Error> {
        match token {
            Token::Null => visitor.visit_unit(),
            Token::Bool(value) => visitor.visit_bool(value),
            Token::Unsigned(value) => visitor.visit_u64(value),
            Token::Negative(complement) => match i64::try_from(complement) {
                Ok(complement) => visitor.visit_i64(-1 - complement),
                // Only CBOR has these.
                Err(_) => visitor.visit_i128(-1 - i128::from(complement)),
            },
            Token::Float(value) => visitor.visit_f64(value),
            Token::Text(_)
            | Token::UncheckedText(_)
            | Token::Escaped(_)
            | Token::TextChunks(_)
            | Token::Binary(_)
            | Token::BinaryChunks(_) => match token.binary() {
                Some(Cow::Borrowed(bytes)) => visitor.visit_borrowed_bytes(bytes),
                Some(Cow::Owned(bytes)) => visitor.visit_byte_buf(bytes),
                None => self.visit_text(token, start, visitor),
            },
            Token::List(len) => {
                let items = self.decoder.enter(len, start)?;
                read_list(self.decoder, items, visitor)
            }
            Token::Dict(len) => {
                let items = self.decoder.enter(len, start)?;
                let mut dict = DictReader { decoder: self.decoder, items, key_start: start };
                let value = visitor.visit_map(&mut dict)?;
                dict.finish()?;
                Ok(value)
            }
        }
    }

    fn visit_text<V: Visitor<'de>>(
        self,
        token: Token<'de>,
        start: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.decoder.text_of(token, start)? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    /// As text, also where JSON text could be taken for bytes.
    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let start = self.decoder.offset();
        match self.decoder.token()? {
            token @ Token::Escaped(_) => self.visit_text(token, start, visitor),
            token => self.visit(token, start, visitor),
        }
    }

    /// As an integer, also where it was written as a float.
    fn integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let start = self.decoder.offset();
        match self.decoder.token()? {
            Token::Float(value) if value.fract() == 0.0 && value.abs() <= FLOAT_INTEGER_MAX => {
                visitor.visit_i64(value as i64)
            }
            token => self.visit(token, start, visitor),
        }
    }

    /// As a list, also where there are bytes.
    fn list<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let start = self.decoder.offset();
        let token = self.decoder.token()?;
        let Some(bytes) = token.binary() else { return self.visit(token, start, visitor) };
        let mut items = SeqDeserializer::<_, Error>::new(bytes.iter().copied());
        let value = visitor.visit_seq(&mut items)?;
        items.end()?;
        Ok(value)
    }

    fn variant<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let start = self.decoder.offset();
        match self.decoder.token()? {
            Token::Dict(len) => {
                let items = self.decoder.enter(len, start)?;
                let mut dict = DictReader { decoder: self.decoder, items, key_start: start };
                let value = visitor.visit_enum(VariantReader { dict: &mut dict })?;
                dict.finish()?;
                Ok(value)
            }
            token @ (Token::Text(_) | Token::UncheckedText(_) | Token::Escaped(_) | Token::TextChunks(_)) => {
                let name = self.decoder.text_of(token, start)?;
                visitor.visit_enum(CowStrDeserializer::new(name))
            }
            Token::Null
            | Token::Bool(_)
            | Token::Unsigned(_)
            | Token::Negative(_)
            | Token::Float(_)
            | Token::Binary(_)
            | Token::BinaryChunks(_)
            | Token::List(_) => {
                let kind = ParseErrorKind::Expected("the name of a variant, or a dictionary of it,");
                Err(kind.at(start).into())
            }
        }
    }
}

impl<'de> de::Deserializer<'de> for Reader<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.decoder.is_null()? {
            self.decoder.null()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.decoder.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.variant(visitor)
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
        bool f32 f64 bytes byte_buf unit unit_struct map struct
    }
}

/// Reads a list that has been entered, to its end.
pub(super) fn read_list<'de, V: Visitor<'de>>(
    decoder: &mut Decoder<'de>,
    items: Items,
    visitor: V,
) -> Result<V::Value, Error> {
    let mut list = ListReader { decoder, items, index: 0 };
    let value = visitor.visit_seq(&mut list)?;
    if list.decoder.next_item(&mut list.items)? {
        return Err(Error::new(ErrorKind::TooManyItems).at(list.decoder.offset()));
    }
    Ok(value)
}

struct ListReader<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    items: Items,
    index: usize,
}

impl<'de> de::SeqAccess<'de> for ListReader<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !self.decoder.next_item(&mut self.items)? {
            return Ok(None);
        }
        let start = self.decoder.offset();
        let outcome = seed.deserialize(Reader::new(self.decoder));
        let value = outcome.map_err(|error| error.at(start).inside(Step::Index(self.index)))?;
        self.index += 1;
        Ok(Some(value))
    }

    fn size_hint(&self) -> Option<usize> {
        size_hint(self.decoder, &self.items)
    }
}

/// What is announced, as far as the bytes that are there can hold it: a type may allocate as much at once.
fn size_hint(decoder: &Decoder<'_>, items: &Items) -> Option<usize> {
    items.remaining().map(|remaining| remaining.min(decoder.rest().len()))
}

struct DictReader<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    items: Items,
    /// Where the current key begins, to be named in an error.
    key_start: usize,
}

impl DictReader<'_, '_> {
    fn current_key(&self) -> Step {
        let key = self.decoder.rewound(self.key_start).key_as_text();
        Step::key(&key.unwrap_or_default())
    }

    fn finish(&mut self) -> Result<(), Error> {
        if self.decoder.next_entry(&mut self.items)? {
            return Err(Error::new(ErrorKind::TooManyItems).at(self.decoder.offset()));
        }
        Ok(())
    }
}

impl<'de> de::MapAccess<'de> for DictReader<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if !self.decoder.next_entry(&mut self.items)? {
            return Ok(None);
        }
        self.key_start = self.decoder.offset();
        let key = self.decoder.key_as_text()?;
        let outcome = seed.deserialize(KeyReader(key));
        outcome.map(Some).map_err(|error| error.at(self.key_start))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let start = self.decoder.offset();
        let outcome = seed.deserialize(Reader::new(self.decoder));
        outcome.map_err(|error| error.at(start).inside(self.current_key()))
    }

    fn size_hint(&self) -> Option<usize> {
        size_hint(self.decoder, &self.items)
    }
}

/// Reads an enum variant with content from the dictionary of one entry that it is.
struct VariantReader<'d, 'a, 'de> {
    dict: &'d mut DictReader<'a, 'de>,
}

/// Reads what stands behind the name of a variant.
struct ContentReader<'d, 'a, 'de> {
    dict: &'d mut DictReader<'a, 'de>,
}

impl<'d, 'a, 'de> de::EnumAccess<'de> for VariantReader<'d, 'a, 'de> {
    type Error = Error;
    type Variant = ContentReader<'d, 'a, 'de>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant), Error> {
        let dict = self.dict;
        match de::MapAccess::next_key_seed(dict, seed)? {
            Some(variant) => Ok((variant, ContentReader { dict })),
            None => Err(ParseErrorKind::Expected("the name of a variant").at(dict.decoder.offset()).into()),
        }
    }
}

impl<'de> ContentReader<'_, '_, 'de> {
    fn content<T>(self, read: impl FnOnce(Reader<'_, 'de>) -> Result<T, Error>) -> Result<T, Error> {
        let start = self.dict.decoder.offset();
        let outcome = read(Reader::new(self.dict.decoder));
        outcome.map_err(|error| error.at(start).inside(self.dict.current_key()))
    }
}

impl<'de> de::VariantAccess<'de> for ContentReader<'_, '_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        self.content(|reader| <() as de::Deserialize>::deserialize(reader))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.content(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.content(|reader| reader.list(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.content(|reader| reader.any(visitor))
    }
}
