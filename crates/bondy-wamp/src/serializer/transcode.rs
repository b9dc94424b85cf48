//! Re-encodes items from one serializer into another, token by token: no value tree, no recursion, and no
//! allocation but the growth of the output. `docs/wire-transcoding.md` lists what becomes what.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::decoder::{Decoder, Items, Token};
use super::error::{ParseError, ParseErrorKind, TranscodeError};
use super::{Encoder, LEVELS_MAX, Serializer, cbor, json, msgpack, text};
use crate::buffer::Buffer;

/// Appends an item in another serializer; in the same serializer, verbatim and unchecked.
///
/// # Errors
/// The item is not one well-formed item of `source`. What was appended until then is taken back.
pub fn transcode(
    source: Serializer,
    item: &[u8],
    target: Serializer,
    out: &mut Buffer,
) -> Result<(), TranscodeError> {
    let start = out.len();
    let outcome = Encoder::new(target, out).item(source, item);
    if outcome.is_err() {
        out.truncate(start);
    }
    outcome
}

/// Appends an item of another serializer to an encoder.
pub(super) fn transcode_item(
    source: Serializer,
    item: &[u8],
    encoder: &mut Encoder<'_>,
) -> Result<(), TranscodeError> {
    let to = encoder.serializer();
    copy(source, item, encoder).map_err(|cause| TranscodeError { from: source, to, cause })
}

/// A container that is being copied.
#[derive(Clone, Copy)]
struct Open {
    items: Items,
    dict: bool,
    /// What has been copied, and where its number is to be patched, if it was not known ahead.
    count: u32,
    position: Option<usize>,
}

fn copy(source: Serializer, item: &[u8], encoder: &mut Encoder<'_>) -> Result<(), ParseError> {
    let mut decoder = Decoder::new(source, item)?;
    let mut stack = [const { None::<Open> }; LEVELS_MAX];
    let mut depth = 0;
    loop {
        let start = decoder.offset();
        let token = decoder.token()?;
        match token {
            Token::List(len) | Token::Dict(len) => {
                let dict = matches!(token, Token::Dict(_));
                let items = decoder.enter(len, start)?;
                stack[depth] = Some(Open { items, dict, count: 0, position: begin(encoder, len, dict) });
                depth += 1;
            }
            _ => write_scalar(encoder, token, decoder.offset())?,
        }
        loop {
            let Some(open) = depth.checked_sub(1).and_then(|innermost| stack[innermost].as_mut()) else {
                return decoder.end();
            };
            let more = if open.dict {
                decoder.next_entry(&mut open.items)?
            } else {
                decoder.next_item(&mut open.items)?
            };
            if more {
                open.count += 1;
                if open.dict {
                    let token = decoder.key_token()?;
                    write_key(encoder, token, decoder.offset())?;
                }
                break;
            }
            end(encoder, open);
            depth -= 1;
        }
    }
}

fn begin(encoder: &mut Encoder<'_>, len: Option<usize>, dict: bool) -> Option<usize> {
    match (len, dict) {
        (Some(len), false) => encoder.begin_list(len),
        (Some(len), true) => encoder.begin_dict(len),
        (None, _) => return Some(encoder.begin_open(dict)),
    }
    None
}

fn end(encoder: &mut Encoder<'_>, open: &Open) {
    if let Some(position) = open.position {
        encoder.patch_len(position, open.count);
    }
    if open.dict { encoder.end_dict() } else { encoder.end_list() }
}

/// Appends anything but a container. `end` is where the token ends, for errors.
#[inline]
fn write_scalar(encoder: &mut Encoder<'_>, token: Token<'_>, end: usize) -> Result<(), ParseError> {
    match token {
        Token::Null => encoder.null(),
        Token::Bool(value) => encoder.bool(value),
        Token::Unsigned(value) => encoder.unsigned(value),
        Token::Negative(value) => encoder.integer(-1 - i128::from(value)),
        Token::Float(value) => encoder.float(value),
        Token::Text(text) => encoder.string(text),
        Token::UncheckedText(bytes) => encoder.string_bytes(check_utf8(bytes, end)?),
        Token::Escaped(content) => {
            if json::binary_of_escaped(content, |bytes| encoder.binary(bytes)).is_none() {
                write_unescaped(encoder, content);
            }
        }
        Token::TextChunks(content) => write_text_chunks(encoder, content),
        Token::Binary(bytes) => encoder.binary(bytes),
        Token::BinaryChunks(content) => write_binary_chunks(encoder, content),
        Token::List(_) | Token::Dict(_) => return Err(ParseErrorKind::Malformed("a scalar expected").at(end)),
    }
    Ok(())
}

#[inline]
fn check_utf8(bytes: &[u8], end: usize) -> Result<&[u8], ParseError> {
    if text::is_utf8(bytes) {
        return Ok(bytes);
    }
    Err(ParseErrorKind::InvalidUtf8.at(end - bytes.len() + text::invalid_utf8_offset(bytes)))
}

/// Appends a key. Keys other than text stay what they are, except in JSON.
fn write_key(encoder: &mut Encoder<'_>, token: Token<'_>, end: usize) -> Result<(), ParseError> {
    match token {
        Token::Escaped(content) => write_unescaped(encoder, content),
        Token::Text(_) | Token::UncheckedText(_) | Token::TextChunks(_) => write_scalar(encoder, token, end)?,
        _ if encoder.serializer() == Serializer::Json => key_text(token, |text| encoder.string(text)),
        _ => write_scalar(encoder, token, end)?,
    }
    encoder.end_key();
    Ok(())
}

/// Calls `write` with the text that a key which is not text becomes in JSON.
pub(super) fn key_text<R>(token: Token<'_>, write: impl FnOnce(&str) -> R) -> R {
    match token {
        Token::Bool(value) => write(if value { "true" } else { "false" }),
        Token::Unsigned(value) => write(itoa::Buffer::new().format(value)),
        Token::Negative(value) => write(itoa::Buffer::new().format(-1 - i128::from(value))),
        Token::Float(value) if value.is_finite() => write(ryu::Buffer::new().format_finite(value)),
        Token::Binary(bytes) => write(&format!("\0{}", BASE64.encode(bytes))),
        Token::BinaryChunks(content) => {
            let bytes: Buffer = cbor::chunks(content, cbor::BYTES).flatten().copied().collect();
            write(&format!("\0{}", BASE64.encode(bytes)))
        }
        Token::Null
        | Token::Float(_)
        | Token::Text(_)
        | Token::UncheckedText(_)
        | Token::Escaped(_)
        | Token::TextChunks(_)
        | Token::List(_)
        | Token::Dict(_) => write("null"),
    }
}

/// Appends the content of a JSON string with escapes.
fn write_unescaped(encoder: &mut Encoder<'_>, content: &[u8]) {
    let len = json::unescaped_len(content);
    match encoder.serializer() {
        Serializer::Json => {
            encoder.raw(b"\"");
            encoder.out().extend_from_slice(content);
            encoder.out().push(b'"');
        }
        Serializer::MessagePack => {
            msgpack::write_string_head(encoder.out(), len);
            json::unescape(content, encoder.out());
        }
        Serializer::Cbor => {
            cbor::write_head(encoder.out(), cbor::TEXT, len as u64);
            json::unescape(content, encoder.out());
        }
    }
}

fn write_text_chunks(encoder: &mut Encoder<'_>, content: &[u8]) {
    let chunks = cbor::chunks(content, cbor::TEXT);
    let len: usize = chunks.clone().map(<[u8]>::len).sum();
    match encoder.serializer() {
        Serializer::Json => {
            encoder.raw(b"\"");
            chunks.for_each(|chunk| json::write_string_content(encoder.out(), chunk));
            encoder.out().push(b'"');
        }
        Serializer::MessagePack => {
            msgpack::write_string_head(encoder.out(), len);
            chunks.for_each(|chunk| encoder.out().extend_from_slice(chunk));
        }
        Serializer::Cbor => {
            cbor::write_head(encoder.out(), cbor::TEXT, len as u64);
            chunks.for_each(|chunk| encoder.out().extend_from_slice(chunk));
        }
    }
}

fn write_binary_chunks(encoder: &mut Encoder<'_>, content: &[u8]) {
    let chunks = cbor::chunks(content, cbor::BYTES);
    let len: usize = chunks.clone().map(<[u8]>::len).sum();
    match encoder.serializer() {
        Serializer::Json => {
            // Base64 of the chunks one by one would be wrong at their seams.
            let bytes: Buffer = chunks.flatten().copied().collect();
            encoder.binary(&bytes);
        }
        Serializer::MessagePack => {
            msgpack::write_binary_head(encoder.out(), len);
            chunks.for_each(|chunk| encoder.out().extend_from_slice(chunk));
        }
        Serializer::Cbor => {
            cbor::write_head(encoder.out(), cbor::BYTES, len as u64);
            chunks.for_each(|chunk| encoder.out().extend_from_slice(chunk));
        }
    }
}
