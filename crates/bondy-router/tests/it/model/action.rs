//! What may happen to a realm in the model, and what comes out.

use std::collections::BTreeMap;

use bondy_wamp::feature::Features;
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;

/// The messages that each session received, in order.
pub(super) type Outputs = BTreeMap<u64, Vec<Value>>;

/// What a client is like.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) serializer: Serializer,
    pub(super) features: Features,
    pub(super) authid: &'static str,
    pub(super) authrole: &'static str,
    pub(super) trust_level: Option<u64>,
    pub(super) is_strict: bool,
    pub(super) closes_on_overflow: bool,
    pub(super) message_bytes_max: u32,
    pub(super) outbox_bytes_max: u32,
}

/// One thing that happens. Sessions are named by their ids.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// A client joins.
    Join(Profile),
    /// A client's connection is lost.
    Lose(u64),
    /// A client sends a well-formed message.
    Send(u64, Value),
    /// A client sends what breaks the protocol, whatever the state of the realm.
    Violate(u64, Vec<u8>),
    /// A client sends a message in which nothing but the payload is at fault.
    SendMalformed { from: u64, code: u64, request: u64, bytes: Vec<u8> },
    /// So many milliseconds pass.
    Wait(u64),
    /// A client stops reading.
    Stall(u64),
    /// A client reads again.
    Resume(u64),
    /// The realm shuts down.
    ShutDown,
}
