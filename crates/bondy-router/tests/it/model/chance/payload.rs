//! Payloads, attributes, and messages that are wrong.

use bondy_wamp::feature::Feature;
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;

use super::{Action, BIG_BYTES_MIN, Chance, Options, Peer, dict, empty, message};

impl Chance<'_> {
    /// Nothing, args, or args and kwargs.
    pub(super) fn payload(&mut self) -> Vec<Value> {
        // What matters is what happens to those that do not read.
        let is_anybody_stalled = self.reference.peers.iter().any(|peer| peer.is_stalled);
        if self.one_in(if is_anybody_stalled { 12 } else { 80 }) {
            let big = Value::String("B".repeat(BIG_BYTES_MIN));
            return vec![Value::List(vec![big])];
        }
        let mut payload = Vec::new();
        if self.rng.u8(..5) > 0 {
            let count = self.rng.usize(..3);
            payload.push(Value::List((0..count).map(|_| self.value(2)).collect()));
            if self.one_in(4) {
                let count = self.rng.usize(..3);
                payload.push(dict(
                    ["k", "key two", "ключ"][..count].iter().map(|key| self.entry(key)).collect(),
                ));
            }
        }
        payload
    }

    fn entry(&mut self, key: &str) -> (String, Value) {
        (key.to_owned(), self.value(1))
    }

    /// Values that every serializer carries as they are.
    fn value(&mut self, depth: u32) -> Value {
        match self.rng.u8(..if depth == 0 { 9 } else { 11 }) {
            0 => Value::Null,
            1 => self.rng.bool().into(),
            2 => Value::Integer(self.rng.i16(..).into()),
            3 => {
                let extreme =
                    [i64::MIN.into(), u64::MAX.into(), 1 << 53, (1 << 53) + 1, -1, 1 << 32, 0xff, 0x100];
                Value::Integer(self.pick(&extreme))
            }
            4 => Value::Float(self.pick(&[0.1, 1.0, -0.0, 1e300, 5e-324, 123_456.789, -1e-7, 2f64.powi(60)])),
            5 | 6 => {
                self.pick(&["", "x", "\"quoted\\\"", "naïve ☃ 𝄞", "line\nbreak\t", "\u{7f}\u{1f}"]).into()
            }
            7 => Value::Binary((0..self.rng.u8(..6)).map(|_| self.rng.u8(..)).collect()),
            8 => Value::String("s".repeat(self.pick(&[31, 32, 255, 256]))),
            9 => {
                let count = self.rng.usize(..4);
                Value::List((0..count).map(|_| self.value(depth - 1)).collect())
            }
            _ => {
                let count = self.rng.usize(..3);
                dict(
                    ["a", "é", "\"b\""][..count]
                        .iter()
                        .map(|key| (key.to_string(), self.value(depth - 1)))
                        .collect(),
                )
            }
        }
    }

    /// Entries that are passed on, and some that are not.
    pub(super) fn attributes(&mut self, may_pass_through: bool, options: &mut Options) {
        if self.one_in(8) {
            options.push(("_tag".to_owned(), self.value(1)));
        }
        if self.one_in(20) {
            options.push(("x_trace".to_owned(), self.value(2)));
        }
        if self.one_in(if may_pass_through { 20 } else { 400 }) {
            options.push(("ppt_scheme".to_owned(), "x_app".into()));
            options.push(("ppt_serializer".to_owned(), "cbor".into()));
        }
        if self.one_in(60) {
            options.push(("_dropped".to_owned(), 7.into()));
        }
        self.oddities(options);
    }

    /// Entries that are ignored.
    pub(super) fn oddities(&mut self, options: &mut Options) {
        if self.one_in(40) {
            options.push(("unknown".to_owned(), self.value(1)));
        }
    }

    /// What ends a session, whatever the state of the realm.
    pub(super) fn violation(&mut self, from: &Peer) -> Action {
        let request = from.highest_request + 1;
        let with = |options: Value, code: u64| message([code.into(), request.into(), options, "a.b".into()]);
        let roles: Value = [("roles", [("caller", empty())].into())].into();
        let value = match self.rng.u8(..20) {
            0 => message([1.into(), "com.example".into(), roles]),
            1 => message([2.into(), 5.into(), empty()]),
            2 => message([36.into(), 1.into(), 1.into(), empty()]),
            3 => message([50.into(), 1.into(), empty()]),
            4 => with([("match", "suffix".into())].into(), 32),
            5 => with([("timeout", Value::Integer(-1))].into(), 48),
            6 => with([("acknowledge", 1.into())].into(), 16),
            7 => with([("exclude", "me".into())].into(), 16),
            8 => with([("concurrency", "two".into())].into(), 64),
            9 => message([49.into(), request.into(), [("mode", "shoot".into())].into()]),
            10 => message([]),
            11 => message([999.into()]),
            12 => message([48.into(), request.into()]),
            13 => message([48.into(), 0.into(), empty(), "a.b".into()]),
            14 => message([48.into(), "one".into(), empty(), "a.b".into()]),
            15 => message([32.into(), request.into(), empty(), "a.b".into(), 1.into()]),
            16 => message([16.into(), request.into(), empty(), "a.b".into(), "x".into()]),
            17 => empty(),
            18 => message([32.into(), request.into(), Value::Null, "a.b".into()]),
            _ => message([5.into(), "signature".into(), empty()]),
        };
        let mut bytes = value.to_bytes(from.profile.serializer);
        if self.one_in(10) {
            bytes.push(0xc1);
        } else if self.one_in(10) {
            bytes.truncate(bytes.len() - 1);
        }
        Action::Violate(from.id, bytes)
    }

    /// Half of a surrogate pair: JSON can write it, nothing can carry it.
    pub(super) fn malformed(&mut self, from: &Peer) -> Action {
        let is_json = |peer: &&Peer| peer.profile.serializer == Serializer::Json && !peer.is_stalled;
        let Some(from) = self.reference.peers.iter().find(is_json) else { return self.call(from) };
        let mine = self.reference.invocations.iter().find(|invocation| invocation.callee == from.id);
        let open = self.reference.calls.iter().find(|call| call.caller == from.id && call.is_input_open);
        let (code, request, options) = match (self.rng.u8(..6), mine, open) {
            (0, Some(invocation), _) => (70, invocation.id, ""),
            (1, Some(invocation), _) => (8, invocation.id, ""),
            (2, _, Some(call)) if from.profile.features.has(Feature::CallerProgressiveInvocations) => {
                (48, call.request, "")
            }
            (3, ..) => (16, self.request(from), ""),
            _ => (48, self.request(from), "\"x\":1"),
        };
        let text = match code {
            8 => format!("[8,68,{request},{{{options}}},\"a.b\",[\"\\ud800\"]]"),
            70 => format!("[70,{request},{{{options}}},[\"\\udc00 \"]]"),
            _ => format!("[{code},{request},{{{options}}},\"a.b\",[\"x\",\"\\ud800\\u0041\"]]"),
        };
        Action::SendMalformed { from: from.id, code, request, bytes: text.into_bytes() }
    }
}
