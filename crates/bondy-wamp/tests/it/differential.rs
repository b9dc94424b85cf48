//! Random values, well-formed and damaged, through every oracle. The seed is fixed: a failure repeats.

use std::collections::BTreeMap;

use bondy_wamp::serializer::{Serializer, transcode};
use bondy_wamp::value::Value;
use fastrand::Rng;

use crate::oracle;

/// Values of each serializer; every one is tried as it is and damaged twice.
const VALUES: usize = 12_000;

#[test]
fn json_agrees_with_serde_json() {
    run(1, Serializer::Json, oracle::parse_json);
}

#[test]
fn msgpack_agrees_with_rmpv() {
    run(2, Serializer::MessagePack, oracle::parse_msgpack);
}

#[test]
fn cbor_agrees_with_ciborium() {
    run(3, Serializer::Cbor, oracle::parse_cbor);
}

fn run(seed: u64, serializer: Serializer, check: fn(&[u8])) {
    let mut rng = Rng::with_seed(seed);
    for _ in 0..VALUES {
        let bytes = encoded(&mut rng, serializer);
        check(&bytes);
        check(&damaged(&mut rng, bytes.clone()));
        check(&damaged(&mut rng, bytes));
    }
}

#[test]
fn transcoding_means_the_same_as_decoding_and_encoding() {
    let mut rng = Rng::with_seed(4);
    for _ in 0..VALUES {
        let source = *rng.choice(&Serializer::ALL).unwrap();
        let mut bytes = encoded(&mut rng, source);
        if rng.u8(..4) == 0 {
            bytes = damaged(&mut rng, bytes);
        }
        for target in [0, 1, 2] {
            let mut input = vec![source.index() as u8, target];
            input.extend_from_slice(&bytes);
            oracle::transcode(&input);
        }
    }
}

#[test]
fn values_survive_every_serializer() {
    let mut rng = Rng::with_seed(5);
    for _ in 0..VALUES {
        let value = value(&mut rng, 4);
        for serializer in [Serializer::MessagePack, Serializer::Cbor] {
            let again = Value::decode(serializer, &value.to_bytes(serializer)).unwrap();
            assert!(oracle::same(&value, &again), "{value:?} became {again:?}");
        }
        oracle::value(&encoded(&mut rng, Serializer::Json));
    }
}

#[test]
fn typed_values_mean_the_same_as_values() {
    let mut rng = Rng::with_seed(7);
    for _ in 0..VALUES / 4 {
        let serializer = *rng.choice(&Serializer::ALL).unwrap();
        let bytes = encoded(&mut rng, serializer);
        oracle::serde(&bytes);
        oracle::serde(&damaged(&mut rng, bytes));
    }
}

#[test]
fn floats_and_integers_are_exact_through_every_pair_of_serializers() {
    let mut rng = Rng::with_seed(6);
    for _ in 0..VALUES {
        let number = match rng.u8(..3) {
            0 => Value::Float(finite(&mut rng)),
            1 => Value::Integer(rng.u64(..).into()),
            _ => Value::Integer(rng.i64(..).into()),
        };
        for source in Serializer::ALL {
            for target in Serializer::ALL {
                let mut there = Vec::new();
                transcode(source, &number.to_bytes(source), target, &mut there).unwrap();
                let mut back = Vec::new();
                transcode(target, &there, source, &mut back).unwrap();
                let again = Value::decode(source, &back).unwrap();
                assert!(oracle::same(&number, &again), "{number:?} became {again:?} through {target}");
            }
        }
    }
}

pub(crate) fn finite(rng: &mut Rng) -> f64 {
    loop {
        let value = f64::from_bits(rng.u64(..));
        if value.is_finite() {
            return value;
        }
    }
}

/// A random value in a serializer, sometimes in one of its less usual forms.
fn encoded(rng: &mut Rng, serializer: Serializer) -> Vec<u8> {
    let other = *rng.choice(&Serializer::ALL).unwrap();
    match (serializer, rng.u8(..4)) {
        (Serializer::Json, 0) => spaced_json(rng),
        (Serializer::MessagePack | Serializer::Cbor, 0) => token_soup(rng, serializer),
        // Transcoded containers have long headers.
        (_, 1) => {
            let value = value(rng, 4).to_bytes(other);
            let mut bytes = Vec::new();
            transcode(other, &value, serializer, &mut bytes).unwrap();
            bytes
        }
        _ => value(rng, 4).to_bytes(serializer),
    }
}

fn value(rng: &mut Rng, levels: u8) -> Value {
    let scalars = 9;
    match rng.u8(..if levels == 0 { scalars } else { scalars + 3 }) {
        0 => Value::Null,
        1 => Value::Bool(rng.bool()),
        2 => Value::Integer(rng.u64(..).into()),
        3 => Value::Integer((rng.i64(..) >> rng.u8(..63)).into()),
        4 => Value::Integer(i128::from(rng.u8(..)) - 100),
        5 => Value::Float(f64::from_bits(rng.u64(..))),
        6 => Value::Float(f64::from(rng.i32(-1000..1000)) / 8.0),
        7 => Value::String(text(rng)),
        8 => Value::Binary((0..length(rng)).map(|_| rng.u8(..)).collect()),
        9 | 10 => {
            let entries: BTreeMap<String, Value> =
                (0..rng.u8(..6)).map(|_| (text(rng), value(rng, levels - 1))).collect();
            Value::Dict(entries)
        }
        _ => Value::List((0..rng.usize(..8)).map(|_| value(rng, levels - 1)).collect()),
    }
}

/// Mostly short; sometimes across the lengths where headers and vector code change.
fn length(rng: &mut Rng) -> usize {
    match rng.u8(..8) {
        0 => rng.usize(..300),
        1 => rng.usize(24..70),
        _ => rng.usize(..12),
    }
}

pub(crate) fn text(rng: &mut Rng) -> String {
    let mut text = if rng.u8(..16) == 0 { String::from("\0") } else { String::new() };
    let plain = rng.bool();
    for _ in 0..length(rng) {
        text.push(match rng.u8(..if plain { 1 } else { 4 }) {
            0 => char::from(rng.u8(0x20..0x7f)),
            1 => char::from(rng.u8(..0x80)),
            2 => *rng.choice(&['"', '\\', '/', 'é', '\u{2028}', '\u{ffff}', '𝄞', '\u{7f}']).unwrap(),
            _ => rng.char(..),
        });
    }
    text
}

/// Flips, drops, doubles or cuts a few bytes.
fn damaged(rng: &mut Rng, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.u8(1..4) {
        if bytes.is_empty() {
            return vec![rng.u8(..)];
        }
        let at = rng.usize(..bytes.len());
        match rng.u8(..6) {
            0 => bytes[at] = rng.u8(..),
            1 => bytes[at] ^= 1 << rng.u8(..8),
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, rng.u8(..)),
            4 => bytes.truncate(at),
            _ => {
                let end = rng.usize(at..bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

/// JSON with white space, escapes and numbers in all their forms.
fn spaced_json(rng: &mut Rng) -> Vec<u8> {
    let words = [
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        " ",
        "\n",
        "\t",
        "\r",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1",
        "1e5",
        "1E+5",
        "0.5",
        "-2.25e-3",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "1e400",
        "01",
        "1.",
        ".5",
        "+1",
        "\"\"",
        "\"a\"",
        "\"\\u00e9\"",
        "\"\\ud834\\udd1e\"",
        "\"\\ud834\"",
        "\"\\udd1e\"",
        "\"\\u0000AQID\"",
        "\"\\u0000A\"",
        "\"\\n\\/\\\"\"",
        "\"\\x\"",
        "\"k\":",
    ];
    let mut text = String::new();
    if rng.bool() {
        json_tree(rng, &mut text, 4);
    } else {
        (0..rng.usize(..8)).for_each(|_| text.push_str(rng.choice(words).unwrap()));
    }
    text.into_bytes()
}

fn json_tree(rng: &mut Rng, text: &mut String, levels: u8) {
    const SPACES: [&str; 4] = ["", " ", "\n\t", "\r"];
    text.push_str(rng.choice(SPACES).unwrap());
    match rng.u8(..if levels == 0 { 1 } else { 3 }) {
        0 => text.push_str(rng.choice(["1", "-0.0", "\"\\u0041\\t\"", "null", "true", "1.5e300"]).unwrap()),
        1 => {
            text.push('[');
            for index in 0..rng.u8(..4) {
                text.push_str(if index == 0 { "" } else { "," });
                json_tree(rng, text, levels - 1);
            }
            text.push(']');
        }
        _ => {
            text.push('{');
            for index in 0..rng.u8(..4) {
                text.push_str(if index == 0 { "" } else { " ," });
                text.push_str(&format!(
                    "{}\"k{index}\"{}:",
                    rng.choice(SPACES).unwrap(),
                    rng.choice(SPACES).unwrap()
                ));
                json_tree(rng, text, levels - 1);
            }
            text.push('}');
        }
    }
    text.push_str(rng.choice(SPACES).unwrap());
}

/// First bytes of all kinds of items in a row: often well-formed by chance, in every unusual form there is.
fn token_soup(rng: &mut Rng, serializer: Serializer) -> Vec<u8> {
    let msgpack = [
        0x00, 0x7f, 0xe0, 0xff, 0x80, 0x81, 0x90, 0x91, 0x93, 0xa0, 0xa1, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc7,
    ];
    let cbor = [
        0x00, 0x17, 0x18, 0x20, 0x38, 0x40, 0x41, 0x5f, 0x60, 0x61, 0x7f, 0x80, 0x81, 0x82, 0x9f, 0xa0, 0xa1,
    ];
    let more_msgpack =
        [0xca, 0xcb, 0xcc, 0xcd, 0xd0, 0xd1, 0xd4, 0xd5, 0xd9, 0xda, 0xdc, 0xde, 0x01, 0x02, 0x41, 0x00];
    let more_cbor =
        [0xbf, 0xc1, 0xc2, 0xc3, 0xd8, 0xf4, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xff, 0xff, 0xff, 0x01, 0x41];
    let (common, rare) = match serializer {
        Serializer::Cbor => (cbor, more_cbor),
        Serializer::Json | Serializer::MessagePack => (msgpack, more_msgpack),
    };
    (0..rng.usize(1..12))
        .map(|_| if rng.bool() { *rng.choice(&common).unwrap() } else { *rng.choice(&rare).unwrap() })
        .collect()
}
