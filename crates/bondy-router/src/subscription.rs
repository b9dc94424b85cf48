//! A subscription: one topic or pattern, and the sessions that receive what matches it.

use bondy_wamp::id::SubscriptionId;
use bondy_wamp::uri::MatchPolicy;

use crate::registry::{Entry, Members};
use crate::roster::{Member, Roster};
use crate::session::Session;
use crate::slot::Slot;
use crate::sync::{Arc, AtomicU64, Ordering};

/// One subscription of a realm.
#[derive(Debug)]
pub(crate) struct Subscription {
    id: SubscriptionId,
    uri: Box<str>,
    match_policy: MatchPolicy,
    created_unix_us: u64,
    subscribers: Roster<Subscriber>,
    pub(crate) stats: SubscriptionStats,
}

/// What a subscription has carried. Shared between workers: a hint for people, not part of the protocol.
#[derive(Debug, Default)]
pub(crate) struct SubscriptionStats {
    pub(crate) events: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

/// One session's place in a subscription.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    pub(crate) session: Arc<Session>,
    pub(crate) slot: Arc<Slot>,
}

impl Member for Subscriber {
    fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl Subscription {
    pub(crate) fn new(id: u64, uri: &str, match_policy: MatchPolicy, created_unix_us: u64) -> Self {
        Self {
            id: SubscriptionId(id),
            uri: uri.into(),
            match_policy,
            created_unix_us,
            subscribers: Roster::default(),
            stats: SubscriptionStats::default(),
        }
    }

    pub(crate) fn subscription_id(&self) -> SubscriptionId {
        self.id
    }

    pub(crate) fn created_unix_us(&self) -> u64 {
        self.created_unix_us
    }

    pub(crate) fn subscribers(&self) -> Arc<Members<Subscriber>> {
        self.subscribers.load()
    }

    /// Under control. Returns the chunk that the subscriber went into.
    pub(crate) fn add(&self, subscriber: Subscriber) -> u64 {
        self.subscribers.add(subscriber)
    }

    /// Under control. Returns how many are left.
    pub(crate) fn remove(&self, chunk: u64, slot: &Arc<Slot>) -> usize {
        self.subscribers.remove(chunk, slot)
    }

    pub(crate) fn count_events(&self, events: u64) {
        self.stats.events.fetch_add(events, Ordering::Relaxed);
    }
}

impl Entry for Subscription {
    fn id(&self) -> u64 {
        self.id.0
    }

    fn uri(&self) -> &str {
        &self.uri
    }

    fn match_policy(&self) -> MatchPolicy {
        self.match_policy
    }
}
