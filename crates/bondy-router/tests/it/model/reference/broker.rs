//! SUBSCRIBE, UNSUBSCRIBE, PUBLISH.

use bondy_router::config::DisclosurePolicy;
use bondy_wamp::feature::Feature;
use bondy_wamp::value::Value;

use super::matching::{Member, Policy, Route, is_pattern, is_reserved, is_uri, lookup, matching};
use super::session::{Departed, leave_route};
use super::{Dict, Reference, attributes, flag, is_passthru, message, number, text, with_payload};
use crate::model::action::Profile;

/// An event on its way.
pub(super) struct Event<'e> {
    pub(super) publication: &'e Value,
    pub(super) topic: &'e str,
    pub(super) details: &'e Dict,
    pub(super) options: &'e Value,
    pub(super) payload: &'e [Value],
    excluded: Option<u64>,
}

impl Reference {
    pub(super) fn subscribe(&mut self, from: u64, request: u64, options: &Value, topic: &str) {
        if !self.is_in_sequence(from, request) {
            return;
        }
        let policy = Policy::named(options.entry("match").and_then(Value::as_str));
        if !is_pattern(topic, policy, self.rules.uri_rule) {
            return self.refuse(from, 32, request, "wamp.error.invalid_uri");
        }
        if !self.has_room(from) {
            return self.overflow(from);
        }
        let present = lookup(&self.subscriptions, topic, policy);
        let is_held = present.is_some_and(|id| self.subscription(id).holds(from));
        let lengths_max = self.rules.limits.prefix_lengths_max;
        if present.is_none() && !has_prefix_length_left(&self.subscriptions, topic, policy, lengths_max) {
            return self.refuse_limit(from, 32, request, "prefix_lengths_max", lengths_max);
        }
        let held = self.subscriptions.iter().filter(|route| route.holds(from)).count();
        let max = self.rules.limits.subscriptions_max;
        if !is_held && held >= max {
            return self.refuse_limit(from, 32, request, "subscriptions_max", max);
        }
        let id = present.unwrap_or_else(|| self.given_id(from, 33, request, &self.subscriptions));
        if present.is_none() {
            self.subscriptions.push(new_route(id, topic, policy, "single"));
        }
        if !is_held {
            let member = new_member(from, self.next_number());
            self.subscription(id).members.push(member);
        }
        self.send(from, message([33.into(), request.into(), id.into()]));
        if flag(options, "get_retained") {
            self.deliver_retained(from, id);
        }
        if !is_held {
            self.publish_route_joined("subscription", "subscribe", from, id, present.is_none());
        }
    }

    pub(super) fn subscription(&mut self, id: u64) -> &mut Route {
        self.subscriptions.iter_mut().find(|route| route.id == id).expect("it is there")
    }

    pub(super) fn member(&mut self, subscription: u64, session: u64) -> &mut Member {
        let mut members = self.subscription(subscription).members.iter_mut();
        members.find(|member| member.session == session).expect("it is subscribed")
    }

    /// May this session see an event with these options, as far as lists and features are concerned?
    pub(super) fn may_receive(&self, session: u64, options: &Value) -> bool {
        let Some(peer) = self.peer(session) else { return false };
        is_admitted(session, &peer.profile, options)
            && (!is_passthru(options) || peer.profile.features.has(Feature::SubscriberPassthru))
    }

    pub(super) fn unsubscribe(&mut self, from: u64, request: u64, id: u64) {
        if !self.is_in_sequence(from, request) {
            return;
        }
        if !self.subscriptions.iter().any(|route| route.id == id && route.holds(from)) {
            return self.refuse(from, 34, request, "wamp.error.no_such_subscription");
        }
        if !self.has_room(from) {
            return self.overflow(from);
        }
        self.send(from, message([35.into(), request.into()]));
        let is_last = leave_route(&mut self.subscriptions, from, id);
        self.publish_route_left("subscription", "unsubscribe", from, id, is_last);
    }

    /// The router itself ends a subscription.
    pub(super) fn revoke_subscription(&mut self, session: u64, id: u64, reason: Value) {
        if self.has(session, Feature::SubscriberRevocation) {
            let details = [("reason", reason), ("subscription", id.into())];
            self.send(session, message([35.into(), 0.into(), details.into()]));
        }
        let is_last = leave_route(&mut self.subscriptions, session, id);
        self.publish_route_left("subscription", "unsubscribe", session, id, is_last);
    }

    pub(super) fn publish(
        &mut self,
        from: u64,
        request: u64,
        options: &Value,
        topic: &str,
        payload: &[Value],
    ) {
        if !self.is_in_sequence(from, request) {
            return;
        }
        if is_passthru(options) && !self.has(from, Feature::PublisherPassthru) {
            return self.violate(from);
        }
        let is_acknowledged = flag(options, "acknowledge");
        if let Some(error) = self.publish_error(options, topic) {
            if is_acknowledged {
                self.refuse(from, 16, request, error);
            }
            return;
        }
        let publisher = Departed { id: from, profile: self.peer(from).expect("it is open").profile.clone() };
        let publication = self.next_symbol();
        let details = self.event_details(&publisher, options);
        let excludes_me = options.entry("exclude_me").and_then(Value::as_bool).unwrap_or(true);
        let excluded = excludes_me.then_some(from);
        let event = Event { publication: &publication, topic, details: &details, options, payload, excluded };
        if flag(options, "retain") && !self.retain(&event) {
            if is_acknowledged {
                self.refuse_limit(from, 16, request, "retained_max", self.rules.limits.retained_max);
            }
            return;
        }
        self.record(&event);
        for overflowed in self.fan_out(&event) {
            self.overflow(overflowed);
        }
        if is_acknowledged && self.is_open(from) {
            self.reply(from, message([17.into(), request.into(), publication]));
        }
    }

    pub(super) fn publish_error(&self, options: &Value, topic: &str) -> Option<&'static str> {
        if is_reserved(topic) || !is_uri(topic, self.rules.uri_rule) {
            return Some("wamp.error.invalid_uri");
        }
        let is_denied = self.rules.disclosure.publisher == DisclosurePolicy::Deny;
        (is_denied && flag(options, "disclose_me")).then_some("wamp.error.option_disallowed.disclose_me")
    }

    fn event_details(&self, publisher: &Departed, options: &Value) -> Dict {
        let mut details = attributes(options);
        let is_always = self.rules.disclosure.publisher == DisclosurePolicy::Always;
        if is_always || flag(options, "disclose_me") {
            details.insert("publisher".to_owned(), publisher.id.into());
            details.insert("publisher_authid".to_owned(), publisher.profile.authid.into());
            details.insert("publisher_authrole".to_owned(), publisher.profile.authrole.into());
        }
        if let Some(level) = publisher.profile.trust_level {
            details.insert("trustlevel".to_owned(), level.into());
        }
        details
    }

    /// Goes to every subscriber of every matching subscription; returns who must end because it lost an event.
    fn fan_out(&mut self, event: &Event<'_>) -> Vec<u64> {
        let mut overflowed = Vec::new();
        for id in matching(&self.subscriptions, event.topic) {
            let route = self.subscription(id);
            let is_pattern = route.policy != Policy::Exact;
            let members: Vec<u64> = route.members.iter().map(|member| member.session).collect();
            for session in members {
                if event.excluded == Some(session) || !self.may_receive(session, event.options) {
                    continue;
                }
                if !self.deliver(event, id, is_pattern, session) {
                    overflowed.push(session);
                }
            }
        }
        overflowed
    }

    /// False where the subscriber must end.
    fn deliver(&mut self, event: &Event<'_>, id: u64, is_pattern: bool, to: u64) -> bool {
        let mut details = event.details.clone();
        if is_pattern {
            details.insert("topic".to_owned(), event.topic.into());
        }
        let dropped = std::mem::take(&mut self.member(id, to).dropped);
        if dropped > 0 {
            details.insert("_dropped".to_owned(), dropped.into());
        }
        let head = [36.into(), id.into(), event.publication.clone(), Value::Dict(details)];
        let message = with_payload(head, event.payload);
        if self.is_too_large(to, &message) || !self.has_room(to) {
            self.member(id, to).dropped = dropped + 1;
            let closes = self.peer(to).is_some_and(|peer| peer.profile.closes_on_overflow);
            return !closes || self.is_too_large(to, &message);
        }
        self.send(to, message);
        true
    }

    pub(super) fn publish_testament(&mut self, departed: &Departed, publish: &Value) {
        let Some([_, _, options, topic, payload @ ..]) = publish.as_list() else { return };
        let topic = text(topic);
        if self.publish_error(options, topic).is_some() {
            return;
        }
        let publication = self.next_symbol();
        let details = self.event_details(departed, options);
        let event =
            Event { publication: &publication, topic, details: &details, options, payload, excluded: None };
        if flag(options, "retain") {
            self.retain(&event);
        }
        self.record(&event);
        self.fan_out(&event);
    }

    /// The realm itself publishes.
    pub(super) fn publish_meta(&mut self, topic: &str, args: Vec<Value>) {
        let publication = self.next_symbol();
        let (details, options, payload) = (Dict::new(), Value::Null, [Value::List(args)]);
        self.fan_out(&Event {
            publication: &publication,
            topic,
            details: &details,
            options: &options,
            payload: &payload,
            excluded: None,
        });
    }
}

/// Every list that is there must agree.
pub(super) fn is_admitted(session: u64, profile: &Profile, options: &Value) -> bool {
    let names = |key: &str, is_meant: &dyn Fn(&Value) -> bool| {
        options.entry(key).and_then(Value::as_list).map(|list| list.iter().any(is_meant))
    };
    let is_id = |value: &Value| number(value) == session;
    let is_authid = |value: &Value| text(value) == profile.authid;
    let is_authrole = |value: &Value| has_authrole(profile, text(value));
    names("exclude", &is_id) != Some(true)
        && names("exclude_authid", &is_authid) != Some(true)
        && names("exclude_authrole", &is_authrole) != Some(true)
        && names("eligible", &is_id) != Some(false)
        && names("eligible_authid", &is_authid) != Some(false)
        && names("eligible_authrole", &is_authrole) != Some(false)
}

/// A session may have several roles, separated by commas.
pub(super) fn has_authrole(profile: &Profile, authrole: &str) -> bool {
    profile.authrole == authrole || profile.authrole.split(',').any(|part| part == authrole)
}

pub(super) fn has_prefix_length_left(
    routes: &[Route],
    pattern: &str,
    policy: Policy,
    lengths_max: usize,
) -> bool {
    let prefixes = routes.iter().filter(|route| route.policy == Policy::Prefix);
    let mut lengths: Vec<usize> = prefixes.map(|route| route.uri.len()).collect();
    lengths.push(pattern.len());
    lengths.sort_unstable();
    lengths.dedup();
    policy != Policy::Prefix || lengths.len() <= lengths_max
}

pub(super) fn new_route(id: u64, uri: &str, policy: Policy, invoke: &str) -> Route {
    Route {
        id,
        uri: uri.to_owned(),
        policy,
        invoke: invoke.to_owned(),
        members: Vec::new(),
        rotation: 0,
        had_rerouting_callee: false,
    }
}

pub(super) fn new_member(session: u64, slot: u64) -> Member {
    Member { session, slot, concurrency: 0, discloses_caller: false, forwards_timeout: false, dropped: 0 }
}
