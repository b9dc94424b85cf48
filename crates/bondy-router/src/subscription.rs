//! A subscription: one topic or pattern, and the sessions that receive what matches it.

use arc_swap::ArcSwap;
use bondy_wamp::id::SubscriptionId;
use bondy_wamp::uri::MatchPolicy;

use crate::registry::{Entry, Members};
use crate::session::{Session, Slot};
use crate::sync::{Arc, AtomicU64, Ordering, step};

/// One subscription of a realm.
#[derive(Debug)]
pub(crate) struct Subscription {
    id: SubscriptionId,
    uri: Box<str>,
    match_policy: MatchPolicy,
    created_unix_us: u64,
    subscribers: ArcSwap<Members<Subscriber>>,
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

impl Subscription {
    pub(crate) fn new(id: u64, uri: &str, match_policy: MatchPolicy, created_unix_us: u64) -> Self {
        Self {
            id: SubscriptionId(id),
            uri: uri.into(),
            match_policy,
            created_unix_us,
            subscribers: ArcSwap::default(),
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
        step();
        self.subscribers.load_full()
    }

    /// Under control. Returns the chunk that the subscriber went into.
    pub(crate) fn add(&self, subscriber: Subscriber) -> u64 {
        step();
        let (members, chunk) = self.subscribers.load().with(subscriber);
        self.subscribers.store(Arc::new(members));
        chunk
    }

    /// Under control. Returns how many are left.
    pub(crate) fn remove(&self, chunk: u64, slot: &Arc<Slot>) -> usize {
        step();
        let members =
            self.subscribers.load().without(chunk, |subscriber| Arc::ptr_eq(&subscriber.slot, slot));
        let left = members.len();
        self.subscribers.store(Arc::new(members));
        left
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
