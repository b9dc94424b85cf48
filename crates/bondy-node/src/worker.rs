//! A worker: one thread, one runtime, and the sessions that live on it.
//!
//! What a worker carries through the realm ([`Turn`], buffers, timers, the lists of sessions to be flushed) is local to
//! its thread and never borrowed across an await. Two tasks of its own run beside its sessions: the flusher, at the
//! tail of the run queue, and the timer.

mod backlog;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use bondy_router::session::Session;
use bondy_router::timer::Timers;
use bondy_router::turn::{Now, Stats, Turn};
use bondy_transport::websocket::deflate::{Deflater, deflate_message};
use bondy_wamp::buffer::Buffer;
use tokio::sync::Notify;

use self::backlog::{Backlog, Due};
use crate::link::SocketLink;
use crate::listener::ListenerContext;
use crate::node::Node;

/// How many sessions the flusher writes before it lets others run.
const FLUSHES_PER_TURN_MAX: usize = 128;

/// What a worker reads at once. With small messages this is a batch of some hundred, about 100 µs of work, so that
/// the others on this worker do not wait long.
pub(crate) const READ_BYTES: usize = 32 * 1024;

/// Buffers of this size that a worker keeps. One is used at a time, unless a task waits in the middle of its batch.
const READ_BUFFERS_MAX: usize = 4;

/// What others may know of a worker.
#[derive(Debug, Default)]
pub(crate) struct WorkerShared {
    /// Connections that live on it.
    pub(crate) connections: AtomicUsize,
    stats: Mutex<Stats>,
}

impl WorkerShared {
    /// What the worker has counted so far.
    pub(crate) fn stats(&self) -> Stats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what the worker has counted since.
    fn add_stats(&self, stats: &Stats) {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).add(stats);
    }
}

/// The worker of this thread.
pub(crate) struct Worker {
    pub(crate) turn: Turn,
    pub(crate) node: Arc<Node>,
    shared: Arc<WorkerShared>,
    timers: Timers,
    backlog: Backlog<Arc<Session>>,
    pings: BinaryHeap<Reverse<PingDue>>,
    read_buffers: Vec<Buffer>,
    wakes: Arc<Wakes>,
}

#[derive(Debug, Default)]
struct Wakes {
    flusher: Notify,
    timer: Notify,
}

/// When a link's owner is to be woken for a ping.
struct PingDue {
    due_ns: u64,
    link: Weak<SocketLink>,
}

impl PartialEq for PingDue {
    fn eq(&self, other: &Self) -> bool {
        self.due_ns == other.due_ns
    }
}

impl Eq for PingDue {}

impl PartialOrd for PingDue {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PingDue {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due_ns.cmp(&other.due_ns)
    }
}

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// Runs `work` with the worker of this thread. Must not be called within itself, nor hold what it got over an await.
pub(crate) fn with_worker<R>(work: impl FnOnce(&mut Worker) -> R) -> R {
    WORKER.with_borrow_mut(|worker| work(worker.as_mut().expect("sessions run on worker threads only")))
}

impl Worker {
    /// Makes this thread a worker, and starts its two tasks on the current runtime.
    pub(crate) fn install(index: u16, seed: u64, node: Arc<Node>, shared: Arc<WorkerShared>) {
        let wakes = Arc::new(Wakes::default());
        let mut turn = Turn::new(index, seed);
        let mut deflater = Deflater::default();
        turn.deflater.0 = Some(Box::new(move |message, out| deflate_message(&mut deflater, message, out)));
        let worker = Worker {
            turn,
            node,
            shared,
            timers: Timers::default(),
            backlog: Backlog::default(),
            pings: BinaryHeap::new(),
            read_buffers: Vec::new(),
            wakes: Arc::clone(&wakes),
        };
        WORKER.set(Some(worker));
        tokio::spawn(run_flusher(Arc::clone(&wakes)));
        tokio::spawn(run_timer(wakes));
    }

    /// Takes what the worker holds of the node, so that its memory is freed before the thread ends.
    pub(crate) fn uninstall() {
        WORKER.set(None);
    }

    /// Begins a batch: what is handled now happens at this time.
    pub(crate) fn begin(&mut self) {
        self.turn.now = self.node.now();
        // Left over where nobody was there to wait.
        self.turn.congested.clear();
    }

    /// The batch that has just ended has published so many bytes, and its connection has more that was read.
    pub(crate) fn expect_more(&mut self, bytes: u64) {
        self.backlog.expect_more(bytes);
    }

    /// Ends a batch: what it touched is flushed by the flusher, what it armed is kept by the timer.
    pub(crate) fn end(&mut self) {
        let was_idle = self.backlog.is_empty();
        let turn = &mut self.turn;
        let (touched, events) = (turn.touched.drain(..), turn.touched_by_events.drain(..));
        self.backlog.add(touched, events, turn.now.monotonic_ns);
        if was_idle {
            match self.backlog.is_empty() {
                true => self.publish_stats(),
                false => self.wakes.flusher.notify_one(),
            }
        }
        if !self.turn.timers.is_empty() {
            self.arm_timers();
        }
        if !self.turn.slow.is_empty() {
            self.report_slow();
        }
        for (session, violation) in self.turn.violations.drain(..) {
            tracing::debug!(
                session = session.id().0,
                violation,
                "a client broke the protocol and was sent ABORT"
            );
        }
    }

    /// Takes over what a turn off the workers has left to do, but for those that are congested, which it gives back.
    pub(crate) fn adopt(&mut self, guest: Turn) -> Vec<Arc<Session>> {
        self.turn.stats.add(&guest.stats);
        self.turn.timers.extend(guest.timers);
        self.turn.slow.extend(guest.slow);
        self.turn.violations.extend(guest.violations);
        self.end();
        guest.congested
    }

    fn arm_timers(&mut self) {
        let before = self.timers.next_deadline_ns();
        for timer in self.turn.timers.drain(..) {
            self.timers.arm(timer);
        }
        if self.timers.next_deadline_ns() != before {
            self.wakes.timer.notify_one();
        }
    }

    fn report_slow(&mut self) {
        for session in self.turn.slow.drain(..) {
            let state = session.lock();
            let (dropped, queue_bytes) = (state.dropped_events(), state.outbox.pending_bytes());
            drop(state);
            tracing::warn!(
                session = session.id().0,
                dropped,
                queue_bytes,
                "a subscriber reads too slowly or takes only small messages: events for it are dropped"
            );
        }
    }

    /// A buffer to read into.
    pub(crate) fn take_read_buffer(&mut self) -> Buffer {
        self.read_buffers.pop().unwrap_or_else(|| vec![0; READ_BYTES])
    }

    /// Gives such a buffer back.
    pub(crate) fn give_read_buffer(&mut self, buffer: Buffer) {
        if buffer.len() == READ_BYTES && self.read_buffers.len() < READ_BUFFERS_MAX {
            self.read_buffers.push(buffer);
        }
    }

    /// Wakes the link's owner for a ping after `delay`.
    pub(crate) fn schedule_ping(&mut self, delay: Duration, link: &Arc<SocketLink>) {
        let delay_ns = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let due_ns = self.node.now().monotonic_ns.saturating_add(delay_ns);
        let is_next = self.pings.peek().is_none_or(|Reverse(next)| due_ns < next.due_ns);
        self.pings.push(Reverse(PingDue { due_ns, link: Arc::downgrade(link) }));
        if is_next {
            self.wakes.timer.notify_one();
        }
    }

    /// Writes some of the sessions that wait for it, mostly calls and replies before events; true if more wait.
    fn flush_some(&mut self) -> bool {
        self.backlog.begin_pass(self.turn.now.monotonic_ns);
        for _ in 0..FLUSHES_PER_TURN_MAX {
            match self.backlog.next() {
                Some(Due::Urgent(session)) => session.flush(&mut self.turn.pool),
                Some(Due::Events(session)) => session.flush_events(&mut self.turn.pool),
                None => break,
            };
        }
        self.publish_stats();
        !self.backlog.is_empty()
    }

    /// Lets others see what was counted: after each pass of the flusher, and after a batch that left it nothing to do.
    fn publish_stats(&mut self) {
        let stats = std::mem::take(&mut self.turn.stats);
        self.shared.add_stats(&stats);
    }

    /// Lets time pass for calls and pings; returns when it has to happen next.
    fn tick(&mut self) -> Option<Instant> {
        self.begin();
        let node = Arc::clone(&self.node);
        while let Some(timer) = self.timers.pop_due(self.turn.now.monotonic_ns) {
            let expire = || bondy_router::realm::Realm::expire(&timer, &mut self.turn);
            if panic::catch_unwind(AssertUnwindSafe(expire)).is_err() {
                node.fail_realm_of(timer.caller.upgrade().as_deref());
            }
        }
        let now_ns = node.now().monotonic_ns;
        while self.pings.peek().is_some_and(|Reverse(next)| next.due_ns <= now_ns) {
            if let Some(link) = self.pings.pop().and_then(|Reverse(due)| due.link.upgrade()) {
                link.demand_ping();
            }
        }
        self.end();
        let call = self.timers.next_deadline_ns();
        let ping = self.pings.peek().map(|Reverse(next)| next.due_ns);
        call.into_iter().chain(ping).min().map(|due_ns| node.instant(due_ns))
    }
}

async fn run_flusher(wakes: Arc<Wakes>) {
    loop {
        wakes.flusher.notified().await;
        loop {
            let flushed = panic::catch_unwind(|| with_worker(Worker::flush_some));
            match flushed {
                Ok(false) => break,
                Ok(true) => tokio::task::yield_now().await,
                Err(_) => tracing::error!("a flush has panicked"),
            }
        }
    }
}

async fn run_timer(wakes: Arc<Wakes>) {
    loop {
        match with_worker(Worker::tick) {
            None => wakes.timer.notified().await,
            Some(next) => {
                tokio::select! {
                    () = tokio::time::sleep_until(next.into()) => {}
                    () = wakes.timer.notified() => {}
                }
            }
        }
    }
}

/// The clocks of a node: one origin for all its workers.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    origin_unix_us: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            origin: Instant::now(),
            origin_unix_us: u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    pub(crate) fn now(&self) -> Now {
        let elapsed_ns = u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now { monotonic_ns: elapsed_ns, unix_us: self.origin_unix_us + elapsed_ns / 1000 }
    }

    pub(crate) fn instant(&self, monotonic_ns: u64) -> Instant {
        self.origin + Duration::from_nanos(monotonic_ns)
    }
}

/// Counts one connection of a worker and of its listener, while it lives.
pub(crate) struct ConnectionCount {
    worker: Arc<WorkerShared>,
    listener: Arc<ListenerContext>,
}

impl ConnectionCount {
    /// Counts from the moment at which the socket is handed out, so that a burst is spread and limits hold.
    pub(crate) fn new(worker: Arc<WorkerShared>, listener: Arc<ListenerContext>) -> Self {
        worker.connections.fetch_add(1, Ordering::Relaxed);
        listener.connections.fetch_add(1, Ordering::Relaxed);
        Self { worker, listener }
    }
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.worker.connections.fetch_sub(1, Ordering::Relaxed);
        self.listener.connections.fetch_sub(1, Ordering::Relaxed);
        self.listener.node.connection_closed().notify_one();
    }
}
