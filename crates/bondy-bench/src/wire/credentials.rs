//! Who joins, and how that is proven: the client's side of the authentication methods, over `bondy_wamp::auth`.

use crate::failure::Failure;
use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bondy_wamp::auth::{ChallengeError, cra, cryptosign, scram};
use bondy_wamp::message::Authenticate;
use bondy_wamp::value::Value;
use rustls::crypto::aws_lc_rs;
use serde::{Deserialize, Serialize};
use std::fmt;

const NONCE_BYTES: usize = 16;

/// A way to prove who joins (the WAMP specification, Advanced Profile, "Authentication Methods").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthMethod {
    /// A shared secret, sent as it is.
    Ticket,
    /// A challenge signed with a shared secret, salted or not.
    WampCra,
    /// A password that neither side shows the other.
    WampScram,
    /// A challenge signed with a private key.
    Cryptosign,
}

impl AuthMethod {
    /// The name in HELLO and CHALLENGE.
    pub fn name(self) -> &'static str {
        match self {
            AuthMethod::Ticket => "ticket",
            AuthMethod::WampCra => "wampcra",
            AuthMethod::WampScram => "wamp-scram",
            AuthMethod::Cryptosign => "cryptosign",
        }
    }
}

/// What every session of a load joins with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The method.
    pub method: AuthMethod,
    /// Who joins; a private key may stand for itself.
    pub authid: Option<String>,
    /// The ticket, the password, or the private key in hexadecimal.
    pub secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Credentials({} as {:?})", self.method.name(), self.authid)
    }
}

/// One proof on its way.
pub(super) enum Proof<'a> {
    Ticket(&'a str),
    Cra(&'a str),
    Scram(scram::Client),
    Cryptosign(cryptosign::SigningKey),
}

impl Credentials {
    /// Begins a proof, which is good for one session.
    pub(super) fn prove(&self) -> anyhow::Result<Proof<'_>> {
        Ok(match self.method {
            AuthMethod::Ticket => Proof::Ticket(&self.secret),
            AuthMethod::WampCra => Proof::Cra(&self.secret),
            AuthMethod::WampScram => {
                let mut nonce = [0; NONCE_BYTES];
                let random = aws_lc_rs::default_provider().secure_random;
                random.fill(&mut nonce).ok().context("the system has no random bytes")?;
                let authid = self.authid.clone().unwrap_or_default();
                Proof::Scram(scram::Client::new(authid, self.secret.as_str(), BASE64.encode(nonce)))
            }
            AuthMethod::Cryptosign => {
                let key = cryptosign::SigningKey::from_hex(&self.secret);
                Proof::Cryptosign(key.map_err(|error| Failure::usage(error.to_string()))?)
            }
        })
    }

    /// What HELLO says about it.
    pub(super) fn hello(&self, proof: &Proof<'_>) -> Vec<(&'static str, Value)> {
        let methods = Value::List(vec![Value::from(self.method.name())]);
        let mut details = vec![("authmethods", methods)];
        details.extend(self.authid.as_deref().map(|authid| ("authid", Value::from(authid))));
        match proof {
            Proof::Ticket(_) | Proof::Cra(_) => {}
            Proof::Scram(client) => details.push(("authextra", client.authextra())),
            Proof::Cryptosign(key) => details.push(("authextra", key.authextra())),
        }
        details
    }
}

impl Proof<'_> {
    /// The answer to CHALLENGE.
    pub(super) fn answer(&mut self, extra: &Value) -> Result<Authenticate, ChallengeError> {
        match self {
            Proof::Ticket(ticket) => {
                Ok(Authenticate { signature: (*ticket).to_owned(), extra: Value::from([]) })
            }
            Proof::Cra(secret) => cra::answer(secret, extra),
            Proof::Scram(client) => client.answer(extra),
            Proof::Cryptosign(key) => key.answer(extra, None),
        }
    }

    /// Whether the router knows the secret too, where the method says.
    pub(super) fn verify(&self, welcome_details: &Value) -> Result<(), ChallengeError> {
        match self {
            Proof::Ticket(_) | Proof::Cra(_) | Proof::Cryptosign(_) => Ok(()),
            Proof::Scram(client) => client.verify(welcome_details),
        }
    }
}
