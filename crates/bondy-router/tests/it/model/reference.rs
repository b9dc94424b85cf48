//! A naive router: one thread, plain lists, linear scans. The oracle of the random-operation test.
//!
//! It is written from the specification and the project's settled behaviours, and works on values, not on the
//! router's message types. What the router is free to choose (ids of sessions, subscriptions and registrations, the
//! callee under a policy that leaves a choice) it takes from what the router did, and checks that the choice is one
//! of those allowed.

mod broker;
mod dealer;
mod kept;
mod matching;
mod meta;
mod placement;
mod registration;
mod session;

use std::collections::{BTreeMap, BTreeSet};

use bondy_router::config::RealmConfig;
use bondy_wamp::feature::{Feature, Features};
use bondy_wamp::id::ID_MAX;
use bondy_wamp::value::Value;

pub(super) use self::matching::{Policy, Route};
use super::action::{Action, Outputs, Profile};
use super::compare::{any, rest, symbol};

/// Texts from this length on are what makes a message big: more than an outbox or a small peer takes.
pub(super) const BIG_BYTES_MIN: usize = 100_000;

/// What every outbox takes besides its largest frame: less than a big message, more than all small ones.
pub(super) const OUTBOX_BYTES_MAX: u32 = 90_000;

/// The entries of a dictionary.
type Dict = BTreeMap<String, Value>;

/// A session.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: u64,
    pub(super) profile: Profile,
    /// The highest of the request ids that are counted up.
    pub(super) highest_request: u64,
    /// Strict sessions: the latest in sequence.
    pub(super) in_sequence: u64,
    /// The latest invocation that was made to it.
    pub(super) last_invocation: u64,
    pub(super) is_stalled: bool,
    /// How many messages wait because it is stalled, or have been sent since the action began.
    pub(super) waiting: u32,
    /// The sizes of those that are big.
    bigs: Vec<usize>,
    /// Calls that ended before their last chunk.
    pub(super) ended_inputs: Vec<u64>,
    detached_testaments: Vec<Value>,
    destroyed_testaments: Vec<Value>,
}

/// A pending call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) caller: u64,
    pub(super) request: u64,
    serial: u64,
    procedure: String,
    options: Value,
    payload: Vec<Value>,
    is_progressive: bool,
    pub(super) is_input_open: bool,
    has_progressed: bool,
    is_killing: bool,
    timeout_ns: u64,
    deadline_ns: u64,
    /// The callee keeps the timeout.
    is_forwarded: bool,
    /// It was shared when the call came, so another callee may be asked.
    may_reroute: bool,
    asked: Vec<u64>,
    /// Callee and invocation.
    invoked: Option<(u64, u64)>,
}

/// An invocation that its callee has not answered.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) callee: u64,
    pub(super) id: u64,
    call: u64,
    caller: u64,
    slot: u64,
    registration: u64,
    is_pattern: bool,
    pub(super) wants_progress: bool,
}

/// A retained event.
#[derive(Debug)]
struct Retained {
    publication: Value,
    details: Dict,
    options: Value,
    is_restricted: bool,
    payload: Vec<Value>,
}

/// An event in the history.
#[derive(Debug)]
struct Kept {
    at_ns: u64,
    publication: Value,
    topic: String,
    details: Dict,
    options: Value,
    payload: Vec<Value>,
}

/// The naive router.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) rules: RealmConfig,
    pub(super) now_ns: u64,
    pub(super) peers: Vec<Peer>,
    pub(super) subscriptions: Vec<Route>,
    pub(super) registrations: Vec<Route>,
    pub(super) calls: Vec<Call>,
    pub(super) invocations: Vec<Invocation>,
    retained: BTreeMap<String, Vec<Retained>>,
    history: Vec<Vec<Kept>>,
    pub(super) is_closing: bool,
    /// Under `consistent_hash`: for a key, who goes before whom.
    preferences: BTreeSet<(String, u64, u64)>,
    last_number: u64,
    out: Outputs,
    /// What the router did in this action.
    seen: Outputs,
    /// What the router did and must not do.
    pub(super) objections: Vec<String>,
}

/// A message.
pub(super) fn message<const N: usize>(items: [Value; N]) -> Value {
    Value::List(items.into())
}

pub(super) fn with_payload(items: impl IntoIterator<Item = Value>, payload: &[Value]) -> Value {
    Value::List(items.into_iter().chain(payload.iter().cloned()).collect())
}

pub(super) fn empty() -> Value {
    Value::Dict(Dict::new())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(u64::MAX)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn flag(options: &Value, key: &str) -> bool {
    options.entry(key).and_then(Value::as_bool).unwrap_or(false)
}

/// Options that are passed on from one peer to another.
fn attributes(options: &Value) -> Dict {
    let Value::Dict(entries) = options else { return Dict::new() };
    let is_passed_on = |key: &str| {
        ["_", "x_", "ppt_", "enc_"].iter().any(|prefix| key.starts_with(prefix))
            || ["forward_for", "transaction_hash"].contains(&key)
    };
    entries
        .iter()
        .filter(|(key, value)| is_passed_on(key) && *key != "_dropped" && **value != Value::Null)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn is_passthru(options: &Value) -> bool {
    options.entry("ppt_scheme").is_some()
}

/// How many big texts are in it: its size, as far as that matters here.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => usize::from(text.len() >= BIG_BYTES_MIN),
        Value::List(values) => values.iter().map(size).sum(),
        Value::Dict(entries) => entries.values().map(size).sum(),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Binary(_) => 0,
    }
}

impl Reference {
    pub(super) fn new(rules: RealmConfig) -> Self {
        Self {
            history: rules.event_history.iter().map(|_| Vec::new()).collect(),
            rules,
            now_ns: 0,
            peers: Vec::new(),
            subscriptions: Vec::new(),
            registrations: Vec::new(),
            calls: Vec::new(),
            invocations: Vec::new(),
            retained: BTreeMap::new(),
            is_closing: false,
            preferences: BTreeSet::new(),
            last_number: 0,
            out: Outputs::new(),
            seen: Outputs::new(),
            objections: Vec::new(),
        }
    }

    /// What each session must receive of this action, given what the router sent and which session it let in.
    pub(super) fn apply(
        &mut self,
        now_ns: u64,
        action: &Action,
        seen: &Outputs,
        joined: Option<u64>,
    ) -> Outputs {
        self.now_ns = now_ns;
        self.seen = seen.clone();
        match action {
            Action::Join(profile) => self.join(profile, joined),
            Action::Lose(id) => self.leave(*id, None),
            Action::Send(id, Value::List(message)) => self.receive(*id, message),
            Action::Send(id, _) | Action::Violate(id, _) => self.violate(*id),
            Action::SendMalformed { from, code, request, .. } => self.malformed(*from, *code, *request),
            Action::Wait(ms) => self.wait(now_ns + ms * 1_000_000),
            Action::Stall(id) => self.peer_mut(*id).is_stalled = true,
            Action::Resume(id) => self.peer_mut(*id).is_stalled = false,
            Action::ShutDown => self.shut_down(),
        }
        self.expire();
        for peer in self.peers.iter_mut().filter(|peer| !peer.is_stalled) {
            (peer.waiting, peer.bigs) = (0, Vec::new());
        }
        self.seen.clear();
        std::mem::take(&mut self.out)
    }

    fn receive(&mut self, from: u64, message: &[Value]) {
        match (message.first().and_then(Value::as_u64), message) {
            (Some(3), _) => self.leave(from, None),
            (Some(6), _) => self.leave(from, Some(goodbye("wamp.close.goodbye_and_out", None))),
            (Some(8), [_, kind, request, details, error, payload @ ..]) => {
                self.error(from, number(kind), number(request), details, text(error), payload);
            }
            (Some(16), [_, request, options, topic, payload @ ..]) => {
                self.publish(from, number(request), options, text(topic), payload);
            }
            (Some(32), [_, request, options, topic]) => {
                self.subscribe(from, number(request), options, text(topic));
            }
            (Some(34), [_, request, id]) => self.unsubscribe(from, number(request), number(id)),
            (Some(48), [_, request, options, procedure, payload @ ..]) => {
                self.call(from, number(request), options, text(procedure), payload);
            }
            (Some(49), [_, request, options]) => self.cancel(from, number(request), options),
            (Some(64), [_, request, options, procedure]) => {
                self.register(from, number(request), options, text(procedure));
            }
            (Some(66), [_, request, id]) => self.unregister(from, number(request), number(id)),
            (Some(70), [_, request, options, payload @ ..]) => {
                self.yielded(from, number(request), options, payload);
            }
            _ => self.violate(from),
        }
    }

    pub(super) fn peer(&self, id: u64) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.id == id)
    }

    fn peer_mut(&mut self, id: u64) -> &mut Peer {
        self.peers.iter_mut().find(|peer| peer.id == id).expect("actions name open sessions")
    }

    fn is_open(&self, id: u64) -> bool {
        self.peer(id).is_some()
    }

    fn features(&self, id: u64) -> Features {
        self.peer(id).map_or(Features::default(), |peer| peer.profile.features)
    }

    fn has(&self, id: u64, feature: Feature) -> bool {
        self.features(id).has(feature)
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn next_symbol(&mut self) -> Value {
        symbol(self.next_number())
    }

    /// Whatever the limits; to a session that has ended, nothing.
    fn send(&mut self, to: u64, message: Value) {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == to) else { return };
        peer.waiting += 1;
        peer.bigs.extend(Some(size(&message)).filter(|size| *size > 0));
        self.out.entry(to).or_default().push(message);
    }

    /// Does the outbox take another message?
    fn has_room(&self, to: u64) -> bool {
        self.peer(to).is_some_and(|peer| peer.beside_the_largest() == 0)
    }

    /// Does it take another answer? Up to twice as much may wait.
    fn has_room_for_answers(&self, to: u64) -> bool {
        self.peer(to).is_some_and(|peer| peer.beside_the_largest() <= 1)
    }

    fn is_too_large(&self, to: u64, message: &Value) -> bool {
        let max = self.peer(to).map_or(0, |peer| peer.profile.message_bytes_max as usize);
        max < BIG_BYTES_MIN && size(message) > 0
    }

    /// In strict sessions requests count up; false if the session had to end.
    fn is_in_sequence(&mut self, from: u64, request: u64) -> bool {
        let peer = self.peer_mut(from);
        if !peer.profile.is_strict {
            return true;
        }
        if request != peer.in_sequence % ID_MAX + 1 {
            self.violate(from);
            return false;
        }
        peer.in_sequence = request;
        true
    }

    /// A reply to a session's own request; one that has no room for it must end.
    fn reply(&mut self, to: u64, message: Value) {
        if self.has_room(to) { self.send(to, message) } else { self.overflow(to) }
    }

    fn refuse(&mut self, to: u64, kind: u64, request: u64, error: &str) {
        self.reply(to, message([8.into(), kind.into(), request.into(), empty(), error.into(), rest()]));
    }

    fn refuse_limit(&mut self, to: u64, kind: u64, request: u64, limit: &str, max: usize) {
        self.reply(to, limit_error(kind, request, limit, max));
    }

    /// The id that the router has given in this reply to a request for something new.
    fn given_id(&self, to: u64, code: u64, request: u64, used: &[Route]) -> u64 {
        let given = self.seen.get(&to).into_iter().flatten().find_map(|message| match message.as_list()? {
            [kind, id, given] if number(kind) == code && number(id) == request => given.as_u64(),
            _ => None,
        });
        let is_free = |id: &u64| (1..1 << 32).contains(id) && used.iter().all(|route| route.id != *id);
        given.filter(is_free).unwrap_or(0)
    }
}

impl Peer {
    /// What waits, less the largest message.
    fn beside_the_largest(&self) -> usize {
        self.bigs.iter().sum::<usize>() - self.bigs.iter().max().unwrap_or(&0)
    }
}

fn limit_error(kind: u64, request: u64, limit: &str, max: usize) -> Value {
    let kwargs = [("limit", limit.into()), ("max", (max as u64).into())];
    message([
        8.into(),
        kind.into(),
        request.into(),
        empty(),
        "bondy.error.limit_exceeded".into(),
        Value::List(vec![any()]),
        kwargs.into(),
    ])
}

fn goodbye(reason: &str, text: Option<&str>) -> Value {
    let details = text.map_or_else(empty, |text| [("message", text.into())].into());
    message([6.into(), details, reason.into()])
}

fn abort(reason: &str) -> Value {
    message([3.into(), [("message", any())].into(), reason.into()])
}
