//! Which callee a call goes to.

use bondy_router::config::DisclosurePolicy;
use bondy_wamp::feature::Feature;
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;

use super::matching::{Member, Policy, is_uri, matching};
use super::registration::session_of;
use super::{Call, Dict, Invocation, Reference, attributes, flag, is_passthru, number, with_payload};

/// Why a callee does not take a call. The caller is told the last of these that holds for any callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    Feature,
    TooLarge,
    Busy,
}

impl Reference {
    /// Gives a call to a callee, or answers it. `is_again`: a callee has said that it is unavailable.
    pub(super) fn place(&mut self, serial: u64, is_again: bool) {
        let call = self.call_mut(serial).expect("it is pending").clone();
        if !is_uri(&call.procedure, self.rules.uri_rule) {
            return self.end_call(serial, "wamp.error.invalid_uri");
        }
        let Some(id) = matching(&self.registrations, &call.procedure).first().copied() else {
            let is_unknown =
                if is_again { "wamp.error.no_available_callee" } else { "wamp.error.no_such_procedure" };
            return self.end_call(serial, is_unknown);
        };
        let (order, is_free_choice) = self.order(id);
        let mut refusal = None;
        let mut willing = Vec::new();
        for member in order.into_iter().filter(|member| !call.asked.contains(&member.session)) {
            match self.refusal(&call, id, &member) {
                Some(why) => refusal = refusal.max(Some(why)),
                None => willing.push(member),
            }
        }
        let chosen = if is_free_choice { self.chosen(id, &call, &willing) } else { willing.first().cloned() };
        match (chosen, refusal) {
            (Some(member), _) => self.invoke(&call, id, &member),
            (None, _) if is_again => self.end_call(serial, "wamp.error.no_available_callee"),
            (None, Some(Refusal::Busy)) => self.end_call(serial, "wamp.error.unavailable"),
            (None, Some(Refusal::TooLarge)) => self.end_call(serial, "wamp.error.payload_size_exceeded"),
            (None, Some(Refusal::Feature)) => self.end_call(serial, "wamp.error.feature_not_supported"),
            (None, None) => self.end_call(serial, "wamp.error.no_such_procedure"),
        }
    }

    /// The callees in the order in which they are asked; true where the router may choose any of them.
    fn order(&mut self, id: u64) -> (Vec<Member>, bool) {
        let route = self.registrations.iter_mut().find(|route| route.id == id).expect("it matches");
        let mut members = route.members.clone();
        match route.invoke.as_str() {
            "last" => members.reverse(),
            "roundrobin" if members.len() > 1 => {
                let start = route.rotation as usize % members.len();
                members.rotate_left(start);
                route.rotation += 1;
            }
            "random" | "least_loaded" | "consistent_hash" => return (members, true),
            _ => {}
        }
        (members, false)
    }

    fn refusal(&self, call: &Call, id: u64, member: &Member) -> Option<Refusal> {
        let callee = member.session;
        let lacks_progress =
            flag(&call.options, "progress") && !self.has(callee, Feature::CalleeProgressiveInvocations);
        if lacks_progress || (is_passthru(&call.options) && !self.has(callee, Feature::CalleePassthru)) {
            return Some(Refusal::Feature);
        }
        if self.is_too_large(callee, &self.invocation_message(call, id, member, 0)) {
            return Some(Refusal::TooLarge);
        }
        let running = self.running(member.slot);
        let pending = self.invocations.iter().filter(|invocation| invocation.callee == callee).count();
        let is_busy = (member.concurrency > 0 && running >= member.concurrency)
            || pending >= self.rules.limits.invocations_max
            || !self.has_room(callee);
        is_busy.then_some(Refusal::Busy)
    }

    fn running(&self, slot: u64) -> u64 {
        self.invocations.iter().filter(|invocation| invocation.slot == slot).count() as u64
    }

    /// The callee that the router has chosen, if it was free to do so.
    fn chosen(&mut self, id: u64, call: &Call, willing: &[Member]) -> Option<Member> {
        let first = willing.first()?;
        let is_for = |message: &Value| {
            let Some([kind, _, registration, ..]) = message.as_list() else { return false };
            number(kind) == 68 && number(registration) == id
        };
        let sent_to = self.seen.iter().find(|(_, messages)| messages.iter().any(is_for)).map(|(to, _)| *to);
        let chosen = willing.iter().find(|member| Some(member.session) == sent_to).unwrap_or(first).clone();
        self.check_choice(id, call, willing, &chosen);
        Some(chosen)
    }

    fn check_choice(&mut self, id: u64, call: &Call, willing: &[Member], chosen: &Member) {
        let route = self.registrations.iter().find(|route| route.id == id).expect("it matches");
        let least = willing.iter().map(|member| self.running(member.slot)).min();
        if route.invoke == "least_loaded" && least < Some(self.running(chosen.slot)) {
            self.objections.push(format!("{} is not the least loaded callee", chosen.session));
        }
        let Some(key) = call.options.entry("rkey").filter(|_| route.invoke == "consistent_hash") else {
            return;
        };
        let key = String::from_utf8_lossy(&key.to_bytes(Serializer::Json)).into_owned();
        for other in willing.iter().map(session_of).filter(|other| *other != chosen.session) {
            if self.preferences.contains(&(key.clone(), other, chosen.session)) {
                self.objections.push(format!("key {key} went to {other} before {}", chosen.session));
            }
            self.preferences.insert((key.clone(), chosen.session, other));
        }
    }

    fn invoke(&mut self, call: &Call, id: u64, member: &Member) {
        let callee = self.peer_mut(member.session);
        callee.last_invocation += 1;
        let invocation = callee.last_invocation;
        let message = self.invocation_message(call, id, member, invocation);
        let route = self.registrations.iter().find(|route| route.id == id).expect("it matches");
        let is_pattern = route.policy != Policy::Exact;
        self.send(member.session, message);
        self.invocations.push(Invocation {
            callee: member.session,
            id: invocation,
            call: call.serial,
            caller: call.caller,
            slot: member.slot,
            registration: id,
            is_pattern,
            wants_progress: flag(&call.options, "receive_progress"),
        });
        let pending = self.call_mut(call.serial).expect("it is pending");
        pending.invoked = Some((member.session, invocation));
        pending.is_forwarded = member.forwards_timeout;
    }

    fn invocation_message(&self, call: &Call, id: u64, member: &Member, invocation: u64) -> Value {
        let details = self.invocation_details(call, id, member);
        with_payload([68.into(), invocation.into(), id.into(), Value::Dict(details)], &call.payload)
    }

    /// What the callee is told with every chunk of a call; `procedure`: under a pattern.
    pub(super) fn chunk_details(
        &self,
        caller: u64,
        callee: u64,
        options: &Value,
        procedure: Option<&str>,
        wants_progress: bool,
    ) -> Dict {
        let mut details = attributes(options);
        let mut insert = |key: &str, value: Value| _ = details.insert(key.to_owned(), value);
        if wants_progress && self.has(callee, Feature::CalleeProgressiveResults) {
            insert("receive_progress", true.into());
        }
        if flag(options, "progress") {
            insert("progress", true.into());
        }
        if let Some(procedure) = procedure {
            insert("procedure", procedure.into());
        }
        if let Some(level) = self.peer(caller).and_then(|peer| peer.profile.trust_level) {
            insert("trustlevel", level.into());
        }
        details
    }

    fn invocation_details(&self, call: &Call, id: u64, member: &Member) -> Dict {
        let caller = self.peer(call.caller).expect("its call is pending");
        let route = self.registrations.iter().find(|route| route.id == id).expect("it matches");
        let procedure = (route.policy != Policy::Exact).then_some(&*call.procedure);
        let wants_progress = flag(&call.options, "receive_progress");
        let mut details =
            self.chunk_details(call.caller, member.session, &call.options, procedure, wants_progress);
        let mut insert = |key: &str, value: Value| _ = details.insert(key.to_owned(), value);
        let is_disclosed = match self.rules.disclosure.caller {
            DisclosurePolicy::Allow => flag(&call.options, "disclose_me") || member.discloses_caller,
            DisclosurePolicy::Always => true,
            DisclosurePolicy::Deny => false,
        };
        if is_disclosed {
            insert("caller", caller.id.into());
            insert("caller_authid", caller.profile.authid.into());
            insert("caller_authrole", caller.profile.authrole.into());
        }
        let timeout = call.options.entry("timeout").filter(|timeout| number(timeout) > 0);
        if let Some(timeout) = timeout.filter(|_| member.forwards_timeout) {
            insert("timeout", timeout.clone());
        }
        details
    }
}
