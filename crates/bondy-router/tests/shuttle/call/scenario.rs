//! The worlds to explore: scripts x answers x events, and then those with a point of their own.

use bondy_wamp::message::CancelMode::{self, Kill, KillNoWait, Skip};
use bondy_wamp::uri::MatchPolicy;

use super::{Act, Event, Finds, Party, Registers, Scenario, Step, Way};

const RESULT: Way = &[Act::Result];
const ERROR: Way = &[Act::Error];
const PROGRESS: Way = &[Act::Progress, Act::Result];
const UNAVAILABLE: Way = &[Act::Unavailable];
const ON_INTERRUPT: Way = &[Act::OnInterrupt];
const SILENT: Way = &[];

const CALLS_MAX: usize = 9;

const fn call(request: u64) -> Step {
    Step::Call { request, has_more: false, has_timeout: false, finds: Finds::Perhaps }
}

const fn timed_call(request: u64) -> Step {
    Step::Call { request, has_more: false, has_timeout: true, finds: Finds::Perhaps }
}

const fn input(request: u64, has_timeout: bool) -> Step {
    Step::Call { request, has_more: true, has_timeout, finds: Finds::Perhaps }
}

const fn finding_call(request: u64, finds: Finds) -> Step {
    Step::Call { request, has_more: false, has_timeout: false, finds }
}

const fn more(request: u64) -> Step {
    Step::More { request, is_last: false }
}

const fn last(request: u64) -> Step {
    Step::More { request, is_last: true }
}

const fn cancel(mode: CancelMode) -> Step {
    Step::Cancel { request: 1, mode }
}

const SCRIPTS: &[(&str, &[Step])] = &[
    ("call", &[call(1)]),
    ("call with timeout", &[timed_call(1)]),
    ("call, reuse", &[call(1), call(1)]),
    ("timeout, reuse", &[timed_call(1), call(1)]),
    ("two calls", &[call(1), call(2)]),
    ("skip", &[call(1), cancel(Skip)]),
    ("kill", &[call(1), cancel(Kill)]),
    ("killnowait, reuse", &[call(1), cancel(KillNoWait), call(1)]),
    ("kill, kill, killnowait", &[call(1), cancel(Kill), cancel(Kill), cancel(KillNoWait)]),
    ("kill, skip", &[call(1), cancel(Kill), cancel(Skip)]),
    ("kill with timeout", &[timed_call(1), cancel(Kill)]),
    ("input", &[input(1, false), more(1), last(1)]),
    ("input, killnowait, reuse", &[input(1, false), cancel(KillNoWait), last(1), call(1)]),
    ("input with timeout, reuse", &[input(1, true), last(1), call(1)]),
    ("call, leave", &[call(1), Step::Leave(None)]),
    ("call, violation", &[call(1), Step::Violate]),
];

/// What the first and the second callee answer.
const ANSWERS: &[(&str, &[Way], &[Way])] = &[
    ("result or error", &[RESULT, ERROR], &[RESULT]),
    ("progress", &[PROGRESS, RESULT], &[PROGRESS]),
    ("unavailable", &[UNAVAILABLE, RESULT], &[UNAVAILABLE, RESULT]),
    ("waiting", &[UNAVAILABLE, ON_INTERRUPT], &[UNAVAILABLE, ON_INTERRUPT]),
    ("silent", &[SILENT, RESULT], &[SILENT]),
];

/// What kind of trouble a scenario has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Undisturbed,
    CalleeGoes,
    Killed,
    ShutDown,
    Panicked,
}

/// What the first callee does by itself, and what happens beside the clients.
const EVENTS: &[(&str, &[Step], &[Event])] = &[
    ("", &[], &[]),
    ("callee killed", &[], &[Event::Kill("bob")]),
    ("caller killed", &[], &[Event::Kill("alice")]),
    ("UNREGISTER", &[Step::Unregister(None)], &[]),
    ("UNREGISTER, REGISTER", &[Step::Unregister(None), Step::Register], &[]),
    ("callee leaves", &[Step::Leave(None)], &[]),
    ("callee breaks the protocol", &[Step::Violate], &[]),
    ("UNREGISTER, REGISTER, callee killed", &[Step::Unregister(None), Step::Register], &[Event::Kill("bob")]),
    ("shutdown", &[], &[Event::ShutDown]),
    ("panic", &[], &[Event::Panic]),
];

/// The kind of a scenario of the product.
pub(super) fn kind(scenario: &Scenario) -> Kind {
    match scenario.events.first() {
        Some(Event::Kill(_)) => Kind::Killed,
        Some(Event::ShutDown) => Kind::ShutDown,
        Some(Event::Panic) => Kind::Panicked,
        Some(Event::Revoke(_) | Event::Fill(_) | Event::Drain(_)) | None => {
            let is_calm = scenario.parties.iter().skip(1).all(|callee| callee.script.is_empty());
            if is_calm { Kind::Undisturbed } else { Kind::CalleeGoes }
        }
    }
}

fn caller(name: &'static str, script: &[Step]) -> Party {
    Party {
        name,
        script: script.to_vec(),
        answers: Vec::new(),
        is_registered: true,
        registers: Registers::default(),
        can_be_interrupted: true,
        reroutes: true,
        is_full: false,
    }
}

fn callee(name: &'static str, answers: &[Way]) -> Party {
    Party { answers: answers.to_vec(), ..caller(name, &[]) }
}

fn scripted(script: &[Step], callee: Party) -> Party {
    Party { script: script.to_vec(), ..callee }
}

fn scenario(name: String, parties: impl Into<Vec<Party>>, events: &[Event]) -> Scenario {
    Scenario { name, parties: parties.into(), events: events.to_vec(), calls_max: CALLS_MAX }
}

fn joined(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join(" | ")
}

fn script(name: &str) -> &'static [Step] {
    SCRIPTS.iter().find(|(script, _)| *script == name).expect("the script is there").1
}

/// Scripts x answers x events x `call_canceling`.
pub(super) fn product() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (script_name, script) in SCRIPTS {
        for (answers_name, of_bob, of_carol) in ANSWERS {
            for (event_name, bob_script, events) in EVENTS {
                for can_be_interrupted in [true, false] {
                    if *answers_name == "waiting" && !can_be_interrupted {
                        continue;
                    }
                    let without = if can_be_interrupted { "" } else { "no call_canceling" };
                    let bob = Party { can_be_interrupted, ..scripted(bob_script, callee("bob", of_bob)) };
                    let carol = Party { can_be_interrupted, ..callee("carol", of_carol) };
                    scenarios.push(scenario(
                        joined(&[script_name, answers_name, event_name, without]),
                        [caller("alice", script), bob, carol],
                        events,
                    ));
                }
            }
        }
    }
    scenarios
}

/// Those with a point of their own.
pub(super) fn special() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for script_name in ["call", "killnowait, reuse", "kill with timeout", "two calls"] {
        for (event_name, bob_script, events) in EVENTS {
            if ["", "callee killed", "UNREGISTER, REGISTER", "shutdown"].contains(event_name) {
                let title = joined(&[script_name, event_name]);
                scenarios.extend(with_features(&title, script(script_name), bob_script, events));
            }
        }
    }
    for script_name in ["kill with timeout", "kill, kill, killnowait", "call, leave", "killnowait, reuse"] {
        scenarios.extend(crowded(script_name, script(script_name)));
    }
    scenarios.extend(full());
    scenarios.extend(handed_over());
    scenarios.extend(revoked());
    scenarios.extend(with_chunks_astray());
    scenarios.extend(with_two_callers());
    scenarios
}

fn with_features(title: &str, script: &[Step], bob_script: &[Step], events: &[Event]) -> [Scenario; 4] {
    let any_answer = &[RESULT, ERROR, UNAVAILABLE];
    let alice = || caller("alice", script);
    let bob = |answers: &[Way]| scripted(bob_script, callee("bob", answers));
    let named = |kind: &str, parties: Vec<Party>, more: &[Event]| {
        scenario(format!("{kind} | {title}"), parties, &[events, more].concat())
    };
    let registers = Registers { concurrency: 1, ..Registers::default() };
    let limited = |party: Party| Party { registers, ..party };
    [
        named(
            "concurrency 1",
            vec![
                alice(),
                caller("dave", &[call(1)]),
                limited(bob(&[RESULT, UNAVAILABLE])),
                limited(callee("carol", &[RESULT])),
            ],
            &[],
        ),
        named(
            "mixed features",
            vec![
                alice(),
                Party { can_be_interrupted: false, ..limited(bob(any_answer)) },
                Party { reroutes: false, ..callee("carol", &[UNAVAILABLE, ON_INTERRUPT]) },
            ],
            &[],
        ),
        named(
            "callee full",
            vec![
                alice(),
                Party { is_full: true, ..bob(any_answer) },
                callee("carol", &[UNAVAILABLE, RESULT]),
            ],
            &[Event::Drain("bob")],
        ),
        named(
            "calls itself",
            vec![Party { answers: vec![RESULT, UNAVAILABLE], ..alice() }, bob(any_answer)],
            &[],
        ),
    ]
}

fn crowded(title: &str, script: &[Step]) -> [Scenario; 2] {
    const PROGRESS_UNAVAILABLE: Way = &[Act::Progress, Act::Unavailable];
    [
        scenario(
            format!("everything at once | {title}"),
            [
                caller("alice", script),
                scripted(
                    &[Step::Unregister(None)],
                    callee("bob", &[RESULT, PROGRESS_UNAVAILABLE, ON_INTERRUPT]),
                ),
                scripted(&[Step::Leave(None)], callee("carol", &[UNAVAILABLE, ON_INTERRUPT])),
            ],
            &[Event::Kill("bob"), Event::Kill("alice")],
        ),
        scenario(
            format!("three callees | {title}"),
            [
                caller("alice", script),
                callee("bob", &[UNAVAILABLE, ON_INTERRUPT]),
                Party { can_be_interrupted: false, ..callee("carol", &[UNAVAILABLE, ON_INTERRUPT]) },
                callee("erin", &[UNAVAILABLE, RESULT]),
            ],
            &[Event::Kill("carol")],
        ),
    ]
}

fn full() -> Vec<Scenario> {
    const LONG: Way = &[Act::Progress, Act::Progress, Act::Result];
    let mut scenarios = Vec::new();
    for name in ["call", "kill", "input", "input, killnowait, reuse"] {
        let alice = Party { is_full: true, ..caller("alice", script(name)) };
        let events = [Event::Drain("alice")];
        scenarios.push(scenario(format!("caller full | {name}"), [alice, callee("bob", &[LONG])], &events));
    }
    let events = [Event::Fill("bob"), Event::Drain("bob")];
    for name in ["input", "kill", "killnowait, reuse", "input with timeout, reuse", "call, leave"] {
        let parties = [caller("alice", script(name)), callee("bob", &[RESULT, ON_INTERRUPT])];
        scenarios.push(scenario(format!("callee becomes full | {name}"), parties, &events));
    }
    let parties = [caller("alice", script("kill")), callee("bob", &[ON_INTERRUPT])];
    scenarios.push(scenario("INTERRUPT to a full callee that waits for it".to_owned(), parties, &events));
    scenarios
}

fn late(name: &'static str) -> Party {
    Party { is_registered: false, ..scripted(&[Step::Register], callee(name, &[RESULT])) }
}

fn handed_over() -> Vec<Scenario> {
    let always = [finding_call(1, Finds::Always), finding_call(2, Finds::Always)];
    let bob = |step| scripted(&[step], callee("bob", &[RESULT]));
    let mut scenarios = vec![
        scenario(
            "call after REGISTERED was seen".to_owned(),
            [caller("alice", &[finding_call(1, Finds::Registered)]), late("bob")],
            &[],
        ),
        scenario(
            "one callee leaves when another is there".to_owned(),
            [caller("alice", &always), bob(Step::Leave(Some("carol"))), late("carol")],
            &[],
        ),
    ];
    let kept = [MatchPolicy::Exact, MatchPolicy::Prefix, MatchPolicy::Wildcard];
    for (from, to) in kept.iter().flat_map(|from| kept.iter().map(move |to| (*from, *to))) {
        let holding = |match_policy, party| {
            let registers = Registers { match_policy, ..Registers::default() };
            Party { registers, ..party }
        };
        let parties = [
            caller("alice", &always),
            holding(from, bob(Step::Unregister(Some("carol")))),
            holding(to, late("carol")),
        ];
        scenarios.push(scenario(format!("one callee hands over to another, {from} to {to}"), parties, &[]));
    }
    let registers = Registers { takes_over: true, ..Registers::default() };
    let carol = Party { registers, ..late("carol") };
    let parties = [caller("alice", &always), callee("bob", &[RESULT]), carol];
    scenarios.push(scenario("one callee takes over from another".to_owned(), parties, &[]));
    scenarios
}

fn revoked() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for name in ["call", "two calls", "killnowait, reuse", "input, killnowait, reuse"] {
        let both = [("", &[][..]), (" and UNREGISTER, REGISTER", &[Step::Unregister(None), Step::Register])];
        for (title, bob_script) in both {
            let bob = scripted(bob_script, callee("bob", &[RESULT, UNAVAILABLE]));
            scenarios.push(scenario(
                format!("revoked{title} | {name}"),
                [caller("alice", script(name)), bob, callee("carol", &[RESULT])],
                &[Event::Revoke("bob")],
            ));
        }
    }
    scenarios
}

fn with_chunks_astray() -> [Scenario; 2] {
    let refused = scenario(
        "a chunk of a refused call".to_owned(),
        [caller("alice", &[call(1), input(2, false), more(2), last(2), call(2)]), callee("bob", &[RESULT])],
        &[],
    );
    [
        Scenario { calls_max: 1, ..refused },
        scenario(
            "a chunk of a call without candidates".to_owned(),
            [caller("alice", &[input(2, false), more(2), last(2), call(2)]), late("bob")],
            &[],
        ),
    ]
}

fn with_two_callers() -> [Scenario; 3] {
    let both = script("two calls");
    let leaving = [Step::Unregister(None), Step::Register, Step::Leave(None)];
    [
        scenario(
            "two callers in order".to_owned(),
            [caller("alice", both), caller("dave", both), callee("bob", &[RESULT])],
            &[],
        ),
        scenario(
            "two callers, one callee waits for INTERRUPT".to_owned(),
            [
                caller("alice", script("kill")),
                caller("dave", &[timed_call(1)]),
                callee("bob", &[ON_INTERRUPT, UNAVAILABLE]),
                Party { reroutes: false, ..callee("carol", &[ON_INTERRUPT, UNAVAILABLE]) },
            ],
            &[],
        ),
        scenario(
            "both callees come and go".to_owned(),
            [
                caller("alice", both),
                scripted(&leaving, callee("bob", &[RESULT])),
                scripted(&[Step::Unregister(None)], callee("carol", &[RESULT])),
            ],
            &[],
        ),
    ]
}
