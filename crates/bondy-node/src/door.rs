//! A way into a node without an address: for tests and tools in its own process.
//!
//! One end of a pair of connected sockets is handed to a worker as if a listener had accepted it; the caller has the
//! other. From there on nothing differs from a Unix socket, so a test meets what a user meets.
//!
//! Invariant: a door keeps nothing alive. A node that is draining or gone is not entered.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak};

use bondy_transport::socket::Accepted;
use tokio::sync::mpsc::error::TrySendError;

use crate::config::Serve;
use crate::listener::{ListenerContext, assign};
use crate::node::WorkerHandle;

/// Where connections from within come in.
#[derive(Debug)]
pub(crate) struct Door {
    listeners: Vec<Weak<ListenerContext>>,
    workers: Weak<[WorkerHandle]>,
}

impl Door {
    pub(crate) fn new(listeners: &[Arc<ListenerContext>], workers: &Arc<[WorkerHandle]>) -> Self {
        Self { listeners: listeners.iter().map(Arc::downgrade).collect(), workers: Arc::downgrade(workers) }
    }

    /// Connects as if to the listener of this name.
    pub(crate) fn connect(&self, name: &str) -> io::Result<UnixStream> {
        let gone = || io::Error::new(io::ErrorKind::ConnectionRefused, "the node is gone");
        let workers = self.workers.upgrade().ok_or_else(gone)?;
        let listener = self.find(name)?;
        let (near, far) = UnixStream::pair()?;
        far.set_nonblocking(true)?;
        // Above its maximum a listener closes at once, and so the near end finds it closed.
        let Some((worker, intake)) = assign(Accepted::Unix(far), &listener, &workers) else {
            return Ok(near);
        };
        match worker.intake.try_send(intake) {
            Ok(()) => Ok(near),
            Err(TrySendError::Full(_)) => {
                let text = "too many connections wait for the node's worker; try again";
                Err(io::Error::new(io::ErrorKind::WouldBlock, text))
            }
            Err(TrySendError::Closed(_)) => Err(gone()),
        }
    }

    fn find(&self, name: &str) -> io::Result<Arc<ListenerContext>> {
        let serving: Vec<_> =
            self.listeners.iter().filter_map(Weak::upgrade).filter(serves_rawsocket).collect();
        if let Some(listener) = serving.iter().find(|listener| listener.name == name) {
            return Ok(Arc::clone(listener));
        }
        let names: Vec<&str> = serving.iter().map(|listener| listener.name.as_str()).collect();
        let text = format!("no listener `{name}` serves rawsocket; these do: {}", names.join(", "));
        Err(io::Error::new(io::ErrorKind::NotFound, text))
    }
}

fn serves_rawsocket(listener: &Arc<ListenerContext>) -> bool {
    listener.config.serve.contains(&Serve::Rawsocket)
}
