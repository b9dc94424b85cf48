//! The transports through their public boundary: bytes in memory, loopback and Unix sockets.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests write files and say what they expect"
)]

#[cfg(feature = "server")]
mod authority;
#[cfg(all(feature = "client", feature = "server"))]
mod client;
#[cfg(feature = "client")]
#[expect(unreachable_pub, reason = "the fuzz targets, another crate, call these functions too")]
mod client_oracle;
mod corpus;
#[cfg(feature = "server")]
mod detect;
#[cfg(feature = "server")]
mod folder;
#[expect(unreachable_pub, reason = "the fuzz targets, another crate, call these functions too")]
mod oracle;
#[cfg(feature = "server")]
mod proxy;
#[cfg(feature = "server")]
mod proxy_forwarded;
mod rawsocket;
#[cfg(feature = "server")]
mod socket;
#[cfg(feature = "server")]
mod tls;
mod websocket;
#[cfg(feature = "server")]
mod websocket_upgrade;
