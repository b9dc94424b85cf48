//! Messages as constant bytes around one request id, and the payloads in them.

use super::{FrameKind, Framing, Serializer, Wire, nats};
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

    /// The end of a line of NATS, and the payload behind it.
    fn nats(self) -> Vec<u8> {
        let text = match self.shape {
            Shape::Text => "x".repeat(self.bytes),
            Shape::Mixed => Value::Object(self.mixed()).to_string(),
        };
        format!(" {}\r\n{text}\r\n", text.len()).into_bytes()
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

/// Octets at the start of a text payload that a stamp takes: a number in hexadecimal digits.
pub const STAMP_BYTES: usize = 16;

/// A frame of which only the request id changes, and the stamp where there is one.
#[derive(Clone, Debug)]
pub struct Template {
    framing: Framing,
    id: Id,
    head: Vec<u8>,
    tail: Vec<u8>,
    /// How far from the frame's end the payload's text begins, where it is long enough for a stamp.
    stamp_from_end: Option<usize>,
}

/// How the request id stands between head and tail.
#[derive(Clone, Copy, Debug)]
enum Id {
    /// It does not.
    Absent,
    /// As a value of the serializer.
    Value(Serializer),
    /// In decimal digits, in the text of NATS.
    Digits,
}

impl Template {
    /// `[code, id, rest...]`, or on the floor a frame of `36 + payload` octets.
    fn new(wire: Wire, code: u64, rest: &[Value], payload: Option<Payload>) -> Template {
        let framing = wire.framing();
        let stamp_from_end = payload.and_then(|payload| wire.stamp_from_end(payload));
        let Some(serializer) = wire.serializer() else {
            let length = payload.map_or(0, |payload| payload.bytes) + FLOOR_ENVELOPE_BYTES;
            let head = vec![0; length];
            return Template { framing, id: Id::Absent, head, tail: Vec::new(), stamp_from_end };
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
        Template { framing, id: Id::Value(serializer), head, tail, stamp_from_end }
    }

    /// Lines of NATS: `before`, the request id if `id` says so, `after`.
    fn lines(before: &str, id: Id, after: Vec<u8>, payload: Option<Payload>) -> Template {
        let stamp_from_end = payload.and_then(|payload| Wire::Nats.stamp_from_end(payload));
        Template { framing: Framing::Nats, id, head: before.as_bytes().to_vec(), tail: after, stamp_from_end }
    }

    /// A subscription of NATS, and a `PING` whose answer says that it is in place.
    fn nats_subscribe(subject: &str, number: u64) -> Template {
        let lines = format!("SUB {subject} {number}\r\nPING\r\n");
        Template::lines(&lines, Id::Absent, Vec::new(), None)
    }

    /// `[REGISTER, id, {}, procedure]`.
    pub fn register(wire: Wire, procedure: &str) -> Template {
        match wire {
            Wire::Nats => Template::nats_subscribe(procedure, nats::INVOCATIONS),
            Wire::Blind | Wire::RawSocket(_) | Wire::WebSocket(_) => {
                Template::new(wire, super::code::REGISTER, &[json!({}), json!(procedure)], None)
            }
        }
    }

    /// What a caller asks for before it calls: in NATS the replies, elsewhere nothing.
    pub fn results(wire: Wire, procedure: &str) -> Option<Template> {
        let subject = format!("{}*", nats::reply_prefix(procedure));
        (wire == Wire::Nats).then(|| Template::nats_subscribe(&subject, nats::RESULTS))
    }

    /// `[SUBSCRIBE, id, {}, topic]`.
    pub fn subscribe(wire: Wire, topic: &str) -> Template {
        match wire {
            Wire::Nats => Template::nats_subscribe(topic, nats::EVENTS),
            Wire::Blind | Wire::RawSocket(_) | Wire::WebSocket(_) => {
                Template::new(wire, super::code::SUBSCRIBE, &[json!({}), json!(topic)], None)
            }
        }
    }

    /// `[CALL, id, {}, procedure, args, kwargs?]`.
    pub fn call(wire: Wire, procedure: &str, payload: Payload) -> Template {
        match wire {
            Wire::Nats => {
                let before = format!("PUB {procedure} {}", nats::reply_prefix(procedure));
                Template::lines(&before, Id::Digits, payload.nats(), Some(payload))
            }
            Wire::Blind | Wire::RawSocket(_) | Wire::WebSocket(_) => {
                Template::new(wire, super::code::CALL, &[json!({}), json!(procedure)], Some(payload))
            }
        }
    }

    /// `[YIELD, id, {}, args, kwargs?]`.
    pub fn answer(wire: Wire, procedure: &str, payload: Payload) -> Template {
        match wire {
            Wire::Nats => {
                let before = format!("PUB {}", nats::reply_prefix(procedure));
                Template::lines(&before, Id::Digits, payload.nats(), Some(payload))
            }
            Wire::Blind | Wire::RawSocket(_) | Wire::WebSocket(_) => {
                Template::new(wire, super::code::YIELD, &[json!({})], Some(payload))
            }
        }
    }

    /// `[PUBLISH, id, {}, topic, args, kwargs?]`: not acknowledged.
    pub fn publish(wire: Wire, topic: &str, payload: Payload) -> Template {
        match wire {
            Wire::Nats => Template::lines(&format!("PUB {topic}"), Id::Absent, payload.nats(), Some(payload)),
            Wire::Blind | Wire::RawSocket(_) | Wire::WebSocket(_) => {
                Template::new(wire, super::code::PUBLISH, &[json!({}), json!(topic)], Some(payload))
            }
        }
    }

    /// Appends the frame for `id`.
    pub fn append(&self, id: u64, out: &mut Vec<u8>) {
        // The length stands before the id but depends on it, so the id is written once, measured and moved behind.
        let header = out.len();
        match self.id {
            Id::Absent => {}
            Id::Value(serializer) => serializer.append_unsigned(id, out),
            Id::Digits => Serializer::Json.append_unsigned(id, out),
        }
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

    /// Appends the frame for `id` with `stamp` in its payload; without a stamp where the payload has no room for it.
    pub fn append_stamped(&self, id: u64, stamp: u64, out: &mut Vec<u8>) {
        self.append(id, out);
        if let Some(start) = self.stamp_from_end.and_then(|distance| out.len().checked_sub(distance)) {
            for (index, octet) in out[start..start + STAMP_BYTES].iter_mut().enumerate() {
                let digit = (stamp >> (60 - 4 * index)) & 0xf;
                *octet = b"0123456789abcdef"[digit as usize];
            }
        }
    }
}

impl Wire {
    /// How far from the end of a message the text of its payload begins; `None` where there is no room for a stamp.
    fn stamp_from_end(self, payload: Payload) -> Option<usize> {
        let behind = match self {
            Wire::RawSocket(Serializer::Json) | Wire::WebSocket(Serializer::Json) => b"\"]]".len(),
            Wire::RawSocket(_) | Wire::WebSocket(_) | Wire::Blind => 0,
            Wire::Nats => b"\r\n".len(),
        };
        (payload.shape == Shape::Text && payload.bytes >= STAMP_BYTES).then_some(payload.bytes + behind)
    }

    /// The stamp of a received message that carries `payload`.
    pub fn stamp(self, message: &[u8], payload: Payload) -> Option<u64> {
        let start = message.len().checked_sub(self.stamp_from_end(payload)?)?;
        let digits = message.get(start..start + STAMP_BYTES)?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
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
    fn nats_call_and_answer_meet_at_the_reply_subject() {
        let payload = Payload { bytes: 3, shape: Shape::Text };
        let mut frames = Vec::new();
        Template::call(Wire::Nats, "a.b", payload).append(17, &mut frames);
        Template::answer(Wire::Nats, "a.b", payload).append(17, &mut frames);
        Template::results(Wire::Nats, "a.b").expect("replies").append(1, &mut frames);
        let expected =
            "PUB a.b a.b.reply.17 3\r\nxxx\r\nPUB a.b.reply.17 3\r\nxxx\r\nSUB a.b.reply.* 2\r\nPING\r\n";
        assert_eq!(String::from_utf8(frames).expect("text"), expected);
    }

    #[test]
    fn stamps_are_read_where_they_were_written() {
        let payload = Payload { bytes: 20, shape: Shape::Text };
        let wires = [
            Wire::Blind,
            Wire::Nats,
            Wire::RawSocket(Serializer::Json),
            Wire::RawSocket(Serializer::MsgPack),
            Wire::RawSocket(Serializer::Cbor),
        ];
        for wire in wires {
            let mut frame = Vec::new();
            Template::publish(wire, "a.b", payload).append_stamped(1, 0x1234_5678_9abc_def0, &mut frame);
            assert_eq!(wire.stamp(&frame, payload), Some(0x1234_5678_9abc_def0), "{wire:?}");
            let mut unstamped = Vec::new();
            let short = Payload { bytes: 15, ..payload };
            Template::publish(wire, "a.b", short).append_stamped(1, 7, &mut unstamped);
            assert_eq!(wire.stamp(&unstamped, short), None, "{wire:?}");
        }
    }

    #[test]
    fn mixed_payload_reaches_its_length_as_json() {
        let payload = Payload { bytes: 256, shape: Shape::Mixed };
        let length = payload.values()[1].to_string().len();
        assert!((256..300).contains(&length), "{length}");
    }
}
