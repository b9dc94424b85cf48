//! Load against any WAMP router, and the floor beside it.
//!
//! A figure without its floor says more about the machine than about the router, so every benchmark runs the same
//! load against a blind server too ([`floor`]): one that moves the same bytes over the same sockets and routes
//! nothing. Floor and router take turns in one run, each in a process of its own, and what counts is their ratio.
//!
//! - [`command`]: the command line, which `bondy bench` embeds as well;
//! - [`benchmark`]: what runs where and in which order; [`figure`]: what it comes to;
//! - [`load`]: the clients; [`wire`]: the little WAMP that they speak;
//! - [`server`], [`process`], [`usage`]: routers and floors as processes, and what they used.
//!
//! Linux only: usage comes from `/proc`, cores are chosen through `taskset`. It measures nothing of a
//! router on another machine beyond what its clients see, and no events over TLS.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark lives on clocks, threads and files of /proc; the crate is no pure one"
)]

pub mod benchmark;
pub mod command;
pub mod endpoint;
pub mod failure;
pub mod figure;
pub mod floor;
pub mod load;
pub mod process;
pub mod progress;
pub mod saved;
pub mod server;
pub mod usage;
pub mod wire;
