//! The node through its outermost boundaries: its configuration, and its sockets.
//!
//! `README.md` beside this file says which settled behaviour is held by which test.
#![allow(clippy::disallowed_methods, reason = "these tests use sockets, files and clocks")]

mod admin;
mod authority;
mod config;
mod door;
mod faults;
#[path = "../../../bondy-transport/tests/it/folder.rs"]
mod folder;
mod hostile;
mod limits;
mod node;
mod openmetrics;
mod peer;
mod settled;
mod sizes;
mod sources;
mod transports;
mod violations;
