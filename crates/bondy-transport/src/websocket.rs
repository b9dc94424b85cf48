//! The WebSocket protocol (RFC 6455) with permessage-deflate (RFC 7692), for both ends of a connection.
//!
//! Everything except `upgrade` is pure: bytes in, events out, no sockets and no clock. The pieces:
//!
//! * [`handshake`] judges an HTTP upgrade request; `upgrade` runs it over a stream (feature `server`);
//! * [`decoder`] turns received bytes into messages and control frames;
//! * [`frame`] reads and writes one frame header, [`close`] one close frame;
//! * [`deflate`] compresses and inflates one message.
//!
//! The invariant: a message that arrives as one whole, uncompressed frame is handed out as a slice of the reader's
//! own buffer, with no copy and no allocation, and a connection at rest owns no buffer at all.
//!
//! This layer does not know WAMP, does not send anything by itself (answering a ping or a close is the caller's
//! act), and keeps no timers.

pub mod close;
pub mod decoder;
pub mod deflate;
mod error;
pub mod frame;
pub mod handshake;
#[cfg(feature = "server")]
pub mod upgrade;

pub use error::ProtocolError;

/// Which end of the connection we are. Clients mask what they send, servers do not (RFC 6455, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// We accepted the connection: received frames must be masked.
    Server,
    /// We opened the connection: received frames must not be masked.
    Client,
}
