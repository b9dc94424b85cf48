//! Typed values against decoded ones, and types of every kind there and back.

use std::collections::BTreeMap;
use std::fmt;

use bondy_wamp::payload::Payload;
use bondy_wamp::serde::{ErrorKind, decode, decode_payload, encode, encode_payload};
use bondy_wamp::serializer::{DEPTH_MAX, Encoder, Serializer, decode_value};
use bondy_wamp::value::Value;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// Every kind of type that serde knows, where serde_json and ciborium write and read it as we do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub flag: bool,
    pub small: i8,
    pub signed: i64,
    pub unsigned: u64,
    pub float: f64,
    pub single: f32,
    pub letter: char,
    pub text: String,
    pub nothing: (),
    pub maybe: Option<Box<Sample>>,
    pub shapes: Vec<Figure>,
    pub pair: (u8, String),
    pub wrapped: Meters,
    pub by_name: BTreeMap<String, i32>,
    pub by_figure: BTreeMap<Axis, u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<u32>,
}

/// Variants of every kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Figure {
    Empty,
    Round(f64),
    Pair(i32, String),
    Named { width: u8, height: Option<i16> },
}

/// Keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Axis {
    X,
    Y,
}

/// A newtype.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meters(pub i32);

/// Bytes, asked for and written as such.
#[derive(Clone, Debug, PartialEq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// A value as bytes of its own.
pub fn to_bytes<T: Serialize>(
    serializer: Serializer,
    value: &T,
) -> Result<Vec<u8>, bondy_wamp::serde::Error> {
    let mut bytes = vec![7];
    let outcome = encode(value, &mut Encoder::new(serializer, &mut bytes));
    assert_eq!(bytes[0], 7, "what was there stays");
    assert!(outcome.is_ok() || bytes.len() == 1, "nothing is appended with an error");
    bytes.remove(0);
    outcome.map(|()| bytes)
}

/// A value read through serde is the value read directly, and is written as the same bytes.
pub(super) fn agrees_with_values(serializer: Serializer, bytes: &[u8]) {
    let direct = decode_value(serializer, bytes);
    let typed = decode::<Value>(serializer, bytes);
    let ignored = decode::<IgnoredAny>(serializer, bytes);
    assert_eq!(ignored.is_ok(), direct.is_ok(), "{ignored:?}");
    match (&direct, &typed) {
        (Ok(direct), Ok(typed)) => assert!(super::same(direct, typed), "{typed:?} is not {direct:?}"),
        (Err(direct), Err(typed)) => {
            assert_eq!(typed.kind(), &ErrorKind::Malformed(direct.kind));
            assert_eq!(typed.offset(), Some(direct.offset));
        }
        _ => panic!("directly {direct:?}, typed {typed:?}"),
    }
    let Ok(value) = direct else { return };
    match to_bytes(serializer, &value) {
        Ok(written) => assert_eq!(written, value.to_bytes(serializer)),
        Err(error) => assert!(is_unwritable(&value, DEPTH_MAX), "{error}: {value:?}"),
    }
}

/// Is there an integer below -2^63, or too deep a nesting?
fn is_unwritable(value: &Value, levels: usize) -> bool {
    match value {
        Value::Integer(value) => *value < i128::from(i64::MIN),
        Value::List(values) => levels == 0 || values.iter().any(|value| is_unwritable(value, levels - 1)),
        Value::Dict(entries) => levels == 0 || entries.values().any(|value| is_unwritable(value, levels - 1)),
        Value::Null | Value::Bool(_) | Value::Float(_) | Value::String(_) | Value::Binary(_) => false,
    }
}

/// Whatever can be read as some type can be written and read again, and is the same.
pub(super) fn survives(serializer: Serializer, bytes: &[u8]) {
    there_and_back::<Sample>(serializer, bytes);
    there_and_back::<Figure>(serializer, bytes);
    there_and_back::<Vec<Figure>>(serializer, bytes);
    there_and_back::<BTreeMap<i64, Option<Bytes>>>(serializer, bytes);
    there_and_back::<BTreeMap<u8, char>>(serializer, bytes);
    there_and_back::<Vec<u8>>(serializer, bytes);
    there_and_back::<(i32, String)>(serializer, bytes);
    there_and_back::<Option<u64>>(serializer, bytes);
    there_and_back::<i128>(serializer, bytes);
    there_and_back::<String>(serializer, bytes);
    if let Ok(text) = decode::<&str>(serializer, bytes) {
        assert_eq!(Ok(text.to_owned()), decode::<String>(serializer, bytes));
    }
}

fn there_and_back<T>(serializer: Serializer, bytes: &[u8])
where
    T: Serialize + DeserializeOwned + PartialEq + fmt::Debug,
{
    let Ok(value) = decode::<T>(serializer, bytes) else { return };
    // CBOR has integers that are not written back, and JSON no infinities.
    let Ok(written) = to_bytes(serializer, &value) else { return };
    let debug = format!("{value:?}");
    if debug.contains("inf") || debug.contains("NaN") {
        return;
    }
    assert_eq!(decode::<T>(serializer, &written), Ok(value));
}

/// Two pieces, of which the first byte says the lengths, as args and kwargs.
pub(super) fn payload_survives(serializer: Serializer, bytes: &[u8]) {
    let Some((split, bytes)) = bytes.split_first() else { return };
    let (args, kwargs) = bytes.split_at(usize::from(*split).min(bytes.len()));
    let payload = Payload { serializer, args, kwargs };
    arguments_survive::<Value>(payload);
    arguments_survive::<Sample>(payload);
    arguments_survive::<Figure>(payload);
    arguments_survive::<Option<Vec<u8>>>(payload);
    arguments_survive::<(Value, Option<Value>)>(payload);
    arguments_survive::<BTreeMap<String, Value>>(payload);
    assert_eq!(decode_payload::<()>(payload), Ok(()));
    let args_alone = Payload { kwargs: &[], ..payload };
    let is_one =
        decode_value(serializer, args).is_ok_and(|args| args.as_list().is_some_and(|args| args.len() == 1));
    assert_eq!(decode_payload::<Value>(args_alone).is_ok(), is_one);
}

fn arguments_survive<T>(payload: Payload<'_>)
where
    T: Serialize + DeserializeOwned + PartialEq + fmt::Debug,
{
    let Ok(value) = decode_payload::<T>(payload) else { return };
    let Ok(written) = encode_payload(&value, payload.serializer) else { return };
    let debug = format!("{value:?}");
    if debug.contains("inf") || debug.contains("NaN") {
        return;
    }
    assert_eq!(decode_payload::<T>(written.as_payload()), Ok(value));
}
