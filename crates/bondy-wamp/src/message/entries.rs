//! Reading the options or details of a message entry by entry.
//!
//! A null value counts as absent. A value of the wrong type, or outside its closed set, is an error that names the
//! key. Unknown entries are dropped, and those that are passed on are collected as [`Attributes`].

use std::borrow::Cow;

use super::{Attributes, CancelMode, MessageType};
use crate::id::SessionId;
use crate::serializer::{Decoder, Items, Kind, ParseError, ParseErrorKind, Token};
use crate::uri::MatchPolicy;

/// 2^53: the largest integer that a float represents exactly together with all smaller ones.
const EXACT_FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

type Parsed<T> = std::result::Result<T, ParseError>;

/// The entries of a dictionary that is being read.
pub(super) struct Entries<'d, 'a> {
    decoder: &'d mut Decoder<'a>,
    /// `None`: the dictionary is empty and has been read.
    items: Option<Items>,
    message_type: MessageType,
}

/// A non-negative integer, also as an integral float.
pub(super) fn whole_number(token: Token<'_>) -> Option<u64> {
    match token {
        Token::Unsigned(value) => Some(value),
        Token::Float(value) if value.fract() == 0.0 && (0.0..=EXACT_FLOAT_MAX).contains(&value) => {
            Some(value as u64)
        }
        _ => None,
    }
}

impl<'d, 'a> Entries<'d, 'a> {
    /// Enters the dictionary that stands next; `element` is its name.
    pub(super) fn enter(
        decoder: &'d mut Decoder<'a>,
        message_type: MessageType,
        element: &'static str,
    ) -> Parsed<Self> {
        if decoder.usual_empty_dict() {
            return Ok(Self { decoder, items: None, message_type });
        }
        let start = decoder.offset();
        match decoder.token()? {
            Token::Dict(len) => {
                let items = Some(decoder.enter(len, start)?);
                Ok(Self { decoder, items, message_type })
            }
            _ => Err(ParseErrorKind::Element { message_type, element, expected: "a dictionary" }.at(start)),
        }
    }

    /// The next key; its value must be read.
    pub(super) fn next(&mut self) -> Parsed<Option<Cow<'a, str>>> {
        match &mut self.items {
            Some(items) => self.decoder.next_key(items),
            None => Ok(None),
        }
    }

    #[cold]
    fn wrong(&self, key: &'static str, expected: &'static str, start: usize) -> ParseError {
        ParseErrorKind::Option { message_type: self.message_type, key, expected }.at(start)
    }

    /// A boolean that is false by default. Integers are none.
    pub(super) fn flag(&mut self, key: &'static str) -> Parsed<bool> {
        self.flag_or(key, false)
    }

    /// A boolean with a default. Integers are none.
    pub(super) fn flag_or(&mut self, key: &'static str, default: bool) -> Parsed<bool> {
        let start = self.decoder.offset();
        match self.decoder.token()? {
            Token::Bool(value) => Ok(value),
            Token::Null => Ok(default),
            _ => Err(self.wrong(key, "a boolean", start)),
        }
    }

    /// A non-negative integer.
    pub(super) fn number(&mut self, key: &'static str) -> Parsed<Option<u64>> {
        let start = self.decoder.offset();
        match self.decoder.token()? {
            Token::Null => Ok(None),
            token => match whole_number(token) {
                Some(value) => Ok(Some(value)),
                None => Err(self.wrong(key, "a non-negative integer", start)),
            },
        }
    }

    /// A non-negative integer of 32 bits.
    pub(super) fn number_32(&mut self, key: &'static str) -> Parsed<Option<u32>> {
        let start = self.decoder.offset();
        match self.number(key)?.map(u32::try_from).transpose() {
            Ok(value) => Ok(value),
            Err(_) => Err(self.wrong(key, "an integer below 2^32", start)),
        }
    }

    /// Text.
    pub(super) fn text(&mut self, key: &'static str) -> Parsed<Option<Cow<'a, str>>> {
        let start = self.decoder.offset();
        match self.decoder.token()? {
            Token::Null => Ok(None),
            token => self.text_of(token, key, "text", start).map(Some),
        }
    }

    fn text_of(
        &self,
        token: Token<'a>,
        key: &'static str,
        expected: &'static str,
        start: usize,
    ) -> Parsed<Cow<'a, str>> {
        match self.decoder.text_of(token, start) {
            Err(error) if matches!(error.kind, ParseErrorKind::Expected(_)) => {
                Err(self.wrong(key, expected, start))
            }
            text => text,
        }
    }

    /// One of the match policies.
    pub(super) fn match_policy(&mut self, key: &'static str) -> Parsed<Option<MatchPolicy>> {
        self.one_of(key, "`exact`, `prefix` or `wildcard`", MatchPolicy::parse)
    }

    /// One of the modes in which calls are canceled.
    pub(super) fn cancel_mode(&mut self, key: &'static str) -> Parsed<Option<CancelMode>> {
        self.one_of(key, "`skip`, `kill` or `killnowait`", CancelMode::parse)
    }

    fn one_of<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Parsed<Option<T>> {
        let start = self.decoder.offset();
        let Some(name) = self.text(key)? else { return Ok(None) };
        match parse(&name) {
            Some(value) => Ok(Some(value)),
            None => Err(self.wrong(key, expected, start)),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Parsed<Option<Vec<String>>> {
        self.list(key, "a list of strings", |entries, token, start| {
            entries.text_of(token, key, "a list of strings", start).map(Cow::into_owned)
        })
    }

    /// A list of session ids.
    pub(super) fn sessions(&mut self, key: &'static str) -> Parsed<Option<Vec<SessionId>>> {
        self.list(key, "a list of session ids", |entries, token, start| match whole_number(token) {
            Some(id) => Ok(SessionId(id)),
            None => Err(entries.wrong(key, "a list of session ids", start)),
        })
    }

    fn list<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        item: impl Fn(&Self, Token<'a>, usize) -> Parsed<T>,
    ) -> Parsed<Option<Vec<T>>> {
        let start = self.decoder.offset();
        let mut items = match self.decoder.token()? {
            Token::Null => return Ok(None),
            Token::List(len) => self.decoder.enter(len, start)?,
            _ => return Err(self.wrong(key, expected, start)),
        };
        let mut values = Vec::new();
        while self.decoder.next_item(&mut items)? {
            let start = self.decoder.offset();
            let token = self.decoder.token()?;
            values.push(item(self, token, start)?);
        }
        Ok(Some(values))
    }

    /// A dictionary whose values are read by `entry`; true if it is there.
    pub(super) fn dict(
        &mut self,
        key: &'static str,
        mut entry: impl FnMut(&mut Entries<'_, 'a>, &str) -> Parsed<()>,
    ) -> Parsed<bool> {
        let start = self.decoder.offset();
        let items = match self.decoder.token()? {
            Token::Null => return Ok(false),
            Token::Dict(len) => Some(self.decoder.enter(len, start)?),
            _ => return Err(self.wrong(key, "a dictionary", start)),
        };
        let mut inner = Entries { decoder: &mut *self.decoder, items, message_type: self.message_type };
        while let Some(name) = inner.next()? {
            entry(&mut inner, &name)?;
        }
        Ok(true)
    }

    /// Any value as a tree, which must be a dictionary.
    pub(super) fn dict_value(&mut self, key: &'static str) -> Parsed<crate::value::Value> {
        let start = self.decoder.offset();
        match self.decoder.kind()? {
            Kind::Null | Kind::Dict => self.decoder.value(),
            _ => Err(self.wrong(key, "a dictionary", start)),
        }
    }

    /// Any value as a tree.
    pub(super) fn value(&mut self) -> Parsed<crate::value::Value> {
        self.decoder.value()
    }

    /// The encoded value, whatever it is; `None` for null.
    pub(super) fn raw(&mut self) -> Parsed<Option<&'a [u8]>> {
        let kind = self.decoder.kind()?;
        let raw = self.decoder.skip()?;
        Ok(Some(raw).filter(|_| kind != Kind::Null))
    }

    /// Drops the value.
    pub(super) fn skip(&mut self) -> Parsed<()> {
        self.decoder.skip().map(|_| ())
    }

    /// An entry that is none of the message's own: kept if such entries are passed on, else dropped.
    pub(super) fn other(&mut self, key: Cow<'a, str>, attributes: &mut Attributes<'a>) -> Parsed<()> {
        let Some(shape) = Shape::of(&key) else { return self.skip() };
        self.check_shape(shape)?;
        if let Some(value) = self.raw()? {
            attributes.entries.push((key, value));
        }
        Ok(())
    }

    /// The same for messages whose attributes are not passed on: the types are checked all the same.
    pub(super) fn unused(&mut self, key: &str) -> Parsed<()> {
        if let Some(shape) = Shape::of(key) {
            self.check_shape(shape)?;
        }
        self.skip()
    }

    /// Checks that a list of dictionaries stands next, or null.
    fn check_hops(&mut self, key: &'static str) -> Parsed<()> {
        let start = self.decoder.offset();
        let mut items = match self.decoder.token()? {
            Token::Null => return Ok(()),
            Token::List(len) => self.decoder.enter(len, start)?,
            _ => return Err(self.wrong(key, "a list of dictionaries", start)),
        };
        while self.decoder.next_item(&mut items)? {
            if self.decoder.kind()? != Kind::Dict {
                return Err(self.wrong(key, "a list of dictionaries", start));
            }
            self.decoder.skip()?;
        }
        Ok(())
    }

    /// Checks the value that stands next, without reading it.
    fn check_shape(&mut self, shape: Shape) -> Parsed<()> {
        let mut ahead = Entries {
            decoder: &mut self.decoder.clone(),
            items: self.items,
            message_type: self.message_type,
        };
        match shape {
            Shape::Any => Ok(()),
            Shape::Text(key) => ahead.text(key).map(|_| ()),
            Shape::Flag(key) => ahead.flag(key).map(|_| ()),
            Shape::Algorithm(key) => {
                let known = |name: &str| (ALGORITHMS.contains(&name) || name.starts_with("x_")).then_some(());
                ahead.one_of(key, "`cryptobox`, `mqtt`, `xbr` or `x_*`", known).map(|_| ())
            }
            Shape::Hops(key) => ahead.check_hops(key),
        }
    }
}

/// The algorithms of the legacy opaque payloads (`enc_algo`).
const ALGORITHMS: [&str; 3] = ["cryptobox", "mqtt", "xbr"];

/// What the value of an entry that is passed on must be.
enum Shape {
    Any,
    Text(&'static str),
    Flag(&'static str),
    Algorithm(&'static str),
    Hops(&'static str),
}

impl Shape {
    /// Is this entry passed on, and what must it be?
    ///
    /// `_dropped` is the router's own word to a subscriber; no peer may put it into another's mouth.
    fn of(key: &str) -> Option<Self> {
        Some(match key {
            "ppt_scheme" => Shape::Text("ppt_scheme"),
            "ppt_serializer" => Shape::Text("ppt_serializer"),
            "ppt_cipher" => Shape::Text("ppt_cipher"),
            "ppt_keyid" => Shape::Text("ppt_keyid"),
            "enc_algo" => Shape::Algorithm("enc_algo"),
            "enc_key" => Shape::Text("enc_key"),
            "enc_serializer" => Shape::Text("enc_serializer"),
            "transaction_hash" => Shape::Text("transaction_hash"),
            "x_acknowledged_delivery" => Shape::Flag("x_acknowledged_delivery"),
            "forward_for" => Shape::Hops("forward_for"),
            "_dropped" => return None,
            _ if ["_", "x_", "ppt_", "enc_"].iter().any(|prefix| key.starts_with(prefix)) => Shape::Any,
            _ => return None,
        })
    }
}
