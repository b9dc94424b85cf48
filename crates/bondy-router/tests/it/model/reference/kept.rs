//! What is kept of events: for those who subscribe later, and as history.

use bondy_wamp::uri::MatchPolicy;
use bondy_wamp::value::Value;

use super::broker::{Event, is_admitted};
use super::matching::{Policy, Route};
use super::{Dict, Kept, Reference, Retained, any, flag, with_payload};

/// The most retained events of one topic.
const RETAINED_PER_TOPIC_MAX: usize = 16;

const RECEIVER_LISTS: [&str; 6] =
    ["exclude", "exclude_authid", "exclude_authrole", "eligible", "eligible_authid", "eligible_authrole"];

impl Reference {
    pub(super) fn deliver_retained(&mut self, to: u64, id: u64) {
        let route = self.subscription(id);
        let (uri, policy) = (route.uri.clone(), route.policy);
        let mut events = Vec::new();
        for (topic, retained) in self.retained.iter().filter(|(topic, _)| policy.matches(&uri, topic)) {
            let newest = retained.iter().rev().find(|event| self.may_receive(to, &event.options));
            events.extend(newest.map(|event| {
                let mut details = event.details.clone();
                details.insert("retained".to_owned(), true.into());
                if policy != Policy::Exact {
                    details.insert("topic".to_owned(), topic.as_str().into());
                }
                let head = [36.into(), id.into(), event.publication.clone(), Value::Dict(details)];
                with_payload(head, &event.payload)
            }));
        }
        for event in events {
            if self.has_room(to) && !self.is_too_large(to, &event) {
                self.send(to, event);
            } else {
                self.member(id, to).dropped += 1;
            }
        }
    }

    /// False where too many topics have retained events.
    pub(super) fn retain(&mut self, event: &Event<'_>) -> bool {
        let Event { publication, topic, details, options, payload, .. } = *event;
        if !self.retained.contains_key(topic) && self.retained.len() >= self.rules.limits.retained_max {
            return false;
        }
        let is_restricted = RECEIVER_LISTS.iter().any(|list| options.entry(list).is_some());
        let events = self.retained.entry(topic.to_owned()).or_default();
        if !is_restricted {
            events.clear();
        } else if events.len() == RETAINED_PER_TOPIC_MAX {
            let oldest = events.iter().position(|event| event.is_restricted).expect("one is unrestricted");
            events.remove(oldest);
        }
        events.push(Retained {
            publication: publication.clone(),
            details: details.clone(),
            options: options.clone(),
            is_restricted,
            payload: payload.to_vec(),
        });
        true
    }

    /// Keeps the event where the realm's history asks for it; those for or against single sessions never.
    pub(super) fn record(&mut self, event: &Event<'_>) {
        let Event { publication, topic, details, options, payload, .. } = *event;
        if options.entry("exclude").is_some() || options.entry("eligible").is_some() {
            return;
        }
        for (rule, kept) in self.rules.event_history.iter().zip(&mut self.history) {
            let policy = policy_of(rule.match_policy);
            if policy.matches(&rule.uri, topic) {
                let mut details = details.clone();
                details.insert("topic".to_owned(), topic.into());
                kept.push(Kept {
                    at_ns: self.now_ns,
                    publication: publication.clone(),
                    topic: topic.to_owned(),
                    details,
                    options: options.clone(),
                    payload: payload.to_vec(),
                });
                if kept.len() > rule.limit {
                    kept.remove(0);
                }
            }
        }
    }

    /// `wamp.subscription.get_events` with `limit`, `reverse` and `topic`: what matches the subscription, oldest
    /// first, each once.
    pub(super) fn events_of(&self, session: u64, route: &Route, kwargs: &Value) -> Vec<Value> {
        let profile = &self.peer(session).expect("its call is pending").profile;
        let mut found: Vec<&Kept> = Vec::new();
        for (rule, kept) in self.rules.event_history.iter().zip(&self.history) {
            let ttl_ns = rule.ttl.map_or(u64::MAX, |ttl| ttl.as_nanos() as u64);
            found.extend(kept.iter().filter(|event| {
                self.now_ns - event.at_ns < ttl_ns
                    && route.policy.matches(&route.uri, &event.topic)
                    && is_admitted(session, profile, &event.options)
            }));
        }
        // Publications are numbered in order.
        let number_of = |event: &&Kept| match event.publication {
            Value::Integer(number) => number,
            _ => 0,
        };
        found.sort_by_key(number_of);
        found.dedup_by_key(|event| number_of(event));
        if let Some(topic) = kwargs.entry("topic").and_then(Value::as_str) {
            found.retain(|event| event.topic == topic);
        }
        if flag(kwargs, "reverse") {
            found.reverse();
        }
        found.truncate(kwargs.entry("limit").and_then(Value::as_u64).unwrap_or(u64::MAX) as usize);
        found.into_iter().map(|event| event.value(route.id)).collect()
    }
}

impl Kept {
    fn value(&self, subscription: u64) -> Value {
        let mut entries: Dict = [
            ("details", Value::Dict(self.details.clone())),
            ("publication", self.publication.clone()),
            ("subscription", subscription.into()),
            ("timestamp", any()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        for (key, part) in ["args", "kwargs"].into_iter().zip(&self.payload) {
            entries.insert(key.to_owned(), part.clone());
        }
        Value::Dict(entries)
    }
}

fn policy_of(policy: MatchPolicy) -> Policy {
    match policy {
        MatchPolicy::Exact => Policy::Exact,
        MatchPolicy::Prefix => Policy::Prefix,
        MatchPolicy::Wildcard => Policy::Wildcard,
    }
}
