//! TLS: certificates from PEM files for either side, and the encrypted stream of a listener.
//!
//! `TlsAcceptor` holds a listener's certificates and swaps them without touching open sessions. `TlsStream` is
//! one connection: its owner alone encrypts and decrypts, so there is no lock around TLS; other workers hand the
//! owner plaintext and wake it. Both come with the feature `server`; a client's side is in `client`.
//!
//! What it does not do: choose when to read, write or give up (the caller has the deadlines), verify names of
//! clients, or issue certificates.
//!
//! Invariant: the cryptographic provider is always named, never the process's default, so that nothing here
//! depends on what ran first.

#[cfg(feature = "server")]
mod acceptor;
mod certificate;
#[cfg(feature = "server")]
mod record;
#[cfg(feature = "server")]
mod sni;
#[cfg(feature = "server")]
mod stream;

#[cfg(feature = "server")]
pub use acceptor::{TlsAcceptor, TlsFiles};
pub use certificate::{CertificateFiles, TlsError};
#[cfg(feature = "client")]
pub(crate) use certificate::{read_authorities, read_certified_key};
#[cfg(feature = "server")]
pub use stream::TlsStream;
