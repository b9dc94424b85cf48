//! One frame: its header, both ways, and the masking of its payload (RFC 6455, sections 5.2 and 5.3).
//!
//! Checks here need nothing but the header itself; rules about the order of frames are the
//! [decoder](super::decoder)'s. The header is strict: anything that RFC 6455 forbids is an error, never repaired.

use super::{ProtocolError, Role};

/// The longest payload of a control frame, in bytes (RFC 6455, 5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// The longest frame header, in bytes: two, a 64-bit length and a masking key.
pub const HEADER_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV: u8 = 0x70;
const MASK: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a frame is (RFC 6455, section 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Continues a fragmented message.
    Continuation,
    /// Begins a text message.
    Text,
    /// Begins a binary message.
    Binary,
    /// Asks to close, or answers that.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping, or is sent unasked.
    Pong,
}

impl Opcode {
    fn parse(code: u8) -> Result<Self, ProtocolError> {
        match code {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xA => Ok(Self::Pong),
            reserved => Err(ProtocolError::ReservedOpcode(reserved)),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// Close, ping and pong, which may come between the fragments of a message.
    pub fn is_control(self) -> bool {
        match self {
            Self::Close | Self::Ping | Self::Pong => true,
            Self::Continuation | Self::Text | Self::Binary => false,
        }
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// RSV1: whether the message that begins here is compressed (RFC 7692, section 6).
    pub compressed: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// The masking key; present in exactly those frames that a client sends.
    pub mask: Option<[u8; 4]>,
    /// The length of the payload that follows, in bytes.
    pub payload_bytes: u64,
}

impl FrameHeader {
    /// The header of a whole, unmasked message or control frame, as a server sends it.
    pub fn whole(opcode: Opcode, payload_bytes: usize) -> Self {
        Self { fin: true, compressed: false, opcode, mask: None, payload_bytes: payload_bytes as u64 }
    }

    /// Reads a header that `role` received. Gives the header and its length in bytes, or `None` if `bytes` ends
    /// inside it. `deflate` tells whether permessage-deflate was negotiated, without which RSV1 is an error.
    #[inline]
    pub fn parse(bytes: &[u8], role: Role, deflate: bool) -> Result<Option<(Self, usize)>, ProtocolError> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let opcode = Opcode::parse(first & 0x0F)?;
        let fin = first & FIN != 0;
        let compressed = first & RSV1 != 0;
        let may_compress = deflate && matches!(opcode, Opcode::Text | Opcode::Binary);
        if first & RSV & !RSV1 != 0 || (compressed && !may_compress) {
            return Err(ProtocolError::ReservedBits((first & RSV) >> 4));
        }
        match (role, second & MASK != 0) {
            (Role::Server, true) | (Role::Client, false) => {}
            (Role::Server, false) => return Err(ProtocolError::Unmasked),
            (Role::Client, true) => return Err(ProtocolError::Masked),
        }
        let short = second & !MASK;
        if opcode.is_control() {
            if !fin {
                return Err(ProtocolError::FragmentedControl);
            }
            if usize::from(short) > CONTROL_PAYLOAD_BYTES_MAX {
                return Err(ProtocolError::LongControl);
            }
        }
        let Some((payload_bytes, rest)) = parse_length(short, rest)? else { return Ok(None) };
        let (mask, rest) = match role {
            Role::Client => (None, rest),
            Role::Server => match rest.split_first_chunk() {
                Some((key, rest)) => (Some(*key), rest),
                None => return Ok(None),
            },
        };
        let header = Self { fin, compressed, opcode, mask, payload_bytes };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// Writes the header, with the length in its shortest form.
    #[inline]
    pub fn encode(&self) -> EncodedHeader {
        let fin = if self.fin { FIN } else { 0 };
        let rsv1 = if self.compressed { RSV1 } else { 0 };
        let mask_bit = if self.mask.is_some() { MASK } else { 0 };
        let mut header = EncodedHeader { bytes: [0; HEADER_BYTES_MAX], len: 0 };
        header.push([fin | rsv1 | self.opcode.code()]);
        if self.payload_bytes < u64::from(LENGTH_16) {
            header.push([mask_bit | self.payload_bytes as u8]);
        } else if let Ok(length) = u16::try_from(self.payload_bytes) {
            header.push([mask_bit | LENGTH_16]);
            header.push(length.to_be_bytes());
        } else {
            header.push([mask_bit | LENGTH_64]);
            header.push(self.payload_bytes.to_be_bytes());
        }
        if let Some(key) = self.mask {
            header.push(key);
        }
        header
    }
}

/// The length that `short` announces, and what follows it; `None` if the extended length is cut off.
#[inline]
fn parse_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let (length, least, rest) = match short {
        LENGTH_16 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), u64::from(LENGTH_16), rest),
            None => return Ok(None),
        },
        LENGTH_64 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), 1 << 16, rest),
            None => return Ok(None),
        },
        short => (u64::from(short), 0, rest),
    };
    if length > i64::MAX as u64 {
        return Err(ProtocolError::LengthRange);
    }
    if length < least {
        return Err(ProtocolError::LengthEncoding(length));
    }
    Ok(Some((length, rest)))
}

/// A header as bytes, on the stack.
#[derive(Debug, Clone, Copy)]
pub struct EncodedHeader {
    bytes: [u8; HEADER_BYTES_MAX],
    len: usize,
}

impl EncodedHeader {
    /// The header's bytes, 2 to [`HEADER_BYTES_MAX`] of them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push<const N: usize>(&mut self, part: [u8; N]) {
        self.bytes[self.len..self.len + N].copy_from_slice(&part);
        self.len += N;
    }
}

/// Appends a frame: `header` with the length of `payload`, then the payload, masked if the header has a key.
#[inline]
pub fn append_frame(header: FrameHeader, payload: &[u8], out: &mut Vec<u8>) {
    let header = FrameHeader { payload_bytes: payload.len() as u64, ..header };
    out.reserve(HEADER_BYTES_MAX + payload.len());
    out.extend_from_slice(header.encode().as_bytes());
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = header.mask {
        apply_mask(&mut out[start..], key);
    }
}

/// Masks or unmasks `payload` in place; the first byte goes with the first byte of `key` (RFC 6455, 5.3).
#[inline]
pub fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    // Whole words of the machine, so that the compiler makes vector code of the loop.
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_server(bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        FrameHeader::parse(bytes, Role::Server, false)
    }

    #[test]
    fn header_survives_encoding_and_parsing_at_every_length_boundary() {
        for payload_bytes in [0, 1, 125, 126, 127, 65_535, 65_536, i64::MAX as u64] {
            for (role, mask) in [(Role::Client, None), (Role::Server, Some([1, 2, 3, 4]))] {
                let header =
                    FrameHeader { fin: false, compressed: true, opcode: Opcode::Binary, mask, payload_bytes };
                let encoded = header.encode();
                let bytes = encoded.as_bytes();
                assert_eq!(FrameHeader::parse(bytes, role, true), Ok(Some((header, bytes.len()))));
                for cut in 0..bytes.len() {
                    assert_eq!(FrameHeader::parse(&bytes[..cut], role, true), Ok(None), "cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn every_malformed_header_is_named() {
        let cases: &[(&[u8], ProtocolError)] = &[
            (&[0xA1, 0x80], ProtocolError::ReservedBits(0b010)),
            (&[0xC1, 0x80], ProtocolError::ReservedBits(0b100)),
            (&[0x83, 0x80], ProtocolError::ReservedOpcode(3)),
            (&[0x8B, 0x80], ProtocolError::ReservedOpcode(11)),
            (&[0x81, 0x00], ProtocolError::Unmasked),
            (&[0x09, 0x80], ProtocolError::FragmentedControl),
            (&[0x89, 0xFE], ProtocolError::LongControl),
            (&[0x82, 0xFE, 0, 125], ProtocolError::LengthEncoding(125)),
            (&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], ProtocolError::LengthEncoding(65_535)),
            (&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], ProtocolError::LengthRange),
        ];
        for (bytes, error) in cases {
            assert_eq!(parse_server(bytes), Err(*error), "{bytes:x?}");
        }
        assert_eq!(FrameHeader::parse(&[0x81, 0x80], Role::Client, false), Err(ProtocolError::Masked));
    }

    #[test]
    fn rsv1_is_for_the_first_frame_of_a_message_only() {
        assert!(FrameHeader::parse(&[0xC1, 0x00], Role::Client, true).is_ok());
        for first in [0xC0, 0xC9] {
            let parsed = FrameHeader::parse(&[first, 0x00], Role::Client, true);
            assert_eq!(parsed, Err(ProtocolError::ReservedBits(0b100)));
        }
    }

    #[test]
    fn masking_matches_the_definition_at_every_length() {
        let key = [0x12, 0x34, 0x56, 0x78];
        for len in 0..100_u8 {
            let plain: Vec<u8> = (0..len).collect();
            let mut masked = plain.clone();
            apply_mask(&mut masked, key);
            let expected: Vec<u8> = plain.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
            assert_eq!(masked, expected);
        }
    }
}
