//! The node: realms, workers, listeners, and their life from start to drain.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use bondy_router::config as router;
use bondy_router::realm::{Flow, Realm};
use bondy_router::session::{Session, SessionIdentity};
use bondy_router::turn::{Now, Stats, Turn};
use bondy_transport::socket::Accepted;
use bondy_transport::websocket::ProtocolError;
use bondy_wamp::buffer::Buffer;
use bondy_wamp::error_uri::CloseUri;
use bondy_wamp::outbox::Budget;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::config::{AddressFamilies, Config, Disclosure, RealmConfig};
use crate::connection::{Connection, handle_message};
use crate::door::Door;
use crate::join::{self, JoinError, SharedNames};
use crate::listener::{Intake, IntakeReceiver, ListenError, ListenerContext, accept_all, is_disconnect};
use crate::memory;
use crate::open::{self, OpenError};
use crate::worker::{Clock, ConnectionCount, Worker, WorkerShared, with_worker};

/// How this router calls itself.
pub(crate) const AGENT: &str = concat!("Bondy-", env!("CARGO_PKG_VERSION"));

/// Sockets that wait for one worker. The acceptor waits when a worker has that many: the system's backlog is next.
const INTAKE_MAX: usize = 1024;

/// Large messages that are handled at the same time.
const LARGE_MESSAGES_MAX: usize = 4;

/// Turns off the workers that may run at the same time.
const GUESTS_MAX: usize = 1024;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Node {
    clock: Clock,
    realms: HashMap<String, RealmEntry>,
    budget: Arc<Budget>,
    names: SharedNames,
    random: SystemRandom,
    draining: watch::Sender<bool>,
    connection_closed: Notify,
    large: Semaphore,
    workers: Vec<Arc<WorkerShared>>,
    guests: AtomicUsize,
}

/// A realm and who may join it.
#[derive(Debug)]
pub(crate) struct RealmEntry {
    /// The realm at present: a realm that fails is closed and replaced.
    current: ArcSwap<Realm>,
    pub(crate) anonymous_sources: AddressFamilies,
}

impl RealmEntry {
    pub(crate) fn realm(&self) -> Arc<Realm> {
        self.current.load_full()
    }
}

/// A worker as the acceptors see it.
#[derive(Debug)]
pub(crate) struct WorkerHandle {
    pub(crate) intake: mpsc::Sender<Intake>,
    pub(crate) shared: Arc<WorkerShared>,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A runtime or a thread could not be made.
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
    /// A listener cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl Node {
    fn new(config: &Config, workers: Vec<Arc<WorkerShared>>) -> Self {
        let entry = |realm: &RealmConfig| {
            let entry = RealmEntry {
                current: ArcSwap::from_pointee(Realm::new(router_config(realm))),
                anonymous_sources: realm.anonymous_sources,
            };
            (realm.uri.clone(), entry)
        };
        Self {
            clock: Clock::start(),
            realms: config.realms.iter().map(entry).collect(),
            budget: Arc::new(Budget::new(config.outbox_memory_max.bytes_of(memory::available_bytes()))),
            names: SharedNames::default(),
            random: SystemRandom::new(),
            draining: watch::Sender::new(false),
            connection_closed: Notify::new(),
            large: Semaphore::new(LARGE_MESSAGES_MAX),
            workers,
            guests: AtomicUsize::new(0),
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(crate) fn instant(&self, monotonic_ns: u64) -> Instant {
        self.clock.instant(monotonic_ns)
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    pub(crate) fn realm(&self, uri: &str) -> Option<&RealmEntry> {
        self.realms.get(uri)
    }

    pub(crate) fn realms(&self) -> impl Iterator<Item = Arc<Realm>> {
        self.realms.values().map(RealmEntry::realm)
    }

    /// A handler of this realm has panicked: its state cannot be trusted any more. Every session of it is told so, its
    /// calls end, and a fresh realm takes its place. The node and the other realms go on.
    pub(crate) fn fail_realm(&self, realm: &Arc<Realm>) {
        tracing::error!(realm = realm.uri(), "a handler has panicked: the realm is closed and begins anew");
        if let Some(entry) = self.realms.get(realm.uri())
            && Arc::ptr_eq(&entry.realm(), realm)
        {
            entry.current.store(Arc::new(Realm::new(realm.config().clone())));
        }
        let mut turn = self.guest_turn();
        realm.shut_down(CloseUri::CloseRealm.as_str(), "the realm has failed", &mut turn);
        flush_all(&mut turn);
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.clock.elapsed()
    }

    /// The counters of all workers together.
    pub(crate) fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        self.workers.iter().for_each(|worker| sum.add(&worker.stats()));
        sum
    }

    pub(crate) fn connections(&self) -> usize {
        self.workers.iter().map(|worker| worker.connections.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn connection_closed(&self) -> &Notify {
        &self.connection_closed
    }

    /// A handler has panicked that knew no realm, only a session of it.
    pub(crate) fn fail_realm_of(&self, session: Option<&Session>) {
        let realm = session.and_then(|session| self.realms().find(|realm| realm.has_session(session.id())));
        match realm {
            Some(realm) => self.fail_realm(&realm),
            None => tracing::error!("a handler has panicked, for a session that is gone"),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Done when the node begins to drain.
    pub(crate) fn draining(&self) -> impl Future<Output = ()> + use<> {
        let mut draining = self.draining.subscribe();
        async move {
            // An error means that the node is gone, which is as good.
            let _ = draining.wait_for(|is_draining| *is_draining).await;
        }
    }

    /// A session that has not authenticated gets an authid of its own.
    pub(crate) fn anonymous_identity(&self) -> SessionIdentity {
        join::anonymous(&format!("{:016x}", self.random()), &self.names)
    }

    /// A turn off the workers, now. Those that run at the same time have different numbers.
    fn guest_turn(&self) -> Turn {
        let guest = u16::MAX - (self.guests.fetch_add(1, Ordering::Relaxed) % GUESTS_MAX) as u16;
        let mut turn = Turn::new(guest, self.random());
        turn.now = self.now();
        turn
    }

    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        // Where the system has no randomness left the node does not start; later it does not fail.
        let _ = aws_lc_rs::rand::SecureRandom::fill(&self.random, &mut bytes);
        u64::from_ne_bytes(bytes)
    }

    /// Parses and routes one large message on the pool for blocking work, while its session waits; returns also the
    /// receivers that are congested by it.
    pub(crate) async fn handle_large(
        self: &Arc<Self>,
        realm: Arc<Realm>,
        session: Arc<Session>,
        bytes: Buffer,
        is_text: bool,
    ) -> (Result<Flow, ProtocolError>, Vec<Arc<Session>>) {
        let _permit = self.large.acquire().await;
        let node = Arc::clone(self);
        let failing = Arc::clone(&realm);
        let work = move || {
            let mut turn = node.guest_turn();
            let flow = handle_message(&realm, &session, &bytes, is_text, &mut turn);
            flush_all(&mut turn);
            (flow, turn)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok((flow, turn)) => (flow, with_worker(|worker| worker.adopt(turn))),
            Err(error) => {
                if error.is_panic() {
                    self.fail_realm(&failing);
                }
                (Ok(Flow::Ended), Vec::new())
            }
        }
    }
}

/// Writes everything that a turn off the workers has touched.
fn flush_all(turn: &mut Turn) {
    for session in turn.touched.drain(..) {
        session.flush(&mut turn.pool);
    }
    for session in turn.touched_by_events.drain(..) {
        session.flush_events(&mut turn.pool);
    }
}

/// The configuration in the router's terms.
fn router_config(realm: &RealmConfig) -> router::RealmConfig {
    let policy = |disclosure| match disclosure {
        Disclosure::Allow => router::DisclosurePolicy::Allow,
        Disclosure::Deny => router::DisclosurePolicy::Deny,
        Disclosure::Always => router::DisclosurePolicy::Always,
    };
    let limits = &realm.limits;
    router::RealmConfig {
        uri: realm.uri.clone(),
        disclosure: router::Disclosure {
            caller: policy(realm.disclosure.caller),
            publisher: policy(realm.disclosure.publisher),
        },
        limits: router::Limits {
            sessions_max: limits.sessions_max,
            registrations_max: limits.registrations_max,
            subscriptions_max: limits.subscriptions_max,
            calls_max: limits.calls_max,
            invocations_max: limits.invocations_max,
            retained_max: limits.retained_max,
            history_bytes_max: limits.history_bytes_max,
            message_bytes_max: limits.message_bytes_max,
            ..router::Limits::default()
        },
        event_history: realm
            .event_history
            .iter()
            .map(|history| router::HistoryRule {
                uri: history.uri.clone(),
                match_policy: history.match_policy,
                limit: history.events_max,
                ttl: history.ttl,
            })
            .collect(),
        ..router::RealmConfig::default()
    }
}

/// A node that serves.
pub(crate) struct RunningNode {
    node: Arc<Node>,
    listeners: Vec<Arc<ListenerContext>>,
    acceptors: JoinSet<()>,
    admin_acceptors: JoinSet<()>,
    workers: Vec<JoinHandle<()>>,
    /// Held until the drain is over: a worker ends when nobody holds its intake any more.
    handles: Arc<[WorkerHandle]>,
    bound: BTreeMap<String, String>,
}

impl RunningNode {
    /// Opens the listeners and starts the workers.
    pub(crate) async fn start(config: &Config) -> Result<Self, StartError> {
        let count = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let shared: Vec<Arc<WorkerShared>> = (0..count).map(|_| Arc::default()).collect();
        let node = Arc::new(Node::new(config, shared.clone()));
        let mut listeners = Vec::new();
        let mut sockets = Vec::new();
        let (mut bound, mut taken) = (BTreeMap::new(), Vec::new());
        for (name, listener) in &config.listeners {
            let context = ListenerContext::new(name.clone(), listener.clone(), Arc::clone(&node))?;
            let socket = match context.bind().await {
                Ok(socket) => socket,
                Err(ListenError::InUse(more)) => {
                    taken.extend(more);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            bound.insert(name.clone(), socket.address().to_string());
            listeners.push(Arc::new(context));
            sockets.push(socket);
        }
        if !taken.is_empty() {
            return Err(ListenError::InUse(taken).into());
        }
        let mut workers = Vec::new();
        let mut handles = Vec::new();
        for (index, shared) in shared.into_iter().enumerate() {
            let (intake, receiver) = mpsc::channel(INTAKE_MAX);
            handles.push(WorkerHandle { intake, shared: Arc::clone(&shared) });
            workers.push(spawn_worker(index, receiver, Arc::clone(&node), shared)?);
        }
        let handles: Arc<[WorkerHandle]> = handles.into();
        let (mut acceptors, mut admin_acceptors) = (JoinSet::new(), JoinSet::new());
        for (socket, listener) in sockets.into_iter().zip(&listeners) {
            let set = if listener.is_admin_only() { &mut admin_acceptors } else { &mut acceptors };
            set.spawn(accept_all(socket, Arc::clone(listener), Arc::clone(&handles)));
        }
        Ok(Self { node, listeners, acceptors, admin_acceptors, workers, handles, bound })
    }

    /// Where each listener listens, by name: `HOST:PORT` or `unix:PATH`, with the ports that the system chose.
    pub(crate) fn bound(&self) -> &BTreeMap<String, String> {
        &self.bound
    }

    /// The way in for others in this process.
    pub(crate) fn door(&self) -> Door {
        Door::new(&self.listeners, &self.handles)
    }

    /// Reads certificates and keys anew, for connections to come.
    pub(crate) fn reload_certificates(&self) {
        for listener in &self.listeners {
            let Some(tls) = &listener.tls else { continue };
            match tls.reload() {
                Ok(()) => tracing::info!(listener = listener.name, "certificates reloaded"),
                Err(error) => {
                    let error = anyhow_chain(&error);
                    tracing::error!(listener = listener.name, error, "certificates kept as they were");
                }
            }
        }
    }

    /// Stops accepting, tells every session GOODBYE after its calls have been answered, and waits for the connections
    /// to end; returns how many were cut off because the time was up. The administration is served until then.
    pub(crate) async fn drain(mut self, timeout: Duration) -> usize {
        self.acceptors.shutdown().await;
        self.node.draining.send_replace(true);
        let mut turn = self.node.guest_turn();
        for realm in self.node.realms() {
            realm.shut_down(CloseUri::SystemShutdown.as_str(), "the router shuts down", &mut turn);
            flush_all(&mut turn);
        }
        let emptied = async {
            while clients(&self.listeners) > 0 {
                self.node.connection_closed.notified().await;
            }
        };
        let _ = tokio::time::timeout(timeout, emptied).await;
        let cut_off = clients(&self.listeners);
        self.admin_acceptors.shutdown().await;
        drop(self.handles);
        drop(self.listeners);
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker has panicked");
            }
        }
        cut_off
    }
}

/// The connections of all listeners that do more than administration.
fn clients(listeners: &[Arc<ListenerContext>]) -> usize {
    let of_clients = listeners.iter().filter(|listener| !listener.is_admin_only());
    of_clients.map(|listener| listener.connections.load(Ordering::Relaxed)).sum()
}

/// An error with all its causes, for a log line.
pub(crate) fn anyhow_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn spawn_worker(
    index: usize,
    intake: IntakeReceiver,
    node: Arc<Node>,
    shared: Arc<WorkerShared>,
) -> Result<JoinHandle<()>, StartError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Worker)?;
    let seed = node.random();
    let index = u16::try_from(index).unwrap_or(u16::MAX - 2);
    std::thread::Builder::new()
        .name(format!("bondy-{index}"))
        .spawn(move || {
            runtime.block_on(async {
                Worker::install(index, seed, node, shared);
                take_in(intake).await;
            });
            runtime.shutdown_timeout(Duration::from_millis(100));
            Worker::uninstall();
        })
        .map_err(StartError::Worker)
}

/// A worker's main task: gives every socket a task of its own.
async fn take_in(mut intake: IntakeReceiver) {
    while let Some(Intake { accepted, listener, is_full, count }) = intake.recv().await {
        let serving = serve(Box::pin(establish(accepted, listener, is_full)), count);
        debug_assert!(size_of_val(&serving) <= SERVING_BYTES_MAX, "{} bytes", size_of_val(&serving));
        tokio::spawn(serving);
    }
}

/// The future of a session's task. The runtime puts about 100 bytes before and behind it into one allocation: a little more than
/// this, and that is 512 bytes instead of 384.
const SERVING_BYTES_MAX: usize = 280;

/// One connection, from the socket to the end.
///
/// This future lives as long as the session: it holds what the steady state needs and nothing of the phases before,
/// which are boxed and gone.
async fn serve(establishing: Pin<Box<impl Future<Output = Option<Connection>>>>, count: ConnectionCount) {
    let mut connection = {
        let Some(connection) = establishing.await else { return };
        connection
    };
    connection.run().await;
    drop(count);
}

/// From the socket to a session; `None` where it did not come to that.
async fn establish(accepted: Accepted, listener: Arc<ListenerContext>, is_full: bool) -> Option<Connection> {
    let peer = accepted.peer();
    let opened = match until_draining(&listener, open::open(accepted, &listener, is_full)).await? {
        Ok(opened) => opened?,
        Err(OpenError::Io(error)) if is_disconnect(&error) => return None,
        Err(error) => {
            let error = anyhow_chain(&error);
            tracing::debug!(listener = listener.name, %peer, error, "a connection was not opened");
            return None;
        }
    };
    let joining = join::join(opened, &listener);
    let joined = tokio::time::timeout(listener.config.authentication_timeout, joining);
    match until_draining(&listener, joined).await? {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(JoinError::Io(error))) if is_disconnect(&error) => None,
        Ok(Err(error)) => {
            let error = anyhow_chain(&error);
            tracing::debug!(listener = listener.name, %peer, error, "a client was not let in");
            None
        }
        Err(_) => {
            tracing::debug!(listener = listener.name, %peer, "no HELLO came in time");
            None
        }
    }
}

/// A connection without a session has nothing to lose when the node drains: `None`.
///
/// (HTTP ends by itself after the request that is being answered, and administration goes on.)
async fn until_draining<T>(listener: &ListenerContext, phase: impl Future<Output = T>) -> Option<T> {
    if listener.is_admin_only() {
        return Some(phase.await);
    }
    tokio::select! {
        outcome = phase => Some(outcome),
        () = listener.node.draining() => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::sync::Mutex;

    use bondy_router::flush::Link;
    use bondy_router::session::SessionConfig;
    use bondy_wamp::feature::Features;
    use bondy_wamp::framing::Framing;
    use bondy_wamp::outbox::{Outbox, OutboxLimits};
    use bondy_wamp::serializer::Serializer;
    use bondy_wamp::value::Value;

    use super::*;
    use crate::config::{Request, Surroundings, load_from};

    /// A peer that takes every byte.
    #[derive(Debug, Default)]
    struct Taken(Mutex<Vec<u8>>);

    impl Link for Taken {
        fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let mut taken = self.0.lock().unwrap();
            let before = taken.len();
            slices.iter().for_each(|slice| taken.extend_from_slice(slice));
            Ok(taken.len() - before)
        }

        fn wake_owner(&self) {}

        fn describe(&self) -> Value {
            Value::Null
        }

        fn is_owner_only(&self) -> bool {
            false
        }
    }

    fn node() -> Node {
        let request = Request { file: None, settings: Vec::new(), dev: true };
        let read = &|_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
        let loaded = load_from(&request, &Surroundings { environment: Vec::new(), read }).unwrap();
        Node::new(&loaded.config, Vec::new())
    }

    fn join(node: &Node, realm: &Realm, link: &Arc<Taken>) -> Arc<Session> {
        let mut turn = Turn::new(0, 1);
        let config = SessionConfig {
            identity: node.anonymous_identity(),
            features: Features::all(),
            serializer: Serializer::Json,
            trust_level: None,
            is_strict: false,
            deflate_bytes_max: 0,
            closes_on_overflow: false,
            outbox: Outbox::new(Framing::RawSocket, OutboxLimits::default(), Arc::clone(node.budget())),
            link: Arc::<Taken>::clone(link),
        };
        let session = realm.join(config, AGENT, &mut turn).unwrap();
        flush_all(&mut turn);
        session
    }

    #[test]
    fn a_realm_that_fails_says_goodbye_and_begins_anew() {
        let node = node();
        let failing = node.realm("realm1").unwrap().realm();
        let link = Arc::new(Taken::default());
        let session = join(&node, &failing, &link);
        node.fail_realm(&failing);
        assert!(session.is_closed());
        let said = String::from_utf8_lossy(&link.0.lock().unwrap()).into_owned();
        assert!(
            said.contains("[6,{\"message\":\"the realm has failed\"},\"wamp.close.close_realm\"]"),
            "{said}"
        );
        let fresh = node.realm("realm1").unwrap().realm();
        assert!(!Arc::ptr_eq(&failing, &fresh));
        let newcomer = join(&node, &fresh, &Arc::new(Taken::default()));
        // A second handler of the realm that failed changes nothing.
        node.fail_realm(&failing);
        assert!(!newcomer.is_closed());
        node.fail_realm_of(Some(&newcomer));
        assert!(newcomer.is_closed());
    }
}
