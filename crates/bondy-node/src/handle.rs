//! A node in this process, on a thread of its own: the door for tests and tools.
//!
//! It is the node that [`run`](crate::run) runs, without what belongs to a process: no signals, no log, no line that
//! says it is ready.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::door::Door;
use crate::node::{RunningNode, StartError};

/// Commands that wait for the node's thread.
const COMMANDS_MAX: usize = 16;

/// A node that serves until it is drained or dropped.
#[derive(Debug)]
pub struct NodeHandle {
    bound: BTreeMap<String, String>,
    door: Door,
    commands: mpsc::Sender<Command>,
    thread: Option<JoinHandle<usize>>,
}

#[derive(Debug)]
enum Command {
    ReloadCertificates,
    Drain(Duration),
}

impl NodeHandle {
    /// Starts a node; returns once all its listeners are open. Must not be called from within an async runtime.
    ///
    /// # Errors
    /// As for a node that is [`run`](crate::run).
    pub fn start(config: Config) -> Result<Self, StartError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Worker)?;
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (started, outcome) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("bondy-node".to_owned())
            .spawn(move || runtime.block_on(serve(config, started, receiver)))
            .map_err(StartError::Worker)?;
        match outcome.blocking_recv() {
            Ok(Ok((bound, door))) => Ok(Self { bound, door, commands, thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Worker(std::io::Error::other("the node's thread has ended"))),
        }
    }

    /// Where each listener listens, by name: `HOST:PORT` or `unix:PATH`, with the ports that the system chose.
    pub fn bound(&self) -> &BTreeMap<String, String> {
        &self.bound
    }

    /// Connects to the node without an address, as if over a Unix socket to the listener of this name, which must
    /// serve rawsocket. What that listener expects first (a PROXY header, TLS) it expects here too, and its limits
    /// hold.
    ///
    /// It never waits, so it may be called within an async runtime; set the stream non-blocking before it is given to
    /// one.
    ///
    /// # Errors
    /// If there is no such listener, if more connections wait than a worker takes, or if the system has no descriptors
    /// left.
    pub fn connect(&self, listener: &str) -> std::io::Result<UnixStream> {
        self.door.connect(listener)
    }

    /// Reads certificates and keys anew, for connections to come.
    pub fn reload_certificates(&self) {
        // A node that is gone has no certificates.
        let _ = self.commands.blocking_send(Command::ReloadCertificates);
    }

    /// Drains the node as SIGTERM does; returns how many connections were cut off because the time was up.
    pub fn drain(mut self, timeout: Duration) -> usize {
        self.stop(timeout)
    }

    fn stop(&mut self, timeout: Duration) -> usize {
        let Some(thread) = self.thread.take() else { return 0 };
        let _ = self.commands.blocking_send(Command::Drain(timeout));
        thread.join().unwrap_or(0)
    }
}

impl Drop for NodeHandle {
    /// Stops the node at once.
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

type Started = oneshot::Sender<Result<(BTreeMap<String, String>, Door), StartError>>;

async fn serve(config: Config, started: Started, mut commands: mpsc::Receiver<Command>) -> usize {
    let running = match RunningNode::start(&config).await {
        Ok(running) => running,
        Err(error) => {
            let _ = started.send(Err(error));
            return 0;
        }
    };
    if started.send(Ok((running.bound().clone(), running.door()))).is_err() {
        return running.drain(Duration::ZERO).await;
    }
    loop {
        match commands.recv().await {
            Some(Command::ReloadCertificates) => running.reload_certificates(),
            Some(Command::Drain(timeout)) => return running.drain(timeout).await,
            None => return running.drain(Duration::ZERO).await,
        }
    }
}
