//! The control plane: who is in the realm, who is subscribed, who is registered, and how each of them leaves.
//!
//! Everything here runs under the realm's control lock, which is held from the first to the last section of each
//! operation. Replies and meta events are appended while it is held, so that they keep their order.

use std::collections::BTreeMap;

use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::feature::Feature;
use bondy_wamp::id::{RegistrationId, RequestId, SessionId, SubscriptionId};
use bondy_wamp::message::{self, Abort, Goodbye, Head, Message, MessageType};
use bondy_wamp::mutation::mutated;
use bondy_wamp::outbox::Tail;
use bondy_wamp::uri::MatchPolicy;

use crate::dealer;
use crate::realm::{Farewell, Flow, Realm};
use crate::registration::Registration;
use crate::registry::{Entry, Registry, Routes};
use crate::retained::RetainedEvents;
use crate::session::{InvocationEntry, Phase, Refusal, SeededMap, Session, SessionState};
use crate::slot::Slot;
use crate::subscription::Subscription;
use crate::sync::{Arc, Guard};
use crate::testament::Testaments;
use crate::turn::Turn;

mod register;
mod subscribe;

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

    /// A request that changes what control holds: checked without it, done under it, refused without it again.
    /// `act` returns false where the session's outbox has no room for the answer.
    fn request<T>(
        &self,
        session: &Arc<Session>,
        (request_type, request): (MessageType, RequestId),
        turn: &mut Turn,
        check: impl FnOnce() -> Result<T, Refusal>,
        act: impl FnOnce(&mut Control, T, &mut Turn) -> Result<bool, Refusal>,
    ) -> Flow {
        if let Err(text) = Self::check_sequence(session, request) {
            return self.violate(session, &text, turn);
        }
        let outcome = check().and_then(|checked| {
            let has_room = session.lock().outbox.has_room();
            if has_room { act(&mut self.control.lock(), checked, turn) } else { Ok(false) }
        });
        match outcome {
            Ok(true) => Flow::Done,
            Ok(false) => self.overflow(session, turn),
            Err(refusal) => self.refuse(session, request_type, request, &refusal, turn),
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

/// Another prefix pattern of this length: is it one too many?
fn check_prefix_lengths<E: Entry>(
    registry: &Registry<E>,
    pattern: &str,
    policy: MatchPolicy,
    lengths_max: usize,
) -> Result<(), Refusal> {
    if policy == MatchPolicy::Prefix && registry.prefix_lengths_with(pattern) > lengths_max {
        return Err(Refusal::limit("prefix_lengths_max", lengths_max));
    }
    Ok(())
}

/// Takes a member out of an entry, and the entry away if it was its last; true if it was.
fn drop_member<E: Entry>(
    registry: &mut Registry<E>,
    routes: &Routes<E>,
    id: u64,
    leave: impl FnOnce(&E) -> usize,
) -> bool {
    let Some(entry) = registry.by_id(id).map(Arc::clone) else { return false };
    let is_last = leave(&entry) == 0;
    if is_last {
        registry.remove(&entry);
        routes.remove(&entry);
    }
    is_last
}

/// What a session that has announced the feature is told when the router ends a route of it.
fn revocation<'a>(
    session: &'a Arc<Session>,
    feature: Feature,
    message_type: MessageType,
    (key, id): (&'a str, u64),
    reason: &'a str,
) -> impl FnOnce(&mut SessionState, &mut Turn) + 'a {
    move |state, turn| {
        if !session.features().has(feature) {
            return;
        }
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
            state.append(session, &Head::NONE, Tail::Copied(&bytes), turn);
            break;
        }
    }
    turn.pool.give(bytes);
}

fn farewell_message(farewell: Farewell<'_>, with_text: bool) -> Option<Message<'_>> {
    match farewell {
        Farewell::Lost => None,
        Farewell::Goodbye(reason, message) => Some(Message::Goodbye(Goodbye {
            reason: reason.into(),
            message: message.filter(|_| with_text).map(Into::into),
        })),
        Farewell::Abort(reason, message) => {
            Some(Message::Abort(Abort { reason: reason.into(), message: with_text.then(|| message.into()) }))
        }
    }
}
