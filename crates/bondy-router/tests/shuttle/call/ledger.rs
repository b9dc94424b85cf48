//! What the clients have sent and seen in one execution, and the properties of every message that they see.

use std::collections::BTreeMap;

use bondy_wamp::error_uri::{CloseUri, ErrorUri};
use bondy_wamp::id::RegistrationId;
use bondy_wamp::message::{CancelMode, Error, Invocation, Message, MessageType};

use super::{Finds, Scenario, Way};
use crate::seat::{numbers, parsed};
use crate::violated;

/// Everything that is known from the outside.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) places: Vec<Place>,
    /// By caller and number of the call.
    pub(super) calls: BTreeMap<(usize, u64), CallFacts>,
    /// By callee and id.
    pub(super) invocations: BTreeMap<(usize, u64), InvocationFacts>,
    pub(super) is_shut_down: bool,
    /// The next thing that is handled dies in the middle.
    pub(super) strikes: bool,
    /// Somebody has seen REGISTERED.
    pub(super) somebody_was_registered: bool,
}

/// What a client knows of itself.
#[derive(Debug, Default)]
pub(super) struct Place {
    can_be_interrupted: bool,
    concurrency: u32,
    /// How many messages it has seen.
    seen: u64,
    pub(super) registered: Option<RegistrationId>,
    registrations: u64,
    /// The call that each request id was last used for.
    pub(super) latest: BTreeMap<u64, u64>,
    last_invocation: u64,
    /// By caller, the last call that came in its turn.
    call_order: BTreeMap<usize, u64>,
    /// It was told that its session has ended, or its connection is lost.
    pub(super) is_closed: bool,
    /// It was told that the realm closes.
    pub(super) is_shut_down: bool,
    /// Its thread has died.
    pub(super) is_dead: bool,
}

impl Place {
    pub(super) fn can_be_interrupted(&self) -> bool {
        self.can_be_interrupted
    }
}

/// One call as its caller knows it.
#[derive(Debug)]
pub(super) struct CallFacts {
    pub(super) finals: u32,
    pub(super) finds: Finds,
    /// The router has taken it, so that it has to be answered.
    pub(super) is_accepted: bool,
    /// Chunks sent after the first.
    pub(super) chunks: u64,
    pub(super) is_canceled: bool,
    pub(super) is_skipped: bool,
    /// A callee has said that it is unavailable.
    pub(super) is_rerouted: bool,
}

/// One invocation as its callee knows it.
#[derive(Debug)]
pub(super) struct InvocationFacts {
    pub(super) call: (usize, u64),
    /// How it will be answered, once the client has made up its mind.
    pub(super) plan: Option<Way>,
    /// The client has begun to send the final answer.
    pub(super) is_answered: bool,
    /// How many messages had been appended for the callee when its final answer had been handled.
    pub(super) answered_at: Option<u64>,
    pub(super) interrupts: Vec<CancelMode>,
    pub(super) next_chunk: u64,
    /// The callee's how-manieth registration it came through.
    registration: u64,
}

impl InvocationFacts {
    /// Does the router hold it, as far as its callee can tell?
    pub(super) fn is_held(&self) -> bool {
        !self.is_answered && !self.interrupts.contains(&CancelMode::KillNoWait)
    }
}

impl Ledger {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let place = |party: &super::Party| Place {
            can_be_interrupted: party.can_be_interrupted,
            concurrency: party.registers.concurrency,
            ..Place::default()
        };
        Self {
            places: scenario.parties.iter().map(place).collect(),
            calls: BTreeMap::new(),
            invocations: BTreeMap::new(),
            is_shut_down: false,
            strikes: false,
            somebody_was_registered: false,
        }
    }

    /// A client has seen the next message for it.
    pub(super) fn see(&mut self, who: usize, bytes: &[u8]) {
        self.places[who].seen += 1;
        self.observe(who, &parsed(bytes));
    }

    fn observe(&mut self, who: usize, message: &Message<'_>) {
        let place = &mut self.places[who];
        if place.is_closed {
            violated!("P9", "{message:?} for {who}, whose session has ended");
        }
        match message {
            Message::Welcome(_) => {}
            Message::Registered(registered) => {
                place.registered = Some(registered.registration);
                place.registrations += 1;
                self.somebody_was_registered = true;
            }
            Message::Unregistered(_) => place.registered = None,
            Message::Invocation(invocation) => self.invoked(who, invocation),
            Message::Interrupt(interrupt) => self.interrupted(who, interrupt.request.0, interrupt.mode),
            Message::Result(result) => {
                let args = numbers(result.payload.args);
                self.answered(who, result.request.0, &args, !result.progress);
            }
            Message::Error(error) => self.refused(who, error),
            Message::Abort(_) => place.is_closed = true,
            Message::Goodbye(goodbye) => {
                place.is_closed = true;
                place.is_shut_down = goodbye.reason == CloseUri::SystemShutdown.as_str();
            }
            other => violated!("P2", "{other:?} for {who}, which nobody asked for"),
        }
    }

    fn refused(&mut self, who: usize, error: &Error<'_>) {
        match error.request_type {
            MessageType::Call => {
                let args = numbers(error.payload.args);
                let number = self.answered(who, error.request.0, &args, true);
                let finds = self.calls[&(who, number)].finds;
                let is_not_found = [ErrorUri::NoSuchProcedure, ErrorUri::Unavailable]
                    .iter()
                    .any(|uri| error.error == uri.as_str());
                if is_not_found && finds != Finds::Perhaps {
                    violated!("P12", "call {number} of {who} is answered with {}", error.error);
                }
            }
            // It was revoked meanwhile.
            MessageType::Unregister => {}
            other => violated!("P2", "ERROR {} for a request of type {other:?} of {who}", error.error),
        }
    }

    /// A result or an error for a caller. Returns the number of the call.
    fn answered(&mut self, who: usize, request: u64, args: &[u64], is_final: bool) -> u64 {
        let Some(number) = self.places[who].latest.get(&request).copied() else {
            violated!("P2", "an answer for {who} under request {request}, which it has not made");
        };
        let call = self.calls.get_mut(&(who, number)).expect("the latest call is known");
        if call.finals > 0 {
            violated!("P2", "an answer after the final answer of call {number} of {who}: {args:?}");
        }
        if !args.is_empty() && args != [who as u64, number] {
            violated!(
                "P2",
                "the answer to call {args:?} under request {request}, now of call {number} of {who}"
            );
        }
        call.finals += u32::from(is_final);
        number
    }

    fn invoked(&mut self, who: usize, invocation: &Invocation<'_>) {
        let id = invocation.request.0;
        let args = numbers(invocation.payload.args);
        let &[caller, number, chunk] = &args[..] else {
            violated!("P2", "INVOCATION {id} for {who} has arguments {args:?}");
        };
        let call = (caller as usize, number);
        if self.invocations.contains_key(&(who, id)) {
            return self.more_input(who, id, call, chunk);
        }
        // The realm is asked at the end by somebody who is not in the scenario.
        if call.0 < self.places.len() {
            self.check_invocation(who, id, call, chunk);
        }
        let place = &mut self.places[who];
        place.last_invocation = id;
        let facts = InvocationFacts {
            call,
            plan: None,
            is_answered: false,
            answered_at: None,
            interrupts: Vec::new(),
            next_chunk: 1,
            registration: place.registrations,
        };
        self.invocations.insert((who, id), facts);
    }

    fn check_invocation(&mut self, who: usize, id: u64, call: (usize, u64), chunk: u64) {
        let place = &mut self.places[who];
        if place.registered.is_none() {
            violated!("P3", "INVOCATION {id} for {who}, which is not registered");
        }
        if id != place.last_invocation + 1 {
            violated!("P6", "INVOCATION {id} for {who} follows INVOCATION {}", place.last_invocation);
        }
        if chunk != 0 {
            violated!("P13", "chunk {chunk} of call {call:?} becomes INVOCATION {id} of {who}");
        }
        let held = self.invocations.iter().filter(|((callee, _), invocation)| {
            *callee == who && invocation.is_held() && invocation.registration == place.registrations
        });
        let running = held.count() as u32 + 1;
        if place.concurrency > 0 && running > place.concurrency {
            violated!("P4", "{who} runs {running} invocations, its limit is {}", place.concurrency);
        }
        let facts = self.calls.get_mut(&call).expect("what is invoked was called");
        if facts.is_rerouted && facts.chunks > 0 {
            violated!("P13", "call {call:?} is placed anew after a chunk of its input was routed");
        }
        if !facts.is_rerouted {
            let last = place.call_order.insert(call.0, call.1);
            if last.is_some_and(|last| last > call.1) {
                violated!("P8", "call {call:?} comes to {who} after a later one of its caller");
            }
        }
    }

    fn more_input(&mut self, who: usize, id: u64, call: (usize, u64), chunk: u64) {
        let seen = self.places[who].seen;
        let facts = self.invocations.get_mut(&(who, id)).expect("it was looked up");
        if facts.answered_at.is_some_and(|at| at < seen) {
            violated!("P6", "INVOCATION {id} for {who}, which has answered it");
        }
        if facts.call != call {
            violated!("P6", "INVOCATION {id} of {who} is call {:?} and call {call:?}", facts.call);
        }
        if facts.next_chunk != chunk {
            violated!("P13", "chunk {chunk} of call {call:?} where chunk {} is next", facts.next_chunk);
        }
        facts.next_chunk += 1;
    }

    fn interrupted(&mut self, who: usize, id: u64, mode: CancelMode) {
        let place = &self.places[who];
        if !place.can_be_interrupted {
            violated!("P5", "INTERRUPT {id} for {who}, which did not announce call_canceling");
        }
        let Some(facts) = self.invocations.get_mut(&(who, id)) else {
            violated!("P5", "INTERRUPT {id} for {who}, which was never given that invocation");
        };
        if facts.answered_at.is_some_and(|at| at < place.seen) {
            violated!("P5", "INTERRUPT {id} for {who}, which has answered it");
        }
        if facts.interrupts.contains(&mode) {
            violated!("P5", "a second INTERRUPT {mode:?} for invocation {id} of {who}");
        }
        facts.interrupts.push(mode);
    }
}
