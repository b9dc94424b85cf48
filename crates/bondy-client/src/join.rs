//! From an open connection to a session: HELLO, CHALLENGE and AUTHENTICATE, WELCOME.

use bondy_transport::client::Connection;
use bondy_wamp::feature::Features;
use bondy_wamp::message::{self, Challenge, Hello, HelloDetails, Message, Welcome};
use bondy_wamp::value::Value;
use std::collections::BTreeMap;

use crate::authentication::{AuthenticationError, Authenticator};
use crate::connection::SessionDetails;
use crate::error::ConnectError;
use crate::link::Link;
use crate::session::Welcomed;

/// Challenges that a router may send in one join.
const CHALLENGES_MAX: usize = 8;

/// Whom to join as.
pub(crate) struct Identification {
    pub(crate) realm: String,
    pub(crate) agent: String,
    pub(crate) authrole: Option<String>,
    /// Empty: anonymous, by not saying anything.
    pub(crate) authenticators: Vec<Box<dyn Authenticator>>,
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
        // Connections in the clear have no name.
        let channel_id: Option<[u8; 32]> = None;
        let serializer = connection.serializer();
        let mut link = Link::new(connection);
        link.send(&Message::Hello(Box::new(self.hello()?))).await?;
        let mut chosen = None;
        for _ in 0..=CHALLENGES_MAX {
            match receive(&mut link).await? {
                Reply::Challenge(challenge) => {
                    let index = self.chosen(&challenge)?;
                    chosen = Some(index);
                    let answer = self.authenticators[index].answer(&challenge, channel_id.as_ref())?;
                    link.send(&Message::Authenticate(answer)).await?;
                }
                Reply::Welcome(welcome) => {
                    if let Some(index) = chosen {
                        self.authenticators[index].verify(&welcome.details)?;
                    }
                    let details =
                        SessionDetails::new(welcome.session, welcome.details, &self.realm, url, serializer);
                    let message_bytes_max = link.message_bytes_max();
                    return Ok((link, Welcomed { details, message_bytes_max }));
                }
            }
        }
        Err(ConnectError::ProtocolViolation(format!("more than {CHALLENGES_MAX} challenges")))
    }

    fn hello(&mut self) -> Result<Hello, AuthenticationError> {
        let mut authextra = BTreeMap::new();
        for authenticator in &mut self.authenticators {
            if let Value::Dict(entries) = authenticator.authextra()? {
                for (key, value) in entries {
                    authextra.entry(key).or_insert(value);
                }
            }
        }
        let authmethods = self.authenticators.iter().map(|one| one.authmethod().to_owned()).collect();
        let details = HelloDetails {
            features: Features::all(),
            agent: Some(self.agent.clone()),
            authmethods: Some(authmethods).filter(|methods: &Vec<String>| !methods.is_empty()),
            authid: self.authenticators.iter().find_map(|one| one.authid().map(str::to_owned)),
            authrole: self.authrole.clone(),
            authextra: if authextra.is_empty() { Value::Null } else { Value::Dict(authextra) },
        };
        Ok(Hello { realm: self.realm.clone(), details })
    }

    /// The index of the method that the router chose.
    fn chosen(&self, challenge: &Challenge) -> Result<usize, AuthenticationError> {
        self.authenticators.iter().position(|one| one.authmethod() == challenge.authmethod).ok_or_else(|| {
            AuthenticationError::new(&challenge.authmethod, "the router chose a method that was not offered")
        })
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
