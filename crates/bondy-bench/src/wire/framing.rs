//! Frames: a client's WebSocket frames (RFC 6455, section 5.2), the four-octet prefix of rawsocket that the floor
//! uses too, and the lines of NATS.
//!
//! Outgoing WebSocket frames carry the mask that the RFC asks of clients, with the key zero: the router has to
//! unmask them as it does any, and the load need not touch its payload.

use super::nats;
use std::fmt;

/// How messages become frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One octet of type (0 message, 1 ping, 2 pong), three of length.
    Prefixed,
    /// WebSocket, messages as text.
    WebSocketText,
    /// WebSocket, messages as binary.
    WebSocketBinary,
    /// The lines of NATS. A message is its own frame: its line says what follows.
    Nats,
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A WAMP message, or the floor's bytes.
    Message,
    /// To be answered by a pong with the same payload.
    Ping,
    /// The answer to a ping.
    Pong,
    /// The end of the WebSocket connection.
    Close,
}

/// The server sent a frame that the load cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingError {
    /// The octet that says what the frame is.
    pub octet: u8,
}

impl fmt::Display for FramingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unexpected frame that starts with the octet {:#04x}", self.octet)
    }
}

impl std::error::Error for FramingError {}

/// Where a frame's payload lies, and how long header and payload are together.
pub(super) struct Extent {
    pub(super) kind: FrameKind,
    pub(super) header_length: usize,
    pub(super) payload_length: usize,
}

impl Framing {
    /// Appends the header of a frame whose payload of `length` octets follows.
    ///
    /// A prefixed frame holds at most 2^24 - 1 octets; the command line accepts no larger payload.
    pub fn append_header(self, kind: FrameKind, length: usize, out: &mut Vec<u8>) {
        let octet = match (self, kind) {
            (Framing::Prefixed, FrameKind::Message | FrameKind::Close) => 0,
            (Framing::Prefixed, FrameKind::Ping) => 1,
            (Framing::Prefixed, FrameKind::Pong) => 2,
            (Framing::WebSocketText, FrameKind::Message) => 0x81,
            (Framing::WebSocketBinary, FrameKind::Message) => 0x82,
            (Framing::WebSocketText | Framing::WebSocketBinary, FrameKind::Close) => 0x88,
            (Framing::WebSocketText | Framing::WebSocketBinary, FrameKind::Ping) => 0x89,
            (Framing::WebSocketText | Framing::WebSocketBinary, FrameKind::Pong) => 0x8a,
            (Framing::Nats, FrameKind::Pong) => return out.extend_from_slice(nats::PONG),
            (Framing::Nats, FrameKind::Message | FrameKind::Ping | FrameKind::Close) => return,
        };
        match self {
            Framing::Prefixed => {
                out.extend_from_slice(&((u32::from(octet) << 24) | length as u32).to_be_bytes());
            }
            Framing::WebSocketText | Framing::WebSocketBinary => append_websocket_header(octet, length, out),
            Framing::Nats => {}
        }
    }

    fn extent(self, bytes: &[u8]) -> Result<Option<Extent>, FramingError> {
        match self {
            Framing::Prefixed => prefixed_extent(bytes),
            Framing::WebSocketText | Framing::WebSocketBinary => websocket_extent(bytes),
            Framing::Nats => nats::extent(bytes),
        }
    }
}

fn append_websocket_header(octet: u8, length: usize, out: &mut Vec<u8>) {
    const MASKED: u8 = 0x80;
    out.push(octet);
    match length {
        0..=125 => out.push(MASKED | length as u8),
        126..=0xffff => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
}

fn prefixed_extent(bytes: &[u8]) -> Result<Option<Extent>, FramingError> {
    let &[octet, high, middle, low, ..] = bytes else { return Ok(None) };
    let kind = match octet {
        0 => FrameKind::Message,
        1 => FrameKind::Ping,
        2 => FrameKind::Pong,
        _ => return Err(FramingError { octet }),
    };
    let payload_length = u32::from_be_bytes([0, high, middle, low]) as usize;
    Ok(Some(Extent { kind, header_length: 4, payload_length }))
}

fn websocket_extent(bytes: &[u8]) -> Result<Option<Extent>, FramingError> {
    let &[octet, short_length, ..] = bytes else { return Ok(None) };
    let kind = match octet {
        0x81 | 0x82 => FrameKind::Message,
        0x88 => FrameKind::Close,
        0x89 => FrameKind::Ping,
        0x8a => FrameKind::Pong,
        _ => return Err(FramingError { octet }),
    };
    let (header_length, payload_length) = match (short_length, &bytes[2..]) {
        (0..=125, _) => (2, usize::from(short_length)),
        (126, &[high, low, ..]) => (4, usize::from(u16::from_be_bytes([high, low]))),
        (127, &[a, b, c, d, e, f, g, h, ..]) => (
            10,
            u64::from_be_bytes([a, b, c, d, e, f, g, h]).try_into().map_err(|_| FramingError { octet })?,
        ),
        (126 | 127, _) => return Ok(None),
        (128.., _) => return Err(FramingError { octet: short_length }),
    };
    Ok(Some(Extent { kind, header_length, payload_length }))
}

/// Bytes received and not yet read as frames.
///
/// Invariant: `start <= end <= bytes.len()`; what is unread lies in `start..end`.
#[derive(Debug)]
pub struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// How many octets the frame at `start` needs, when it is known not to be complete.
    wanted: usize,
}

/// The largest frame that the load accepts, so that a wrong length cannot make it take all memory.
const FRAME_BYTES_MAX: usize = 64 << 20;

impl Inbox {
    /// An inbox that reads up to `capacity_bytes` at once and grows for larger frames.
    pub fn new(capacity_bytes: usize) -> Inbox {
        Inbox { bytes: vec![0; capacity_bytes.max(16)], start: 0, end: 0, wanted: 0 }
    }

    /// Room for the next read, never empty: unread bytes move to the front when too little is left behind them.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start + self.wanted > self.bytes.len() || self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let needed = self.wanted.max(self.end + 1);
        if needed > self.bytes.len() {
            self.bytes.resize(needed, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Notes that a read put `length` octets into [`Inbox::space`].
    pub fn filled(&mut self, length: usize) {
        self.end = (self.end + length).min(self.bytes.len());
    }

    /// Takes the unread bytes up to and including `mark`; `None` if it has not arrived.
    pub fn take_through(&mut self, mark: &[u8]) -> Option<&[u8]> {
        let unread = &self.bytes[self.start..self.end];
        let length = unread.windows(mark.len()).position(|window| window == mark)? + mark.len();
        let taken = self.start..self.start + length;
        self.start = taken.end;
        Some(&self.bytes[taken])
    }

    /// Takes exactly `length` unread octets; `None` if they have not arrived.
    pub fn take(&mut self, length: usize) -> Option<&[u8]> {
        if self.end - self.start < length {
            return None;
        }
        let taken = self.start..self.start + length;
        self.start = taken.end;
        Some(&self.bytes[taken])
    }

    /// The next complete frame; `None` if more must be read first.
    pub fn next_frame(&mut self, framing: Framing) -> Result<Option<(FrameKind, &[u8])>, FramingError> {
        let unread = &self.bytes[self.start..self.end];
        let Some(extent) = framing.extent(unread)? else {
            self.wanted = 0;
            return Ok(None);
        };
        if extent.payload_length > FRAME_BYTES_MAX {
            return Err(FramingError { octet: unread[0] });
        }
        let length = extent.header_length + extent.payload_length;
        if unread.len() < length {
            self.wanted = length;
            return Ok(None);
        }
        self.wanted = 0;
        let payload = self.start + extent.header_length..self.start + length;
        self.start = payload.end;
        Ok(Some((extent.kind, &self.bytes[payload])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's frame: as the client's, without the mask.
    fn server_frame(framing: Framing, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        framing.append_header(FrameKind::Message, payload.len(), &mut frame);
        if framing != Framing::Prefixed {
            frame.truncate(frame.len() - 4);
            frame[1] &= 0x7f;
        }
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn frames_of_every_length_survive_reads_of_any_size() {
        for framing in [Framing::Prefixed, Framing::WebSocketText, Framing::WebSocketBinary] {
            let payloads: Vec<Vec<u8>> =
                [0, 1, 125, 126, 300, 65_535, 65_536, 100_000].map(|length| vec![7; length]).into();
            let stream: Vec<u8> =
                payloads.iter().flat_map(|payload| server_frame(framing, payload)).collect();
            for read_bytes in [1, 3, 4_096, 1 << 20] {
                assert_eq!(received(framing, &stream, read_bytes), payloads);
            }
        }
    }

    fn received(framing: Framing, stream: &[u8], read_bytes: usize) -> Vec<Vec<u8>> {
        let mut inbox = Inbox::new(64);
        let mut frames = Vec::new();
        let mut rest = stream;
        while !rest.is_empty() {
            let space = inbox.space();
            let length = space.len().min(rest.len()).min(read_bytes);
            space[..length].copy_from_slice(&rest[..length]);
            inbox.filled(length);
            rest = &rest[length..];
            while let Some((kind, payload)) = inbox.next_frame(framing).expect("a frame") {
                assert_eq!(kind, FrameKind::Message);
                frames.push(payload.to_vec());
            }
        }
        frames
    }

    #[test]
    fn masked_or_fragmented_server_frames_are_refused() {
        for bytes in [&[0x81, 0x80, 0, 0, 0, 0][..], &[0x01, 0x00], &[0xc1, 0x00]] {
            let mut inbox = Inbox::new(64);
            inbox.space()[..bytes.len()].copy_from_slice(bytes);
            inbox.filled(bytes.len());
            assert!(inbox.next_frame(Framing::WebSocketText).is_err());
        }
    }
}
