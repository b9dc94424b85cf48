//! JSON, MessagePack and CBOR for the few values that the load sends, and a reader for the first two elements of
//! what it receives.
//!
//! The values are the load's own (dictionaries of a session's set-up, generated payloads), nested three deep at
//! most, so the writers recurse. The reader looks at no more than `[type, id`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A WAMP serializer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Serializer {
    /// JSON (RFC 8259).
    Json,
    /// MessagePack.
    MsgPack,
    /// CBOR (RFC 8949).
    Cbor,
}

impl From<Serializer> for bondy_wamp::serializer::Serializer {
    fn from(serializer: Serializer) -> Self {
        match serializer {
            Serializer::Json => Self::Json,
            Serializer::MsgPack => Self::MessagePack,
            Serializer::Cbor => Self::Cbor,
        }
    }
}

/// The start of a WAMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The message type code.
    pub code: u64,
    /// The second element if it is an integer: a request id, a session id or a subscription id.
    pub id: Option<u64>,
}

impl Serializer {
    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Serializer::Json => "json",
            Serializer::MsgPack => "msgpack",
            Serializer::Cbor => "cbor",
        }
    }

    /// The WebSocket subprotocol.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Serializer::Json => "wamp.2.json",
            Serializer::MsgPack => "wamp.2.msgpack",
            Serializer::Cbor => "wamp.2.cbor",
        }
    }

    /// The serializer number of the rawsocket handshake.
    pub fn rawsocket_number(self) -> u8 {
        match self {
            Serializer::Json => 1,
            Serializer::MsgPack => 2,
            Serializer::Cbor => 3,
        }
    }

    /// A message as a value; `None` if it is none.
    pub fn decode(self, message: &[u8]) -> Option<bondy_wamp::value::Value> {
        bondy_wamp::value::Value::decode(self.into(), message).ok()
    }

    /// Appends one value.
    pub fn append(self, value: &Value, out: &mut Vec<u8>) {
        match self {
            Serializer::Json => out.extend_from_slice(value.to_string().as_bytes()),
            Serializer::MsgPack => append_msgpack(value, out),
            Serializer::Cbor => append_cbor(value, out),
        }
    }

    /// Appends an unsigned integer.
    pub fn append_unsigned(self, number: u64, out: &mut Vec<u8>) {
        match self {
            Serializer::Json => append_decimal(number, out),
            Serializer::MsgPack => append_msgpack_unsigned(number, out),
            Serializer::Cbor => append_cbor_head(0, number, out),
        }
    }

    /// The bytes that open an array of `length` elements.
    pub fn append_array_start(self, length: usize, out: &mut Vec<u8>) {
        match self {
            Serializer::Json => out.push(b'['),
            Serializer::MsgPack => append_msgpack_length(length, 0x90, 0xdc, out),
            Serializer::Cbor => append_cbor_head(4, length as u64, out),
        }
    }

    /// Reads the type and the id; `None` if this is no array that starts with an integer.
    pub fn header(self, message: &[u8]) -> Option<Header> {
        match self {
            Serializer::Json => json_header(message),
            Serializer::MsgPack => msgpack_header(message),
            Serializer::Cbor => cbor_header(message),
        }
    }
}

fn append_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

fn append_msgpack(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(flag) => out.push(if *flag { 0xc3 } else { 0xc2 }),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(unsigned), _) => append_msgpack_unsigned(unsigned, out),
            (None, Some(signed)) => {
                out.push(0xd3);
                out.extend_from_slice(&signed.to_be_bytes());
            }
            (None, None) => {
                out.push(0xcb);
                out.extend_from_slice(&number.as_f64().unwrap_or_default().to_be_bytes());
            }
        },
        Value::String(text) => append_msgpack_text(text, out),
        Value::Array(items) => {
            append_msgpack_length(items.len(), 0x90, 0xdc, out);
            items.iter().for_each(|item| append_msgpack(item, out));
        }
        Value::Object(entries) => {
            append_msgpack_length(entries.len(), 0x80, 0xde, out);
            for (key, item) in entries {
                append_msgpack_text(key, out);
                append_msgpack(item, out);
            }
        }
    }
}

fn append_msgpack_unsigned(number: u64, out: &mut Vec<u8>) {
    match number {
        0..=0x7f => out.push(number as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, number as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&(number as u32).to_be_bytes());
        }
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

fn append_msgpack_text(text: &str, out: &mut Vec<u8>) {
    match text.len() {
        length @ 0..=31 => out.push(0xa0 | length as u8),
        length @ 32..=0xff => out.extend_from_slice(&[0xd9, length as u8]),
        length @ 0x100..=0xffff => {
            out.push(0xda);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0xdb);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// Arrays and maps: up to 15 in the first octet, else 16 or 32 bits behind `wide` or `wide + 1`.
fn append_msgpack_length(length: usize, fixed: u8, wide: u8, out: &mut Vec<u8>) {
    match length {
        0..=15 => out.push(fixed | length as u8),
        16..=0xffff => {
            out.push(wide);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(wide + 1);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

fn append_cbor(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(flag) => out.push(if *flag { 0xf5 } else { 0xf4 }),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(unsigned), _) => append_cbor_head(0, unsigned, out),
            (None, Some(signed)) => append_cbor_head(1, !signed as u64, out),
            (None, None) => {
                out.push(0xfb);
                out.extend_from_slice(&number.as_f64().unwrap_or_default().to_be_bytes());
            }
        },
        Value::String(text) => append_cbor_text(text, out),
        Value::Array(items) => {
            append_cbor_head(4, items.len() as u64, out);
            items.iter().for_each(|item| append_cbor(item, out));
        }
        Value::Object(entries) => {
            append_cbor_head(5, entries.len() as u64, out);
            for (key, item) in entries {
                append_cbor_text(key, out);
                append_cbor(item, out);
            }
        }
    }
}

fn append_cbor_text(text: &str, out: &mut Vec<u8>) {
    append_cbor_head(3, text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn append_cbor_head(major: u8, number: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    match number {
        0..=23 => out.push(major | number as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, number as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&(number as u32).to_be_bytes());
        }
        0x1_0000_0000.. => {
            out.push(major | 27);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

fn json_header(message: &[u8]) -> Option<Header> {
    let rest = message.trim_ascii_start().strip_prefix(b"[")?;
    let (code, rest) = json_unsigned(rest)?;
    let id = rest.trim_ascii_start().strip_prefix(b",").and_then(json_unsigned).map(|(id, _)| id);
    Some(Header { code, id })
}

fn json_unsigned(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let bytes = bytes.trim_ascii_start();
    let length = bytes.iter().take(20).take_while(|octet| octet.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(length);
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, rest))
}

fn msgpack_header(message: &[u8]) -> Option<Header> {
    let rest = match message {
        [0x90..=0x9f, rest @ ..] | [0xdc, _, _, rest @ ..] | [0xdd, _, _, _, _, rest @ ..] => rest,
        _ => return None,
    };
    let (code, rest) = msgpack_unsigned(rest)?;
    Some(Header { code, id: msgpack_unsigned(rest).map(|(id, _)| id) })
}

/// Signed encodings count too: some serializers write every integer as one.
fn msgpack_unsigned(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        0x00..=0x7f => Some((u64::from(first), rest)),
        0xcc | 0xd0 => big_endian(rest, 1),
        0xcd | 0xd1 => big_endian(rest, 2),
        0xce | 0xd2 => big_endian(rest, 4),
        0xcf | 0xd3 => big_endian(rest, 8),
        _ => None,
    }
}

fn cbor_header(message: &[u8]) -> Option<Header> {
    let rest = match message {
        [0x80..=0x97 | 0x9f, rest @ ..] | [0x98, _, rest @ ..] | [0x99, _, _, rest @ ..] => rest,
        _ => return None,
    };
    let (code, rest) = cbor_unsigned(rest)?;
    Some(Header { code, id: cbor_unsigned(rest).map(|(id, _)| id) })
}

fn cbor_unsigned(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        0x00..=0x17 => Some((u64::from(first), rest)),
        0x18 => big_endian(rest, 1),
        0x19 => big_endian(rest, 2),
        0x1a => big_endian(rest, 4),
        0x1b => big_endian(rest, 8),
        _ => None,
    }
}

fn big_endian(bytes: &[u8], length: usize) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_at_checked(length)?;
    Some((number.iter().fold(0, |sum, &octet| sum << 8 | u64::from(octet)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ALL: [Serializer; 3] = [Serializer::Json, Serializer::MsgPack, Serializer::Cbor];

    #[test]
    fn header_of_every_serializer_reads_back_ids_of_every_width() {
        for serializer in ALL {
            for id in [1, 23, 24, 127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 53] {
                let mut bytes = Vec::new();
                serializer.append(&json!([50, id, {}]), &mut bytes);
                assert_eq!(
                    serializer.header(&bytes),
                    Some(Header { code: 50, id: Some(id) }),
                    "{serializer:?}"
                );
            }
        }
    }

    #[test]
    fn header_without_an_id_or_cut_short_is_no_panic() {
        for serializer in ALL {
            let mut bytes = Vec::new();
            serializer.append(&json!([3, {"message": "no"}, "wamp.error.no_such_realm"]), &mut bytes);
            assert_eq!(serializer.header(&bytes), Some(Header { code: 3, id: None }), "{serializer:?}");
            for length in 0..bytes.len() {
                let _ = serializer.header(&bytes[..length]);
            }
        }
    }

    #[test]
    fn values_take_their_shortest_form() {
        let value = json!([-1, 1.5, true, null, "é", {"k": [300]}]);
        let mut bytes = Vec::new();
        Serializer::MsgPack.append(&value, &mut bytes);
        let expected = [
            &[0x96, 0xd3][..],
            &(-1i64).to_be_bytes(),
            &[0xcb],
            &1.5f64.to_be_bytes(),
            &[0xc3, 0xc0, 0xa2, 0xc3, 0xa9, 0x81, 0xa1, b'k', 0x91, 0xcd, 1, 44],
        ];
        assert_eq!(bytes, expected.concat());
        bytes.clear();
        Serializer::Cbor.append(&value, &mut bytes);
        let expected = [
            &[0x86, 0x20, 0xfb][..],
            &1.5f64.to_be_bytes(),
            &[0xf5, 0xf6, 0x62, 0xc3, 0xa9, 0xa1, 0x61, b'k', 0x81, 0x19, 1, 44],
        ];
        assert_eq!(bytes, expected.concat());
    }
}
