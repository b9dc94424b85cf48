//! Deliberate mistakes, each with a name, for the tests that must catch them.
//!
//! A place in the source that a plausible slip would break asks [`mutated`] for the slip's name. Without the feature
//! `mutation` the answer is a constant, and nothing is left of the question. With it, a test makes one mistake on its
//! own thread at a time. No product is built with the feature.

#[cfg(feature = "mutation")]
use std::cell::Cell;

/// The name of no mistake.
#[cfg(feature = "mutation")]
pub const NONE: &str = "";

#[cfg(feature = "mutation")]
thread_local! {
    static MADE: Cell<&'static str> = const { Cell::new(NONE) };
}

/// Makes this mistake from now on, on this thread, and no other.
#[cfg(feature = "mutation")]
pub fn make(name: &'static str) {
    MADE.set(name);
}

/// Is this mistake made at present?
#[cfg(feature = "mutation")]
pub fn mutated(name: &str) -> bool {
    MADE.get() == name
}

/// Is this mistake made at present? Never, in this build.
#[cfg(not(feature = "mutation"))]
#[inline(always)]
pub const fn mutated(_: &str) -> bool {
    false
}
