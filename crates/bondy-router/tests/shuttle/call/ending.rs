//! The properties of an execution that has come to its end: nobody does anything any more, everything was seen.

use std::collections::BTreeSet;

use bondy_router::realm::Inspection;
use bondy_router::turn::Turn;
use bondy_wamp::feature::Features;
use bondy_wamp::message::{CancelMode, Message};

use super::is_waiting;
use super::ledger::{CallFacts, InvocationFacts, Ledger};
use super::message::{self, Chunk, PROCEDURE};
use super::world::World;
use crate::seat::{Seat, numbers, parsed};
use crate::violated;

/// The request under which the realm is asked at the end.
const PROBE: u64 = 7;

pub(super) fn check(world: &World) {
    let ledger = world.ledger();
    let is_open: Vec<bool> = world.seats.iter().map(|seat| !seat.session.is_closed()).collect();
    for (who, is_open) in is_open.iter().enumerate() {
        let place = &ledger.places[who];
        if *is_open == place.is_closed && !place.is_dead {
            violated!("P9", "{who} knows not, or wrongly, that its session has ended");
        }
        check_goodbye(&ledger, who);
    }
    for (call, facts) in &ledger.calls {
        if is_open[call.0] {
            check_call(&ledger, &is_open, *call, facts);
        }
    }
    for (key, invocation) in &ledger.invocations {
        if is_open[key.0] && invocation.is_held() {
            check_invocation(&ledger, &is_open, *key, invocation);
        }
    }
    check_leftovers(world, &ledger, &is_open);
    let is_shut_down = ledger.is_shut_down;
    drop(ledger);
    if !is_shut_down {
        check_routes(world, &is_open);
        world.close();
    }
    if world.realm.inspect() != Inspection::default() {
        violated!("P4", "the realm is closed, and in it is {:?}", world.realm.inspect());
    }
}

/// Every caller is answered before the GOODBYE of a shutdown.
fn check_goodbye(ledger: &Ledger, who: usize) {
    if !ledger.places[who].is_shut_down {
        return;
    }
    for ((_, number), call) in ledger.calls.range((who, 0)..(who + 1, 0)) {
        if call.is_accepted && call.finals == 0 {
            violated!("P9", "GOODBYE to {who} before the answer to its call {number}");
        }
    }
}

/// The invocation by which a call is with a callee, as its callee knows it.
fn holder<'l>(
    ledger: &'l Ledger,
    is_open: &[bool],
    call: (usize, u64),
) -> Option<(&'l (usize, u64), &'l InvocationFacts)> {
    let mut held = ledger
        .invocations
        .iter()
        .filter(|(key, invocation)| invocation.call == call && invocation.is_held() && is_open[key.0]);
    let first = held.next();
    if let Some(second) = held.next() {
        violated!("P4", "call {call:?} is with two callees: {first:?} and {second:?}");
    }
    first
}

fn check_call(ledger: &Ledger, is_open: &[bool], call: (usize, u64), facts: &CallFacts) {
    if facts.finals > 0 {
        return;
    }
    let Some((key, invocation)) = holder(ledger, is_open, call) else {
        violated!("P1", "call {call:?} never gets its final answer");
    };
    if !invocation.plan.is_some_and(is_waiting) {
        violated!("P1", "call {call:?} is with {key:?}, which has nothing to wait for: {invocation:?}");
    }
    if facts.is_canceled && !invocation.interrupts.contains(&CancelMode::Kill) {
        violated!("P11", "the CANCEL of call {call:?} is lost");
    }
    if invocation.next_chunk != facts.chunks + 1 {
        violated!("P13", "{} chunks of call {call:?} are lost", facts.chunks + 1 - invocation.next_chunk);
    }
}

/// An invocation that its callee has not answered.
fn check_invocation(ledger: &Ledger, is_open: &[bool], key: (usize, u64), invocation: &InvocationFacts) {
    if !invocation.plan.is_some_and(is_waiting) {
        violated!("P4", "invocation {key:?} was not answered, and nothing keeps its callee: {invocation:?}");
    }
    let call = &ledger.calls[&invocation.call];
    let is_wanted = is_open[invocation.call.0] && call.finals == 0;
    if !is_wanted && !call.is_skipped && ledger.places[key.0].can_be_interrupted() {
        violated!("P4", "invocation {key:?} was never interrupted: nobody waits for it");
    }
}

/// The router holds what the clients know of, and no more.
fn check_leftovers(world: &World, ledger: &Ledger, is_open: &[bool]) {
    let mut expected = Inspection::default();
    for (who, seat) in world.seats.iter().enumerate() {
        let calls = ledger.calls.range((who, 0)..(who + 1, 0)).filter(|(_, call)| call.finals == 0);
        let held = ledger.invocations.range((who, 0)..(who + 1, 0)).filter(|(_, each)| each.is_held());
        let pending = if is_open[who] { (calls.count(), held.count()) } else { (0, 0) };
        let found = seat.session.lock().pending();
        if found != pending {
            violated!("P4", "{who} has {found:?} calls and invocations, and knows of {pending:?}");
        }
        expected.sessions += usize::from(is_open[who]);
        expected.calls += pending.0;
        expected.invocations += pending.1;
    }
    let registered = ledger.places.iter().zip(is_open).filter(|(_, is_open)| **is_open);
    let registrations: BTreeSet<_> = registered.filter_map(|(place, _)| place.registered).collect();
    expected.registrations = registrations.len();
    expected.sessions += world.admins.iter().filter(|admin| !admin.session.is_closed()).count();
    let found = world.realm.inspect();
    if found != expected {
        violated!("P4", "in the realm is {found:?} where {expected:?} is known of");
    }
}

/// Routes and registrations agree: who asks the realm finds the callees that know themselves registered.
fn check_routes(world: &World, is_open: &[bool]) {
    let mut turn = world.turn(0);
    let prober = Seat::take(&world.realm, "prober", Features::all(), &mut turn);
    prober.look(&mut turn.pool);
    let registered = |who: &usize| is_open[*who] && world.ledger().places[*who].registered.is_some();
    let callees: Vec<usize> = (0..is_open.len()).filter(registered).collect();
    check_counts(world, is_open, &prober, &mut turn);
    // As many calls as there are callees, so that round robin goes round once.
    for number in 0..callees.len().max(1) as u64 {
        probe(world, &prober, number, &mut turn);
    }
    let answers = prober.look(&mut turn.pool);
    for who in (0..is_open.len()).filter(|who| is_open[*who]) {
        let invocations = world.seats[who].look(&mut turn.pool);
        let party = &world.scenario.parties[who];
        let is_limited = party.registers.concurrency > 0 || world.seats[who].is_stalled();
        if invocations.len() != usize::from(callees.contains(&who)) && !(is_limited || callees.len() > 1) {
            violated!("P14", "{} INVOCATIONs for {who} where {callees:?} are registered", invocations.len());
        }
        if !invocations.is_empty() && !callees.contains(&who) {
            violated!("P3", "INVOCATION for {who}, which is not registered");
        }
    }
    let is_unknown = |bytes: &Vec<u8>| match parsed(bytes) {
        Message::Error(error) => error.error == "wamp.error.no_such_procedure",
        _ => false,
    };
    if callees.is_empty() != answers.iter().any(is_unknown) {
        violated!("P14", "{answers:?} where {callees:?} are registered");
    }
}

/// As many callees are in a registration as clients know themselves in it.
fn check_counts(world: &World, is_open: &[bool], prober: &Seat, turn: &mut Turn) {
    let ledger = world.ledger();
    let open = ledger.places.iter().zip(is_open).filter(|(_, is_open)| **is_open);
    let registered: Vec<_> = open.filter_map(|(place, _)| place.registered).collect();
    drop(ledger);
    for id in &registered {
        let procedure = "wamp.registration.count_callees";
        message::meta_call(&world.realm, &prober.session, procedure, &[id.0], turn);
        let expected = registered.iter().filter(|other| *other == id).count() as u64;
        let answers = prober.look(&mut turn.pool);
        let found = answers.first().map(|bytes| match parsed(bytes) {
            Message::Result(result) => numbers(result.payload.args),
            other => violated!("P14", "registration {id} is not there: {other:?}"),
        });
        if found != Some(vec![expected]) {
            violated!("P14", "{found:?} callees in registration {id} where {expected} know themselves in it");
        }
    }
}

fn probe(world: &World, prober: &Seat, number: u64, turn: &mut Turn) {
    let chunk = Chunk {
        request: PROBE + number,
        procedure: PROCEDURE,
        numbers: [u64::from(u32::MAX), 1, 0],
        has_more: false,
        has_timeout: false,
    };
    message::call(&world.realm, &prober.session, chunk, turn);
}
