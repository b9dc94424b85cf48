//! The router against a naive one: random operations from a seed, every received message compared.
//!
//! `BONDY_TEST_SEED` sets the seed, `BONDY_TEST_FULL=1` runs 10^5 operations from each instead of 10^4 in all.

mod action;
mod chance;
mod compare;
mod reference;
mod run;
mod world;

use self::run::{Failure, Sightings};

/// Operations from one seed. After them everybody leaves, and nothing may be left.
const OPERATIONS: usize = 2_000;

/// As many from one seed in the full run.
const OPERATIONS_FULL: usize = 100_000;

/// Seeds in the ordinary run.
const SEEDS: u64 = 5;

/// Seeds in the full run: the third shuts the realm down at its end.
const SEEDS_FULL: u64 = 3;

/// What must have been received in the ordinary run: else the operations are not what they are meant to be.
const REACHED: [&str; 38] = [
    "3 wamp.error.protocol_violation",
    "3 bondy.error.limit_exceeded",
    "6 wamp.close.goodbye_and_out",
    "6 wamp.close.killed",
    "6 wamp.close.system_shutdown",
    "8 bondy.error.limit_exceeded",
    "8 wamp.error.canceled",
    "8 wamp.error.feature_not_supported",
    "8 wamp.error.invalid_argument",
    "8 wamp.error.invalid_uri",
    "8 wamp.error.no_available_callee",
    "8 wamp.error.no_such_procedure",
    "8 wamp.error.no_such_registration",
    "8 wamp.error.no_such_session",
    "8 wamp.error.no_such_subscription",
    "8 wamp.error.option_disallowed.disclose_me",
    "8 wamp.error.payload_size_exceeded",
    "8 wamp.error.procedure_already_exists",
    "8 wamp.error.timeout",
    "8 wamp.error.unavailable",
    "8 ppt_scheme",
    "17 ",
    "35 subscription",
    "36 _dropped",
    "36 ppt_scheme",
    "36 publisher_authid",
    "36 retained",
    "36 topic",
    "36 trustlevel",
    "50 ppt_scheme",
    "50 progress",
    "67 registration",
    "68 caller_authid",
    "68 ppt_scheme",
    "68 procedure",
    "68 progress",
    "68 timeout",
    "69 mode",
];

#[expect(clippy::disallowed_methods, reason = "a seed to be repeated comes from outside")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[test]
fn the_router_does_what_a_naive_router_does() {
    let is_full = setting("BONDY_TEST_FULL").is_some_and(|value| value != "0");
    let operations = if is_full { OPERATIONS_FULL } else { OPERATIONS };
    if let Some(seed) = setting("BONDY_TEST_SEED") {
        run(seed.parse().expect("BONDY_TEST_SEED is a number"), operations);
        return;
    }
    let mut sightings = Sightings::new();
    for seed in 1..=if is_full { SEEDS_FULL } else { SEEDS } {
        run(seed, operations)
            .into_iter()
            .for_each(|(kind, count)| *sightings.entry(kind).or_default() += count);
    }
    let unseen: Vec<_> = REACHED.into_iter().filter(|kind| !sightings.contains_key(*kind)).collect();
    assert!(unseen.is_empty(), "never received: {unseen:?}");
}

#[expect(clippy::print_stdout, reason = "the seed is what makes a failure repeatable")]
fn run(seed: u64, operations: usize) -> Sightings {
    println!("BONDY_TEST_SEED={seed}");
    run::run(seed, operations).unwrap_or_else(|failure| panic!("{}", report(seed, operations, &failure)))
}

fn report(seed: u64, operations: usize, failure: &Failure) -> String {
    let shrunk = run::shrink(seed, operations, failure);
    format!(
        "seed {seed}, operation {}:\n{}\n{}\n\nshrunk to {} operations:\n{}\n{}",
        failure.operation,
        failure.trail(30),
        failure.text,
        shrunk.history.len(),
        shrunk.trail(60),
        shrunk.text
    )
}
