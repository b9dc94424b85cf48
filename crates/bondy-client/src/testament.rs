//! Testaments: events that the router publishes when the session has ended (Advanced Profile, "Testament").
//!
//! A testament belongs to its session. When the connection is lost the router publishes it, and the next session begins
//! without: add it again on [`ConnectionEvent::Connected`](crate::ConnectionEvent::Connected).

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use bondy_wamp::value::Value;
use serde::Serialize;

use crate::arguments::{Arguments, ArgumentsBuilder, DEFAULT_SERIALIZER};
use crate::client::Client;
use crate::error::{CallError, SendError};

/// When a testament is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TestamentScope {
    /// When the session is no more.
    #[default]
    Destroyed,
    /// When it has lost its connection.
    Detached,
}

impl TestamentScope {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            TestamentScope::Destroyed => "destroyed",
            TestamentScope::Detached => "detached",
        }
    }
}

/// A testament that is being put together. Awaiting it leaves it with the router.
#[must_use = "a testament is left with the router when it is awaited"]
#[derive(Debug)]
pub struct Testament {
    client: Client,
    topic: String,
    arguments: ArgumentsBuilder,
    options: BTreeMap<String, Value>,
    scope: TestamentScope,
}

impl Testament {
    pub(crate) fn new(client: Client, topic: String) -> Self {
        let arguments = ArgumentsBuilder::new(DEFAULT_SERIALIZER);
        let scope = TestamentScope::default();
        Self { client, topic, arguments, options: BTreeMap::new(), scope }
    }

    /// Adds a positional argument.
    pub fn arg<A: Serialize>(mut self, value: A) -> Self {
        self.arguments.arg(&value);
        self
    }

    /// Adds a keyword argument.
    pub fn kwarg<A: Serialize>(mut self, key: &str, value: A) -> Self {
        self.arguments.kwarg(key, &value);
        self
    }

    /// Adds `args` and `kwargs` that are encoded already.
    pub fn payload(mut self, arguments: Arguments) -> Self {
        self.arguments.payload(arguments);
        self
    }

    /// When it is published.
    pub fn scope(mut self, scope: TestamentScope) -> Self {
        self.scope = scope;
        self
    }

    /// Has the router keep the event for those who subscribe later and ask for it.
    pub fn retain(self) -> Self {
        self.publish_option("retain", true)
    }

    /// Adds an option of the publication, by its name on the wire: `eligible_authid`, say.
    pub fn publish_option(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.options.insert(key.to_owned(), value.into());
        self
    }

    async fn run(self) -> Result<(), CallError> {
        let arguments = self.arguments.finish().map_err(SendError::from)?;
        let (args, kwargs) = arguments.to_value()?;
        self.client
            .call("wamp.session.add_testament")
            .args((self.topic, args, kwargs))
            .kwarg("publish_options", Value::Dict(self.options))
            .kwarg("scope", self.scope.as_str())
            .await
    }
}

impl IntoFuture for Testament {
    type Output = Result<(), CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
