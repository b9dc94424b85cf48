//! Invocations: those that run, those that wait for their turn, and how they are told to stop.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::id::RequestId;
use bondy_wamp::message::{self, CancelMode, Interrupt, Message, MessageType};
use tokio::sync::Notify;

use super::registration::{NewRegistration, RegistrationToken};
use super::{Effect, INVOCATIONS_MAX, Phase, Refusal, Session};
use crate::arguments::{Arguments, Details};
use crate::error::{RUNTIME_ERROR, SendError, WampError, full};
use crate::identity::Identity;
use crate::policy::bounded;
use crate::queue::Queue;

/// Invocations of one registration that wait because `concurrency` of them run. Beyond, `wamp.error.unavailable`.
pub(crate) const INVOCATIONS_QUEUED_MAX: usize = 1024;
/// Inputs of one progressive invocation that may wait to be read. Beyond, the invocation ends with an error.
const INPUTS_QUEUED_MAX: usize = 1024;
/// Their bytes.
const INPUT_BYTES_QUEUED_MAX: usize = 64 * 1024 * 1024;
/// Invocations that ended before their last input whose ids are remembered, so that input that was on its way begins
/// nothing: the newest, as many as a router of this project remembers.
const ENDED_INPUTS_MAX: usize = 1024;

/// Why an invocation is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancellation {
    /// The caller waits for what this side answers to that.
    Kill,
    /// Nobody waits for an answer any more.
    NoWait,
    /// It took longer than its caller allowed.
    Timeout,
    /// The connection that it came through is gone.
    Disconnected,
}

/// Tells an invocation to stop, once.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    cancellation: OnceLock<Cancellation>,
    told: Notify,
}

impl Signal {
    /// Tells it; the first reason counts.
    pub(crate) fn cancel(&self, cancellation: Cancellation) {
        if self.cancellation.set(cancellation).is_ok() {
            self.told.notify_waiters();
        }
    }

    /// Why, if it was told.
    pub(crate) fn cancellation(&self) -> Option<Cancellation> {
        self.cancellation.get().copied()
    }

    /// Waits until it is told.
    pub(crate) async fn canceled(&self) -> Cancellation {
        loop {
            let told = self.told.notified();
            if let Some(cancellation) = self.cancellation() {
                return cancellation;
            }
            told.await;
        }
    }
}

/// An invocation that is to be run.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) generation: u64,
    pub(crate) request: RequestId,
    pub(crate) registration: RegistrationToken,
    pub(crate) registered: Arc<NewRegistration>,
    pub(crate) arguments: Arguments,
    pub(crate) procedure: Arc<str>,
    pub(crate) receive_progress: bool,
    pub(crate) received: Instant,
    /// Counted from when it was received.
    pub(crate) timeout: Option<Duration>,
    pub(crate) caller: Option<Identity>,
    pub(crate) trustlevel: Option<u64>,
    pub(crate) details: Details,
    pub(crate) signal: Arc<Signal>,
    pub(crate) inputs: Option<Arc<Queue<Arguments>>>,
}

/// An invocation that was not answered.
#[derive(Debug)]
pub(super) struct Running {
    registration: RegistrationToken,
    signal: Arc<Signal>,
    /// Present as long as more input may come.
    inputs: Option<Arc<Queue<Arguments>>>,
}

/// How a handler ended.
#[derive(Debug)]
pub(crate) enum Finished {
    /// It answered.
    Answered(Result<Arguments, WampError>),
    /// It was told to stop, and is gone.
    Stopped(Cancellation),
    /// It panicked.
    Panicked,
}

impl Session {
    pub(super) fn handle_invocation(
        &mut self,
        invocation: &message::Invocation<'_>,
        bytes: usize,
        now: Instant,
    ) {
        let request = invocation.request;
        // Behind GOODBYE no answer may be sent.
        if self.phase != Phase::Joined {
            return;
        }
        if self.invocations.contains_key(&request) {
            self.more_input(invocation, bytes);
            return;
        }
        if self.is_late_input(invocation) {
            return;
        }
        let Some(token) = self.registrations.by_registration(invocation.registration) else {
            self.refuse(request, "this client has no such registration");
            return;
        };
        if self.invocations.len() >= INVOCATIONS_MAX {
            self.refuse(request, "too many invocations are running");
            return;
        }
        let Some(registration) = self.registrations.entries.get_mut(&token) else { return };
        let is_full = registration.is_full();
        if is_full && registration.queued.len() >= INVOCATIONS_QUEUED_MAX {
            self.refuse(request, "too many invocations are waiting");
            return;
        }
        let received = Invocation::received(invocation, self.generation, token, &registration.new, now);
        let running = Running {
            registration: token,
            signal: Arc::clone(&received.signal),
            inputs: received.inputs.clone(),
        };
        if is_full {
            registration.queued.push_back(received);
        } else {
            registration.running += 1;
            self.effects.push(Effect::Invoke(received));
        }
        self.invocations.insert(request, running);
    }

    fn more_input(&mut self, invocation: &message::Invocation<'_>, bytes: usize) {
        let Some(running) = self.invocations.get_mut(&invocation.request) else { return };
        let Some(inputs) = &running.inputs else { return };
        let arguments = Arguments::received(invocation.payload);
        let is_last = !invocation.details.progress;
        if inputs.try_push(arguments, bytes).is_err() {
            let error = WampError::with_message(
                ErrorUri::Unavailable.as_str(),
                format!("more than {INPUTS_QUEUED_MAX} inputs wait to be read"),
            );
            running.signal.cancel(Cancellation::NoWait);
            self.end_invocation(invocation.request);
            if is_last {
                self.ended_inputs.remove(&invocation.request);
            }
            self.send_error(invocation.request, &error);
        } else if is_last {
            inputs.end();
            running.inputs = None;
        }
    }

    /// Is it further input of an invocation that has ended? It was on its way when that was answered.
    fn is_late_input(&mut self, invocation: &message::Invocation<'_>) -> bool {
        match invocation.details.progress {
            true => self.ended_inputs.contains(&invocation.request),
            false => self.ended_inputs.remove(&invocation.request),
        }
    }

    /// Takes out an invocation that is answered, or not waited for any more.
    fn end_invocation(&mut self, request: RequestId) {
        if let Some(Running { inputs: Some(inputs), .. }) = self.invocations.remove(&request) {
            self.end_inputs(request, &inputs);
        }
    }

    /// No further input is taken, and what comes nevertheless is known as late.
    fn end_inputs(&mut self, request: RequestId, inputs: &Queue<Arguments>) {
        inputs.end();
        self.ended_inputs.insert(request);
        if self.ended_inputs.len() > ENDED_INPUTS_MAX {
            // Ids count upwards, so the smallest is the oldest.
            self.ended_inputs.pop_first();
        }
    }

    /// An invocation that will never run here.
    pub(super) fn give_back(&mut self, invocation: &Invocation) {
        if self.is_running(invocation.generation, invocation.request) {
            self.end_invocation(invocation.request);
            self.refuse(invocation.request, "the procedure is not registered here any more");
        }
    }

    /// How many invocations have no answer yet.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn invocations(&self) -> usize {
        self.invocations.len()
    }

    /// "Ask another callee, if there is one."
    fn refuse(&mut self, request: RequestId, why: &str) {
        self.send_error(request, &WampError::with_message(ErrorUri::Unavailable.as_str(), why));
    }

    pub(super) fn handle_interrupt(&mut self, interrupt: Interrupt) {
        let Some(running) = self.invocations.get_mut(&interrupt.request) else { return };
        let (signal, inputs) = (Arc::clone(&running.signal), running.inputs.take());
        let registration = running.registration;
        if let Some(inputs) = inputs {
            self.end_inputs(interrupt.request, &inputs);
        }
        let was_queued = self.take_queued(registration, interrupt.request);
        match interrupt.mode {
            CancelMode::Kill if was_queued => {
                self.end_invocation(interrupt.request);
                self.answer(interrupt.request, Finished::Stopped(Cancellation::Kill));
            }
            CancelMode::Kill => signal.cancel(Cancellation::Kill),
            CancelMode::KillNoWait | CancelMode::Skip => {
                signal.cancel(Cancellation::NoWait);
                self.end_invocation(interrupt.request);
            }
        }
    }

    /// Takes an invocation out of those that wait for their turn; false if it is none of them.
    fn take_queued(&mut self, registration: RegistrationToken, request: RequestId) -> bool {
        let Some(registration) = self.registrations.entries.get_mut(&registration) else { return false };
        let position = registration.queued.iter().position(|queued| queued.request == request);
        position.and_then(|position| registration.queued.remove(position)).is_some()
    }

    /// The connection is gone, or the client is closed.
    pub(super) fn cancel_invocations(&mut self, cancellation: Cancellation) {
        self.ended_inputs.clear();
        for running in std::mem::take(&mut self.invocations).into_values() {
            running.signal.cancel(cancellation);
            if let Some(inputs) = running.inputs {
                inputs.end();
            }
        }
    }

    /// Sends a progressive result; false where the invocation is not waited for any more.
    pub(crate) fn progress(
        &mut self,
        generation: u64,
        request: RequestId,
        arguments: &Arguments,
    ) -> Result<bool, Refusal> {
        if !self.is_running(generation, request) || self.phase != Phase::Joined {
            return Ok(false);
        }
        self.check_ready()?;
        self.send_yield(request, true, arguments)?;
        Ok(true)
    }

    fn is_running(&self, generation: u64, request: RequestId) -> bool {
        generation == self.generation && self.invocations.contains_key(&request)
    }

    fn send_yield(
        &mut self,
        request: RequestId,
        progress: bool,
        arguments: &Arguments,
    ) -> Result<(), Refusal> {
        let payload = arguments.payload();
        let options = message::Attributes::none(self.serializer);
        self.try_send(&Message::Yield(message::Yield { request, progress, options, payload }))
    }

    /// A handler has ended: answers, where an answer is waited for, and lets the next one begin.
    pub(crate) fn finish(
        &mut self,
        generation: u64,
        request: RequestId,
        registration: RegistrationToken,
        finished: Finished,
    ) {
        if self.is_running(generation, request) {
            self.end_invocation(request);
            self.answer(request, finished);
        }
        let Some(registration) = self.registrations.entries.get_mut(&registration) else { return };
        registration.running = registration.running.saturating_sub(1);
        while !registration.is_full() {
            let Some(next) = registration.queued.pop_front() else { return };
            // One that ended while it waited is not begun.
            if self.invocations.contains_key(&next.request) {
                registration.running += 1;
                self.effects.push(Effect::Invoke(next));
            }
        }
    }

    fn answer(&mut self, request: RequestId, finished: Finished) {
        if self.phase != Phase::Joined {
            return;
        }
        let error = match finished {
            Finished::Answered(Ok(arguments)) => match self.send_yield(request, false, &arguments) {
                Ok(()) => return,
                Err(refusal) => too_large(&refusal),
            },
            Finished::Answered(Err(error)) => error,
            Finished::Stopped(Cancellation::Timeout) => ErrorUri::Timeout.into(),
            Finished::Stopped(Cancellation::Kill | Cancellation::NoWait | Cancellation::Disconnected) => {
                ErrorUri::Canceled.into()
            }
            Finished::Panicked => WampError::with_message(RUNTIME_ERROR, "the procedure's handler panicked"),
        };
        self.send_error(request, &error);
    }

    fn send_error(&mut self, request: RequestId, error: &WampError) {
        if self.phase != Phase::Joined {
            return;
        }
        if let Err(refusal) = self.try_send_error(request, error) {
            // Without arguments an error is some bytes more than its URI.
            let _ = self.try_send_error(request, &too_large(&refusal));
        }
    }

    fn try_send_error(&mut self, request: RequestId, error: &WampError) -> Result<(), Refusal> {
        let details = message::Attributes::none(self.serializer);
        let payload = error.arguments().payload();
        let request_type = MessageType::Invocation;
        self.try_send(&Message::Error(message::Error {
            request_type,
            request,
            details,
            error: error.uri().into(),
            payload,
        }))
    }
}

/// What the caller hears where the handler's answer cannot be sent.
fn too_large(refusal: &Refusal) -> WampError {
    match refusal {
        Refusal::Failed(SendError::Encode(error)) => WampError::runtime(full(error)),
        Refusal::Failed(_) | Refusal::NotJoined | Refusal::NoRoom => WampError::with_message(
            ErrorUri::PayloadSizeExceeded.as_str(),
            "the answer is larger than the router takes",
        ),
    }
}

impl Invocation {
    fn received(
        message: &message::Invocation<'_>,
        generation: u64,
        registration: RegistrationToken,
        registered: &Arc<NewRegistration>,
        now: Instant,
    ) -> Box<Self> {
        let details = &message.details;
        let procedure = match &details.procedure {
            Some(procedure) => Arc::from(&**procedure),
            None => Arc::clone(&registered.procedure),
        };
        let inputs =
            details.progress.then(|| Arc::new(Queue::new(INPUTS_QUEUED_MAX, INPUT_BYTES_QUEUED_MAX)));
        Box::new(Self {
            generation,
            request: message.request,
            registration,
            registered: Arc::clone(registered),
            arguments: Arguments::received(message.payload),
            procedure,
            receive_progress: details.receive_progress,
            received: now,
            timeout: Some(details.timeout_ms).filter(|ms| *ms > 0).map(Duration::from_millis).map(bounded),
            caller: details.caller.as_ref().map(Identity::of),
            trustlevel: details.trustlevel,
            details: Details::of(&details.attributes),
            signal: Arc::new(Signal::default()),
            inputs,
        })
    }
}
