//! JSON against serde_json.

use bondy_wamp::serializer::{ParseErrorKind, Serializer};
use bondy_wamp::value::Value;
use serde_json::Value as Theirs;

/// Accepts what serde_json accepts, with the same meaning.
///
/// On purpose different: nesting is limited to less than serde_json's 128, and a number too large for a float is
/// infinite, where serde_json refuses it.
pub(super) fn agrees(bytes: &[u8]) {
    let ours = super::item(Serializer::Json, bytes);
    let theirs = serde_json::from_slice::<Theirs>(bytes);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => assert!(same(&ours, &theirs), "{ours:?} is not {theirs:?}"),
        (Ok(_), Err(error)) => {
            let too_large = error.to_string().starts_with("number out of range");
            assert!(too_large, "{error} in {bytes:02x?}");
        }
        (Err(error), Ok(theirs)) => {
            assert!(super::refused_on_purpose(&error, levels(&theirs)), "{error}, but theirs is {theirs}");
        }
        (Err(ours), Err(_)) => assert_ne!(ours.kind, ParseErrorKind::Expected("text")),
    }
}

fn levels(theirs: &Theirs) -> usize {
    match theirs {
        Theirs::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Theirs::Object(entries) => 1 + entries.values().map(levels).max().unwrap_or(0),
        Theirs::Null | Theirs::Bool(_) | Theirs::Number(_) | Theirs::String(_) => 0,
    }
}

fn same(ours: &Value, theirs: &Theirs) -> bool {
    match (ours, theirs) {
        (Value::Null, Theirs::Null) => true,
        (Value::Bool(ours), Theirs::Bool(theirs)) => ours == theirs,
        (Value::Integer(ours), Theirs::Number(theirs)) => match (theirs.as_u64(), theirs.as_i64()) {
            (Some(theirs), _) => *ours == i128::from(theirs),
            (None, Some(theirs)) => *ours == i128::from(theirs),
            (None, None) => false,
        },
        (Value::Float(ours), Theirs::Number(theirs)) => {
            theirs.is_f64() && theirs.as_f64().map(f64::to_bits) == Some(ours.to_bits())
        }
        (Value::String(ours), Theirs::String(theirs)) => ours == theirs,
        // Text that stands for binary, which JSON itself knows nothing of.
        (Value::Binary(_), Theirs::String(theirs)) => {
            let text = String::from_utf8(ours.to_bytes(Serializer::Json)).expect("JSON is text");
            serde_json::from_str::<String>(&text).is_ok_and(|text| text == *theirs)
        }
        (Value::List(ours), Theirs::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Dict(ours), Theirs::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, ours)| theirs.get(key).is_some_and(|theirs| same(ours, theirs)))
        }
        _ => false,
    }
}
