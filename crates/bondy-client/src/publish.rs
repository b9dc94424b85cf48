//! Publications.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use bondy_wamp::id::{PublicationId, SessionId};
use bondy_wamp::message::Receivers;
use serde::Serialize;

use crate::arguments::{Arguments, ArgumentsBuilder, Details};
use crate::client::Client;
use crate::error::{EncodeError, PublishError, SendError};
use crate::session::OutgoingEvent;

/// An event that is being put together. Awaiting it publishes it.
///
/// Without [`acknowledge`](Publish::acknowledge) it is done once the event is in the outgoing buffer: whether the router
/// takes it is not known, and it is lost if the connection is.
#[must_use = "an event is published when it is awaited"]
#[derive(Debug)]
pub struct Publish {
    client: Client,
    topic: String,
    arguments: ArgumentsBuilder,
    attributes: Details,
    attributes_error: Option<EncodeError>,
    acknowledge: bool,
    exclude_me: bool,
    disclose_me: bool,
    retain: bool,
    receivers: Receivers,
}

impl Publish {
    pub(crate) fn new(client: Client, topic: String) -> Self {
        let serializer = client.shared().serializer();
        Self {
            client,
            topic,
            arguments: ArgumentsBuilder::new(serializer),
            attributes: Details::new(serializer),
            attributes_error: None,
            acknowledge: false,
            exclude_me: true,
            disclose_me: false,
            retain: false,
            receivers: Receivers::default(),
        }
    }

    /// Adds a positional argument.
    pub fn arg<A: Serialize>(mut self, value: A) -> Self {
        self.arguments.arg(&value);
        self
    }

    /// Adds positional arguments: the elements of a tuple, or one value that is none.
    pub fn args<A: Serialize>(mut self, values: A) -> Self {
        self.arguments.args(&values);
        self
    }

    /// Adds a keyword argument.
    pub fn kwarg<A: Serialize>(mut self, key: &str, value: A) -> Self {
        self.arguments.kwarg(key, &value);
        self
    }

    /// Adds keyword arguments: the fields of a struct or the entries of a map.
    pub fn kwargs<A: Serialize>(mut self, values: A) -> Self {
        self.arguments.kwargs(&values);
        self
    }

    /// Adds `args` and `kwargs` that are encoded already.
    pub fn payload(mut self, arguments: Arguments) -> Self {
        self.arguments.payload(arguments);
        self
    }

    /// Waits until the router has taken the event, and returns its id.
    pub fn acknowledge(mut self) -> Self {
        self.acknowledge = true;
        self
    }

    /// With `false` this client receives the event too, where it is subscribed.
    pub fn exclude_me(mut self, exclude: bool) -> Self {
        self.exclude_me = exclude;
        self
    }

    /// Lets subscribers know who publishes.
    pub fn disclose_me(mut self) -> Self {
        self.disclose_me = true;
        self
    }

    /// Has the router keep the event for those who subscribe later and ask for it.
    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Only these sessions receive the event.
    pub fn eligible(mut self, sessions: impl IntoIterator<Item = SessionId>) -> Self {
        self.receivers.eligible = Some(sessions.into_iter().collect());
        self
    }

    /// Only sessions of these authids receive the event.
    pub fn eligible_authid<I: Into<String>>(mut self, authids: impl IntoIterator<Item = I>) -> Self {
        self.receivers.eligible_authid = Some(authids.into_iter().map(Into::into).collect());
        self
    }

    /// Only sessions of these authroles receive the event.
    pub fn eligible_authrole<I: Into<String>>(mut self, authroles: impl IntoIterator<Item = I>) -> Self {
        self.receivers.eligible_authrole = Some(authroles.into_iter().map(Into::into).collect());
        self
    }

    /// These sessions do not receive the event.
    pub fn exclude(mut self, sessions: impl IntoIterator<Item = SessionId>) -> Self {
        self.receivers.exclude = Some(sessions.into_iter().collect());
        self
    }

    /// Sessions of these authids do not receive the event.
    pub fn exclude_authid<I: Into<String>>(mut self, authids: impl IntoIterator<Item = I>) -> Self {
        self.receivers.exclude_authid = Some(authids.into_iter().map(Into::into).collect());
        self
    }

    /// Sessions of these authroles do not receive the event.
    pub fn exclude_authrole<I: Into<String>>(mut self, authroles: impl IntoIterator<Item = I>) -> Self {
        self.receivers.exclude_authrole = Some(authroles.into_iter().map(Into::into).collect());
        self
    }

    /// Adds an option that has no method here, such as `x_*`, which the router passes on to subscribers.
    pub fn option<A: Serialize>(mut self, key: &str, value: A) -> Self {
        if let Err(error) = self.attributes.insert(key, &value) {
            self.attributes_error.get_or_insert(error);
        }
        self
    }

    async fn run(self) -> Result<Option<PublicationId>, PublishError> {
        if let Some(error) = self.attributes_error {
            return Err(SendError::from(error).into());
        }
        let event = OutgoingEvent {
            topic: self.topic,
            arguments: self.arguments.finish().map_err(SendError::from)?,
            acknowledge: self.acknowledge,
            exclude_me: self.exclude_me,
            disclose_me: self.disclose_me,
            retain: self.retain,
            receivers: self.receivers,
            attributes: self.attributes,
        };
        match self.client.shared().begin(|session| session.publish(&event)).await? {
            None => Ok(None),
            // The session answers every request that it forgets.
            Some(acknowledgement) => acknowledgement.await.unwrap_or(Err(PublishError::Closed)).map(Some),
        }
    }
}

impl IntoFuture for Publish {
    type Output = Result<Option<PublicationId>, PublishError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
