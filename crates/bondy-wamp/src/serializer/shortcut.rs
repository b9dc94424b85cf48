//! What stands at the same places of almost every message, read without a token: small integers, empty options, and
//! whether `args` and `kwargs` are what they should be.
//!
//! Each function answers for the usual forms alone. "No" only means that the decoder has to look properly.

use super::{Decoder, Serializer, json};

impl Decoder<'_> {
    /// Reads an unsigned integer in a usual form.
    #[inline(always)]
    pub(crate) fn usual_unsigned(&mut self) -> Option<u64> {
        let rest = self.rest();
        let (value, len) = match self.serializer() {
            Serializer::Json => json_unsigned(rest)?,
            Serializer::MessagePack => msgpack_unsigned(rest)?,
            Serializer::Cbor => cbor_unsigned(rest)?,
        };
        self.advance(len);
        Some(value)
    }

    /// Reads an empty dictionary in its shortest form.
    #[inline(always)]
    pub(crate) fn usual_empty_dict(&mut self) -> bool {
        let len = match (self.serializer(), self.rest()) {
            (Serializer::Json, [b'{', b'}', ..]) => 2,
            (Serializer::MessagePack, [0x80, ..]) | (Serializer::Cbor, [0xa0, ..]) => 1,
            _ => return false,
        };
        self.advance(len);
        true
    }

    /// Does a list stand next?
    #[inline(always)]
    pub(crate) fn usual_list(&self) -> bool {
        matches!(
            (self.serializer(), self.rest()),
            (Serializer::Json, [b'[', ..])
                | (Serializer::MessagePack, [0x90..=0x9f | 0xdc | 0xdd, ..])
                | (Serializer::Cbor, [0x80..=0x9b | 0x9f, ..])
        )
    }

    /// Does a dictionary stand next?
    #[inline(always)]
    pub(crate) fn usual_dict(&self) -> bool {
        matches!(
            (self.serializer(), self.rest()),
            (Serializer::Json, [b'{', ..])
                | (Serializer::MessagePack, [0x80..=0x8f | 0xde | 0xdf, ..])
                | (Serializer::Cbor, [0xa0..=0xbb | 0xbf, ..])
        )
    }
}

/// Digits up to a comma or the end of a list.
#[inline(always)]
fn json_unsigned(bytes: &[u8]) -> Option<(u64, usize)> {
    let len = json::scan_digits(bytes, 0);
    let leading_zero = len > 1 && bytes[0] == b'0';
    // 19 digits always fit.
    if len == 0 || len > 19 || leading_zero || !matches!(bytes.get(len), Some(b',' | b']')) {
        return None;
    }
    let value = bytes[..len].iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    Some((value, len))
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
