//! The races of a realm, under a scheduler that explores interleavings.
//!
//! The scenarios are those of the protocol's models: the life of a call, publish and subscribe, flushing. Each
//! client is a thread that handles its own session's messages and reacts to what it has received; timers, kills,
//! revocations, shutdown and a peer that stops reading are threads of their own. The properties (P1 to P14, S1 to
//! S6) are checked on the messages that each client saw, and on what is left in the realm at the end. Deliberate
//! mistakes in the router show that the properties are able to fail.
//!
//! `cargo test --release -p bondy-router --features shuttle --test shuttle`. `BONDY_TEST_FULL=1` explores ten times
//! as much, `BONDY_TEST_SEED` explores other interleavings. A failure prints its scenario and its schedule.
#![cfg(feature = "shuttle")]

mod call;
mod crew;
mod explore;
mod flushing;
mod mistake;
mod seat;
mod subscription;
