//! What the handles of one client and its background task share: the session under its lock, and those who wait.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bondy_wamp::serializer::Serializer;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::client::Handle;
use crate::connection::ConnectionState;
use crate::error::SendError;
use crate::policy::bounded;
use crate::session::{Effect, Limits, Refusal, Session};

/// Requests that wait for a connection. Beyond, they fail as if there were no waiting.
pub(crate) const WAITING_MAX: usize = 16_384;

/// What requests do that are made while there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhileDisconnected {
    /// They wait for one, so long (10 s by default), at most 16,384 of them.
    Wait(Duration),
    /// They fail at once.
    Fail,
}

impl Default for WhileDisconnected {
    fn default() -> Self {
        WhileDisconnected::Wait(Duration::from_secs(10))
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    session: Mutex<Session>,
    /// Wakes the background task.
    wake: Notify,
    /// Wakes those who wait for room in the outgoing buffer.
    room: Notify,
    waiting: AtomicUsize,
    while_disconnected: WhileDisconnected,
    close_timeout: Duration,
    is_closing: watch::Sender<bool>,
    state: watch::Receiver<ConnectionState>,
    runtime: tokio::runtime::Handle,
    handle: OnceLock<Weak<Handle>>,
}

impl Shared {
    /// For the runtime that this is called in.
    pub(crate) fn new(
        limits: Limits,
        while_disconnected: WhileDisconnected,
        close_timeout: Duration,
    ) -> Arc<Self> {
        let session = Session::new(limits);
        let state = session.watch();
        Arc::new(Self {
            session: Mutex::new(session),
            wake: Notify::new(),
            room: Notify::new(),
            waiting: AtomicUsize::new(0),
            while_disconnected,
            close_timeout,
            is_closing: watch::Sender::new(false),
            state,
            runtime: tokio::runtime::Handle::current(),
            handle: OnceLock::new(),
        })
    }

    /// Takes one step of the session under its lock, and does without it what that leaves to be done.
    pub(crate) fn with<R>(self: &Arc<Self>, step: impl FnOnce(&mut Session) -> R) -> R {
        let (result, effects, wants_driver) = {
            let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            let result = step(&mut session);
            (result, session.take_effects(), session.wants_driver())
        };
        if wants_driver {
            self.wake.notify_one();
        }
        effects.into_iter().for_each(|effect| self.perform(effect));
        result
    }

    fn perform(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::Invoke(invocation) => {
                self.runtime.spawn(crate::invocation::run(Arc::clone(self), invocation));
            }
            Effect::Drop(handler) => drop(handler),
            Effect::Room => self.room.notify_waiters(),
        }
    }

    /// Makes a request: waits for a connection as it is set to, and for room as long as that takes.
    pub(crate) async fn begin<R>(
        self: &Arc<Self>,
        mut attempt: impl FnMut(&mut Session) -> Result<R, Refusal>,
    ) -> Result<R, SendError> {
        let mut until = None;
        loop {
            match self.with(&mut attempt) {
                Ok(begun) => return Ok(begun),
                Err(Refusal::Failed(error)) => return Err(error),
                Err(Refusal::NoRoom) => self.room().await,
                Err(Refusal::NotJoined) => {
                    let WhileDisconnected::Wait(time) = self.while_disconnected else {
                        return Err(SendError::NotConnected);
                    };
                    let until = *until.get_or_insert_with(|| Instant::now() + bounded(time));
                    self.joined(until).await?;
                }
            }
        }
    }

    /// Waits until there is room. Of many that wait, those that the first ones leave no room go on waiting.
    pub(crate) async fn room(self: &Arc<Self>) {
        loop {
            let room = self.room.notified();
            if self.with(|session| session.has_room()) {
                return;
            }
            room.await;
        }
    }

    /// Waits until there is a session.
    async fn joined(&self, until: Instant) -> Result<(), SendError> {
        let _place = Waiting::enter(&self.waiting)?;
        let mut state = self.state.clone();
        let changed = state.wait_for(|state| *state != ConnectionState::Disconnected);
        match tokio::time::timeout_at(until, changed).await {
            Ok(Ok(state)) if *state == ConnectionState::Connected => Ok(()),
            Ok(_) => Err(SendError::Closed),
            Err(_) => Err(SendError::NotConnected),
        }
    }

    /// Resolves when somebody wants the background task to look.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The serializer to encode for.
    pub(crate) fn serializer(self: &Arc<Self>) -> Serializer {
        self.with(|session| session.serializer())
    }

    /// Asks the background task to say GOODBYE and to end.
    pub(crate) fn request_close(&self) {
        self.is_closing.send_replace(true);
    }

    /// Whether that was asked.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.is_closing.subscribe()
    }

    /// How long each step of closing may take.
    pub(crate) fn close_timeout(&self) -> Duration {
        self.close_timeout
    }

    /// The connection's state, to be watched.
    pub(crate) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.clone()
    }

    /// Remembers the handle that all clones share.
    pub(crate) fn set_handle(&self, handle: Weak<Handle>) {
        // There is one for each client, set once when it is made.
        let _ = self.handle.set(handle);
    }

    /// The handle, as long as the application holds one.
    pub(crate) fn handle(&self) -> Option<Arc<Handle>> {
        self.handle.get()?.upgrade()
    }

    /// The runtime that handlers run in.
    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }
}

/// A place among those who wait for a connection.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Result<Self, SendError> {
        let place = Self(count);
        match count.fetch_add(1, Ordering::Relaxed) < WAITING_MAX {
            true => Ok(place),
            false => Err(SendError::NotConnected),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waiting for room, for what polls.
#[derive(Default)]
pub(crate) struct RoomWait(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl std::fmt::Debug for RoomWait {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("RoomWait").field(&self.0.is_some()).finish()
    }
}

impl RoomWait {
    /// Ready once there is room.
    pub(crate) fn poll(&mut self, shared: &Arc<Shared>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.0 {
                None if shared.with(|session| session.has_room()) => return Poll::Ready(()),
                None => {
                    let shared = Arc::clone(shared);
                    self.0 = Some(Box::pin(async move { shared.room().await }));
                }
                Some(room) => match room.as_mut().poll(context) {
                    Poll::Ready(()) => self.0 = None,
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }
}
