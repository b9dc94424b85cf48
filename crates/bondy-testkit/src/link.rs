//! A way from a client to a router on which things go wrong when a test says so.
//!
//! A [`Link`] listens on a free port of the loopback interface and passes every connection on. It runs on a thread of
//! its own, so that a test may block, use any runtime or none. It reads along: rawsocket and WebSocket without TLS are
//! taken apart into messages, so that a [`Fault`] can name the third CALL or every EVENT; of everything else it counts
//! the bytes.
//!
//! State that tests and connections share is `state`'s, one connection is `pump`'s, what a fault is `fault`'s.
//!
//! Invariant: without a fault both sides receive the bytes that the other sent, in order (`wire::splitter` names the
//! two exceptions), and see the other's end of the stream.

mod fault;
mod pump;
mod state;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub use fault::{Action, Ending, Fault, FaultId, Step};
pub use state::{Counts, Traffic};

use crate::recording::Recording;
use state::Shared;

/// Where something is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the client to the router.
    ToRouter,
    /// From the router to the client.
    ToClient,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::ToRouter, Direction::ToClient];

    /// The name in recordings and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::ToRouter => "to_router",
            Direction::ToClient => "to_client",
        }
    }

    /// The direction of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }

    const fn index(self) -> usize {
        match self {
            Direction::ToRouter => 0,
            Direction::ToClient => 1,
        }
    }
}

/// What was waited for did not come.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{what} was not so within {deadline:?}; the link has seen {counts:?}")]
pub struct WaitError {
    /// What was waited for.
    pub what: String,
    /// For how long.
    pub deadline: Duration,
    /// What the link had seen at the end.
    pub counts: Box<Counts>,
}

/// A way to a router; gone, with its connections, when it is dropped.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    /// A way to `HOST:PORT`.
    ///
    /// # Errors
    /// There is no free port, or no thread.
    pub fn to(target: impl Into<String>) -> io::Result<Self> {
        let target = target.into();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("bondy-testkit-link".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, target, &serving) => {}
                    // An error means that the link was dropped.
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// `HOST:PORT` where it listens.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// What a client connects to with WebSocket.
    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// What a client connects to with rawsocket.
    pub fn rawsocket_url(&self) -> String {
        format!("rs://{}", self.address)
    }

    /// Lets something go wrong from now on, also on connections that are open.
    pub fn add(&self, fault: Fault) -> FaultId {
        self.shared.add(fault)
    }

    /// Ends a fault; what it has held back or cut stays so. Whether there was one.
    pub fn remove(&self, fault: FaultId) -> bool {
        self.shared.remove(fault)
    }

    /// Ends all faults, thaws what is frozen and lets connections in again.
    pub fn clear(&self) {
        self.shared.clear();
    }

    /// How often a fault has acted; `None` where it is gone.
    pub fn acted(&self, fault: FaultId) -> Option<u64> {
        self.shared.acted(fault)
    }

    /// Ends every open connection on both sides.
    pub fn cut(&self, ending: Ending) {
        self.shared.cut_all(ending);
    }

    /// Passes nothing on in this direction, nor that a side has closed, until [`thaw`](Self::thaw): a connection that
    /// looks alive and is not. Frozen in both directions it is half-open for each side. Connections to come are frozen
    /// too, once they are accepted.
    pub fn freeze(&self, direction: Direction) {
        self.shared.freeze(direction);
    }

    /// Passes on again what was frozen, by [`freeze`](Self::freeze) or by a fault.
    pub fn thaw(&self) {
        self.shared.thaw();
    }

    /// Resets every new connection as soon as it is accepted, or lets them in again. Open ones stay.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refuse(refuse);
    }

    /// What has passed so far.
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// Waits until the counts are as wanted; `what` says so in the error.
    ///
    /// # Errors
    /// They were not in time.
    pub async fn wait_until(
        &self,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&Counts) -> bool,
    ) -> Result<Counts, WaitError> {
        let mut counting = self.shared.counting();
        let reached = async {
            loop {
                let counts = self.counts();
                if wanted(&counts) {
                    return counts;
                }
                // The sender lives as long as `self`.
                let _ = counting.changed().await;
            }
        };
        match tokio::time::timeout(deadline, reached).await {
            Ok(counts) => Ok(counts),
            Err(_) => Err(WaitError { what: what.to_owned(), deadline, counts: Box::new(self.counts()) }),
        }
    }

    /// Begins to record what passes, with what connections that are open have agreed on. A recording that was running is
    /// given up.
    pub fn record(&self) {
        self.shared.record();
    }

    /// Ends the recording; an empty one where none was running.
    pub fn recording(&self) -> Recording {
        self.shared.recording()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Accepts connections for ever.
async fn serve(listener: std::net::TcpListener, target: String, shared: &Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(connect(client, target.clone(), Arc::clone(shared)));
                }
                // Out of descriptors, say: one accepted connection may have to end first.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Between two attempts to accept after an error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

async fn connect(client: TcpStream, target: String, shared: Arc<Shared>) {
    let Some(connection) = shared.open() else {
        pump::reset(&client);
        return;
    };
    match TcpStream::connect(target.as_str()).await {
        Ok(router) => pump::run(client, router, connection, &shared).await,
        Err(_) => pump::reset(&client),
    }
    shared.close(connection);
}
