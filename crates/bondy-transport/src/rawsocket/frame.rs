//! Frames: `RRRRXTTT`, a 24-bit length, the payload.

use super::MaxLength;
use std::ops::Range;

/// The length of a frame's header.
pub const FRAME_HEADER_BYTES: usize = 4;

/// The `X` bit: with a length field of zero, the frame carries exactly 2^24 bytes.
const EXTENDED: u8 = 0x08;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// 0: one WAMP message.
    Message,
    /// 1: a payload that the other side must send back as a PONG.
    Ping,
    /// 2: the payload of a PING.
    Pong,
}

impl FrameKind {
    const fn octet(self) -> u8 {
        match self {
            FrameKind::Message => 0,
            FrameKind::Ping => 1,
            FrameKind::Pong => 2,
        }
    }
}

/// What stands at the start of the received bytes. A frame takes the bytes up to its range's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A WAMP message; never empty.
    Message(Range<usize>),
    /// A PING: send the same payload back as a PONG.
    Ping(Range<usize>),
    /// A PONG.
    Pong(Range<usize>),
    /// The frame is not complete: ask again with at least this many bytes in total, counted from its start.
    NeedMore(usize),
}

/// A violation of the framing; the connection must be failed (reference, D25).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// One of the four reserved bits is set.
    #[error("rawsocket frame starts with {0:#04x}: reserved bits must be zero")]
    ReservedBits(u8),
    /// The type is not 0, 1 or 2.
    #[error("rawsocket frame type {0} is not defined")]
    UnknownType(u8),
    /// A WAMP message of zero bytes.
    #[error("rawsocket frame carries an empty message")]
    EmptyMessage,
    /// The `X` bit stands for exactly 2^24 bytes, so the length field must be zero.
    #[error("rawsocket frame has the X bit and a length of {0} bytes: only zero is defined")]
    ExtendedLength(usize),
    /// Longer than what this side announced.
    #[error(
        "rawsocket frame of {length_bytes} bytes is over the announced maximum of {length_bytes_max} bytes"
    )]
    TooLong {
        /// What the header says.
        length_bytes: usize,
        /// What this side announced.
        length_bytes_max: usize,
    },
}

/// Splits received bytes into frames.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    receive_max: MaxLength,
}

impl Decoder {
    /// A decoder for what this side announced in the handshake.
    pub const fn new(receive_max: MaxLength) -> Decoder {
        Decoder { receive_max }
    }

    /// The frame at the start of `received`. A violation is reported as soon as its bytes are there, before the
    /// payload is waited for.
    pub fn next(&self, received: &[u8]) -> Result<Event, FrameError> {
        let Some(first) = received.first().copied() else { return Ok(Event::NeedMore(FRAME_HEADER_BYTES)) };
        let kind = kind_of(first)?;
        let Some(header) = received.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(Event::NeedMore(FRAME_HEADER_BYTES));
        };
        let end = FRAME_HEADER_BYTES + self.length_of(kind, *header)?;
        if received.len() < end {
            return Ok(Event::NeedMore(end));
        }
        let payload = FRAME_HEADER_BYTES..end;
        Ok(match kind {
            FrameKind::Message => Event::Message(payload),
            FrameKind::Ping => Event::Ping(payload),
            FrameKind::Pong => Event::Pong(payload),
        })
    }

    fn length_of(&self, kind: FrameKind, header: [u8; FRAME_HEADER_BYTES]) -> Result<usize, FrameError> {
        let [first, high, middle, low] = header;
        let field = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let length_bytes = match (first & EXTENDED != 0, field) {
            (false, length) => length,
            (true, 0) => 1 << 24,
            (true, length) => return Err(FrameError::ExtendedLength(length)),
        };
        let length_bytes_max = self.receive_max.bytes_max();
        if length_bytes > length_bytes_max {
            return Err(FrameError::TooLong { length_bytes, length_bytes_max });
        }
        if length_bytes == 0 && kind == FrameKind::Message {
            return Err(FrameError::EmptyMessage);
        }
        Ok(length_bytes)
    }
}

fn kind_of(first: u8) -> Result<FrameKind, FrameError> {
    if first & 0xf0 != 0 {
        return Err(FrameError::ReservedBits(first));
    }
    match first & 0x07 {
        0 => Ok(FrameKind::Message),
        1 => Ok(FrameKind::Ping),
        2 => Ok(FrameKind::Pong),
        other => Err(FrameError::UnknownType(other)),
    }
}

/// The header of a frame with `length_bytes` of payload; `None` above 2^24, which no frame can carry. The other
/// side's announced maximum is the caller's to respect.
pub const fn frame_header(kind: FrameKind, length_bytes: usize) -> Option<[u8; FRAME_HEADER_BYTES]> {
    match length_bytes {
        0..0x100_0000 => {
            let [_, high, middle, low] = (length_bytes as u32).to_be_bytes();
            Some([kind.octet(), high, middle, low])
        }
        0x100_0000 => Some([EXTENDED | kind.octet(), 0, 0, 0]),
        _ => None,
    }
}

/// Appends a whole frame to `out`; `false`, with `out` untouched, above 2^24 bytes.
pub fn append_frame(out: &mut Vec<u8>, kind: FrameKind, payload: &[u8]) -> bool {
    let Some(header) = frame_header(kind, payload.len()) else { return false };
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
    true
}
