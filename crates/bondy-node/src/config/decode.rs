//! From the checked tree to the [`Config`] of domain types, with the rules that tie several keys together.
//!
//! The check has filled in every default and taken out every wrong value, reporting it; so what is missing here has
//! been told already, and a stand-in takes its place in a configuration that is thrown away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use bondy_transport::forwarded::IpNetwork;

use super::problem::{Complaint, Origin, Problem, Report};
use super::realm;
use super::tree::{Map, Node, Scalar, Value};
use super::unit::{parse_duration, parse_size};
use super::{
    Bind, Config, DataDir, HttpTransports, Listener, Log, LogFormat, LogLevel, Memory, Overflow, Ping, Serve,
    Tls,
};

pub(crate) fn config(tree: &Node, problems: &mut Report) -> Config {
    let root = View::root(tree);
    refuse_gateway(&root, problems);
    Config {
        node: node(&root.section("node")),
        log: log(&root.section("log")),
        workers: root.count("workers"),
        outbox_memory_max: Memory::parse(root.text("outbox_memory_max")).unwrap_or(Memory::Percent(25)),
        listeners: listeners(&root, problems),
        http_transports: http_transports(&root.section("http_transports")),
        realms: realm::realms(&root, problems),
    }
}

fn refuse_gateway(root: &View<'_>, problems: &mut Report) {
    let gateway = root.section("gateway");
    if gateway.items("specs").next().is_some() {
        let complaint =
            Complaint::new("this version has no HTTP gateway yet, so that it cannot serve specifications");
        problems.push(gateway.problem("specs", complaint.help("leave the list empty")));
    }
}

fn node(view: &View<'_>) -> super::Node {
    let data_dir = match view.text("data_dir") {
        "temporary" => DataDir::Temporary,
        path => DataDir::Folder(PathBuf::from(path)),
    };
    super::Node {
        name: view.text("name").to_owned(),
        data_dir,
        drain_timeout: view.duration("drain_timeout"),
    }
}

fn log(view: &View<'_>) -> Log {
    let level = match view.text("level") {
        "off" => LogLevel::Off,
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        _ => LogLevel::Info,
    };
    let format = match view.text("format") {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => LogFormat::Auto,
    };
    Log { level, format }
}

fn http_transports(view: &View<'_>) -> HttpTransports {
    HttpTransports {
        receive_timeout: view.duration("receive_timeout"),
        idle_timeout: view.duration("idle_timeout"),
    }
}

fn listeners(root: &View<'_>, problems: &mut Report) -> BTreeMap<String, Listener> {
    let mut listeners = BTreeMap::new();
    let mut first_at: BTreeMap<String, String> = BTreeMap::new();
    for (name, view) in root.named("listeners") {
        let listener = listener(&view, problems);
        let is_fixed = !matches!(listener.bind, Bind::Tcp { port: 0, .. });
        if let Some(other) = first_at.insert(listener.bind.to_string(), name.clone()).filter(|_| is_fixed) {
            let complaint =
                Complaint::new(format!("the listener `{other}` is bound to `{}` already", listener.bind));
            problems.push(view.problem("bind", complaint));
        }
        listeners.insert(name, listener);
    }
    if root.is_empty("listeners") && root.is_sound("listeners", problems) {
        let complaint = Complaint::new("no listener: nobody could reach the node");
        let help = "such as `listeners: {public: {bind: \"127.0.0.1:18080\", serve: [websocket]}}`";
        problems.push(root.problem("listeners", complaint.help(help)));
    }
    listeners
}

fn listener(view: &View<'_>, problems: &mut Report) -> Listener {
    let listener = Listener {
        bind: Bind::parse(view.text("bind")).unwrap_or(Bind::Tcp { host: String::new(), port: 0 }),
        serve: serve(view, problems),
        tls: view.optional_section("tls").map(|tls| self::tls(&tls)),
        message_bytes_max: view.size("message_bytes_max"),
        strict: view.flag("strict"),
        handshake_timeout: view.duration("handshake_timeout"),
        authentication_timeout: view.duration("authentication_timeout"),
        websocket_ping: ping(view, Some(Duration::from_secs(30))),
        rawsocket_ping: ping(view, None),
        tcp_keepalive: view.duration_or_word("tcp_keepalive"),
        connections_max: view.count("connections_max"),
        proxy_protocol: view.flag("proxy_protocol"),
        trusted_proxies: view
            .items("trusted_proxies")
            .filter_map(|item| IpNetwork::parse(text_of(item)).ok())
            .collect(),
        compression: view.flag("compression"),
        outbox_soft_bytes: view.size("outbox_soft"),
        outbox_hard_bytes: view.size("outbox_hard"),
        overflow: if view.text("overflow") == "close" { Overflow::Close } else { Overflow::DropNewest },
        trust_level: view.optional_integer("trust_level"),
    };
    check_listener(view, &listener, problems);
    listener
}

fn check_listener(view: &View<'_>, listener: &Listener, problems: &mut Report) {
    if listener.tls.is_some() && matches!(listener.bind, Bind::Unix { .. }) {
        problems.push(view.problem("tls", Complaint::new("TLS is for TCP only, not for a Unix socket")));
    }
    let is_sound = view.is_sound("outbox_hard", problems) && view.is_sound("outbox_soft", problems);
    if is_sound && listener.outbox_hard_bytes < listener.outbox_soft_bytes {
        let complaint = Complaint::new(format!(
            "the hard limit ({}) is below the soft limit ({})",
            view.text("outbox_hard"),
            view.text("outbox_soft")
        ));
        let key = if view.is_default("outbox_hard") { "outbox_soft" } else { "outbox_hard" };
        problems.push(view.problem(key, complaint));
    }
}

fn serve(view: &View<'_>, problems: &mut Report) -> BTreeSet<Serve> {
    if view.is_empty("serve") && view.is_sound("serve", problems) {
        let complaint = Complaint::new("the list is empty: the listener would serve nothing");
        problems.push(view.problem("serve", complaint.help("such as `[websocket]`")));
    }
    let serve = |item: &Node| match text_of(item) {
        "websocket" => Some(Serve::Websocket),
        "http" => Some(Serve::Http),
        "admin" => Some(Serve::Admin),
        "rawsocket" => Some(Serve::Rawsocket),
        _ => None,
    };
    view.items("serve").filter_map(serve).collect()
}

fn tls(view: &View<'_>) -> Tls {
    let path = |key| PathBuf::from(view.text(key));
    Tls { cert: path("cert"), key: path("key"), client_ca: view.has("client_ca").then(|| path("client_ca")) }
}

/// `auto` is what the transport is best with.
fn ping(view: &View<'_>, auto: Option<Duration>) -> Option<Ping> {
    let interval =
        if view.text("ping_interval") == "auto" { auto } else { view.duration_or_word("ping_interval") };
    interval.map(|interval| Ping { interval, timeout: view.duration("ping_timeout") })
}

/// The text of a checked scalar.
pub(crate) fn text_of(node: &Node) -> &str {
    if let Value::Scalar(scalar) = &node.value { &scalar.text } else { "" }
}

/// A checked section, and where it stands.
pub(crate) struct View<'a> {
    map: Option<&'a Map>,
    origin: &'a Origin,
    path: String,
}

impl<'a> View<'a> {
    fn root(tree: &'a Node) -> Self {
        View::of(tree, String::new())
    }

    fn of(node: &'a Node, path: String) -> Self {
        let map = if let Value::Map(map) = &node.value { Some(map) } else { None };
        View { map, origin: &node.origin, path }
    }

    fn node(&self, key: &str) -> Option<&'a Node> {
        self.map?.get(key).map(|entry| &entry.node)
    }

    fn scalar(&self, key: &str) -> Option<&'a Scalar> {
        if let Value::Scalar(scalar) = &self.node(key)?.value { Some(scalar) } else { None }
    }

    fn path_to(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A problem of a key, at its value or else at the section.
    pub(crate) fn problem(&self, key: &str, complaint: Complaint) -> Problem {
        let origin = self.node(key).map_or(self.origin, |node| &node.origin);
        let origin = if *origin == Origin::Default { self.origin } else { origin };
        Problem::new(origin, self.path_to(key), complaint)
    }

    /// Has nothing been told about the key or what is below it?
    pub(crate) fn is_sound(&self, key: &str, problems: &Report) -> bool {
        problems.is_sound(&self.path_to(key))
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    pub(crate) fn is_default(&self, key: &str) -> bool {
        self.node(key).is_some_and(|node| node.origin == Origin::Default)
    }

    /// Does the key hold a list or map of nothing?
    pub(crate) fn is_empty(&self, key: &str) -> bool {
        self.node(key).is_some_and(|node| match &node.value {
            Value::List(items) => items.is_empty(),
            Value::Map(map) => map.is_empty(),
            Value::Null | Value::Scalar(_) => false,
        })
    }

    pub(crate) fn text(&self, key: &str) -> &'a str {
        self.scalar(key).map_or("", |scalar| &scalar.text)
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.text(key).eq_ignore_ascii_case("true")
    }

    pub(crate) fn optional_integer(&self, key: &str) -> Option<u64> {
        self.text(key).parse().ok()
    }

    pub(crate) fn count(&self, key: &str) -> usize {
        self.text(key).parse().unwrap_or_default()
    }

    pub(crate) fn size(&self, key: &str) -> usize {
        parse_size(self.text(key)).ok().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default()
    }

    pub(crate) fn duration(&self, key: &str) -> Duration {
        self.duration_or_word(key).unwrap_or_default()
    }

    /// The duration, or nothing for a word such as `off`.
    pub(crate) fn duration_or_word(&self, key: &str) -> Option<Duration> {
        parse_duration(self.text(key)).ok()
    }

    pub(crate) fn items(&self, key: &str) -> impl Iterator<Item = &'a Node> + use<'a> {
        let node = self.node(key);
        let items =
            node.and_then(|node| if let Value::List(items) = &node.value { Some(items) } else { None });
        items.into_iter().flatten()
    }

    /// The items of a list; a single one is a list of one.
    pub(crate) fn one_or_many(&self, key: &str) -> Vec<&'a Node> {
        match self.node(key) {
            Some(node) if matches!(node.value, Value::Scalar(_)) => vec![node],
            _ => self.items(key).collect(),
        }
    }

    pub(crate) fn section(&self, key: &str) -> View<'a> {
        let path = self.path_to(key);
        match self.node(key) {
            Some(node) => View::of(node, path),
            None => View { map: None, origin: self.origin, path },
        }
    }

    fn optional_section(&self, key: &str) -> Option<View<'a>> {
        self.node(key).map(|node| View::of(node, self.path_to(key)))
    }

    /// The sections of a list.
    pub(crate) fn sections(&self, key: &str) -> Vec<View<'a>> {
        let path = self.path_to(key);
        self.items(key).enumerate().map(|(index, item)| View::of(item, format!("{path}.{index}"))).collect()
    }

    /// The sections of a map of chosen names.
    fn named(&self, key: &str) -> Vec<(String, View<'a>)> {
        let path = self.path_to(key);
        let map = self.section(key).map;
        let view = |(name, entry): (&'a String, &'a super::tree::Entry)| {
            (name.clone(), View::of(&entry.node, format!("{path}.{name}")))
        };
        map.into_iter().flatten().map(view).collect()
    }
}
