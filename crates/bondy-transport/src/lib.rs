//! Byte streams to frames and back, for both ends of a connection.
//!
//! Sockets and their options ([`socket`]), TLS that only its owner touches (`tls`), the protocols that come before WAMP
//! (`detect`, `proxy`, `forwarded`), and the two framings ([`websocket`], [`rawsocket`]), which are pure: bytes in, events
//! out. The feature `server` adds what only a router needs, `client` what only a client does (`client`).
//!
//! It knows no WAMP message: that is `bondy-wamp`'s, and who may join what is the node's.

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod detect;
#[cfg(feature = "server")]
pub mod forwarded;
#[cfg(feature = "server")]
pub mod proxy;
pub mod rawsocket;
pub mod socket;
#[cfg(any(feature = "client", feature = "server"))]
pub mod tls;
pub mod websocket;
