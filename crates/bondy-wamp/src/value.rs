//! A decoded WAMP value, for what is small and cold: HELLO details, arguments of meta procedures, tests, tools.
//!
//! The hot path never builds one.

use std::collections::BTreeMap;

use crate::buffer::Buffer;
use crate::serializer::{Encoder, ParseError, Serializer};

/// Any WAMP value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Absent or null.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer; covers the whole range of unsigned and signed 64-bit integers.
    Integer(i128),
    /// A float, exact to the bit.
    Float(f64),
    /// Text.
    String(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// A dictionary with text keys.
    Dict(BTreeMap<String, Value>),
}

impl Value {
    /// Decodes exactly one value from all of `bytes`.
    pub fn decode(serializer: Serializer, bytes: &[u8]) -> Result<Self, ParseError> {
        crate::serializer::decode_value(serializer, bytes)
    }

    /// Appends the value.
    pub fn encode(&self, encoder: &mut Encoder<'_>) {
        match self {
            Value::Null => encoder.null(),
            Value::Bool(value) => encoder.bool(*value),
            Value::Integer(value) => encoder.integer(*value),
            Value::Float(value) => encoder.float(*value),
            Value::String(value) => encoder.string(value),
            Value::Binary(value) => encoder.binary(value),
            Value::List(values) => {
                encoder.begin_list(values.len());
                values.iter().for_each(|value| value.encode(encoder));
                encoder.end_list();
            }
            Value::Dict(entries) => {
                encoder.begin_dict(entries.len());
                for (key, value) in entries {
                    encoder.key(key);
                    value.encode(encoder);
                }
                encoder.end_dict();
            }
        }
    }

    /// The value as bytes of its own.
    pub fn to_bytes(&self, serializer: Serializer) -> Buffer {
        let mut bytes = Buffer::new();
        self.encode(&mut Encoder::new(serializer, &mut bytes));
        bytes
    }

    /// The entry of a dictionary; `None` for other values, missing keys and null entries.
    pub fn entry(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Dict(entries) => entries.get(key).filter(|value| **value != Value::Null),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(values) => Some(values),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// An unsigned integer, also one that came as an integral float.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Integer(value) => u64::try_from(*value).ok(),
            Value::Float(value)
                if value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(value) =>
            {
                Some(*value as u64)
            }
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Integer(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl<const N: usize> From<[(&str, Value); N]> for Value {
    fn from(entries: [(&str, Value); N]) -> Self {
        Value::Dict(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}
