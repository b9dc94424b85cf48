//! The three serializers: JSON, MessagePack and CBOR.
//!
//! For each of them: an [`Encoder`] that appends to a buffer, a [`Decoder`] that pulls typed values out of borrowed
//! bytes, a validating skip that finds the end of a value without decoding it (exact UTF-8, nesting of at most
//! [`DEPTH_MAX`], declared lengths checked against the bytes that are there, no recursion), and streaming
//! transcoding between any two ([`transcode()`]).
//!
//! What it does not do: know what a message is. [`crate::message`] does.
//!
//! Specification: Basic Profile, "Serializers" and "Binary conversion of JSON Strings"; RFC 8259 (JSON), the
//! MessagePack specification, RFC 8949 (CBOR). `docs/wire-transcoding.md` lists what becomes what.

mod cbor;
mod decoder;
mod encoder;
mod envelope;
mod error;
mod json;
mod msgpack;
mod shortcut;
mod text;
mod transcode;

pub(crate) use decoder::Token;
pub use decoder::{Decoder, Items, Kind, decode_value};
pub use encoder::Encoder;
pub(crate) use envelope::{Envelope, envelope};
pub use error::{ParseError, ParseErrorKind, TranscodeError};
pub use transcode::transcode;

/// How messages are written as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Serializer {
    /// JSON text.
    Json,
    /// MessagePack.
    MessagePack,
    /// CBOR.
    Cbor,
}

/// The deepest nesting of lists and dictionaries inside `args`, `kwargs`, options and details.
///
/// The list of the message and the container that is `args`, `kwargs`, options or details do not count.
pub const DEPTH_MAX: usize = 64;

/// The containers that may be open at once in a message: its list, `args` (say), and [`DEPTH_MAX`] inside that.
const LEVELS_MAX: usize = DEPTH_MAX + 2;

impl Serializer {
    /// Every serializer, in the order of [`Serializer::index`].
    pub const ALL: [Serializer; 3] = [Serializer::Json, Serializer::MessagePack, Serializer::Cbor];

    /// The name in URLs, options and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Serializer::Json => "json",
            Serializer::MessagePack => "msgpack",
            Serializer::Cbor => "cbor",
        }
    }

    /// Are messages text (WebSocket text frames) rather than binary?
    pub const fn is_text(self) -> bool {
        matches!(self, Serializer::Json)
    }

    /// The position in [`Serializer::ALL`], for tables with one entry for each serializer.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The number in a rawsocket handshake (Advanced Profile, "RawSocket Transport").
    pub const fn rawsocket_id(self) -> u8 {
        match self {
            Serializer::Json => 1,
            Serializer::MessagePack => 2,
            Serializer::Cbor => 3,
        }
    }

    /// The serializer of this number in a rawsocket handshake.
    pub const fn from_rawsocket_id(id: u8) -> Option<Self> {
        match id {
            1 => Some(Serializer::Json),
            2 => Some(Serializer::MessagePack),
            3 => Some(Serializer::Cbor),
            _ => None,
        }
    }

    /// The WebSocket subprotocol (Basic Profile, "WebSocket Transport"), plain or batched.
    pub const fn subprotocol(self, batched: bool) -> &'static str {
        match (self, batched) {
            (Serializer::Json, false) => "wamp.2.json",
            (Serializer::Json, true) => "wamp.2.json.batched",
            (Serializer::MessagePack, false) => "wamp.2.msgpack",
            (Serializer::MessagePack, true) => "wamp.2.msgpack.batched",
            (Serializer::Cbor, false) => "wamp.2.cbor",
            (Serializer::Cbor, true) => "wamp.2.cbor.batched",
        }
    }

    /// The serializer of this WebSocket subprotocol, and whether messages are batched.
    pub fn from_subprotocol(name: &str) -> Option<(Self, bool)> {
        Self::ALL
            .into_iter()
            .flat_map(|serializer| [(serializer, false), (serializer, true)])
            .find(|(serializer, batched)| serializer.subprotocol(*batched) == name)
    }
}

impl std::fmt::Display for Serializer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}
