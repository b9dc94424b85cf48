//! Random operations: what may happen next in the state that the reference is in.
//!
//! Each operation is made from one number and the present state, so that a sequence of operations is a list of
//! numbers and can be shortened by leaving some out.

mod payload;

use std::time::Duration;

use bondy_router::config::{Disclosure, DisclosurePolicy, HistoryRule, Limits, RealmConfig};
use bondy_wamp::feature::{Feature, Features, WampRole};
use bondy_wamp::serializer::Serializer;
use bondy_wamp::uri::{MatchPolicy, UriRule};
use bondy_wamp::value::Value;
use fastrand::Rng;

use super::action::{Action, Profile};
use super::reference::{BIG_BYTES_MIN, Invocation, OUTBOX_BYTES_MAX, Peer, Policy, Reference};

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
            registrations_max: rng.usize(3..8),
            subscriptions_max: rng.usize(3..10),
            calls_max: rng.usize(3..8),
            invocations_max: rng.usize(3..9),
            retained_max: rng.usize(2..9),
            testaments_max: rng.usize(1..4),
            prefix_lengths_max: rng.usize(2..5),
            ..Limits::default()
        },
        event_history: vec![
            rule("a.b", MatchPolicy::Exact, 5, None),
            rule("a.", MatchPolicy::Prefix, 20, Some(300)),
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
            message_bytes_max: if self.one_in(5) { BIG_BYTES_MIN as u32 / 2 } else { 1 << 24 },
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
        Action::Send(from.id, list([code.into(), details, reason.into()]))
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

    fn subscription(&mut self, from: &Peer) -> Action {
        let request = self.request(from);
        let held: Vec<u64> = held_by(&self.reference.subscriptions, from.id);
        if self.rng.u8(..10) < 4 && (!held.is_empty() || self.one_in(8)) {
            let id = if held.is_empty() || self.one_in(10) { self.rng.u64(1..40) } else { self.pick(&held) };
            return Action::Send(from.id, list([34.into(), request.into(), id.into()]));
        }
        let (topic, policy) =
            if self.one_in(4) { (self.pick(&META_TOPICS), Policy::Exact) } else { self.pattern() };
        let mut options = self.match_option(policy);
        self.flag(&mut options, "get_retained", 3);
        self.oddities(&mut options);
        Action::Send(from.id, list([32.into(), request.into(), dict(options), topic.into()]))
    }

    fn match_option(&mut self, policy: Policy) -> Vec<(String, Value)> {
        match policy {
            Policy::Exact if self.one_in(2) => Vec::new(),
            Policy::Exact if self.one_in(4) => vec![("match".to_owned(), Value::Null)],
            Policy::Exact | Policy::Prefix | Policy::Wildcard => {
                vec![("match".to_owned(), policy.name().into())]
            }
        }
    }

    fn flag(&mut self, options: &mut Vec<(String, Value)>, key: &str, one_in: u32) {
        if self.one_in(one_in) {
            options.push((key.to_owned(), true.into()));
        } else if self.one_in(40) {
            options.push((key.to_owned(), if self.one_in(2) { Value::Null } else { false.into() }));
        }
    }

    fn publication(&mut self, from: &Peer) -> Action {
        let request = self.request(from);
        let mut options = Vec::new();
        self.flag(&mut options, "acknowledge", 2);
        self.flag(&mut options, "disclose_me", 6);
        self.flag(&mut options, "retain", 4);
        if self.one_in(2) {
            options.push(("exclude_me".to_owned(), false.into()));
        }
        if self.one_in(3) {
            self.receivers(&mut options);
        }
        self.attributes(from.profile.features.has(Feature::PublisherPassthru), &mut options);
        let topic = self.topic();
        let payload = self.payload();
        let head = [16.into(), request.into(), dict(options), topic.into()];
        Action::Send(from.id, Value::List(head.into_iter().chain(payload).collect()))
    }

    fn receivers(&mut self, options: &mut Vec<(String, Value)>) {
        for key in ["exclude", "eligible"] {
            if self.one_in(4) {
                let ids = self.reference.peers.iter().map(|peer| peer.id).chain([7]);
                let some = ids.filter(|_| self.rng.bool()).map(Value::from).collect();
                options.push((key.to_owned(), Value::List(some)));
            }
        }
        for (keys, names) in [
            (["exclude_authid", "eligible_authid"], &AUTHIDS[..]),
            (["exclude_authrole", "eligible_authrole"], &AUTHROLES),
        ] {
            for key in keys {
                if self.one_in(5) {
                    let some = names.iter().filter(|_| self.rng.bool()).map(|name| (*name).into()).collect();
                    options.push((key.to_owned(), Value::List(some)));
                }
            }
        }
    }

    fn registration(&mut self, from: &Peer) -> Action {
        let request = self.request(from);
        let held: Vec<u64> = held_by(&self.reference.registrations, from.id);
        if self.rng.u8(..10) < 3 && (!held.is_empty() || self.one_in(8)) {
            let id = if held.is_empty() || self.one_in(10) { self.rng.u64(1..40) } else { self.pick(&held) };
            return Action::Send(from.id, list([66.into(), request.into(), id.into()]));
        }
        let present = self.reference.registrations.iter().filter(|route| route.invoke != "single");
        let shared: Vec<_> =
            present.map(|route| (route.uri.clone(), route.policy, route.invoke.clone())).collect();
        let (procedure, policy, invoke) = if !shared.is_empty() && self.rng.u8(..10) < 6 {
            shared[self.rng.usize(..shared.len())].clone()
        } else {
            let (procedure, policy) = self.pattern();
            let invoke = if self.one_in(60) { "newest" } else { self.pick(&INVOKE) };
            (procedure.to_owned(), policy, invoke.to_owned())
        };
        let mut options = self.match_option(policy);
        if invoke != "single" || self.one_in(2) {
            options.push(("invoke".to_owned(), invoke.as_str().into()));
        }
        if self.one_in(3) {
            options.push(("concurrency".to_owned(), self.rng.u64(..3).into()));
        }
        self.flag(&mut options, "force_reregister", 10);
        self.flag(&mut options, "disclose_caller", 6);
        self.flag(&mut options, "forward_timeout", 4);
        self.oddities(&mut options);
        Action::Send(from.id, list([64.into(), request.into(), dict(options), procedure.as_str().into()]))
    }

    fn call(&mut self, from: &Peer) -> Action {
        let request = self.request(from);
        let mut options = Vec::new();
        self.flag(&mut options, "receive_progress", 3);
        self.flag(&mut options, "disclose_me", 6);
        let sends_progress = from.profile.features.has(Feature::CallerProgressiveInvocations);
        self.flag(&mut options, "progress", if sends_progress { 5 } else { 300 });
        if self.one_in(3) {
            options.push(("timeout".to_owned(), self.rng.u64(..50).into()));
        }
        if self.one_in(4) {
            let key = self.rng.u64(..3);
            options.push(("rkey".to_owned(), if key == 0 { "zero".into() } else { key.into() }));
        }
        self.attributes(from.profile.features.has(Feature::CallerPassthru), &mut options);
        let procedure = self.procedure();
        let payload = self.payload();
        let head = [48.into(), request.into(), dict(options), procedure.as_str().into()];
        Action::Send(from.id, Value::List(head.into_iter().chain(payload).collect()))
    }

    /// Mostly one that somebody serves, so that calls meet callees.
    fn procedure(&mut self) -> String {
        let exact: Vec<&str> = self
            .reference
            .registrations
            .iter()
            .filter(|route| route.policy == Policy::Exact)
            .map(|route| route.uri.as_str())
            .collect();
        if !exact.is_empty() && self.one_in(2) {
            self.pick(&exact).to_owned()
        } else {
            self.topic().to_owned()
        }
    }

    fn more_input(&mut self, from: &Peer) -> Action {
        let is_open = |call: &&super::reference::Call| call.is_input_open;
        let open: Vec<_> = self.reference.calls.iter().filter(is_open).collect();
        if open.is_empty() {
            return self.call(from);
        }
        let call = open[self.rng.usize(..open.len())];
        let mut options = Vec::new();
        self.flag(&mut options, "progress", 2);
        self.attributes(false, &mut options);
        let procedure = self.procedure();
        let payload = self.payload();
        let head = [48.into(), call.request.into(), dict(options), procedure.as_str().into()];
        Action::Send(call.caller, Value::List(head.into_iter().chain(payload).collect()))
    }

    fn cancellation(&mut self, from: &Peer) -> Action {
        let calls = &self.reference.calls;
        let (from, request) = if calls.is_empty() || self.one_in(10) {
            (from.id, self.rng.u64(1..=from.highest_request + 2))
        } else {
            let call = &calls[self.rng.usize(..calls.len())];
            (call.caller, call.request)
        };
        let mode = self.pick(&["skip", "kill", "kill", "killnowait"]);
        let options: Value = if self.one_in(5) { dict(Vec::new()) } else { [("mode", mode.into())].into() };
        Action::Send(from, list([49.into(), request.into(), options]))
    }

    /// A callee answers one of its invocations; sometimes one that has ended, or that was never made.
    fn answer(&mut self, from: &Peer) -> Action {
        let invocations = &self.reference.invocations;
        let id = |rng: &mut Rng, invocation: &Invocation| match rng.u16(..100) {
            0 => rng.u64(1..=invocation.id),
            _ => invocation.id,
        };
        let (from, id) = if invocations.is_empty() || self.one_in(30) {
            let max = from.last_invocation;
            let is_never_made = max == 0 || self.one_in(20);
            if is_never_made && !self.one_in(10) {
                return self.publication(from);
            }
            (from, if is_never_made { max + 1 + self.rng.u64(..2) } else { self.rng.u64(1..=max) })
        } else {
            let invocation = &invocations[self.rng.usize(..invocations.len())];
            let callee = self.reference.peer(invocation.callee).unwrap_or(from);
            (callee, id(&mut self.rng, invocation))
        };
        self.answer_to(from, id)
    }

    fn answer_to(&mut self, from: &Peer, id: u64) -> Action {
        let mut options = Vec::new();
        let error = match self.rng.u8(..20) {
            0..8 => None,
            8..13 => {
                options.push(("progress".to_owned(), true.into()));
                None
            }
            13..15 => Some(self.pick(&["a.error", "wamp.error.runtime_error", "a.error.b"])),
            15..19 => Some("wamp.error.unavailable"),
            _ => Some(self.pick(&["a..b", "", "a b", "a.b"])),
        };
        self.attributes(from.profile.features.has(Feature::CalleePassthru), &mut options);
        let payload = self.payload();
        let head = match error {
            None => vec![70.into(), id.into(), dict(options)],
            Some(error) => {
                let kind = if self.one_in(600) { 48 } else { 68 };
                vec![8.into(), kind.into(), id.into(), dict(options), error.into()]
            }
        };
        Action::Send(from.id, Value::List(head.into_iter().chain(payload).collect()))
    }

    fn meta_call(&mut self, from: &Peer) -> Action {
        let request = self.request(from);
        let (procedure, args, kwargs) = self.meta_procedure();
        let mut options = Vec::new();
        if from.profile.features.has(Feature::CallerProgressiveInvocations) {
            self.flag(&mut options, "progress", 30);
        }
        self.flag(&mut options, "disclose_me", 20);
        let mut call = vec![48.into(), request.into(), dict(options), procedure.into()];
        if !args.is_empty() || !kwargs.is_empty() || self.one_in(2) {
            call.push(Value::List(args));
        }
        if !kwargs.is_empty() {
            call.push(dict(kwargs));
        }
        Action::Send(from.id, Value::List(call))
    }

    fn meta_procedure(&mut self) -> (&'static str, Vec<Value>, Vec<(String, Value)>) {
        let (session, subscription, registration) = (self.session(), self.route(true), self.route(false));
        let (topic, policy) = self.pattern();
        let roles =
            Value::List(AUTHROLES.iter().filter(|_| self.rng.bool()).map(|role| (*role).into()).collect());
        let roles = if self.one_in(3) { vec![roles] } else { Vec::new() };
        let lookup = vec![topic.into(), [("match", policy.name().into())].into()];
        let concrete = vec![self.pick(&TOPICS).into()];
        let no_kwargs = Vec::new();
        let kind = self.rng.u8(..30);
        match kind {
            0 => ("wamp.session.count", roles, no_kwargs),
            1 => ("wamp.session.list", roles, no_kwargs),
            2 | 3 => ("wamp.session.get", vec![session.into()], no_kwargs),
            4 => ("wamp.session.kill", vec![session.into()], self.farewell()),
            5 if self.one_in(4) => {
                ("wamp.session.kill_by_authid", vec![self.pick(&AUTHIDS).into()], self.farewell())
            }
            6 if self.one_in(4) => {
                ("wamp.session.kill_by_authrole", vec![self.pick(&["user", "guest"]).into()], self.farewell())
            }
            7 if self.one_in(12) => ("wamp.session.kill_all", Vec::new(), self.farewell()),
            8..12 => self.testament(),
            12 => ("wamp.session.flush_testaments", Vec::new(), self.scope()),
            13 => ("wamp.registration.list", Vec::new(), no_kwargs),
            14 => ("wamp.registration.lookup", lookup, no_kwargs),
            15 => ("wamp.registration.match", concrete, no_kwargs),
            16 => ("wamp.registration.get", vec![registration.into()], no_kwargs),
            17 => ("wamp.registration.list_callees", vec![registration.into()], no_kwargs),
            18 => ("wamp.registration.count_callees", vec![registration.into()], no_kwargs),
            19 => {
                ("wamp.registration.remove_callee", vec![registration.into(), session.into()], self.reason())
            }
            20 => ("wamp.subscription.list", Vec::new(), no_kwargs),
            21 => ("wamp.subscription.lookup", lookup, no_kwargs),
            22 => ("wamp.subscription.match", concrete, no_kwargs),
            23 => ("wamp.subscription.get", vec![subscription.into()], no_kwargs),
            24 => ("wamp.subscription.list_subscribers", vec![subscription.into()], no_kwargs),
            25 => ("wamp.subscription.count_subscribers", vec![subscription.into()], no_kwargs),
            26 => (
                "wamp.subscription.remove_subscriber",
                vec![subscription.into(), session.into()],
                self.reason(),
            ),
            27 => ("wamp.subscription.get_events", vec![subscription.into()], self.history_filter()),
            28 => ("wamp.session.get", vec!["nobody".into()], no_kwargs),
            _ => ("wamp.session.no_such", Vec::new(), no_kwargs),
        }
    }

    fn session(&mut self) -> u64 {
        let peers = &self.reference.peers;
        if self.one_in(10) { 7 } else { peers[self.rng.usize(..peers.len())].id }
    }

    fn route(&mut self, is_subscription: bool) -> u64 {
        let reference = self.reference;
        let routes = if is_subscription { &reference.subscriptions } else { &reference.registrations };
        if routes.is_empty() || self.one_in(8) { 999_999 } else { routes[self.rng.usize(..routes.len())].id }
    }

    fn reason(&mut self) -> Vec<(String, Value)> {
        if self.one_in(2) { vec![("reason".to_owned(), "a.reason".into())] } else { Vec::new() }
    }

    fn farewell(&mut self) -> Vec<(String, Value)> {
        let mut kwargs = self.reason();
        if self.one_in(2) {
            kwargs.push(("message".to_owned(), "because".into()));
        }
        if self.one_in(10) {
            return vec![("reason".to_owned(), "not a uri".into())];
        }
        kwargs
    }

    fn scope(&mut self) -> Vec<(String, Value)> {
        match self.rng.u8(..8) {
            0..4 => Vec::new(),
            4 | 5 => vec![("scope".to_owned(), "destroyed".into())],
            _ => vec![("scope".to_owned(), "detached".into())],
        }
    }

    fn testament(&mut self) -> (&'static str, Vec<Value>, Vec<(String, Value)>) {
        let args = vec![self.topic().into(), Value::List(vec![self.rng.u64(..9).into()]), dict(Vec::new())];
        let mut kwargs = self.scope();
        if self.one_in(2) {
            let mut options = Vec::new();
            self.flag(&mut options, "retain", 3);
            self.flag(&mut options, "disclose_me", 4);
            self.flag(&mut options, "acknowledge", 4);
            self.receivers(&mut options);
            kwargs.push(("publish_options".to_owned(), dict(options)));
        }
        ("wamp.session.add_testament", args, kwargs)
    }

    fn history_filter(&mut self) -> Vec<(String, Value)> {
        let mut kwargs = Vec::new();
        self.flag(&mut kwargs, "reverse", 3);
        if self.one_in(3) {
            kwargs.push(("limit".to_owned(), self.rng.u64(..6).into()));
        }
        if self.one_in(4) {
            kwargs.push(("topic".to_owned(), self.pick(&TOPICS).into()));
        }
        kwargs
    }
}

fn held_by(routes: &[super::reference::Route], session: u64) -> Vec<u64> {
    let is_member =
        |route: &&super::reference::Route| route.members.iter().any(|member| member.session == session);
    routes.iter().filter(is_member).map(|route| route.id).collect()
}

fn list<const N: usize>(items: [Value; N]) -> Value {
    Value::List(items.into())
}

fn dict(entries: Vec<(String, Value)>) -> Value {
    Value::Dict(entries.into_iter().collect())
}
