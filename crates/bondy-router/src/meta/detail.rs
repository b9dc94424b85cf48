//! What the meta API tells of sessions, registrations, subscriptions and kept events.

use std::collections::BTreeMap;

use bondy_wamp::id::SubscriptionId;
use bondy_wamp::uri::MatchPolicy;
use bondy_wamp::value::Value;

use crate::history::KeptEvent;
use crate::registration::Registration;
use crate::registry::{Entry, Registry};
use crate::session::Session;
use crate::subscription::Subscription;
use crate::sync::{Arc, Ordering};
use crate::turn::Turn;

pub(super) fn timestamp(unix_us: u64) -> Value {
    let time = i64::try_from(unix_us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    time.map_or(Value::Null, |time| format!("{time:.6}").as_str().into())
}

pub(super) fn ids(ids: impl IntoIterator<Item = u64>) -> Value {
    Value::List(ids.into_iter().map(Value::from).collect())
}

pub(super) fn session_details(session: &Session) -> Value {
    let identity = session.identity();
    let mut details: BTreeMap<String, Value> = [
        ("authid", (&*identity.authid).into()),
        ("authmethod", (&*identity.authmethod).into()),
        ("authprovider", (&*identity.authprovider).into()),
        ("authrole", (&*identity.authrole).into()),
        ("session", session.id().0.into()),
    ]
    .into_iter()
    .map(|(key, value): (&str, Value)| (key.to_owned(), value))
    .collect();
    let transport = session.link().describe();
    if transport != Value::Null {
        details.insert("transport".to_owned(), transport);
    }
    Value::Dict(details)
}

/// Messages, bytes, queue, drops, and the mean rates since the session joined.
pub(super) fn session_stats(session: &Session, turn: &Turn) -> Value {
    let (messages_received, bytes_received) = session.received();
    let state = session.lock();
    let (messages_sent, bytes_sent) = state.sent();
    let (queue_bytes, dropped) = (state.outbox.pending_bytes() as u64, state.dropped_events());
    let (calls, invocations) = state.pending();
    drop(state);
    // A rate over less than a second would say nothing.
    let elapsed_ns = turn.now.monotonic_ns.saturating_sub(session.joined().monotonic_ns).max(1_000_000_000);
    let per_second =
        |count: u64| Value::Float((count as f64 * 1e9 / elapsed_ns as f64 * 1000.0).round() / 1000.0);
    [
        ("bytes_received", bytes_received.into()),
        ("bytes_sent", bytes_sent.into()),
        ("calls_pending", (calls as u64).into()),
        ("events_dropped", dropped.into()),
        ("invocations_pending", (invocations as u64).into()),
        ("joined", timestamp(session.joined().unix_us)),
        ("messages_received", messages_received.into()),
        ("messages_received_per_s", per_second(messages_received)),
        ("messages_sent", messages_sent.into()),
        ("messages_sent_per_s", per_second(messages_sent)),
        ("queue_bytes", queue_bytes.into()),
    ]
    .into()
}

pub(super) fn registration_details(registration: &Registration) -> Value {
    let count = |counter: &crate::sync::AtomicU64| Value::from(counter.load(Ordering::Relaxed));
    let running: u64 = registration.callees().iter().map(|callee| u64::from(callee.slot.running())).sum();
    let stats = [
        ("callees", (registration.callees().len() as u64).into()),
        ("errors", count(&registration.stats.errors)),
        ("invocations", count(&registration.stats.invocations)),
        ("invocations_running", running.into()),
    ];
    [
        ("_stats", stats.into()),
        ("created", timestamp(registration.created_unix_us())),
        ("id", registration.id().into()),
        ("invoke", registration.invoke().as_str().into()),
        ("match", registration.match_policy().as_str().into()),
        ("uri", registration.uri().into()),
    ]
    .into()
}

pub(super) fn subscription_details(subscription: &Subscription) -> Value {
    let stats = [
        ("events", subscription.stats.events.load(Ordering::Relaxed).into()),
        ("events_dropped", subscription.stats.dropped.load(Ordering::Relaxed).into()),
        ("subscribers", (subscription.subscribers().len() as u64).into()),
    ];
    [
        ("_stats", stats.into()),
        ("created", timestamp(subscription.created_unix_us())),
        ("id", subscription.id().into()),
        ("match", subscription.match_policy().as_str().into()),
        ("uri", subscription.uri().into()),
    ]
    .into()
}

/// Without what changes with every look.
pub(super) fn without_stats(mut details: Value) -> Value {
    if let Value::Dict(entries) = &mut details {
        entries.remove("_stats");
    }
    details
}

pub(super) fn list_entries<E: Entry>(registry: &Registry<E>) -> Value {
    let of =
        |policy| ids(registry.iter().filter(|entry| entry.match_policy() == policy).map(|entry| entry.id()));
    [
        ("exact", of(MatchPolicy::Exact)),
        ("prefix", of(MatchPolicy::Prefix)),
        ("wildcard", of(MatchPolicy::Wildcard)),
    ]
    .into()
}

pub(super) fn id_or_null<E: Entry>(entry: Option<&Arc<E>>) -> Value {
    entry.map_or(Value::Null, |entry| entry.id().into())
}

pub(super) fn kept_event(event: &KeptEvent, subscription: SubscriptionId) -> Value {
    let decoded = |bytes: &[u8]| {
        if bytes.is_empty() {
            Value::Null
        } else {
            Value::decode(event.payload.as_payload().serializer, bytes).unwrap_or_default()
        }
    };
    let mut details: BTreeMap<String, Value> = BTreeMap::from([("topic".to_owned(), (&*event.topic).into())]);
    if let Some(publisher) = &event.publisher {
        details.insert("publisher".to_owned(), publisher.session.0.into());
        details.insert("publisher_authid".to_owned(), (&*publisher.authid).into());
        details.insert("publisher_authrole".to_owned(), (&*publisher.authrole).into());
    }
    if let Some(trust_level) = event.trust_level {
        details.insert("trustlevel".to_owned(), trust_level.into());
    }
    for (key, value) in &event.attributes().entries {
        details.insert(key.clone().into_owned(), decoded(value));
    }
    let mut entries: BTreeMap<String, Value> = [
        ("details", Value::Dict(details)),
        ("publication", event.publication.0.into()),
        ("subscription", subscription.0.into()),
        ("timestamp", timestamp(event.unix_us)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    let payload = event.payload.as_payload();
    for (key, part) in [("args", payload.args), ("kwargs", payload.kwargs)] {
        if !part.is_empty() {
            entries.insert(key.to_owned(), decoded(part));
        }
    }
    Value::Dict(entries)
}
