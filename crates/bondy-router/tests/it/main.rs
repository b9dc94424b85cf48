//! Tests of the realm through its door, in one binary. With the concurrency explorer's locks only its own tests run.
#![cfg(not(feature = "shuttle"))]

mod crowd;
mod harness;
mod model;
mod touched;
mod transcript;
