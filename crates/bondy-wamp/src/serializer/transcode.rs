//! Re-encodes items from one serializer into another, token by token: no value tree, no recursion, and no
//! allocation but the growth of the output. `docs/wire-transcoding.md` lists what becomes what.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::decoder::{Decoder, Token};
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
    use Serializer::{Cbor, Json, MessagePack};
    let to = encoder.serializer();
    // One copy of the loop for each pair, so that nothing asks for the serializers token by token.
    let copied = match (source, to) {
        (Json, Json) | (MessagePack, MessagePack) | (Cbor, Cbor) => {
            encoder.raw(item);
            Ok(())
        }
        (Json, MessagePack) => encoder.with(MessagePack, |encoder| copy(Json, item, encoder)),
        (Json, Cbor) => encoder.with(Cbor, |encoder| copy(Json, item, encoder)),
        (MessagePack, Json) => encoder.with(Json, |encoder| copy(MessagePack, item, encoder)),
        (MessagePack, Cbor) => encoder.with(Cbor, |encoder| copy(MessagePack, item, encoder)),
        (Cbor, Json) => encoder.with(Json, |encoder| copy(Cbor, item, encoder)),
        (Cbor, MessagePack) => encoder.with(MessagePack, |encoder| copy(Cbor, item, encoder)),
    };
    copied.map_err(|cause| TranscodeError { from: source, to, cause })
}

/// A container that is being copied.
#[derive(Clone, Copy, Default)]
struct Open {
    /// What is still to come, if that is known ahead; else what has been copied.
    items: u32,
    /// Where the number of items is to be patched; 0 if it was known ahead.
    position: u32,
    dict: bool,
    first: bool,
}

#[inline(always)]
fn copy(source: Serializer, item: &[u8], encoder: &mut Encoder<'_>) -> Result<(), ParseError> {
    let mut decoder = Decoder::new(source, item)?;
    let base = encoder.len();
    let mut outer = [Open::default(); LEVELS_MAX];
    let mut open = Open::default();
    let mut depth = 0;
    loop {
        let token = decoder.token_of(source)?;
        match token {
            Token::List(len) | Token::Dict(len) => {
                decoder.enter_level(decoder.offset())?;
                let dict = matches!(token, Token::Dict(_));
                outer[depth] = open;
                depth += 1;
                open = begin(encoder, len, dict, base);
            }
            _ => write_scalar(encoder, token, decoder.bytes(), decoder.offset())?,
        }
        loop {
            if depth == 0 {
                return decoder.end();
            }
            if next(&mut decoder, source, &mut open)? {
                break;
            }
            end(encoder, open, base);
            decoder.leave_level();
            depth -= 1;
            open = outer[depth];
        }
        if open.dict {
            let (token, end) = decoder.key_token_of(source)?;
            write_key(encoder, token, decoder.bytes(), end)?;
        }
    }
}

#[inline(always)]
fn next(decoder: &mut Decoder<'_>, source: Serializer, open: &mut Open) -> Result<bool, ParseError> {
    let more = if open.position != 0 {
        let more = decoder.next_unknown(source, open.first, open.dict)?;
        open.items += u32::from(more);
        more
    } else {
        let more = open.items != 0;
        open.items -= u32::from(more);
        more
    };
    open.first = false;
    Ok(more)
}

#[inline(always)]
fn begin(encoder: &mut Encoder<'_>, len: Option<usize>, dict: bool, base: usize) -> Open {
    match len {
        Some(len) => {
            if dict {
                encoder.begin_dict(len);
            } else {
                encoder.begin_list(len);
            }
            Open { items: len as u32, position: 0, dict, first: true }
        }
        None => Open { items: 0, position: (encoder.begin_open(dict) - base) as u32, dict, first: true },
    }
}

#[inline(always)]
fn end(encoder: &mut Encoder<'_>, open: Open, base: usize) {
    if open.position != 0 {
        encoder.patch_len(base + open.position as usize, open.items);
    }
    if open.dict { encoder.end_dict() } else { encoder.end_list() }
}

/// Appends anything but a container; `end` is where its token ends in `bytes`.
#[inline(always)]
fn write_scalar(
    encoder: &mut Encoder<'_>,
    token: Token<'_>,
    bytes: &[u8],
    end: usize,
) -> Result<(), ParseError> {
    match token {
        Token::Null => encoder.null(),
        Token::Bool(value) => encoder.bool(value),
        Token::Unsigned(value) => encoder.unsigned(value),
        Token::Negative(value) => encoder.integer(-1 - i128::from(value)),
        Token::Float(value) => encoder.float(value),
        // The closing quote is a part of the token.
        Token::Text(text) => encoder.string_at(bytes, end - 1 - text.len(), text.len()),
        Token::UncheckedText(content) => {
            let start = end - content.len();
            text::check(bytes, start, content.len())?;
            encoder.string_at(bytes, start, content.len());
        }
        Token::Escaped(content) => write_escaped(encoder, content),
        Token::TextChunks(content) => write_text_chunks(encoder, content),
        Token::Binary(bytes) => encoder.binary(bytes),
        Token::BinaryChunks(content) => write_binary_chunks(encoder, content),
        Token::List(_) | Token::Dict(_) => return Err(ParseErrorKind::Malformed("a scalar expected").at(end)),
    }
    Ok(())
}

/// Appends a key. Keys other than text stay what they are, except in JSON.
#[inline(always)]
fn write_key(
    encoder: &mut Encoder<'_>,
    token: Token<'_>,
    bytes: &[u8],
    end: usize,
) -> Result<(), ParseError> {
    match token {
        Token::Escaped(content) => write_unescaped(encoder, content),
        Token::Text(_) | Token::UncheckedText(_) | Token::TextChunks(_) => {
            write_scalar(encoder, token, bytes, end)?;
        }
        _ if encoder.serializer() == Serializer::Json => key_text(token, |text| encoder.string(text)),
        _ => write_scalar(encoder, token, bytes, end)?,
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

/// Appends the content of a JSON string with escapes, which may stand for bytes.
fn write_escaped(encoder: &mut Encoder<'_>, content: &[u8]) {
    match json::base64_of_escaped(content) {
        Some(base64) if write_base64(encoder, &base64) => {}
        _ => write_unescaped(encoder, content),
    }
}

/// Appends the bytes of which this is the base64; false, and nothing appended, if it is not base64.
fn write_base64(encoder: &mut Encoder<'_>, base64: &[u8]) -> bool {
    let start = encoder.len();
    let serializer = encoder.serializer();
    let padding = base64.iter().rev().take_while(|&&byte| byte == b'=').count();
    let len = (base64.len() / 4 * 3).saturating_sub(padding);
    let out = encoder.out();
    match serializer {
        Serializer::Json => return false,
        Serializer::MessagePack => msgpack::write_binary_head(out, len),
        Serializer::Cbor => cbor::write_head(out, cbor::BYTES, len as u64),
    }
    let begin = out.len();
    out.resize(begin + base64.len() / 4 * 3, 0);
    let decoded = BASE64.decode_slice(base64, &mut out[begin..]) == Ok(len);
    out.truncate(if decoded { begin + len } else { start });
    decoded
}

/// Appends the content of a JSON string with escapes, as text.
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
