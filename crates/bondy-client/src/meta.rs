//! The meta API: what a router tells of its realm (Advanced Profile, "Session Meta API", "Registration Meta Procedures",
//! "Subscription Meta Procedures", "Event History").

use bondy_wamp::id::{RegistrationId, SessionId, SubscriptionId};
use bondy_wamp::uri::MatchPolicy;
use bondy_wamp::value::Value;
use serde::{Deserialize, Serialize};

use crate::call::{Call, FromReply, Reply};
use crate::client::Client;
use crate::error::CallError;

/// Questions to the router about its realm.
///
/// The topics that go with them (`wamp.session.on_join` and so on) are subscribed to like any other.
#[derive(Clone, Debug)]
pub struct Meta {
    client: Client,
}

/// A session, as the router describes it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct SessionInfo {
    /// The session.
    pub session: u64,
    /// As whom it joined.
    #[serde(default)]
    pub authid: Option<String>,
    /// In which roles.
    #[serde(default)]
    pub authrole: Option<String>,
    /// How it was authenticated.
    #[serde(default)]
    pub authmethod: Option<String>,
    /// By whom.
    #[serde(default)]
    pub authprovider: Option<String>,
    /// Its connection.
    #[serde(default)]
    pub transport: Option<Value>,
    /// Counters and rates, from a router of this project.
    #[serde(default, rename = "_stats")]
    pub stats: Option<Value>,
}

/// A registration or subscription, as the router describes it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct EntryInfo {
    /// Its id.
    pub id: u64,
    /// Its procedure, topic or pattern.
    pub uri: String,
    /// `exact`, `prefix` or `wildcard`.
    #[serde(rename = "match")]
    pub match_policy: String,
    /// For registrations: how a callee is chosen.
    #[serde(default)]
    pub invoke: Option<String>,
    /// When it came about: UTC, as in ISO 8601.
    #[serde(default)]
    pub created: Option<String>,
    /// Counters, from a router of this project.
    #[serde(default, rename = "_stats")]
    pub stats: Option<Value>,
}

/// Ids by match policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct EntryIds {
    /// Of those that match exactly.
    #[serde(default)]
    pub exact: Vec<u64>,
    /// Of those that match a prefix.
    #[serde(default)]
    pub prefix: Vec<u64>,
    /// Of those that match part by part.
    #[serde(default)]
    pub wildcard: Vec<u64>,
}

impl EntryIds {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = u64> {
        self.exact.iter().chain(&self.prefix).chain(&self.wildcard).copied()
    }
}

/// An event that the router kept.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct KeptEvent {
    /// When it was published: UTC, as in ISO 8601.
    #[serde(default)]
    pub timestamp: Option<String>,
    /// The publication.
    pub publication: u64,
    /// What EVENT said about it, always with its topic.
    #[serde(default)]
    pub details: Value,
    /// Its positional arguments.
    #[serde(default)]
    pub args: Option<Value>,
    /// Its keyword arguments.
    #[serde(default)]
    pub kwargs: Option<Value>,
}

/// What can be asked about registrations and subscriptions alike.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Registration,
    Subscription,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Kind::Registration => "registration",
            Kind::Subscription => "subscription",
        }
    }

    const fn members(self) -> &'static str {
        match self {
            Kind::Registration => "callees",
            Kind::Subscription => "subscribers",
        }
    }
}

macro_rules! errors {
    () => {
        "# Errors\nAs for any call; the router's ERROR says what is not there or not allowed."
    };
}

impl Meta {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    fn call<T: FromReply>(&self, procedure: impl Into<String>) -> Call<T> {
        self.client.call(procedure)
    }

    fn of<T: FromReply>(&self, kind: Kind, question: &str) -> Call<T> {
        self.call(format!("wamp.{}.{question}", kind.as_str()))
    }

    /// How many sessions there are.
    ///
    #[doc = errors!()]
    pub async fn session_count(&self) -> Result<u64, CallError> {
        self.call("wamp.session.count").await
    }

    /// The sessions.
    ///
    #[doc = errors!()]
    pub async fn sessions(&self) -> Result<Vec<SessionId>, CallError> {
        let ids: Vec<u64> = self.call("wamp.session.list").await?;
        Ok(ids.into_iter().map(SessionId).collect())
    }

    /// What is known of a session.
    ///
    #[doc = errors!()]
    pub async fn session(&self, id: SessionId) -> Result<SessionInfo, CallError> {
        self.call("wamp.session.get").arg(id.0).await
    }

    /// Ends a session, with a reason (a URI; `wamp.close.killed` if there is none) and a text for people.
    ///
    #[doc = errors!()]
    pub async fn kill_session(
        &self,
        id: SessionId,
        reason: Option<&str>,
        message: Option<&str>,
    ) -> Result<(), CallError> {
        let mut call = self.call("wamp.session.kill").arg(id.0);
        if let Some(reason) = reason {
            call = call.kwarg("reason", reason);
        }
        if let Some(message) = message {
            call = call.kwarg("message", message);
        }
        call.await
    }

    /// The registrations.
    ///
    #[doc = errors!()]
    pub async fn registrations(&self) -> Result<EntryIds, CallError> {
        self.of(Kind::Registration, "list").await
    }

    /// What is known of a registration.
    ///
    #[doc = errors!()]
    pub async fn registration(&self, id: RegistrationId) -> Result<EntryInfo, CallError> {
        self.of(Kind::Registration, "get").arg(id.0).await
    }

    /// The registration of this very procedure or pattern.
    ///
    #[doc = errors!()]
    pub async fn find_registration(
        &self,
        procedure: &str,
        policy: MatchPolicy,
    ) -> Result<Option<RegistrationId>, CallError> {
        Ok(self.find(Kind::Registration, procedure, policy).await?.map(RegistrationId))
    }

    /// The registration that a call of this procedure would find.
    ///
    #[doc = errors!()]
    pub async fn matching_registration(&self, procedure: &str) -> Result<Option<RegistrationId>, CallError> {
        let id: Option<u64> = self.of(Kind::Registration, "match").arg(procedure).await?;
        Ok(id.map(RegistrationId))
    }

    /// The sessions that serve a registration.
    ///
    #[doc = errors!()]
    pub async fn callees(&self, id: RegistrationId) -> Result<Vec<SessionId>, CallError> {
        self.members(Kind::Registration, id.0).await
    }

    /// The subscriptions.
    ///
    #[doc = errors!()]
    pub async fn subscriptions(&self) -> Result<EntryIds, CallError> {
        self.of(Kind::Subscription, "list").await
    }

    /// What is known of a subscription.
    ///
    #[doc = errors!()]
    pub async fn subscription(&self, id: SubscriptionId) -> Result<EntryInfo, CallError> {
        self.of(Kind::Subscription, "get").arg(id.0).await
    }

    /// The subscription of this very topic or pattern.
    ///
    #[doc = errors!()]
    pub async fn find_subscription(
        &self,
        topic: &str,
        policy: MatchPolicy,
    ) -> Result<Option<SubscriptionId>, CallError> {
        Ok(self.find(Kind::Subscription, topic, policy).await?.map(SubscriptionId))
    }

    /// The subscriptions that an event of this topic would reach.
    ///
    #[doc = errors!()]
    pub async fn matching_subscriptions(&self, topic: &str) -> Result<Vec<SubscriptionId>, CallError> {
        let ids: Option<Vec<u64>> = self.of(Kind::Subscription, "match").arg(topic).await?;
        Ok(ids.unwrap_or_default().into_iter().map(SubscriptionId).collect())
    }

    /// The sessions that are subscribed.
    ///
    #[doc = errors!()]
    pub async fn subscribers(&self, id: SubscriptionId) -> Result<Vec<SessionId>, CallError> {
        self.members(Kind::Subscription, id.0).await
    }

    /// The newest events that the router kept of what a subscription receives, at most so many, the newest first.
    ///
    #[doc = errors!()]
    pub async fn events(&self, id: SubscriptionId, limit: u64) -> Result<Vec<KeptEvent>, CallError> {
        let call = self.of::<Reply>(Kind::Subscription, "get_events").arg(id.0);
        // The events themselves are the positional arguments.
        Ok(call.kwarg("limit", limit).kwarg("reverse", true).await?.args()?)
    }

    async fn find(&self, kind: Kind, uri: &str, policy: MatchPolicy) -> Result<Option<u64>, CallError> {
        let options = [("match", policy.as_str())];
        let options: std::collections::BTreeMap<&str, &str> = options.into();
        self.of(kind, "lookup").arg(uri).arg(options).await
    }

    async fn members(&self, kind: Kind, id: u64) -> Result<Vec<SessionId>, CallError> {
        let ids: Vec<u64> = self.of(kind, &format!("list_{}", kind.members())).arg(id).await?;
        Ok(ids.into_iter().map(SessionId).collect())
    }
}
