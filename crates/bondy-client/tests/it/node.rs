//! A node to connect to, and clients of it.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use bondy_client::{Builder, Client, Serializer, TlsOptions};
use bondy_node::NodeHandle;
use bondy_node::config::{Config, Request, Surroundings, load_from};

use crate::folder::Folder;

/// The realm that is there unless a test asks for others.
pub(crate) const REALM: &str = "realm1";

/// Nothing here takes longer, on however slow a machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A node with a listener for each transport, gone with it.
pub(crate) struct TestNode {
    /// Present until it is dropped.
    handle: Option<NodeHandle>,
    folder: Folder,
}

impl Drop for TestNode {
    /// On a thread of its own: a node may not be stopped from within an async runtime, where tests drop it.
    fn drop(&mut self) {
        let handle = self.handle.take();
        std::thread::scope(|scope| scope.spawn(|| drop(handle)).join().unwrap());
    }
}

/// A way to reach a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    RawSocket(Serializer),
    WebSocket(Serializer),
    Unix(Serializer),
}

/// The usual ways: each transport and each serializer once.
pub(crate) const WAYS: [Way; 4] = [
    Way::RawSocket(Serializer::MessagePack),
    Way::WebSocket(Serializer::Json),
    Way::WebSocket(Serializer::Cbor),
    Way::Unix(Serializer::Json),
];

impl TestNode {
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// With a TLS listener, whose certificate the client is told to trust.
    #[track_caller]
    pub(crate) fn start_with_tls() -> (Self, TlsOptions) {
        let node = Self::start_with(
            "  tls: {bind: '127.0.0.1:0', serve: [rawsocket, websocket], tls: {cert: CERT, key: KEY}}\n",
        );
        let tls = TlsOptions { ca_file: Some(node.folder.path("cert.pem")), ..TlsOptions::default() };
        (node, tls)
    }

    #[track_caller]
    fn start_with(listener: &str) -> Self {
        let folder = Folder::new();
        let unix = folder.path("socket");
        let generated = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        folder.write("cert.pem", &generated.cert.pem());
        folder.write("key.pem", &generated.signing_key.serialize_pem());
        let listener = listener
            .replace("CERT", &format!("'{}'", folder.path("cert.pem").display()))
            .replace("KEY", &format!("'{}'", folder.path("key.pem").display()));
        let yaml = format!(
            "workers: 2\nlog: {{level: 'off'}}\nlisteners:\n  \
             raw: {{bind: '127.0.0.1:0', serve: [rawsocket]}}\n  \
             web: {{bind: '127.0.0.1:0', serve: [websocket]}}\n  \
             unix: {{bind: 'unix:{}', serve: [rawsocket]}}\n{listener}\
             realms:\n  - {{uri: {REALM}, authmethods: [anonymous], security_enabled: false, \
             event_history: [{{uri: com.example.tick, match: exact, limit: 3}}]}}\n",
            unix.display()
        );
        let config = config(&yaml);
        let handle = std::thread::scope(|scope| scope.spawn(|| NodeHandle::start(config)).join().unwrap());
        Self { handle: Some(handle.unwrap_or_else(|error| panic!("{error:?}"))), folder }
    }

    pub(crate) fn address(&self, listener: &str) -> String {
        self.handle.as_ref().expect("it is there until it is dropped").bound()[listener].clone()
    }

    pub(crate) fn url(&self, way: Way) -> String {
        match way {
            Way::RawSocket(_) => format!("rs://{}", self.address("raw")),
            Way::WebSocket(_) => format!("ws://{}/ws", self.address("web")),
            Way::Unix(_) => self.address("unix"),
        }
    }

    /// A client that is to be connected.
    pub(crate) fn builder(&self, way: Way) -> Builder {
        let (Way::RawSocket(serializer) | Way::WebSocket(serializer) | Way::Unix(serializer)) = way;
        Client::builder().url(self.url(way)).realm(REALM).serializers([serializer])
    }

    pub(crate) async fn client(&self, way: Way) -> Client {
        in_time("connecting", self.builder(way).connect()).await.unwrap()
    }

    /// A client over rawsocket with MessagePack.
    pub(crate) async fn plain_client(&self) -> Client {
        self.client(WAYS[0]).await
    }
}

#[track_caller]
fn config(yaml: &str) -> Config {
    let request = Request { file: Some("bondy.yaml".into()), ..Request::default() };
    let read = |path: &Path| match path.ends_with("bondy.yaml") {
        true => Ok(yaml.as_bytes().to_vec()),
        false => std::fs::read(path),
    };
    let surroundings = Surroundings { environment: Vec::new(), read: &read };
    load_from(&request, &surroundings).unwrap_or_else(|problems| panic!("{problems}\n{yaml}")).config
}

/// Runs an async test on two threads.
#[track_caller]
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test)
}

/// The outcome, which must come before the deadline.
#[track_caller]
pub(crate) fn in_time<T>(what: &str, future: impl IntoFuture<Output = T>) -> impl Future<Output = T> {
    let future = future.into_future();
    async move {
        match tokio::time::timeout(DEADLINE, future).await {
            Ok(outcome) => outcome,
            Err(_) => panic!("waited in vain for {what}"),
        }
    }
}

/// Waits until the condition holds.
pub(crate) async fn wait_for(what: &str, mut is_reached: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + DEADLINE;
    while !is_reached() {
        assert!(std::time::Instant::now() < until, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
