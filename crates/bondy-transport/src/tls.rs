//! TLS for listeners: certificates from PEM files, and the encrypted stream.
//!
//! [`TlsAcceptor`] holds a listener's certificates and swaps them without touching open sessions. [`TlsStream`] is
//! one connection: its owner alone encrypts and decrypts, so there is no lock around TLS; other workers hand the
//! owner plaintext and wake it.
//!
//! What it does not do: choose when to read, write or give up (the caller has the deadlines), verify names of
//! clients, or issue certificates.
//!
//! Invariant: the cryptographic provider is always named, never the process's default, so that nothing here
//! depends on what ran first.

mod acceptor;
mod certificate;
mod record;
mod stream;

pub use acceptor::{CertificateFiles, TlsAcceptor, TlsFiles};
pub use certificate::TlsError;
pub use stream::TlsStream;
