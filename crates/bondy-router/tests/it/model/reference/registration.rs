//! REGISTER and UNREGISTER.

use bondy_wamp::feature::Feature;
use bondy_wamp::value::Value;

use super::broker::{has_prefix_length_left, new_member, new_route};
use super::matching::{Member, Policy, is_pattern, is_reserved, lookup};
use super::session::leave_route;
use super::{Reference, any, flag, message};

const INVOKE_POLICIES: [&str; 7] =
    ["single", "roundrobin", "random", "first", "last", "least_loaded", "consistent_hash"];

impl Reference {
    pub(super) fn register(&mut self, from: u64, request: u64, options: &Value, procedure: &str) {
        if !self.is_in_sequence(from, request) {
            return;
        }
        let policy = Policy::named(options.entry("match").and_then(Value::as_str));
        if !is_pattern(procedure, policy, self.rules.uri_rule) || is_reserved(procedure) {
            return self.refuse(from, 64, request, "wamp.error.invalid_uri");
        }
        let invoke = options.entry("invoke").and_then(Value::as_str).unwrap_or("single");
        if !INVOKE_POLICIES.contains(&invoke) {
            return self.refuse(from, 64, request, "wamp.error.invalid_argument");
        }
        if !self.has_room(from) {
            return self.overflow(from);
        }
        let is_forced = flag(options, "force_reregister");
        let present = lookup(&self.registrations, procedure, policy);
        if present.is_some_and(|id| !is_forced && !self.may_share(from, id, invoke)) {
            return self.refuse(from, 64, request, "wamp.error.procedure_already_exists");
        }
        let lengths_max = self.rules.limits.prefix_lengths_max;
        if present.is_none() && !has_prefix_length_left(&self.registrations, procedure, policy, lengths_max) {
            return self.refuse_limit(from, 64, request, "prefix_lengths_max", lengths_max);
        }
        let max = self.rules.limits.registrations_max;
        let held = self.registrations.iter().filter(|route| route.holds(from) && Some(route.id) != present);
        if held.count() >= max {
            return self.refuse_limit(from, 64, request, "registrations_max", max);
        }
        let shared = if is_forced {
            present.into_iter().for_each(|id| self.revoke_all(id));
            None
        } else {
            present
        };
        let id = shared.unwrap_or_else(|| self.given_id(from, 65, request, &self.registrations));
        if shared.is_none() {
            self.registrations.push(new_route(id, procedure, policy, invoke));
        }
        self.add_callee(from, id, options);
        self.send(from, message([65.into(), request.into(), id.into()]));
        self.publish_route_joined("registration", "register", from, id, shared.is_none());
    }

    fn may_share(&self, from: u64, id: u64, invoke: &str) -> bool {
        let route = self.registrations.iter().find(|route| route.id == id);
        route.is_some_and(|route| !route.holds(from) && route.invoke == invoke && invoke != "single")
    }

    fn revoke_all(&mut self, id: u64) {
        let route = self.registrations.iter().find(|route| route.id == id);
        let callees: Vec<u64> = route.into_iter().flat_map(|route| &route.members).map(session_of).collect();
        callees.into_iter().for_each(|callee| self.revoke_registration(callee, id, any()));
    }

    fn add_callee(&mut self, from: u64, id: u64, options: &Value) {
        let member = Member {
            concurrency: options.entry("concurrency").and_then(Value::as_u64).unwrap_or(0),
            discloses_caller: flag(options, "disclose_caller"),
            forwards_timeout: flag(options, "forward_timeout") && self.has(from, Feature::CalleeTimeout),
            ..new_member(from, self.next_number())
        };
        let reroutes = self.has(from, Feature::CalleeReroute);
        let route = self.registrations.iter_mut().find(|route| route.id == id).expect("it is there");
        route.had_rerouting_callee |= reroutes;
        route.members.push(member);
    }

    pub(super) fn unregister(&mut self, from: u64, request: u64, id: u64) {
        if !self.is_in_sequence(from, request) {
            return;
        }
        if !self.registrations.iter().any(|route| route.id == id && route.holds(from)) {
            return self.refuse(from, 66, request, "wamp.error.no_such_registration");
        }
        if !self.has_room(from) {
            return self.overflow(from);
        }
        self.send(from, message([67.into(), request.into()]));
        let is_last = leave_route(&mut self.registrations, from, id);
        self.publish_route_left("registration", "unregister", from, id, is_last);
    }

    /// The router itself ends a registration.
    pub(super) fn revoke_registration(&mut self, session: u64, id: u64, reason: Value) {
        if self.has(session, Feature::CalleeRevocation) {
            let details = [("reason", reason), ("registration", id.into())];
            self.send(session, message([67.into(), 0.into(), details.into()]));
        }
        let is_last = leave_route(&mut self.registrations, session, id);
        self.publish_route_left("registration", "unregister", session, id, is_last);
    }
}

pub(super) fn session_of(member: &Member) -> u64 {
    member.session
}
