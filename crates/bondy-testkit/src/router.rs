//! A node in this process.
//!
//! One listener speaks WebSocket, rawsocket and HTTP on one port of the loopback interface, another one administration;
//! the system chooses both ports. Nothing is read from the environment and nothing is written to the disk.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bondy_client::{Client, ClientStream, ConnectError, Connector};
use bondy_node::NodeHandle;
use bondy_node::config::{Config, Problems, Request, Setting, Surroundings, load_from};

use crate::link::Link;

/// The realm that is there unless others are asked for.
const REALM: &str = "realm1";

/// The listener for WAMP.
const LISTENER: &str = "main";

/// What the built-in configuration is called in messages.
const FILE: &str = "testkit.yaml";

/// How long [`Router::stop`] and [`Router::restart`] give sessions for their GOODBYE: more than any client on the same
/// machine needs, less than a test would notice.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// Why a router does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Every problem, with the key that it is about.
    #[error("the router's settings are wrong: {0}")]
    Configuration(Problems),
    /// The node does not start: a port is taken, say.
    #[error("the router does not start")]
    Node(#[from] bondy_node::StartError),
    /// The runtime that was to start it is shutting down.
    #[error("the router was not started, because the runtime ends")]
    Ended(#[source] tokio::task::JoinError),
}

impl From<Problems> for StartError {
    fn from(problems: Problems) -> Self {
        StartError::Configuration(problems)
    }
}

/// What a router is to be like.
#[derive(Clone, Debug, Default)]
pub struct RouterBuilder {
    realms: Vec<String>,
    settings: Vec<(String, String)>,
}

/// The node, behind a lock because connectors reach it too; none while it is stopped.
type Node = Arc<Mutex<Option<NodeHandle>>>;

/// A router inside this process; stopped when it is dropped.
#[derive(Debug)]
pub struct Router {
    builder: RouterBuilder,
    node: Node,
    bound: BTreeMap<String, String>,
}

impl RouterBuilder {
    /// Adds a realm in which anonymous sessions may do everything. Without any, there is `realm1`.
    #[must_use]
    pub fn realm(mut self, uri: impl Into<String>) -> Self {
        self.realms.push(uri.into());
        self
    }

    /// Sets a key of the configuration, as `bondy start --set KEY=VALUE` does.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }

    /// Starts the router; it listens when this returns.
    ///
    /// # Errors
    /// The configuration has problems, each of which is named, or the node cannot start.
    pub async fn start(self) -> Result<Router, StartError> {
        let started = tokio::task::spawn_blocking(move || self.start_blocking()).await;
        started.map_err(StartError::Ended)?
    }

    /// The same for a test without a runtime. Must not be called inside one.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_blocking(self) -> Result<Router, StartError> {
        let node = launch(&self, &BTreeMap::new())?;
        let bound = node.bound().clone();
        Ok(Router { builder: self, node: Arc::new(Mutex::new(Some(node))), bound })
    }

    /// The configuration; `bound` are ports that are to be the same again.
    fn config(&self, bound: &BTreeMap<String, String>) -> Result<Config, Problems> {
        let yaml = self.yaml();
        let setting = |(key, value): &(String, String)| Setting {
            flag: format!("the setting {key}"),
            key: key.clone(),
            value: value.clone(),
        };
        let again = |(name, address): (&String, &String)| Setting {
            flag: "the address from before the restart".to_owned(),
            key: format!("listeners.{name}.bind"),
            value: format!("'{address}'"),
        };
        let settings = self.settings.iter().map(setting).chain(bound.iter().map(again)).collect();
        let request = Request { file: Some(FILE.into()), settings, dev: false };
        let read = |path: &Path| {
            if path == Path::new(FILE) { Ok(yaml.clone().into_bytes()) } else { std::fs::read(path) }
        };
        let surroundings = Surroundings { environment: Vec::new(), read: &read };
        load_from(&request, &surroundings).map(|loaded| loaded.config)
    }

    fn yaml(&self) -> String {
        let default = [REALM.to_owned()];
        let realms = if self.realms.is_empty() { &default } else { &self.realms[..] };
        // A JSON string is a YAML one, so any text is taken for what it is.
        let realm = |uri: &String| {
            format!("  - {{uri: {}, authmethods: [anonymous], security_enabled: false}}\n", quoted(uri))
        };
        format!(
            "node: {{name: testkit, data_dir: temporary}}\n\
             workers: 1\n\
             log: {{level: 'off'}}\n\
             listeners:\n  \
               {LISTENER}: {{bind: '127.0.0.1:0', serve: [rawsocket, websocket, http]}}\n  \
               admin: {{bind: '127.0.0.1:0', serve: [admin]}}\n\
             realms:\n{}",
            realms.iter().map(realm).collect::<String>()
        )
    }
}

impl Router {
    /// A router with the defaults: `realm1`, in which everybody may do everything.
    ///
    /// # Errors
    /// The node cannot start.
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// A router to be described.
    pub fn builder() -> RouterBuilder {
        RouterBuilder::default()
    }

    /// Where it listens, by the name of the listener: `HOST:PORT` or `unix:PATH`.
    pub fn bound(&self) -> &BTreeMap<String, String> {
        &self.bound
    }

    /// `HOST:PORT` of the listener that speaks WebSocket and rawsocket.
    pub fn address(&self) -> &str {
        self.bound.get(LISTENER).map_or("", String::as_str)
    }

    /// Where it speaks WebSocket.
    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address())
    }

    /// Where it speaks rawsocket.
    pub fn rawsocket_url(&self) -> String {
        format!("rs://{}", self.address())
    }

    /// Where it is administered: `/ping`, `/ready` and `/metrics` below it.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.bound.get("admin").map_or("", String::as_str))
    }

    /// A stream to this router without an address: it speaks rawsocket. [`Peer::over`](crate::Peer::over) takes it.
    ///
    /// # Errors
    /// The router is stopped, or the system has no descriptors left.
    pub fn connect(&self) -> io::Result<UnixStream> {
        connect(&self.node)
    }

    /// The same for the client library, whose clients reconnect by it, also after a restart.
    pub fn connector(&self) -> impl Connector + use<> {
        let node = Arc::clone(&self.node);
        move || std::future::ready(connect(&node).and_then(client_stream))
    }

    /// A client that has joined the first realm, without an address.
    ///
    /// # Errors
    /// The router is stopped.
    pub async fn client(&self) -> Result<Client, ConnectError> {
        let realm = self.builder.realms.first().map_or(REALM, String::as_str);
        Client::builder().realm(realm).connect_over(self.connector()).await
    }

    /// A way to this router on which things can go wrong. It outlives a restart, and leads to nobody while the router
    /// is stopped.
    ///
    /// # Errors
    /// There is no free port or no thread.
    pub fn link(&self) -> io::Result<Link> {
        Link::to(self.address())
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        lock(&self.node).is_some()
    }

    /// Stops as SIGTERM makes a node stop: no new connections, GOODBYE to every session, then the end. Does nothing to
    /// a router that is stopped.
    pub async fn stop(&mut self) {
        self.end(DRAIN_TIMEOUT).await;
    }

    /// Stops and lets nobody say goodbye in time: connections are closed as soon as GOODBYE has been sent.
    pub async fn kill(&mut self) {
        self.end(Duration::ZERO).await;
    }

    /// Stops unless it is stopped, and starts on the same ports with nothing left of what was registered, subscribed
    /// or retained.
    ///
    /// # Errors
    /// The node cannot start, for example because another process has taken its port meanwhile.
    pub async fn restart(&mut self) -> Result<(), StartError> {
        self.stop().await;
        let (builder, bound) = (self.builder.clone(), self.bound.clone());
        let launched = tokio::task::spawn_blocking(move || launch(&builder, &bound)).await;
        *lock(&self.node) = Some(launched.map_err(StartError::Ended)??);
        Ok(())
    }

    async fn end(&mut self, timeout: Duration) {
        let Some(node) = lock(&self.node).take() else { return };
        // A node that cannot be waited for is one that has panicked, and its threads have said so.
        let _ = tokio::task::spawn_blocking(move || node.drain(timeout)).await;
    }
}

impl Drop for Router {
    /// Stops at once, on a thread of its own: inside a runtime a node cannot be waited for.
    fn drop(&mut self) {
        let Some(node) = lock(&self.node).take() else { return };
        let stopper = std::thread::Builder::new().name("bondy-testkit-stop".to_owned());
        // Without a thread the handle's own drop has already stopped the node.
        if let Ok(stopper) = stopper.spawn(move || drop(node)) {
            let _ = stopper.join();
        }
    }
}

/// Nothing is left half done in a section: it takes the node or puts one there.
fn lock(node: &Node) -> MutexGuard<'_, Option<NodeHandle>> {
    node.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(node: &Node) -> io::Result<UnixStream> {
    match &*lock(node) {
        Some(node) => node.connect(LISTENER),
        None => Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the router is stopped")),
    }
}

fn client_stream(stream: UnixStream) -> io::Result<ClientStream> {
    stream.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(stream).map(ClientStream::from)
}

fn launch(builder: &RouterBuilder, bound: &BTreeMap<String, String>) -> Result<NodeHandle, StartError> {
    let config = builder.config(bound)?;
    Ok(NodeHandle::start(config)?)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
