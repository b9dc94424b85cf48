//! A small world around realms: clients over memory, one thread, virtual time, one seed.
//!
//! After each input everything that is due is done: outboxes are flushed in the order in which they were touched,
//! owners that were woken look at their sessions, as a worker of the node does it. What it does not do: understand
//! messages. It hands out what each client received, decoded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bondy_router::broker::FanOut;
use bondy_router::config::RealmConfig;
use bondy_router::flush::{Flushed, Link};
use bondy_router::realm::{Farewell, Flow, Inspection, Realm};
use bondy_router::session::{MEMORY_FRAMING, Session, SessionConfig, SessionIdentity};
use bondy_router::timer::Timers;
use bondy_router::turn::{Now, Turn};
use bondy_wamp::feature::Features;
use bondy_wamp::id::SessionId;
use bondy_wamp::message;
use bondy_wamp::outbox::{Budget, Outbox, OutboxLimits};
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;

/// When a world begins: 2026-01-01T00:00:00Z.
const BEGIN_UNIX_US: u64 = 1_767_225_600_000_000;

/// The same on the monotonic clock.
const BEGIN_MONOTONIC_NS: u64 = 1_000_000_000;

/// A peer that takes as many bytes at once as it is told to.
#[derive(Debug)]
struct Wire {
    received: Mutex<Vec<u8>>,
    /// Bytes taken by one write; 0 means that it blocks.
    write_bytes_max: AtomicUsize,
    is_lost: AtomicBool,
    is_owner_only: bool,
    transport: Value,
    /// The place of the client in its world.
    index: usize,
    /// The clients whose owners were woken.
    woken: Arc<Mutex<BTreeSet<usize>>>,
}

impl Link for Wire {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_lost.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let max = self.write_bytes_max.load(Ordering::Relaxed);
        if max == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let before = received.len();
        for slice in slices {
            let room = max - (received.len() - before);
            received.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        Ok(received.len() - before)
    }

    fn wake_owner(&self) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).insert(self.index);
    }

    fn describe(&self) -> Value {
        self.transport.clone()
    }

    fn is_owner_only(&self) -> bool {
        self.is_owner_only
    }
}

/// How a client joins.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) authid: String,
    pub(crate) authrole: String,
    pub(crate) authmethod: String,
    pub(crate) features: Features,
    pub(crate) serializer: Serializer,
    pub(crate) trust_level: Option<u64>,
    pub(crate) is_strict: bool,
    pub(crate) closes_on_overflow: bool,
    pub(crate) limits: OutboxLimits,
    /// Only the owner of the session writes, as with TLS.
    pub(crate) is_owner_only: bool,
    /// What the meta API tells about the connection.
    pub(crate) transport: Value,
}

impl Profile {
    /// A client with every feature and the default limits.
    pub(crate) fn named(authid: &str) -> Self {
        Self {
            authid: authid.to_owned(),
            authrole: "user".to_owned(),
            authmethod: "anonymous".to_owned(),
            features: Features::all(),
            serializer: Serializer::Json,
            trust_level: None,
            is_strict: false,
            closes_on_overflow: false,
            limits: OutboxLimits::default(),
            is_owner_only: false,
            transport: Value::Null,
        }
    }
}

/// What happened to a client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Output {
    /// A message arrived.
    Message(Value),
    /// The connection was closed by the router, after everything before was written.
    Closed,
    /// The router says, for its log, that the client loses events.
    Slow,
    /// The router says that senders of calls and results should wait for the client.
    Congested,
}

/// One client.
struct Client {
    realm: Arc<Realm>,
    session: Arc<Session>,
    wire: Arc<Wire>,
    /// Bytes of an incomplete frame.
    partial: Vec<u8>,
    outputs: VecDeque<Output>,
    /// The owner knows that the session has ended.
    has_ended: bool,
    /// The connection is no more.
    is_gone: bool,
    fan_out: Option<Box<FanOut<'static>>>,
}

/// Realms, clients, a clock.
pub(crate) struct World {
    turn: Turn,
    timers: Timers,
    budget: Arc<Budget>,
    realms: BTreeMap<String, Arc<Realm>>,
    clients: Vec<Client>,
    names: BTreeMap<String, usize>,
    /// The place of each session's client.
    places: BTreeMap<SessionId, usize>,
    woken: Arc<Mutex<BTreeSet<usize>>>,
    /// The clients to which something may have happened since the world was settled.
    stirred: BTreeSet<usize>,
    /// Long fan-outs stand still after each slice until [`World::continue_fan_out`].
    pub(crate) pauses_fan_outs: bool,
}

impl World {
    /// An empty world.
    pub(crate) fn new(seed: u64) -> Self {
        let mut turn = Turn::new(0, seed);
        turn.now = Now { monotonic_ns: BEGIN_MONOTONIC_NS, unix_us: BEGIN_UNIX_US };
        Self {
            turn,
            timers: Timers::default(),
            budget: Arc::new(Budget::new(u64::MAX)),
            realms: BTreeMap::new(),
            clients: Vec::new(),
            names: BTreeMap::new(),
            places: BTreeMap::new(),
            woken: Arc::default(),
            stirred: BTreeSet::new(),
            pauses_fan_outs: false,
        }
    }

    /// The memory that all outboxes may use together, in bytes. For clients that join from now on.
    pub(crate) fn set_budget(&mut self, bytes_max: u64) {
        self.budget = Arc::new(Budget::new(bytes_max));
    }

    /// Adds a realm, named by the URI in its configuration.
    pub(crate) fn add_realm(&mut self, config: RealmConfig) {
        self.realms.insert(config.uri.clone(), Arc::new(Realm::new(config)));
    }

    pub(crate) fn has_realm(&self, uri: &str) -> bool {
        self.realms.contains_key(uri)
    }

    pub(crate) fn has_client(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Joins; WELCOME is among the outputs. Returns the session id, or why the realm refused.
    pub(crate) fn join(&mut self, name: &str, realm: &str, profile: &Profile) -> Result<u64, String> {
        let realm = Arc::clone(self.realms.get(realm).ok_or_else(|| format!("no realm {realm}"))?);
        let wire = Arc::new(Wire {
            received: Mutex::default(),
            write_bytes_max: AtomicUsize::new(usize::MAX),
            is_lost: AtomicBool::new(false),
            is_owner_only: profile.is_owner_only,
            transport: profile.transport.clone(),
            index: self.clients.len(),
            woken: Arc::clone(&self.woken),
        });
        let config = SessionConfig {
            identity: SessionIdentity {
                authid: (&*profile.authid).into(),
                authrole: (&*profile.authrole).into(),
                authmethod: (&*profile.authmethod).into(),
                authprovider: "static".into(),
            },
            features: profile.features,
            serializer: profile.serializer,
            trust_level: profile.trust_level,
            is_strict: profile.is_strict,
            deflate_bytes_max: 0,
            closes_on_overflow: profile.closes_on_overflow,
            outbox: Outbox::new(MEMORY_FRAMING, profile.limits, Arc::clone(&self.budget)),
            link: Arc::clone(&wire) as Arc<dyn Link>,
        };
        let session = realm.join(config, "bondy-test", &mut self.turn).map_err(|error| error.to_string())?;
        let id = session.id();
        let client = Client {
            realm,
            session,
            wire,
            partial: Vec::new(),
            outputs: VecDeque::new(),
            has_ended: false,
            is_gone: false,
            fan_out: None,
        };
        self.names.insert(name.to_owned(), self.clients.len());
        self.places.insert(id, self.clients.len());
        self.clients.push(client);
        self.settle();
        Ok(id.0)
    }

    /// The client, to which something is about to happen.
    fn client(&mut self, name: &str) -> &mut Client {
        let index = *self.names.get(name).unwrap_or_else(|| panic!("there is no client {name}"));
        self.stirred.insert(index);
        &mut self.clients[index]
    }

    /// The serializer of a client.
    pub(crate) fn serializer(&mut self, name: &str) -> Serializer {
        self.client(name).session.serializer()
    }

    /// A message from a client, in its serializer.
    pub(crate) fn send(&mut self, name: &str, message: &Value) {
        let bytes = message.to_bytes(self.serializer(name));
        self.send_bytes(name, &bytes);
    }

    /// Bytes from a client: one message, or something that is none.
    pub(crate) fn send_bytes(&mut self, name: &str, bytes: &[u8]) {
        let client = self.client(name);
        let (realm, session) = (Arc::clone(&client.realm), Arc::clone(&client.session));
        session.count_received(1, bytes.len() as u64);
        let is_too_large = bytes.len() > realm.config().limits.message_bytes_max;
        let flow = match message::parse(session.serializer(), bytes) {
            Ok(message) if is_too_large => realm.handle_too_large(&session, &message, &mut self.turn),
            Ok(message) => realm.handle(&session, &message, &mut self.turn),
            Err(error) => realm.handle_malformed(&session, &error, &mut self.turn),
        };
        match flow {
            Flow::Done => {}
            Flow::Ended => self.client(name).has_ended = true,
            Flow::FanOut(fan_out) => {
                self.client(name).fan_out = Some(fan_out);
                while !self.pauses_fan_outs && !self.continue_fan_out(name) {}
            }
        }
        self.settle();
    }

    /// The next slice of a long fan-out; true when it is done.
    pub(crate) fn continue_fan_out(&mut self, name: &str) -> bool {
        let client = self.client(name);
        let Some(mut fan_out) = client.fan_out.take() else { return true };
        let (realm, session) = (Arc::clone(&client.realm), Arc::clone(&client.session));
        let is_done = realm.continue_fan_out(&session, &mut fan_out, &mut self.turn);
        if !is_done {
            self.client(name).fan_out = Some(fan_out);
        }
        self.settle();
        is_done
    }

    /// Time passes, from deadline to deadline.
    pub(crate) fn advance(&mut self, by: Duration) {
        let until_ns = self.turn.now.monotonic_ns + u64::try_from(by.as_nanos()).expect("a short time");
        while let Some(deadline_ns) = self.timers.next_deadline_ns().filter(|deadline| *deadline <= until_ns)
        {
            self.set_now(deadline_ns.max(self.turn.now.monotonic_ns));
            while let Some(timer) = self.timers.pop_due(self.turn.now.monotonic_ns) {
                Realm::expire(&timer, &mut self.turn);
            }
            self.settle();
        }
        self.set_now(until_ns);
    }

    fn set_now(&mut self, monotonic_ns: u64) {
        let unix_us = BEGIN_UNIX_US + (monotonic_ns - BEGIN_MONOTONIC_NS) / 1000;
        self.turn.now = Now { monotonic_ns, unix_us };
    }

    /// The connection of a client is lost.
    pub(crate) fn lose(&mut self, name: &str) {
        let client = self.client(name);
        client.is_gone = true;
        client.wire.is_lost.store(true, Ordering::Relaxed);
        let (realm, session) = (Arc::clone(&client.realm), Arc::clone(&client.session));
        realm.leave(&session, Farewell::Lost, &mut self.turn);
        self.settle();
    }

    /// A realm closes.
    pub(crate) fn shut_down(&mut self, realm: &str, reason: &str, text: &str) {
        let realm = Arc::clone(&self.realms[realm]);
        realm.shut_down(reason, text, &mut self.turn);
        self.settle();
    }

    /// From now on the client takes this many bytes with each write; none: it blocks.
    pub(crate) fn throttle(&mut self, name: &str, write_bytes_max: usize) {
        let client = self.client(name);
        client.wire.write_bytes_max.store(write_bytes_max, Ordering::Relaxed);
        // The socket became writable: the owner looks.
        client.wire.wake_owner();
        self.settle();
    }

    /// What happened to a client since this was last asked.
    pub(crate) fn take_outputs(&mut self, name: &str) -> Vec<Output> {
        self.client(name).outputs.drain(..).collect()
    }

    /// What happened to every client since this was last asked, by name.
    pub(crate) fn take_all_outputs(&mut self) -> Vec<(String, Vec<Output>)> {
        let names: Vec<String> = self.names.keys().cloned().collect();
        names.into_iter().map(|name| (name.clone(), self.take_outputs(&name))).collect()
    }

    /// Everybody goes; what is left in the realms then, but for retained events, must be nothing.
    pub(crate) fn end(&mut self) -> Vec<(String, Inspection)> {
        let names: Vec<String> = self.names.keys().cloned().collect();
        for name in names {
            self.lose(&name);
        }
        let left = |realm: &Arc<Realm>| Inspection { retained_topics: 0, ..realm.inspect() };
        self.realms.iter().map(|(uri, realm)| (uri.clone(), left(realm))).collect()
    }

    /// What is in a realm.
    pub(crate) fn inspect(&self, realm: &str) -> Inspection {
        self.realms[realm].inspect()
    }

    /// Does everything that the last input has made due.
    fn settle(&mut self) {
        loop {
            self.turn.timers.drain(..).for_each(|timer| self.timers.arm(timer));
            let touched = std::mem::take(&mut self.turn.touched);
            let by_events = std::mem::take(&mut self.turn.touched_by_events);
            let woken = std::mem::take(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner));
            if touched.is_empty() && by_events.is_empty() && woken.is_empty() {
                break;
            }
            for session in &touched {
                session.flush(&mut self.turn.pool);
            }
            for session in &by_events {
                session.flush_events(&mut self.turn.pool);
            }
            for session in touched.iter().chain(&by_events) {
                self.stirred.extend(self.places.get(&session.id()));
            }
            for index in woken {
                self.clients[index].look(&mut self.turn);
                self.stirred.insert(index);
            }
        }
        for index in std::mem::take(&mut self.stirred) {
            self.clients[index].receive();
        }
        self.turn.violations.clear();
        let slow = std::mem::take(&mut self.turn.slow);
        self.tell(&slow, &Output::Slow);
        let congested = std::mem::take(&mut self.turn.congested);
        self.tell(&congested, &Output::Congested);
    }

    /// What the router tells its worker about sessions, once each.
    fn tell(&mut self, sessions: &[Arc<Session>], output: &Output) {
        let meant: BTreeSet<SessionId> = sessions.iter().map(|session| session.id()).collect();
        for index in meant.iter().filter_map(|id| self.places.get(id)) {
            self.clients[*index].outputs.push_back(output.clone());
        }
    }
}

impl Client {
    /// The owner looks: is there something to write, has the session ended?
    fn look(&mut self, turn: &mut Turn) {
        let wire = Arc::clone(&self.wire);
        while self.session.flush_as_owner(&mut turn.pool, |slices| wire.try_write(slices)) == Flushed::Blocked
        {
            if wire.write_bytes_max.load(Ordering::Relaxed) == 0 {
                break;
            }
        }
        self.has_ended |= self.session.is_closed();
    }

    /// Takes what was written, and finds that the connection is closed.
    fn receive(&mut self) {
        let mut received = self.wire.received.lock().unwrap_or_else(PoisonError::into_inner);
        self.partial.append(&mut received);
        drop(received);
        let mut bytes = &self.partial[..];
        while let Some(message) = next_message(&mut bytes) {
            let message = Value::decode(self.session.serializer(), message)
                .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(message)));
            self.outputs.push_back(Output::Message(message));
        }
        self.partial = bytes.to_vec();
        let pending_bytes = self.session.lock().outbox.pending_bytes();
        let takes_bytes = self.wire.write_bytes_max.load(Ordering::Relaxed) > 0;
        assert!(pending_bytes == 0 || !takes_bytes, "{pending_bytes} bytes wait, and nobody was told");
        if self.has_ended && pending_bytes == 0 && !self.is_gone {
            self.is_gone = true;
            self.outputs.push_back(Output::Closed);
        }
    }
}

/// The first whole message of a rawsocket stream, which is shortened by it.
pub(crate) fn next_message<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let [0, a, b, c, rest @ ..] = *bytes else { return None };
    let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
    let (message, behind) = rest.split_at_checked(length)?;
    *bytes = behind;
    Some(message)
}
