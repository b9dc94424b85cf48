//! (skeleton)

#[cfg(feature = "server")]
pub mod detect;
#[cfg(feature = "server")]
pub mod forwarded;
#[cfg(feature = "server")]
pub mod proxy;
pub mod rawsocket;
pub mod socket;
#[cfg(feature = "server")]
pub mod tls;
pub mod websocket;
