//! The real router in a small world: sessions over memory, one thread, virtual time.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bondy_router::config::RealmConfig;
use bondy_router::flush::{Flushed, Link};
use bondy_router::realm::{Farewell, Flow, Inspection, Realm};
use bondy_router::session::{MEMORY_FRAMING, Session, SessionConfig, SessionIdentity};
use bondy_router::timer::Timers;
use bondy_router::turn::{Now, Turn};
use bondy_wamp::buffer::BufferPool;
use bondy_wamp::message;
use bondy_wamp::outbox::{Budget, Outbox, OutboxLimits};
use bondy_wamp::value::Value;

use super::action::{Action, Outputs, Profile};
use crate::harness::next_message;

/// Keeps what was written, and takes nothing while it is stalled.
#[derive(Debug, Default)]
struct MemoryLink {
    written: Mutex<Vec<u8>>,
    is_stalled: AtomicBool,
}

impl Link for MemoryLink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_stalled.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        slices.iter().for_each(|slice| written.extend_from_slice(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn wake_owner(&self) {}

    fn describe(&self) -> Value {
        Value::Null
    }

    fn is_owner_only(&self) -> bool {
        false
    }
}

/// A client as the router sees it.
#[derive(Debug)]
struct Client {
    session: Arc<Session>,
    link: Arc<MemoryLink>,
    /// What waits for a stalled client: seen already, not written yet.
    waiting: Vec<u8>,
}

impl Client {
    fn is_stalled(&self) -> bool {
        self.link.is_stalled.load(Ordering::Relaxed)
    }

    /// What was appended since the last look, written or not.
    fn take_new(&mut self, pool: &mut BufferPool) -> Result<Vec<u8>, String> {
        let written = std::mem::take(&mut *self.link.written.lock().unwrap_or_else(PoisonError::into_inner));
        let waiting = std::mem::take(&mut self.waiting);
        let mut bytes = written;
        if self.is_stalled() {
            self.session.flush_as_owner(pool, |slices| {
                slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
                Err(io::ErrorKind::WouldBlock.into())
            });
            self.waiting.clone_from(&bytes);
        }
        let is_whole = !self.is_stalled() || bytes.len() == self.session.lock().outbox.pending_bytes();
        match bytes.strip_prefix(&waiting[..]) {
            Some(new) if is_whole => Ok(new.to_vec()),
            _ => Err(format!("bytes for session {} were lost or changed", self.session.id())),
        }
    }
}

/// The router, its clients and its clock.
#[derive(Debug)]
pub(super) struct World {
    realm: Realm,
    turn: Turn,
    timers: Timers,
    budget: Arc<Budget>,
    clients: BTreeMap<u64, Client>,
}

impl World {
    pub(super) fn new(config: RealmConfig, seed: u64) -> Self {
        Self {
            realm: Realm::new(config),
            turn: Turn::new(0, seed),
            timers: Timers::default(),
            budget: Arc::new(Budget::new(u64::MAX)),
            clients: BTreeMap::new(),
        }
    }

    /// Does what the action says at this time; returns what each client received, and who has joined.
    pub(super) fn apply(&mut self, now_ns: u64, action: &Action) -> Result<(Outputs, Option<u64>), String> {
        self.set_now(now_ns);
        let mut joined = None;
        match action {
            Action::Join(profile) => joined = self.join(profile),
            Action::Lose(id) => {
                let session = self.session(*id)?;
                self.realm.leave(&session, Farewell::Lost, &mut self.turn);
            }
            Action::Send(id, message) => {
                let session = self.session(*id)?;
                self.receive(&session, &message.to_bytes(session.serializer()))?;
            }
            Action::Violate(id, bytes) | Action::SendMalformed { from: id, bytes, .. } => {
                let session = self.session(*id)?;
                self.receive(&session, bytes)?;
            }
            Action::Wait(ms) => self.wait(now_ns + ms * 1_000_000),
            Action::Stall(id) => self.client(*id)?.link.is_stalled.store(true, Ordering::Relaxed),
            Action::Resume(id) => self.resume(*id)?,
            Action::ShutDown => {
                self.realm.shut_down("wamp.close.system_shutdown", "the node stops", &mut self.turn);
            }
        }
        self.expire();
        let outputs = self.collect()?;
        Ok((outputs, joined))
    }

    /// The sessions that are open.
    pub(super) fn open(&self) -> Vec<u64> {
        self.clients.keys().copied().collect()
    }

    pub(super) fn inspect(&self) -> Inspection {
        self.realm.inspect()
    }

    fn set_now(&mut self, now_ns: u64) {
        self.turn.now = Now { monotonic_ns: now_ns, unix_us: 1_700_000_000_000_000 + now_ns / 1000 };
    }

    fn client(&self, id: u64) -> Result<&Client, String> {
        self.clients.get(&id).ok_or_else(|| format!("the router has no session {id}"))
    }

    fn session(&self, id: u64) -> Result<Arc<Session>, String> {
        self.client(id).map(|client| Arc::clone(&client.session))
    }

    fn join(&mut self, profile: &Profile) -> Option<u64> {
        let limits = OutboxLimits {
            soft_bytes: profile.outbox_bytes_max,
            hard_bytes: profile.outbox_bytes_max,
            message_bytes_max: profile.message_bytes_max,
        };
        let link = Arc::new(MemoryLink::default());
        let config = SessionConfig {
            identity: SessionIdentity {
                authid: profile.authid.into(),
                authrole: profile.authrole.into(),
                authmethod: "anonymous".into(),
                authprovider: "static".into(),
            },
            features: profile.features,
            serializer: profile.serializer,
            trust_level: profile.trust_level,
            is_strict: profile.is_strict,
            deflate_bytes_max: 0,
            closes_on_overflow: profile.closes_on_overflow,
            outbox: Outbox::new(MEMORY_FRAMING, limits, Arc::clone(&self.budget)),
            link: Arc::clone(&link) as Arc<dyn Link>,
        };
        let session = self.realm.join(config, "model", &mut self.turn).ok()?;
        let id = session.id().0;
        self.clients.insert(id, Client { session, link, waiting: Vec::new() });
        Some(id)
    }

    fn receive(&mut self, session: &Arc<Session>, bytes: &[u8]) -> Result<(), String> {
        let mut flow = match message::parse(session.serializer(), bytes) {
            Ok(message) => self.realm.handle(session, &message, &mut self.turn),
            Err(error) => self.realm.handle_malformed(session, &error, &mut self.turn),
        };
        if let Flow::FanOut(fan_out) = &mut flow {
            while !self.realm.continue_fan_out(session, fan_out, &mut self.turn) {}
        }
        if matches!(flow, Flow::Ended) && !session.is_closed() {
            return Err(format!("session {} has ended and is not closed", session.id()));
        }
        Ok(())
    }

    /// Sleeps from deadline to deadline, as a worker does.
    fn wait(&mut self, until_ns: u64) {
        loop {
            self.arm();
            let Some(deadline_ns) = self.timers.next_deadline_ns().filter(|deadline| *deadline <= until_ns)
            else {
                break;
            };
            self.set_now(deadline_ns.max(self.turn.now.monotonic_ns));
            self.expire();
        }
        self.set_now(until_ns);
    }

    fn arm(&mut self) {
        self.turn.timers.drain(..).for_each(|timer| self.timers.arm(timer));
    }

    fn expire(&mut self) {
        self.arm();
        while let Some(timer) = self.timers.pop_due(self.turn.now.monotonic_ns) {
            Realm::expire(&timer, &mut self.turn);
            self.arm();
        }
    }

    fn resume(&mut self, id: u64) -> Result<(), String> {
        let client = self.client(id)?;
        client.link.is_stalled.store(false, Ordering::Relaxed);
        let (session, link) = (Arc::clone(&client.session), Arc::clone(&client.link));
        while session.flush_as_owner(&mut self.turn.pool, |slices| link.try_write(slices)) != Flushed::Done {}
        Ok(())
    }

    /// Flushes who was touched, as a worker does, and takes what was written to each client.
    fn collect(&mut self) -> Result<Outputs, String> {
        let touched = std::mem::take(&mut self.turn.touched);
        let by_events = std::mem::take(&mut self.turn.touched_by_events);
        for session in &touched {
            if session.flush(&mut self.turn.pool) == Flushed::Blocked {
                self.resume_unless_stalled(session)?;
            }
        }
        for session in &by_events {
            if session.flush_events(&mut self.turn.pool) == Flushed::Blocked {
                self.resume_unless_stalled(session)?;
            }
        }
        self.turn.congested.clear();
        self.turn.slow.clear();
        let mut outputs = Outputs::new();
        for (id, client) in &mut self.clients {
            let pending_bytes = client.session.lock().outbox.pending_bytes();
            if pending_bytes > 0 && !client.is_stalled() {
                return Err(format!("{pending_bytes} bytes for session {id} wait, and nobody was told"));
            }
            let new = client.take_new(&mut self.turn.pool)?;
            let messages = messages(&client.session, &new)?;
            if !messages.is_empty() {
                outputs.insert(*id, messages);
            }
        }
        self.clients.retain(|_, client| !client.session.is_closed());
        Ok(outputs)
    }

    fn resume_unless_stalled(&mut self, session: &Session) -> Result<(), String> {
        let id = session.id().0;
        if self.client(id)?.is_stalled() { Ok(()) } else { self.resume(id) }
    }
}

/// The messages in a stream of rawsocket frames.
fn messages(session: &Session, mut bytes: &[u8]) -> Result<Vec<Value>, String> {
    let mut messages = Vec::new();
    while let Some(message) = next_message(&mut bytes) {
        messages.push(Value::decode(session.serializer(), message).map_err(|error| {
            format!("session {} received {:?}: {error}", session.id(), String::from_utf8_lossy(message))
        })?);
    }
    if bytes.is_empty() { Ok(messages) } else { Err("bytes that are no frame".to_owned()) }
}
