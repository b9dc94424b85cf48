//! CBOR against ciborium.

use bondy_wamp::serializer::{ParseErrorKind, Serializer};
use bondy_wamp::value::Value;
use ciborium::Value as Theirs;

/// Accepts what ciborium accepts, with the same meaning.
///
/// On purpose stricter: ciborium takes lists and dictionaries as keys, nests 256 deep, and takes two things that
/// RFC 8949 calls not well-formed: null and booleans in two bytes (3.3), and chunks of chunks (3.2.3).
/// More lenient: ciborium has no negative bignums below those of 127 bits.
pub(super) fn agrees(bytes: &[u8]) {
    let ours = super::item(Serializer::Cbor, bytes);
    let mut rest = bytes;
    let theirs = ciborium::from_reader::<Theirs, _>(&mut rest);
    match (ours, theirs.map(|theirs| rest.is_empty().then_some(theirs))) {
        (Ok(ours), Ok(Some(theirs))) => {
            assert!(is_allowed(&theirs), "{theirs:?} should have been refused");
            assert!(same(&ours, &theirs), "{ours:?} is not {theirs:?}");
        }
        (Ok(ours), Ok(None)) => panic!("theirs ended before ours, {ours:?}: {bytes:02x?}"),
        (Ok(ours), Err(error)) => {
            let limited = error.to_string().contains("integer too large");
            assert!(limited, "{error}, but ours is {ours:?}: {bytes:02x?}");
        }
        (Err(error), Ok(Some(theirs))) => {
            let stricter = ["a simple value without a meaning", "a chunk of another type"];
            let meant = stricter.map(ParseErrorKind::Malformed).contains(&error.kind)
                || !is_allowed(&theirs)
                || super::refused_on_purpose(&error, levels(&theirs));
            assert!(meant, "{error}, but theirs is {theirs:?}");
        }
        (Err(_), Ok(None) | Err(_)) => {}
    }
}

/// No containers as keys.
fn is_allowed(theirs: &Theirs) -> bool {
    match theirs {
        Theirs::Tag(_, inner) => is_allowed(inner),
        Theirs::Array(items) => items.iter().all(is_allowed),
        Theirs::Map(entries) => {
            entries.iter().all(|(key, value)| is_scalar(key) && is_allowed(key) && is_allowed(value))
        }
        _ => true,
    }
}

fn is_scalar(theirs: &Theirs) -> bool {
    match theirs {
        Theirs::Tag(_, inner) => is_scalar(inner),
        Theirs::Array(_) | Theirs::Map(_) => false,
        _ => true,
    }
}

fn levels(theirs: &Theirs) -> usize {
    match theirs {
        Theirs::Tag(_, inner) => 1 + levels(inner),
        Theirs::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Theirs::Map(entries) => {
            1 + entries.iter().map(|(key, value)| levels(key).max(levels(value))).max().unwrap_or(0)
        }
        _ => 0,
    }
}

fn same(ours: &Value, theirs: &Theirs) -> bool {
    match (ours, theirs) {
        (_, Theirs::Tag(tag, inner)) => match (tag, &**inner) {
            (2 | 3, Theirs::Bytes(bytes)) if bytes.len() <= 16 => same_bignum(ours, *tag == 3, bytes),
            (_, inner) => same(ours, inner),
        },
        (Value::Null, Theirs::Null) => true,
        (Value::Bool(ours), Theirs::Bool(theirs)) => ours == theirs,
        (Value::Integer(ours), Theirs::Integer(theirs)) => *ours == i128::from(*theirs),
        (Value::Float(ours), Theirs::Integer(theirs)) => {
            ours.to_bits() == (i128::from(*theirs) as f64).to_bits()
        }
        (Value::Float(ours), Theirs::Float(theirs)) => {
            ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan())
        }
        (Value::String(ours), Theirs::Text(theirs)) => ours == theirs,
        (Value::Binary(ours), Theirs::Bytes(theirs)) => ours == theirs,
        (Value::List(ours), Theirs::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Dict(ours), Theirs::Map(theirs)) => super::same_dict(ours, theirs, key_text, same),
        _ => false,
    }
}

fn same_bignum(ours: &Value, negative: bool, bytes: &[u8]) -> bool {
    let magnitude = bytes.iter().fold(0u128, |value, byte| value << 8 | u128::from(*byte));
    match (ours, u64::try_from(magnitude)) {
        (Value::Integer(ours), Ok(value)) => {
            *ours == if negative { -1 - i128::from(value) } else { i128::from(value) }
        }
        (Value::Float(ours), Err(_)) => {
            let value = magnitude.saturating_add(u128::from(negative)) as f64;
            *ours == if negative { -value } else { value }
        }
        _ => false,
    }
}

/// Floats, binaries and tagged keys are none.
fn key_text(key: &Theirs) -> Option<String> {
    match key {
        Theirs::Null => Some("null".to_owned()),
        Theirs::Bool(value) => Some(value.to_string()),
        Theirs::Integer(value) => Some(i128::from(*value).to_string()),
        Theirs::Text(text) => Some(text.clone()),
        _ => None,
    }
}
