//! MessagePack: reading, skipping and writing.

use super::LEVELS_MAX;
use super::decoder::Token;
use super::error::{ParseError, ParseErrorKind, no_text_key};
use super::text;
use crate::buffer::Buffer;

pub(super) const NIL: u8 = 0xc0;
pub(super) const FALSE: u8 = 0xc2;
pub(super) const LIST_32: u8 = 0xdd;
pub(super) const DICT_32: u8 = 0xdf;
const RESERVED: u8 = 0xc1;

/// More entries than this are refused: no message is long enough for them.
const ENTRIES_MAX: usize = 1 << 29;

/// What the first byte of an item, and the length behind it, say about the item.
enum Head {
    /// Nothing more belongs to it.
    Done,
    /// So many bytes of text follow.
    Text(usize),
    /// So many other bytes follow.
    Data(usize),
    /// So many items follow.
    List(usize),
    /// So many pairs of items follow.
    Dict(usize),
}

#[inline(always)]
fn big_endian<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], ParseError> {
    match bytes.get(at..).and_then(<[u8]>::first_chunk::<N>) {
        Some(chunk) => Ok(*chunk),
        None => Err(ParseErrorKind::Truncated.at(at)),
    }
}

/// A big-endian length of 1, 2 or 4 bytes, and where it ends.
#[inline(always)]
fn length(bytes: &[u8], at: usize, width: usize) -> Result<(usize, usize), ParseError> {
    let len = match width {
        1 => usize::from(u8::from_be_bytes(big_endian(bytes, at)?)),
        2 => usize::from(u16::from_be_bytes(big_endian(bytes, at)?)),
        _ => u32::from_be_bytes(big_endian(bytes, at)?) as usize,
    };
    Ok((len, at + width))
}

/// Reads the head of the item whose first byte `first` stands before `at`; returns where the head ends.
#[inline(always)]
fn head(bytes: &[u8], first: u8, at: usize) -> Result<(Head, usize), ParseError> {
    Ok(match first {
        0x00..=0x7f | 0xe0..=0xff | NIL | 0xc2 | 0xc3 => (Head::Done, at),
        0x80..=0x8f => (Head::Dict(usize::from(first & 15)), at),
        0x90..=0x9f => (Head::List(usize::from(first & 15)), at),
        0xa0..=0xbf => (Head::Text(usize::from(first & 31)), at),
        RESERVED => return Err(ParseErrorKind::Malformed("0xc1 is no MessagePack type").at(at - 1)),
        // bin 8, 16, 32
        0xc4..=0xc6 => {
            let (len, at) = length(bytes, at, 1 << (first - 0xc4))?;
            (Head::Data(len), at)
        }
        // ext 8, 16, 32: the type is one byte behind the length
        0xc7..=0xc9 => {
            let (len, at) = length(bytes, at, 1 << (first - 0xc7))?;
            (Head::Data(len + 1), at)
        }
        // float 32 and 64
        0xca | 0xcb => (Head::Data(4 << (first - 0xca)), at),
        // unsigned and signed integers of 8, 16, 32 and 64 bits
        0xcc..=0xcf => (Head::Data(1 << (first - 0xcc)), at),
        0xd0..=0xd3 => (Head::Data(1 << (first - 0xd0)), at),
        // ext of 1, 2, 4, 8 and 16 bytes, with the type before
        0xd4..=0xd8 => (Head::Data(1 + (1 << (first - 0xd4))), at),
        0xd9..=0xdb => {
            let (len, at) = length(bytes, at, 1 << (first - 0xd9))?;
            (Head::Text(len), at)
        }
        0xdc | LIST_32 => {
            let (len, at) = length(bytes, at, 2 << (first - 0xdc))?;
            (Head::List(len), at)
        }
        0xde | DICT_32 => {
            let (len, at) = length(bytes, at, 2 << (first - 0xde))?;
            (Head::Dict(len), at)
        }
    })
}

/// Checks a declared number of items against the bytes present: every item has at least one.
#[inline(always)]
fn check_items(bytes: &[u8], at: usize, items: usize) -> Result<(), ParseError> {
    if items > bytes.len() - at {
        return Err(ParseErrorKind::Truncated.at(bytes.len()));
    }
    if items > ENTRIES_MAX {
        return Err(ParseErrorKind::Malformed("a list or dictionary has too many entries").at(at));
    }
    Ok(())
}

#[inline(always)]
fn data(bytes: &[u8], at: usize, len: usize) -> Result<(&[u8], usize), ParseError> {
    match bytes.get(at..at + len) {
        Some(data) => Ok((data, at + len)),
        None => Err(ParseErrorKind::Truncated.at(bytes.len())),
    }
}

/// What the first byte of an item says, in one number: up to [`FIXED_MAX`] it is a scalar with so many bytes more.
static CLASSES: [u8; 256] = classes();

/// The longest scalar of a fixed length: 16 bytes of an extension and its type.
const FIXED_MAX: u8 = 17;
const SHORT_TEXT: u8 = 32;
const TEXT: u8 = 33;
const OTHER: u8 = 34;

const fn classes() -> [u8; 256] {
    let mut classes = [OTHER; 256];
    let mut first = 0;
    while first < 256 {
        classes[first] = match first {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 0,
            0xca | 0xcb => 4 << (first - 0xca),
            0xcc..=0xcf => 1 << (first - 0xcc),
            0xd0..=0xd3 => 1 << (first - 0xd0),
            0xd4..=0xd8 => 1 + (1 << (first - 0xd4)),
            0xa0..=0xbf => SHORT_TEXT,
            0xd9..=0xdb => TEXT,
            _ => OTHER,
        };
        first += 1;
    }
    classes
}

/// An open container: twice the entries that are still to come, plus one if they are pairs.
type Open = u32;

const IN_DICT: Open = 1;
const ENTRY: Open = 2;

/// Skips one item, whose containers nest at most `levels` deep, and returns where it ends.
///
/// `text_keys`: if the item is a dictionary, its own keys must be text.
pub(super) fn skip(bytes: &[u8], from: usize, levels: usize, text_keys: bool) -> Result<usize, ParseError> {
    let mut at = from;
    let mut outer: [Open; LEVELS_MAX] = [0; LEVELS_MAX];
    let mut depth = 0;
    let mut open = ENTRY;
    loop {
        if open & IN_DICT != 0 {
            at = skip_key(bytes, at, text_keys && depth == 1)?;
        }
        // Behind the end, if the length of a scalar has led there.
        let Some(&first) = bytes.get(at) else { return Err(ParseErrorKind::Truncated.at(bytes.len())) };
        open -= ENTRY;
        match CLASSES[usize::from(first)] {
            // A guess that the processor can make, where a length out of the table would have to be waited for.
            0 => at += 1,
            fixed @ 1..=FIXED_MAX => at += 1 + usize::from(fixed),
            SHORT_TEXT => at = text::check(bytes, at + 1, usize::from(first & 31))?,
            TEXT => at = skip_text(bytes, first, at)?,
            _ => {
                let (opened, end) = skip_other(bytes, first, at)?;
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
        while open < ENTRY {
            if depth == 0 {
                return if at <= bytes.len() {
                    Ok(at)
                } else {
                    Err(ParseErrorKind::Truncated.at(bytes.len()))
                };
            }
            depth -= 1;
            open = outer[depth];
        }
    }
}

/// Skips a key: any scalar, or text only.
#[inline(always)]
fn skip_key(bytes: &[u8], at: usize, is_text: bool) -> Result<usize, ParseError> {
    match bytes.get(at) {
        Some(&first @ 0xa0..=0xbf) => text::check(bytes, at + 1, usize::from(first & 31)),
        Some(&first) => skip_unusual_key(bytes, first, at, is_text),
        None => Err(ParseErrorKind::Truncated.at(bytes.len())),
    }
}

fn skip_unusual_key(bytes: &[u8], first: u8, at: usize, is_text: bool) -> Result<usize, ParseError> {
    match CLASSES[usize::from(first)] {
        TEXT => skip_text(bytes, first, at),
        _ if is_text => Err(no_text_key(at)),
        fixed @ 0..=FIXED_MAX => Ok(data(bytes, at + 1, usize::from(fixed))?.1),
        _ => match skip_other(bytes, first, at)? {
            (None, end) => Ok(end),
            (Some(_), _) => Err(no_text_key(at)),
        },
    }
}

/// Skips a text whose length stands in bytes of its own.
#[inline(always)]
fn skip_text(bytes: &[u8], first: u8, at: usize) -> Result<usize, ParseError> {
    let (len, begin) = length(bytes, at + 1, 1 << (first - 0xd9))?;
    text::check(bytes, begin, len)
}

/// Skips a binary or an extension, or the head of a container, which then is the first thing returned.
#[inline(always)]
fn skip_other(bytes: &[u8], first: u8, at: usize) -> Result<(Option<Open>, usize), ParseError> {
    let (head, at) = head(bytes, first, at + 1)?;
    match head {
        Head::List(len) => {
            check_items(bytes, at, len)?;
            Ok((Some(len as u32 * ENTRY), at))
        }
        Head::Dict(len) => {
            check_items(bytes, at, len.saturating_mul(2))?;
            Ok((Some(len as u32 * ENTRY + IN_DICT), at))
        }
        Head::Data(len) | Head::Text(len) => Ok((None, data(bytes, at, len)?.1)),
        Head::Done => Ok((None, at)),
    }
}

/// Reads a scalar or the head of a container; returns where it ends. Text is not checked yet.
#[inline(always)]
pub(super) fn token(bytes: &[u8], at: usize) -> Result<(Token<'_>, usize), ParseError> {
    let Some(&first) = bytes.get(at) else {
        return Err(ParseErrorKind::Truncated.at(at));
    };
    let (head, at) = head(bytes, first, at + 1)?;
    Ok(match head {
        Head::Done => (small(first), at),
        Head::Text(len) => {
            let (content, end) = data(bytes, at, len)?;
            (Token::UncheckedText(content), end)
        }
        Head::Data(len) => {
            let (content, end) = data(bytes, at, len)?;
            (sized(first, content), end)
        }
        Head::List(len) => {
            check_items(bytes, at, len)?;
            (Token::List(Some(len)), at)
        }
        Head::Dict(len) => {
            check_items(bytes, at, len.saturating_mul(2))?;
            (Token::Dict(Some(len)), at)
        }
    })
}

/// The values of one byte.
#[inline(always)]
fn small(first: u8) -> Token<'static> {
    match first {
        0x00..=0x7f => Token::Unsigned(u64::from(first)),
        0xe0..=0xff => Token::Negative(u64::from(!first)),
        0xc2 => Token::Bool(false),
        0xc3 => Token::Bool(true),
        _ => Token::Null,
    }
}

/// Numbers, binaries and extensions; `content` has the length that `first` says.
#[inline(always)]
fn sized(first: u8, content: &[u8]) -> Token<'_> {
    let unsigned = || content.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    match first {
        0xca => Token::Float(f64::from(f32::from_bits(unsigned() as u32))),
        0xcb => Token::Float(f64::from_bits(unsigned())),
        0xcc..=0xcf => Token::Unsigned(unsigned()),
        0xd0..=0xd3 => {
            let unused_bits = 64 - 8 * content.len() as u32;
            let value = (unsigned() << unused_bits) as i64 >> unused_bits;
            if value < 0 { Token::Negative(!value as u64) } else { Token::Unsigned(value as u64) }
        }
        0xc4..=0xc6 => Token::Binary(content),
        // What JavaScript's libraries write for undefined.
        0xd4 if content == [0, 0] => Token::Null,
        // An extension becomes the binary of its data: the first byte is its type.
        _ => Token::Binary(&content[1..]),
    }
}

/// A length that fits its 32-bit field. No message is long enough for the other case.
fn len_32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

pub(super) fn write_list(out: &mut Buffer, len: usize) {
    write_container(out, len, 0x90, 0xdc);
}

pub(super) fn write_dict(out: &mut Buffer, len: usize) {
    write_container(out, len, 0x80, 0xde);
}

#[inline]
fn write_container(out: &mut Buffer, len: usize, small: u8, sized: u8) {
    match len {
        0..16 => out.push(small | len as u8),
        16..0x1_0000 => write_sized(out, sized, &(len as u16).to_be_bytes()),
        _ => write_sized(out, sized + 1, &len_32(len).to_be_bytes()),
    }
}

/// A first byte and what follows, in one append.
#[inline]
fn write_sized<const N: usize>(out: &mut Buffer, first: u8, rest: &[u8; N]) {
    out.push(first);
    out.extend_from_slice(rest);
}

#[inline]
pub(super) fn write_unsigned(out: &mut Buffer, value: u64) {
    match value {
        0..0x80 => out.push(value as u8),
        0x80..0x100 => write_sized(out, 0xcc, &[value as u8]),
        0x100..0x1_0000 => write_sized(out, 0xcd, &(value as u16).to_be_bytes()),
        0x1_0000..0x1_0000_0000 => write_sized(out, 0xce, &(value as u32).to_be_bytes()),
        _ => write_sized(out, 0xcf, &value.to_be_bytes()),
    }
}

/// A negative integer.
#[inline]
pub(super) fn write_negative(out: &mut Buffer, value: i64) {
    match value {
        -32.. => out.push(value as u8),
        -0x80.. => write_sized(out, 0xd0, &[value as u8]),
        -0x8000.. => write_sized(out, 0xd1, &(value as i16).to_be_bytes()),
        -0x8000_0000.. => write_sized(out, 0xd2, &(value as i32).to_be_bytes()),
        _ => write_sized(out, 0xd3, &value.to_be_bytes()),
    }
}

pub(super) fn write_float(out: &mut Buffer, value: f64) {
    write_sized(out, 0xcb, &value.to_be_bytes());
}

/// The head of a text of so many bytes.
#[inline]
pub(super) fn write_string_head(out: &mut Buffer, len: usize) {
    match len {
        0..32 => out.push(0xa0 | len as u8),
        32..0x100 => write_sized(out, 0xd9, &[len as u8]),
        0x100..0x1_0000 => write_sized(out, 0xda, &(len as u16).to_be_bytes()),
        _ => write_sized(out, 0xdb, &len_32(len).to_be_bytes()),
    }
}

#[inline]
pub(super) fn write_string(out: &mut Buffer, text: &[u8]) {
    write_string_head(out, text.len());
    out.extend_from_slice(&text[..len_32(text.len()) as usize]);
}

/// The head of a binary of so many bytes.
pub(super) fn write_binary_head(out: &mut Buffer, len: usize) {
    match len {
        0..0x100 => write_sized(out, 0xc4, &[len as u8]),
        0x100..0x1_0000 => write_sized(out, 0xc5, &(len as u16).to_be_bytes()),
        _ => write_sized(out, 0xc6, &len_32(len).to_be_bytes()),
    }
}

pub(super) fn write_binary(out: &mut Buffer, bytes: &[u8]) {
    write_binary_head(out, bytes.len());
    out.extend_from_slice(&bytes[..len_32(bytes.len()) as usize]);
}
