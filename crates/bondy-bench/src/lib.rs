//! Load against any WAMP router, and the floor beside it.
//!
//! A figure without its floor says more about the machine than about the router, so every benchmark can run the same
//! load against a blind server too ([`floor`]): one that moves the same bytes over the same sockets and routes
//! nothing. Floor and router take turns in one run, each in a process of its own, and what counts is their ratio.
//!
//! - [`command`]: the command line, which `bondy bench` embeds; [`failure`]: what an error means for it;
//! - [`benchmark`]: what runs where and in which order; [`figure`]: what it comes to; [`saved`]: beside an older one;
//! - [`load`]: the clients; [`wire`]: the little WAMP, and NATS, that they speak;
//! - [`server`], [`endpoint`]: routers and floors, and where they listen; [`process`], [`usage`]: as processes, and
//!   what they used.
//!
//! Linux only: usage comes from `/proc`, cores are chosen through `taskset`. It measures nothing of a router on another
//! machine beyond what its clients see, and it checks no certificates.

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
