//! Event history: what was published to certain topics, kept in bounded memory from start-up on.
//!
//! Specification: Advanced Profile, "Event History". Each rule of the realm's configuration has a ring of its own
//! behind a leaf lock that is taken alone. Events restricted to or from single sessions are not kept; restrictions by
//! authid and authrole are applied again to whoever asks.

use std::collections::VecDeque;

use bondy_wamp::id::{PublicationId, SubscriptionId};
use bondy_wamp::message::{Attributes, Identity, Receivers};
use bondy_wamp::payload::StoredPayload;
use bondy_wamp::uri::MatchPolicy;

use crate::broker::{Publication, admits};
use crate::config::{HistoryRule, RealmConfig};
use crate::retained::StoredAttributes;
use crate::session::Session;
use crate::sync::{Arc, AtomicU64, Lock, Ordering};
use crate::turn::Now;

/// What an event costs besides its bytes, about.
const EVENT_OVERHEAD_BYTES: usize = 256;

/// The histories of a realm.
#[derive(Debug)]
pub struct Histories {
    rings: Vec<Ring>,
    last_number: AtomicU64,
    /// The share of each ring, so that one busy topic does not push out the others.
    ring_bytes_max: usize,
}

#[derive(Debug)]
struct Ring {
    rule: HistoryRule,
    kept: Lock<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Arc<KeptEvent>>,
    bytes: usize,
}

/// One event as it was published.
#[derive(Debug)]
pub(crate) struct KeptEvent {
    /// In the order in which events were kept: many come within one microsecond.
    number: u64,
    pub(crate) unix_us: u64,
    monotonic_ns: u64,
    pub(crate) publication: PublicationId,
    pub(crate) topic: Box<str>,
    pub(crate) publisher: Option<Identity<'static>>,
    pub(crate) trust_level: Option<u64>,
    receivers: Option<Receivers>,
    attributes: StoredAttributes,
    pub(crate) payload: StoredPayload,
}

impl KeptEvent {
    fn new(number: u64, publication: &Publication<'_>, now: Now) -> Self {
        Self {
            number,
            unix_us: now.unix_us,
            monotonic_ns: now.monotonic_ns,
            publication: publication.id,
            topic: (&*publication.topic).into(),
            publisher: publication.publisher.clone(),
            trust_level: publication.trust_level,
            receivers: publication.receivers.as_deref().cloned(),
            attributes: StoredAttributes::new(&publication.content.attributes()),
            payload: publication.content.payload().to_stored(),
        }
    }

    fn bytes(&self) -> usize {
        EVENT_OVERHEAD_BYTES + self.topic.len() + self.payload.len() + self.attributes.len()
    }

    pub(crate) fn attributes(&self) -> Attributes<'_> {
        self.attributes.as_attributes()
    }

    fn is_for(&self, session: &Session) -> bool {
        self.receivers.as_ref().is_none_or(|receivers| admits(receivers, session))
    }
}

impl Ring {
    fn has_expired(&self, event: &KeptEvent, now: Now) -> bool {
        let ttl_ns = self.rule.ttl.map_or(u64::MAX, |ttl| u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX));
        event.monotonic_ns.saturating_add(ttl_ns) <= now.monotonic_ns
    }
}

impl Histories {
    pub(crate) fn new(config: &RealmConfig) -> Self {
        let ring = |rule: &HistoryRule| Ring { rule: rule.clone(), kept: Lock::default() };
        Self {
            rings: config.event_history.iter().map(ring).collect(),
            last_number: AtomicU64::new(0),
            ring_bytes_max: config.limits.history_bytes_max / config.event_history.len().max(1),
        }
    }

    /// Keeps an event where a rule asks for it.
    pub(crate) fn record(&self, publication: &Publication<'_>, now: Now) {
        if self.rings.is_empty() || names_sessions(publication.receivers.as_deref()) {
            return;
        }
        let mut kept = None;
        for ring in &self.rings {
            if ring.rule.match_policy.matches(&ring.rule.uri, &publication.topic) {
                let event = kept.get_or_insert_with(|| self.new_event(publication, now));
                self.keep(ring, Arc::clone(event), now);
            }
        }
    }

    fn new_event(&self, publication: &Publication<'_>, now: Now) -> Arc<KeptEvent> {
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        Arc::new(KeptEvent::new(number, publication, now))
    }

    fn keep(&self, ring: &Ring, event: Arc<KeptEvent>, now: Now) {
        let mut kept = ring.kept.lock();
        kept.bytes += event.bytes();
        kept.events.push_back(event);
        while let Some(oldest) = kept.events.front() {
            let is_over = kept.events.len() > ring.rule.limit || kept.bytes > self.ring_bytes_max;
            if !is_over && !ring.has_expired(oldest, now) {
                break;
            }
            kept.bytes -= oldest.bytes();
            kept.events.pop_front();
        }
    }

    /// The kept events that match a topic or pattern and that this session may see, oldest first, each once.
    pub(crate) fn matching(
        &self,
        uri: &str,
        policy: MatchPolicy,
        session: &Session,
        now: Now,
    ) -> Vec<Arc<KeptEvent>> {
        let mut found: Vec<Arc<KeptEvent>> = Vec::new();
        for ring in &self.rings {
            let kept = ring.kept.lock();
            let fits = |event: &&Arc<KeptEvent>| {
                policy.matches(uri, &event.topic) && event.is_for(session) && !ring.has_expired(event, now)
            };
            found.extend(kept.events.iter().filter(fits).map(Arc::clone));
        }
        found.sort_by_key(|event| event.number);
        found.dedup_by_key(|event| event.number);
        found
    }
}

/// Is the event restricted to or from single sessions?
fn names_sessions(receivers: Option<&Receivers>) -> bool {
    receivers.is_some_and(|receivers| receivers.exclude.is_some() || receivers.eligible.is_some())
}

/// Which events of a subscription somebody asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct HistoryQuery {
    pub(crate) subscription: SubscriptionId,
    pub(crate) is_reverse: bool,
    pub(crate) limit: Option<usize>,
    pub(crate) from_us: Option<u64>,
    pub(crate) after_us: Option<u64>,
    pub(crate) before_us: Option<u64>,
    pub(crate) until_us: Option<u64>,
    pub(crate) topic: Option<String>,
    pub(crate) from_publication: Option<PublicationId>,
    pub(crate) after_publication: Option<PublicationId>,
    pub(crate) before_publication: Option<PublicationId>,
    pub(crate) until_publication: Option<PublicationId>,
}

impl HistoryQuery {
    /// Applies the filters to events that stand oldest first.
    pub(crate) fn select(&self, mut events: Vec<Arc<KeptEvent>>) -> Vec<Arc<KeptEvent>> {
        self.cut_by_publication(&mut events);
        events.retain(|event| {
            self.from_us.is_none_or(|from| event.unix_us >= from)
                && self.after_us.is_none_or(|after| event.unix_us > after)
                && self.before_us.is_none_or(|before| event.unix_us < before)
                && self.until_us.is_none_or(|until| event.unix_us <= until)
                && self.topic.as_deref().is_none_or(|topic| topic == &*event.topic)
        });
        if self.is_reverse {
            events.reverse();
        }
        events.truncate(self.limit.unwrap_or(usize::MAX));
        events
    }

    /// A publication that is not there (any more) cuts nothing off.
    fn cut_by_publication(&self, events: &mut Vec<Arc<KeptEvent>>) {
        let position = |events: &[Arc<KeptEvent>], id: Option<PublicationId>| {
            id.and_then(|id| events.iter().position(|event| event.publication == id))
        };
        if let Some(end) = position(events, self.before_publication) {
            events.truncate(end);
        }
        if let Some(last) = position(events, self.until_publication) {
            events.truncate(last + 1);
        }
        if let Some(after) = position(events, self.after_publication) {
            events.drain(..=after);
        }
        if let Some(from) = position(events, self.from_publication) {
            events.drain(..from);
        }
    }
}
