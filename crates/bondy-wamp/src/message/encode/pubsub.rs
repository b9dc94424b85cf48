//! The messages of publishers and subscribers.

use super::{
    Encoded, count, encode_revocation, flag_entry, list_entry, match_entry, non_zero, number_entry,
    text_entry,
};
use crate::id::SessionId;
use crate::message::{
    Event, EventDetails, Identity, Publish, PublishOptions, Published, Receivers, Subscribe,
    SubscribeOptions, Subscribed, Unsubscribe, Unsubscribed,
};
use crate::serializer::Encoder;

impl Publish<'_> {
    /// How many elements the whole message has.
    pub fn elements(&self) -> usize {
        4 + self.payload.elements()
    }

    /// Appends everything behind the request id, to the end of the list.
    ///
    /// # Errors
    /// As [`Message::encode`](crate::message::Message::encode), but what was appended until then stays.
    pub fn encode_tail(&self, encoder: &mut Encoder<'_>) -> Encoded {
        self.options.encode(encoder)?;
        encoder.string(&self.topic);
        self.payload.encode(encoder)?;
        encoder.end_list();
        Ok(())
    }
}

impl PublishOptions<'_> {
    fn encode(&self, encoder: &mut Encoder<'_>) -> Encoded {
        let flags = count([self.acknowledge, !self.exclude_me, self.disclose_me, self.retain]);
        let lists = self.receivers.as_ref().map_or(0, |receivers| receivers.entries());
        encoder.begin_dict(flags + lists + self.attributes.entries.len());
        flag_entry(encoder, "acknowledge", self.acknowledge);
        if !self.exclude_me {
            encoder.key("exclude_me");
            encoder.bool(false);
        }
        flag_entry(encoder, "disclose_me", self.disclose_me);
        flag_entry(encoder, "retain", self.retain);
        if let Some(receivers) = &self.receivers {
            receivers.encode(encoder);
        }
        self.attributes.encode(encoder)?;
        encoder.end_dict();
        Ok(())
    }
}

impl Receivers {
    fn sessions(&self) -> [(&'static str, Option<&[SessionId]>); 2] {
        [("exclude", self.exclude.as_deref()), ("eligible", self.eligible.as_deref())]
    }

    fn texts(&self) -> [(&'static str, Option<&[String]>); 4] {
        [
            ("exclude_authid", self.exclude_authid.as_deref()),
            ("exclude_authrole", self.exclude_authrole.as_deref()),
            ("eligible_authid", self.eligible_authid.as_deref()),
            ("eligible_authrole", self.eligible_authrole.as_deref()),
        ]
    }

    fn entries(&self) -> usize {
        count(self.sessions().map(|(_, list)| list.is_some()))
            + count(self.texts().map(|(_, list)| list.is_some()))
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        for (key, list) in self.sessions() {
            list_entry(encoder, key, list, |encoder, session| encoder.unsigned(session.0));
        }
        for (key, list) in self.texts() {
            list_entry(encoder, key, list, |encoder, text| encoder.string(text));
        }
    }
}

impl Published {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        encoder.unsigned(self.publication.0);
        encoder.end_list();
    }
}

impl Subscribe<'_> {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        self.options.encode(encoder);
        encoder.string(&self.topic);
        encoder.end_list();
    }
}

impl SubscribeOptions {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        let policy = match_entry(self.match_policy);
        encoder.begin_dict(count([policy.is_some(), self.get_retained]));
        text_entry(encoder, "match", policy);
        flag_entry(encoder, "get_retained", self.get_retained);
        encoder.end_dict();
    }
}

impl Subscribed {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        encoder.unsigned(self.subscription.0);
        encoder.end_list();
    }
}

impl Unsubscribe {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        encoder.unsigned(self.subscription.0);
        encoder.end_list();
    }
}

impl Unsubscribed {
    pub(super) fn elements(&self) -> usize {
        2 + usize::from(self.revoked.is_some())
    }

    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        if let Some((subscription, reason)) = &self.revoked {
            encode_revocation("subscription", subscription.0, reason, encoder);
        }
        encoder.end_list();
    }
}

impl Event<'_> {
    /// How many elements the whole message has.
    pub fn elements(&self) -> usize {
        4 + self.payload.elements()
    }

    /// Appends everything behind the subscription id, to the end of the list.
    ///
    /// # Errors
    /// As [`Message::encode`](crate::message::Message::encode), but what was appended until then stays.
    pub fn encode_tail(&self, encoder: &mut Encoder<'_>) -> Encoded {
        encoder.unsigned(self.publication.0);
        self.details.encode(encoder)?;
        self.payload.encode(encoder)?;
        encoder.end_list();
        Ok(())
    }
}

impl EventDetails<'_> {
    fn encode(&self, encoder: &mut Encoder<'_>) -> Encoded {
        let optional = [self.topic.is_some(), self.trustlevel.is_some(), self.retained, self.dropped != 0];
        let publisher = self.publisher.as_ref().map_or(0, Identity::entries);
        encoder.begin_dict(count(optional) + publisher + self.attributes.entries.len());
        text_entry(encoder, "topic", self.topic.as_deref());
        if let Some(publisher) = &self.publisher {
            publisher.encode(["publisher", "publisher_authid", "publisher_authrole"], encoder);
        }
        number_entry(encoder, "trustlevel", self.trustlevel);
        flag_entry(encoder, "retained", self.retained);
        number_entry(encoder, "_dropped", non_zero(self.dropped));
        self.attributes.encode(encoder)?;
        encoder.end_dict();
        Ok(())
    }
}
