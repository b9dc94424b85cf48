//! SUBSCRIBE and UNSUBSCRIBE, under control.

use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::feature::Feature;
use bondy_wamp::id::SubscriptionId;
use bondy_wamp::message::{self, MessageType, Subscribe, Unsubscribe};
use bondy_wamp::mutation::mutated;
use bondy_wamp::uri;

use crate::broker::{Delivery, count_dropped};
use crate::realm::{Flow, Realm};
use crate::session::{Refusal, Session, SessionState, Slot};
use crate::subscription::{Subscriber, Subscription};
use crate::sync::{Arc, Guard};
use crate::turn::Turn;

use super::{Control, Held, append_revocation, deactivate};

impl Realm {
    /// SUBSCRIBE: the route first, then slot, reply and retained events in one section.
    pub(crate) fn subscribe(
        &self,
        session: &Arc<Session>,
        subscribe: &Subscribe<'_>,
        turn: &mut Turn,
    ) -> Flow {
        let request = subscribe.request;
        if let Err(text) = Self::check_sequence(session, request) {
            return self.violate(session, &text, turn);
        }
        let policy = subscribe.options.match_policy;
        if !uri::is_valid_pattern(&subscribe.topic, policy, self.config.uri_rule) {
            let text = format!("{:?} is not a valid topic for match {policy}", uri::shown(&subscribe.topic));
            return self.refuse(
                session,
                MessageType::Subscribe,
                request,
                &Refusal::new(ErrorUri::InvalidUri, text),
                turn,
            );
        }
        if !session.lock().outbox.has_room() {
            return self.overflow(session, turn);
        }
        let mut control = self.control.lock();
        match self.subscribe_under_control(&mut control, session, subscribe, turn) {
            Ok(true) => Flow::Done,
            Ok(false) => {
                drop(control);
                self.overflow(session, turn)
            }
            Err(refusal) => {
                drop(control);
                self.refuse(session, MessageType::Subscribe, request, &refusal, turn)
            }
        }
    }

    /// Returns false where the session's outbox has no room for the reply.
    fn subscribe_under_control(
        &self,
        control: &mut Guard<'_, Control>,
        session: &Arc<Session>,
        subscribe: &Subscribe<'_>,
        turn: &mut Turn,
    ) -> Result<bool, Refusal> {
        if !control.has_session(session.id()) {
            return Ok(true);
        }
        let policy = subscribe.options.match_policy;
        let present = control.subscriptions.lookup(&subscribe.topic, policy).map(Arc::clone);
        let held = present.as_ref().and_then(|subscription| {
            control.held(session.id())?.subscriptions.get(&subscription.subscription_id())
        });
        let already = held.map(|held| Arc::clone(&held.slot));
        let is_new = present.is_none();
        let subscription = match present {
            Some(subscription) => subscription,
            None => self.new_subscription(control, &subscribe.topic, policy, turn)?,
        };
        let slot = match &already {
            Some(slot) => Arc::clone(slot),
            None => self.add_subscriber(control, session, &subscription, is_new)?,
        };
        let retained = if subscribe.options.get_retained {
            control.retained.matching(&subscribe.topic, policy, session)
        } else {
            Vec::new()
        };
        let head = message::head(session.serializer(), 3, MessageType::Subscribed, subscribe.request.0);
        let deliveries = Delivery::retained(&retained, &subscription, session, turn);
        let undelivered = retained.len() - deliveries.len();
        let mut state = session.lock();
        if !state.outbox.has_room() {
            return Ok(false);
        }
        slot.set_active(true);
        state.append_small(session, &head, turn, |encoder| {
            encoder.unsigned(subscription.subscription_id().0);
            encoder.end_list();
        });
        if mutated("retained_in_another_section") {
            drop(state);
            state = session.lock();
        }
        for delivery in deliveries {
            delivery.append(session, &mut state, &slot, turn);
        }
        for _ in 0..undelivered {
            count_dropped(&mut state, &slot, false, turn);
        }
        drop(state);
        if is_new && mutated("slot_before_route") {
            self.topics.add(&subscription);
        }
        if already.is_none() {
            self.publish_subscribed(control, session, &subscription, is_new, turn);
        }
        Ok(true)
    }

    fn new_subscription(
        &self,
        control: &mut Control,
        topic: &str,
        policy: uri::MatchPolicy,
        turn: &mut Turn,
    ) -> Result<Arc<Subscription>, Refusal> {
        let lengths_max = self.config.limits.prefix_lengths_max;
        if policy == uri::MatchPolicy::Prefix
            && control.subscriptions.prefix_lengths_with(topic) > lengths_max
        {
            return Err(Refusal::limit("prefix_lengths_max", lengths_max));
        }
        let id = control.subscriptions.next_id();
        Ok(Arc::new(Subscription::new(id, topic, policy, turn.now.unix_us)))
    }

    fn add_subscriber(
        &self,
        control: &mut Control,
        session: &Arc<Session>,
        subscription: &Arc<Subscription>,
        is_new: bool,
    ) -> Result<Arc<Slot>, Refusal> {
        let max = self.config.limits.subscriptions_max;
        let Some(holdings) = control.holdings(session.id()) else {
            return Err(Refusal::limit("sessions_max", 0));
        };
        if holdings.subscriptions.len() >= max {
            return Err(Refusal::limit("subscriptions_max", max));
        }
        let slot = Arc::new(Slot::default());
        let chunk = subscription.add(Subscriber { session: Arc::clone(session), slot: Arc::clone(&slot) });
        let held = Held { slot: Arc::clone(&slot), chunk };
        holdings.subscriptions.insert(subscription.subscription_id(), held);
        if is_new {
            control.subscriptions.insert(Arc::clone(subscription));
            if !mutated("slot_before_route") {
                self.topics.add(subscription);
            }
        }
        Ok(slot)
    }

    /// UNSUBSCRIBE: slot and reply in one section, then the route.
    pub(crate) fn unsubscribe(
        &self,
        session: &Arc<Session>,
        unsubscribe: Unsubscribe,
        turn: &mut Turn,
    ) -> Flow {
        if let Err(text) = Self::check_sequence(session, unsubscribe.request) {
            return self.violate(session, &text, turn);
        }
        if !session.lock().outbox.has_room() {
            return self.overflow(session, turn);
        }
        let mut control = self.control.lock();
        let reply = |state: &mut SessionState, turn: &mut Turn| {
            let head =
                message::head(session.serializer(), 2, MessageType::Unsubscribed, unsubscribe.request.0);
            state.append_small(session, &head, turn, |encoder| encoder.end_list());
        };
        if self.end_subscription(&mut control, session, unsubscribe.subscription, turn, reply) {
            return Flow::Done;
        }
        drop(control);
        let text = format!("the session has no subscription {}", unsubscribe.subscription);
        let refusal = Refusal::new(ErrorUri::NoSuchSubscription, text);
        self.refuse(session, MessageType::Unsubscribe, unsubscribe.request, &refusal, turn)
    }

    /// Takes a session out of a subscription; false if it is not in it.
    pub(crate) fn end_subscription(
        &self,
        control: &mut Control,
        session: &Arc<Session>,
        id: SubscriptionId,
        turn: &mut Turn,
        reply: impl FnOnce(&mut SessionState, &mut Turn),
    ) -> bool {
        let Some(held) =
            control.holdings(session.id()).and_then(|holdings| holdings.subscriptions.remove(&id))
        else {
            return false;
        };
        deactivate(session, &held.slot, turn, reply);
        let is_last = self.drop_subscriber(control, id, &held);
        self.publish_unsubscribed(control, session.id(), id, is_last, turn);
        true
    }

    /// Takes the route away; true if it was the subscription's last.
    pub(super) fn drop_subscriber(&self, control: &mut Control, id: SubscriptionId, held: &Held) -> bool {
        let Some(subscription) = control.subscriptions.by_id(id.0).map(Arc::clone) else { return false };
        let is_last = subscription.remove(held.chunk, &held.slot) == 0;
        if is_last {
            control.subscriptions.remove(&subscription);
            self.topics.remove(&subscription);
        }
        is_last
    }

    /// The router ends a subscription by itself; false if the session is not in it.
    pub(crate) fn revoke_subscription(
        &self,
        control: &mut Control,
        session: &Arc<Session>,
        id: SubscriptionId,
        reason: &str,
        turn: &mut Turn,
    ) -> bool {
        self.end_subscription(control, session, id, turn, |state, turn| {
            if session.features().has(Feature::SubscriberRevocation) {
                append_revocation(
                    state,
                    session,
                    MessageType::Unsubscribed,
                    "subscription",
                    id.0,
                    reason,
                    turn,
                );
            }
        })
    }
}
