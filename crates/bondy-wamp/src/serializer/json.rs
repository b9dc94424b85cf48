//! JSON (RFC 8259): scanning, skipping and writing. The bytes are known to be UTF-8.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::decoder::Token;
use super::error::{ParseError, ParseErrorKind, no_text_key};
use crate::buffer::Buffer;

/// How a string begins whose rest is base64: the escape of U+0000.
const BINARY_MARK: &str = "\\u0000";

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Strings that are longer than this are searched with vector instructions.
const SHORT_STRING_BYTES: usize = 32;

/// The first byte that is not white space.
#[inline(always)]
pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    // Mostly there is none, which one comparison tells.
    while let Some(&byte) = bytes.get(at)
        && byte <= b' '
        && matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
    {
        at += 1;
    }
    at
}

/// The first byte from `at` on that is not white space, and where it stands.
#[inline(always)]
fn visible(bytes: &[u8], at: usize) -> (Option<u8>, usize) {
    match bytes.get(at) {
        Some(&byte) if byte > b' ' => (Some(byte), at),
        _ => {
            let at = skip_space(bytes, at);
            (bytes.get(at).copied(), at)
        }
    }
}

/// Skips one value, whose containers nest at most `levels` deep, and returns where it ends.
pub(super) fn skip(bytes: &[u8], from: usize, levels: usize) -> Result<usize, ParseError> {
    let mut at = from;
    let mut depth = 0;
    // Is the innermost container a dictionary? And, one bit each, those around it; 64 bits are enough for
    // `LEVELS_MAX - 1` containers, because the innermost has a variable of its own.
    let mut in_dict = false;
    let mut outer: u64 = 0;
    loop {
        let (first, start) = visible(bytes, at);
        at = start;
        let Some(byte) = first else {
            return Err(ParseErrorKind::Truncated.at(at));
        };
        match byte {
            b'"' => at = scan_string(bytes, at + 1)?.0 + 1,
            b'{' | b'[' => {
                if depth == levels {
                    return Err(ParseErrorKind::TooDeep.at(at));
                }
                let dict = byte == b'{';
                let (first, start) = visible(bytes, at + 1);
                at = start;
                // The closing bracket is two above the opening one in ASCII.
                if first == Some(byte + 2) {
                    at += 1;
                } else {
                    depth += 1;
                    outer = outer << 1 | u64::from(in_dict);
                    in_dict = dict;
                    if dict {
                        at = skip_key(bytes, at)?;
                    }
                    continue;
                }
            }
            b'1'..=b'9' => at = scan_number_tail(bytes, scan_digits(bytes, at + 1))?.0,
            b'-' | b'0' => at = scan_number(bytes, at)?.0,
            _ => at = scan_word(bytes, at)?,
        }
        loop {
            if depth == 0 {
                return Ok(at);
            }
            let (next, end) = visible(bytes, at);
            at = end;
            match next {
                Some(b',') if in_dict => {
                    at = skip_key(bytes, at + 1)?;
                    break;
                }
                Some(b',') => {
                    at += 1;
                    break;
                }
                Some(byte) if byte == if in_dict { b'}' } else { b']' } => {
                    at += 1;
                    depth -= 1;
                    in_dict = outer & 1 == 1;
                    outer >>= 1;
                }
                other => return Err(no_separator(other.as_ref(), at)),
            }
        }
    }
}

#[cold]
pub(super) fn no_separator(found: Option<&u8>, at: usize) -> ParseError {
    match found {
        None => ParseErrorKind::Truncated.at(at),
        Some(_) => ParseErrorKind::Malformed("a comma or the end of the list or dictionary expected").at(at),
    }
}

/// A key with the colon behind it; returns where the value may begin.
#[inline(always)]
fn skip_key(bytes: &[u8], at: usize) -> Result<usize, ParseError> {
    match visible(bytes, at) {
        (Some(b'"'), at) => colon(bytes, scan_string(bytes, at + 1)?.0 + 1),
        (found, at) => Err(no_key(found.as_ref(), at)),
    }
}

#[cold]
pub(super) fn no_key(found: Option<&u8>, at: usize) -> ParseError {
    match found {
        None => ParseErrorKind::Truncated.at(at),
        Some(_) => no_text_key(at),
    }
}

/// The colon behind a key.
#[inline(always)]
pub(super) fn colon(bytes: &[u8], at: usize) -> Result<usize, ParseError> {
    let (found, at) = visible(bytes, at);
    match found {
        Some(b':') => Ok(at + 1),
        None => Err(ParseErrorKind::Truncated.at(at)),
        Some(_) => Err(ParseErrorKind::Malformed("a colon expected after a key").at(at)),
    }
}

/// From the byte after the opening quote: where the closing quote stands, and whether there are escapes.
#[inline(always)]
pub(super) fn scan_string(bytes: &[u8], from: usize) -> Result<(usize, bool), ParseError> {
    let at = find_special(bytes, from);
    if bytes.get(at) == Some(&b'"') { Ok((at, false)) } else { scan_escaped_string(bytes, at) }
}

/// The rest of a string from its first escape (or error) on.
fn scan_escaped_string(bytes: &[u8], from: usize) -> Result<(usize, bool), ParseError> {
    let mut at = from;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok((at, true)),
            Some(b'\\') => at = scan_escape(bytes, at)?.1,
            Some(_) => return Err(ParseErrorKind::Malformed("a control character in a string").at(at)),
            None => return Err(ParseErrorKind::Truncated.at(at)),
        }
        at = find_special(bytes, at);
    }
}

/// One escape from its backslash on: the character, and where the text goes on.
fn scan_escape(bytes: &[u8], at: usize) -> Result<(char, usize), ParseError> {
    let plain = match bytes.get(at + 1) {
        Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'u') => return scan_unicode_escape(bytes, at),
        Some(_) => return Err(ParseErrorKind::Malformed("an unknown escape in a string").at(at)),
        None => return Err(ParseErrorKind::Truncated.at(at)),
    };
    Ok((char::from(plain), at + 2))
}

fn scan_unicode_escape(bytes: &[u8], at: usize) -> Result<(char, usize), ParseError> {
    let first = scan_hex(bytes, at + 2)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, at + 6));
    }
    // `first` is a surrogate: it must be the high one, and the low one must follow.
    match bytes.get(at + 6..).unwrap_or_default() {
        [b'\\', b'u', ..] => {}
        [] | [b'\\'] => return Err(ParseErrorKind::Truncated.at(bytes.len())),
        _ => return Err(ParseErrorKind::LoneSurrogate.at(at)),
    }
    let second = scan_hex(bytes, at + 8)?;
    let pair = char::decode_utf16([first as u16, second as u16]).next();
    match pair {
        Some(Ok(character)) => Ok((character, at + 12)),
        _ => Err(ParseErrorKind::LoneSurrogate.at(at)),
    }
}

fn scan_hex(bytes: &[u8], at: usize) -> Result<u32, ParseError> {
    let mut number = 0;
    for position in at..at + 4 {
        let Some(&byte) = bytes.get(position) else {
            return Err(ParseErrorKind::Truncated.at(position));
        };
        let Some(digit) = char::from(byte).to_digit(16) else {
            return Err(ParseErrorKind::Malformed("four hexadecimal digits expected after \\u").at(position));
        };
        number = number * 16 + digit;
    }
    Ok(number)
}

/// The first byte from `at` on that is a quote, a backslash or a control character; the length if there is none.
#[inline(always)]
fn find_special(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let (chunks, _) = rest.as_chunks::<8>();
    let mut at = from;
    for chunk in chunks.iter().take(SHORT_STRING_BYTES / 8) {
        let special = special_bits(u64::from_le_bytes(*chunk));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    find_special_in_long(bytes, at)
}

/// A set high bit for each special byte. Bits above the lowest set one may be false: only the lowest counts.
#[inline(always)]
fn special_bits(word: u64) -> u64 {
    // A quote becomes 0x20 and a control character stays below it; all others are above.
    let swapped = word ^ (LOW_BITS * 2);
    let backslash = word ^ (LOW_BITS * b'\\' as u64);
    let is_quote_or_control = swapped.wrapping_sub(LOW_BITS * 0x21) & !swapped;
    let is_backslash = backslash.wrapping_sub(LOW_BITS) & !backslash;
    (is_quote_or_control | is_backslash) & HIGH_BITS
}

/// The same by vector instructions, for long strings: two searches over bytes that are in the cache by then.
#[inline(never)]
fn find_special_in_long(bytes: &[u8], at: usize) -> usize {
    let tail = bytes.get(at..).unwrap_or_default();
    let len = memchr::memchr2(b'"', b'\\', tail).unwrap_or(tail.len());
    let plain = &tail[..len];
    // Without a branch for each byte, so that the compiler makes vector code of it.
    let controls = plain.iter().fold(false, |controls, &byte| controls | (byte < 0x20));
    if controls { at + plain.iter().position(|&byte| byte < 0x20).unwrap_or(len) } else { at + len }
}

/// A number: where it ends, and whether it has a fraction or an exponent.
#[inline(always)]
pub(super) fn scan_number(bytes: &[u8], from: usize) -> Result<(usize, bool), ParseError> {
    let mut at = from + usize::from(bytes.get(from) == Some(&b'-'));
    let integer = at;
    at = scan_digits(bytes, at);
    if at == integer {
        return Err(bad_number(bytes, at));
    }
    if at > integer + 1 && bytes.get(integer) == Some(&b'0') {
        return Err(ParseErrorKind::Malformed("a number must not begin with 0").at(integer));
    }
    scan_number_tail(bytes, at)
}

/// What may follow the digits of an integer.
#[inline(always)]
fn scan_number_tail(bytes: &[u8], at: usize) -> Result<(usize, bool), ParseError> {
    match bytes.get(at) {
        Some(b'.' | b'e' | b'E') => Ok((scan_fraction(bytes, at)?, true)),
        _ => Ok((at, false)),
    }
}

fn scan_fraction(bytes: &[u8], from: usize) -> Result<usize, ParseError> {
    let mut at = from;
    if bytes.get(at) == Some(&b'.') {
        at = scan_digits(bytes, from + 1);
        if at == from + 1 {
            return Err(bad_number(bytes, at));
        }
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        let exponent = at;
        at = scan_digits(bytes, at);
        if at == exponent {
            return Err(bad_number(bytes, at));
        }
    }
    Ok(at)
}

/// Where the digits end that begin at `at`. Byte by byte: numbers are short, and their ends are predicted well.
#[inline(always)]
pub(super) fn scan_digits(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    at
}

#[cold]
fn bad_number(bytes: &[u8], at: usize) -> ParseError {
    if at >= bytes.len() {
        ParseErrorKind::Truncated.at(at)
    } else {
        ParseErrorKind::Malformed("a digit expected in a number").at(at)
    }
}

/// `true`, `false` or `null`; returns where it ends.
#[inline]
fn scan_word(bytes: &[u8], at: usize) -> Result<usize, ParseError> {
    let word: &[u8] = match bytes.get(at) {
        Some(b't') => b"true",
        Some(b'f') => b"false",
        Some(b'n') => b"null",
        _ => return Err(ParseErrorKind::Malformed("a value expected").at(at)),
    };
    match bytes.get(at..at + word.len()) {
        Some(found) if found == word => Ok(at + word.len()),
        None if word.starts_with(&bytes[at..]) => Err(ParseErrorKind::Truncated.at(bytes.len())),
        _ => Err(ParseErrorKind::Malformed("a value expected").at(at)),
    }
}

/// Reads a scalar or the opening bracket of a container, from the first byte on; returns where it ends.
#[inline(always)]
pub(super) fn token(text: &str, at: usize) -> Result<(Token<'_>, usize), ParseError> {
    let bytes = text.as_bytes();
    match bytes.get(at) {
        None => Err(ParseErrorKind::Truncated.at(at)),
        Some(b'"') => {
            let (end, escaped) = scan_string(bytes, at + 1)?;
            // Quotes are characters of one byte, so that the content is whole characters.
            let content = &text[at + 1..end];
            let token = if escaped { Token::Escaped(content.as_bytes()) } else { Token::Text(content) };
            Ok((token, end + 1))
        }
        Some(b'{') => Ok((Token::Dict(None), at + 1)),
        Some(b'[') => Ok((Token::List(None), at + 1)),
        Some(b'-' | b'0'..=b'9') => {
            let (end, is_float) = scan_number(bytes, at)?;
            Ok((number(&text[at..end], is_float), end))
        }
        Some(first) => {
            let token = match first {
                b't' => Token::Bool(true),
                b'f' => Token::Bool(false),
                _ => Token::Null,
            };
            Ok((token, scan_word(bytes, at)?))
        }
    }
}

/// The value of a number that obeys the grammar: an integer if it is written as one and fits 64 bits, else the
/// nearest float. `-0` is a float, because no integer is.
#[inline(always)]
fn number(text: &str, is_float: bool) -> Token<'_> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    // 19 digits always fit an unsigned 64-bit integer.
    if !is_float && digits.len() <= 19 {
        let value = digits.bytes().fold(0u64, |value, digit| value * 10 + u64::from(digit - b'0'));
        let negative = digits.len() < text.len();
        if !negative {
            return Token::Unsigned(value);
        }
        if (1..=1 << 63).contains(&value) {
            return Token::Negative(value - 1);
        }
    }
    long_number(text, is_float)
}

fn long_number(text: &str, is_float: bool) -> Token<'_> {
    if !is_float && let Ok(value) = text.parse::<u64>() {
        return Token::Unsigned(value);
    }
    // The grammar of Rust's floats includes that of JSON's numbers, so that this never fails.
    Token::Float(text.parse().unwrap_or(f64::NAN))
}

/// The base64, if this escaped content of a string is marked as binary.
pub(super) fn base64_of_escaped(content: &[u8]) -> Option<Cow<'_, [u8]>> {
    let encoded = content.strip_prefix(BINARY_MARK.as_bytes())?;
    if memchr::memchr(b'\\', encoded).is_none() {
        return Some(Cow::Borrowed(encoded));
    }
    // Some encoders escape the slash, which is a base64 character.
    let mut unescaped = Buffer::new();
    unescape(encoded, &mut unescaped);
    Some(Cow::Owned(unescaped))
}

/// The bytes that this escaped content of a string stands for, if it does.
///
/// Text that begins with U+0000 and does not go on with correct base64 stays text.
pub(super) fn binary_of_escaped(content: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(base64_of_escaped(content)?).ok()
}

/// Appends the text that scanned escaped content stands for.
pub(super) fn unescape(content: &[u8], out: &mut Buffer) {
    let mut rest = content;
    while let Some(len) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..len]);
        let Ok((character, end)) = scan_escape(rest, len) else { return };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[end..];
    }
    out.extend_from_slice(rest);
}

/// The length of what [`unescape`] appends.
pub(super) fn unescaped_len(content: &[u8]) -> usize {
    let mut rest = content;
    let mut total = 0;
    while let Some(len) = memchr::memchr(b'\\', rest) {
        let Ok((character, end)) = scan_escape(rest, len) else { return total + len };
        total += len + character.len_utf8();
        rest = &rest[end..];
    }
    total + rest.len()
}

/// Appends text as a string, quotes included.
#[inline]
pub(super) fn write_string(out: &mut Buffer, text: &[u8]) {
    write_string_at(out, text, 0, text.len());
}

/// Appends the `len` bytes from `at` on as a string, quotes included.
#[inline]
pub(super) fn write_string_at(out: &mut Buffer, bytes: &[u8], at: usize, len: usize) {
    out.push(b'"');
    if len > SHORT_STRING_BYTES || !write_short(out, bytes.get(at..).unwrap_or_default(), len) {
        write_string_content(out, &bytes[at..at + len]);
    }
    out.push(b'"');
}

/// Appends the first `len` bytes, by eight bytes at a time that may reach beyond them; false, and nothing appended,
/// if anything has to be escaped or there is not enough to read.
#[inline(always)]
fn write_short(out: &mut Buffer, bytes: &[u8], len: usize) -> bool {
    let start = out.len();
    let (chunks, _) = bytes.as_chunks::<8>();
    let mut left = len;
    for chunk in chunks {
        if left == 0 {
            break;
        }
        let special = special_bits(u64::from_le_bytes(*chunk));
        if special != 0 && special.trailing_zeros() as usize / 8 < left {
            break;
        }
        out.extend_from_slice(chunk);
        left = left.saturating_sub(8);
    }
    out.truncate(if left == 0 { start + len } else { start });
    left == 0
}

/// Appends text as a part of a string.
pub(super) fn write_string_content(out: &mut Buffer, text: &[u8]) {
    let mut rest = text;
    loop {
        let plain = find_special(rest, 0);
        out.extend_from_slice(&rest[..plain]);
        let Some(&byte) = rest.get(plain) else { return };
        write_escape(out, byte);
        rest = &rest[plain + 1..];
    }
}

fn write_escape(out: &mut Buffer, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        b'"' | b'\\' => byte,
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends bytes as a string of `\u0000` and base64.
pub(super) fn write_binary(out: &mut Buffer, bytes: &[u8]) {
    begin_binary(out);
    write_base64(out, bytes);
    out.push(b'"');
}

/// The opening quote and the mark of binary.
pub(super) fn begin_binary(out: &mut Buffer) {
    out.push(b'"');
    out.extend_from_slice(BINARY_MARK.as_bytes());
}

/// Appends base64.
pub(super) fn write_base64(out: &mut Buffer, bytes: &[u8]) {
    let start = out.len();
    let len = bytes.len().div_ceil(3) * 4;
    out.resize(start + len, b'=');
    let written = BASE64.encode_slice(bytes, &mut out[start..]).unwrap_or_default();
    debug_assert_eq!(written, len, "padded base64 has four characters for every three bytes");
}
