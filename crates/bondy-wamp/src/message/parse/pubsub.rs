//! The messages of publishers and subscribers.

use super::{Elements, Parsed, PartialIdentity};
use crate::id::{PublicationId, RequestId, SubscriptionId};
use crate::message::entries::Entries;
use crate::message::{
    Event, EventDetails, Publish, PublishOptions, Published, Receivers, Subscribe, SubscribeOptions,
    Subscribed, Unsubscribe, Unsubscribed,
};

impl<'a> Elements<'a> {
    pub(super) fn publish(&mut self) -> Parsed<Publish<'a>> {
        let request = self.request()?;
        let options = self.publish_options()?;
        let topic = self.text("Topic")?;
        let payload = self.payload(request, &options.attributes)?;
        Ok(Publish { request, options, topic, payload })
    }

    pub(super) fn publish_options(&mut self) -> Parsed<PublishOptions<'a>> {
        let mut options = PublishOptions::none(self.decoder.serializer());
        let mut receivers = Receivers::default();
        let mut entries = self.entries("Options")?;
        while let Some(key) = entries.next()? {
            match &*key {
                "acknowledge" => options.acknowledge = entries.flag("acknowledge")?,
                "exclude_me" => options.exclude_me = entries.flag_or("exclude_me", true)?,
                "disclose_me" => options.disclose_me = entries.flag("disclose_me")?,
                "retain" => options.retain = entries.flag("retain")?,
                "exclude" => receivers.exclude = entries.sessions("exclude")?,
                "exclude_authid" => receivers.exclude_authid = entries.texts("exclude_authid")?,
                "exclude_authrole" => receivers.exclude_authrole = entries.texts("exclude_authrole")?,
                "eligible" => receivers.eligible = entries.sessions("eligible")?,
                "eligible_authid" => receivers.eligible_authid = entries.texts("eligible_authid")?,
                "eligible_authrole" => receivers.eligible_authrole = entries.texts("eligible_authrole")?,
                _ => entries.other(key, &mut options.attributes)?,
            }
        }
        if receivers != Receivers::default() {
            options.receivers = Some(Box::new(receivers));
        }
        Ok(options)
    }

    pub(super) fn published(&mut self) -> Parsed<Published> {
        Ok(Published { request: self.request()?, publication: PublicationId(self.id("Publication")?) })
    }

    pub(super) fn subscribe(&mut self) -> Parsed<Subscribe<'a>> {
        let request = self.request()?;
        let mut options = SubscribeOptions::default();
        let mut entries = self.entries("Options")?;
        while let Some(key) = entries.next()? {
            match &*key {
                "match" => options.match_policy = entries.match_policy("match")?.unwrap_or_default(),
                "get_retained" => options.get_retained = entries.flag("get_retained")?,
                other => entries.unused(other)?,
            }
        }
        Ok(Subscribe { request, options, topic: self.text("Topic")? })
    }

    pub(super) fn subscribed(&mut self) -> Parsed<Subscribed> {
        Ok(Subscribed { request: self.request()?, subscription: SubscriptionId(self.id("Subscription")?) })
    }

    pub(super) fn unsubscribe(&mut self) -> Parsed<Unsubscribe> {
        Ok(Unsubscribe { request: self.request()?, subscription: SubscriptionId(self.id("Subscription")?) })
    }

    pub(super) fn unsubscribed(&mut self) -> Parsed<Unsubscribed> {
        let request = self.request_or_0()?;
        let revoked = self.revocation("subscription")?;
        Ok(Unsubscribed { request, revoked: revoked.map(|(id, reason)| (SubscriptionId(id), reason)) })
    }

    /// `{subscription|registration, reason}` of a revocation, if it is there.
    pub(super) fn revocation(&mut self, id_key: &'static str) -> Parsed<Option<(u64, String)>> {
        if !self.more()? {
            return Ok(None);
        }
        let mut entries = Entries::enter(&mut self.decoder, self.message_type, "Details")?;
        let (mut id, mut reason) = (0, String::new());
        while let Some(key) = entries.next()? {
            match &*key {
                "reason" => reason = entries.text("reason")?.unwrap_or_default().into_owned(),
                key if key == id_key => id = entries.number(id_key)?.unwrap_or(0),
                _ => entries.skip()?,
            }
        }
        Ok(Some((id, reason)))
    }

    pub(super) fn event(&mut self) -> Parsed<Event<'a>> {
        let subscription = SubscriptionId(self.id("Subscription")?);
        let publication = PublicationId(self.id("Publication")?);
        let details = self.event_details()?;
        let payload = self.payload(RequestId(0), &details.attributes)?;
        Ok(Event { subscription, publication, details, payload })
    }

    pub(super) fn event_details(&mut self) -> Parsed<EventDetails<'a>> {
        let mut details = EventDetails::none(self.decoder.serializer());
        let mut publisher = PartialIdentity::default();
        let mut entries = self.entries("Details")?;
        while let Some(key) = entries.next()? {
            match &*key {
                "topic" => details.topic = entries.text("topic")?,
                "publisher" => publisher.session = entries.number("publisher")?,
                "publisher_authid" => publisher.authid = entries.text("publisher_authid")?,
                "publisher_authrole" => publisher.authrole = entries.text("publisher_authrole")?,
                "trustlevel" => details.trustlevel = entries.number("trustlevel")?,
                "retained" => details.retained = entries.flag("retained")?,
                "_dropped" => details.dropped = entries.number("_dropped")?.unwrap_or(0),
                _ => entries.other(key, &mut details.attributes)?,
            }
        }
        details.publisher = publisher.complete();
        Ok(details)
    }
}
