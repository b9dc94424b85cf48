//! Listeners: each accepts on its own task and hands sockets to the least loaded worker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bondy_transport::socket::{
    AcceptBackoff, AcceptVerdict, Accepted, BindAddress, BindError, Listener as Socket, SocketOptions,
};
use bondy_transport::tls::{CertificateFiles, TlsAcceptor, TlsError, TlsFiles};
use tokio::sync::mpsc;

use crate::config::{Bind, Listener, Serve};
use crate::node::{Node, WorkerHandle};
use crate::worker::ConnectionCount;

/// Beyond its maximum a listener still answers this many connections with a refusal; the rest is closed at once.
const REFUSALS_MAX: usize = 64;

/// What the connections of one listener share.
#[derive(Debug)]
pub(crate) struct ListenerContext {
    pub(crate) name: String,
    pub(crate) config: Listener,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) socket_options: SocketOptions,
    pub(crate) node: Arc<Node>,
    pub(crate) connections: AtomicUsize,
}

/// A socket on its way to a worker.
pub(crate) struct Intake {
    pub(crate) accepted: Accepted,
    pub(crate) listener: Arc<ListenerContext>,
    pub(crate) is_full: bool,
    pub(crate) count: ConnectionCount,
}

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be bound.
    #[error("listener `{name}`")]
    Bind {
        /// The listener.
        name: String,
        /// Why.
        #[source]
        source: BindError,
    },
    /// Somebody listens already where listeners should; all of them, so that they can be mended at once.
    #[error("address already in use: {}", name_all(.0))]
    InUse(Vec<TakenListener>),
    /// The certificates cannot be used.
    #[error("listener `{name}`")]
    Tls {
        /// The listener.
        name: String,
        /// Why.
        #[source]
        source: TlsError,
    },
}

/// A listener whose address is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenListener {
    /// The listener.
    pub name: String,
    /// `HOST:PORT` or `unix:PATH`.
    pub address: String,
}

fn name_all(taken: &[TakenListener]) -> String {
    let names: Vec<String> =
        taken.iter().map(|taken| format!("{} of listener `{}`", taken.address, taken.name)).collect();
    names.join(", ")
}

impl ListenerContext {
    pub(crate) fn new(name: String, config: Listener, node: Arc<Node>) -> Result<Self, ListenError> {
        let tls = config.tls.as_ref().map(|tls| {
            TlsAcceptor::load(TlsFiles {
                certificates: vec![CertificateFiles { cert: tls.cert.clone(), key: tls.key.clone() }],
                client_ca: tls.client_ca.clone(),
                serves_http: config.serve.iter().any(|serve| *serve != Serve::Rawsocket),
            })
        });
        let tls = tls.transpose().map_err(|source| ListenError::Tls { name: name.clone(), source })?;
        let socket_options = SocketOptions::probing_after(config.tcp_keepalive);
        Ok(Self { name, config, tls, socket_options, node, connections: AtomicUsize::new(0) })
    }

    /// Does it serve the administration and nothing else? Such a listener is open until the node's end, so that
    /// whoever asks hears that the node drains.
    pub(crate) fn is_admin_only(&self) -> bool {
        self.config.serve.iter().all(|serve| *serve == Serve::Admin)
    }

    pub(crate) async fn bind(&self) -> Result<Socket, ListenError> {
        let address = match &self.config.bind {
            Bind::Tcp { host, port } => BindAddress::Tcp { host: host.clone(), port: *port },
            Bind::Unix { path } => BindAddress::Unix { path: path.clone(), mode: 0o600 },
        };
        let name = self.name.clone();
        Socket::bind(&address).await.map_err(|source| match source {
            BindError::InUse(address) => {
                ListenError::InUse(vec![TakenListener { name, address: address.to_string() }])
            }
            source => ListenError::Bind { name, source },
        })
    }
}

/// Accepts until the listener breaks or the task is dropped.
pub(crate) async fn accept_all(socket: Socket, listener: Arc<ListenerContext>, workers: Arc<[WorkerHandle]>) {
    let mut backoff = AcceptBackoff::default();
    loop {
        match socket.accept().await {
            Ok(accepted) => {
                backoff.succeeded();
                hand_out(accepted, &listener, &workers).await;
            }
            Err(error) => match backoff.judge(&error) {
                AcceptVerdict::Continue => {}
                AcceptVerdict::Wait(time) => {
                    tracing::warn!(listener = listener.name, %error, "cannot accept, will try again");
                    tokio::time::sleep(time).await;
                }
                AcceptVerdict::Stop => {
                    tracing::error!(listener = listener.name, %error, "the listener is broken");
                    return;
                }
            },
        }
    }
}

async fn hand_out(accepted: Accepted, listener: &Arc<ListenerContext>, workers: &[WorkerHandle]) {
    if let Some((worker, intake)) = assign(accepted, listener, workers) {
        // A worker that is gone means that the node is stopping.
        let _ = worker.intake.send(intake).await;
    }
}

/// The least loaded worker and what it is to be given, counted from now on; `None` where the listener has so many
/// connections that it does not even answer.
pub(crate) fn assign<'a>(
    accepted: Accepted,
    listener: &Arc<ListenerContext>,
    workers: &'a [WorkerHandle],
) -> Option<(&'a WorkerHandle, Intake)> {
    let connections = listener.connections.load(Ordering::Relaxed);
    let max = listener.config.connections_max;
    if connections >= max + REFUSALS_MAX {
        return None;
    }
    let worker = workers.iter().min_by_key(|worker| worker.shared.connections.load(Ordering::Relaxed))?;
    let count = ConnectionCount::new(Arc::clone(&worker.shared), Arc::clone(listener));
    let intake = Intake { accepted, listener: Arc::clone(listener), is_full: connections >= max, count };
    Some((worker, intake))
}

/// The receiving end of a worker's intake.
pub(crate) type IntakeReceiver = mpsc::Receiver<Intake>;

/// An error whose connection is simply gone, which nobody needs to hear of.
pub(crate) fn is_disconnect(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
}
