//! Registrations: each with its handler, what it was asked for with, and where it stands.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::id::RegistrationId;
use bondy_wamp::message::{self, Message, MessageType, RegisterOptions, Registered, Unregistered};
use bondy_wamp::uri::MatchPolicy;
use tokio::sync::{oneshot, watch};

use super::invocation::Invocation;
use super::request::Request;
use super::{Effect, HELD_MAX, Phase, Refusal, Session, Violation};
use crate::arguments::Arguments;
use crate::connection::WhyEnded;
use crate::connection::{ConnectionEvent, EndReason, Lost};
use crate::error::{RegisterError, SendError, WampError};
use crate::invocation::InvocationContext;

/// For so long a registration that is still held, probably by this client's own lost session, is asked for again. A
/// router of this project notices a session that is frozen behind a proxy after 40 s, and another's pings may be rarer.
const RETRIES_MAX: Duration = Duration::from_secs(90);
/// The pause before the first of those retries; each following one is twice as long.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause between two of them.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// What runs for an invocation.
pub(crate) trait Procedure: Send + Sync {
    /// Begins an invocation. It may panic, also when it is polled.
    fn begin(&self, arguments: Arguments, context: InvocationContext) -> Answering;
}

/// A running handler.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Arguments, WampError>> + Send>>;

impl fmt::Debug for dyn Procedure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Procedure")
    }
}

/// Names a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RegistrationToken(u64);

/// What is to be registered.
#[derive(Debug)]
pub(crate) struct NewRegistration {
    pub(crate) procedure: Arc<str>,
    pub(crate) match_policy: MatchPolicy,
    pub(crate) invoke: Option<String>,
    /// 0: any number.
    pub(crate) concurrency: u32,
    pub(crate) force_reregister: bool,
    pub(crate) disclose_caller: bool,
    pub(crate) forward_timeout: bool,
    /// How long a handler may go on after it was told to stop.
    pub(crate) grace: Duration,
    pub(crate) handler: Arc<dyn Procedure>,
}

/// All registrations of a session.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    pub(super) entries: BTreeMap<RegistrationToken, Registration>,
    by_id: HashMap<RegistrationId, RegistrationToken>,
    last_number: u64,
    /// Nothing that was refused is due earlier. Kept, since it is asked for at every turn of the background task.
    next_retry: Option<Instant>,
}

/// One registration.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(super) new: Arc<NewRegistration>,
    id: Option<RegistrationId>,
    stage: Stage,
    /// Present until REGISTERED has come for the first time.
    confirmation: Option<oneshot::Sender<Result<(), RegisterError>>>,
    ended: watch::Sender<Option<WhyEnded>>,
    /// A restoration waits for this one.
    is_restoring: bool,
    /// Handlers that have not ended.
    pub(super) running: u32,
    /// Invocations above `concurrency`.
    pub(super) queued: VecDeque<Box<Invocation>>,
}

#[derive(Debug)]
enum Stage {
    /// REGISTER is on its way.
    Asked { is_wanted: bool, retry: Option<Retry> },
    /// It is there.
    There,
    /// UNREGISTER is on its way.
    Leaving(Option<oneshot::Sender<Result<(), WampError>>>),
    /// There is no connection.
    Waiting,
    /// It was refused, and is asked for again at this time.
    Refused { again: Instant, retry: Retry },
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    until: Instant,
    pause: Duration,
}

impl Registrations {
    /// The registration of this id.
    pub(super) fn by_registration(&self, id: RegistrationId) -> Option<RegistrationToken> {
        self.by_id.get(&id).copied()
    }

    fn remove(&mut self, token: RegistrationToken, effects: &mut Vec<Effect>) -> Option<Registration> {
        let registration = self.entries.remove(&token)?;
        if let Some(id) = registration.id
            && self.by_id.get(&id) == Some(&token)
        {
            self.by_id.remove(&id);
        }
        effects.push(Effect::Drop(Arc::clone(&registration.new.handler)));
        Some(registration)
    }

    /// When the next registration that was refused is to be asked for again, at the earliest.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.next_retry
    }

    /// The connection is gone: what was confirmed stays, to be restored.
    pub(super) fn disconnected(&mut self, effects: &mut Vec<Effect>) {
        self.by_id.clear();
        self.next_retry = None;
        let mut gone = Vec::new();
        for (token, registration) in &mut self.entries {
            registration.id = None;
            registration.queued.clear();
            registration.is_restoring = false;
            let stays = match std::mem::replace(&mut registration.stage, Stage::Waiting) {
                Stage::Asked { is_wanted, .. } => is_wanted && registration.confirmation.is_none(),
                Stage::Leaving(waiter) => {
                    waiter.map(|waiter| waiter.send(Ok(())));
                    false
                }
                Stage::There | Stage::Waiting | Stage::Refused { .. } => true,
            };
            if !stays {
                gone.push(*token);
            }
        }
        for token in gone {
            if let Some(confirmation) = self.remove(token, effects).and_then(|gone| gone.confirmation) {
                let _ = confirmation.send(Err(RegisterError::Disconnected));
            }
        }
    }

    /// The client is closed.
    pub(super) fn close(&mut self, reason: &EndReason, effects: &mut Vec<Effect>) {
        self.by_id.clear();
        self.next_retry = None;
        for registration in std::mem::take(&mut self.entries).into_values() {
            if let Some(confirmation) = registration.confirmation {
                let _ = confirmation.send(Err(RegisterError::Closed));
            }
            if let Stage::Leaving(Some(waiter)) = registration.stage {
                let _ = waiter.send(Ok(()));
            }
            registration.ended.send_replace(Some(WhyEnded::Closed(reason.clone())));
            effects.push(Effect::Drop(Arc::clone(&registration.new.handler)));
        }
    }
}

impl Registration {
    /// Do as many handlers run as this registration allows?
    pub(super) fn is_full(&self) -> bool {
        self.new.concurrency > 0 && self.running >= self.new.concurrency
    }
}

/// What a new registration is watched by: its confirmation, and its end.
type Watched =
    (RegistrationToken, oneshot::Receiver<Result<(), RegisterError>>, watch::Receiver<Option<WhyEnded>>);

impl Session {
    /// Sends REGISTER.
    pub(crate) fn register(&mut self, new: &Arc<NewRegistration>) -> Result<Watched, Refusal> {
        self.check_ready()?;
        self.check_requests()?;
        if self.registrations.entries.len() >= HELD_MAX {
            return Err(SendError::TooMany { what: "registrations", max: HELD_MAX }.into());
        }
        let request = self.send_register(new)?;
        self.registrations.last_number += 1;
        let token = RegistrationToken(self.registrations.last_number);
        self.requests.insert(request, Request::Register(token));
        let (confirmation, confirmed) = oneshot::channel();
        let (ended, watched) = watch::channel(None);
        let registration = Registration {
            new: Arc::clone(new),
            id: None,
            stage: Stage::Asked { is_wanted: true, retry: None },
            confirmation: Some(confirmation),
            ended,
            is_restoring: false,
            running: 0,
            queued: VecDeque::new(),
        };
        self.registrations.entries.insert(token, registration);
        Ok((token, confirmed, watched))
    }

    /// Takes a registration out. Invocations that wait for their turn are for another callee, if there is one.
    fn remove_registration(&mut self, token: RegistrationToken) -> Option<Registration> {
        let mut registration = self.registrations.remove(token, &mut self.effects)?;
        for invocation in std::mem::take(&mut registration.queued) {
            self.give_back(&invocation);
        }
        Some(registration)
    }

    fn send_register(&mut self, new: &NewRegistration) -> Result<bondy_wamp::id::RequestId, Refusal> {
        let options = RegisterOptions {
            match_policy: new.match_policy,
            invoke: new.invoke.as_deref().map(Into::into),
            concurrency: new.concurrency,
            force_reregister: new.force_reregister,
            disclose_caller: new.disclose_caller,
            forward_timeout: new.forward_timeout,
        };
        self.request_with(|session, request| {
            let procedure = (&*new.procedure).into();
            session.try_send(&Message::Register(message::Register { request, options, procedure }))
        })
    }

    /// The application wants it no more. The answer to UNREGISTER comes through the receiver, where one is sent.
    pub(crate) fn unregister(
        &mut self,
        token: RegistrationToken,
    ) -> Option<oneshot::Receiver<Result<(), WampError>>> {
        let registration = self.registrations.entries.get_mut(&token)?;
        match &mut registration.stage {
            Stage::Asked { is_wanted, .. } => {
                *is_wanted = false;
                None
            }
            Stage::There => {
                let (sender, receiver) = oneshot::channel();
                self.send_unregister(token, Some(sender));
                Some(receiver)
            }
            Stage::Leaving(_) => None,
            Stage::Waiting | Stage::Refused { .. } => {
                let was_restoring = registration.is_restoring;
                self.remove_registration(token);
                if was_restoring {
                    self.restored(|_| {});
                }
                None
            }
        }
    }

    fn send_unregister(
        &mut self,
        token: RegistrationToken,
        waiter: Option<oneshot::Sender<Result<(), WampError>>>,
    ) {
        let Some(registration) = self.registrations.entries.get_mut(&token) else { return };
        let Some(id) = registration.id else { return };
        // Behind GOODBYE nothing may be sent, and with the session the registration ends.
        if self.phase != Phase::Joined {
            drop(self.remove_registration(token));
            return;
        }
        registration.stage = Stage::Leaving(waiter);
        let sent = self.request_with(|session, request| {
            session.try_send(&Message::Unregister(message::Unregister { request, registration: id }))
        });
        match sent {
            Ok(request) => {
                self.requests.insert(request, Request::Unregister(token));
            }
            Err(_) => drop(self.remove_registration(token)),
        }
    }

    pub(super) fn handle_registered(&mut self, registered: Registered) -> Result<(), Violation> {
        if let Some(Request::Register(token)) =
            self.take_request(registered.request, MessageType::Register)?
        {
            self.registered(registered.registration, token);
        }
        Ok(())
    }

    fn registered(&mut self, id: RegistrationId, token: RegistrationToken) {
        let Some(registration) = self.registrations.entries.get_mut(&token) else { return };
        registration.id = Some(id);
        self.registrations.by_id.insert(id, token);
        let is_wanted = !matches!(registration.stage, Stage::Asked { is_wanted: false, .. });
        registration.stage = Stage::There;
        if let Some(confirmation) = registration.confirmation.take() {
            let _ = confirmation.send(Ok(()));
        }
        let uri = registration.new.procedure.to_string();
        if std::mem::take(&mut registration.is_restoring) {
            self.restored(|report| report.registrations.extend(is_wanted.then_some(uri)));
        }
        if !is_wanted {
            self.send_unregister(token, None);
        }
    }

    pub(super) fn register_refused(&mut self, token: RegistrationToken, error: WampError, now: Instant) {
        let Some(registration) = self.registrations.entries.get_mut(&token) else { return };
        if let Stage::Asked { is_wanted: true, retry: Some(retry) } = registration.stage
            && error.is(ErrorUri::ProcedureAlreadyExists)
            && now < retry.until
        {
            let next = Retry { pause: (retry.pause * 2).min(RETRY_PAUSE_MAX), ..retry };
            let again = now + retry.pause;
            registration.stage = Stage::Refused { again, retry: next };
            let earliest = self.registrations.next_retry.map_or(again, |earliest| earliest.min(again));
            self.registrations.next_retry = Some(earliest);
            self.has_new_deadline = true;
            return;
        }
        self.lose_registration(token, &error);
    }

    /// The router has it no more, or never did.
    fn lose_registration(&mut self, token: RegistrationToken, error: &WampError) {
        let Some(registration) = self.remove_registration(token) else { return };
        if let Some(confirmation) = registration.confirmation {
            let _ = confirmation.send(Err(error.clone().into()));
            return;
        }
        let procedure = registration.new.procedure.to_string();
        let is_wanted = !matches!(registration.stage, Stage::Asked { is_wanted: false, .. });
        if registration.is_restoring {
            let lost = Lost { uri: procedure.clone(), error: error.clone() };
            self.restored(|report| report.lost.extend(is_wanted.then_some(lost)));
        }
        if !is_wanted {
            return;
        }
        registration.ended.send_replace(Some(WhyEnded::Lost(error.clone())));
        self.tell(&ConnectionEvent::RegistrationLost { procedure, error: error.clone() });
    }

    pub(super) fn handle_unregistered(&mut self, unregistered: &Unregistered) -> Result<(), Violation> {
        if let Some((id, reason)) = &unregistered.revoked {
            let Some(token) = self.registrations.by_registration(*id) else { return Ok(()) };
            let is_there = self
                .registrations
                .entries
                .get(&token)
                .is_some_and(|registration| matches!(registration.stage, Stage::There));
            // The answer to an UNREGISTER that crossed the revocation is still to come.
            if is_there {
                self.lose_registration(token, &WampError::new(reason.clone()));
            }
        } else if let Some(Request::Unregister(token)) =
            self.take_request(unregistered.request, MessageType::Unregister)?
        {
            self.unregister_answered(token, Ok(()));
        }
        Ok(())
    }

    pub(super) fn unregister_answered(&mut self, token: RegistrationToken, answer: Result<(), WampError>) {
        if let Some(registration) = self.remove_registration(token)
            && let Stage::Leaving(Some(waiter)) = registration.stage
        {
            let _ = waiter.send(answer);
        }
    }

    /// Asks again for every registration.
    pub(super) fn restore_registrations(&mut self, now: Instant) {
        let tokens: Vec<RegistrationToken> = self.registrations.entries.keys().copied().collect();
        let retry = Retry { until: now + RETRIES_MAX, pause: RETRY_PAUSE_MIN };
        for token in &tokens {
            if let Some(registration) = self.registrations.entries.get_mut(token) {
                registration.is_restoring = true;
            }
            self.ask_again(*token, retry);
        }
    }

    fn ask_again(&mut self, token: RegistrationToken, retry: Retry) {
        let Some(registration) = self.registrations.entries.get_mut(&token) else { return };
        registration.stage = Stage::Asked { is_wanted: true, retry: Some(retry) };
        let new = Arc::clone(&registration.new);
        match self.send_register(&new) {
            Ok(request) => drop(self.requests.insert(request, Request::Register(token))),
            // What was accepted once is not too large now, unless this router takes less than the one before.
            Err(_) => self.lose_registration(token, &ErrorUri::PayloadSizeExceeded.into()),
        }
    }

    /// Asks again for what was refused and is due.
    pub(super) fn retry_registrations(&mut self, now: Instant) {
        if self.registrations.next_retry.is_none_or(|next| next > now) {
            return;
        }
        let refused: Vec<(RegistrationToken, Instant, Retry)> = self
            .registrations
            .entries
            .iter()
            .filter_map(|(token, registration)| match registration.stage {
                Stage::Refused { again, retry } => Some((*token, again, retry)),
                Stage::Asked { .. } | Stage::There | Stage::Leaving(_) | Stage::Waiting => None,
            })
            .collect();
        let later = refused.iter().map(|(_, again, _)| *again).filter(|again| *again > now);
        self.registrations.next_retry = later.min();
        let due = refused.into_iter().filter(|(_, again, _)| *again <= now);
        due.for_each(|(token, _, retry)| self.ask_again(token, retry));
    }
}
