//! Pulls typed values out of borrowed bytes, one after the other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::error::{ParseError, ParseErrorKind, no_text_key};
use super::{LEVELS_MAX, Serializer, cbor, json, msgpack, text};
use crate::buffer::Buffer;
use crate::value::Value;

/// What stands next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Null, or CBOR's undefined.
    Null,
    /// A boolean.
    Bool,
    /// A number without fraction and exponent that fits its serializer's integers.
    Integer,
    /// Any other number.
    Float,
    /// Text; in JSON also bytes written as text.
    String,
    /// Bytes.
    Binary,
    /// A list.
    List,
    /// A dictionary.
    Dict,
}

/// A scalar, or the beginning of a container.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Token<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    /// The integer -1 - n, as CBOR writes it.
    Negative(u64),
    Float(f64),
    Text(&'a str),
    /// Text whose UTF-8 the reader has to check.
    UncheckedText(&'a [u8]),
    /// The content of a JSON string with correct escapes.
    Escaped(&'a [u8]),
    /// Checked CBOR chunks, with their headers and the break.
    TextChunks(&'a [u8]),
    Binary(&'a [u8]),
    /// Checked CBOR chunks, with their headers and the break.
    BinaryChunks(&'a [u8]),
    /// With the number of items, where it is known ahead.
    List(Option<usize>),
    /// With the number of entries, where it is known ahead.
    Dict(Option<usize>),
}

impl<'a> Token<'a> {
    /// The bytes, if this is a binary, also one that JSON wrote as a string.
    pub(crate) fn binary(&self) -> Option<Cow<'a, [u8]>> {
        match self {
            Token::Binary(content) => Some(Cow::Borrowed(content)),
            Token::BinaryChunks(content) => {
                Some(Cow::Owned(cbor::chunks(content, cbor::BYTES).flatten().copied().collect()))
            }
            Token::Escaped(content) => json::binary_of_escaped(content).map(Cow::Owned),
            Token::Null
            | Token::Bool(_)
            | Token::Unsigned(_)
            | Token::Negative(_)
            | Token::Float(_)
            | Token::Text(_)
            | Token::UncheckedText(_)
            | Token::TextChunks(_)
            | Token::List(_)
            | Token::Dict(_) => None,
        }
    }

    /// Is this a binary, also one that JSON wrote as a string?
    pub(crate) fn is_binary(&self) -> bool {
        match self {
            Token::Binary(_) | Token::BinaryChunks(_) => true,
            Token::Escaped(content) => json::binary_of_escaped(content).is_some(),
            _ => false,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Token::Null => Kind::Null,
            Token::Bool(_) => Kind::Bool,
            Token::Unsigned(_) | Token::Negative(_) => Kind::Integer,
            Token::Float(_) => Kind::Float,
            Token::Text(_) | Token::UncheckedText(_) | Token::Escaped(_) | Token::TextChunks(_) => {
                Kind::String
            }
            Token::Binary(_) | Token::BinaryChunks(_) => Kind::Binary,
            Token::List(_) => Kind::List,
            Token::Dict(_) => Kind::Dict,
        }
    }
}

/// How far the reading of one list or dictionary has come.
#[derive(Clone, Copy, Debug)]
pub struct Items {
    /// Items, or entries, still to come; `None` until the bytes say that it ends.
    remaining: Option<usize>,
    progress: Progress,
}

#[cfg(feature = "serde")]
impl Items {
    /// Items, or entries, still to come, where that is known; as the peer says, unchecked.
    pub(crate) fn remaining(&self) -> Option<usize> {
        self.remaining
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Entered,
    Within,
    Left,
}

/// A pull decoder over the bytes of one message or item.
///
/// Values are read in the order in which they stand: [`Decoder::list`], then [`Decoder::next_item`] before each
/// item; [`Decoder::dict`], then [`Decoder::next_key`] before each value. What is of no interest is skipped, with
/// every check. No method recurses, and nothing is allocated but texts that are not contiguous in the bytes.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    serializer: Serializer,
    bytes: &'a [u8],
    /// The bytes as text, in JSON; else empty.
    text: &'a str,
    at: usize,
    /// Containers entered and not left.
    levels: usize,
}

impl<'a> Decoder<'a> {
    /// Reads a message, whose list is one level more than [`super::DEPTH_MAX`] counts.
    ///
    /// # Errors
    /// JSON that is not UTF-8.
    pub fn message(serializer: Serializer, bytes: &'a [u8]) -> Result<Self, ParseError> {
        let text = match serializer {
            Serializer::Json => match simdutf8::basic::from_utf8(bytes) {
                Ok(text) => text,
                Err(_) => return Err(ParseErrorKind::InvalidUtf8.at(text::invalid_utf8_offset(bytes))),
            },
            Serializer::MessagePack | Serializer::Cbor => "",
        };
        Ok(Self { serializer, bytes, text, at: 0, levels: 0 })
    }

    /// Reads an item of a message, such as `args`, `kwargs` or an option.
    ///
    /// # Errors
    /// JSON that is not UTF-8.
    pub fn new(serializer: Serializer, bytes: &'a [u8]) -> Result<Self, ParseError> {
        let decoder = Self::message(serializer, bytes)?;
        Ok(Self { levels: 1, ..decoder })
    }

    /// The serializer.
    pub fn serializer(&self) -> Serializer {
        self.serializer
    }

    /// All bytes, read or not.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What has not been read yet.
    #[inline(always)]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// So many bytes have been read.
    #[inline(always)]
    pub(super) fn advance(&mut self, len: usize) {
        self.at += len;
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// A decoder that has read only so many bytes: to look again at what this one has passed.
    #[cfg(feature = "serde")]
    pub(crate) fn rewound(&self, offset: usize) -> Self {
        Self { at: offset, ..self.clone() }
    }

    /// Reads the next scalar, or enters the next container.
    #[inline]
    pub(crate) fn token(&mut self) -> Result<Token<'a>, ParseError> {
        let (token, end) = self.peek()?;
        self.at = end;
        Ok(token)
    }

    #[inline]
    fn peek(&mut self) -> Result<(Token<'a>, usize), ParseError> {
        self.peek_of(self.serializer)
    }

    /// The same where the compiler knows the serializer, which is this decoder's.
    #[inline(always)]
    pub(super) fn token_of(&mut self, serializer: Serializer) -> Result<Token<'a>, ParseError> {
        let (token, end) = self.peek_of(serializer)?;
        self.at = end;
        Ok(token)
    }

    #[inline(always)]
    fn peek_of(&mut self, serializer: Serializer) -> Result<(Token<'a>, usize), ParseError> {
        match serializer {
            Serializer::Json => {
                self.at = json::skip_space(self.bytes, self.at);
                json::token(self.text, self.at)
            }
            Serializer::MessagePack => msgpack::token(self.bytes, self.at),
            Serializer::Cbor => cbor::token(self.bytes, self.at, LEVELS_MAX - self.levels),
        }
    }

    /// What stands next, without reading it.
    pub fn kind(&mut self) -> Result<Kind, ParseError> {
        self.peek().map(|(token, _)| token.kind())
    }

    #[cold]
    fn expected<T>(&self, what: &'static str, start: usize) -> Result<T, ParseError> {
        Err(ParseErrorKind::Expected(what).at(start))
    }

    /// Does null stand next? Without reading it, and without scanning what cannot be null.
    #[cfg(feature = "serde")]
    pub(crate) fn is_null(&mut self) -> Result<bool, ParseError> {
        if self.serializer == Serializer::Json {
            self.at = json::skip_space(self.bytes, self.at);
        }
        let may_be_null = match (self.serializer, self.rest()) {
            (_, []) => true,
            (Serializer::Json, [first, ..]) => *first == b'n',
            // An extension may be JavaScript's undefined, and a tag has its content.
            (Serializer::MessagePack, [first, ..]) => matches!(first, 0xc0 | 0xc7..=0xc9 | 0xd4..=0xd8),
            (Serializer::Cbor, [first, ..]) => *first >= 0xc0,
        };
        Ok(may_be_null && self.kind()? == Kind::Null)
    }

    /// Reads null (or CBOR's undefined).
    pub fn null(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        match self.token()? {
            Token::Null => Ok(()),
            _ => self.expected("null", start),
        }
    }

    /// Reads a boolean.
    pub fn bool(&mut self) -> Result<bool, ParseError> {
        let start = self.at;
        match self.token()? {
            Token::Bool(value) => Ok(value),
            _ => self.expected("a boolean", start),
        }
    }

    /// Reads an integer from 0 to 2^64-1. Floats are none.
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64, ParseError> {
        let start = self.at;
        match self.token()? {
            Token::Unsigned(value) => Ok(value),
            _ => self.expected("an unsigned integer", start),
        }
    }

    /// Reads an integer. Floats are none.
    pub fn integer(&mut self) -> Result<i128, ParseError> {
        let start = self.at;
        match self.token()? {
            Token::Unsigned(value) => Ok(value.into()),
            Token::Negative(value) => Ok(-1 - i128::from(value)),
            _ => self.expected("an integer", start),
        }
    }

    /// Reads a number; an integer becomes the nearest float.
    pub fn float(&mut self) -> Result<f64, ParseError> {
        let start = self.at;
        match self.token()? {
            Token::Float(value) => Ok(value),
            Token::Unsigned(value) => Ok(value as f64),
            Token::Negative(value) => Ok((-1 - i128::from(value)) as f64),
            _ => self.expected("a number", start),
        }
    }

    /// Reads text, borrowed where it is contiguous and without escapes.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, str>, ParseError> {
        let start = self.at;
        let token = self.token()?;
        self.text_of(token, start)
    }

    /// The text that a token is.
    #[inline]
    pub(crate) fn text_of(&self, token: Token<'a>, start: usize) -> Result<Cow<'a, str>, ParseError> {
        match token {
            Token::Text(text) => Ok(Cow::Borrowed(text)),
            Token::UncheckedText(content) => match std::str::from_utf8(content) {
                Ok(text) => Ok(Cow::Borrowed(text)),
                Err(error) => {
                    let offset = self.at - content.len() + error.valid_up_to();
                    Err(ParseErrorKind::InvalidUtf8.at(offset))
                }
            },
            Token::Escaped(content) => {
                let mut text = Buffer::with_capacity(content.len());
                json::unescape(content, &mut text);
                Ok(Cow::Owned(String::from_utf8_lossy(&text).into_owned()))
            }
            Token::TextChunks(content) => {
                let chunks = cbor::chunks(content, cbor::TEXT);
                Ok(Cow::Owned(chunks.map(String::from_utf8_lossy).collect()))
            }
            Token::Null
            | Token::Bool(_)
            | Token::Unsigned(_)
            | Token::Negative(_)
            | Token::Float(_)
            | Token::Binary(_)
            | Token::BinaryChunks(_)
            | Token::List(_)
            | Token::Dict(_) => self.expected("text", start),
        }
    }

    /// Enters a list.
    #[inline]
    pub fn list(&mut self) -> Result<Items, ParseError> {
        let start = self.at;
        match self.token()? {
            Token::List(len) => self.enter(len, start),
            _ => self.expected("a list", start),
        }
    }

    /// Enters a dictionary.
    #[inline]
    pub fn dict(&mut self) -> Result<Items, ParseError> {
        let start = self.at;
        match self.token()? {
            Token::Dict(len) => self.enter(len, start),
            _ => self.expected("a dictionary", start),
        }
    }

    /// Enters the container whose token has just been read.
    #[inline]
    pub(crate) fn enter(&mut self, len: Option<usize>, start: usize) -> Result<Items, ParseError> {
        self.enter_level(start)?;
        Ok(Items { remaining: len, progress: Progress::Entered })
    }

    /// One more container is open. Whoever calls this directly keeps the state of the container.
    #[inline(always)]
    pub(super) fn enter_level(&mut self, start: usize) -> Result<(), ParseError> {
        if self.levels == LEVELS_MAX {
            return Err(ParseErrorKind::TooDeep.at(start));
        }
        self.levels += 1;
        Ok(())
    }

    /// The container entered last has ended.
    #[inline(always)]
    pub(super) fn leave_level(&mut self) {
        self.levels -= 1;
    }

    /// Goes to the next item of a list; false if there is none (and the list is left), then and ever after.
    #[inline]
    pub fn next_item(&mut self, items: &mut Items) -> Result<bool, ParseError> {
        self.next(items, false)
    }

    /// Goes to the next entry and reads its key; `None` if there is none, and the dictionary is left.
    #[inline]
    pub fn next_key(&mut self, items: &mut Items) -> Result<Option<Cow<'a, str>>, ParseError> {
        if !self.next_entry(items)? {
            return Ok(None);
        }
        let start = self.at;
        let token = self.key_token()?;
        match self.text_of(token, start) {
            Err(error) if matches!(error.kind, ParseErrorKind::Expected(_)) => Err(no_text_key(start)),
            key => key.map(Some),
        }
    }

    /// Goes to the next entry of a dictionary; false if there is none, and the dictionary is left.
    #[inline]
    pub(crate) fn next_entry(&mut self, items: &mut Items) -> Result<bool, ParseError> {
        self.next(items, true)
    }

    /// Reads a key, which may be any scalar except in JSON, and what separates it from the value.
    #[inline]
    fn key_token(&mut self) -> Result<Token<'a>, ParseError> {
        self.key_token_of(self.serializer).map(|(token, _)| token)
    }

    /// The same, with the end of the token, where the compiler knows the serializer, which is this decoder's.
    #[inline(always)]
    pub(super) fn key_token_of(&mut self, serializer: Serializer) -> Result<(Token<'a>, usize), ParseError> {
        let start = self.at;
        let token = self.token_of(serializer)?;
        let end = self.at;
        match token {
            Token::List(_) | Token::Dict(_) => {
                return Err(no_text_key(start));
            }
            _ if serializer != Serializer::Json => {}
            Token::Text(_) | Token::Escaped(_) => self.at = json::colon(self.bytes, end)?,
            _ => return Err(json::no_key(self.bytes.get(start), start)),
        }
        Ok((token, end))
    }

    #[inline]
    fn next(&mut self, items: &mut Items, dict: bool) -> Result<bool, ParseError> {
        let first = match std::mem::replace(&mut items.progress, Progress::Within) {
            Progress::Entered => true,
            Progress::Within => false,
            Progress::Left => {
                items.progress = Progress::Left;
                return Ok(false);
            }
        };
        let more = match &mut items.remaining {
            Some(0) => false,
            Some(remaining) => {
                *remaining -= 1;
                true
            }
            None => self.next_unknown(self.serializer, first, dict)?,
        };
        if !more {
            items.progress = Progress::Left;
            self.leave_level();
        }
        Ok(more)
    }

    /// Goes to the next item of a container whose length is not known ahead.
    #[inline(always)]
    pub(super) fn next_unknown(
        &mut self,
        serializer: Serializer,
        first: bool,
        dict: bool,
    ) -> Result<bool, ParseError> {
        if serializer == Serializer::Json {
            return self.next_in_json(first, if dict { b'}' } else { b']' });
        }
        let more = !cbor::is_break(self.bytes, self.at)?;
        self.at += usize::from(!more);
        Ok(more)
    }

    #[inline(always)]
    fn next_in_json(&mut self, first: bool, bracket: u8) -> Result<bool, ParseError> {
        self.at = json::skip_space(self.bytes, self.at);
        match self.bytes.get(self.at) {
            Some(&byte) if byte == bracket => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            other => Err(json::no_separator(other, self.at)),
        }
    }

    /// Skips one item, with every check, and returns its bytes.
    #[inline]
    pub fn skip(&mut self) -> Result<&'a [u8], ParseError> {
        self.skip_item(false)
    }

    /// Skips one item, with every check, and returns its bytes. If it is a dictionary, its own keys must be text.
    #[inline]
    pub(crate) fn skip_item(&mut self, text_keys: bool) -> Result<&'a [u8], ParseError> {
        let levels = LEVELS_MAX - self.levels;
        let (start, end) = match self.serializer {
            Serializer::Json => {
                let start = json::skip_space(self.bytes, self.at);
                (start, json::skip(self.bytes, start, levels)?)
            }
            Serializer::MessagePack => (self.at, msgpack::skip(self.bytes, self.at, levels, text_keys)?),
            Serializer::Cbor => (self.at, cbor::skip(self.bytes, self.at, levels, text_keys)?),
        };
        self.at = end;
        Ok(&self.bytes[start..end])
    }

    /// Checks that nothing follows (white space may, in JSON).
    #[inline]
    pub fn end(&mut self) -> Result<(), ParseError> {
        if self.serializer == Serializer::Json {
            self.at = json::skip_space(self.bytes, self.at);
        }
        if self.at == self.bytes.len() { Ok(()) } else { Err(ParseErrorKind::TrailingBytes.at(self.at)) }
    }

    /// Reads any item as a value of its own. The recursion is as deep as the nesting, hence bounded.
    pub fn value(&mut self) -> Result<Value, ParseError> {
        let start = self.at;
        Ok(match self.token()? {
            Token::Null => Value::Null,
            Token::Bool(value) => Value::Bool(value),
            Token::Unsigned(value) => Value::Integer(value.into()),
            Token::Negative(value) => Value::Integer(-1 - i128::from(value)),
            Token::Float(value) => Value::Float(value),
            token @ (Token::Binary(_)
            | Token::BinaryChunks(_)
            | Token::Text(_)
            | Token::UncheckedText(_)
            | Token::Escaped(_)
            | Token::TextChunks(_)) => match token.binary() {
                Some(bytes) => Value::Binary(bytes.into_owned()),
                None => Value::String(self.text_of(token, start)?.into_owned()),
            },
            Token::List(len) => {
                let mut items = self.enter(len, start)?;
                let mut values = Vec::new();
                while self.next_item(&mut items)? {
                    values.push(self.value()?);
                }
                Value::List(values)
            }
            Token::Dict(len) => {
                let mut items = self.enter(len, start)?;
                let mut entries = BTreeMap::new();
                while self.next_entry(&mut items)? {
                    let key = self.key_as_text()?.into_owned();
                    entries.insert(key, self.value()?);
                }
                Value::Dict(entries)
            }
        })
    }

    /// A key as text: what is not text becomes the text that it would be as a key in JSON.
    pub(crate) fn key_as_text(&mut self) -> Result<Cow<'a, str>, ParseError> {
        let start = self.at;
        let token = self.key_token()?;
        if let Kind::String = token.kind() {
            return self.text_of(token, start);
        }
        Ok(Cow::Owned(super::transcode::key_text(token, str::to_owned)))
    }
}

/// Decodes exactly one item, such as `args` or an option, from all of the bytes.
///
/// # Errors
/// The bytes are not one well-formed item.
pub fn decode_value(serializer: Serializer, bytes: &[u8]) -> Result<Value, ParseError> {
    let mut decoder = Decoder::new(serializer, bytes)?;
    let value = decoder.value()?;
    decoder.end()?;
    Ok(value)
}
