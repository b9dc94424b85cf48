//! CBOR (RFC 8949): reading, skipping and writing.
//!
//! Stricter than the grammar in one point: simple values without a meaning are refused.

use super::LEVELS_MAX;
use super::decoder::Token;
use super::error::{ParseError, ParseErrorKind, no_text_key};
use super::text;
use crate::buffer::Buffer;

// Major types, in the upper three bits of the first byte.
pub(super) const UNSIGNED: u8 = 0x00;
pub(super) const NEGATIVE: u8 = 0x20;
pub(super) const BYTES: u8 = 0x40;
pub(super) const TEXT: u8 = 0x60;
pub(super) const LIST: u8 = 0x80;
pub(super) const DICT: u8 = 0xa0;
const TAG: u8 = 0xc0;
const SIMPLE: u8 = 0xe0;

pub(super) const LIST_32: u8 = 0x9a;
pub(super) const DICT_32: u8 = 0xba;
pub(super) const FALSE: u8 = 0xf4;
pub(super) const NULL: u8 = 0xf6;
const BREAK: u8 = 0xff;

const MAJOR_BITS: u8 = 0xe0;
const INFO_BITS: u8 = 0x1f;
const INDEFINITE: u8 = 31;

const TAG_BIGNUM: u64 = 2;
const TAG_NEGATIVE_BIGNUM: u64 = 3;

/// More entries than this are refused: no message is long enough for them.
const ENTRIES_MAX: usize = 1 << 28;

// In `skip`, an open container is one number: bit 0 says that it is a dictionary, the bits above how many items
// are still to come (in a dictionary the next is a key if they are even), and the top bit that the length is
// indefinite, when the count only goes from 2 to 1 and back.
const ITEM: u32 = 2;
const IN_DICT: u32 = 1;
const UNTIL_BREAK: u32 = 1 << 31;

/// Reads the argument of a head whose first byte stands before `at`; returns where it ends.
///
/// The indefinite length counts as 0; whoever allows it looks at the first byte.
#[inline(always)]
fn argument(bytes: &[u8], first: u8, at: usize) -> Result<(u64, usize), ParseError> {
    let info = first & INFO_BITS;
    if info < 24 {
        return Ok((u64::from(info), at));
    }
    wide_argument(bytes, first, at)
}

#[inline]
fn wide_argument(bytes: &[u8], first: u8, at: usize) -> Result<(u64, usize), ParseError> {
    let tail = bytes.get(at..).unwrap_or_default();
    let (value, width) = match first & INFO_BITS {
        24 => (tail.first().map(|&byte| u64::from(byte)), 1),
        25 => (tail.first_chunk().map(|&chunk| u64::from(u16::from_be_bytes(chunk))), 2),
        26 => (tail.first_chunk().map(|&chunk| u64::from(u32::from_be_bytes(chunk))), 4),
        27 => (tail.first_chunk().map(|&chunk| u64::from_be_bytes(chunk)), 8),
        INDEFINITE => (Some(0), 0),
        _ => return Err(ParseErrorKind::Malformed("a reserved length in a CBOR head").at(at - 1)),
    };
    match value {
        Some(value) => Ok((value, at + width)),
        None => Err(ParseErrorKind::Truncated.at(bytes.len())),
    }
}

#[inline(always)]
fn is_indefinite(first: u8) -> bool {
    first & INFO_BITS == INDEFINITE
}

#[cold]
fn no_indefinite(at: usize) -> ParseError {
    ParseErrorKind::Malformed("no indefinite length is allowed here").at(at)
}

/// So many bytes from `at` on, and where they end.
#[inline(always)]
fn data(bytes: &[u8], at: usize, len: u64) -> Result<(&[u8], usize), ParseError> {
    let tail = bytes.get(at..).unwrap_or_default();
    match usize::try_from(len).ok().and_then(|len| tail.get(..len)) {
        Some(data) => Ok((data, at + data.len())),
        None => Err(ParseErrorKind::Truncated.at(bytes.len())),
    }
}

/// Checks a declared number of entries against the bytes present: every item has at least one.
#[inline(always)]
fn check_items(bytes: &[u8], at: usize, entries: u64, items_each: u64) -> Result<usize, ParseError> {
    if entries.saturating_mul(items_each) > (bytes.len() - at) as u64 {
        return Err(ParseErrorKind::Truncated.at(bytes.len()));
    }
    if entries > ENTRIES_MAX as u64 {
        return Err(ParseErrorKind::Malformed("a list or dictionary has too many entries").at(at));
    }
    Ok(entries as usize)
}

/// What the first byte of an item says, in one number: up to [`FIXED_MAX`] it is a scalar with so many bytes more.
static CLASSES: [u8; 256] = classes();

/// The longest scalar whose first byte says how long it is: 23 bytes.
const FIXED_MAX: u8 = 23;
const SHORT_TEXT: u8 = 32;
const TEXT_8: u8 = 33;
const OTHER: u8 = 34;

const fn classes() -> [u8; 256] {
    let mut classes = [OTHER; 256];
    let mut first = 0;
    while first < 256 {
        classes[first] = match first {
            // Integers, null and booleans, then floats and longer integers.
            0x00..=0x17 | 0x20..=0x37 | 0xf4..=0xf7 => 0,
            0x18 | 0x38 => 1,
            0x19 | 0x39 | 0xf9 => 2,
            0x1a | 0x3a | 0xfa => 4,
            0x1b | 0x3b | 0xfb => 8,
            0x40..=0x57 => (first - 0x40) as u8,
            0x60..=0x77 => SHORT_TEXT,
            0x78 => TEXT_8,
            _ => OTHER,
        };
        first += 1;
    }
    classes
}

/// Checks that so many bytes of UTF-8 are there; returns where they end.
#[inline]
fn check_text(bytes: &[u8], at: usize, len: u64) -> Result<usize, ParseError> {
    match usize::try_from(len) {
        Ok(len) => text::check(bytes, at, len),
        Err(_) => Err(ParseErrorKind::Truncated.at(bytes.len())),
    }
}

/// Skips one item, whose containers (and tags) nest at most `levels` deep, and returns where it ends.
///
/// `text_keys`: if the item is a dictionary, its own keys must be text.
pub(super) fn skip(bytes: &[u8], from: usize, levels: usize, text_keys: bool) -> Result<usize, ParseError> {
    let mut at = from;
    let mut outer = [0u32; LEVELS_MAX];
    let mut depth = 0;
    let mut open = ITEM;
    loop {
        let Some(&first) = bytes.get(at) else {
            return Err(ParseErrorKind::Truncated.at(at));
        };
        let is_key = open & (ITEM | IN_DICT) == IN_DICT;
        let after = if open & UNTIL_BREAK == 0 { open.wrapping_sub(ITEM) } else { open ^ (3 * ITEM) };
        match CLASSES[usize::from(first)] {
            // A guess that the processor can make, where a length out of the table would have to be waited for.
            0 if !is_key => {
                at += 1;
                open = after;
            }
            fixed @ 0..=FIXED_MAX => {
                if is_key && text_keys && depth == 1 {
                    return Err(no_text_key(at));
                }
                at += 1 + usize::from(fixed);
                if at > bytes.len() {
                    return Err(ParseErrorKind::Truncated.at(bytes.len()));
                }
                open = after;
            }
            SHORT_TEXT => {
                at = text::check(bytes, at + 1, usize::from(first & INFO_BITS))?;
                open = after;
            }
            TEXT_8 => {
                let (len, begin) = argument(bytes, first, at + 1)?;
                at = text::check(bytes, begin, len as usize)?;
                open = after;
            }
            _ if first == BREAK => {
                if open & UNTIL_BREAK == 0 || (open & IN_DICT != 0 && open & ITEM != 0) {
                    return Err(lone_break(at));
                }
                at += 1;
                open = 0;
            }
            _ => {
                let (major, opened, end) = skip_other(bytes, at, levels - depth)?;
                if is_key && (opened.is_some() || (text_keys && depth == 1 && major != TEXT)) {
                    return Err(no_text_key(at));
                }
                open = after;
                if let Some(opened) = opened {
                    if depth == levels {
                        return Err(ParseErrorKind::TooDeep.at(at));
                    }
                    outer[depth] = open;
                    depth += 1;
                    open = opened;
                }
                at = end;
            }
        }
        while open < ITEM {
            if depth == 0 {
                return Ok(at);
            }
            depth -= 1;
            open = outer[depth];
        }
    }
}

/// Skips what `skip` does not know by its first byte: the major type behind any tags, the state of a container
/// that has been entered, and where the reading goes on.
#[inline]
fn skip_other(bytes: &[u8], at: usize, levels: usize) -> Result<(u8, Option<u32>, usize), ParseError> {
    let (first, begin) = skip_tags(bytes, at, levels)?;
    let (opened, end) = skip_head(bytes, first, begin)?;
    Ok((first & MAJOR_BITS, opened, end))
}

#[cold]
fn lone_break(at: usize) -> ParseError {
    ParseErrorKind::Malformed("a break outside of an indefinite length, or after a key").at(at)
}

/// Skips the tags before an item; returns its first byte and where that stands. A tag counts as a level.
#[inline(always)]
fn skip_tags(bytes: &[u8], from: usize, levels: usize) -> Result<(u8, usize), ParseError> {
    let mut at = from;
    let mut tags = 0;
    loop {
        let Some(&first) = bytes.get(at) else {
            return Err(ParseErrorKind::Truncated.at(at));
        };
        if first & MAJOR_BITS != TAG {
            return Ok((first, at));
        }
        tags += 1;
        if tags > levels {
            return Err(ParseErrorKind::TooDeep.at(at));
        }
        if is_indefinite(first) {
            return Err(no_indefinite(at));
        }
        at = argument(bytes, first, at + 1)?.1;
    }
}

/// Skips a scalar, or the head of a container that is not empty, whose state then is the first thing returned.
#[inline(always)]
fn skip_head(bytes: &[u8], first: u8, at: usize) -> Result<(Option<u32>, usize), ParseError> {
    let (value, end) = argument(bytes, first, at + 1)?;
    match first & MAJOR_BITS {
        UNSIGNED | NEGATIVE if is_indefinite(first) => Err(no_indefinite(at)),
        UNSIGNED | NEGATIVE => Ok((None, end)),
        TEXT | BYTES if is_indefinite(first) => Ok((None, skip_chunks(bytes, first & MAJOR_BITS, end)?)),
        TEXT => Ok((None, check_text(bytes, end, value)?)),
        BYTES => Ok((None, data(bytes, end, value)?.1)),
        LIST if is_indefinite(first) => Ok((Some(UNTIL_BREAK | (2 * ITEM)), end)),
        LIST => {
            let items = check_items(bytes, end, value, 1)? as u32;
            Ok((Some(items * ITEM), end))
        }
        DICT if is_indefinite(first) => Ok((Some(UNTIL_BREAK | (2 * ITEM) | IN_DICT), end)),
        DICT => {
            let entries = check_items(bytes, end, value, 2)? as u32;
            Ok((Some((entries * (2 * ITEM)) | IN_DICT), end))
        }
        _ => {
            simple(first, value, at)?;
            Ok((None, end))
        }
    }
}

/// The chunks of a text or binary of indefinite length; returns where the break ends.
fn skip_chunks(bytes: &[u8], major: u8, from: usize) -> Result<usize, ParseError> {
    let mut at = from;
    while let Some((chunk, end)) = next_chunk(bytes, major, at)? {
        if major == TEXT {
            text::check(bytes, end - chunk.len(), chunk.len())?;
        }
        at = end;
    }
    Ok(at + 1)
}

/// The next chunk and where it ends; `None` at the break.
fn next_chunk(bytes: &[u8], major: u8, at: usize) -> Result<Option<(&[u8], usize)>, ParseError> {
    match bytes.get(at) {
        None => Err(ParseErrorKind::Truncated.at(at)),
        Some(&BREAK) => Ok(None),
        Some(&first) if first & MAJOR_BITS != major || is_indefinite(first) => {
            Err(ParseErrorKind::Malformed("a chunk of another type").at(at))
        }
        Some(&first) => {
            let (len, begin) = argument(bytes, first, at + 1)?;
            data(bytes, begin, len).map(Some)
        }
    }
}

/// Does a break stand here?
pub(super) fn is_break(bytes: &[u8], at: usize) -> Result<bool, ParseError> {
    match bytes.get(at) {
        Some(byte) => Ok(*byte == BREAK),
        None => Err(ParseErrorKind::Truncated.at(at)),
    }
}

/// The contents of chunks that were skipped without an error, headers and break included.
pub(super) fn chunks(bytes: &[u8], major: u8) -> impl Iterator<Item = &[u8]> + Clone {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (chunk, end) = next_chunk(bytes, major, at).ok()??;
        at = end;
        Some(chunk)
    })
}

/// False, true, null, undefined and floats.
#[inline]
fn simple(first: u8, argument: u64, at: usize) -> Result<Token<'static>, ParseError> {
    Ok(match first & INFO_BITS {
        20 => Token::Bool(false),
        21 => Token::Bool(true),
        // Undefined becomes null.
        22 | 23 => Token::Null,
        25 => Token::Float(half_to_double(argument as u16)),
        26 => Token::Float(f64::from(f32::from_bits(argument as u32))),
        27 => Token::Float(f64::from_bits(argument)),
        INDEFINITE => return Err(lone_break(at)),
        _ => return Err(ParseErrorKind::Malformed("a simple value without a meaning").at(at)),
    })
}

/// Widens a half-precision float exactly (RFC 8949, appendix D).
fn half_to_double(half: u16) -> f64 {
    let exponent = i32::from(half >> 10 & 31);
    let fraction = f64::from(half & 0x3ff);
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        // Infinity or NaN, with what NaN carries.
        31 => f64::from_bits(0x7ff << 52 | u64::from(half & 0x3ff) << 42),
        _ => (fraction + 1024.0) * 2f64.powi(exponent - 25),
    };
    if half & 0x8000 == 0 { magnitude } else { -magnitude }
}

/// Reads a scalar or the head of a container, behind any tags; returns where it ends. Text is not checked yet,
/// except in chunks.
#[inline(always)]
pub(super) fn token(bytes: &[u8], at: usize, levels: usize) -> Result<(Token<'_>, usize), ParseError> {
    match bytes.get(at) {
        Some(first) if first & MAJOR_BITS == TAG => tagged_token(bytes, at, levels),
        Some(&first) => plain_token(bytes, first, at),
        None => Err(ParseErrorKind::Truncated.at(at)),
    }
}

#[inline(always)]
fn plain_token(bytes: &[u8], first: u8, at: usize) -> Result<(Token<'_>, usize), ParseError> {
    let (value, end) = argument(bytes, first, at + 1)?;
    let indefinite = is_indefinite(first);
    Ok(match first & MAJOR_BITS {
        UNSIGNED | NEGATIVE if indefinite => return Err(no_indefinite(at)),
        UNSIGNED => (Token::Unsigned(value), end),
        NEGATIVE => (Token::Negative(value), end),
        TEXT | BYTES if indefinite => {
            let after = skip_chunks(bytes, first & MAJOR_BITS, end)?;
            let content = &bytes[end..after];
            (
                if first & MAJOR_BITS == TEXT {
                    Token::TextChunks(content)
                } else {
                    Token::BinaryChunks(content)
                },
                after,
            )
        }
        TEXT => {
            let (content, after) = data(bytes, end, value)?;
            (Token::UncheckedText(content), after)
        }
        BYTES => {
            let (content, after) = data(bytes, end, value)?;
            (Token::Binary(content), after)
        }
        LIST if indefinite => (Token::List(None), end),
        LIST => (Token::List(Some(check_items(bytes, end, value, 1)?)), end),
        DICT if indefinite => (Token::Dict(None), end),
        DICT => (Token::Dict(Some(check_items(bytes, end, value, 2)?)), end),
        _ => (simple(first, value, at)?, end),
    })
}

/// Drops the tags; only a bignum's says what the bytes behind it mean.
#[cold]
fn tagged_token(bytes: &[u8], at: usize, levels: usize) -> Result<(Token<'_>, usize), ParseError> {
    let (first, begin) = skip_tags(bytes, at, levels)?;
    let (token, end) = plain_token(bytes, first, begin)?;
    let tag = innermost_tag(bytes, at, begin);
    if tag != Some(TAG_BIGNUM) && tag != Some(TAG_NEGATIVE_BIGNUM) {
        return Ok((token, end));
    }
    let magnitude = match token {
        Token::Binary(content) => bignum([content].into_iter()),
        Token::BinaryChunks(content) => bignum(chunks(content, BYTES)),
        _ => None,
    };
    Ok((magnitude.map_or(token, |value| integer(value, tag == Some(TAG_NEGATIVE_BIGNUM))), end))
}

/// The last tag of those that stand from `at` to `end`.
fn innermost_tag(bytes: &[u8], mut at: usize, end: usize) -> Option<u64> {
    let mut tag = None;
    while at < end {
        let (value, after) = argument(bytes, bytes[at], at + 1).ok()?;
        tag = Some(value);
        at = after;
    }
    tag
}

/// The value of at most 16 big-endian bytes.
fn bignum<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Option<u128> {
    let mut value = 0u128;
    let mut len = 0;
    for part in parts {
        len += part.len();
        if len > 16 {
            return None;
        }
        value = part.iter().fold(value, |value, byte| value << 8 | u128::from(*byte));
    }
    Some(value)
}

/// An integer if CBOR itself could write it as one, else the nearest float.
fn integer(magnitude: u128, negative: bool) -> Token<'static> {
    match (u64::try_from(magnitude), negative) {
        (Ok(value), false) => Token::Unsigned(value),
        (Ok(complement), true) => Token::Negative(complement),
        (Err(_), false) => Token::Float(magnitude as f64),
        (Err(_), true) => Token::Float(-(magnitude.saturating_add(1) as f64)),
    }
}

/// Appends a head: a major type and its argument.
#[inline(always)]
pub(super) fn write_head(out: &mut Buffer, major: u8, argument: u64) {
    if argument < 24 {
        out.push(major | argument as u8);
    } else {
        write_wide_head(out, major, argument);
    }
}

#[inline(never)]
fn write_wide_head(out: &mut Buffer, major: u8, argument: u64) {
    match argument {
        0..0x100 => out.extend_from_slice(&[major | 24, argument as u8]),
        0x100..0x1_0000 => write_sized(out, major | 25, &(argument as u16).to_be_bytes()),
        0x1_0000..0x1_0000_0000 => write_sized(out, major | 26, &(argument as u32).to_be_bytes()),
        _ => write_sized(out, major | 27, &argument.to_be_bytes()),
    }
}

/// A first byte and what follows.
#[inline]
fn write_sized<const N: usize>(out: &mut Buffer, first: u8, rest: &[u8; N]) {
    out.push(first);
    out.extend_from_slice(rest);
}

pub(super) fn write_float(out: &mut Buffer, value: f64) {
    write_sized(out, SIMPLE | 27, &value.to_be_bytes());
}

/// Appends text or bytes.
#[inline]
pub(super) fn write_bytes(out: &mut Buffer, major: u8, bytes: &[u8]) {
    write_head(out, major, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
