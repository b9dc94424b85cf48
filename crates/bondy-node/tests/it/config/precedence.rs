//! Which layer wins, and what holds where none says anything.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bondy_node::config::{
    AddressFamilies, AuthMethod, Bind, DataDir, Disclosure, Disclosures, HttpTransports, Limits, Listener,
    Log, LogFormat, LogLevel, Memory, Overflow, Ping, RealmConfig, Serve,
};

use super::World;

fn tcp(host: &str, port: u16) -> Bind {
    Bind::Tcp { host: host.into(), port }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn every_default_is_as_documented() {
    let config = World::with("realms: [{uri: r, security_enabled: false}]").config();
    assert_eq!(config.node.name, "bondy");
    assert_eq!(config.node.data_dir, DataDir::Folder(PathBuf::from("./data")));
    assert_eq!(config.node.drain_timeout, seconds(10));
    assert_eq!(config.log, Log { level: LogLevel::Info, format: LogFormat::Auto });
    assert_eq!(config.workers, 0);
    assert_eq!(config.outbox_memory_max, Memory::Percent(25));
    assert_eq!(
        config.http_transports,
        HttpTransports { receive_timeout: seconds(30), idle_timeout: seconds(3600) }
    );
    let listener = Listener {
        bind: tcp("h", 1),
        serve: BTreeSet::from([Serve::Websocket]),
        tls: None,
        message_bytes_max: 16 << 20,
        strict: false,
        handshake_timeout: seconds(10),
        authentication_timeout: seconds(10),
        websocket_ping: Some(Ping { interval: seconds(30), timeout: seconds(10) }),
        rawsocket_ping: None,
        tcp_keepalive: Some(seconds(5)),
        connections_max: 65_536,
        proxy_protocol: false,
        trusted_proxies: vec![],
        compression: false,
        outbox_soft_bytes: 256 << 10,
        outbox_hard_bytes: 1 << 20,
        overflow: Overflow::DropNewest,
        trust_level: None,
    };
    assert_eq!(config.listeners.into_iter().collect::<Vec<_>>(), [("a".to_owned(), listener)]);
    let realm = RealmConfig {
        uri: "r".into(),
        description: String::new(),
        authmethods: vec![AuthMethod::Anonymous],
        security_enabled: false,
        anonymous_sources: AddressFamilies { ipv4: true, ipv6: true },
        event_history: vec![],
        disclosure: Disclosures { caller: Disclosure::Allow, publisher: Disclosure::Allow },
        limits: Limits {
            sessions_max: 1_000_000,
            registrations_max: 65_536,
            subscriptions_max: 65_536,
            calls_max: 16_384,
            invocations_max: 65_536,
            retained_max: 65_536,
            history_bytes_max: 64 << 20,
            message_bytes_max: 16 << 20,
        },
    };
    assert_eq!(config.realms, [realm]);
}

#[test]
fn every_key_of_a_listener_can_be_set() {
    let text = r#"
listeners:
  a:
    bind: "[::1]:8443"
    serve: [websocket, http, admin, rawsocket]
    tls: { cert: c.pem, key: /etc/k.pem, client_ca: ca.pem }
    message_bytes_max: 64KB
    strict: true
    handshake_timeout: 500ms
    authentication_timeout: 1m
    ping_interval: 5s
    ping_timeout: 2s
    tcp_keepalive: off
    connections_max: 10
    proxy_protocol: true
    trusted_proxies: [10.0.0.0/8, "::1"]
    compression: true
    outbox_soft: 64KiB
    outbox_hard: 128KiB
    overflow: close
    trust_level: 3
"#;
    let world =
        World::of("conf/b.yaml", text).file("conf/c.pem", "").file("/etc/k.pem", "").file("conf/ca.pem", "");
    let listener = world.config().listeners.remove("a").expect("the listener");
    assert_eq!(listener.bind, tcp("::1", 8443));
    assert_eq!(
        listener.serve,
        BTreeSet::from([Serve::Websocket, Serve::Http, Serve::Admin, Serve::Rawsocket])
    );
    let tls = listener.tls.expect("TLS");
    assert_eq!((tls.cert, tls.key), (PathBuf::from("conf/c.pem"), PathBuf::from("/etc/k.pem")));
    assert_eq!(tls.client_ca, Some(PathBuf::from("conf/ca.pem")));
    assert_eq!(listener.message_bytes_max, 64_000);
    assert!(listener.strict && listener.proxy_protocol && listener.compression);
    assert_eq!(listener.handshake_timeout, Duration::from_millis(500));
    assert_eq!(listener.authentication_timeout, seconds(60));
    let ping = Some(Ping { interval: seconds(5), timeout: seconds(2) });
    assert_eq!((listener.websocket_ping, listener.rawsocket_ping), (ping, ping));
    assert_eq!(listener.tcp_keepalive, None);
    assert_eq!(listener.connections_max, 10);
    let networks: Vec<String> = listener.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
    assert_eq!((listener.outbox_soft_bytes, listener.outbox_hard_bytes), (64 << 10, 128 << 10));
    assert_eq!(listener.overflow, Overflow::Close);
    assert_eq!(listener.trust_level, Some(3));
}

#[test]
fn pings_can_be_off_for_every_transport() {
    let listener = World::with("").set("listeners.a.ping_interval", "off").config().listeners.remove("a");
    let listener = listener.expect("the listener");
    assert_eq!((listener.websocket_ping, listener.rawsocket_ping), (None, None));
}

#[test]
fn the_environment_beats_the_file_and_a_flag_beats_both() {
    let file = World::with("node: {name: from-file}");
    assert_eq!(file.config().node.name, "from-file");
    let environment = file.variable("BONDY__NODE__NAME", "from-environment");
    assert_eq!(environment.config().node.name, "from-environment");
    let flag = environment.set("node.name", "from-flag");
    assert_eq!(flag.config().node.name, "from-flag");
    assert_eq!(flag.set("node.name", "last").config().node.name, "last");
}

#[test]
fn maps_merge_key_by_key_and_lists_are_replaced() {
    let world = World::with("log: {level: debug}").set("log", "{format: json}");
    assert_eq!(world.config().log, Log { level: LogLevel::Debug, format: LogFormat::Json });
    let world = World::dev().set("listeners.public.serve", "[rawsocket]");
    assert_eq!(world.config().listeners["public"].serve, BTreeSet::from([Serve::Rawsocket]));
}

#[test]
fn list_items_go_by_number_and_the_next_number_appends() {
    let world = World::dev()
        .variable("BONDY__REALMS__0__URI", "com.example.first")
        .set("realms.1.uri", "com.example.second")
        .set("realms.1.security_enabled", "false")
        .set("listeners.tcp.serve.1", "websocket");
    let config = world.config();
    let uris: Vec<&str> = config.realms.iter().map(|realm| realm.uri.as_str()).collect();
    assert_eq!(uris, ["com.example.first", "com.example.second"]);
    assert_eq!(config.listeners["tcp"].serve.len(), 2);
}

#[test]
fn variables_for_list_items_apply_in_numeric_order() {
    let mut world = World::with("");
    for index in (0..12).rev() {
        let name = format!("BONDY__REALMS__{index}__");
        world = world.variable(&format!("{name}URI"), &format!("r{index}"));
        world = world.variable(&format!("{name}SECURITY_ENABLED"), "false");
    }
    let realms = world.config().realms;
    assert_eq!(realms.len(), 12);
    assert_eq!(realms[10].uri, "r10");
}

#[test]
fn keys_in_the_environment_have_no_case_and_find_chosen_names() {
    let text = "listeners: {Public: {bind: 'h:1', serve: [admin]}}";
    let world = World::of("b.yaml", text).variable("BONDY__LISTENERS__PUBLIC__BIND", "h:2");
    let config = world.variable("BONDY__log__Level", "warn").config();
    assert_eq!(config.listeners["Public"].bind, tcp("h", 2));
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.log.level, LogLevel::Warn);
}

#[test]
fn values_of_the_environment_and_of_flags_are_read_by_what_the_key_holds() {
    let config = World::dev()
        .set("node.name", "007")
        .set("listeners.public.bind", "[::1]:0")
        .set("listeners.admin.bind", "\"127.0.0.1:0\"")
        .set("listeners.tcp.strict", "true")
        .variable("BONDY__LISTENERS__TCP__SERVE", "[rawsocket, websocket]")
        .variable("BONDY__WORKERS", "3")
        .config();
    assert_eq!(config.node.name, "007");
    assert_eq!(config.listeners["public"].bind, tcp("::1", 0));
    assert_eq!(config.listeners["admin"].bind, tcp("127.0.0.1", 0));
    assert!(config.listeners["tcp"].strict);
    assert_eq!(config.listeners["tcp"].serve.len(), 2);
    assert_eq!(config.workers, 3);
}

#[test]
fn null_takes_away_what_a_lower_layer_said() {
    let config = World::dev().set("listeners.admin", "null").set("node.data_dir", "").config();
    assert_eq!(config.listeners.keys().collect::<Vec<_>>(), ["public", "tcp"]);
    assert_eq!(config.node.data_dir, DataDir::Folder("./data".into()));
}

#[test]
fn dev_listens_on_loopback_and_lets_anonymous_do_everything_in_realm1() {
    let config = World::dev().config();
    let listeners: Vec<(&str, String)> =
        config.listeners.iter().map(|(name, listener)| (name.as_str(), listener.bind.to_string())).collect();
    let expected = [("admin", "127.0.0.1:18081"), ("public", "127.0.0.1:18080"), ("tcp", "127.0.0.1:18082")];
    assert_eq!(listeners, expected.map(|(name, bind)| (name, bind.to_owned())));
    assert_eq!(config.listeners["public"].serve, BTreeSet::from([Serve::Websocket, Serve::Http]));
    assert_eq!(config.node.data_dir, DataDir::Temporary);
    assert_eq!(config.realms.len(), 1);
    assert_eq!(config.realms[0].uri, "realm1");
    assert_eq!(config.realms[0].anonymous_sources, AddressFamilies { ipv4: true, ipv6: true });
}

#[test]
fn the_file_wins_over_the_defaults_of_dev() {
    let mut world = World::of("b.yaml", "listeners: {public: {bind: '127.0.0.1:1'}}\nnode: {data_dir: d}");
    world.request.dev = true;
    let config = world.config();
    assert_eq!(config.listeners["public"].bind, tcp("127.0.0.1", 1));
    assert_eq!(config.listeners.len(), 3);
    assert_eq!(config.node.data_dir, DataDir::Folder("d".into()));
    assert_eq!(config.realms[0].uri, "realm1");
}

#[test]
fn without_a_file_bondy_yaml_is_read_or_both_ways_out_are_named() {
    let text = "listeners: {a: {bind: 'h:1', serve: [admin]}}";
    assert_eq!(World::default().file("bondy.yaml", text).config().listeners.len(), 1);
    let expected = "no configuration: there is no `bondy.yaml` here\n  \
                    help: give `--config FILE`, or try `--dev`, which needs no file and is for development only";
    assert_eq!(World::default().problems(), expected);
}

#[test]
fn paths_start_from_where_they_were_written() {
    let text = "node: {data_dir: ./data}\nlisteners: {a: {bind: 'unix:run/./x.sock', serve: [rawsocket]}}";
    let world = World::of("/etc/bondy/b.yaml", text);
    assert_eq!(world.config().node.data_dir, DataDir::Folder("/etc/bondy/data".into()));
    assert_eq!(world.config().listeners["a"].bind, Bind::Unix { path: "/etc/bondy/run/x.sock".into() });
    let config = world.set("node.data_dir", "elsewhere").set("listeners.a.bind", "unix:y.sock").config();
    assert_eq!(config.node.data_dir, DataDir::Folder("elsewhere".into()));
    assert_eq!(config.listeners["a"].bind, Bind::Unix { path: "y.sock".into() });
}

#[test]
fn variables_in_values_of_a_file_are_filled_in() {
    let world = World::with(
        "node: {name: \"${NAME}-${ZONE:-z}\"}\nworkers: ${WORKERS}\nlog: {level: \"${LEVEL:-warn}\"}",
    );
    let config = world.variable("NAME", "n").variable("WORKERS", "2").config();
    assert_eq!(config.node.name, "n-z");
    assert_eq!(config.workers, 2);
    assert_eq!(config.log.level, LogLevel::Warn);
}

#[test]
fn origins_are_shown_behind_the_values() {
    let world = World::with("node: {name: n}").variable("BONDY__LOG__LEVEL", "warn").set("workers", "2");
    let shown = world.load().expect("a fine configuration").show(true);
    for line in [
        "version: 1  # default",
        "  name: n  # bondy.yaml:2:14",
        "  level: warn  # environment BONDY__LOG__LEVEL",
        "workers: 2  # --set workers",
        "    serve: [websocket]  # bondy.yaml:1:37",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in\n{shown}");
    }
}

#[test]
fn what_is_shown_reads_back_as_the_same_configuration() {
    let full = include_str!("../../../../../docs/reference/bondy.default.yaml");
    for world in [World::dev(), World::of("b.yaml", full), World::with("node: {name: \"1e3\"}")] {
        let loaded = world.load().expect("a fine configuration");
        let again = World::of("shown.yaml", loaded.show(true)).config();
        assert_eq!(again, loaded.config);
        assert_eq!(World::of("shown.yaml", loaded.show(false)).config(), loaded.config);
    }
}
