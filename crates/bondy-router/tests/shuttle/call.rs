//! The life of a call: callers, callees, and what happens to them meanwhile.

mod client;
mod ending;
mod event;
mod ledger;
mod message;
mod scenario;
mod world;

use std::sync::Arc;

use bondy_wamp::message::CancelMode;
use bondy_wamp::uri::MatchPolicy;

use self::scenario::Kind;
use self::world::World;
use crate::explore::{Run, explore, scaled};

/// Executions of each scenario of the product, and of each with a point of its own.
const EXECUTIONS: [usize; 2] = [60, 300];

/// One world to explore.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) parties: Vec<Party>,
    pub(crate) events: Vec<Event>,
    pub(crate) calls_max: usize,
}

/// What one client does, and what it announced.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) name: &'static str,
    /// Sent in this order, each at any moment at which it may be sent.
    pub(crate) script: Vec<Step>,
    /// The ways to answer an invocation; each invocation picks one of them.
    pub(crate) answers: Vec<Way>,
    pub(crate) is_registered: bool,
    pub(crate) registers: Registers,
    pub(crate) can_be_interrupted: bool,
    pub(crate) reroutes: bool,
    pub(crate) is_full: bool,
}

/// What a callee registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registers {
    pub(crate) match_policy: MatchPolicy,
    /// The present callees lose their registration by it.
    pub(crate) takes_over: bool,
    /// How many invocations at once; 0 means any number.
    pub(crate) concurrency: u32,
}

/// What a client sends by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Call {
        request: u64,
        has_more: bool,
        has_timeout: bool,
        finds: Finds,
    },
    More {
        request: u64,
        is_last: bool,
    },
    Cancel {
        request: u64,
        mode: CancelMode,
    },
    Register,
    /// Once this party is registered.
    Unregister(Option<&'static str>),
    /// The connection is lost, once this party is registered.
    Leave(Option<&'static str>),
    Violate,
}

/// Whether a call has to find the procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finds {
    Perhaps,
    /// It is sent once REGISTERED was seen, and must find it.
    Registered,
    /// Somebody is registered all the time.
    Always,
}

/// A way to answer an invocation.
pub(crate) type Way = &'static [Act];

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Progress,
    Result,
    Error,
    Unavailable,
    /// ERROR, once INTERRUPT came.
    OnInterrupt,
}

/// What happens beside the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Kill(&'static str),
    Revoke(&'static str),
    ShutDown,
    Fill(&'static str),
    Drain(&'static str),
    /// The handler of a message, or a timer, or a kill, dies between two of its steps; then the realm shuts down.
    Panic,
}

/// A client that waits for what does not come by itself: it stays silent, or waits for an INTERRUPT.
pub(crate) fn is_waiting(rest: Way) -> bool {
    rest.is_empty() || rest == [Act::OnInterrupt]
}

/// What explores a scenario.
pub(crate) fn run_of(scenario: Scenario) -> Run {
    let scenario = Arc::new(scenario);
    Arc::new(move || World::run(&scenario))
}

/// The scenarios whose name contains this.
pub(crate) fn named(part: &str) -> Vec<(String, Run)> {
    let all = scenario::product().into_iter().chain(scenario::special());
    let chosen = all.filter(|scenario| scenario.name.contains(part));
    chosen.map(|scenario| (scenario.name.clone(), run_of(scenario))).collect()
}

fn explore_all(scenarios: Vec<Scenario>, executions: usize) {
    assert!(!scenarios.is_empty(), "there is something to explore");
    for scenario in scenarios {
        let name = scenario.name.clone();
        explore(&name, scaled(executions), &run_of(scenario));
    }
}

fn explore_product(kinds: &[Kind]) {
    let all = scenario::product().into_iter();
    explore_all(all.filter(|scenario| kinds.contains(&scenario::kind(scenario))).collect(), EXECUTIONS[0]);
}

#[test]
fn a_call_ends_once_whatever_its_caller_and_its_callees_do() {
    explore_product(&[Kind::Undisturbed]);
}

#[test]
fn a_call_ends_once_while_callees_come_and_go() {
    explore_product(&[Kind::CalleeGoes]);
}

#[test]
fn a_call_ends_once_while_sessions_are_killed() {
    explore_product(&[Kind::Killed]);
}

#[test]
fn every_call_is_answered_before_the_goodbye_of_a_shutdown() {
    explore_product(&[Kind::ShutDown]);
}

#[test]
fn every_call_is_answered_before_the_goodbye_after_a_panic() {
    explore_product(&[Kind::Panicked]);
}

#[test]
fn calls_with_a_point_of_their_own_end_once() {
    explore_all(scenario::special(), EXECUTIONS[1]);
}
