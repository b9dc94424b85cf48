//! Messages as constant bytes around one request id, and the payloads in them.

use super::{FrameKind, Framing, Serializer, Wire};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a payload looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// One argument: a text of the given length.
    Text,
    /// Keyword arguments: integers, floats, texts and arrays in turn, until their JSON has the given length.
    Mixed,
}

/// The payload of every call and event of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// Its length in octets (`Mixed`: at least this, as JSON).
    pub bytes: usize,
    /// What it looks like.
    pub shape: Shape,
}

/// What the floor's frames carry besides the payload, in place of a WAMP envelope.
const FLOOR_ENVELOPE_BYTES: usize = 36;

impl Payload {
    /// `args`, and `kwargs` where the shape has them.
    fn values(self) -> Vec<Value> {
        match self.shape {
            Shape::Text => vec![json!(["x".repeat(self.bytes)])],
            Shape::Mixed => vec![json!([]), Value::Object(self.mixed())],
        }
    }

    fn mixed(self) -> Map<String, Value> {
        let mut entries = Map::new();
        let mut length = 2;
        for index in 0_u32.. {
            if length >= self.bytes {
                break;
            }
            let key = format!("field_{index}");
            let value = match index % 4 {
                0 => json!(index * 7_919),
                1 => json!(f64::from(index) + 0.25),
                2 => json!(format!("some text {index}")),
                _ => json!([index, true, null, "item"]),
            };
            length += key.len() + value.to_string().len() + 4;
            entries.insert(key, value);
        }
        entries
    }
}

/// A frame of which only the request id changes.
#[derive(Clone, Debug)]
pub struct Template {
    framing: Framing,
    serializer: Option<Serializer>,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Template {
    /// `[code, id, rest...]`, or on the floor a frame of `36 + payload` octets.
    fn new(wire: Wire, code: u64, rest: &[Value], payload: Option<Payload>) -> Template {
        let framing = wire.framing();
        let Some(serializer) = wire.serializer() else {
            let length = payload.map_or(0, |payload| payload.bytes) + FLOOR_ENVELOPE_BYTES;
            return Template { framing, serializer: None, head: vec![0; length], tail: Vec::new() };
        };
        let values: Vec<Value> =
            rest.iter().cloned().chain(payload.into_iter().flat_map(Payload::values)).collect();
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        serializer.append_array_start(2 + values.len(), &mut head);
        serializer.append_unsigned(code, &mut head);
        let (separator, end): (&[u8], &[u8]) = match serializer {
            Serializer::Json => (b",", b"]"),
            Serializer::MsgPack | Serializer::Cbor => (b"", b""),
        };
        head.extend_from_slice(separator);
        for value in &values {
            tail.extend_from_slice(separator);
            serializer.append(value, &mut tail);
        }
        tail.extend_from_slice(end);
        Template { framing, serializer: Some(serializer), head, tail }
    }

    /// `[REGISTER, id, {}, procedure]`.
    pub fn register(wire: Wire, procedure: &str) -> Template {
        Template::new(wire, super::code::REGISTER, &[json!({}), json!(procedure)], None)
    }

    /// `[SUBSCRIBE, id, {}, topic]`.
    pub fn subscribe(wire: Wire, topic: &str) -> Template {
        Template::new(wire, super::code::SUBSCRIBE, &[json!({}), json!(topic)], None)
    }

    /// `[CALL, id, {}, procedure, args, kwargs?]`.
    pub fn call(wire: Wire, procedure: &str, payload: Payload) -> Template {
        Template::new(wire, super::code::CALL, &[json!({}), json!(procedure)], Some(payload))
    }

    /// `[YIELD, id, {}, args, kwargs?]`.
    pub fn answer(wire: Wire, payload: Payload) -> Template {
        Template::new(wire, super::code::YIELD, &[json!({})], Some(payload))
    }

    /// `[PUBLISH, id, {}, topic, args, kwargs?]`: not acknowledged.
    pub fn publish(wire: Wire, topic: &str, payload: Payload) -> Template {
        Template::new(wire, super::code::PUBLISH, &[json!({}), json!(topic)], Some(payload))
    }

    /// Appends the frame for `id`.
    pub fn append(&self, id: u64, out: &mut Vec<u8>) {
        let header = out.len();
        let Some(serializer) = self.serializer else {
            self.framing.append_header(FrameKind::Message, self.head.len(), out);
            out.extend_from_slice(&self.head);
            return;
        };
        // The length stands before the id but depends on it, so the id is written once, measured and moved behind.
        serializer.append_unsigned(id, out);
        let mut digits = [0; 20];
        let digits = {
            let length = out.len() - header;
            digits[..length].copy_from_slice(&out[header..]);
            &digits[..length]
        };
        out.truncate(header);
        self.framing.append_header(FrameKind::Message, self.head.len() + digits.len() + self.tail.len(), out);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(digits);
        out.extend_from_slice(&self.tail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_frame_of_a_64_octet_payload_has_104_octets() {
        let payload = Payload { bytes: 64, shape: Shape::Text };
        let mut frame = Vec::new();
        Template::call(Wire::Blind, "ignored", payload).append(1, &mut frame);
        assert_eq!(frame.len(), 104);
    }

    #[test]
    fn json_call_reads_as_the_specification_writes_it() {
        let payload = Payload { bytes: 3, shape: Shape::Text };
        let mut frame = Vec::new();
        Template::call(Wire::RawSocket(Serializer::Json), "a.b", payload).append(1_234, &mut frame);
        assert_eq!(&frame[4..], br#"[48,1234,{},"a.b",["xxx"]]"#);
        assert_eq!(frame[..4], [0, 0, 0, (frame.len() - 4) as u8]);
    }

    #[test]
    fn mixed_payload_reaches_its_length_as_json() {
        let payload = Payload { bytes: 256, shape: Shape::Mixed };
        let length = payload.values()[1].to_string().len();
        assert!((256..300).contains(&length), "{length}");
    }
}
