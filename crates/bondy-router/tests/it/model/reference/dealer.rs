//! The life of a call, but for where it is placed.

use bondy_router::config::DisclosurePolicy;
use bondy_wamp::feature::Feature;
use bondy_wamp::value::Value;

use super::matching::{is_uri, matching};
use super::{Call, Invocation, Reference, attributes, empty, flag, is_passthru, message, rest, with_payload};

impl Reference {
    pub(super) fn call(
        &mut self,
        from: u64,
        request: u64,
        options: &Value,
        procedure: &str,
        payload: &[Value],
    ) {
        let has_more_input = flag(options, "progress");
        let lacks_progress = has_more_input && !self.has(from, Feature::CallerProgressiveInvocations);
        if lacks_progress || (is_passthru(options) && !self.has(from, Feature::CallerPassthru)) {
            return self.violate(from);
        }
        let ended_inputs = &mut self.peer_mut(from).ended_inputs;
        if let Some(position) = ended_inputs.iter().position(|ended| *ended == request) {
            if !has_more_input {
                ended_inputs.remove(position);
            }
            return;
        }
        if self.calls.iter().any(|call| call.caller == from && call.request == request) {
            return self.more_input(from, request, options, procedure, payload);
        }
        if !self.is_in_sequence(from, request) {
            return;
        }
        let pending = self.calls.iter().filter(|call| call.caller == from).count();
        let max = self.rules.limits.calls_max;
        let is_meta = procedure.starts_with("wamp.");
        let is_disclosure_denied = self.rules.disclosure.caller == DisclosurePolicy::Deny
            && flag(options, "disclose_me")
            && !is_meta;
        if pending >= max || is_disclosure_denied {
            if has_more_input {
                self.peer_mut(from).ended_inputs.push(request);
            }
            return if pending >= max {
                self.refuse_limit(from, 48, request, "calls_max", max);
            } else {
                self.refuse(from, 48, request, "wamp.error.option_disallowed.disclose_me");
            };
        }
        if !self.has_room_for_answers(from) {
            return self.overflow(from);
        }
        let serial = self.new_call(from, request, options, procedure, payload);
        if is_meta { self.meta_call(serial) } else { self.place(serial, false) }
    }

    fn new_call(
        &mut self,
        from: u64,
        request: u64,
        options: &Value,
        procedure: &str,
        payload: &[Value],
    ) -> u64 {
        let serial = self.next_number();
        let has_more_input = flag(options, "progress");
        let timeout_ms = options.entry("timeout").and_then(Value::as_u64).unwrap_or(0);
        let best = matching(&self.registrations, procedure).first().copied();
        let route = self.registrations.iter().find(|route| Some(route.id) == best);
        let is_shared = route.is_some_and(|route| route.members.len() > 1 && route.had_rerouting_callee);
        self.calls.push(Call {
            caller: from,
            request,
            serial,
            procedure: procedure.to_owned(),
            options: options.clone(),
            payload: payload.to_vec(),
            is_progressive: has_more_input,
            is_input_open: has_more_input,
            has_progressed: false,
            is_killing: false,
            timeout_ns: timeout_ms * 1_000_000,
            deadline_ns: self.now_ns + timeout_ms * 1_000_000,
            is_forwarded: false,
            may_reroute: is_shared && !has_more_input,
            asked: Vec::new(),
            invoked: None,
        });
        serial
    }

    /// A chunk of a call that is pending.
    fn more_input(&mut self, from: u64, request: u64, options: &Value, procedure: &str, payload: &[Value]) {
        let mut calls = self.calls.iter_mut();
        let call = calls.find(|call| call.caller == from && call.request == request).expect("it is pending");
        if !call.is_input_open {
            return self.violate(from);
        }
        call.is_input_open = flag(options, "progress");
        let (serial, invoked) = (call.serial, call.invoked.expect("calls with open input are with a callee"));
        let (callee, id) = invoked;
        let Some(invocation) = self.invocation(callee, id) else { return };
        let registration = invocation.registration;
        let procedure = invocation.is_pattern.then_some(procedure);
        let details = self.chunk_details(from, callee, options, procedure, invocation.wants_progress);
        let head = [68.into(), id.into(), registration.into(), Value::Dict(details)];
        let chunk = with_payload(head, payload);
        let error = if self.is_too_large(callee, &chunk) {
            "wamp.error.payload_size_exceeded"
        } else if !self.has_room(callee) {
            "wamp.error.unavailable"
        } else {
            return self.send(callee, chunk);
        };
        self.break_off(serial, Some(invoked), error);
    }

    pub(super) fn call_mut(&mut self, serial: u64) -> Option<&mut Call> {
        self.calls.iter_mut().find(|call| call.serial == serial)
    }

    fn invocation(&self, callee: u64, id: u64) -> Option<&Invocation> {
        self.invocations.iter().find(|invocation| invocation.callee == callee && invocation.id == id)
    }

    /// Takes an invocation that its callee answers. `Err`: it was never made; `Ok(None)`: it ended before.
    fn take_invocation(&mut self, callee: u64, id: u64) -> Result<Option<Invocation>, ()> {
        let is_it = |invocation: &Invocation| invocation.callee == callee && invocation.id == id;
        match self.invocations.iter().position(is_it) {
            Some(position) => Ok(Some(self.invocations.remove(position))),
            None if (1..=self.peer_mut(callee).last_invocation).contains(&id) => Ok(None),
            None => Err(()),
        }
    }

    /// Takes a call away; the request id of one whose input is open is kept.
    pub(super) fn take_call(&mut self, serial: u64) -> Option<Call> {
        let position = self.calls.iter().position(|call| call.serial == serial)?;
        let call = self.calls.remove(position);
        if call.is_input_open {
            self.peer_mut(call.caller).ended_inputs.push(call.request);
        }
        Some(call)
    }

    /// The final answer, if the call is still there: it always fits.
    pub(super) fn end_call(&mut self, serial: u64, error: &str) {
        if let Some(call) = self.take_call(serial) {
            self.send_call_error(call.caller, call.request, error);
        }
    }

    /// The same, and its callee's work is not wanted any more.
    fn break_off(&mut self, serial: u64, invoked: Option<(u64, u64)>, error: &str) {
        self.end_call(serial, error);
        if let Some((callee, id)) = invoked {
            self.abandon(callee, id);
        }
    }

    pub(super) fn send_call_error(&mut self, caller: u64, request: u64, error: &str) {
        self.send(caller, message([8.into(), 48.into(), request.into(), empty(), error.into(), rest()]));
    }

    /// The callee's work is not wanted any more.
    pub(super) fn abandon(&mut self, callee: u64, id: u64) {
        if self.has(callee, Feature::CalleeCanceling)
            && matches!(self.take_invocation(callee, id), Ok(Some(_)))
        {
            self.interrupt(callee, id, "killnowait");
        }
    }

    fn interrupt(&mut self, callee: u64, id: u64, mode: &str) {
        self.send(callee, message([69.into(), id.into(), [("mode", mode.into())].into()]));
    }

    pub(super) fn yielded(&mut self, from: u64, id: u64, options: &Value, payload: &[Value]) {
        if is_passthru(options) && !self.has(from, Feature::CalleePassthru) {
            return self.violate(from);
        }
        if flag(options, "progress") {
            return self.progressed(from, id, options, payload);
        }
        let Ok(taken) = self.take_invocation(from, id) else { return self.violate(from) };
        let Some(invocation) = taken else { return };
        if is_passthru(options) && !self.has(invocation.caller, Feature::CallerPassthru) {
            return self.end_call(invocation.call, "wamp.error.feature_not_supported");
        }
        self.answer(invocation.call, |request| {
            with_payload([50.into(), request.into(), Value::Dict(attributes(options))], payload)
        });
    }

    /// The callee's answer becomes the caller's, where it fits.
    fn answer(&mut self, serial: u64, answer: impl Fn(u64) -> Value) {
        let Some(call) = self.take_call(serial) else { return };
        let answer = answer(call.request);
        if self.has_room(call.caller) && !self.is_too_large(call.caller, &answer) {
            self.send(call.caller, answer);
        } else {
            self.send_call_error(call.caller, call.request, "wamp.error.payload_size_exceeded");
        }
    }

    fn progressed(&mut self, from: u64, id: u64, options: &Value, payload: &[Value]) {
        let Some(invocation) = self.invocation(from, id) else {
            if !(1..=self.peer_mut(from).last_invocation).contains(&id) {
                self.violate(from);
            }
            return;
        };
        let (serial, caller, wants_progress) =
            (invocation.call, invocation.caller, invocation.wants_progress);
        if !wants_progress {
            return;
        }
        let now_ns = self.now_ns;
        let Some(call) = self.call_mut(serial) else { return };
        let mut details = attributes(options);
        details.insert("progress".to_owned(), true.into());
        let result = with_payload([50.into(), call.request.into(), Value::Dict(details)], payload);
        let error = if is_passthru(options) && !self.has(caller, Feature::CallerPassthru) {
            "wamp.error.feature_not_supported"
        } else if !self.has_room(caller) || self.is_too_large(caller, &result) {
            "wamp.error.payload_size_exceeded"
        } else {
            let call = self.call_mut(serial).expect("it was there");
            call.has_progressed = true;
            call.deadline_ns = now_ns + call.timeout_ns;
            return self.send(caller, result);
        };
        self.break_off(serial, Some((from, id)), error);
    }

    pub(super) fn error(
        &mut self,
        from: u64,
        kind: u64,
        id: u64,
        details: &Value,
        error: &str,
        payload: &[Value],
    ) {
        if kind != 68 || (is_passthru(details) && !self.has(from, Feature::CalleePassthru)) {
            return self.violate(from);
        }
        let Ok(taken) = self.take_invocation(from, id) else { return self.violate(from) };
        let Some(invocation) = taken else { return };
        if error == "wamp.error.unavailable" && self.has(from, Feature::CalleeReroute) {
            return self.reroute(invocation.call, from);
        }
        if !is_uri(error, bondy_wamp::uri::UriRule::Loose) {
            return self.end_call(invocation.call, "wamp.error.invalid_uri");
        }
        self.answer(invocation.call, |request| {
            let details = Value::Dict(attributes(details));
            with_payload([8.into(), 48.into(), request.into(), details, error.into()], payload)
        });
    }

    fn reroute(&mut self, serial: u64, callee: u64) {
        let Some(call) = self.call_mut(serial) else { return };
        call.invoked = None;
        if call.is_killing {
            self.end_call(serial, "wamp.error.canceled");
        } else if call.is_progressive || call.has_progressed {
            self.end_call(serial, "wamp.error.unavailable");
        } else if !call.may_reroute {
            self.end_call(serial, "wamp.error.no_available_callee");
        } else {
            call.asked.push(callee);
            self.place(serial, true);
        }
    }

    pub(super) fn cancel(&mut self, from: u64, request: u64, options: &Value) {
        let mode = options.entry("mode").and_then(Value::as_str).unwrap_or("killnowait");
        let mut calls = self.calls.iter();
        let Some(call) = calls.find(|call| call.caller == from && call.request == request) else { return };
        let (serial, is_killing) = (call.serial, call.is_killing);
        let (callee, id) = call.invoked.expect("between actions every call is with a callee");
        if mode == "kill" && self.has(callee, Feature::CalleeCanceling) {
            if !is_killing {
                self.call_mut(serial).expect("it was there").is_killing = true;
                self.interrupt(callee, id, "kill");
            }
            return;
        }
        self.end_call(serial, "wamp.error.canceled");
        if mode == "killnowait" {
            self.abandon(callee, id);
        }
    }

    /// A request with a malformed payload is answered, and an answer with one ends its call.
    pub(super) fn malformed(&mut self, from: u64, code: u64, request: u64) {
        match code {
            8 | 70 => match self.take_invocation(from, request) {
                Err(()) => self.violate(from),
                Ok(None) => {}
                Ok(Some(invocation)) => self.end_call(invocation.call, "wamp.error.invalid_argument"),
            },
            48 => self.malformed_call(from, request),
            // Whether it wants an answer is not known.
            _ => _ = self.is_in_sequence(from, request),
        }
    }

    fn malformed_call(&mut self, from: u64, request: u64) {
        let pending = self.calls.iter().find(|call| call.caller == from && call.request == request);
        match pending.map(|call| (call.serial, call.is_input_open, call.invoked)) {
            Some((_, false, _)) => self.violate(from),
            Some((serial, true, invoked)) => {
                self.break_off(serial, invoked, "wamp.error.invalid_argument");
            }
            None if self.peer_mut(from).ended_inputs.contains(&request) => {}
            None if !self.is_in_sequence(from, request) => {}
            None => self.refuse(from, 48, request, "wamp.error.invalid_argument"),
        }
    }

    pub(super) fn wait(&mut self, until_ns: u64) {
        while let Some(deadline_ns) = self.next_deadline_ns().filter(|deadline_ns| *deadline_ns <= until_ns) {
            self.now_ns = deadline_ns.max(self.now_ns);
            self.expire();
        }
        self.now_ns = until_ns;
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        self.calls.iter().filter(|call| call.has_deadline()).map(|call| call.deadline_ns).min()
    }

    pub(super) fn expire(&mut self) {
        let is_due = |call: &&Call| call.has_deadline() && call.deadline_ns <= self.now_ns;
        let mut due: Vec<&Call> = self.calls.iter().filter(is_due).collect();
        due.sort_by_key(|call| call.deadline_ns);
        let due: Vec<_> = due.into_iter().map(|call| (call.serial, call.invoked)).collect();
        for (serial, invoked) in due {
            self.break_off(serial, invoked, "wamp.error.timeout");
        }
    }
}

impl Call {
    fn has_deadline(&self) -> bool {
        self.timeout_ns > 0 && !self.is_forwarded
    }
}
