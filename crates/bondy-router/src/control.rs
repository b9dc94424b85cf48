//! The control plane: who is in the realm, who is subscribed, who is registered, and how each of them leaves.
//!
//! Everything here runs under the realm's control lock, which is held from the first to the last section of each
//! operation. Replies and meta events are appended while it is held, so that they keep their order.

use std::collections::BTreeMap;

use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::feature::Feature;
use bondy_wamp::id::{RegistrationId, RequestId, SessionId, SubscriptionId};
use bondy_wamp::message::{
    self, Abort, Goodbye, Message, MessageType, Register, Subscribe, Unregister, Unsubscribe,
};
use bondy_wamp::mutation::mutated;
use bondy_wamp::outbox::Tail;
use bondy_wamp::uri;

use crate::broker::{Delivery, count_dropped};
use crate::dealer;
use crate::realm::{Farewell, Flow, Realm};
use crate::registration::{Callee, InvocationPolicy, Registration};
use crate::registry::{Entry, Registry};
use crate::retained::RetainedEvents;
use crate::session::{InvocationEntry, Phase, Refusal, SeededMap, Session, SessionState, Slot};
use crate::subscription::{Subscriber, Subscription};
use crate::sync::{Arc, Guard};
use crate::testament::Testaments;
use crate::turn::Turn;

/// The state behind the control lock.
#[derive(Debug, Default)]
pub(crate) struct Control {
    sessions: SeededMap<u64, Record>,
    pub(crate) subscriptions: Registry<Subscription>,
    pub(crate) registrations: Registry<Registration>,
    pub(crate) retained: RetainedEvents,
    pub(crate) is_closing: bool,
}

/// One session as control knows it.
#[derive(Debug)]
struct Record {
    session: Arc<Session>,
    /// Most sessions of a large realm hold little: nothing is allocated before it is needed.
    holdings: Option<Box<Holdings>>,
}

/// What a session holds.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    subscriptions: BTreeMap<SubscriptionId, Held>,
    registrations: BTreeMap<RegistrationId, Held>,
    pub(crate) testaments: Testaments,
}

/// A place in a subscription or registration.
#[derive(Debug)]
struct Held {
    slot: Arc<Slot>,
    chunk: u64,
}

/// A session that was closed while control is held.
#[derive(Debug)]
struct Departure {
    holdings: Holdings,
    ended: EndedRoutes,
    leftovers: Leftovers,
    /// Others learn of it.
    is_told: bool,
}

/// What a closed session leaves behind, to be ended once no lock is held.
#[derive(Debug, Default)]
struct Leftovers {
    invocations: Vec<InvocationEntry>,
    invoked: Vec<(Arc<Session>, u64)>,
}

impl Control {
    pub(crate) fn session_count(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn has_session(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id.0)
    }

    pub(crate) fn session(&self, id: SessionId) -> Option<&Arc<Session>> {
        self.sessions.get(&id.0).map(|record| &record.session)
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.sessions.values().map(|record| &record.session)
    }

    pub(crate) fn insert_session(&mut self, session: Arc<Session>) {
        self.sessions.insert(session.id().0, Record { session, holdings: None });
    }

    pub(crate) fn holdings(&mut self, id: SessionId) -> Option<&mut Holdings> {
        self.sessions.get_mut(&id.0).map(|record| &mut **record.holdings.get_or_insert_with(Box::default))
    }

    fn take_holdings(&mut self, id: SessionId) -> Holdings {
        let record = self.sessions.get_mut(&id.0);
        record.and_then(|record| record.holdings.take()).map(|holdings| *holdings).unwrap_or_default()
    }

    fn held(&self, id: SessionId) -> Option<&Holdings> {
        self.sessions.get(&id.0)?.holdings.as_deref()
    }
}

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
    fn drop_subscriber(&self, control: &mut Control, id: SubscriptionId, held: &Held) -> bool {
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

    /// REGISTER: the route first, then slot and reply in one section.
    pub(crate) fn register(&self, session: &Arc<Session>, register: &Register<'_>, turn: &mut Turn) -> Flow {
        let request = register.request;
        if let Err(text) = Self::check_sequence(session, request) {
            return self.violate(session, &text, turn);
        }
        let invoke = match self.check_register(register) {
            Ok(invoke) => invoke,
            Err(refusal) => return self.refuse(session, MessageType::Register, request, &refusal, turn),
        };
        if !session.lock().outbox.has_room() {
            return self.overflow(session, turn);
        }
        let mut control = self.control.lock();
        match self.register_under_control(&mut control, session, register, invoke, turn) {
            Ok(true) => Flow::Done,
            Ok(false) => {
                drop(control);
                self.overflow(session, turn)
            }
            Err(refusal) => {
                drop(control);
                self.refuse(session, MessageType::Register, request, &refusal, turn)
            }
        }
    }

    fn check_register(&self, register: &Register<'_>) -> Result<InvocationPolicy, Refusal> {
        let policy = register.options.match_policy;
        let procedure = &*register.procedure;
        if !uri::is_valid_pattern(procedure, policy, self.config.uri_rule) {
            let procedure = uri::shown(procedure);
            let text = format!("{procedure:?} is not a valid procedure for match {policy}");
            return Err(Refusal::new(ErrorUri::InvalidUri, text));
        }
        if uri::is_reserved(procedure) {
            let procedure = uri::shown(procedure);
            let text = format!("{procedure:?} is in a namespace that is reserved for the router");
            return Err(Refusal::new(ErrorUri::InvalidUri, text));
        }
        match register.options.invoke.as_deref() {
            None => Ok(InvocationPolicy::Single),
            Some(name) => InvocationPolicy::parse(name).ok_or_else(|| {
                let known: Vec<_> = InvocationPolicy::ALL.iter().map(|policy| policy.as_str()).collect();
                let name = uri::shown(name);
                let text = format!("invoke is {name:?}, not one of {}", known.join(", "));
                Refusal::new(ErrorUri::InvalidArgument, text)
            }),
        }
    }

    fn register_under_control(
        &self,
        control: &mut Control,
        session: &Arc<Session>,
        register: &Register<'_>,
        invoke: InvocationPolicy,
        turn: &mut Turn,
    ) -> Result<bool, Refusal> {
        if !control.has_session(session.id()) {
            return Ok(true);
        }
        let policy = register.options.match_policy;
        let mut present = control.registrations.lookup(&register.procedure, policy).map(Arc::clone);
        if let Some(registration) = &present {
            if register.options.force_reregister {
                // Nobody loses a registration to a request that is refused.
                self.check_registrations_max(control, session, Some(registration.registration_id()))?;
                self.revoke_all(control, registration, turn);
                present = None;
            } else {
                check_shared(control, session, registration, invoke)?;
            }
        }
        let is_new = present.is_none();
        let registration = match present {
            Some(registration) => registration,
            None => self.new_registration(control, &register.procedure, policy, invoke, turn)?,
        };
        let slot = self.add_callee(control, session, &registration, register, is_new)?;
        let mut state = session.lock();
        if !state.outbox.has_room() {
            return Ok(false);
        }
        slot.set_active(true);
        let head = message::head(session.serializer(), 3, MessageType::Registered, register.request.0);
        state.append_small(session, &head, turn, |encoder| {
            encoder.unsigned(registration.registration_id().0);
            encoder.end_list();
        });
        drop(state);
        self.publish_registered(control, session, &registration, is_new, turn);
        Ok(true)
    }

    fn new_registration(
        &self,
        control: &mut Control,
        procedure: &str,
        policy: uri::MatchPolicy,
        invoke: InvocationPolicy,
        turn: &mut Turn,
    ) -> Result<Arc<Registration>, Refusal> {
        let lengths_max = self.config.limits.prefix_lengths_max;
        if policy == uri::MatchPolicy::Prefix
            && control.registrations.prefix_lengths_with(procedure) > lengths_max
        {
            return Err(Refusal::limit("prefix_lengths_max", lengths_max));
        }
        let id = control.registrations.next_id();
        Ok(Arc::new(Registration::new(id, procedure, policy, invoke, turn.now.unix_us)))
    }

    /// May the session hold one registration more, once it is rid of this one?
    fn check_registrations_max(
        &self,
        control: &Control,
        session: &Session,
        without: Option<RegistrationId>,
    ) -> Result<(), Refusal> {
        let max = self.config.limits.registrations_max;
        let held = control.held(session.id()).map_or(0, |holdings| {
            let is_rid_of_it = without.is_some_and(|id| holdings.registrations.contains_key(&id));
            holdings.registrations.len() - usize::from(is_rid_of_it)
        });
        if held >= max { Err(Refusal::limit("registrations_max", max)) } else { Ok(()) }
    }

    fn add_callee(
        &self,
        control: &mut Control,
        session: &Arc<Session>,
        registration: &Arc<Registration>,
        register: &Register<'_>,
        is_new: bool,
    ) -> Result<Arc<Slot>, Refusal> {
        self.check_registrations_max(control, session, None)?;
        let Some(holdings) = control.holdings(session.id()) else {
            return Err(Refusal::limit("sessions_max", 0));
        };
        let slot = Arc::new(Slot::default());
        let chunk = registration.add(Callee {
            session: Arc::clone(session),
            slot: Arc::clone(&slot),
            concurrency: register.options.concurrency,
            discloses_caller: register.options.disclose_caller,
            forwards_timeout: register.options.forward_timeout
                && session.features().has(Feature::CalleeTimeout),
        });
        let held = Held { slot: Arc::clone(&slot), chunk };
        holdings.registrations.insert(registration.registration_id(), held);
        if is_new {
            control.registrations.insert(Arc::clone(registration));
            self.procedures.add(registration);
        }
        Ok(slot)
    }

    /// UNREGISTER: slot and reply in one section, then the route. Running invocations go on.
    pub(crate) fn unregister(&self, session: &Arc<Session>, unregister: Unregister, turn: &mut Turn) -> Flow {
        if let Err(text) = Self::check_sequence(session, unregister.request) {
            return self.violate(session, &text, turn);
        }
        if !session.lock().outbox.has_room() {
            return self.overflow(session, turn);
        }
        let mut control = self.control.lock();
        let reply = |state: &mut SessionState, turn: &mut Turn| {
            let head =
                message::head(session.serializer(), 2, MessageType::Unregistered, unregister.request.0);
            state.append_small(session, &head, turn, |encoder| encoder.end_list());
        };
        if self.end_registration(&mut control, session, unregister.registration, turn, reply) {
            return Flow::Done;
        }
        drop(control);
        let text = format!("the session has no registration {}", unregister.registration);
        let refusal = Refusal::new(ErrorUri::NoSuchRegistration, text);
        self.refuse(session, MessageType::Unregister, unregister.request, &refusal, turn)
    }

    /// Takes a session out of a registration; false if it is not in it.
    pub(crate) fn end_registration(
        &self,
        control: &mut Control,
        session: &Arc<Session>,
        id: RegistrationId,
        turn: &mut Turn,
        reply: impl FnOnce(&mut SessionState, &mut Turn),
    ) -> bool {
        let Some(held) =
            control.holdings(session.id()).and_then(|holdings| holdings.registrations.remove(&id))
        else {
            return false;
        };
        deactivate(session, &held.slot, turn, reply);
        let is_last = self.drop_callee(control, id, &held);
        self.publish_unregistered(control, session.id(), id, is_last, turn);
        true
    }

    /// Takes the route away; true if it was the registration's last.
    fn drop_callee(&self, control: &mut Control, id: RegistrationId, held: &Held) -> bool {
        let Some(registration) = control.registrations.by_id(id.0).map(Arc::clone) else { return false };
        let is_last = registration.remove(held.chunk, &held.slot) == 0;
        if is_last {
            control.registrations.remove(&registration);
            self.procedures.remove(&registration);
        }
        is_last
    }

    /// The router ends a registration by itself; false if the session is not in it.
    pub(crate) fn revoke_registration(
        &self,
        control: &mut Control,
        session: &Arc<Session>,
        id: RegistrationId,
        reason: &str,
        turn: &mut Turn,
    ) -> bool {
        self.end_registration(control, session, id, turn, |state, turn| {
            if session.features().has(Feature::CalleeRevocation) {
                append_revocation(
                    state,
                    session,
                    MessageType::Unregistered,
                    "registration",
                    id.0,
                    reason,
                    turn,
                );
            }
        })
    }

    /// `force_reregister`: the present callees lose the registration.
    fn revoke_all(&self, control: &mut Control, registration: &Arc<Registration>, turn: &mut Turn) {
        for callee in registration.callees().iter() {
            let id = registration.registration_id();
            self.revoke_registration(control, &callee.session, id, "wamp.error.reregistered", turn);
        }
    }

    /// A session leaves: it said GOODBYE, lost its connection, was killed or broke the protocol.
    ///
    /// Under one hold of control: its routes; then in one section GOODBYE or ABORT, closed, tables taken; then what
    /// others learn of it: testaments, `on_unsubscribe`, `on_unregister`, `on_leave`. After that, without control,
    /// the calls of its callers end and its own calls are abandoned.
    pub fn leave(&self, session: &Arc<Session>, farewell: Farewell<'_>, turn: &mut Turn) {
        let Some((mut control, mut departure)) = self.depart(session, farewell, turn) else { return };
        if departure.is_told {
            let testaments = std::mem::take(&mut departure.holdings.testaments);
            self.publish_testaments(&mut control, session, testaments, turn);
            self.publish_routes_ended(&control, session.id(), &departure.ended, turn);
            self.publish_on_leave(&control, session, turn);
        }
        drop(control);
        self.end_leftovers(session, departure.leftovers, turn);
    }

    /// Closes a session without any word to others: `wamp.session.kill_all`.
    pub(crate) fn leave_quietly(&self, session: &Arc<Session>, farewell: Farewell<'_>, turn: &mut Turn) {
        let Some((control, departure)) = self.depart(session, farewell, turn) else { return };
        drop(control);
        self.end_leftovers(session, departure.leftovers, turn);
    }

    /// Under the hold of control that it returns: the routes are taken away, then the session is closed. `None` if it
    /// was closed before.
    ///
    /// Control forgets the session last: if the thread dies in between, the shutdown that follows closes it. Where a
    /// shutdown under way has taken the session from control and has not come to it yet, it is closed here, and
    /// others are told nothing.
    fn depart(
        &self,
        session: &Arc<Session>,
        farewell: Farewell<'_>,
        turn: &mut Turn,
    ) -> Option<(Guard<'_, Control>, Departure)> {
        let mut farewell = farewell;
        if mutated("abort_before_leaving") {
            append_farewell(&mut session.lock(), session, farewell, turn);
            farewell = Farewell::Lost;
        }
        let mut control = self.control.lock();
        let holdings = control.take_holdings(session.id());
        let ended = self.drop_routes(&mut control, &holdings);
        if mutated("leave_in_two_holds") {
            drop(control);
            control = self.control.lock();
        }
        let leftovers = close(session, &holdings, farewell, turn);
        let is_told = control.sessions.remove(&session.id().0).is_some();
        Some((control, Departure { holdings, ended, leftovers: leftovers?, is_told }))
    }

    fn drop_routes(&self, control: &mut Control, holdings: &Holdings) -> EndedRoutes {
        EndedRoutes {
            subscriptions: holdings
                .subscriptions
                .iter()
                .map(|(id, held)| (*id, self.drop_subscriber(control, *id, held)))
                .collect(),
            registrations: holdings
                .registrations
                .iter()
                .map(|(id, held)| (*id, self.drop_callee(control, *id, held)))
                .collect(),
        }
    }

    /// Once a session is closed and control is let go: its callers are answered, its calls abandoned, its owner woken.
    fn end_leftovers(&self, session: &Session, leftovers: Leftovers, turn: &mut Turn) {
        turn.stats.sessions_left += 1;
        let answered = leftovers.invocations.into_iter().filter(|_| !mutated("callee_leaves_silently"));
        for invocation in answered.filter_map(InvocationEntry::into_invoked) {
            let refusal = Refusal::new(ErrorUri::Canceled, "the callee left before it answered");
            self.end_call(&invocation.caller, invocation.request, invocation.serial, &refusal, turn);
        }
        for (callee, id) in leftovers.invoked {
            dealer::abandon(&callee, id, turn);
        }
        session.link().wake_owner();
    }

    /// The realm closes: no session joins any more, each is told GOODBYE with this reason after all its calls have
    /// been answered.
    pub fn shut_down(&self, reason: &str, message: &str, turn: &mut Turn) {
        let mut control = self.control.lock();
        control.is_closing = true;
        let mut records: Vec<Record> = control.sessions.drain().map(|(_, record)| record).collect();
        records.sort_unstable_by_key(|record| record.session.id());
        for record in &records {
            let holdings = record.holdings.as_deref();
            holdings.map(|holdings| self.drop_routes(&mut control, holdings));
        }
        drop(control);
        for record in records {
            let holdings = record.holdings.map(|holdings| *holdings).unwrap_or_default();
            if let Some(leftovers) = shut_down_session(&record.session, &holdings, reason, message, turn) {
                self.end_leftovers(&record.session, leftovers, turn);
            }
        }
    }

    /// Answers a request with ERROR; a session whose outbox has no room for it leaves.
    pub(crate) fn refuse(
        &self,
        session: &Arc<Session>,
        request_type: MessageType,
        request: RequestId,
        refusal: &Refusal,
        turn: &mut Turn,
    ) -> Flow {
        let mut state = session.lock();
        if state.is_closed {
            return Flow::Done;
        }
        if !state.outbox.has_room() {
            drop(state);
            return self.overflow(session, turn);
        }
        state.append_error(session, request_type, request, refusal, turn);
        Flow::Done
    }
}

/// Which subscriptions and registrations a session was in, and whether it was the last in each.
#[derive(Debug, Default)]
pub(crate) struct EndedRoutes {
    pub(crate) subscriptions: Vec<(SubscriptionId, bool)>,
    pub(crate) registrations: Vec<(RegistrationId, bool)>,
}

/// May this session join this registration?
fn check_shared(
    control: &Control,
    session: &Session,
    registration: &Registration,
    invoke: InvocationPolicy,
) -> Result<(), Refusal> {
    let uri = registration.uri();
    let refused = |text| Err(Refusal::new(ErrorUri::ProcedureAlreadyExists, text));
    let id = registration.registration_id();
    if control.held(session.id()).is_some_and(|holdings| holdings.registrations.contains_key(&id)) {
        return refused(format!("{uri:?} is registered by this session already"));
    }
    if registration.invoke() == InvocationPolicy::Single && invoke == InvocationPolicy::Single {
        return refused(format!("{uri:?} is registered already"));
    }
    if registration.invoke() != invoke {
        let present = registration.invoke().as_str();
        return refused(format!("{uri:?} is registered with invoke {present:?}, not {:?}", invoke.as_str()));
    }
    Ok(())
}

fn append_revocation(
    state: &mut SessionState,
    session: &Arc<Session>,
    message_type: MessageType,
    key: &str,
    id: u64,
    reason: &str,
    turn: &mut Turn,
) {
    let head = message::head(session.serializer(), 3, message_type, 0);
    state.append_small(session, &head, turn, |encoder| {
        encoder.begin_dict(2);
        encoder.key(key);
        encoder.unsigned(id);
        encoder.key("reason");
        encoder.string(reason);
        encoder.end_dict();
        encoder.end_list();
    });
}

/// In one section: the slot inactive, the reply appended.
fn deactivate(
    session: &Session,
    slot: &Slot,
    turn: &mut Turn,
    reply: impl FnOnce(&mut SessionState, &mut Turn),
) {
    let mut state = session.lock();
    slot.set_active(mutated("reply_before_deactivation"));
    if !state.is_closed {
        reply(&mut state, turn);
    }
    drop(state);
    if mutated("reply_before_deactivation") {
        let _state = session.lock();
        slot.set_active(false);
    }
}

/// In one section: the farewell, closed, slots inactive, tables taken.
fn close(
    session: &Arc<Session>,
    holdings: &Holdings,
    farewell: Farewell<'_>,
    turn: &mut Turn,
) -> Option<Leftovers> {
    let mut state = session.lock();
    if state.is_closed {
        return None;
    }
    append_farewell(&mut state, session, farewell, turn);
    state.is_closed = true;
    Some(take_tables(&mut state, holdings))
}

/// In one section: every call ends with `canceled`, GOODBYE, closed, slots inactive, tables taken.
fn shut_down_session(
    session: &Arc<Session>,
    holdings: &Holdings,
    reason: &str,
    message: &str,
    turn: &mut Turn,
) -> Option<Leftovers> {
    let refusal = Refusal::new(ErrorUri::Canceled, message);
    let mut state = session.lock();
    if state.is_closed {
        return None;
    }
    let mut calling = state.calling.take();
    if let Some(calling) = &mut calling {
        let mut requests: Vec<u64> = calling.calls.keys().copied().collect();
        requests.sort_unstable();
        for request in requests {
            state.append_error(session, MessageType::Call, RequestId(request), &refusal, turn);
        }
    }
    state.calling = calling;
    if mutated("shutdown_in_two_sections") {
        state.calling().calls.clear();
        drop(state);
        state = session.lock();
    }
    append_farewell(&mut state, session, Farewell::Goodbye(reason, Some(message)), turn);
    state.is_closed = true;
    Some(take_tables(&mut state, holdings))
}

fn take_tables(state: &mut SessionState, holdings: &Holdings) -> Leftovers {
    let slots = holdings.subscriptions.values().chain(holdings.registrations.values());
    slots.for_each(|held| held.slot.set_active(false));
    let calling = state.calling.take().map(|calling| calling.calls).unwrap_or_default();
    let serving = state.serving.take().map(|serving| serving.invocations).unwrap_or_default();
    let invoked = in_order(calling).filter_map(|entry| match entry.phase {
        Phase::Invoked(callee, id) => Some((callee, id)),
        Phase::Placing => None,
    });
    Leftovers { invoked: invoked.collect(), invocations: in_order(serving).collect() }
}

/// By ascending id: what others learn must not depend on the order of a hash map.
fn in_order<T>(table: SeededMap<u64, T>) -> impl Iterator<Item = T> {
    let mut entries: Vec<(u64, T)> = table.into_iter().collect();
    entries.sort_unstable_by_key(|(id, _)| *id);
    entries.into_iter().map(|(_, entry)| entry)
}

fn append_farewell(
    state: &mut SessionState,
    session: &Arc<Session>,
    farewell: Farewell<'_>,
    turn: &mut Turn,
) {
    let mut bytes = turn.pool.take();
    for with_text in [true, false] {
        bytes.clear();
        let is_encoded = match farewell_message(farewell, with_text) {
            None => false,
            Some(message) => message.encode(session.serializer(), &mut bytes).is_ok(),
        };
        // Larger than the peer takes: without the text for people, or not at all.
        if is_encoded && !state.outbox.is_too_large(bytes.len()) {
            state.append(session, &bytes, Tail::Copied(&[]), turn);
            break;
        }
    }
    turn.pool.give(bytes);
}

fn farewell_message(farewell: Farewell<'_>, with_text: bool) -> Option<Message<'_>> {
    let text = |text: Option<&'_ str>| text.filter(|_| with_text).map(|text| text.to_owned().into());
    match farewell {
        Farewell::Lost => None,
        Farewell::Goodbye(reason, message) => {
            Some(Message::Goodbye(Goodbye { reason: reason.into(), message: text(message) }))
        }
        Farewell::Abort(reason, message) => {
            Some(Message::Abort(Abort { reason: reason.into(), message: text(Some(message)) }))
        }
    }
}
