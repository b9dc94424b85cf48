//! Tests of the realm through its door, in one binary.

mod harness;
mod model;
mod transcript;
