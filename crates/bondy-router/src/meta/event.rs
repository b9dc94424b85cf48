//! Meta events: published while control is held, so that they keep their order.

use bondy_wamp::id::{PublicationId, RegistrationId, SessionId, SubscriptionId};
use bondy_wamp::message::Attributes;
use bondy_wamp::payload::Payload;
use bondy_wamp::value::Value;

use crate::broker::Publication;
use crate::control::{Control, EndedRoutes};
use crate::realm::Realm;
use crate::registration::Registration;
use crate::registry::Entry;
use crate::session::Session;
use crate::subscription::Subscription;
use crate::turn::Turn;

use super::META_SERIALIZER;
use super::detail::{registration_details, session_details, subscription_details, without_stats};

impl Realm {
    fn publish_meta(
        &self,
        control: &Control,
        topic: &str,
        args: impl FnOnce() -> Vec<Value>,
        turn: &mut Turn,
    ) {
        if control.subscriptions.matching(topic).is_empty() {
            return;
        }
        let bytes = Value::List(args()).to_bytes(META_SERIALIZER);
        let attributes = Attributes::none(META_SERIALIZER);
        let payload = Payload { serializer: META_SERIALIZER, args: &bytes, kwargs: &[] };
        let id = PublicationId(turn.random_id());
        self.publish_under_control(control, Publication::new(id, topic, &attributes, payload), turn);
    }

    pub(crate) fn publish_on_join(&self, control: &Control, session: &Session, turn: &mut Turn) {
        self.publish_meta(control, "wamp.session.on_join", || vec![session_details(session)], turn);
    }

    pub(crate) fn publish_on_leave(&self, control: &Control, session: &Session, turn: &mut Turn) {
        let identity = session.identity();
        let args = || vec![session.id().0.into(), (&*identity.authid).into(), (&*identity.authrole).into()];
        self.publish_meta(control, "wamp.session.on_leave", args, turn);
    }

    pub(crate) fn publish_subscribed(
        &self,
        control: &Control,
        session: &Session,
        subscription: &Subscription,
        is_new: bool,
        turn: &mut Turn,
    ) {
        let id = session.id();
        if is_new {
            let args = || vec![id.0.into(), without_stats(subscription_details(subscription))];
            self.publish_meta(control, "wamp.subscription.on_create", args, turn);
        }
        let args = || vec![id.0.into(), subscription.id().into()];
        self.publish_meta(control, "wamp.subscription.on_subscribe", args, turn);
    }

    pub(crate) fn publish_unsubscribed(
        &self,
        control: &Control,
        session: SessionId,
        id: SubscriptionId,
        is_last: bool,
        turn: &mut Turn,
    ) {
        let args = || vec![session.0.into(), id.0.into()];
        self.publish_meta(control, "wamp.subscription.on_unsubscribe", args, turn);
        if is_last {
            self.publish_meta(control, "wamp.subscription.on_delete", args, turn);
        }
    }

    pub(crate) fn publish_registered(
        &self,
        control: &Control,
        session: &Session,
        registration: &Registration,
        is_new: bool,
        turn: &mut Turn,
    ) {
        let id = session.id();
        if is_new {
            let args = || vec![id.0.into(), without_stats(registration_details(registration))];
            self.publish_meta(control, "wamp.registration.on_create", args, turn);
        }
        let args = || vec![id.0.into(), registration.id().into()];
        self.publish_meta(control, "wamp.registration.on_register", args, turn);
    }

    pub(crate) fn publish_unregistered(
        &self,
        control: &Control,
        session: SessionId,
        id: RegistrationId,
        is_last: bool,
        turn: &mut Turn,
    ) {
        let args = || vec![session.0.into(), id.0.into()];
        self.publish_meta(control, "wamp.registration.on_unregister", args, turn);
        if is_last {
            self.publish_meta(control, "wamp.registration.on_delete", args, turn);
        }
    }

    pub(crate) fn publish_routes_ended(
        &self,
        control: &Control,
        session: SessionId,
        ended: &EndedRoutes,
        turn: &mut Turn,
    ) {
        // Most realms have nobody who listens: that is asked once, and not for each of thousands of routes.
        const TOPICS: [&str; 4] = [
            "wamp.subscription.on_unsubscribe",
            "wamp.subscription.on_delete",
            "wamp.registration.on_unregister",
            "wamp.registration.on_delete",
        ];
        if TOPICS.iter().all(|topic| control.subscriptions.matching(topic).is_empty()) {
            return;
        }
        for (id, is_last) in &ended.subscriptions {
            self.publish_unsubscribed(control, session, *id, *is_last, turn);
        }
        for (id, is_last) in &ended.registrations {
            self.publish_unregistered(control, session, *id, *is_last, turn);
        }
    }
}
