//! Random operations: what may happen next in the state that the reference is in.
//!
//! Each operation is made from one number and the present state, so that a sequence of operations is a list of
//! numbers and can be shortened by leaving some out.

mod meta;
mod payload;
mod pubsub;
mod rpc;

use std::time::Duration;

use bondy_router::config::{Disclosure, DisclosurePolicy, HistoryRule, Limits, RealmConfig};
use bondy_wamp::feature::{Feature, Features, WampRole};
use bondy_wamp::serializer::Serializer;
use bondy_wamp::uri::{MatchPolicy, UriRule};
use bondy_wamp::value::Value;
use fastrand::Rng;

use super::action::{Action, Profile};
use super::reference::{
    BIG_BYTES_MIN, Call, OUTBOX_BYTES_MAX, Peer, Policy, Reference, Route, empty, message, with_payload,
};

/// Options or details, before they are a dictionary.
type Options = Vec<(String, Value)>;

/// A stalled client reads again once so many messages wait for it.
const WAITING_MAX: u32 = 40;

const TOPICS: [&str; 12] =
    ["a", "b", "a.b", "a.c", "b.a", "a.b.c", "a.b.a", "a.c.c", "b.b.c", "b.a.a", "a.b.c.d", "b"];
const ODD_URIS: [&str; 14] = [
    "a..b",
    "",
    ".a",
    "a.",
    "a b",
    "a.#",
    "A.b",
    "a.é",
    "wamp.x",
    "wamp",
    "bondy.a",
    "com.bondy",
    "com.bondy.a",
    "com.leapsight.bondy.a",
];
const PREFIXES: [&str; 9] = ["", "a", "a.", "a.b", "a.b.", "b", "b.a", "a.b.c", "wamp."];
const WILDCARDS: [&str; 13] =
    ["", ".b", "a.", "a..c", ".b.c", "a.b.", "..c", "..", "a...d", ".b..d", "a.b..", "b.", "wamp..on_join"];
const META_TOPICS: [&str; 11] = [
    "wamp.session.on_join",
    "wamp.session.on_leave",
    "wamp.subscription.on_create",
    "wamp.subscription.on_subscribe",
    "wamp.subscription.on_unsubscribe",
    "wamp.subscription.on_delete",
    "wamp.registration.on_create",
    "wamp.registration.on_register",
    "wamp.registration.on_unregister",
    "wamp.registration.on_delete",
    "wamp.session.on_stats",
];
const AUTHIDS: [&str; 3] = ["alice", "bob", "carol"];
const AUTHROLES: [&str; 4] = ["admin", "user", "admin,user", "guest"];
const INVOKE: [&str; 8] =
    ["single", "roundrobin", "roundrobin", "random", "first", "last", "least_loaded", "consistent_hash"];

/// The rules of a realm, with limits so small that they are reached.
pub(super) fn realm(rng: &mut Rng) -> RealmConfig {
    let rule = |uri: &str, match_policy, limit, ttl_ms: Option<u64>| HistoryRule {
        uri: uri.to_owned(),
        match_policy,
        limit,
        ttl: ttl_ms.map(Duration::from_millis),
    };
    let all =
        [DisclosurePolicy::Allow, DisclosurePolicy::Allow, DisclosurePolicy::Deny, DisclosurePolicy::Always];
    RealmConfig {
        uri: "com.example".to_owned(),
        uri_rule: if rng.u8(..4) == 0 { UriRule::Strict } else { UriRule::Loose },
        disclosure: Disclosure { caller: all[rng.usize(..4)], publisher: all[rng.usize(..4)] },
        limits: Limits {
            sessions_max: rng.usize(6..9),
            registrations_max: rng.usize(2..6),
            subscriptions_max: rng.usize(2..9),
            calls_max: rng.usize(3..8),
            invocations_max: rng.usize(3..9),
            retained_max: rng.usize(2..15),
            testaments_max: rng.usize(1..4),
            prefix_lengths_max: rng.usize(2..5),
            ..Limits::default()
        },
        event_history: vec![
            rule("a.b", MatchPolicy::Exact, 5, None),
            rule("a.", MatchPolicy::Prefix, 20, Some(80)),
            rule("..c", MatchPolicy::Wildcard, 3, None),
        ],
    }
}

/// Makes operations.
pub(super) struct Chance<'r> {
    rng: Rng,
    reference: &'r Reference,
}

impl<'r> Chance<'r> {
    pub(super) fn new(operation: u64, reference: &'r Reference) -> Self {
        Self { rng: Rng::with_seed(operation), reference }
    }

    /// What happens next.
    pub(super) fn action(mut self) -> Action {
        if let Some(peer) = self.reference.peers.iter().find(|peer| peer.waiting > WAITING_MAX) {
            return Action::Resume(peer.id);
        }
        if self.reference.peers.len() < 3 || (self.reference.peers.len() < 8 && self.one_in(12)) {
            return Action::Join(self.profile());
        }
        let peers = &self.reference.peers;
        let from = &peers[self.rng.usize(..peers.len())];
        match self.rng.u32(..1000) {
            0..4 => Action::Lose(from.id),
            4..8 => self.departure(from),
            8..12 => self.violation(from),
            12..20 => self.malformed(from),
            20..70 => Action::Wait(self.rng.u64(1..40)),
            70..110 => self.stall_or_resume(from),
            110..210 => self.subscription(from),
            210..350 => self.publication(from),
            350..450 => self.registration(from),
            450..600 => self.call(from),
            600..640 => self.more_input(from),
            640..690 => self.cancellation(from),
            690..790 => self.meta_call(from),
            _ => self.answer(from),
        }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.rng.usize(..items.len())]
    }

    fn profile(&mut self) -> Profile {
        Profile {
            serializer: self.pick(&Serializer::ALL),
            features: self.features(),
            authid: self.pick(&AUTHIDS),
            authrole: self.pick(&AUTHROLES),
            trust_level: self.one_in(3).then(|| self.rng.u64(..3)),
            is_strict: self.one_in(6),
            closes_on_overflow: self.one_in(4),
            message_bytes_max: if self.one_in(3) { BIG_BYTES_MIN as u32 / 2 } else { 1 << 24 },
            outbox_bytes_max: OUTBOX_BYTES_MAX,
        }
    }

    /// All features, none, or about three of four.
    fn features(&mut self) -> Features {
        let kind = self.rng.u8(..4);
        let mut features = Features::default();
        WampRole::ALL.iter().for_each(|(role, _)| features.insert_role(*role));
        for (feature, ..) in Feature::ALL {
            if kind == 0 || (kind != 1 && self.rng.u8(..4) > 0) {
                features.insert(*feature);
            }
        }
        features
    }

    fn departure(&mut self, from: &Peer) -> Action {
        let details: Value = [("message", "bye".into())].into();
        let (code, reason) = if self.one_in(2) { (6, "wamp.close.normal") } else { (3, "wamp.error.system") };
        Action::Send(from.id, message([code.into(), details, reason.into()]))
    }

    fn stall_or_resume(&mut self, from: &Peer) -> Action {
        if from.is_stalled { Action::Resume(from.id) } else { Action::Stall(from.id) }
    }

    /// Mostly the next in sequence; else one used before, or a large one.
    fn request(&mut self, from: &Peer) -> u64 {
        if from.profile.is_strict {
            return if self.one_in(300) { from.in_sequence + 2 } else { from.in_sequence + 1 };
        }
        match self.rng.u8(..40) {
            0 => self.rng.u64(1..=from.highest_request.max(1)),
            1 => 1 << 53,
            2 => self.rng.u64(1 << 40..1 << 53),
            _ => from.highest_request + 1,
        }
    }

    fn topic(&mut self) -> &'static str {
        if self.one_in(25) { self.pick(&ODD_URIS) } else { self.pick(&TOPICS) }
    }

    fn pattern(&mut self) -> (&'static str, Policy) {
        let policy = self.pick(&Policy::ALL);
        let uri = match policy {
            Policy::Exact => self.topic(),
            Policy::Prefix if self.one_in(25) => self.pick(&ODD_URIS),
            Policy::Prefix => self.pick(&PREFIXES),
            Policy::Wildcard if self.one_in(25) => self.pick(&ODD_URIS),
            Policy::Wildcard => self.pick(&WILDCARDS),
        };
        (uri, policy)
    }

    fn match_option(&mut self, policy: Policy) -> Options {
        match policy {
            Policy::Exact if self.one_in(2) => Vec::new(),
            Policy::Exact if self.one_in(4) => vec![("match".to_owned(), Value::Null)],
            Policy::Exact | Policy::Prefix | Policy::Wildcard => {
                vec![("match".to_owned(), policy.name().into())]
            }
        }
    }

    fn flag(&mut self, options: &mut Options, key: &str, one_in: u32) {
        if self.one_in(one_in) {
            options.push((key.to_owned(), true.into()));
        } else if self.one_in(40) {
            options.push((key.to_owned(), if self.one_in(2) { Value::Null } else { false.into() }));
        }
    }
}

fn held_by(routes: &[Route], session: u64) -> Vec<u64> {
    let is_member = |route: &&Route| route.members.iter().any(|member| member.session == session);
    routes.iter().filter(is_member).map(|route| route.id).collect()
}

fn dict(entries: Options) -> Value {
    Value::Dict(entries.into_iter().collect())
}
