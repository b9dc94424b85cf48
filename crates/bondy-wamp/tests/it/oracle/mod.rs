//! What must hold for any bytes at all. Each function panics if it does not.
//!
//! The fuzz targets are thin calls of these, and `corpus.rs` replays their corpora. The other implementations that
//! ours are compared with are serde_json, rmpv and ciborium; where ours is stricter on purpose, it says so here.

use std::collections::BTreeMap;

use bondy_wamp::message;
use bondy_wamp::serializer::{
    DEPTH_MAX, Decoder, ParseError, ParseErrorKind, Serializer, decode_value, transcode as transcode_item,
};
use bondy_wamp::uri::{self, MatchPolicy, UriRule};
use bondy_wamp::value::Value;

mod cbor;
mod challenge;
mod json;
mod msgpack;
pub mod typed;

/// Any bytes as JSON.
pub fn parse_json(bytes: &[u8]) {
    json::agrees(bytes);
    message_survives(Serializer::Json, bytes);
}

/// Any bytes as MessagePack.
pub fn parse_msgpack(bytes: &[u8]) {
    msgpack::agrees(bytes);
    message_survives(Serializer::MessagePack, bytes);
}

/// Any bytes as CBOR.
pub fn parse_cbor(bytes: &[u8]) {
    cbor::agrees(bytes);
    message_survives(Serializer::Cbor, bytes);
}

/// The whole item as a value, and the outcome of skipping it, which must agree.
fn item(serializer: Serializer, bytes: &[u8]) -> Result<Value, ParseError> {
    let value = Decoder::message(serializer, bytes).and_then(|mut decoder| {
        let value = decoder.value()?;
        decoder.end().map(|()| value)
    });
    let skipped = Decoder::message(serializer, bytes).and_then(|mut decoder| {
        decoder.skip()?;
        decoder.end()
    });
    assert_eq!(value.is_ok(), skipped.is_ok(), "reading {value:?}, skipping {skipped:?}: {bytes:02x?}");
    value
}

/// Do two dictionaries mean the same? Theirs keeps a key that comes again, and ours the last of them. Keys that are
/// no text, which `key_text` does not give, become text by a rule of ours alone: then nothing is compared.
fn same_dict<T>(
    ours: &BTreeMap<String, Value>,
    theirs: &[(T, T)],
    key_text: impl Fn(&T) -> Option<String>,
    same: impl Fn(&Value, &T) -> bool,
) -> bool {
    let keys: Option<Vec<String>> = theirs.iter().map(|(key, _)| key_text(key)).collect();
    let Some(keys) = keys else { return true };
    keys.iter().enumerate().all(|(index, key)| {
        let overwritten = keys[index + 1..].contains(key);
        overwritten || ours.get(key).is_some_and(|ours| same(ours, &theirs[index].1))
    })
}

/// A message that is accepted can be written in every serializer and is accepted there too; in its own it means
/// the same again.
fn message_survives(serializer: Serializer, bytes: &[u8]) {
    let Ok(message) = message::parse(serializer, bytes) else { return };
    for target in Serializer::ALL {
        let mut out = Vec::new();
        message.encode(target, &mut out).expect("what was parsed can be encoded");
        let again = message::parse(target, &out).expect("what was encoded can be parsed");
        let meaning = format!("{message:?}");
        // JSON numbers too large for a float are infinite, and infinity becomes null.
        if target == serializer && !(serializer == Serializer::Json && meaning.contains("inf)")) {
            assert_eq!(meaning, format!("{again:?}"));
        }
    }
}

/// Two bytes that choose the serializers, then any bytes: transcoding succeeds if and only if decoding does, and
/// means the same as decoding and encoding again.
pub fn transcode(bytes: &[u8]) {
    let [source, target, item @ ..] = bytes else { return };
    let [source, target] = [source, target].map(|byte| Serializer::ALL[usize::from(byte % 3)]);
    if source == target {
        return;
    }
    let value = decode_value(source, item);
    let mut out = vec![7];
    let outcome = transcode_item(source, item, target, &mut out);
    assert_eq!(out[0], 7, "what was there stays");
    match (&value, outcome) {
        (Ok(value), Ok(())) => {
            let streamed = decode_value(target, &out[1..]).expect("the output is well-formed");
            let direct =
                decode_value(target, &value.to_bytes(target)).expect("encoded values are well-formed");
            // A key that is an integer in CBOR alone is a float in MessagePack, where it is text in a value.
            assert!(has_wide_key(value) || same(&streamed, &direct), "{streamed:?} is not {direct:?}");
        }
        (Err(_), Err(error)) => {
            assert_eq!(out, [7], "nothing is appended with an error");
            assert_eq!((error.from, error.to), (source, target));
        }
        (value, outcome) => panic!("decoding gave {value:?}, transcoding {outcome:?}"),
    }
}

/// Is the text of some key an integer below all of 64 bits?
fn has_wide_key(value: &Value) -> bool {
    match value {
        Value::List(values) => values.iter().any(has_wide_key),
        Value::Dict(entries) => entries.iter().any(|(key, value)| {
            key.parse::<i128>().is_ok_and(|key| key < i128::from(i64::MIN)) || has_wide_key(value)
        }),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::String(_)
        | Value::Binary(_) => false,
    }
}

/// Any bytes as a value of any serializer: encoding and decoding loses nothing.
pub fn value(bytes: &[u8]) {
    for serializer in Serializer::ALL {
        let Ok(value) = decode_value(serializer, bytes) else { continue };
        let again =
            decode_value(serializer, &value.to_bytes(serializer)).expect("encoded values are well-formed");
        // JSON numbers too large for a float are infinite, and infinity becomes null.
        if serializer != Serializer::Json || all_finite(&value) {
            assert!(same(&value, &again), "{value:?} became {again:?}");
        }
    }
}

/// Any bytes as typed values of any serializer, and as arguments.
pub fn serde(bytes: &[u8]) {
    for serializer in Serializer::ALL {
        typed::agrees_with_values(serializer, bytes);
        typed::survives(serializer, bytes);
        typed::payload_survives(serializer, bytes);
    }
}

/// Any bytes as the extra dictionary of CHALLENGE, and of what a client sends.
pub fn challenge(bytes: &[u8]) {
    challenge::holds(bytes);
}

fn all_finite(value: &Value) -> bool {
    match value {
        Value::Float(number) => number.is_finite(),
        Value::List(values) => values.iter().all(all_finite),
        Value::Dict(entries) => entries.values().all(all_finite),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::String(_) | Value::Binary(_) => true,
    }
}

/// Equal, floats to the bit.
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Float(one), Value::Float(other)) => one.to_bits() == other.to_bits(),
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Dict(one), Value::Dict(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| one.0 == other.0 && same(one.1, other.1))
        }
        _ => one == other,
    }
}

/// Ours refused what another implementation took: only for reasons that are meant.
fn refused_on_purpose(error: &ParseError, levels: usize) -> bool {
    match error.kind {
        ParseErrorKind::TooDeep => levels > DEPTH_MAX,
        _ => false,
    }
}

/// Two texts, divided by a zero byte: a pattern and a URI.
pub fn uri_pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (pattern, uri) = text.split_once('\0').unwrap_or((text, text));
    for rule in [UriRule::Loose, UriRule::Strict] {
        assert_eq!(uri::is_valid(uri, rule), is_uri(uri, rule), "{uri:?}");
        for policy in MatchPolicy::ALL {
            if uri::is_valid(uri, rule) {
                assert!(uri::is_valid_pattern(uri, policy, rule), "every URI is a pattern: {uri:?}");
                assert!(policy.matches(uri, uri), "every URI matches itself: {uri:?}");
            }
            if uri::is_valid_pattern(pattern, policy, UriRule::Strict) {
                assert!(uri::is_valid_pattern(pattern, policy, UriRule::Loose), "strict is a part of loose");
            }
        }
    }
    let wildcard = pattern.split('.').count() == uri.split('.').count()
        && pattern.split('.').zip(uri.split('.')).all(|(wanted, part)| wanted.is_empty() || wanted == part);
    assert_eq!(MatchPolicy::Wildcard.matches(pattern, uri), wildcard);
    assert_eq!(MatchPolicy::Exact.matches(pattern, uri), pattern == uri);
    assert_eq!(MatchPolicy::Prefix.matches(pattern, uri), uri.get(..pattern.len()) == Some(pattern));
}

/// The regular expression of the specification, in words, and our limits.
fn is_uri(uri: &str, rule: UriRule) -> bool {
    let allowed = |character: char| match rule {
        UriRule::Loose => !character.is_whitespace() && !character.is_ascii_control() && character != '#',
        UriRule::Strict => matches!(character, 'a'..='z' | '0'..='9' | '_'),
    };
    let parts = uri.split('.');
    uri.len() <= uri::URI_BYTES_MAX
        && parts.clone().count() <= uri::URI_PARTS_MAX
        && parts.clone().all(|part| !part.is_empty() && part.chars().all(allowed))
}
