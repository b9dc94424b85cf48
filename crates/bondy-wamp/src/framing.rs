//! How one message becomes a frame on a byte stream, in the direction from the router to a client.
//!
//! A frame is a short header, the message, and for one batched form a trailer. Server-to-client WebSocket frames
//! are not masked, so the message's bytes are the same for every receiver and only the header differs: what is
//! encoded once can be framed for each receiver at the moment it is appended.
//!
//! Specification: Advanced Profile, "RawSocket Transport"; Basic Profile, "WebSocket Transport"; Advanced Profile,
//! "Batched WebSocket Transport"; RFC 6455, section 5.2. Reading frames is the transport's.

use crate::buffer::Buffer;

/// The largest message that a rawsocket frame can carry: exactly 2^24 bytes, by the `X` bit.
pub const RAWSOCKET_BYTES_MAX: usize = 1 << 24;

/// The longest frame header: ten bytes of WebSocket and four of a batched message.
pub const HEADER_BYTES_MAX: usize = 14;

/// The form of the frames that a session receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Framing {
    /// A rawsocket frame, over TCP, a Unix socket or memory.
    RawSocket,
    /// A WebSocket text frame (JSON).
    WebSocketText,
    /// A WebSocket binary frame (MessagePack, CBOR).
    WebSocketBinary,
    /// A WebSocket text frame with one message and the octet 0x1E behind it.
    WebSocketTextBatched,
    /// A WebSocket binary frame with one message and its length as four octets before it.
    WebSocketBinaryBatched,
}

/// A frame header on the stack.
#[derive(Clone, Copy, Debug)]
pub struct FrameHeader {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl FrameHeader {
    /// The bytes that stand before the message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Appends these bytes, as [`Head`](crate::message::Head) does.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Buffer) {
        let end = out.len() + usize::from(self.len);
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }
}

impl Framing {
    /// The header of a frame around a message of `message_bytes`; `deflated` says that the message was compressed.
    ///
    /// A rawsocket message must not be larger than [`RAWSOCKET_BYTES_MAX`]; the outbox refuses it before.
    #[inline]
    pub fn header(self, message_bytes: usize, deflated: bool) -> FrameHeader {
        let mut header = FrameHeader { bytes: [0; HEADER_BYTES_MAX], len: 0 };
        match self {
            Framing::RawSocket => header.push(&rawsocket_header(message_bytes)),
            Framing::WebSocketText => push_websocket(&mut header, 0x81, message_bytes, deflated),
            Framing::WebSocketBinary => push_websocket(&mut header, 0x82, message_bytes, deflated),
            Framing::WebSocketTextBatched => push_websocket(&mut header, 0x81, message_bytes + 1, deflated),
            Framing::WebSocketBinaryBatched => {
                push_websocket(&mut header, 0x82, message_bytes + 4, deflated);
                header.push(&(message_bytes as u32).to_be_bytes());
            }
        }
        header
    }

    /// The bytes that stand behind the message.
    #[inline]
    pub const fn trailer(self) -> &'static [u8] {
        match self {
            Framing::WebSocketTextBatched => &[0x1e],
            Framing::RawSocket
            | Framing::WebSocketText
            | Framing::WebSocketBinary
            | Framing::WebSocketBinaryBatched => &[],
        }
    }
}

/// Four octets: type WAMP (0), the `X` bit for exactly 2^24, and the length.
fn rawsocket_header(message_bytes: usize) -> [u8; 4] {
    if message_bytes == RAWSOCKET_BYTES_MAX {
        return [0x08, 0, 0, 0];
    }
    (message_bytes as u32 & 0x00ff_ffff).to_be_bytes()
}

fn push_websocket(header: &mut FrameHeader, first: u8, payload_bytes: usize, deflated: bool) {
    let first = if deflated { first | 0x40 } else { first };
    match payload_bytes {
        0..126 => header.push(&[first, payload_bytes as u8]),
        126..0x1_0000 => {
            header.push(&[first, 126]);
            header.push(&(payload_bytes as u16).to_be_bytes());
        }
        _ => {
            header.push(&[first, 127]);
            header.push(&(payload_bytes as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rawsocket_headers_carry_24_bits_and_the_x_bit_for_exactly_16_mib() {
        assert_eq!(Framing::RawSocket.header(5, false).as_bytes(), [0, 0, 0, 5]);
        assert_eq!(Framing::RawSocket.header(0xff_ffff, false).as_bytes(), [0, 0xff, 0xff, 0xff]);
        assert_eq!(Framing::RawSocket.header(1 << 24, false).as_bytes(), [8, 0, 0, 0]);
    }

    #[test]
    fn websocket_headers_use_the_shortest_length_form() {
        assert_eq!(Framing::WebSocketText.header(125, false).as_bytes(), [0x81, 125]);
        assert_eq!(Framing::WebSocketBinary.header(126, false).as_bytes(), [0x82, 126, 0, 126]);
        assert_eq!(Framing::WebSocketText.header(65535, true).as_bytes(), [0xc1, 126, 0xff, 0xff]);
        let long = Framing::WebSocketBinary.header(65536, false);
        assert_eq!(long.as_bytes(), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn batched_frames_delimit_or_count_their_message() {
        assert_eq!(Framing::WebSocketTextBatched.header(10, false).as_bytes(), [0x81, 11]);
        assert_eq!(Framing::WebSocketTextBatched.trailer(), [0x1e]);
        assert_eq!(Framing::WebSocketBinaryBatched.header(10, false).as_bytes(), [0x82, 14, 0, 0, 0, 10]);
    }
}
