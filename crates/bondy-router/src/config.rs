//! What a realm is told at its creation: policies and limits.

use std::time::Duration;

use bondy_wamp::uri::{MatchPolicy, UriRule};

/// The configuration of one realm.
#[derive(Clone, Debug, Default)]
pub struct RealmConfig {
    /// The realm's URI.
    pub uri: String,
    /// How strictly topics and procedures are checked.
    pub uri_rule: UriRule,
    /// Who may be disclosed to whom.
    pub disclosure: Disclosure,
    /// What is bounded, and at which size.
    pub limits: Limits,
    /// Which events are kept from start-up on.
    pub event_history: Vec<HistoryRule>,
}

/// Whether the identity of callers and publishers is disclosed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disclosure {
    /// Of callers to callees.
    pub caller: DisclosurePolicy,
    /// Of publishers to subscribers.
    pub publisher: DisclosurePolicy,
}

/// When an identity is disclosed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DisclosurePolicy {
    /// When it is asked for (the default).
    #[default]
    Allow,
    /// Never; asking for it is an error.
    Deny,
    /// Always.
    Always,
}

/// Events to be kept: those whose topic matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRule {
    /// The topic or pattern.
    pub uri: String,
    /// How topics are matched.
    pub match_policy: MatchPolicy,
    /// How many events are kept.
    pub limit: usize,
    /// How long an event is kept; `None` for ever (within the limits).
    pub ttl: Option<Duration>,
}

/// The sizes of everything in a realm that clients can make grow. Over a limit: ERROR `bondy.error.limit_exceeded`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions of the realm. The sockets of a process end before that.
    pub sessions_max: usize,
    /// Registrations of one session.
    pub registrations_max: usize,
    /// Subscriptions of one session.
    pub subscriptions_max: usize,
    /// Pending calls of one caller.
    pub calls_max: usize,
    /// Pending invocations of one callee; a callee over it counts as busy.
    pub invocations_max: usize,
    /// Topics with a retained event. Over it PUBLISH with `retain` to a new topic is refused.
    pub retained_max: usize,
    /// Bytes of all retained events. Over it PUBLISH with `retain` is refused.
    pub retained_bytes_max: usize,
    /// Bytes of event history; the oldest events go first.
    pub history_bytes_max: usize,
    /// Bytes of one message that is routed; a larger one is answered with `wamp.error.payload_size_exceeded`.
    pub message_bytes_max: usize,
    /// Testaments of one session.
    pub testaments_max: usize,
    /// Distinct lengths of prefix patterns; each is one probe for a topic that is seen for the first time.
    pub prefix_lengths_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 1_000_000,
            registrations_max: 65_536,
            subscriptions_max: 65_536,
            calls_max: 16_384,
            invocations_max: 65_536,
            retained_max: 65_536,
            retained_bytes_max: 64 * 1024 * 1024,
            history_bytes_max: 64 * 1024 * 1024,
            message_bytes_max: 16 * 1024 * 1024,
            testaments_max: 64,
            prefix_lengths_max: 256,
        }
    }
}
