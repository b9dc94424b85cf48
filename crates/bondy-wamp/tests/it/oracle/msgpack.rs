//! MessagePack against rmpv.

use bondy_wamp::serializer::{ParseErrorKind, Serializer};
use bondy_wamp::value::Value;
use rmpv::Value as Theirs;

/// Accepts what rmpv accepts, with the same meaning.
///
/// On purpose stricter: rmpv takes text that is not UTF-8, lists and dictionaries as keys, the reserved byte 0xc1
/// (as nil), and nests 1,024 deep.
pub(super) fn agrees(bytes: &[u8]) {
    let ours = super::item(Serializer::MessagePack, bytes);
    let mut rest = bytes;
    let theirs = rmpv::decode::read_value(&mut rest).ok().filter(|_| rest.is_empty());
    match (ours, theirs) {
        (Ok(ours), Some(theirs)) => {
            assert!(is_allowed(&theirs), "{theirs} should have been refused");
            assert!(same(&ours, &theirs), "{ours:?} is not {theirs}");
        }
        (Ok(ours), None) => panic!("theirs refused what ours took as {ours:?}: {bytes:02x?}"),
        (Err(error), Some(theirs)) => {
            let reserved = matches!(error.kind, ParseErrorKind::Malformed(text) if text.starts_with("0xc1"));
            let meant =
                reserved || !is_allowed(&theirs) || super::refused_on_purpose(&error, levels(&theirs));
            assert!(meant, "{error}, but theirs is {theirs}");
        }
        (Err(_), None) => {}
    }
}

/// No bad UTF-8, and no containers as keys.
fn is_allowed(theirs: &Theirs) -> bool {
    match theirs {
        Theirs::String(text) => text.is_str(),
        Theirs::Array(items) => items.iter().all(is_allowed),
        Theirs::Map(entries) => entries.iter().all(|(key, value)| {
            !matches!(key, Theirs::Array(_) | Theirs::Map(_)) && is_allowed(key) && is_allowed(value)
        }),
        _ => true,
    }
}

fn levels(theirs: &Theirs) -> usize {
    match theirs {
        Theirs::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Theirs::Map(entries) => 1 + entries.iter().map(|(_, value)| levels(value)).max().unwrap_or(0),
        _ => 0,
    }
}

fn same(ours: &Value, theirs: &Theirs) -> bool {
    match (ours, theirs) {
        (Value::Null, Theirs::Nil) => true,
        // How JavaScript's undefined is written.
        (Value::Null, Theirs::Ext(0, data)) => data == &[0],
        (Value::Bool(ours), Theirs::Boolean(theirs)) => ours == theirs,
        (Value::Integer(ours), Theirs::Integer(theirs)) => {
            let theirs = theirs.as_u64().map(i128::from).or_else(|| theirs.as_i64().map(i128::from));
            Some(*ours) == theirs
        }
        (Value::Float(ours), Theirs::F64(theirs)) => ours.to_bits() == theirs.to_bits(),
        (Value::Float(ours), Theirs::F32(theirs)) => {
            ours.to_bits() == f64::from(*theirs).to_bits() || (ours.is_nan() && theirs.is_nan())
        }
        (Value::String(ours), Theirs::String(theirs)) => Some(ours.as_str()) == theirs.as_str(),
        (Value::Binary(ours), Theirs::Binary(theirs) | Theirs::Ext(_, theirs)) => ours == theirs,
        (Value::List(ours), Theirs::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Dict(ours), Theirs::Map(theirs)) => super::same_dict(ours, theirs, key_text, same),
        _ => false,
    }
}

/// Floats and binaries are none.
fn key_text(key: &Theirs) -> Option<String> {
    match key {
        Theirs::Nil => Some("null".to_owned()),
        Theirs::Boolean(value) => Some(value.to_string()),
        Theirs::Integer(value) => Some(value.to_string()),
        Theirs::String(text) => text.as_str().map(str::to_owned),
        _ => None,
    }
}
