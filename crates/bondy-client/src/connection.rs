//! The connection as the application sees it: the session's details, its state, and what happens to it.

use std::sync::Arc;
use std::time::Duration;

use bondy_wamp::id::SessionId;
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;

use crate::error::WampError;

/// Who this client is in its realm, and what the router says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionDetails {
    /// The session. Each connection is another session.
    pub id: SessionId,
    /// The realm.
    pub realm: String,
    /// As whom the router knows this client.
    pub authid: String,
    /// In which roles.
    pub authrole: String,
    /// How it was authenticated.
    pub authmethod: String,
    /// Where the router was found.
    pub url: String,
    /// The serializer that was agreed on.
    pub serializer: Serializer,
    /// All details of WELCOME.
    pub details: Value,
}

impl SessionDetails {
    pub(crate) fn new(
        id: SessionId,
        details: Value,
        realm: &str,
        url: String,
        serializer: Serializer,
    ) -> Self {
        let text = |key: &str, otherwise: &str| {
            details.entry(key).and_then(Value::as_str).unwrap_or(otherwise).to_owned()
        };
        Self {
            id,
            realm: text("realm", realm),
            authid: text("authid", ""),
            authrole: text("authrole", ""),
            authmethod: text("authmethod", ""),
            url,
            serializer,
            details,
        }
    }

    /// Did the router announce this feature for this role (`broker` or `dealer`)?
    pub fn has_feature(&self, role: &str, feature: &str) -> bool {
        let role = self.details.entry("roles").and_then(|roles| roles.entry(role));
        let features = role.and_then(|role| role.entry("features"));
        features.and_then(|features| features.entry(feature)).and_then(Value::as_bool) == Some(true)
    }

    /// The software of the router, if it says so.
    pub fn agent(&self) -> Option<&str> {
        self.details.entry("agent").and_then(Value::as_str)
    }
}

/// Whether there is a session at this moment.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionState {
    /// Joined.
    Connected,
    /// Not joined; a connection is being made, or waited for.
    Disconnected,
    /// For good, for this reason.
    Closed(EndReason),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq)]
pub enum EndReason {
    /// This side closed it.
    Closed,
    /// The router said GOODBYE.
    Goodbye {
        /// The URI it gave.
        reason: String,
        /// Its text for people.
        message: Option<String>,
    },
    /// The router said ABORT, or refused to let the client in.
    Abort {
        /// The URI it gave.
        reason: String,
        /// Its text for people.
        message: Option<String>,
    },
    /// This side did not authenticate itself or the router; the text says why.
    Authentication(String),
    /// The connection broke; the text says how.
    Lost(String),
    /// Nothing came from the router for this long, not even an answer to a ping.
    Silent(Duration),
    /// The router broke the protocol; the text says how.
    ProtocolViolation(String),
    /// As many attempts as were allowed did not bring a connection; the text is about the last one.
    GaveUp {
        /// How many.
        attempts: u32,
        /// Why the last one failed.
        last: String,
    },
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = |formatter: &mut std::fmt::Formatter<'_>, verb, reason: &str, message: &Option<String>| {
            write!(formatter, "the router {verb} {reason}")?;
            message.iter().try_for_each(|message| write!(formatter, " ({message})"))
        };
        match self {
            EndReason::Closed => formatter.write_str("closed by this client"),
            EndReason::Goodbye { reason, message } => said(formatter, "said goodbye:", reason, message),
            EndReason::Abort { reason, message } => said(formatter, "aborted the session:", reason, message),
            EndReason::Authentication(why) => write!(formatter, "authentication failed: {why}"),
            EndReason::Lost(how) => write!(formatter, "the connection was lost: {how}"),
            EndReason::Silent(time) => write!(formatter, "nothing came from the router for {time:?}"),
            EndReason::ProtocolViolation(how) => write!(formatter, "the router broke the protocol: {how}"),
            EndReason::GaveUp { attempts, last } => {
                write!(formatter, "gave up after {attempts} attempts to connect; the last one: {last}")
            }
        }
    }
}

/// What happened to the connection.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionEvent {
    /// A session was joined: the first one, or another after the connection was lost.
    Connected(Arc<SessionDetails>),
    /// The session ended.
    Disconnected {
        /// Why.
        reason: EndReason,
        /// How many calls were in flight. Each failed with [`CallError::Disconnected`](crate::CallError::Disconnected).
        calls_failed: usize,
    },
    /// Another attempt to connect is going to be made.
    Reconnecting {
        /// 1 for the first since the connection was lost.
        attempt: u32,
        /// In this time.
        after: Duration,
        /// To this URL.
        url: String,
    },
    /// What was registered and subscribed before has been asked for again, and every answer has come.
    Restored(Restored),
    /// A registration is gone: revoked by the router, or refused when it was to be restored. (One that is still held,
    /// as a rule by this client's own lost session, is asked for again for 90 s. A router that takes longer to notice
    /// the loss refuses it for good.)
    RegistrationLost {
        /// Its procedure or pattern.
        procedure: String,
        /// What the router said.
        error: WampError,
    },
    /// A subscription is gone: revoked by the router, or refused when it was to be restored.
    SubscriptionLost {
        /// Its topic or pattern.
        topic: String,
        /// What the router said.
        error: WampError,
    },
    /// A stream of events is read too slowly: events were dropped. Said again at most once a second for each stream.
    SlowSubscription {
        /// Its topic or pattern.
        topic: String,
    },
    /// This stream of connection events itself was read too slowly; so many were dropped.
    Missed(u64),
    /// The end for good.
    Closed(EndReason),
}

/// What became of registrations and subscriptions after a lost connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// Procedures and patterns that are registered again.
    pub registrations: Vec<String>,
    /// Topics and patterns that are subscribed again.
    pub subscriptions: Vec<RestoredSubscription>,
    /// What the router refused.
    pub lost: Vec<Lost>,
    /// How many calls were in flight when connections were lost since everything was last in order.
    pub calls_failed: usize,
}

/// A subscription that is there again.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoredSubscription {
    /// Its topic or pattern.
    pub topic: String,
    /// How long it was not there. Events published in that time were missed.
    pub gap: Duration,
}

/// A registration or subscription that could not be restored.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// Its procedure, topic or pattern.
    pub uri: String,
    /// What the router said.
    pub error: WampError,
}

/// Why a registration or subscription is no more.
#[derive(Clone, Debug, PartialEq)]
pub enum WhyEnded {
    /// The router revoked it, or refused to restore it.
    Lost(WampError),
    /// The client is closed.
    Closed(EndReason),
}
