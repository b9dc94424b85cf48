//! Publications, and what becomes of an EVENT.

use std::time::Instant;

use bondy_wamp::message::{self, Message, MessageType, PublishOptions, Published, Receivers};
use tokio::sync::oneshot;

use super::request::Request;
use super::{Refusal, Session, Violation};
use crate::arguments::{Arguments, Details};
use crate::connection::ConnectionEvent;
use crate::error::PublishError;
use crate::subscribe::Event;

/// An event as it is sent.
#[derive(Debug)]
pub(crate) struct OutgoingEvent {
    pub(crate) topic: String,
    pub(crate) arguments: Arguments,
    pub(crate) acknowledge: bool,
    pub(crate) exclude_me: bool,
    pub(crate) disclose_me: bool,
    pub(crate) retain: bool,
    pub(crate) receivers: Receivers,
    /// What is passed on to subscribers.
    pub(crate) attributes: Details,
}

#[cfg(test)]
impl OutgoingEvent {
    /// An event with so many bytes of text.
    pub(crate) fn of_bytes(bytes: usize) -> Self {
        Self {
            topic: "com.example.topic".to_owned(),
            arguments: Arguments::of(&"x".repeat(bytes)).expect("text can be encoded"),
            acknowledge: false,
            exclude_me: true,
            disclose_me: false,
            retain: false,
            receivers: Receivers::default(),
            attributes: Details::new(bondy_wamp::serializer::Serializer::Json),
        }
    }
}

/// What comes back for an acknowledged publication.
pub(crate) type Acknowledgement = oneshot::Receiver<Result<bondy_wamp::id::PublicationId, PublishError>>;

impl Session {
    /// Sends PUBLISH. Where an acknowledgement is asked for, it comes through the receiver.
    pub(crate) fn publish(&mut self, event: &OutgoingEvent) -> Result<Option<Acknowledgement>, Refusal> {
        self.check_ready()?;
        self.check_requests()?;
        let request = self.request_with(|session, request| {
            let receivers = &event.receivers;
            let options = PublishOptions {
                acknowledge: event.acknowledge,
                exclude_me: event.exclude_me,
                disclose_me: event.disclose_me,
                retain: event.retain,
                receivers: (*receivers != Receivers::default()).then(|| Box::new(receivers.clone())),
                attributes: event.attributes.attributes(),
            };
            let (topic, payload) = ((&*event.topic).into(), event.arguments.payload());
            session.try_send(&Message::Publish(message::Publish { request, options, topic, payload }))
        })?;
        if !event.acknowledge {
            return Ok(None);
        }
        let (sender, receiver) = oneshot::channel();
        self.requests.insert(request, Request::Publish(sender));
        Ok(Some(receiver))
    }

    pub(super) fn handle_published(&mut self, published: Published) -> Result<(), Violation> {
        if let Some(Request::Publish(sender)) = self.take_request(published.request, MessageType::Publish)? {
            // Who asked may be gone.
            let _ = sender.send(Ok(published.publication));
        }
        Ok(())
    }

    pub(super) fn handle_event(&mut self, message: &message::Event<'_>, bytes: usize, now: Instant) {
        // An event that was on its way while UNSUBSCRIBE was.
        let Some(topic) = self.topics.by_subscription(message.subscription) else { return };
        let event = Event::received(message, topic.uri());
        let is_slow = topic.deliver(&event, bytes, message.details.dropped, now);
        if is_slow {
            let topic = topic.uri().to_string();
            self.tell(&ConnectionEvent::SlowSubscription { topic });
        }
    }
}
