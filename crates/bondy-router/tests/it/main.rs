//! Tests of the realm through its door, in one binary.

mod crowd;
mod harness;
mod model;
mod transcript;
