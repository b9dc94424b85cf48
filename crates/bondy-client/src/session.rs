//! The client's session as a state machine without input and output: what is pending, what is subscribed and registered,
//! and which messages are to be sent.
//!
//! Handles of the application and the background task call it under one lock, each for one step. Messages that it wants
//! to send are appended to [`Outgoing`]; what must not happen under the lock (running a handler, dropping one) is left
//! as an [`Effect`]. It outlives connections: [`Session::joined`] begins one, [`Session::disconnected`] ends it.
//!
//! Invariant: whatever arrives, it does not panic, and each pending request is answered once: by its answer, by the end
//! of the connection, or by the end of the session.

mod invocation;
mod outgoing;
mod pubsub;
mod registration;
mod request;
mod restoring;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bondy_wamp::error_uri::{CloseUri, ErrorUri};
use bondy_wamp::id::RequestId;
use bondy_wamp::message::{Abort, Goodbye, Message};
use bondy_wamp::serializer::Serializer;
use tokio::sync::watch;

pub(crate) use invocation::{Cancellation, Finished, Invocation, Signal};
pub(crate) use outgoing::Outgoing;
pub(crate) use pubsub::OutgoingEvent;
pub(crate) use registration::{Answering, NewRegistration, Procedure, RegistrationToken};
pub(crate) use request::{CallAnswer, OutgoingCall, Part, Ticket};
pub(crate) use subscription::{NewSubscription, SubscriberToken};

use crate::connection::{ConnectionEvent, ConnectionState, EndReason, SessionDetails};
use crate::error::{CallError, SendError};
use crate::queue::Queue;
use invocation::Running;
use registration::Registrations;
use request::{PendingCall, Request};
use restoring::Restoring;
use subscription::Topics;

/// Calls that wait for their answer, as many as a router of this project takes from one caller.
pub(crate) const CALLS_PENDING_MAX: usize = 16_384;
/// Acknowledgements that wait to come: publications, subscriptions and registrations.
pub(crate) const REQUESTS_PENDING_MAX: usize = 16_384;
/// Invocations that run or wait to run, as many as a router of this project gives to one callee.
pub(crate) const INVOCATIONS_MAX: usize = 65_536;
/// Streams of events, and registrations, of one client.
pub(crate) const HELD_MAX: usize = 65_536;
/// Streams of connection events of one client.
const OBSERVERS_MAX: usize = 64;
/// Connection events that one stream holds; the oldest go.
const OBSERVED_MAX: usize = 256;

/// The limits of a session that can be set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes that wait to be written before senders have to wait.
    pub(crate) outgoing_bytes_max: usize,
}

/// Where the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is no connection; one may come.
    Disconnected,
    /// WELCOME has come.
    Joined,
    /// GOODBYE was sent, and its answer is awaited.
    Leaving,
    /// For good.
    Closed,
}

/// Why a request cannot be made at this moment, or at all.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is no connection; one may come.
    NotJoined,
    /// Too much waits to be written.
    NoRoom,
    /// It cannot be made.
    Failed(SendError),
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        Refusal::Failed(error)
    }
}

/// What is left to be done when the lock is free again.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Runs a handler.
    Invoke(Box<Invocation>),
    /// Drops what belongs to the application, whose destructor may do anything.
    Drop(Arc<dyn Procedure>),
    /// Wakes those who wait for room in the outgoing buffer.
    Room,
}

/// The router broke the protocol.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Violation(pub(crate) String);

/// What a new session begins with.
#[derive(Debug)]
pub(crate) struct Welcomed {
    pub(crate) details: SessionDetails,
    /// The largest message that the router takes.
    pub(crate) message_bytes_max: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    limits: Limits,
    phase: Phase,
    /// Counts connections, so that a request of an earlier one is not taken for one of this.
    generation: u64,
    serializer: Serializer,
    message_bytes_max: usize,
    outgoing: Outgoing,
    last_request: u64,
    calls: HashMap<RequestId, PendingCall>,
    requests: HashMap<RequestId, Request>,
    topics: Topics,
    registrations: Registrations,
    invocations: BTreeMap<RequestId, Running>,
    /// Invocations that ended before their last input.
    ended_inputs: BTreeSet<RequestId>,
    restoring: Option<Restoring>,
    observers: Vec<Arc<Queue<ConnectionEvent>>>,
    state: watch::Sender<ConnectionState>,
    effects: Vec<Effect>,
    details: Option<Arc<SessionDetails>>,
    /// Why the connection must end, once something has decided that.
    ended: Option<EndReason>,
    /// There is a deadline that the background task has not heard of.
    has_new_deadline: bool,
    /// The background task knows that there is something to send.
    driver_asked: bool,
}

impl Session {
    /// A session that has not joined yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            phase: Phase::Disconnected,
            generation: 0,
            serializer: crate::arguments::DEFAULT_SERIALIZER,
            message_bytes_max: usize::MAX,
            outgoing: Outgoing::default(),
            last_request: 0,
            calls: HashMap::new(),
            requests: HashMap::new(),
            topics: Topics::default(),
            registrations: Registrations::default(),
            invocations: BTreeMap::new(),
            ended_inputs: BTreeSet::new(),
            restoring: None,
            observers: Vec::new(),
            state: watch::Sender::new(ConnectionState::Disconnected),
            effects: Vec::new(),
            details: None,
            ended: None,
            has_new_deadline: false,
            driver_asked: false,
        }
    }

    /// WELCOME has come, from a router that takes messages of this size. What was subscribed and registered before is asked for again.
    pub(crate) fn joined(&mut self, details: Arc<SessionDetails>, message_bytes_max: usize, now: Instant) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Joined;
        self.generation += 1;
        self.serializer = details.serializer;
        self.message_bytes_max = message_bytes_max;
        self.forget_outgoing();
        self.last_request = 0;
        self.ended = None;
        self.details = Some(Arc::clone(&details));
        self.state.send_replace(ConnectionState::Connected);
        self.tell(&ConnectionEvent::Connected(details));
        self.restore(now);
    }

    /// The connection is gone. `heard` is when anything came from the router for the last time: events published since
    /// may be lost.
    pub(crate) fn disconnected(&mut self, reason: &EndReason, heard: Instant) {
        if matches!(self.phase, Phase::Disconnected | Phase::Closed) {
            return;
        }
        self.phase = Phase::Disconnected;
        self.state.send_replace(ConnectionState::Disconnected);
        self.forget_outgoing();
        self.effects.push(Effect::Room);
        let is_wanted = *reason == EndReason::Closed;
        let calls_failed =
            self.fail_calls(if is_wanted { &CallError::Closed } else { &CallError::Disconnected });
        self.fail_requests(is_wanted);
        self.topics.disconnected(heard);
        self.registrations.disconnected(&mut self.effects);
        self.cancel_invocations(Cancellation::Disconnected);
        self.interrupt_restoring(calls_failed);
        self.tell(&ConnectionEvent::Disconnected { reason: reason.clone(), calls_failed });
    }

    /// The end for good: nothing is restored any more.
    pub(crate) fn close(&mut self, reason: &EndReason) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.forget_outgoing();
        self.effects.push(Effect::Room);
        self.fail_calls(&CallError::Closed);
        self.fail_requests(true);
        self.topics.close(reason);
        self.registrations.close(reason, &mut self.effects);
        self.cancel_invocations(Cancellation::Disconnected);
        self.restoring = None;
        self.tell(&ConnectionEvent::Closed(reason.clone()));
        self.observers.drain(..).for_each(|observer| observer.end());
        self.state.send_replace(ConnectionState::Closed(reason.clone()));
    }

    /// Sends GOODBYE, if there is somebody to say it to. True if an answer will come.
    pub(crate) fn leave(&mut self) -> bool {
        if self.phase == Phase::Joined {
            self.phase = Phase::Leaving;
            let goodbye = Goodbye { message: None, reason: CloseUri::CloseRealm.as_str().into() };
            self.send(&Message::Goodbye(goodbye));
        }
        self.phase == Phase::Leaving
    }

    /// Handles one message of the router, which is so many bytes long: what waits to be read counts with its details.
    ///
    /// # Errors
    /// The message is none that a router may send now; the connection must end.
    pub(crate) fn handle(
        &mut self,
        message: &Message<'_>,
        bytes: usize,
        now: Instant,
    ) -> Result<(), Violation> {
        match message {
            Message::Result(result) => self.handle_result(result, bytes),
            Message::Event(event) => self.handle_event(event, bytes, now),
            Message::Invocation(invocation) => self.handle_invocation(invocation, bytes, now),
            Message::Interrupt(interrupt) => self.handle_interrupt(*interrupt),
            Message::Error(error) => self.handle_error(error, now)?,
            Message::Published(published) => self.handle_published(*published)?,
            Message::Subscribed(subscribed) => self.handle_subscribed(*subscribed, now)?,
            Message::Unsubscribed(unsubscribed) => self.handle_unsubscribed(unsubscribed)?,
            Message::Registered(registered) => self.handle_registered(*registered)?,
            Message::Unregistered(unregistered) => self.handle_unregistered(unregistered)?,
            Message::Goodbye(goodbye) => self.handle_goodbye(goodbye),
            Message::Abort(abort) => self.handle_abort(abort),
            Message::Hello(_)
            | Message::Welcome(_)
            | Message::Challenge(_)
            | Message::Authenticate(_)
            | Message::Publish(_)
            | Message::Subscribe(_)
            | Message::Unsubscribe(_)
            | Message::Call(_)
            | Message::Cancel(_)
            | Message::Register(_)
            | Message::Unregister(_)
            | Message::Yield(_) => {
                let text = format!("{} must not come from a router now", message.message_type());
                return Err(Violation(text));
            }
        }
        Ok(())
    }

    fn handle_goodbye(&mut self, goodbye: &Goodbye<'_>) {
        if self.phase == Phase::Leaving {
            self.ended = Some(EndReason::Closed);
            return;
        }
        let answer = Goodbye { message: None, reason: CloseUri::GoodbyeAndOut.as_str().into() };
        self.send(&Message::Goodbye(answer));
        self.ended = Some(EndReason::Goodbye {
            reason: goodbye.reason.clone().into_owned(),
            message: goodbye.message.clone().map(Into::into),
        });
    }

    fn handle_abort(&mut self, abort: &Abort<'_>) {
        self.ended = Some(EndReason::Abort {
            reason: abort.reason.clone().into_owned(),
            message: abort.message.clone().map(Into::into),
        });
    }

    /// Tells the router that it broke the protocol.
    pub(crate) fn abort(&mut self, violation: &Violation) {
        let reason = ErrorUri::ProtocolViolation.as_str().into();
        self.send(&Message::Abort(Abort { message: Some((&*violation.0).into()), reason }));
        self.ended = Some(EndReason::ProtocolViolation(violation.0.clone()));
    }

    /// Why the connection must end, if it must.
    pub(crate) fn ended(&self) -> Option<&EndReason> {
        self.ended.as_ref()
    }

    /// The present or last session.
    pub(crate) fn details(&self) -> Option<Arc<SessionDetails>> {
        self.details.clone()
    }

    /// The serializer to encode for.
    pub(crate) fn serializer(&self) -> Serializer {
        self.serializer
    }

    /// Whether it is joined, as a value to watch.
    pub(crate) fn watch(&self) -> watch::Receiver<ConnectionState> {
        self.state.subscribe()
    }

    /// A new stream of what happens to the connection.
    pub(crate) fn observe(&mut self) -> Arc<Queue<ConnectionEvent>> {
        let queue = Arc::new(Queue::new(OBSERVED_MAX, usize::MAX));
        self.forget_observers();
        match self.observers.len() < OBSERVERS_MAX && self.phase != Phase::Closed {
            true => self.observers.push(Arc::clone(&queue)),
            false => queue.end(),
        }
        queue
    }

    /// Streams that nobody else holds have been dropped.
    fn forget_observers(&mut self) {
        self.observers.retain(|observer| Arc::strong_count(observer) > 1);
    }

    /// Tells all observers.
    pub(crate) fn tell(&mut self, event: &ConnectionEvent) {
        self.forget_observers();
        for observer in &self.observers {
            observer.push_newest(event.clone(), 0, 0);
        }
    }

    /// Takes the messages to send, leaving an empty buffer.
    pub(crate) fn take_outgoing(&mut self, empty: &mut Outgoing) {
        if self.outgoing.len() >= self.limits.outgoing_bytes_max {
            self.effects.push(Effect::Room);
        }
        std::mem::swap(&mut self.outgoing, empty);
        self.driver_asked = false;
    }

    fn forget_outgoing(&mut self) {
        self.outgoing.clear();
        self.driver_asked = false;
    }

    /// Is there something to send that the background task does not know of, or a new deadline? Asked once for what
    /// waits: while the socket is blocked, a task that is woken by its own steps would never sleep.
    pub(crate) fn wants_driver(&mut self) -> bool {
        let is_new = !self.outgoing.is_empty() && !std::mem::replace(&mut self.driver_asked, true);
        is_new || self.has_new_deadline
    }

    /// Does a stream of events wait though no answer is to come?
    #[cfg(any(test, fuzzing))]
    pub(crate) fn subscribers_wait_in_vain(&self) -> bool {
        self.topics.wait_in_vain()
    }

    /// May another message be appended?
    pub(crate) fn has_room(&self) -> bool {
        self.phase != Phase::Joined || self.outgoing.len() < self.limits.outgoing_bytes_max
    }

    /// What is left to be done without the lock.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// When [`Session::expire`] wants to be called.
    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        self.has_new_deadline = false;
        self.registrations.next_retry()
    }

    /// Does what is due.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.retry_registrations(now);
    }

    /// May a request be made now?
    fn check_ready(&self) -> Result<(), Refusal> {
        match self.phase {
            Phase::Joined if self.ended.is_some() => Err(Refusal::NotJoined),
            Phase::Joined if self.has_room() => Ok(()),
            Phase::Joined => Err(Refusal::NoRoom),
            Phase::Disconnected => Err(Refusal::NotJoined),
            Phase::Leaving | Phase::Closed => Err(SendError::Closed.into()),
        }
    }

    /// Sends a request under the next id. Where that fails the id is not used up, so that ids stay without gaps.
    fn request_with(
        &mut self,
        send: impl FnOnce(&mut Self, RequestId) -> Result<(), Refusal>,
    ) -> Result<RequestId, Refusal> {
        let request = RequestId(self.last_request + 1);
        send(self, request)?;
        self.last_request = request.0;
        Ok(request)
    }

    fn try_send(&mut self, message: &Message<'_>) -> Result<(), Refusal> {
        self.outgoing.append(message, self.serializer, self.message_bytes_max)
    }

    /// Appends a message of our own making, which is small and well-formed.
    fn send(&mut self, message: &Message<'_>) {
        if let Err(refusal) = self.try_send(message) {
            // A router that takes not even this has a limit of some hundred bytes: nothing can be done with it.
            tracing::warn!(?refusal, message_type = %message.message_type(), "the router takes no message of this size");
        }
    }
}

/// How long ago, never negative.
fn since(earlier: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(earlier)
}
