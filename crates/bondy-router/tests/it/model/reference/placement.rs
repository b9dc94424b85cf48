//! Which callee a call goes to.

use bondy_router::config::DisclosurePolicy;
use bondy_wamp::feature::Feature;
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;

use super::matching::{Member, Policy, is_uri, matching};
use super::registration::session_of;
use super::{Dict, Invocation, Reference, attributes, flag, is_passthru, number, with_payload};

/// Why a callee does not take a call. The caller is told the last of these that holds for any callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    Feature,
    TooLarge,
    Busy,
}

/// The part of a call that its placement needs.
struct Work {
    serial: u64,
    caller: u64,
    procedure: String,
    options: Value,
    payload: Vec<Value>,
}

impl Reference {
    /// Gives a call to a callee, or answers it. `is_again`: a callee has said that it is unavailable.
    pub(super) fn place(&mut self, serial: u64, is_again: bool) {
        let call = self.call_mut(serial).expect("it is pending");
        let work = Work {
            serial,
            caller: call.caller,
            procedure: call.procedure.clone(),
            options: call.options.clone(),
            payload: call.payload.clone(),
        };
        let asked = call.asked.clone();
        if !is_uri(&work.procedure, self.rules.uri_rule) {
            return self.end_call(serial, "wamp.error.invalid_uri");
        }
        let Some(id) = matching(&self.registrations, &work.procedure).first().copied() else {
            let is_unknown =
                if is_again { "wamp.error.no_available_callee" } else { "wamp.error.no_such_procedure" };
            return self.end_call(serial, is_unknown);
        };
        let (order, is_free_choice) = self.order(id);
        let mut refusal = None;
        let mut willing = Vec::new();
        for member in order.into_iter().filter(|member| !asked.contains(&member.session)) {
            match self.refusal(&work, id, &member) {
                Some(why) => refusal = refusal.max(Some(why)),
                None => willing.push(member),
            }
        }
        let chosen = if is_free_choice { self.chosen(id, &work, &willing) } else { willing.first().cloned() };
        match (chosen, refusal) {
            (Some(member), _) => self.invoke(&work, id, &member),
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

    fn refusal(&self, work: &Work, id: u64, member: &Member) -> Option<Refusal> {
        let callee = member.session;
        let lacks_progress =
            flag(&work.options, "progress") && !self.has(callee, Feature::CalleeProgressiveInvocations);
        if lacks_progress || (is_passthru(&work.options) && !self.has(callee, Feature::CalleePassthru)) {
            return Some(Refusal::Feature);
        }
        if self.is_too_large(callee, &self.invocation_message(work, id, member, 0)) {
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
    fn chosen(&mut self, id: u64, work: &Work, willing: &[Member]) -> Option<Member> {
        let first = willing.first()?;
        let is_for = |message: &Value| {
            let Some([kind, _, registration, ..]) = message.as_list() else { return false };
            number(kind) == 68 && number(registration) == id
        };
        let sent_to = self.seen.iter().find(|(_, messages)| messages.iter().any(is_for)).map(|(to, _)| *to);
        let chosen = willing.iter().find(|member| Some(member.session) == sent_to).unwrap_or(first).clone();
        self.check_choice(id, work, willing, &chosen);
        Some(chosen)
    }

    fn check_choice(&mut self, id: u64, work: &Work, willing: &[Member], chosen: &Member) {
        let route = self.registrations.iter().find(|route| route.id == id).expect("it matches");
        let least = willing.iter().map(|member| self.running(member.slot)).min();
        if route.invoke == "least_loaded" && least < Some(self.running(chosen.slot)) {
            self.objections.push(format!("{} is not the least loaded callee", chosen.session));
        }
        let Some(key) = work.options.entry("rkey").filter(|_| route.invoke == "consistent_hash") else {
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

    fn invoke(&mut self, work: &Work, id: u64, member: &Member) {
        let callee = self.peer_mut(member.session);
        callee.last_invocation += 1;
        let invocation = callee.last_invocation;
        let message = self.invocation_message(work, id, member, invocation);
        let route = self.registrations.iter().find(|route| route.id == id).expect("it matches");
        let is_pattern = route.policy != Policy::Exact;
        self.send(member.session, message);
        self.invocations.push(Invocation {
            callee: member.session,
            id: invocation,
            call: work.serial,
            caller: work.caller,
            slot: member.slot,
            registration: id,
            procedure: is_pattern.then(|| work.procedure.clone()),
            wants_progress: flag(&work.options, "receive_progress"),
        });
        let call = self.call_mut(work.serial).expect("it is pending");
        call.invoked = Some((member.session, invocation));
        call.is_forwarded = member.forwards_timeout;
    }

    fn invocation_message(&self, work: &Work, id: u64, member: &Member, invocation: u64) -> Value {
        let details = self.invocation_details(work, id, member);
        with_payload([68.into(), invocation.into(), id.into(), Value::Dict(details)], &work.payload)
    }

    fn invocation_details(&self, work: &Work, id: u64, member: &Member) -> Dict {
        let caller = self.peer(work.caller).expect("its call is pending");
        let route = self.registrations.iter().find(|route| route.id == id).expect("it matches");
        let mut details = attributes(&work.options);
        let mut insert = |key: &str, value: Value| _ = details.insert(key.to_owned(), value);
        if flag(&work.options, "receive_progress")
            && self.has(member.session, Feature::CalleeProgressiveResults)
        {
            insert("receive_progress", true.into());
        }
        if flag(&work.options, "progress") {
            insert("progress", true.into());
        }
        if route.policy != Policy::Exact {
            insert("procedure", work.procedure.as_str().into());
        }
        let is_disclosed = match self.rules.disclosure.caller {
            DisclosurePolicy::Allow => flag(&work.options, "disclose_me") || member.discloses_caller,
            DisclosurePolicy::Always => true,
            DisclosurePolicy::Deny => false,
        };
        if is_disclosed {
            insert("caller", caller.id.into());
            insert("caller_authid", caller.profile.authid.into());
            insert("caller_authrole", caller.profile.authrole.into());
        }
        if let Some(level) = caller.profile.trust_level {
            insert("trustlevel", level.into());
        }
        let timeout = work.options.entry("timeout").filter(|timeout| number(timeout) > 0);
        if let Some(timeout) = timeout.filter(|_| member.forwards_timeout) {
            insert("timeout", timeout.clone());
        }
        details
    }
}
