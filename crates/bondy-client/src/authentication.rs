//! How a client proves who it is.

use bondy_wamp::message::{Authenticate, Challenge};
use bondy_wamp::value::Value;

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

    /// What HELLO carries as `authextra`: null or a dictionary. Begins a join.
    fn authextra(&mut self) -> Result<Value, AuthenticationError> {
        Ok(Value::Null)
    }

    /// Answers a CHALLENGE. `channel_id` names the TLS channel, where there is one.
    ///
    /// # Errors
    /// The challenge cannot be answered, or must not be.
    fn answer(
        &mut self,
        challenge: &Challenge,
        channel_id: Option<&[u8; 32]>,
    ) -> Result<Authenticate, AuthenticationError>;

    /// Checks what the router proves of itself with the details of WELCOME.
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
