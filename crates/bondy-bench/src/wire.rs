//! The load's own side of the wire: just enough WAMP to drive a router hard.
//!
//! A benchmark needs a client that is cheaper than what it measures and that does the same work against the floor
//! and against a router, so this is written by hand: messages are constant bytes around one request id
//! ([`Template`]), frames are split in place ([`Inbox`]), and a socket is a plain blocking one ([`Connection`]).
//!
//! What it does not do: validate what the router sends beyond the message type and the request id, follow
//! fragmented WebSocket messages, or authenticate. It is no client library.

mod connection;
mod encoding;
mod framing;
mod stream;
mod template;

pub use connection::{Connection, Exchange, FloorRole, Target, printable};
pub use encoding::{Header, Serializer};
pub use framing::{FrameKind, Framing, FramingError, Inbox};
pub use stream::Stream;
pub use template::{Payload, Shape, Template};

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
}

impl Wire {
    /// The framing of this wire.
    pub fn framing(self) -> Framing {
        match self {
            Wire::Blind | Wire::RawSocket(_) => Framing::Prefixed,
            Wire::WebSocket(Serializer::Json) => Framing::WebSocketText,
            Wire::WebSocket(Serializer::MsgPack | Serializer::Cbor) => Framing::WebSocketBinary,
        }
    }

    /// The serializer of this wire; `None` for the floor.
    pub fn serializer(self) -> Option<Serializer> {
        match self {
            Wire::Blind => None,
            Wire::RawSocket(serializer) | Wire::WebSocket(serializer) => Some(serializer),
        }
    }

    /// The type and request id of a received message; `None` if it has none, as on the floor.
    pub fn header(self, message: &[u8]) -> Option<Header> {
        self.serializer()?.header(message)
    }
}

/// Message type codes (the WAMP specification, "Message Codes") that the load sends or waits for.
pub mod code {
    /// HELLO
    pub const HELLO: u64 = 1;
    /// WELCOME
    pub const WELCOME: u64 = 2;
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
}
