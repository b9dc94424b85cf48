//! How a client proves who it is.
//!
//! The mathematics is `bondy_wamp::auth`'s; here are secrets, nonces, and what is said when. Secrets are never logged,
//! nor shown by `Debug`.

use aws_lc_rs::rand;
use bondy_wamp::auth::cryptosign::{KeyError, SigningKey};
use bondy_wamp::auth::{cra, cryptosign, scram};
use bondy_wamp::message::{Authenticate, Challenge};
use bondy_wamp::value::Value;

/// Random bytes of a SCRAM nonce, before they are written as text.
const NONCE_BYTES: usize = 24;

/// Why an authentication did not succeed on this side.
#[derive(Debug, thiserror::Error)]
#[error("{authmethod}: {problem}")]
pub struct AuthenticationError {
    /// The authentication method.
    pub authmethod: String,
    /// What is wrong.
    pub problem: String,
}

impl AuthenticationError {
    /// About this method.
    pub fn new(authmethod: &str, problem: impl std::fmt::Display) -> Self {
        Self { authmethod: authmethod.to_owned(), problem: problem.to_string() }
    }
}

/// One authentication method with what it needs to know.
///
/// The methods of one join are called in this order: [`authextra`](Self::authextra) for HELLO, [`answer`](Self::answer)
/// if the router chose this method and sent CHALLENGE, [`verify`](Self::verify) with WELCOME. Each join begins anew.
pub trait Authenticator: Send + 'static {
    /// The name of the method.
    fn authmethod(&self) -> &str;

    /// Who the client claims to be.
    fn authid(&self) -> Option<&str>;

    /// What HELLO carries as `authextra`: null or a dictionary. Begins a join. `channel_id` names the TLS channel, where
    /// there is one.
    ///
    /// # Errors
    /// The method cannot be used here.
    fn authextra(&mut self, channel_id: Option<&[u8; 32]>) -> Result<Value, AuthenticationError> {
        let _ = channel_id;
        Ok(Value::Null)
    }

    /// Answers a CHALLENGE. It may take its time: it is called where waiting does not matter. When it takes longer than
    /// connecting may, that attempt fails, and so do others as long as it has not returned.
    ///
    /// # Errors
    /// The challenge cannot be answered, or must not be.
    fn answer(
        &mut self,
        challenge: &Challenge,
        channel_id: Option<&[u8; 32]>,
    ) -> Result<Authenticate, AuthenticationError>;

    /// Checks what the router proves of itself with the details of WELCOME. Called as well where the router let the
    /// client in by this method without a CHALLENGE.
    ///
    /// # Errors
    /// It does not prove it; the session is given up.
    fn verify(&mut self, welcome: &Value) -> Result<(), AuthenticationError> {
        let _ = welcome;
        Ok(())
    }
}

impl std::fmt::Debug for dyn Authenticator {
    /// Without secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Authenticator").field(&self.authmethod()).finish()
    }
}

/// No proof at all.
#[derive(Clone, Debug, Default)]
pub struct Anonymous;

impl Authenticator for Anonymous {
    fn authmethod(&self) -> &str {
        "anonymous"
    }

    fn authid(&self) -> Option<&str> {
        None
    }

    fn answer(&mut self, _: &Challenge, _: Option<&[u8; 32]>) -> Result<Authenticate, AuthenticationError> {
        Err(AuthenticationError::new("anonymous", "the router challenges a client that has nothing to prove"))
    }
}

/// A secret that is sent as it is: use it over TLS only.
#[derive(Clone)]
pub struct Ticket {
    authid: String,
    ticket: String,
}

impl Ticket {
    /// This ticket for this authid.
    pub fn new(authid: impl Into<String>, ticket: impl Into<String>) -> Self {
        Self { authid: authid.into(), ticket: ticket.into() }
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ticket").field("authid", &self.authid).finish_non_exhaustive()
    }
}

impl Authenticator for Ticket {
    fn authmethod(&self) -> &str {
        "ticket"
    }

    fn authid(&self) -> Option<&str> {
        Some(&self.authid)
    }

    fn answer(&mut self, _: &Challenge, _: Option<&[u8; 32]>) -> Result<Authenticate, AuthenticationError> {
        Ok(Authenticate { signature: self.ticket.clone(), extra: Value::Dict([].into()) })
    }
}

/// WAMP-CRA: a secret that is not sent, salted or not, as the router says.
#[derive(Clone)]
pub struct WampCra {
    authid: String,
    secret: String,
}

impl WampCra {
    /// This secret for this authid.
    pub fn new(authid: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { authid: authid.into(), secret: secret.into() }
    }
}

impl std::fmt::Debug for WampCra {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WampCra").field("authid", &self.authid).finish_non_exhaustive()
    }
}

impl Authenticator for WampCra {
    fn authmethod(&self) -> &str {
        cra::METHOD
    }

    fn authid(&self) -> Option<&str> {
        Some(&self.authid)
    }

    fn answer(
        &mut self,
        challenge: &Challenge,
        _: Option<&[u8; 32]>,
    ) -> Result<Authenticate, AuthenticationError> {
        cra::answer(&self.secret, &challenge.extra)
            .map_err(|error| AuthenticationError::new(cra::METHOD, error))
    }
}

/// WAMP-SCRAM: a password that is not sent, over a salted and costly hash; the router proves that it knows it, too.
pub struct Scram {
    authid: String,
    password: String,
    exchange: Option<scram::Client>,
}

impl Scram {
    /// This password for this authid.
    pub fn new(authid: impl Into<String>, password: impl Into<String>) -> Self {
        Self { authid: authid.into(), password: password.into(), exchange: None }
    }

    fn exchange(&mut self) -> Result<&mut scram::Client, AuthenticationError> {
        self.exchange.as_mut().ok_or_else(|| AuthenticationError::new(scram::METHOD, "no exchange was begun"))
    }
}

impl std::fmt::Debug for Scram {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Scram").field("authid", &self.authid).finish_non_exhaustive()
    }
}

impl Authenticator for Scram {
    fn authmethod(&self) -> &str {
        scram::METHOD
    }

    fn authid(&self) -> Option<&str> {
        Some(&self.authid)
    }

    fn authextra(&mut self, _: Option<&[u8; 32]>) -> Result<Value, AuthenticationError> {
        let exchange = scram::Client::new(self.authid.clone(), self.password.clone(), nonce()?);
        let authextra = exchange.authextra();
        self.exchange = Some(exchange);
        Ok(authextra)
    }

    fn answer(
        &mut self,
        challenge: &Challenge,
        _: Option<&[u8; 32]>,
    ) -> Result<Authenticate, AuthenticationError> {
        self.exchange()?
            .answer(&challenge.extra)
            .map_err(|error| AuthenticationError::new(scram::METHOD, error))
    }

    fn verify(&mut self, welcome: &Value) -> Result<(), AuthenticationError> {
        self.exchange()?.verify(welcome).map_err(|error| AuthenticationError::new(scram::METHOD, error))
    }
}

/// Unpredictable text for one exchange.
fn nonce() -> Result<String, AuthenticationError> {
    let mut bytes = [0; NONCE_BYTES];
    rand::fill(&mut bytes)
        .map_err(|_| AuthenticationError::new(scram::METHOD, "the system gives no random numbers"))?;
    Ok(bytes.chunks(3).flat_map(base64_of_3).collect())
}

/// Base64 without an end that is not full.
fn base64_of_3(bytes: &[u8]) -> [char; 4] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let number = bytes.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
    [18, 12, 6, 0].map(|shift| char::from(ALPHABET[number >> shift & 63]))
}

/// WAMP-Cryptosign: an Ed25519 key whose public half the router knows.
#[derive(Clone)]
pub struct Cryptosign {
    authid: Option<String>,
    key: SigningKey,
    with_binding: bool,
}

impl Cryptosign {
    /// This key (32 bytes in hexadecimal) for this authid; without one the router knows whose key it is.
    ///
    /// # Errors
    /// The text is no such key.
    pub fn new(authid: Option<String>, key_hex: &str) -> Result<Self, KeyError> {
        Ok(Self { authid, key: SigningKey::from_hex(key_hex)?, with_binding: false })
    }

    /// Signs the TLS channel as well (`tls-exporter`), so that nobody can stand in between. The router must support it.
    #[must_use]
    pub fn channel_binding(self) -> Self {
        Self { with_binding: true, ..self }
    }

    /// The public key that the router must know.
    pub fn public_key_hex(&self) -> String {
        self.key.public_key_hex()
    }
}

impl std::fmt::Debug for Cryptosign {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Cryptosign");
        shown
            .field("authid", &self.authid)
            .field("public_key", &self.public_key_hex())
            .finish_non_exhaustive()
    }
}

impl Authenticator for Cryptosign {
    fn authmethod(&self) -> &str {
        cryptosign::METHOD
    }

    fn authid(&self) -> Option<&str> {
        self.authid.as_deref()
    }

    fn authextra(&mut self, channel_id: Option<&[u8; 32]>) -> Result<Value, AuthenticationError> {
        match (self.with_binding, channel_id) {
            (false, _) => Ok(self.key.authextra()),
            (true, Some(_)) => Ok(self.key.authextra_with_binding()),
            (true, None) => {
                let problem = "channel binding needs TLS; use wss:// or rss://";
                Err(AuthenticationError::new(cryptosign::METHOD, problem))
            }
        }
    }

    fn answer(
        &mut self,
        challenge: &Challenge,
        channel_id: Option<&[u8; 32]>,
    ) -> Result<Authenticate, AuthenticationError> {
        let channel_id = channel_id.filter(|_| self.with_binding);
        self.key
            .answer(&challenge.extra, channel_id)
            .map_err(|error| AuthenticationError::new(cryptosign::METHOD, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_text_and_no_two_are_the_same() {
        assert_eq!(base64_of_3(b"Man"), ['T', 'W', 'F', 'u']);
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert_eq!(one.len(), NONCE_BYTES / 3 * 4);
        assert_ne!(one, other);
    }

    #[test]
    fn secrets_are_not_shown() {
        let key = "11".repeat(32);
        let shown = format!(
            "{:?} {:?} {:?} {:?}",
            Ticket::new("alice", "secret"),
            WampCra::new("alice", "secret"),
            Scram::new("alice", "secret"),
            Cryptosign::new(None, &key).unwrap()
        );
        assert!(!shown.contains("secret") && !shown.contains(&key), "{shown}");
    }

    #[test]
    fn channel_binding_is_only_asked_for_where_it_can_be_had() {
        let mut signer = Cryptosign::new(None, &"11".repeat(32)).unwrap().channel_binding();
        assert!(signer.authextra(None).is_err());
        let authextra = signer.authextra(Some(&[7; 32])).unwrap();
        assert_eq!(authextra.entry("channel_binding").and_then(Value::as_str), Some("tls-exporter"));
    }
}
