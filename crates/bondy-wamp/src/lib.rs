//! The vocabulary of WAMP and its bytes.
//!
//! This crate is pure: no sockets, files, threads, clocks or randomness. It holds every message of the Basic and
//! the Advanced Profile as a typed struct ([`message`]), ids, URIs and patterns, the three serializers with
//! envelope parsing and streaming transcoding ([`serializer`]), the framing of messages on a byte stream
//! ([`framing`]) and the bounded queue of bytes that waits for a peer ([`outbox`]). [`auth`] is the
//! mathematics of the authentication methods. With the feature `serde`, typed arguments and results come from and go to all three serializers.
//!
//! What it does not do: decide anything. Who may do what, who receives what and when is the router's.
//!
//! Invariant: payloads are opaque. `args` and `kwargs` stay the bytes they came as, after one validating pass.

pub mod auth;
pub mod buffer;
pub mod error_uri;
pub mod feature;
pub mod framing;
pub mod id;
pub mod message;
pub mod mutation;
pub mod outbox;
pub mod payload;
#[cfg(feature = "serde")]
pub mod serde;
pub mod serializer;
pub mod uri;
pub mod value;
