//! The servers that a benchmark drives: the router under test and the floor beside it.

use crate::floor::FloorKind;
use crate::process::{Placement, Process, Worker};
use crate::usage::Subject;
use crate::wire::{Target, Wire};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the router under test comes from.
#[derive(Clone, Debug)]
pub enum RouterSource {
    /// Started for each benchmark by this command. It says where it listens in one line that contains `ready` and
    /// names each listener beside its address (`public=ws://127.0.0.1:PORT/ws tcp=127.0.0.1:PORT`).
    Command(Vec<String>),
    /// Running already, at these endpoints.
    Running {
        /// One for each transport that is to be measured.
        endpoints: Vec<Endpoint>,
        /// Its process, if it runs on this machine.
        pid: Option<u32>,
    },
}

/// An address by its transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `false`: rawsocket over TCP.
    pub websocket: bool,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The address.
    pub address: SocketAddr,
    /// The path of a WebSocket endpoint.
    pub path: String,
}

/// The listeners that a started router names, and what they speak.
const LISTENERS: [Listener; 4] = [
    Listener { name: "public", websocket: true, tls: false },
    Listener { name: "tcp", websocket: false, tls: false },
    Listener { name: "secure", websocket: true, tls: true },
    Listener { name: "secure_tcp", websocket: false, tls: true },
];

struct Listener {
    name: &'static str,
    websocket: bool,
    tls: bool,
}

const WEBSOCKET_PATH: &str = "/ws";

impl Endpoint {
    /// Reads `ws://HOST:PORT/PATH` or `tcp://HOST:PORT` (rawsocket; also `rs://`), with TLS `wss://` and `tcps://`
    /// (`rss://`).
    pub fn parse(url: &str) -> anyhow::Result<Endpoint> {
        let (scheme, rest) = url.split_once("://").with_context(|| format!("{url} has no scheme"))?;
        let (websocket, tls) = match scheme {
            "ws" => (true, false),
            "wss" => (true, true),
            "tcp" | "rs" => (false, false),
            "tcps" | "rss" => (false, true),
            _ => bail!("{url}: use ws:// or wss:// for WebSocket, tcp:// or tcps:// for rawsocket"),
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut addresses = host.to_socket_addrs().with_context(|| format!("cannot resolve {host}"))?;
        let address = addresses.next().with_context(|| format!("{host} has no address"))?;
        Ok(Endpoint { websocket, tls, address, path: format!("/{path}") })
    }
}

/// A server in place.
#[derive(Debug)]
pub struct Server {
    endpoints: Vec<Endpoint>,
    pid: Option<u32>,
    /// Kept to be killed at the end; `None` for a router that ran before.
    _process: Option<Process>,
}

impl Server {
    /// Starts the router, or takes the running one.
    pub fn router(source: &RouterSource, placement: Placement) -> anyhow::Result<Server> {
        match source {
            RouterSource::Running { endpoints, pid } => {
                Ok(Server { endpoints: endpoints.clone(), pid: *pid, _process: None })
            }
            RouterSource::Command(command) => {
                let process = Process::start(command, placement)?;
                let listeners = process
                    .await_line(READY_TIMEOUT, ready_listeners)
                    .context("the router has not become ready")?;
                let endpoints = LISTENERS.into_iter().filter_map(|Listener { name, websocket, tls }| {
                    let address = *listeners.get(name)?;
                    Some(Endpoint { websocket, tls, address, path: WEBSOCKET_PATH.to_owned() })
                });
                Ok(Server {
                    endpoints: endpoints.collect(),
                    pid: Some(process.pid()),
                    _process: Some(process),
                })
            }
        }
    }

    /// Starts a floor server.
    pub fn floor(worker: &Worker, kind: FloorKind, placement: Placement) -> anyhow::Result<Server> {
        let process = Process::start(&worker.command("floor", &serde_json::to_string(&kind)?), placement)?;
        let listeners = process.await_line(READY_TIMEOUT, ready_listeners)?;
        let address = *listeners.get("floor").context("the floor server has not said where it listens")?;
        let endpoint = Endpoint { websocket: false, tls: false, address, path: String::new() };
        Ok(Server { endpoints: vec![endpoint], pid: Some(process.pid()), _process: Some(process) })
    }

    /// The target for a load that speaks `wire`, with TLS or without.
    pub fn target(&self, wire: Wire, tls: bool, realm: &str) -> anyhow::Result<Target> {
        let websocket = matches!(wire, Wire::WebSocket(_));
        let found =
            self.endpoints.iter().find(|endpoint| (endpoint.websocket, endpoint.tls) == (websocket, tls));
        let transport = if websocket { "WebSocket" } else { "rawsocket" };
        let with_tls = if tls { " with TLS" } else { "" };
        let endpoint = found.with_context(|| format!("the server has no {transport} listener{with_tls}"))?;
        let (path, realm) = (endpoint.path.clone(), realm.to_owned());
        Ok(Target { address: endpoint.address, path, realm, tls, wire })
    }

    /// The process id, if it runs on this machine.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The cores that it may use, as the kernel writes them.
    pub fn cores(&self) -> Option<String> {
        Subject::Process(self.pid?).cores()
    }
}

/// The listeners of a readiness line: each address with a port, under the name that stands before it. Reads plain
/// text (`tcp=127.0.0.1:1`), URLs and JSON (`"public":"ws://127.0.0.1:1/ws"`) alike.
fn ready_listeners(line: &str) -> Option<BTreeMap<String, SocketAddr>> {
    if !line.contains("ready") {
        return None;
    }
    let separator = |letter: char| letter.is_whitespace() || "\"'`,;{}()\\=".contains(letter);
    let mut listeners = BTreeMap::new();
    let mut name = "";
    for word in line.split(separator).filter(|word| !matches!(*word, "" | ":")) {
        match socket_address(word) {
            Some(address) => {
                listeners.insert(name.to_owned(), address);
            }
            None => name = word.trim_end_matches(':'),
        }
    }
    (!listeners.is_empty()).then_some(listeners)
}

/// `[SCHEME://]ADDRESS:PORT[/PATH]`.
fn socket_address(word: &str) -> Option<SocketAddr> {
    let address = word.split_once("://").map_or(word, |(_, rest)| rest);
    let address = address.split('/').next()?;
    address.replace("localhost", "127.0.0.1").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_line_is_read_as_text_and_as_json() {
        let lines = [
            "bondy ready public=ws://127.0.0.1:4001/ws tcp=127.0.0.1:4002",
            "2026-01-01T00:00:00Z INFO ready: listening public=\"ws://127.0.0.1:4001\", tcp: tcp://127.0.0.1:4002",
            r#"{"level":"INFO","message":"ready","public":"ws://127.0.0.1:4001/ws","tcp":"127.0.0.1:4002"}"#,
            r#"{"message":"ready","listeners":"public=ws://localhost:4001/ws tcp=127.0.0.1:4002"}"#,
        ];
        for line in lines {
            let listeners = ready_listeners(line).expect(line);
            assert_eq!(listeners["public"].port(), 4_001, "{line}");
            assert_eq!(listeners["tcp"].port(), 4_002, "{line}");
        }
        assert_eq!(ready_listeners("starting public=127.0.0.1:4001"), None);
        assert_eq!(ready_listeners("ready"), None);
    }

    #[test]
    fn endpoints_name_their_transport() {
        let endpoint = Endpoint::parse("ws://127.0.0.1:8080/ws").expect("a WebSocket URL");
        assert_eq!((endpoint.websocket, endpoint.path.as_str()), (true, "/ws"));
        assert!(!Endpoint::parse("tcp://127.0.0.1:8082").expect("a rawsocket URL").websocket);
        assert!(Endpoint::parse("http://127.0.0.1:8080").is_err());
    }
}
