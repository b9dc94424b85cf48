//! A node to be tested, and what can be seen of it from outside: addresses, HTTP answers, metrics.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bondy_node::NodeHandle;
use bondy_node::config::{Config, Request, Surroundings, load_from};

use crate::openmetrics::Metrics;
use crate::peer::wire::read_head;
use crate::peer::{DEADLINE, Dial, Peer};

/// The realm that is there unless a test asks for others.
pub(crate) const REALM: &str = "realm1";

/// A node with the listeners of one test, gone with it.
pub(crate) struct TestNode {
    pub(crate) handle: NodeHandle,
    _folder: Folder,
}

/// What a node is to be like.
pub(crate) struct Setup {
    listeners: Vec<String>,
    realms: String,
    others: String,
    folder: Folder,
}

impl Setup {
    /// An admin listener and one realm, open to all.
    pub(crate) fn new() -> Self {
        Self {
            listeners: vec!["admin: {bind: '127.0.0.1:0', serve: [admin]}".to_owned()],
            realms: format!("  - {{uri: {REALM}, authmethods: [anonymous], security_enabled: false}}"),
            others: String::new(),
            folder: Folder::new(),
        }
    }

    /// A TCP listener on this machine, with these keys.
    pub(crate) fn listener(self, name: &str, keys: &str) -> Self {
        self.listener_at(name, "127.0.0.1:0", keys)
    }

    pub(crate) fn listener_at(mut self, name: &str, bind: &str, keys: &str) -> Self {
        self.listeners.push(format!("{name}: {{bind: '{bind}', {keys}}}"));
        self
    }

    /// A Unix socket in a folder of its own.
    pub(crate) fn unix(self, name: &str, keys: &str) -> Self {
        let bind = format!("unix:{}", self.folder.path(name).display());
        self.listener_at(name, &bind, keys)
    }

    /// The realms, as YAML, instead of the one.
    pub(crate) fn realms(self, realms: &str) -> Self {
        Self { realms: realms.to_owned(), ..self }
    }

    /// Another line of the file.
    pub(crate) fn with(self, line: &str) -> Self {
        Self { others: format!("{}{line}\n", self.others), ..self }
    }

    #[track_caller]
    pub(crate) fn start(self) -> TestNode {
        let yaml = format!(
            "workers: 2\nlog: {{level: 'off'}}\n{}listeners:\n  {}\nrealms:\n{}\n",
            self.others,
            self.listeners.join("\n  "),
            self.realms
        );
        let handle = NodeHandle::start(config(&yaml)).unwrap_or_else(|error| panic!("{error:?}"));
        TestNode { handle, _folder: self.folder }
    }
}

#[track_caller]
fn config(yaml: &str) -> Config {
    let file = Path::new("bondy.yaml");
    let request = Request { file: Some(file.to_owned()), ..Request::default() };
    let read = |_: &Path| Ok(yaml.as_bytes().to_vec());
    let surroundings = Surroundings { environment: Vec::new(), read: &read };
    load_from(&request, &surroundings).unwrap_or_else(|problems| panic!("{problems}\n{yaml}")).config
}

impl TestNode {
    #[track_caller]
    pub(crate) fn address(&self, listener: &str) -> String {
        self.handle.bound()[listener].clone()
    }

    pub(crate) fn rawsocket(&self, listener: &str) -> Dial {
        Dial::rawsocket(&self.address(listener))
    }

    pub(crate) fn websocket(&self, listener: &str) -> Dial {
        Dial::websocket(&self.address(listener))
    }

    /// The metrics at this moment.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Metrics {
        let answer = http(&self.address("admin"), "GET", "/metrics");
        assert_eq!(answer.status, 200);
        Metrics::parse(&answer.body).unwrap_or_else(|error| panic!("{error}\n{}", answer.body))
    }

    /// Waits until a metric satisfies the condition.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, name: &str, is_reached: impl Fn(f64) -> bool) {
        wait_for(name, || is_reached(self.metrics().value(name)));
    }
}

/// Waits until the condition holds, and fails the test where it does not before the deadline.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut is_reached: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_reached() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A session that answers an echo procedure whenever it is asked to: something healthy beside what a test breaks.
pub(crate) struct Witness(Peer);

impl Witness {
    pub(crate) fn join(dial: &Dial) -> Self {
        let mut peer = dial.join(REALM);
        peer.register("com.example.witness");
        Self(peer)
    }

    /// A call of its own procedure still works.
    #[track_caller]
    pub(crate) fn check(&mut self) {
        let request = self.0.begin_call("com.example.witness", &serde_json::json!(["alive"]));
        self.0.echo();
        assert_eq!(self.0.end_call(request), Ok(serde_json::json!(["alive"])));
    }
}

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// One request over one connection.
#[track_caller]
pub(crate) fn http(address: &str, method: &str, path: &str) -> Answer {
    let mut stream = Dial::rawsocket(address).try_connect().expect("a connection");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    read_answer(&mut stream)
}

/// Reads an answer whose connection ends with it.
#[track_caller]
pub(crate) fn read_answer(stream: &mut impl Read) -> Answer {
    let head = read_head(stream).expect("the head of an answer");
    let mut body = String::new();
    stream.read_to_string(&mut body).expect("the body of an answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head, body }
}

/// A folder of its own, gone with its owner.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bondy-node-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
