//! From an open connection to a session: HELLO, CHALLENGE and AUTHENTICATE, WELCOME.

use bondy_transport::client::Connection;
use bondy_wamp::feature::Features;
use bondy_wamp::message::{self, Challenge, Hello, HelloDetails, Message, Welcome};
use bondy_wamp::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

use crate::authentication::{AuthenticationError, Authenticator};
use crate::connection::SessionDetails;
use crate::error::ConnectError;
use crate::link::Link;
use crate::session::Welcomed;

/// Challenges that a router may send in one join.
const CHALLENGES_MAX: usize = 8;
/// How a router lets a client in that it asks nothing, unless it says otherwise.
const ANONYMOUS: &str = "anonymous";

/// An authenticator that may be sent to where waiting does not matter. It is locked for each step of a join, and never
/// waited for: one that still thinks about the challenge of a join that was given up is not there for the next one.
pub(crate) type SharedAuthenticator = Arc<Mutex<Box<dyn Authenticator>>>;

/// Whom to join as.
pub(crate) struct Identification {
    pub(crate) realm: String,
    pub(crate) agent: String,
    pub(crate) authrole: Option<String>,
    /// Empty: anonymous, by not saying anything.
    pub(crate) authenticators: Vec<SharedAuthenticator>,
    /// How long connecting and joining may take.
    pub(crate) connect_timeout: Duration,
}

impl std::fmt::Debug for Identification {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Identification").field("realm", &self.realm).finish_non_exhaustive()
    }
}

/// What a router sent before WELCOME.
enum Reply {
    Welcome(Box<Welcome>),
    Challenge(Challenge),
}

impl Identification {
    /// Joins.
    pub(crate) async fn join(
        &mut self,
        connection: Connection,
        url: String,
    ) -> Result<(Link, Welcomed), ConnectError> {
        let channel_id = connection.channel_id();
        let serializer = connection.serializer();
        let mut link = Link::new(connection);
        link.send(&Message::Hello(Box::new(self.hello(channel_id.as_ref())?))).await?;
        let mut chosen = None;
        for _ in 0..=CHALLENGES_MAX {
            match receive(&mut link).await? {
                Reply::Challenge(challenge) => {
                    let index = self.chosen(&challenge.authmethod)?;
                    chosen = Some(index);
                    let authenticator = Arc::clone(&self.authenticators[index]);
                    let mut authenticator = authenticator.try_lock_owned().map_err(|_| self.busy())?;
                    // Hashing a password may take a second.
                    let answering = tokio::task::spawn_blocking(move || {
                        authenticator.answer(&challenge, channel_id.as_ref())
                    });
                    let answer = answering.await.map_err(|error| {
                        AuthenticationError::new("answering the challenge", error.to_string())
                    })??;
                    link.send(&Message::Authenticate(answer)).await?;
                }
                Reply::Welcome(welcome) => {
                    self.verify(chosen, &welcome.details)?;
                    let details =
                        SessionDetails::new(welcome.session, welcome.details, &self.realm, url, serializer);
                    let message_bytes_max = link.message_bytes_max();
                    return Ok((link, Welcomed { details, message_bytes_max }));
                }
            }
        }
        Err(ConnectError::ProtocolViolation(format!("more than {CHALLENGES_MAX} challenges")))
    }

    fn hello(&self, channel_id: Option<&[u8; 32]>) -> Result<Hello, ConnectError> {
        let mut authextra = BTreeMap::new();
        let mut authmethods = Vec::new();
        let mut authid = None;
        for authenticator in &self.authenticators {
            let mut authenticator = self.lock(authenticator)?;
            authmethods.push(authenticator.authmethod().to_owned());
            authid = authid.or_else(|| authenticator.authid().map(str::to_owned));
            if let Value::Dict(entries) = authenticator.authextra(channel_id)? {
                // What one method leaves open another may say.
                for (key, value) in entries.into_iter().filter(|(_, value)| *value != Value::Null) {
                    authextra.entry(key).or_insert(value);
                }
            }
        }
        let details = HelloDetails {
            features: Features::all(),
            agent: Some(self.agent.clone()),
            authmethods: Some(authmethods).filter(|methods| !methods.is_empty()),
            authid,
            authrole: self.authrole.clone(),
            authextra: if authextra.is_empty() { Value::Null } else { Value::Dict(authextra) },
        };
        Ok(Hello { realm: self.realm.clone(), details })
    }

    /// Lets the authenticator check what the router proves of itself. A router that did not challenge names the method
    /// that it let the client in by, which must be one that was offered: else leaving out the challenge would be a way
    /// around the proof.
    fn verify(&self, challenged: Option<usize>, welcome: &Value) -> Result<(), ConnectError> {
        let index = match challenged {
            Some(index) => index,
            None if self.authenticators.is_empty() => return Ok(()),
            None => {
                let named = welcome.entry("authmethod").and_then(Value::as_str);
                self.chosen(named.unwrap_or(ANONYMOUS))?
            }
        };
        Ok(self.lock(&self.authenticators[index])?.verify(welcome)?)
    }

    /// The index of the method that the router chose.
    fn chosen(&self, authmethod: &str) -> Result<usize, ConnectError> {
        for (index, authenticator) in self.authenticators.iter().enumerate() {
            if self.lock(authenticator)?.authmethod() == authmethod {
                return Ok(index);
            }
        }
        let problem = "the router chose a method that was not offered";
        Err(AuthenticationError::new(authmethod, problem).into())
    }

    fn lock<'a>(
        &self,
        authenticator: &'a SharedAuthenticator,
    ) -> Result<MutexGuard<'a, Box<dyn Authenticator>>, ConnectError> {
        authenticator.try_lock().map_err(|_| self.busy())
    }

    /// An authenticator has not answered the challenge of an earlier join yet.
    fn busy(&self) -> ConnectError {
        ConnectError::Timeout(self.connect_timeout)
    }
}

async fn receive(link: &mut Link) -> Result<Reply, ConnectError> {
    let serializer = link.serializer();
    let bytes = link.receive().await?;
    let parsed = message::parse(serializer, &bytes)
        .map_err(|error| ConnectError::ProtocolViolation(error.to_string()))?;
    match parsed {
        Message::Welcome(welcome) => Ok(Reply::Welcome(welcome)),
        Message::Challenge(challenge) => Ok(Reply::Challenge(challenge)),
        Message::Abort(abort) => Err(ConnectError::Refused {
            reason: abort.reason.into_owned(),
            message: abort.message.map(Into::into),
        }),
        other => Err(ConnectError::ProtocolViolation(format!(
            "{} came where WELCOME, CHALLENGE or ABORT was expected",
            other.message_type()
        ))),
    }
}
