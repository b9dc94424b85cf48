//! `args` and `kwargs`: raw, as typed values, and as they are put together for a message.
//!
//! A payload is encoded once, in the serializer of the session at that time. Should another session have another
//! serializer by the time it is sent, it is re-encoded without being decoded.

use std::collections::BTreeSet;

use bondy_wamp::buffer::Buffer;
use bondy_wamp::message::Attributes;
use bondy_wamp::payload::{Payload, StoredPayload};
use bondy_wamp::serializer::{Decoder, Encoder, Serializer};
use bondy_wamp::value::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{DecodeError, EncodeError};

/// The serializer of what is encoded while no session is there to ask.
pub(crate) const DEFAULT_SERIALIZER: Serializer = Serializer::MessagePack;

/// `args` and `kwargs` as the bytes they came as, or will be sent as.
///
/// Nothing is decoded until it is asked for.
#[derive(Clone, Debug)]
pub struct Arguments {
    payload: StoredPayload,
    /// Made by hand, and not looked at yet.
    is_unchecked: bool,
}

impl PartialEq for Arguments {
    fn eq(&self, other: &Self) -> bool {
        self.payload == other.payload
    }
}

impl Arguments {
    /// Neither `args` nor `kwargs`.
    pub fn none() -> Self {
        Self::received(Payload::none(DEFAULT_SERIALIZER))
    }

    /// What a handler or caller means by a value: nothing for `()`, the positional arguments for a tuple, else one
    /// positional argument.
    ///
    /// # Errors
    /// The value cannot be carried, such as a dictionary whose keys are not text.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        Self::encoded(value, DEFAULT_SERIALIZER)
    }

    pub(crate) fn encoded<T: Serialize + ?Sized>(
        value: &T,
        serializer: Serializer,
    ) -> Result<Self, EncodeError> {
        let payload = bondy_wamp::serde::encode_payload(value, serializer)?;
        Ok(Self { payload, is_unchecked: false })
    }

    /// A payload that is known to be well-formed: it came in a message, or was encoded here.
    pub(crate) fn received(payload: Payload<'_>) -> Self {
        Self { payload: payload.to_stored(), is_unchecked: false }
    }

    /// These, if they can be sent.
    fn checked(self) -> Result<Self, EncodeError> {
        if self.is_unchecked {
            let payload = self.payload.as_payload();
            if !payload.args.is_empty() {
                let mut decoder = Decoder::new(payload.serializer, payload.args)?;
                let mut items = decoder.list()?;
                while decoder.next_item(&mut items)? {
                    decoder.skip()?;
                }
                decoder.end()?;
            }
            if !payload.kwargs.is_empty() {
                let mut decoder = Decoder::new(payload.serializer, payload.kwargs)?;
                let mut entries = decoder.dict()?;
                while decoder.next_key(&mut entries)?.is_some() {
                    decoder.skip()?;
                }
                decoder.end()?;
            }
        }
        Ok(Self { is_unchecked: false, ..self })
    }

    /// The encoded parts.
    pub fn payload(&self) -> Payload<'_> {
        self.payload.as_payload()
    }

    /// Neither `args` nor `kwargs`?
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Bytes of both parts.
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// The whole as one value: `()` takes anything, a tuple the positional arguments, a struct or map the keyword
    /// arguments where there are only those; any other type is the one positional argument.
    ///
    /// # Errors
    /// The arguments are not what `T` is made of; the text says where.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        bondy_wamp::serde::decode_payload(self.payload())
            .map_err(|cause| DecodeError::new("the arguments", cause))
    }

    /// The positional arguments as a tuple, a list, or whatever else is made of a list.
    ///
    /// # Errors
    /// The arguments are not what `T` is made of; the text says where.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        let payload = self.payload();
        let args = present(payload.args, empty_list(payload.serializer));
        bondy_wamp::serde::decode(payload.serializer, args).map_err(|cause| DecodeError::new("args", cause))
    }

    /// The keyword arguments as a struct or map.
    ///
    /// # Errors
    /// The arguments are not what `T` is made of; the text says where.
    pub fn kwargs<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        let payload = self.payload();
        let kwargs = present(payload.kwargs, empty_dict(payload.serializer));
        bondy_wamp::serde::decode(payload.serializer, kwargs)
            .map_err(|cause| DecodeError::new("kwargs", cause))
    }

    /// `args`, always a list, and `kwargs`, always a dictionary, as trees.
    ///
    /// # Errors
    /// The bytes are not well-formed, which only a payload made by hand can be.
    pub fn to_value(&self) -> Result<(Value, Value), DecodeError> {
        Ok((self.args()?, self.kwargs()?))
    }
}

impl From<Payload<'_>> for Arguments {
    /// Copies the parts, which must be one encoded list and one encoded dictionary, or empty. Anything else is an error
    /// where they are used.
    fn from(payload: Payload<'_>) -> Self {
        Self { payload: payload.to_stored(), is_unchecked: true }
    }
}

fn present<'a>(bytes: &'a [u8], otherwise: &'a [u8]) -> &'a [u8] {
    if bytes.is_empty() { otherwise } else { bytes }
}

const fn empty_list(serializer: Serializer) -> &'static [u8] {
    match serializer {
        Serializer::Json => b"[]",
        Serializer::MessagePack => &[0x90],
        Serializer::Cbor => &[0x80],
    }
}

const fn empty_dict(serializer: Serializer) -> &'static [u8] {
    match serializer {
        Serializer::Json => b"{}",
        Serializer::MessagePack => &[0x80],
        Serializer::Cbor => &[0xa0],
    }
}

/// What a procedure's handler, or `decode`, can be given: any type that `serde` can make, or raw [`Arguments`].
pub trait FromArguments: Sized {
    /// The arguments as this type.
    ///
    /// # Errors
    /// They are something else.
    fn from_arguments(arguments: Arguments) -> Result<Self, DecodeError>;
}

impl<T: DeserializeOwned> FromArguments for T {
    fn from_arguments(arguments: Arguments) -> Result<Self, DecodeError> {
        arguments.decode()
    }
}

impl FromArguments for Arguments {
    fn from_arguments(arguments: Arguments) -> Result<Self, DecodeError> {
        Ok(arguments)
    }
}

/// What a procedure's handler may answer, and a progressive call may be fed with: any type that `serde` can write, or
/// raw [`Arguments`].
pub trait ToArguments {
    /// The value as arguments, preferably in this serializer.
    ///
    /// # Errors
    /// The value cannot be carried, such as a dictionary whose keys are not text.
    fn to_arguments(&self, serializer: Serializer) -> Result<Arguments, EncodeError>;
}

impl<T: Serialize + ?Sized> ToArguments for T {
    fn to_arguments(&self, serializer: Serializer) -> Result<Arguments, EncodeError> {
        Arguments::encoded(self, serializer)
    }
}

impl ToArguments for &Arguments {
    fn to_arguments(&self, _: Serializer) -> Result<Arguments, EncodeError> {
        (*self).clone().checked()
    }
}

impl ToArguments for Arguments {
    fn to_arguments(&self, _: Serializer) -> Result<Arguments, EncodeError> {
        self.clone().checked()
    }
}

/// Options or details that one peer passed on to another: those beginning with `_` or `x_`, and `ppt_*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Details {
    serializer: Serializer,
    entries: Vec<(Box<str>, Box<[u8]>)>,
}

impl Details {
    pub(crate) fn new(serializer: Serializer) -> Self {
        Self { serializer, entries: Vec::new() }
    }

    pub(crate) fn of(attributes: &Attributes<'_>) -> Self {
        let entries =
            attributes.entries.iter().map(|(key, value)| (Box::from(&**key), Box::from(*value))).collect();
        Self { serializer: attributes.serializer, entries }
    }

    pub(crate) fn insert<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), EncodeError> {
        let mut bytes = Buffer::new();
        bondy_wamp::serde::encode(value, &mut Encoder::new(self.serializer, &mut bytes))?;
        self.entries.retain(|(known, _)| &**known != key);
        self.entries.push((key.into(), bytes.into_boxed_slice()));
        Ok(())
    }

    pub(crate) fn attributes(&self) -> Attributes<'_> {
        let entries = self.entries.iter().map(|(key, value)| ((&**key).into(), &**value)).collect();
        Attributes { serializer: self.serializer, entries }
    }

    /// The keys, in the order in which they came.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| &**key)
    }

    /// The value of a key, if it is there.
    ///
    /// # Errors
    /// The value is not what `T` is made of.
    pub fn value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, DecodeError> {
        let Some((_, bytes)) = self.entries.iter().find(|(known, _)| &**known == key) else {
            return Ok(None);
        };
        bondy_wamp::serde::decode(self.serializer, bytes)
            .map(Some)
            .map_err(|cause| DecodeError::new("a detail", cause))
    }
}

/// Arguments that are being put together. The first mistake is kept until the end.
#[derive(Debug)]
pub(crate) struct ArgumentsBuilder {
    serializer: Serializer,
    /// A whole payload, as long as nothing is added to it.
    whole: Option<Arguments>,
    args: Items,
    kwargs: Items,
    keys: BTreeSet<String>,
    error: Option<EncodeError>,
}

/// Encoded items without the header of their list or dictionary.
#[derive(Debug, Default)]
struct Items {
    bytes: Buffer,
    count: usize,
}

impl Items {
    /// Appends what `write` writes; nothing if that fails.
    fn append(
        &mut self,
        serializer: Serializer,
        write: impl FnOnce(&mut Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let start = self.bytes.len();
        let mut encoder = match self.count {
            0 => Encoder::new(serializer, &mut self.bytes),
            _ => Encoder::tail(serializer, &mut self.bytes),
        };
        let outcome = write(&mut encoder);
        match outcome {
            Ok(()) => self.count += 1,
            Err(_) => self.bytes.truncate(start),
        }
        outcome
    }

    /// The items with what stands around them, or nothing if there are none.
    fn enclosed(&self, serializer: Serializer, is_dict: bool) -> Buffer {
        let mut out = Buffer::with_capacity(self.bytes.len() + 6);
        if self.count > 0 {
            let mut begin = Encoder::new(serializer, &mut out);
            match is_dict {
                true => begin.begin_dict(self.count),
                false => begin.begin_list(self.count),
            }
            out.extend_from_slice(&self.bytes);
            let mut end = Encoder::new(serializer, &mut out);
            match is_dict {
                true => end.end_dict(),
                false => end.end_list(),
            }
        }
        out
    }
}

impl ArgumentsBuilder {
    pub(crate) fn new(serializer: Serializer) -> Self {
        let (args, kwargs) = (Items::default(), Items::default());
        Self { serializer, whole: None, args, kwargs, keys: BTreeSet::new(), error: None }
    }

    /// Adds one positional argument.
    pub(crate) fn arg<T: Serialize + ?Sized>(&mut self, value: &T) {
        self.change(|builder| {
            builder.args.append(builder.serializer, |encoder| Ok(bondy_wamp::serde::encode(value, encoder)?))
        });
    }

    /// Adds one keyword argument.
    pub(crate) fn kwarg<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        self.change(|builder| {
            builder.take_key(key)?;
            builder.kwargs.append(builder.serializer, |encoder| {
                encoder.key(key);
                Ok(bondy_wamp::serde::encode(value, encoder)?)
            })
        });
    }

    /// Adds positional arguments: the elements of a tuple, or one value.
    pub(crate) fn args<T: Serialize + ?Sized>(&mut self, values: &T) {
        self.change(|builder| {
            let arguments = Arguments::encoded(values, builder.serializer)?;
            builder.append(arguments.payload())
        });
    }

    /// Adds keyword arguments: the fields of a struct, or the entries of a map.
    pub(crate) fn kwargs<T: Serialize + ?Sized>(&mut self, values: &T) {
        self.change(|builder| {
            let mut bytes = Buffer::new();
            bondy_wamp::serde::encode(values, &mut Encoder::new(builder.serializer, &mut bytes))?;
            builder.append(Payload { serializer: builder.serializer, args: &[], kwargs: &bytes })
        });
    }

    /// Adds everything of a payload.
    pub(crate) fn payload(&mut self, arguments: Arguments) {
        if self.whole.is_none() && self.args.count + self.kwargs.count == 0 {
            self.whole = Some(arguments);
        } else {
            self.change(|builder| builder.append(arguments.payload()));
        }
    }

    /// What has been put together.
    pub(crate) fn finish(self) -> Result<Arguments, EncodeError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if let Some(whole) = self.whole {
            return whole.checked();
        }
        let args = self.args.enclosed(self.serializer, false);
        let kwargs = self.kwargs.enclosed(self.serializer, true);
        Ok(Arguments::received(Payload { serializer: self.serializer, args: &args, kwargs: &kwargs }))
    }

    fn change(&mut self, add: impl FnOnce(&mut Self) -> Result<(), EncodeError>) {
        if self.error.is_some() {
            return;
        }
        let unpacked = match self.whole.take() {
            Some(whole) => self.append(whole.payload()),
            None => Ok(()),
        };
        self.error = unpacked.and_then(|()| add(self)).err();
    }

    fn take_key(&mut self, key: &str) -> Result<(), EncodeError> {
        if self.keys.insert(key.to_owned()) { Ok(()) } else { Err(EncodeError::SameKey(key.to_owned())) }
    }

    fn append(&mut self, payload: Payload<'_>) -> Result<(), EncodeError> {
        let source = payload.serializer;
        if !payload.args.is_empty() {
            let mut decoder = Decoder::new(source, payload.args)?;
            let mut items = decoder.list()?;
            while decoder.next_item(&mut items)? {
                let item = decoder.skip()?;
                self.args.append(self.serializer, |encoder| Ok(encoder.item(source, item)?))?;
            }
        }
        if !payload.kwargs.is_empty() {
            let mut decoder = Decoder::new(source, payload.kwargs)?;
            let mut entries = decoder.dict()?;
            while let Some(key) = decoder.next_key(&mut entries)? {
                let item = decoder.skip()?;
                self.take_key(&key)?;
                self.kwargs.append(self.serializer, |encoder| {
                    encoder.key(&key);
                    Ok(encoder.item(source, item)?)
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_put_together_in_every_serializer() {
        for serializer in Serializer::ALL {
            let mut builder = ArgumentsBuilder::new(serializer);
            builder.payload(Arguments::of(&(1, "a")).unwrap());
            builder.arg(&true);
            builder.args(&(2, 3));
            builder.kwarg("k", &[1, 2]);
            builder.kwargs(&std::collections::BTreeMap::from([("l", 1)]));
            let arguments = builder.finish().unwrap();
            assert_eq!(arguments.args::<(u8, String, bool, u8, u8)>().unwrap(), (1, "a".into(), true, 2, 3));
            let (_, kwargs) = arguments.to_value().unwrap();
            assert_eq!(kwargs.entry("l"), Some(&Value::Integer(1)), "{serializer}");
            assert_eq!(kwargs.entry("k").and_then(Value::as_list).map(<[Value]>::len), Some(2));
        }
    }

    #[test]
    fn nothing_is_an_empty_payload() {
        let arguments = ArgumentsBuilder::new(Serializer::Json).finish().unwrap();
        assert!(arguments.is_empty());
        assert_eq!(arguments.to_value().unwrap(), (Value::List(vec![]), Value::Dict([].into())));
    }

    #[test]
    fn the_first_mistake_is_kept() {
        let mut builder = ArgumentsBuilder::new(Serializer::Json);
        builder.kwarg("k", &1);
        builder.kwarg("k", &2);
        builder.arg(&3);
        let error = builder.finish().unwrap_err();
        assert_eq!(error.to_string(), "the keyword argument `k` is given twice");
    }

    #[test]
    fn a_payload_made_by_hand_is_looked_at_before_it_is_sent() {
        let made = |args: &'static [u8], kwargs: &'static [u8]| {
            let mut builder = ArgumentsBuilder::new(Serializer::Json);
            builder.payload(Payload { serializer: Serializer::Json, args, kwargs }.into());
            builder.finish()
        };
        assert!(made(b"[1]", b"{\"a\": [2]}").is_ok());
        for (args, kwargs) in
            [(&b"{}"[..], &b""[..]), (b"[1", b""), (b"[1] 2", b""), (b"", b"[]"), (b"", b"{\"a\"}")]
        {
            assert!(made(args, kwargs).is_err(), "{args:?} {kwargs:?}");
        }
    }

    #[test]
    fn kwargs_are_a_dictionary() {
        let mut builder = ArgumentsBuilder::new(Serializer::Cbor);
        builder.kwargs(&7);
        assert!(builder.finish().is_err());
    }
}
