//! Payloads between JSON values and what the client sends and receives.
//!
//! What goes out is written as WAMP writes it in JSON, binary included, and becomes another serializer's bytes without
//! being decoded. What comes in is decoded from whichever serializer it came in.

use std::fmt;

use bondy_client::{Arguments, DecodeError, Serializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::payload::{Payload, binary_value};

/// The payload as it is sent.
pub(crate) fn encode(payload: &Payload) -> Arguments {
    let args =
        if payload.args.is_empty() { String::new() } else { Value::from(payload.args.clone()).to_string() };
    let kwargs = if payload.kwargs.is_empty() {
        String::new()
    } else {
        Value::from(payload.kwargs.clone()).to_string()
    };
    bondy_client::Payload { serializer: Serializer::Json, args: args.as_bytes(), kwargs: kwargs.as_bytes() }
        .into()
}

/// The payload that came.
pub(crate) fn decode(arguments: &Arguments) -> Result<Payload, DecodeError> {
    let args: Vec<Incoming> = arguments.args()?;
    let kwargs = match arguments.kwargs::<Incoming>()?.0 {
        Value::Object(kwargs) => kwargs,
        _ => Map::new(),
    };
    Ok(Payload { args: args.into_iter().map(|arg| arg.0).collect(), kwargs })
}

/// A value that was received.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Incoming(pub(crate) Value);

impl<'de> Deserialize<'de> for Incoming {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IncomingVisitor).map(Incoming)
    }
}

struct IncomingVisitor;

impl<'de> Visitor<'de> for IncomingVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // JSON has neither infinities nor NaN.
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(binary_value(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Incoming(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Incoming(value))) = entries.next_entry::<String, Incoming>()? {
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn payloads_go_and_come_unchanged() {
        let value = json!({
            "args": [1, -1, 1.5, null, true, "text", [{"a": 18446744073709551615u64}], "\0AP8="],
            "kwargs": {"b": {"c": []}},
        });
        let payload = Payload::from_json(value).expect("a payload");
        assert_eq!(decode(&encode(&payload)).expect("a payload"), payload);
        assert!(encode(&Payload::default()).is_empty());
    }

    #[test]
    fn binary_becomes_base64_behind_a_nul() {
        let arguments = Arguments::of(&serde_json::json!(["a"])).expect("arguments");
        assert_eq!(decode(&arguments).expect("a payload").args, [json!(["a"])]);
        let visited: Result<Value, serde::de::value::Error> = IncomingVisitor.visit_bytes(&[0, 255]);
        assert_eq!(visited, Ok(json!("\0AP8=")));
    }
}
