//! The servers that a benchmark drives: the router under test and the floor beside it.

use crate::endpoint::{Endpoint, Place, Transport};
use crate::failure::Failure;
use crate::floor::FloorKind;
use crate::process::{Placement, Process, Worker};
use crate::usage::{Subject, listening_pids};
use crate::wire::{Target, Wire};
use anyhow::Context;
use std::collections::BTreeMap;
use std::net::SocketAddr;
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
        /// Its processes on this machine; none: those that listen at the endpoint.
        pids: Vec<u32>,
    },
}

/// The listeners that a started router names, and what they speak.
const LISTENERS: [Listener; 4] = [
    Listener { name: "public", transport: Transport::WebSocket, tls: false },
    Listener { name: "tcp", transport: Transport::RawSocket, tls: false },
    Listener { name: "secure", transport: Transport::WebSocket, tls: true },
    Listener { name: "secure_tcp", transport: Transport::RawSocket, tls: true },
];

struct Listener {
    name: &'static str,
    transport: Transport,
    tls: bool,
}

const WEBSOCKET_PATH: &str = "/ws";

/// A server in place.
#[derive(Debug)]
pub struct Server {
    endpoints: Vec<Endpoint>,
    pids: Vec<u32>,
    /// Kept to be killed at the end; `None` for a router that ran before.
    _process: Option<Process>,
}

impl Server {
    /// Starts the router, or takes the running one.
    pub fn router(worker: &Worker, source: &RouterSource, placement: Placement) -> anyhow::Result<Server> {
        match source {
            RouterSource::Running { endpoints, pids } => {
                Ok(Server { endpoints: endpoints.clone(), pids: pids.clone(), _process: None })
            }
            RouterSource::Command(command) => {
                let process = Process::start(&worker.router(command), placement)?;
                let listeners = process
                    .await_line(READY_TIMEOUT, ready_listeners)
                    .context("the router has not become ready")?;
                let endpoints = LISTENERS.into_iter().filter_map(|Listener { name, transport, tls }| {
                    let place = place(*listeners.get(name)?);
                    Some(Endpoint { transport, tls, place, path: WEBSOCKET_PATH.to_owned() })
                });
                Ok(Server {
                    endpoints: endpoints.collect(),
                    pids: vec![process.pid()],
                    _process: Some(process),
                })
            }
        }
    }

    /// Starts a floor server.
    pub fn floor(worker: &Worker, kind: FloorKind, placement: Placement) -> anyhow::Result<Server> {
        let process =
            Process::start(&worker.command("floor", Some(&serde_json::to_string(&kind)?)), placement)?;
        let listeners = process.await_line(READY_TIMEOUT, ready_listeners)?;
        let address = *listeners.get("floor").context("the floor server has not said where it listens")?;
        let (transport, place) = (Transport::RawSocket, place(address));
        let endpoint = Endpoint { transport, tls: false, place, path: String::new() };
        Ok(Server { endpoints: vec![endpoint], pids: vec![process.pid()], _process: Some(process) })
    }

    /// The target for a load that speaks `wire`, with TLS or without. Finds the server's process where nobody has
    /// named it.
    pub fn target(&mut self, wire: Wire, tls: bool, realm: &str) -> anyhow::Result<Target> {
        let wanted = (wire.transport(), tls);
        let found = self.endpoints.iter().find(|endpoint| (endpoint.transport, endpoint.tls) == wanted);
        let endpoint = found.with_context(|| {
            let with_tls = if tls { " with TLS" } else { "" };
            Failure::usage(format!("the server has no {} listener{with_tls}", wire.transport().name()))
        })?;
        let address = endpoint.reach()?;
        if self.pids.is_empty() {
            self.pids = listening_pids(&address);
        }
        let (endpoint, realm) = (endpoint.clone(), realm.to_owned());
        Ok(Target { endpoint, address, realm, wire, credentials: None })
    }

    /// The process ids, if it runs on this machine. Known after the first [`Server::target`].
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// The cores that it may use, as the kernel writes them.
    pub fn cores(&self) -> Option<String> {
        Subject::Process(*self.pids.first()?).cores()
    }
}

fn place(address: SocketAddr) -> Place {
    Place::Host(address.ip().to_string(), address.port())
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
}
