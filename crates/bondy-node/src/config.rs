//! The configuration of a node: one file, then the environment, then flags.
//!
//! [`load()`] is the only function that reads files or the environment; it gives a [`Config`] of domain types, in which
//! every default is filled in, or all [`Problems`] at once. The table in `keys` says which keys there are; check,
//! suggestions, schema, default file and reference page ([`reference`](mod@reference)) all come from it. Nothing
//! here opens a socket or knows how a realm works: the rest of the node turns these types into those of the router
//! and the transports.
//!
//! Invariant: a realm that asks for anything that this version cannot enforce is a problem, never a realm that runs
//! open.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bondy_transport::forwarded::IpNetwork;
use bondy_wamp::uri::MatchPolicy;

mod address;
mod check;
mod decode;
mod keys;
mod kind;
mod load;
mod problem;
mod realm;
pub mod reference;
mod show;
mod toml;
mod tree;
mod unit;
mod yaml;

pub use address::Bind;
pub use kind::Memory;
pub use load::{DEFAULT_FILE, Request, Setting, Surroundings, load, load_from};
pub use problem::{Origin, Problem, Problems};

/// A configuration, and what it was made from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    tree: tree::Node,
}

impl Loaded {
    /// The effective configuration as YAML, secrets left out; with `origins`, where each value comes from.
    pub fn show(&self, origins: bool) -> String {
        show::show(&self.tree, origins)
    }
}

/// The configuration of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The node itself.
    pub node: Node,
    /// What is logged.
    pub log: Log,
    /// Threads that serve sessions; 0 is one for each core.
    pub workers: usize,
    /// The bound on all outboxes together.
    pub outbox_memory_max: Memory,
    /// Where the node listens, by name; at least one.
    pub listeners: BTreeMap<String, Listener>,
    /// WAMP over plain HTTP.
    pub http_transports: HttpTransports,
    /// The realms, their URIs different from each other.
    pub realms: Vec<RealmConfig>,
}

/// The node itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where it keeps what outlives the process.
    pub data_dir: DataDir,
    /// How long a drain may take.
    pub drain_timeout: Duration,
}

/// Where a node keeps what outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataDir {
    /// In this folder, as seen from the working folder.
    Folder(PathBuf),
    /// In a folder that is made at the start and removed at the end.
    Temporary,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least level that is written.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// The least level that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// The name, as in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            LogLevel::Off => "off",
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON anywhere else.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Timeouts of WAMP over plain HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpTransports {
    /// How long a long-poll request waits.
    pub receive_timeout: Duration,
    /// How long a session without requests lives.
    pub idle_timeout: Duration,
}

/// One place to listen at, and what its connections may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub bind: Bind,
    /// What is spoken; at least one.
    pub serve: BTreeSet<Serve>,
    /// TLS, on TCP only.
    pub tls: Option<Tls>,
    /// The largest message that is read, in bytes. Rawsocket announces at most 16 MiB of it.
    pub message_bytes_max: usize,
    /// Whether request ids must count up from 1.
    pub strict: bool,
    /// From accept to a connection that speaks WAMP.
    pub handshake_timeout: Duration,
    /// From there to a session.
    pub authentication_timeout: Duration,
    /// Pings to WebSocket peers; none: off.
    pub websocket_ping: Option<Ping>,
    /// Pings to rawsocket peers; none: off.
    pub rawsocket_ping: Option<Ping>,
    /// The silence after which the system probes a TCP peer; none: never.
    pub tcp_keepalive: Option<Duration>,
    /// How many connections are open at once.
    pub connections_max: usize,
    /// Whether the PROXY protocol comes first.
    pub proxy_protocol: bool,
    /// Whose forwarded headers are believed.
    pub trusted_proxies: Vec<IpNetwork>,
    /// Whether permessage-deflate is offered.
    pub compression: bool,
    /// Waiting bytes from which on senders are slowed down.
    pub outbox_soft_bytes: usize,
    /// Waiting bytes beyond which events are not admitted; never less than the soft limit.
    pub outbox_hard_bytes: usize,
    /// What happens to an event beyond the hard limit.
    pub overflow: Overflow,
    /// The trust level of sessions that come in here; none: not stated.
    pub trust_level: Option<u64>,
}

/// What is spoken at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Serve {
    /// WAMP over WebSocket, at `/ws`.
    Websocket,
    /// HTTP for applications.
    Http,
    /// The administration of the node.
    Admin,
    /// WAMP over rawsocket.
    Rawsocket,
}

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Authorities of which every client must show a certificate; none: clients show none.
    pub client_ca: Option<PathBuf>,
}

/// Pings to a silent peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// How often.
    pub interval: Duration,
    /// How long it may take to answer.
    pub timeout: Duration,
}

/// What happens to an event that a full outbox does not admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It is dropped and counted.
    DropNewest,
    /// The session is closed.
    Close,
}

/// A realm object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmConfig {
    /// Its URI, valid by the loose rule.
    pub uri: String,
    /// For people.
    pub description: String,
    /// How sessions authenticate.
    pub authmethods: Vec<AuthMethod>,
    /// Whether grants and sources count. Where they do, they say "everything" in this version.
    pub security_enabled: bool,
    /// From where anonymous sessions may join.
    pub anonymous_sources: AddressFamilies,
    /// Topics whose events are kept.
    pub event_history: Vec<EventHistory>,
    /// Who is told who called or published.
    pub disclosure: Disclosures,
    /// What it may use.
    pub limits: Limits,
}

/// How a session authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// Not at all.
    Anonymous,
}

/// Families of IP addresses; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressFamilies {
    /// IPv4, v4-mapped IPv6 and, as 127.0.0.1, Unix sockets.
    pub ipv4: bool,
    /// All other IPv6.
    pub ipv6: bool,
}

impl AddressFamilies {
    /// Is the address of a family that is named?
    pub fn contains(self, address: IpAddr) -> bool {
        if address.to_canonical().is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

/// Events that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventHistory {
    /// The topic or pattern, valid under its policy.
    pub uri: String,
    /// How it matches.
    pub match_policy: MatchPolicy,
    /// How many are kept.
    pub events_max: usize,
    /// How long; none: until others push them out.
    pub ttl: Option<Duration>,
}

/// Who is told who called or published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disclosures {
    /// Callers to callees.
    pub caller: Disclosure,
    /// Publishers to subscribers.
    pub publisher: Disclosure,
}

/// Whether an identity is disclosed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disclosure {
    /// When its owner asks for it.
    Allow,
    /// Never; who asks gets an error.
    Deny,
    /// Always.
    Always,
}

/// What a realm and each of its sessions may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions of the realm.
    pub sessions_max: usize,
    /// Registrations of a session.
    pub registrations_max: usize,
    /// Subscriptions of a session.
    pub subscriptions_max: usize,
    /// Pending calls of a caller.
    pub calls_max: usize,
    /// Pending invocations of a callee.
    pub invocations_max: usize,
    /// Retained events of the realm.
    pub retained_max: usize,
    /// Memory of the realm's event history.
    pub history_bytes_max: usize,
    /// The largest message that is routed.
    pub message_bytes_max: usize,
}
