//! A node to be tested, and what can be seen of it from outside: addresses, HTTP answers, metrics.

use std::path::Path;

use bondy_node::NodeHandle;
use bondy_node::config::{Config, Request, Surroundings, load_from};

use crate::folder::Folder;
use crate::openmetrics::Metrics;
use crate::peer::http::{metrics, wait_for_metric};
use crate::peer::{Dial, Peer};

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
        metrics(&self.address("admin"))
    }

    #[track_caller]
    pub(crate) fn wait_for_metric(&self, name: &str, value: f64) {
        wait_for_metric(&self.address("admin"), name, value);
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
