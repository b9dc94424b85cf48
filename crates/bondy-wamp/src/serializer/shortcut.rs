//! What stands at the same places of almost every message, read without a token: small integers, empty options, and
//! whether `args` and `kwargs` are what they should be.
//!
//! Each function answers for the usual forms alone. "No" only means that the decoder has to look properly.

use super::{Decoder, Serializer};

impl Decoder<'_> {
    /// Reads an unsigned integer in a usual form.
    #[inline(always)]
    pub(crate) fn usual_unsigned(&mut self) -> Option<u64> {
        let (value, len) = unsigned(self.serializer(), self.rest())?;
        self.advance(len);
        Some(value)
    }

    /// Reads an empty dictionary in its shortest form.
    #[inline(always)]
    pub(crate) fn usual_empty_dict(&mut self) -> bool {
        let len = empty_dict(self.serializer(), self.rest());
        self.advance(len.unwrap_or(0));
        len.is_some()
    }

    /// Does a list stand next?
    #[inline(always)]
    pub(crate) fn usual_list(&self) -> bool {
        is_list(self.serializer(), self.rest())
    }

    /// Does a dictionary stand next?
    #[inline(always)]
    pub(crate) fn usual_dict(&self) -> bool {
        is_dict(self.serializer(), self.rest())
    }
}

/// An unsigned integer in a usual form, and its length.
#[inline(always)]
pub(super) fn unsigned(serializer: Serializer, bytes: &[u8]) -> Option<(u64, usize)> {
    match serializer {
        Serializer::Json => json_unsigned(bytes),
        Serializer::MessagePack => msgpack_unsigned(bytes),
        Serializer::Cbor => cbor_unsigned(bytes),
    }
}

/// The length of an empty dictionary in its shortest form.
#[inline(always)]
pub(super) fn empty_dict(serializer: Serializer, bytes: &[u8]) -> Option<usize> {
    match (serializer, bytes) {
        (Serializer::Json, [b'{', b'}', ..]) => Some(2),
        (Serializer::MessagePack, [0x80, ..]) | (Serializer::Cbor, [0xa0, ..]) => Some(1),
        _ => None,
    }
}

#[inline(always)]
pub(super) fn is_list(serializer: Serializer, bytes: &[u8]) -> bool {
    matches!(
        (serializer, bytes),
        (Serializer::Json, [b'[', ..])
            | (Serializer::MessagePack, [0x90..=0x9f | 0xdc | 0xdd, ..])
            | (Serializer::Cbor, [0x80..=0x9b | 0x9f, ..])
    )
}

#[inline(always)]
pub(super) fn is_dict(serializer: Serializer, bytes: &[u8]) -> bool {
    matches!(
        (serializer, bytes),
        (Serializer::Json, [b'{', ..])
            | (Serializer::MessagePack, [0x80..=0x8f | 0xde | 0xdf, ..])
            | (Serializer::Cbor, [0xa0..=0xbb | 0xbf, ..])
    )
}

/// Digits up to a comma or the end of a list. 19 digits always fit.
#[inline(always)]
fn json_unsigned(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (len, byte) in bytes.iter().take(20).enumerate() {
        match byte {
            b'0'..=b'9' if len < 19 => value = value * 10 + u64::from(byte - b'0'),
            b',' | b']' if len == 1 || (len > 1 && bytes[0] != b'0') => return Some((value, len)),
            _ => return None,
        }
    }
    None
}

#[inline(always)]
fn msgpack_unsigned(bytes: &[u8]) -> Option<(u64, usize)> {
    match *bytes {
        [small @ 0..=0x7f, ..] => Some((small.into(), 1)),
        [0xcc, a, ..] => Some((a.into(), 2)),
        [0xcd, a, b, ..] => Some((u16::from_be_bytes([a, b]).into(), 3)),
        [0xce, a, b, c, d, ..] => Some((u32::from_be_bytes([a, b, c, d]).into(), 5)),
        [0xcf, a, b, c, d, e, f, g, h, ..] => Some((u64::from_be_bytes([a, b, c, d, e, f, g, h]), 9)),
        _ => None,
    }
}

#[inline(always)]
fn cbor_unsigned(bytes: &[u8]) -> Option<(u64, usize)> {
    match *bytes {
        [small @ 0..=0x17, ..] => Some((small.into(), 1)),
        [0x18, a, ..] => Some((a.into(), 2)),
        [0x19, a, b, ..] => Some((u16::from_be_bytes([a, b]).into(), 3)),
        [0x1a, a, b, c, d, ..] => Some((u32::from_be_bytes([a, b, c, d]).into(), 5)),
        [0x1b, a, b, c, d, e, f, g, h, ..] => Some((u64::from_be_bytes([a, b, c, d, e, f, g, h]), 9)),
        _ => None,
    }
}
