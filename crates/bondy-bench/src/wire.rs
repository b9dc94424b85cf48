//! The load's own side of the wire: just enough WAMP to drive a router hard.
//!
//! A benchmark needs a client that is cheaper than what it measures and that does the same work against the floor
//! and against a router, so this is written by hand: messages are constant bytes around one request id
//! ([`Template`]), frames are split in place ([`Inbox`]), and a socket is a plain blocking one ([`Connection`]).
//! The protocol of NATS is spoken in the same way, so that its figures come from the same load.
//!
//! What it does not do: validate what the router sends beyond the message type and the request id, or follow
//! fragmented WebSocket messages. It is no client library.

mod connection;
mod credentials;
mod encoding;
mod framing;
mod handshake;
mod nats;
mod readiness;
mod stream;
mod template;

pub use connection::{ANSWER_TIMEOUT, Connection, Exchange, FloorRole, Target};
pub(crate) use connection::{lost, unexpected};
pub use credentials::{AuthMethod, Credentials};
pub use encoding::{Header, Serializer};
pub use framing::{FrameKind, Framing, FramingError, Inbox};
pub use readiness::AsyncStream;
pub use stream::Stream;
pub use template::{Payload, STAMP_BYTES, Shape, Template};

use crate::endpoint::Transport;
use serde::{Deserialize, Serialize};

/// How bytes between the load and the server are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wire {
    /// The floor: four octets of length, then bytes that nobody looks at.
    Blind,
    /// WAMP over rawsocket (the WAMP specification, "RawSocket transport").
    RawSocket(Serializer),
    /// WAMP over WebSocket (RFC 6455).
    WebSocket(Serializer),
    /// NATS.
    Nats,
}

impl Wire {
    /// What this wire needs an endpoint to speak. The floor is as plain as rawsocket.
    pub fn transport(self) -> Transport {
        match self {
            Wire::Blind | Wire::RawSocket(_) => Transport::RawSocket,
            Wire::WebSocket(_) => Transport::WebSocket,
            Wire::Nats => Transport::Nats,
        }
    }

    /// The framing of this wire.
    pub fn framing(self) -> Framing {
        match self {
            Wire::Blind | Wire::RawSocket(_) => Framing::Prefixed,
            Wire::WebSocket(Serializer::Json) => Framing::WebSocketText,
            Wire::WebSocket(Serializer::MsgPack | Serializer::Cbor) => Framing::WebSocketBinary,
            Wire::Nats => Framing::Nats,
        }
    }

    /// The serializer of this wire; `None` for the floor and for NATS.
    pub fn serializer(self) -> Option<Serializer> {
        match self {
            Wire::Blind | Wire::Nats => None,
            Wire::RawSocket(serializer) | Wire::WebSocket(serializer) => Some(serializer),
        }
    }

    /// The type and request id of a received message; `None` if it has none, as on the floor.
    pub fn header(self, message: &[u8]) -> Option<Header> {
        match self {
            Wire::Nats => nats::header(message),
            Wire::Blind | Wire::RawSocket(_) | Wire::WebSocket(_) => self.serializer()?.header(message),
        }
    }
}

/// How much of a message an error repeats.
const PRINTED_CHARACTERS: usize = 400;

/// A message as text, for error messages: as JSON where it can be read, else its octets.
pub(crate) fn printable(wire: Wire, message: &[u8]) -> String {
    let value = wire.serializer().and_then(|serializer| serializer.decode(message));
    let text = match value.map(|value| value.to_bytes(bondy_wamp::serializer::Serializer::Json)) {
        Some(value) => String::from_utf8_lossy(&value).into_owned(),
        None => message.escape_ascii().to_string(),
    };
    shortened(&text)
}

/// Text of a server on one line, and not too much of it.
pub(crate) fn shortened(text: &str) -> String {
    let text: String =
        text.chars().map(|one| if one.is_control() { char::REPLACEMENT_CHARACTER } else { one }).collect();
    match text.char_indices().nth(PRINTED_CHARACTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Message type codes (the WAMP specification, "Message Codes") that the load sends or waits for.
pub mod code {
    /// HELLO
    pub const HELLO: u64 = 1;
    /// WELCOME
    pub const WELCOME: u64 = 2;
    /// ABORT
    pub const ABORT: u64 = 3;
    /// CHALLENGE
    pub const CHALLENGE: u64 = 4;
    /// AUTHENTICATE
    pub const AUTHENTICATE: u64 = 5;
    /// GOODBYE
    pub const GOODBYE: u64 = 6;
    /// ERROR
    pub const ERROR: u64 = 8;
    /// PUBLISH
    pub const PUBLISH: u64 = 16;
    /// SUBSCRIBE
    pub const SUBSCRIBE: u64 = 32;
    /// SUBSCRIBED
    pub const SUBSCRIBED: u64 = 33;
    /// EVENT
    pub const EVENT: u64 = 36;
    /// CALL
    pub const CALL: u64 = 48;
    /// RESULT
    pub const RESULT: u64 = 50;
    /// REGISTER
    pub const REGISTER: u64 = 64;
    /// REGISTERED
    pub const REGISTERED: u64 = 65;
    /// INVOCATION
    pub const INVOCATION: u64 = 68;
    /// YIELD
    pub const YIELD: u64 = 70;
    /// The answer of NATS to `PING`, which no code of WAMP stands for.
    pub const PONG: u64 = 1_000;

    /// The name of a code.
    pub fn name(code: u64) -> &'static str {
        match code {
            HELLO => "HELLO",
            WELCOME => "WELCOME",
            ABORT => "ABORT",
            CHALLENGE => "CHALLENGE",
            AUTHENTICATE => "AUTHENTICATE",
            GOODBYE => "GOODBYE",
            ERROR => "ERROR",
            PUBLISH => "PUBLISH",
            SUBSCRIBE => "SUBSCRIBE",
            SUBSCRIBED => "SUBSCRIBED",
            EVENT => "EVENT",
            CALL => "CALL",
            RESULT => "RESULT",
            REGISTER => "REGISTER",
            REGISTERED => "REGISTERED",
            INVOCATION => "INVOCATION",
            YIELD => "YIELD",
            PONG => "PONG",
            _ => "a message of another type",
        }
    }
}
