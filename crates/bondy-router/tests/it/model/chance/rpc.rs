//! REGISTER, UNREGISTER, CALL, CANCEL, and the answers of callees.

use bondy_wamp::feature::Feature;
use bondy_wamp::value::Value;

use super::{Action, Call, Chance, INVOKE, Peer, Policy, Route, dict, empty, held_by, message, with_payload};

impl Chance<'_> {
    pub(super) fn registration(&mut self, from: &Peer) -> Action {
        let request = self.request(from);
        let held: Vec<u64> = held_by(&self.reference.registrations, from.id);
        if self.rng.u8(..10) < 3 && (!held.is_empty() || self.one_in(8)) {
            let id = if held.is_empty() || self.one_in(10) { self.rng.u64(1..40) } else { self.pick(&held) };
            return Action::Send(from.id, message([66.into(), request.into(), id.into()]));
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
        if self.one_in(2) {
            options.push(("concurrency".to_owned(), self.rng.u64(..3).into()));
        }
        self.flag(&mut options, "force_reregister", 6);
        self.flag(&mut options, "disclose_caller", 6);
        self.flag(&mut options, "forward_timeout", 4);
        self.oddities(&mut options);
        Action::Send(from.id, message([64.into(), request.into(), dict(options), procedure.as_str().into()]))
    }

    pub(super) fn call(&mut self, from: &Peer) -> Action {
        let request = self.request(from);
        let mut options = Vec::new();
        self.flag(&mut options, "receive_progress", 3);
        self.flag(&mut options, "disclose_me", 6);
        let sends_progress = from.profile.features.has(Feature::CallerProgressiveInvocations);
        self.flag(&mut options, "progress", if sends_progress { 5 } else { 300 });
        if self.one_in(3) {
            options.push(("timeout".to_owned(), self.rng.u64(..50).into()));
        }
        let hashed = self.hashed_procedure();
        if hashed.is_some() || self.one_in(8) {
            let key = self.rng.u64(..3);
            options.push(("rkey".to_owned(), if key == 0 { "zero".into() } else { key.into() }));
        }
        self.attributes(from.profile.features.has(Feature::CallerPassthru), &mut options);
        let procedure = hashed.unwrap_or_else(|| self.procedure());
        let payload = self.payload();
        let head = [48.into(), request.into(), dict(options), procedure.as_str().into()];
        Action::Send(from.id, with_payload(head, &payload))
    }

    /// Mostly one that somebody serves, so that calls meet callees.
    fn procedure(&mut self) -> String {
        let exact = self.reference.registrations.iter().filter(|route| route.policy == Policy::Exact);
        let served: Vec<&str> = exact.map(|route| route.uri.as_str()).collect();
        if !served.is_empty() && self.one_in(2) {
            self.pick(&served).to_owned()
        } else {
            self.topic().to_owned()
        }
    }

    /// One that several callees share by the hash of a key.
    fn hashed_procedure(&mut self) -> Option<String> {
        let is_hashed = |route: &&Route| {
            route.policy == Policy::Exact && route.invoke == "consistent_hash" && route.members.len() > 1
        };
        let hashed: Vec<&str> =
            self.reference.registrations.iter().filter(is_hashed).map(|route| route.uri.as_str()).collect();
        (!hashed.is_empty() && self.one_in(4)).then(|| self.pick(&hashed).to_owned())
    }

    pub(super) fn more_input(&mut self, from: &Peer) -> Action {
        let is_open = |call: &&Call| call.is_input_open;
        let open = self.reference.calls.iter().filter(is_open).map(|call| (call.caller, call.request));
        let ended = self
            .reference
            .peers
            .iter()
            .flat_map(|peer| peer.ended_inputs.iter().map(|request| (peer.id, *request)));
        let chunked: Vec<(u64, u64)> = open.chain(ended).collect();
        if chunked.is_empty() {
            return self.call(from);
        }
        let (caller, request) = self.pick(&chunked);
        let mut options = Vec::new();
        self.flag(&mut options, "progress", 2);
        self.attributes(false, &mut options);
        let procedure = self.procedure();
        let payload = self.payload();
        let head = [48.into(), request.into(), dict(options), procedure.as_str().into()];
        Action::Send(caller, with_payload(head, &payload))
    }

    pub(super) fn cancellation(&mut self, from: &Peer) -> Action {
        let calls = &self.reference.calls;
        let (from, request) = if calls.is_empty() || self.one_in(10) {
            (from.id, self.rng.u64(1..=from.highest_request + 2))
        } else {
            let call = &calls[self.rng.usize(..calls.len())];
            (call.caller, call.request)
        };
        let mode = self.pick(&["skip", "kill", "kill", "killnowait"]);
        let options: Value = if self.one_in(5) { empty() } else { [("mode", mode.into())].into() };
        Action::Send(from, message([49.into(), request.into(), options]))
    }

    /// A callee answers one of its invocations; sometimes one that has ended, or that was never made.
    pub(super) fn answer(&mut self, from: &Peer) -> Action {
        let invocations = &self.reference.invocations;
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
            let ended_or_own = match self.rng.u16(..100) {
                0 => self.rng.u64(1..=invocation.id),
                _ => invocation.id,
            };
            (callee, ended_or_own)
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
        Action::Send(from.id, with_payload(head, &payload))
    }
}
