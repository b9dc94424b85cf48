//! A small WAMP peer for tests: blocking, one thread, messages written and read as JSON values whatever the
//! serializer. It checks nothing for its user: what is sent may be as wrong as a test wants it.
//! The tests of the binary use this folder too.

#![allow(dead_code, reason = "each of the two test binaries uses a part of it")]

pub(crate) mod http;
pub(crate) mod stream;
pub(crate) mod wire;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bondy_wamp::serializer::{Serializer, transcode};
use serde_json::{Value, json};

pub(crate) use wire::{DEADLINE, Dial, Received, Wire};

pub(crate) const HELLO: u64 = 1;
pub(crate) const WELCOME: u64 = 2;
pub(crate) const ABORT: u64 = 3;
pub(crate) const GOODBYE: u64 = 6;
pub(crate) const ERROR: u64 = 8;
pub(crate) const PUBLISH: u64 = 16;
pub(crate) const PUBLISHED: u64 = 17;
pub(crate) const SUBSCRIBE: u64 = 32;
pub(crate) const SUBSCRIBED: u64 = 33;
pub(crate) const EVENT: u64 = 36;
pub(crate) const CALL: u64 = 48;
pub(crate) const RESULT: u64 = 50;
pub(crate) const REGISTER: u64 = 64;
pub(crate) const REGISTERED: u64 = 65;
pub(crate) const INVOCATION: u64 = 68;
pub(crate) const INTERRUPT: u64 = 69;
pub(crate) const YIELD: u64 = 70;

/// What became of a call: the arguments of its result, or the URI of its error.
pub(crate) type Outcome = Result<Value, String>;

/// A session, seen from its client.
pub(crate) struct Peer {
    pub(crate) wire: Wire,
    pub(crate) session: u64,
    /// Details of WELCOME.
    pub(crate) welcome: Value,
    last_request: u64,
    /// Read while waiting for something else.
    postponed: VecDeque<Value>,
}

/// Waits until the condition holds, and fails the test where it does not before the deadline.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut is_reached: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_reached() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// HELLO with all roles and the features that matter here.
pub(crate) fn hello(realm: &str) -> Value {
    let canceling = json!({"features": {"call_canceling": true, "progressive_call_results": true}});
    json!([HELLO, realm, {"roles": {
        "publisher": {}, "subscriber": {}, "caller": canceling, "callee": canceling
    }}])
}

/// A message in a serializer.
pub(crate) fn encode(serializer: Serializer, message: &Value) -> Vec<u8> {
    let text = message.to_string();
    let mut bytes = Vec::new();
    transcode(Serializer::Json, text.as_bytes(), serializer, &mut bytes).expect("JSON in any serializer");
    bytes
}

/// A message as JSON.
pub(crate) fn decode(serializer: Serializer, bytes: &[u8]) -> Value {
    let mut text = Vec::new();
    transcode(serializer, bytes, Serializer::Json, &mut text).expect("a message of the router");
    serde_json::from_slice(&text).expect("JSON")
}

impl Dial {
    /// Connects and joins.
    #[track_caller]
    pub(crate) fn join(&self, realm: &str) -> Peer {
        let mut wire = self.open();
        wire.send_value(&hello(realm));
        match Peer::welcomed(wire) {
            Ok(peer) => peer,
            Err(message) => panic!("not let in: {message}"),
        }
    }
}

impl Peer {
    /// Waits for WELCOME; anything else is given back.
    pub(crate) fn welcomed(mut wire: Wire) -> Result<Peer, Value> {
        let Received::Message(bytes) = wire.receive() else { return Err(Value::Null) };
        let welcome = decode(wire.dial.serializer, &bytes);
        if welcome[0] != WELCOME {
            return Err(welcome);
        }
        let session = welcome[1].as_u64().expect("a session id");
        Ok(Peer { wire, session, welcome: welcome[2].clone(), last_request: 0, postponed: VecDeque::new() })
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.wire.send_value(message);
    }

    pub(crate) fn next_request(&mut self) -> u64 {
        self.last_request += 1;
        self.last_request
    }

    /// The next message, in order.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Value {
        if let Some(message) = self.postponed.pop_front() {
            return message;
        }
        self.read()
    }

    #[track_caller]
    fn read(&mut self) -> Value {
        match self.wire.receive() {
            Received::Message(bytes) => decode(self.wire.dial.serializer, &bytes),
            other => panic!("{other:?} where a message was expected"),
        }
    }

    /// The next message of this type; others wait for their turn.
    #[track_caller]
    pub(crate) fn receive_type(&mut self, message_type: u64) -> Value {
        self.receive_where(|message| message[0] == message_type)
    }

    #[track_caller]
    pub(crate) fn receive_where(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(position) = self.postponed.iter().position(&is_wanted) {
            return self.postponed.remove(position).expect("it was found there");
        }
        loop {
            let message = self.read();
            if is_wanted(&message) {
                return message;
            }
            assert!(message[0] != ABORT && message[0] != GOODBYE, "the session was closed: {message}");
            self.postponed.push_back(message);
        }
    }

    /// A message within `time`, if one comes.
    pub(crate) fn try_receive(&mut self, time: Duration) -> Option<Value> {
        if let Some(message) = self.postponed.pop_front() {
            return Some(message);
        }
        match self.wire.try_receive(time)? {
            Received::Message(bytes) => Some(decode(self.wire.dial.serializer, &bytes)),
            other => panic!("{other:?} where a message was expected"),
        }
    }

    /// Sends CALL; the request id.
    pub(crate) fn begin_call(&mut self, procedure: &str, args: &Value) -> u64 {
        let request = self.next_request();
        self.send(&json!([CALL, request, {}, procedure, args]));
        request
    }

    /// The final answer of a call.
    #[track_caller]
    pub(crate) fn end_call(&mut self, request: u64) -> Outcome {
        let answer = self.receive_where(|message| {
            (message[0] == RESULT && message[1] == request) || (message[0] == ERROR && message[2] == request)
        });
        if answer[0] == RESULT {
            return Ok(answer[3].clone());
        }
        Err(answer[4].as_str().unwrap_or_default().to_owned())
    }

    #[track_caller]
    pub(crate) fn call(&mut self, procedure: &str, args: &Value) -> Outcome {
        let request = self.begin_call(procedure, args);
        self.end_call(request)
    }

    /// Registers; the registration id.
    #[track_caller]
    pub(crate) fn register(&mut self, procedure: &str) -> u64 {
        let request = self.next_request();
        self.send(&json!([REGISTER, request, {}, procedure]));
        let answer = self.receive_where(|message| message[0] == REGISTERED || message[0] == ERROR);
        assert_eq!(answer[0], REGISTERED, "{answer}");
        answer[2].as_u64().expect("a registration id")
    }

    /// Subscribes; the subscription id.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, topic: &str) -> u64 {
        let request = self.next_request();
        self.send(&json!([SUBSCRIBE, request, {}, topic]));
        let answer = self.receive_type(SUBSCRIBED);
        answer[2].as_u64().expect("a subscription id")
    }

    /// Publishes and waits for the acknowledgement.
    #[track_caller]
    pub(crate) fn publish(&mut self, topic: &str, args: &Value) {
        let request = self.next_request();
        self.send(&json!([PUBLISH, request, {"acknowledge": true}, topic, args]));
        self.receive_type(PUBLISHED);
    }

    /// Answers the next invocation with its own arguments.
    #[track_caller]
    pub(crate) fn echo(&mut self) {
        let invocation = self.receive_type(INVOCATION);
        self.send(&json!([YIELD, invocation[1], {}, invocation[4]]));
    }

    /// What the router knows of this session: `wamp.session.get`.
    #[track_caller]
    pub(crate) fn details(&mut self, session: u64) -> Value {
        self.call("wamp.session.get", &json!([session])).expect("a session that is there")[0].clone()
    }

    /// Everything until the connection ends: the messages, and the code of the WebSocket's close frame.
    #[track_caller]
    pub(crate) fn until_end(mut self) -> (Vec<Value>, Option<u16>) {
        let mut messages: Vec<Value> = self.postponed.drain(..).collect();
        let (more, code) = until_end(&mut self.wire);
        messages.extend(more);
        (messages, code)
    }
}

/// Everything that comes until the connection ends.
#[track_caller]
pub(crate) fn until_end(wire: &mut Wire) -> (Vec<Value>, Option<u16>) {
    let (mut messages, mut code) = (Vec::new(), None);
    loop {
        match wire.receive() {
            Received::Message(bytes) => messages.push(decode(wire.dial.serializer, &bytes)),
            Received::Ping(_) | Received::Pong(_) => {}
            Received::Close(close) => {
                code = close;
                wire.send_close();
            }
            Received::End => return (messages, code),
        }
    }
}
