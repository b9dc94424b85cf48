//! The rawsocket transport as bytes: handshake and frames, for both ends, without I/O.
//!
//! Specification: Advanced Profile, "RawSocket Transport". Four octets are exchanged, `7F LLLLSSSS 00 00`; each side
//! states the longest message that it will *receive*. Then frames follow: four octets `RRRRXTTT` and a 24-bit
//! length, then the payload.
//!
//! What it does not do: read, write, keep time or hold a buffer. The [`Decoder`] looks at bytes that the caller
//! owns and answers with ranges in them, so a message is never copied here. Writing messages is
//! [`bondy_wamp::framing`]'s; [`append_frame`] is for control frames and tests.
//!
//! Invariant: every violation is an error that ends the connection; none is repaired.

mod frame;
mod handshake;

pub use frame::{Decoder, Event, FRAME_HEADER_BYTES, FrameError, FrameKind, append_frame, frame_header};
pub use handshake::{
    ClientHandshake, HANDSHAKE_BYTES, HandshakeError, MAGIC, Negotiated, Refusal, RefusalCode,
    ServerHandshake,
};

/// The longest message that one side is willing to receive: a power of two from 512 B to 16 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaxLength(u8);

impl MaxLength {
    /// 512 B.
    pub const SMALLEST: MaxLength = MaxLength(0);
    /// 16 MiB, which is also what the router announces by default. There is no extension above it.
    pub const LARGEST: MaxLength = MaxLength(15);

    /// The largest announcement that does not promise more than `bytes_max`; at least 512 B, at most 16 MiB.
    pub fn announcing(bytes_max: usize) -> MaxLength {
        let bits = bytes_max.max(1).ilog2();
        MaxLength(bits.saturating_sub(9).min(15) as u8)
    }

    /// From the four bits on the wire.
    const fn from_nibble(nibble: u8) -> MaxLength {
        MaxLength(nibble & 0x0f)
    }

    const fn nibble(self) -> u8 {
        self.0
    }

    /// 2^(9 + L) bytes.
    pub const fn bytes_max(self) -> usize {
        1 << (9 + self.0)
    }
}
