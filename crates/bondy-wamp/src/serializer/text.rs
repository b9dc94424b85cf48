//! Checking and copying text, fast for the short ASCII texts that messages are made of, and exact for all others.
//!
//! Both are faster if they may read beyond the text, so that they take the bytes around it.

use super::error::{ParseError, ParseErrorKind};
use crate::buffer::Buffer;

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// From this length on, vector instructions chosen at run time win over eight bytes at a time.
const VECTOR_BYTES_MIN: usize = 64;

/// Checks that `len` bytes from `at` on are there and are exact UTF-8 (no overlong forms, no surrogates, nothing
/// above U+10FFFF); returns where they end.
#[inline(always)]
pub(super) fn check(bytes: &[u8], at: usize, len: usize) -> Result<usize, ParseError> {
    let rest = bytes.get(at..).unwrap_or_default();
    if len > rest.len() {
        return Err(ParseErrorKind::Truncated.at(bytes.len()));
    }
    let text = &rest[..len];
    if is_short_ascii(text) || is_utf8(text) {
        return Ok(at + len);
    }
    Err(ParseErrorKind::InvalidUtf8.at(at + invalid_utf8_offset(text)))
}

/// Is this ASCII, and short enough to be looked at in place? By words that may overlap, so that no text is looked at
/// byte by byte.
#[inline(always)]
fn is_short_ascii(text: &[u8]) -> bool {
    let bits = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) if text.len() <= 16 => word(first) | word(last),
        (Some(_), Some(last)) if text.len() < VECTOR_BYTES_MIN => {
            let (chunks, _) = text.as_chunks::<8>();
            chunks.iter().fold(word(last), |bits, chunk| bits | word(chunk))
        }
        (Some(_), Some(_)) => return false,
        _ => match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
            (Some(first), Some(last)) => u64::from(u32::from_le_bytes(*first) | u32::from_le_bytes(*last)),
            _ => text.iter().fold(0, |bits, byte| bits | u64::from(*byte)),
        },
    };
    bits & HIGH_BITS == 0
}

#[inline(always)]
fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// Are the bytes exact UTF-8?
#[inline(never)]
pub(super) fn is_utf8(bytes: &[u8]) -> bool {
    if bytes.len() >= VECTOR_BYTES_MIN {
        return simdutf8::basic::from_utf8(bytes).is_ok();
    }
    std::str::from_utf8(bytes).is_ok()
}

/// Appends the `len` bytes from `at` on.
///
/// A short text is appended with what follows it, in one piece whose size the compiler knows, and cut to its length:
/// that is faster than calling a copying function.
#[inline(always)]
pub(super) fn append(out: &mut Buffer, bytes: &[u8], at: usize, len: usize) {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk::<16>() {
        Some(chunk) if len <= 16 => {
            let end = out.len() + len;
            out.extend_from_slice(chunk);
            out.truncate(end);
        }
        _ => out.extend_from_slice(&rest[..len]),
    }
}

/// Where the first byte that is not part of a whole character stands.
#[cold]
pub(super) fn invalid_utf8_offset(bytes: &[u8]) -> usize {
    std::str::from_utf8(bytes).err().map_or(bytes.len(), |error| error.valid_up_to())
}
