//! Retained events: for each topic the newest event that anybody may receive, and newer restricted ones.
//!
//! Specification: Advanced Profile, "Event Retention". Under realm control.

use std::collections::BTreeMap;
use std::ops::Bound;

use bondy_wamp::id::PublicationId;
use bondy_wamp::message::{Attributes, Event, EventDetails, Identity, Receivers};
use bondy_wamp::payload::StoredPayload;
use bondy_wamp::serializer::Serializer;
use bondy_wamp::uri::MatchPolicy;

use crate::broker::{Publication, admits};
use crate::config::Limits;
use crate::session::{Refusal, Session};

/// The most events retained for one topic.
const EVENTS_PER_TOPIC_MAX: usize = 16;

/// One retained event.
#[derive(Debug)]
pub(crate) struct Retained {
    publication: PublicationId,
    publisher: Option<Identity<'static>>,
    trust_level: Option<u64>,
    receivers: Option<Box<Receivers>>,
    attributes: StoredAttributes,
    payload: StoredPayload,
}

/// Attributes of their own.
#[derive(Clone, Debug)]
pub(crate) struct StoredAttributes {
    serializer: Serializer,
    entries: Vec<(Box<str>, Box<[u8]>)>,
}

impl StoredAttributes {
    pub(crate) fn new(attributes: &Attributes<'_>) -> Self {
        let entries =
            attributes.entries.iter().map(|(key, value)| ((&**key).into(), (*value).into())).collect();
        Self { serializer: attributes.serializer, entries }
    }

    pub(crate) fn as_attributes(&self) -> Attributes<'_> {
        let entries = self.entries.iter().map(|(key, value)| ((&**key).into(), &**value)).collect();
        Attributes { serializer: self.serializer, entries }
    }

    /// Bytes held, about.
    pub(crate) fn len(&self) -> usize {
        self.entries.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

impl Retained {
    pub(crate) fn new(publication: &Publication<'_>) -> Self {
        Self {
            publication: publication.id,
            publisher: publication.publisher.clone(),
            trust_level: publication.trust_level,
            receivers: publication.receivers.as_ref().map(|receivers| Box::new((**receivers).clone())),
            attributes: StoredAttributes::new(&publication.content.attributes()),
            payload: publication.content.payload().to_stored(),
        }
    }

    pub(crate) fn event<'a>(&'a self, topic: Option<&'a &'a str>) -> Event<'a> {
        Event {
            subscription: Default::default(),
            publication: self.publication,
            details: EventDetails {
                topic: topic.map(|topic| (*topic).into()),
                publisher: self.publisher.clone(),
                trustlevel: self.trust_level,
                retained: true,
                dropped: 0,
                attributes: self.attributes.as_attributes(),
            },
            payload: self.payload.as_payload(),
        }
    }

    fn bytes(&self) -> usize {
        EVENT_OVERHEAD_BYTES + self.payload.len() + self.attributes.len()
    }

    fn is_for(&self, session: &Session) -> bool {
        use bondy_wamp::feature::Feature::SubscriberPassthru;
        self.receivers.as_deref().is_none_or(|receivers| admits(receivers, session))
            && (!self.attributes.as_attributes().has_passthru() || session.features().has(SubscriberPassthru))
    }
}

/// The retained events of a realm, by topic.
#[derive(Debug, Default)]
pub(crate) struct RetainedEvents {
    /// Oldest first.
    topics: BTreeMap<Box<str>, Vec<Retained>>,
    /// Bytes of all of them, about.
    bytes: usize,
}

/// What a retained event costs besides its bytes, about.
const EVENT_OVERHEAD_BYTES: usize = 256;

impl RetainedEvents {
    /// How many topics have retained events.
    pub(crate) fn len(&self) -> usize {
        self.topics.len()
    }

    /// Keeps an event. One that anybody may receive replaces all before it.
    pub(crate) fn store(&mut self, topic: &str, event: Retained, limits: &Limits) -> Result<(), Refusal> {
        let present = self.topics.get(topic);
        if present.is_none() && self.topics.len() >= limits.retained_max {
            return Err(Refusal::limit("retained_max", limits.retained_max));
        }
        let replaced = match &event.receivers {
            None => present.map_or(0, |events| events.iter().map(Retained::bytes).sum()),
            Some(_) => 0,
        };
        if self.bytes - replaced + event.bytes() > limits.retained_bytes_max {
            return Err(Refusal::limit("retained_bytes_max", limits.retained_bytes_max));
        }
        self.bytes = self.bytes - replaced + event.bytes();
        let events = self.topics.entry(topic.into()).or_default();
        if event.receivers.is_none() {
            events.clear();
        } else if events.len() == EVENTS_PER_TOPIC_MAX {
            // The oldest restricted one goes; the unrestricted one stays first.
            let oldest = usize::from(events.first().is_some_and(|first| first.receivers.is_none()));
            self.bytes -= events.remove(oldest).bytes();
        }
        events.push(event);
        Ok(())
    }

    /// What a session gets that subscribes: for each matching topic the newest event that it may receive.
    pub(crate) fn matching(
        &self,
        pattern: &str,
        policy: MatchPolicy,
        session: &Session,
    ) -> Vec<(&str, &Retained)> {
        let newest = |events: &Vec<Retained>| events.iter().rposition(|event| event.is_for(session));
        let in_reach = match policy {
            MatchPolicy::Exact | MatchPolicy::Prefix => pattern,
            MatchPolicy::Wildcard => literal_head(pattern),
        };
        self.topics
            .range::<str, _>((Bound::Included(in_reach), Bound::Unbounded))
            .take_while(|(topic, _)| topic.starts_with(in_reach))
            .filter(|(topic, _)| policy.matches(pattern, topic))
            .filter_map(|(topic, events)| newest(events).map(|index| (&**topic, &events[index])))
            .collect()
    }
}

/// The part of a wildcard pattern before its first empty part.
fn literal_head(pattern: &str) -> &str {
    if pattern.starts_with('.') {
        return "";
    }
    pattern.find("..").map_or(pattern.trim_end_matches('.'), |dots| &pattern[..dots])
}
