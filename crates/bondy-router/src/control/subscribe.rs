//! SUBSCRIBE and UNSUBSCRIBE, under control.

use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::feature::Feature;
use bondy_wamp::id::SubscriptionId;
use bondy_wamp::message::{self, MessageType, Subscribe, Unsubscribe};
use bondy_wamp::mutation::mutated;
use bondy_wamp::uri;

use crate::broker::{Delivery, count_dropped};
use crate::realm::{Flow, Realm};
use crate::session::{Refusal, Session, SessionState};
use crate::slot::Slot;
use crate::subscription::{Subscriber, Subscription};
use crate::sync::Arc;
use crate::turn::Turn;

use super::{Control, Held, check_prefix_lengths, deactivate, drop_member, revocation};

impl Realm {
    /// SUBSCRIBE: the route first, then slot, reply and retained events in one section.
    pub(crate) fn subscribe(
        &self,
        session: &Arc<Session>,
        subscribe: &Subscribe<'_>,
        turn: &mut Turn,
    ) -> Flow {
        let policy = subscribe.options.match_policy;
        let check = || {
            if uri::is_valid_pattern(&subscribe.topic, policy, self.config.uri_rule) {
                return Ok(());
            }
            let text = format!("{:?} is not a valid topic for match {policy}", uri::shown(&subscribe.topic));
            Err(Refusal::new(ErrorUri::InvalidUri, text))
        };
        self.request(
            session,
            (MessageType::Subscribe, subscribe.request),
            turn,
            check,
            |control, (), turn| self.subscribe_under_control(control, session, subscribe, turn),
        )
    }

    /// Returns false where the session's outbox has no room for the reply.
    fn subscribe_under_control(
        &self,
        control: &mut Control,
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
        check_prefix_lengths(&control.subscriptions, topic, policy, lengths_max)?;
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
        let Unsubscribe { request, subscription } = unsubscribe;
        self.request(
            session,
            (MessageType::Unsubscribe, request),
            turn,
            || Ok(()),
            |control, (), turn| {
                let reply = |state: &mut SessionState, turn: &mut Turn| {
                    let head = message::head(session.serializer(), 2, MessageType::Unsubscribed, request.0);
                    state.append_small(session, &head, turn, |encoder| encoder.end_list());
                };
                if self.end_subscription(control, session, subscription, turn, reply) {
                    return Ok(true);
                }
                let text = format!("the session has no subscription {subscription}");
                Err(Refusal::new(ErrorUri::NoSuchSubscription, text))
            },
        )
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
        drop_member(&mut control.subscriptions, &self.topics, id.0, |subscription| {
            subscription.remove(held.chunk, &held.slot)
        })
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
        let told = revocation(
            session,
            Feature::SubscriberRevocation,
            MessageType::Unsubscribed,
            ("subscription", id.0),
            reason,
        );
        self.end_subscription(control, session, id, turn, told)
    }
}
