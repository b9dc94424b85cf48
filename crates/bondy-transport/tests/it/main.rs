//! The transports through their public boundary: bytes in memory, loopback and Unix sockets.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests write files and say what they expect"
)]

mod detect;
mod proxy;
mod proxy_forwarded;
mod rawsocket;
mod socket;
mod tls;
