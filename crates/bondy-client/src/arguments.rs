//! `args` and `kwargs`: raw, as typed values, and as they are put together for a message.
//!
//! A payload is encoded once, in the serializer of the session at that time. Should another session have another
//! serializer by the time it is sent, it is re-encoded without being decoded.

mod builder;

use bondy_wamp::buffer::Buffer;
use bondy_wamp::message::Attributes;
use bondy_wamp::payload::{Payload, StoredPayload};
use bondy_wamp::serializer::{Decoder, Encoder, Serializer};
use bondy_wamp::value::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use builder::ArgumentsBuilder;

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
