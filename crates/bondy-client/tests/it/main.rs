//! The client against a real node in the same process.

#![allow(clippy::disallowed_methods, reason = "these tests use sockets, files and clocks")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod authentication;
mod call;
mod connection;
mod example;
#[path = "../../../bondy-transport/tests/it/folder.rs"]
mod folder;
mod interruption;
mod meta;
mod misbehaviour;
mod node;
mod progress;
mod proxy;
mod pubsub;
mod reconnect;
mod script;
mod slow;
