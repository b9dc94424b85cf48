//! The router against a naive one: random operations from a seed, every received message compared.
//!
//! `BONDY_TEST_SEED` sets the seed, `BONDY_TEST_FULL=1` runs 10^5 operations instead of 10^4.

mod action;
mod chance;
mod compare;
mod reference;
mod run;
mod world;

use self::run::{Failure, Sightings};

/// Operations from one seed. After them everybody leaves, and nothing may be left.
const OPERATIONS: usize = 2_000;

/// Seeds in the ordinary run.
const SEEDS: u64 = 5;

/// Seeds in the full run.
const SEEDS_FULL: u64 = 50;

#[expect(clippy::disallowed_methods, reason = "a seed to be repeated comes from outside")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[test]
fn the_router_does_what_a_naive_router_does() {
    let seeds: Vec<u64> = match setting("BONDY_TEST_SEED") {
        Some(seed) => vec![seed.parse().expect("BONDY_TEST_SEED is a number")],
        None if setting("BONDY_TEST_FULL").is_some() => (1..=SEEDS_FULL).collect(),
        None => (1..=SEEDS).collect(),
    };
    let operations =
        setting("BONDY_TEST_OPERATIONS").map_or(OPERATIONS, |count| count.parse().expect("a number"));
    let mut sightings = Sightings::new();
    for seed in seeds {
        println!("BONDY_TEST_SEED={seed}");
        match run::run(seed, operations) {
            Ok(seen) => {
                seen.into_iter().for_each(|(kind, count)| *sightings.entry(kind).or_default() += count)
            }
            Err(failure) => panic!("{}", report(seed, operations, failure)),
        }
    }
    println!("{sightings:#?}");
}

fn report(seed: u64, operations: usize, failure: Failure) -> String {
    let shrunk = run::shrink(seed, operations, &failure);
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
