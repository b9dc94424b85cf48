//! The one table of keys.
//!
//! The check of a configuration, its suggestions, the defaults, `bondy config schema`, the annotated default file
//! and the reference page are all read from here, so that none of them can know a key that the others do not. One
//! table instead of derived code, because a derived schema has neither the defaults nor the reasons for them, and
//! a derived reader stops at the first mistake.
//!
//! A key's default is YAML, and goes through the same check as a user's value.

use std::time::Duration;

use super::kind::{Key, Kind, Presence};
use Presence::{Default, Illustrated, Later, Optional, Required};

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

const fn key(name: &'static str, kind: Kind, presence: Presence, doc: &'static str) -> Key {
    Key { name, kind, presence, doc }
}

const fn duration(min_ms: u64, max_s: u64) -> Kind {
    duration_or(min_ms, max_s, &[])
}

const fn duration_or(min_ms: u64, max_s: u64, words: &'static [&'static str]) -> Kind {
    Kind::Duration { min: Duration::from_millis(min_ms), max: Duration::from_secs(max_s), words }
}

/// Whole numbers that count something of which there must be room for one.
const fn count(max: u64) -> Kind {
    Kind::Integer { min: 1, max }
}

/// The whole file.
pub(crate) static ROOT: Kind = Kind::Section(FILE);

/// A key that had another name once, by path; `*` stands for any name or index.
#[derive(Debug)]
pub(crate) struct Renamed {
    pub(crate) old: &'static str,
    pub(crate) new: &'static str,
}

/// Every key that was ever renamed, so that an old file is told the new name.
pub(crate) const RENAMED: &[Renamed] = &[];

const FILE: &[Key] = &[
    key("version", Kind::Integer { min: 1, max: 1 }, Default("1"), "The version of this format."),
    key("node", Kind::Section(NODE), Default("{}"), "The node itself."),
    key("log", Kind::Section(LOG), Default("{}"), "What is logged, and how."),
    key(
        "workers",
        Kind::Integer { min: 0, max: 1024 },
        Default("0"),
        "How many threads serve sessions. 0 is one for each core, which is what a session's run-to-completion \
         path is made for.",
    ),
    key(
        "outbox_memory_max",
        Kind::Memory,
        Default("25%"),
        "The memory that messages waiting for slow readers may take, over all sessions. A quarter leaves room for \
         everything else when every reader is slow at once.",
    ),
    key(
        "listeners",
        Kind::Named { keys: LISTENER, example: LISTENERS_EXAMPLE },
        Default("{}"),
        "Where the node listens, each under a name of your choice (letters, digits, `_`, `-`), by which the \
         environment and `--set` can address it. At least one. Nothing is open that is not written here.",
    ),
    key("http_transports", Kind::Section(HTTP_TRANSPORTS), Default("{}"), "WAMP over plain HTTP."),
    key(
        "realms_file",
        Kind::Path { words: &[] },
        Optional { example: "realms.json" },
        "A file with a list of realm objects (JSON, YAML), the original's security configuration format. They \
         come after those of `realms`.",
    ),
    key(
        "realms",
        Kind::List(&REALM_KIND),
        Default("[]"),
        "The realms: tenants that know nothing of each other.",
    ),
    key("gateway", Kind::Section(GATEWAY), Default("{}"), "HTTP in front of WAMP."),
];

const NODE: &[Key] = &[
    key(
        "name",
        Kind::Name,
        Default("bondy"),
        "The node's name in logs and, in a cluster, among the others: letters, digits, `.`, `_`, `@`, `-`.",
    ),
    key(
        "data_dir",
        Kind::Path { words: &["temporary"] },
        Default("./data"),
        "The folder of everything that outlives the process. The word `temporary` stands for a fresh folder at every \
         start. Nothing is kept on disk in this version, so no folder is made.",
    ),
    key(
        "drain_timeout",
        duration(0, 3600),
        Default("10s"),
        "How long SIGTERM waits for sessions to say goodbye. Ten seconds stay well inside the thirty after which \
         container platforms kill.",
    ),
];

const LOG: &[Key] = &[
    key(
        "level",
        Kind::OneOf(&["off", "error", "warn", "info", "debug", "trace"]),
        Default("info"),
        "The least level that is written. `trace` writes a line for each message. Can change while the node runs.",
    ),
    key(
        "format",
        Kind::OneOf(&["auto", "text", "json"]),
        Default("auto"),
        "`auto` is text for people on a terminal, and one JSON object a line anywhere else.",
    ),
];

const HTTP_TRANSPORTS: &[Key] = &[
    key(
        "receive_timeout",
        duration(1000, 3600),
        Default("30s"),
        "How long a long-poll request waits for a message. Below the minute after which many proxies give up. \
         (Checked now; in force once these transports exist.)",
    ),
    key(
        "idle_timeout",
        duration(1000, 86_400),
        Default("1h"),
        "How long a session without any request lives. (Checked now; in force once these transports exist.)",
    ),
];

const GATEWAY: &[Key] = &[key(
    "specs",
    Kind::List(&Kind::Path { words: &[] }),
    Default("[]"),
    "Gateway specifications, in the original's format. This version has no gateway yet: the list must be empty.",
)];

const LISTENERS_EXAMPLE: &str = "\
admin:
  bind: 127.0.0.1:18081
  serve: [admin]
tcp:
  bind: 127.0.0.1:18082
  serve: [rawsocket]
local:
  bind: unix:./bondy.sock
  serve: [rawsocket]
";

const LISTENER: &[Key] = &[
    key(
        "bind",
        Kind::Bind,
        Required { example: "127.0.0.1:18080" },
        "`HOST:PORT` (an IPv6 address in brackets) or `unix:PATH`. Port 0 lets the system choose; the readiness \
         line says what it chose.",
    ),
    key(
        "serve",
        Kind::List(&Kind::OneOf(&["websocket", "http", "admin", "rawsocket"])),
        Required { example: "[websocket, http]" },
        "What is spoken here: `websocket` (at `/ws`), `http` (gateway, long-poll, SSE: not yet, answers 404), \
         `admin` (`/ping`, `/ready`, `/metrics`), `rawsocket`. Several may share a port: the first octet of a \
         connection tells.",
    ),
    key(
        "tls",
        Kind::Section(TLS),
        Optional { example: "{cert: cert.pem, key: key.pem}" },
        "TLS for every connection. Certificates are read again on SIGHUP, without dropping sessions.",
    ),
    key(
        "message_bytes_max",
        Kind::Size { min: 512, max: GIB },
        Default("16MiB"),
        "The largest message that is read. 16 MiB is the most that rawsocket can announce; above that only \
         WebSocket follows.",
    ),
    key(
        "strict",
        Kind::Bool,
        Default("false"),
        "Demand that request ids count up from 1, as the specification has it. Off, because widely used clients do \
         not.",
    ),
    key(
        "handshake_timeout",
        duration(1, 3600),
        Default("10s"),
        "How long a connection may take to become one that speaks WAMP (TLS, upgrade, rawsocket octets).",
    ),
    key(
        "authentication_timeout",
        duration(1, 3600),
        Default("10s"),
        "How long a connection may take from there to a session.",
    ),
    key(
        "ping_interval",
        duration_or(100, 86_400, &["auto", "off"]),
        Default("auto"),
        "How often the node pings a peer that is silent. `auto` is 30s for WebSocket, which keeps proxies from \
         closing the connection, and `off` for rawsocket, because a widely used client never answers there.",
    ),
    key(
        "ping_timeout",
        duration(100, 3600),
        Default("10s"),
        "How long a peer may take to answer a ping before it counts as gone.",
    ),
    key(
        "tcp_keepalive",
        duration_or(1000, 7200, &["off"]),
        Default("5s"),
        "After how much silence the operating system probes a TCP peer. With 5s a vanished host's registrations \
         are free within 15 seconds, at no cost in the node.",
    ),
    key(
        "connections_max",
        count(10_000_000),
        Default("65536"),
        "How many connections are open at once; more are refused. Idle sessions are small (some 80 MiB for all of \
         these in plain text, 600 MiB with TLS): the bound is there to keep file descriptors and memory from \
         running out unnoticed.",
    ),
    key(
        "proxy_protocol",
        Kind::Bool,
        Default("false"),
        "Expect the PROXY protocol (version 1 or 2) before anything else. Only behind a proxy that sends it: \
         anyone else could claim any address.",
    ),
    key(
        "trusted_proxies",
        Kind::List(&Kind::Network),
        Default("[]"),
        "Networks whose `X-Forwarded-For` and `Forwarded` headers are believed.",
    ),
    key(
        "compression",
        Kind::Bool,
        Default("false"),
        "Offer permessage-deflate to WebSocket clients. Off: it costs more processor time than most networks \
         save.",
    ),
    key(
        "outbox_soft",
        Kind::Size { min: 4 * KIB, max: GIB },
        Default("256KiB"),
        "The bytes waiting for one peer from which on those who send it calls and results are slowed down.",
    ),
    key(
        "outbox_hard",
        Kind::Size { min: 4 * KIB, max: GIB },
        Default("1MiB"),
        "The bytes waiting for one peer beyond which it gets no more events. About a second of a fast stream: \
         enough to ride out a pause, too little to hurt the others.",
    ),
    key(
        "overflow",
        Kind::OneOf(&["drop_newest", "close"]),
        Default("drop_newest"),
        "What happens to an event beyond `outbox_hard`: it is dropped and counted, or the slow session is closed.",
    ),
    key(
        "trust_level",
        Kind::Integer { min: 0, max: (1 << 53) - 1 },
        Optional { example: "1" },
        "The trust level that calls and events from here carry (`trustlevel`).",
    ),
];

const TLS: &[Key] = &[
    key(
        "cert",
        Kind::File,
        Required { example: "cert.pem" },
        "The certificate chain, PEM, the server's own first.",
    ),
    key("key", Kind::File, Required { example: "key.pem" }, "Its private key, PEM."),
    key(
        "client_ca",
        Kind::File,
        Optional { example: "ca.pem" },
        "Authorities, PEM. When given, a client must show a certificate that one of them signed.",
    ),
];

static REALM_KIND: Kind = Kind::Section(REALM);

const GRANTS_EXAMPLE: &str = "
- permissions:
  - wamp.register
  - wamp.unregister
  - wamp.call
  - wamp.cancel
  - wamp.subscribe
  - wamp.unsubscribe
  - wamp.publish
  resources: [{uri: '*'}]
  roles: [anonymous]
";

const SOURCES_EXAMPLE: &str = "
- {usernames: [anonymous], authmethod: anonymous, cidr: 0.0.0.0/0}
- {usernames: [anonymous], authmethod: anonymous, cidr: '::/0'}
";

const REALM: &[Key] = &[
    key(
        "uri",
        Kind::Uri,
        Required { example: "com.example.app" },
        "The realm's URI, by which sessions join it.",
    ),
    key("description", Kind::Text, Default("''"), "For people."),
    key(
        "authmethods",
        Kind::List(&Kind::OneOf(&[
            "anonymous",
            "cookie",
            "cryptosign",
            "oauth2",
            "oidc",
            "oidcrp",
            "password",
            "ticket",
            "tls",
            "trust",
            "wamp-scram",
            "wampcra",
        ])),
        Illustrated { default: "null", example: "[anonymous]" },
        "How sessions authenticate. This version knows `[anonymous]` only, and asks for it to be written.",
    ),
    key(
        "security_enabled",
        Kind::Bool,
        Default("true"),
        "`false` lets every anonymous session in, from anywhere, to do anything. `true` asks for sources and \
         grants; this version accepts those that say the same.",
    ),
    key(
        "grants",
        Kind::List(&Kind::Section(GRANT)),
        Illustrated { default: "[]", example: GRANTS_EXAMPLE },
        "Who may do what. This version enforces nothing finer than everything, and therefore accepts exactly that: \
         all seven `wamp.*` permissions on `*` for `anonymous` or `all`.",
    ),
    key(
        "sources",
        Kind::List(&Kind::Section(SOURCE)),
        Illustrated { default: "[]", example: SOURCES_EXAMPLE },
        "From where who may join. This version accepts `0.0.0.0/0` and `::/0` for `anonymous` or `all`; sessions of \
         an address family that is not named are refused. A Unix socket counts as 127.0.0.1.",
    ),
    key(
        "event_history",
        Kind::List(&Kind::Section(EVENT_HISTORY)),
        Default("[]"),
        "Topics whose events are kept, for `wamp.subscription.get_events`.",
    ),
    key(
        "disclosure",
        Kind::Section(DISCLOSURE),
        Default("{}"),
        "Whether callees and subscribers are told who called or published.",
    ),
    key("limits", Kind::Section(LIMITS), Default("{}"), "What the realm and each of its sessions may use."),
    key("users", Kind::List(&Kind::Section(USER)), Later { harmless: "[]" }, "Who may join."),
    key(
        "groups",
        Kind::List(&Kind::Section(GROUP)),
        Later { harmless: "[]" },
        "What users may have in common.",
    ),
    key("allow_connections", Kind::Bool, Later { harmless: "true" }, "Whether sessions may join."),
    key(
        "is_prototype",
        Kind::Bool,
        Later { harmless: "false" },
        "Whether other realms inherit from this one.",
    ),
    key("prototype_uri", Kind::Uri, Later { harmless: "null" }, "The realm it inherits from."),
    key(
        "is_sso_realm",
        Kind::Bool,
        Later { harmless: "false" },
        "Whether it holds the credentials of others.",
    ),
    key("sso_realm_uri", Kind::Uri, Later { harmless: "null" }, "The realm that holds its credentials."),
    key("password_opts", Kind::Free, Later { harmless: "{}" }, "How passwords are stored."),
    key("private_keys", Kind::List(&Kind::Secret), Later { harmless: "[]" }, "Keys that sign tickets."),
    key("encryption_keys", Kind::List(&Kind::Secret), Later { harmless: "[]" }, "Keys that encrypt."),
    key("info", Kind::Free, Later { harmless: "{}" }, "OpenID Connect providers."),
];

const GRANT: &[Key] = &[
    key(
        "permissions",
        Kind::List(&Kind::Text),
        Required {
            example: "[wamp.register, wamp.unregister, wamp.call, wamp.cancel, wamp.subscribe, wamp.unsubscribe, \
                      wamp.publish]",
        },
        "What is allowed.",
    ),
    key(
        "resources",
        Kind::List(&Kind::Section(RESOURCE)),
        Optional { example: "[{uri: '*'}]" },
        "On which URIs.",
    ),
    key(
        "uri",
        Kind::Text,
        Optional { example: "'*'" },
        "The same as `resources` with one entry. `*` is every URI.",
    ),
    key("match", Kind::OneOf(MATCHES), Optional { example: "prefix" }, "How `uri` matches."),
    key("roles", Kind::OneOrMany(&Kind::Text), Required { example: "[anonymous]" }, "To whom."),
    key("meta", Kind::Free, Optional { example: "{}" }, "For people; ignored."),
];

const MATCHES: &[&str] = &["exact", "prefix", "wildcard"];

const RESOURCE: &[Key] = &[
    key("uri", Kind::Text, Required { example: "'*'" }, "The URI or pattern. `*` is every URI."),
    key("match", Kind::OneOf(MATCHES), Optional { example: "prefix" }, "How it matches."),
];

const SOURCE: &[Key] = &[
    key("usernames", Kind::OneOrMany(&Kind::Text), Required { example: "[anonymous]" }, "Who, or `all`."),
    key("authmethod", Kind::Text, Required { example: "anonymous" }, "By which method."),
    key("cidr", Kind::Network, Default("0.0.0.0/0"), "From which network."),
    key("meta", Kind::Free, Optional { example: "{}" }, "For people; ignored."),
];

const USER: &[Key] = &[
    key("username", Kind::Text, Required { example: "alice" }, "The name."),
    key(
        "password",
        Kind::Secret,
        Optional { example: "file:alice.secret" },
        "The password, `${VARIABLE}`, or `file:PATH` of a file that holds it.",
    ),
    key("password_opts", Kind::Free, Optional { example: "{}" }, "How it is stored."),
    key("authorized_keys", Kind::List(&Kind::Text), Default("[]"), "Public keys, in hexadecimal."),
    key("groups", Kind::List(&Kind::Text), Default("[]"), "The groups."),
    key("sso_realm_uri", Kind::Uri, Optional { example: "com.example.sso" }, "The realm of the credentials."),
    key("enabled", Kind::Bool, Default("true"), "Whether the user may join."),
    key("meta", Kind::Free, Optional { example: "{}" }, "Free."),
];

const GROUP: &[Key] = &[
    key("name", Kind::Text, Required { example: "staff" }, "The name."),
    key("groups", Kind::List(&Kind::Text), Default("[]"), "The groups it belongs to."),
    key("meta", Kind::Free, Optional { example: "{}" }, "Free."),
];

const EVENT_HISTORY: &[Key] = &[
    key("uri", Kind::Text, Required { example: "com.example.alarm" }, "The topic or pattern."),
    key("match", Kind::OneOf(MATCHES), Default("exact"), "How it matches."),
    key(
        "limit",
        count(10_000_000),
        Default("1000"),
        "How many events are kept; the oldest go first. A thousand cover a reconnect.",
    ),
    key("ttl", duration_or(1, 31_536_000, &["off"]), Default("off"), "How long an event is kept at most."),
];

const DISCLOSURES: Kind = Kind::OneOf(&["allow", "deny", "always"]);

const DISCLOSURE: &[Key] = &[
    key(
        "caller",
        DISCLOSURES,
        Default("allow"),
        "`allow`: when the caller asks for it (`disclose_me`); `deny`: who asks gets \
         `wamp.error.option_disallowed.disclose_me`; `always`: of every call.",
    ),
    key("publisher", DISCLOSURES, Default("allow"), "The same for publishers."),
];

const LIMITS: &[Key] = &[
    key(
        "sessions_max",
        count(100_000_000),
        Default("1000000"),
        "Sessions in the realm. A guard against running away, not a quota: a million idle sessions take about \
         1.3 GiB.",
    ),
    key(
        "registrations_max",
        count(10_000_000),
        Default("65536"),
        "Registrations of one session. Far above what applications use, far below what would slow its departure.",
    ),
    key("subscriptions_max", count(10_000_000), Default("65536"), "Subscriptions of one session; as above."),
    key(
        "calls_max",
        count(10_000_000),
        Default("16384"),
        "Calls of one caller that wait for their answer; one more is answered `bondy.error.limit_exceeded`.",
    ),
    key(
        "invocations_max",
        count(10_000_000),
        Default("65536"),
        "Invocations of one callee that wait for its answer; beyond that it counts as busy. More than `calls_max`, \
         because a callee serves many callers.",
    ),
    key(
        "retained_max",
        count(100_000_000),
        Default("65536"),
        "Topics of the realm with a retained event. Enough for one per device of a large site; each event may be a \
         whole message, so they need a bound.",
    ),
    key(
        "history_bytes_max",
        Kind::Size { min: 0, max: 1024 * GIB },
        Default("64MiB"),
        "The memory of the realm's event history; the oldest events go first.",
    ),
    key(
        "message_bytes_max",
        Kind::Size { min: 512, max: GIB },
        Default("16MiB"),
        "The largest message that the realm routes; the same as the listeners' default, so that it only ever \
         tightens.",
    ),
];

/// `--dev`: what a developer wants on the own machine, and nobody anywhere else.
pub(crate) const DEV: &str = "\
node: { data_dir: temporary }
listeners:
  public: { bind: '127.0.0.1:18080', serve: [websocket, http] }
  admin: { bind: '127.0.0.1:18081', serve: [admin] }
  tcp: { bind: '127.0.0.1:18082', serve: [rawsocket] }
realms:
  - uri: realm1
    description: For development, everything is allowed
    authmethods: [anonymous]
    grants:
      - permissions: [wamp.register, wamp.unregister, wamp.call, wamp.cancel, wamp.subscribe, wamp.unsubscribe, wamp.publish]
        resources: [{ uri: '*' }]
        roles: [anonymous]
    sources:
      - { usernames: [anonymous], authmethod: anonymous, cidr: 0.0.0.0/0 }
      - { usernames: [anonymous], authmethod: anonymous, cidr: '::/0' }
";
