//! Subscriptions as streams of events.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bondy_wamp::id::PublicationId;
use bondy_wamp::message;
use bondy_wamp::payload::Payload;
use bondy_wamp::uri::MatchPolicy;
use bondy_wamp::value::Value;
use futures_core::Stream;
use serde::de::DeserializeOwned;

use crate::arguments::{Arguments, Details};
use crate::client::Client;
use crate::connection::WhyEnded;
use crate::error::{DecodeError, SubscribeError, WampError};
use crate::identity::Identity;
use crate::queue::Queue;
use crate::session::{NewSubscription, SubscriberToken};

/// Events that a stream holds unless it is told otherwise. When it is full the oldest go, see [`Event::dropped`].
pub const QUEUE_DEFAULT: usize = 1024;
/// Their bytes, whatever their number; one event always fits.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An event.
#[derive(Clone, Debug)]
pub struct Event {
    body: Arc<Body>,
    dropped: u64,
}

#[derive(Debug)]
struct Body {
    topic: Arc<str>,
    publication: PublicationId,
    publisher: Option<Identity>,
    trustlevel: Option<u64>,
    retained: bool,
    details: Details,
    arguments: Arguments,
}

impl Event {
    pub(crate) fn received(message: &message::Event<'_>, subscribed: &Arc<str>) -> Self {
        let details = &message.details;
        let topic = match &details.topic {
            Some(topic) => Arc::from(&**topic),
            None => Arc::clone(subscribed),
        };
        let body = Body {
            topic,
            publication: message.publication,
            publisher: details.publisher.as_ref().map(Identity::of),
            trustlevel: details.trustlevel,
            retained: details.retained,
            details: Details::of(&details.attributes),
            arguments: Arguments::received(message.payload),
        };
        Self { body: Arc::new(body), dropped: 0 }
    }

    /// The topic; for a pattern the one that matched it.
    pub fn topic(&self) -> &str {
        &self.body.topic
    }

    /// The id of the publication.
    pub fn publication(&self) -> PublicationId {
        self.body.publication
    }

    /// Who published, where that is disclosed.
    pub fn publisher(&self) -> Option<&Identity> {
        self.body.publisher.as_ref()
    }

    /// The publisher's trust level, where the router gives one.
    pub fn trustlevel(&self) -> Option<u64> {
        self.body.trustlevel
    }

    /// Was the event kept by the router and delivered late?
    pub fn is_retained(&self) -> bool {
        self.body.retained
    }

    /// What the publisher passed on besides.
    pub fn details(&self) -> &Details {
        &self.body.details
    }

    /// How many events this stream lost between the one before and this one: dropped by the router because the
    /// connection was too slow, or here because the stream was not read.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// `args` and `kwargs`.
    pub fn arguments(&self) -> &Arguments {
        &self.body.arguments
    }

    /// The encoded parts.
    pub fn payload(&self) -> Payload<'_> {
        self.body.arguments.payload()
    }

    /// The positional arguments, see [`Arguments::args`].
    ///
    /// # Errors
    /// They are not what `T` is made of.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.body.arguments.args()
    }

    /// The keyword arguments, see [`Arguments::kwargs`].
    ///
    /// # Errors
    /// They are not what `T` is made of.
    pub fn kwargs<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.body.arguments.kwargs()
    }

    /// The whole as one value, see [`Arguments::decode`].
    ///
    /// # Errors
    /// The arguments are not what `T` is made of.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.body.arguments.decode()
    }

    /// `args` and `kwargs` as trees, see [`Arguments::to_value`].
    ///
    /// # Errors
    /// The bytes are not well-formed, which what a router sent never is.
    pub fn to_value(&self) -> Result<(Value, Value), DecodeError> {
        self.body.arguments.to_value()
    }
}

/// The queue between the session and one stream.
#[derive(Debug)]
pub(crate) struct EventQueue {
    events: Queue<Event>,
    ended: OnceLock<WhyEnded>,
}

impl EventQueue {
    pub(crate) fn new(events_max: usize) -> Self {
        Self { events: Queue::new(events_max, QUEUE_BYTES_MAX), ended: OnceLock::new() }
    }

    /// Appends; true if an event was lost for it.
    pub(crate) fn push(&self, event: Event, bytes: usize, lost_before: u64) -> bool {
        self.events.push_newest(event, bytes, lost_before)
    }

    /// Nothing more comes, for this reason.
    pub(crate) fn end(&self, why: WhyEnded) {
        // The first reason counts.
        let _ = self.ended.set(why);
        self.events.end();
    }
}

/// A subscription that is being put together. Awaiting it asks the router for it.
#[must_use = "a subscription is asked for when it is awaited"]
#[derive(Debug)]
pub struct Subscribe {
    client: Client,
    topic: String,
    match_policy: MatchPolicy,
    get_retained: bool,
    events_max: usize,
}

impl Subscribe {
    pub(crate) fn new(client: Client, topic: String) -> Self {
        let match_policy = MatchPolicy::Exact;
        Self { client, topic, match_policy, get_retained: false, events_max: QUEUE_DEFAULT }
    }

    /// How the topic is matched: exactly, unless this is called.
    pub fn match_policy(mut self, policy: MatchPolicy) -> Self {
        self.match_policy = policy;
        self
    }

    /// Asks for the event that the topic's last publisher had the router retain. After a lost connection it is asked
    /// for again; one that this stream had already, among its newest 4,096, is not delivered twice.
    pub fn get_retained(mut self) -> Self {
        self.get_retained = true;
        self
    }

    /// How many events the stream holds, at least 1; 1,024 unless this is called. When it is full the oldest go.
    pub fn queue(mut self, events: usize) -> Self {
        self.events_max = events;
        self
    }

    async fn run(self) -> Result<Subscription, SubscribeError> {
        let queue = Arc::new(EventQueue::new(self.events_max));
        let new = NewSubscription {
            topic: self.topic.into(),
            match_policy: self.match_policy,
            get_retained: self.get_retained,
            queue: Arc::clone(&queue),
        };
        let (token, confirmation) = self.client.shared().begin(|session| session.subscribe(&new)).await?;
        // From here on, dropping takes the subscription back.
        let subscription = Subscription { client: self.client, topic: new.topic, token: Some(token), queue };
        match confirmation {
            None => Ok(subscription),
            // The session answers every request that it forgets.
            Some(confirmation) => {
                confirmation.await.unwrap_or(Err(SubscribeError::Closed)).map(|()| subscription)
            }
        }
    }
}

impl IntoFuture for Subscribe {
    type Output = Result<Subscription, SubscribeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// A stream of events. Dropping it unsubscribes, once no other stream of this client reads the same topic.
///
/// It outlives lost connections: [`ConnectionEvent::Restored`](crate::ConnectionEvent::Restored) says what it missed.
/// It ends when the router revokes the subscription, or the client is closed.
#[must_use = "dropping a subscription unsubscribes"]
#[derive(Debug)]
pub struct Subscription {
    client: Client,
    topic: Arc<str>,
    token: Option<SubscriberToken>,
    queue: Arc<EventQueue>,
}

impl Subscription {
    /// The topic or pattern.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The next event; `None` after the end.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Why the stream ends, if it does. Events that came before can still be read.
    pub fn ended(&self) -> Option<&WhyEnded> {
        self.queue.ended.get()
    }

    /// Unsubscribes and waits for the router's answer.
    ///
    /// # Errors
    /// The router answered with ERROR: it did not know the subscription any more.
    pub async fn unsubscribe(mut self) -> Result<(), WampError> {
        match self.leave() {
            // Without a connection there is no subscription.
            Some(answer) => answer.await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }

    fn leave(&mut self) -> Option<tokio::sync::oneshot::Receiver<Result<(), WampError>>> {
        let token = self.token.take()?;
        self.client.shared().with(|session| session.unsubscribe(token))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.queue
            .events
            .poll_next(context)
            .map(|taken| taken.map(|taken| Event { dropped: taken.lost, ..taken.item }))
    }
}

impl Stream for Subscription {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.leave();
    }
}
