//! The benchmarks: which servers and loads run where, in which order, and what is made of what they say.
//!
//! Rounds of the floor and of the router alternate, each short, because the machine's own speed drifts; what counts
//! is the ratio of neighbours. The load runs in a process of its own, on the router's core where nothing is gained
//! by two (one pair, window 1: left alone, the scheduler puts both on one core or on two, and the figures jump
//! threefold), else on another one.

mod connections;
mod floors;
mod suite;

pub use connections::connections;
pub use floors::floors;
pub use suite::{Scale, suite};

use crate::figure::{Figure, Goal, Metric, Rounds};
use crate::floor::FloorKind;
use crate::load::{ChurnWork, LoadSpec, Measurement, PubSubWork, RpcWork, Work};
use crate::process::{Placement, Process, Worker};
use crate::server::{RouterSource, Server};
use crate::usage::{Subject, parse_cores};
use crate::wire::{Payload, Serializer, Shape, Wire};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long a load may take over what it was asked to.
const LOAD_GRACE: Duration = Duration::from_secs(60);

/// What all benchmarks of a run share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to start floors and loads.
    pub worker: Worker,
    /// The router under test.
    pub router: RouterSource,
    /// Whether to speak TLS to the router; the floor is always plain.
    pub tls: bool,
    /// The realm to join.
    pub realm: String,
    /// Which cores to use.
    pub pin: Pin,
    /// Whether to run servers and loads before all ordinary processes.
    pub realtime: bool,
    /// How many rounds each of the router and of the floor.
    pub rounds: usize,
    /// How long each round runs before it is measured.
    pub warm_up: Duration,
    /// How long each round is measured.
    pub round: Duration,
    /// Whether to run the floor at all.
    pub with_floor: bool,
}

/// Which cores the server and the load run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pin {
    /// The same core for one pair at window 1, else one core each.
    Auto,
    /// The same core.
    Same,
    /// One core each, if there are two.
    Split,
    /// Wherever the scheduler likes.
    None,
}

/// The placement of the two ends of a benchmark.
#[derive(Clone, Copy, Debug)]
struct Places {
    server: Placement,
    load: Placement,
}

impl Settings {
    fn places(&self, automatic: Pin) -> Places {
        let cores = Subject::Own.cores().map(|list| parse_cores(&list)).unwrap_or_default();
        let (first, last) = (cores.first().copied(), cores.last().copied());
        let pin = if self.pin == Pin::Auto { automatic } else { self.pin };
        let (server, load) = match pin {
            Pin::Auto | Pin::None => (None, None),
            Pin::Same => (last, last),
            Pin::Split => (last, first),
        };
        let place = |core| Placement { core, realtime: self.realtime };
        Places { server: place(server), load: place(load) }
    }

    /// Runs one round of load in a process of its own.
    fn measure(
        &self,
        server: &Server,
        wire: Wire,
        work: Work,
        places: Places,
    ) -> anyhow::Result<Measurement> {
        self.start_load(server, wire, work, places).map(|(_, measurement)| measurement)
    }

    /// The same; the process goes on with what it holds.
    fn start_load(
        &self,
        server: &Server,
        wire: Wire,
        work: Work,
        places: Places,
    ) -> anyhow::Result<(Process, Measurement)> {
        let spec = LoadSpec {
            target: server.target(wire, self.tls && wire != Wire::Blind, &self.realm)?,
            server_pid: server.pid(),
            warm_up: self.warm_up,
            duration: self.round,
            work,
        };
        let command = self.worker.command("load", &serde_json::to_string(&spec)?);
        let load = Process::start(&command, places.load)?;
        let timeout = self.warm_up + self.round + LOAD_GRACE;
        let measurement = load.await_line(timeout, |line| serde_json::from_str(line).ok())?;
        Ok((load, measurement))
    }

    /// Rounds of the floor and of the router in turn.
    fn compare(
        &self,
        kind: FloorKind,
        wire: Wire,
        work: Work,
        places: Places,
    ) -> anyhow::Result<(Rounds, Server)> {
        let floor = match self.with_floor {
            true => Some(Server::floor(&self.worker, kind, places.server)?),
            false => None,
        };
        let router = Server::router(&self.router, places.server)?;
        let mut rounds = Rounds::default();
        for _ in 0..self.rounds.max(1) {
            if let Some(floor) = &floor {
                rounds.floor.push(self.measure(floor, Wire::Blind, work, places)?);
            }
            rounds.ours.push(self.measure(&router, wire, work, places)?);
        }
        Ok((rounds, router))
    }

    fn describe(&self, server: &Server, places: Places) -> (String, Map<String, Value>) {
        let server_cores = server.cores().unwrap_or_else(|| "unknown".to_owned());
        let load_cores = match places.load.core {
            Some(core) => core.to_string(),
            None => Subject::Own.cores().unwrap_or_else(|| "unknown".to_owned()),
        };
        let text = format!(
            "{}server on core {server_cores}, load on core {load_cores}{}; {} rounds of {} ms",
            if self.tls { "TLS; " } else { "" },
            if self.realtime { ", real-time" } else { "" },
            self.rounds,
            self.round.as_millis()
        );
        let setting = json!({
            "server_cores": server_cores,
            "load_cores": load_cores,
            "realtime": self.realtime,
            "tls": self.tls,
            "rounds": self.rounds,
            "round_ms": self.round.as_millis() as u64,
        });
        (text, setting.as_object().cloned().unwrap_or_default())
    }
}

/// Calls through the router, beside the blind forwarder.
pub fn rpc(settings: &Settings, wire: Wire, work: RpcWork) -> anyhow::Result<Figure> {
    let automatic = if work.pairs == 1 && work.window == 1 { Pin::Same } else { Pin::Split };
    let places = settings.places(automatic);
    let (rounds, router) = settings.compare(FloorKind::Forwarder, wire, Work::Rpc(work), places)?;
    let what = format!(
        "rpc over {}: {} pairs, window {}, {}",
        wire_text(wire),
        work.pairs,
        work.window,
        payload_text(work.payload)
    );
    let own = json!({"pairs": work.pairs, "window": work.window, "payload_bytes": work.payload.bytes});
    let goals = |name: &str| match (name, wire, work.window) {
        ("p50_us", Wire::RawSocket(_), 1) | ("router_cpu_ns_per_call", _, 1) => Some(Goal::RatioAtMost(1.10)),
        ("p50_us", Wire::WebSocket(_), 1) => Some(Goal::RatioAtMost(1.15)),
        ("p99_us", _, 1) => Some(Goal::RatioAtMost(1.25)),
        ("calls_per_core_s", Wire::RawSocket(_), 64..) => Some(Goal::AtLeast(1_000_000.0)),
        ("calls_per_core_s", Wire::WebSocket(_), 64..) => Some(Goal::AtLeast(600_000.0)),
        _ => None,
    };
    let places = settings.describe(&router, places);
    Ok(figure("rpc", what, settings, places, wire, &own, FloorKind::Forwarder, &rounds, RPC_METRICS, goals))
}

/// Events through the router, beside the blind fan-out.
pub fn pubsub(settings: &Settings, wire: Wire, work: PubSubWork) -> anyhow::Result<Figure> {
    let places = settings.places(Pin::Split);
    let (rounds, router) = settings.compare(FloorKind::FanOut, wire, Work::PubSub(work), places)?;
    let what = format!(
        "pubsub over {}: {} publishers to {} subscribers, window {}, {}",
        wire_text(wire),
        work.publishers,
        work.subscribers,
        work.window,
        payload_text(work.payload)
    );
    let own = json!({
        "publishers": work.publishers,
        "subscribers": work.subscribers,
        "window": work.window,
        "payload_bytes": work.payload.bytes,
    });
    let goals = |name: &str| match (name, work.window) {
        ("router_cpu_ns_per_event", 1) => Some(Goal::RatioAtMost(1.05)),
        ("router_cpu_ns_per_event", 64..) => Some(Goal::RatioAtMost(1.25)),
        _ => None,
    };
    let places = settings.describe(&router, places);
    Ok(figure("pubsub", what, settings, places, wire, &own, FloorKind::FanOut, &rounds, EVENT_METRICS, goals))
}

/// Sessions that come and go, beside connections that say one octet and close.
pub fn churn(settings: &Settings, wire: Wire, work: ChurnWork) -> anyhow::Result<Figure> {
    let places = settings.places(Pin::Split);
    let (rounds, router) = settings.compare(FloorKind::Echo, wire, Work::Churn(work), places)?;
    let what = format!("churn over {}: {} at once", wire_text(wire), work.workers);
    let own = json!({"workers": work.workers});
    let goals = |name: &str| match name {
        "joins_per_core_s" => Some(Goal::AtLeast(25_000.0)),
        _ => None,
    };
    let places = settings.describe(&router, places);
    Ok(figure("churn", what, settings, places, wire, &own, FloorKind::Echo, &rounds, JOIN_METRICS, goals))
}

#[expect(clippy::too_many_arguments, reason = "the parts of a figure, put together in one place")]
fn figure(
    benchmark: &'static str,
    what: String,
    settings: &Settings,
    (places, mut setting): (String, Map<String, Value>),
    wire: Wire,
    own: &Value,
    floor: FloorKind,
    rounds: &Rounds,
    metrics: &[Metric],
    goals: impl Fn(&str) -> Option<Goal>,
) -> Figure {
    setting.extend(wire_setting(wire));
    setting.extend(own.as_object().cloned().unwrap_or_default());
    Figure {
        benchmark,
        title: format!("{what}\n  {places}"),
        setting,
        floor: settings.with_floor.then(|| floor.name()),
        rows: metrics.iter().map(|&metric| rounds.row(metric, goals(metric.name))).collect(),
    }
}

fn wire_setting(wire: Wire) -> Map<String, Value> {
    let transport = if matches!(wire, Wire::WebSocket(_)) { "websocket" } else { "rawsocket" };
    let serializer = wire.serializer().map(Serializer::name);
    json!({"transport": transport, "serializer": serializer}).as_object().cloned().unwrap_or_default()
}

fn wire_text(wire: Wire) -> String {
    match wire {
        Wire::Blind => "blind TCP".to_owned(),
        Wire::RawSocket(serializer) => format!("rawsocket with {}", serializer.name()),
        Wire::WebSocket(serializer) => format!("WebSocket with {}", serializer.name()),
    }
}

fn payload_text(payload: Payload) -> String {
    match payload.shape {
        Shape::Text => format!("a text of {} octets", payload.bytes),
        Shape::Mixed => format!("keyword arguments of {} octets", payload.bytes),
    }
}

/// A call is two routed messages: CALL and YIELD.
const RPC_METRICS: &[Metric] = &[
    Metric { name: "p50_us", of: |round| Some(round.latency.p50_us) },
    Metric { name: "p90_us", of: |round| Some(round.latency.p90_us) },
    Metric { name: "p99_us", of: |round| Some(round.latency.p99_us) },
    Metric { name: "max_us", of: |round| Some(round.latency.max_us) },
    Metric { name: "calls_per_s", of: Measurement::operations_per_s },
    Metric { name: "router_cpu_ns_per_call", of: Measurement::server_cpu_ns_per_operation },
    Metric {
        name: "router_cpu_ns_per_message",
        of: |round| Some(round.server_cpu_ns_per_operation()? / 2.0),
    },
    Metric { name: "calls_per_core_s", of: Measurement::operations_per_core_s },
    Metric { name: "load_cpu_ns_per_call", of: Measurement::load_cpu_ns_per_operation },
];

const EVENT_METRICS: &[Metric] = &[
    Metric { name: "p50_us", of: |round| Some(round.latency.p50_us) },
    Metric { name: "p90_us", of: |round| Some(round.latency.p90_us) },
    Metric { name: "p99_us", of: |round| Some(round.latency.p99_us) },
    Metric { name: "max_us", of: |round| Some(round.latency.max_us) },
    Metric { name: "events_per_s", of: Measurement::operations_per_s },
    Metric { name: "router_cpu_ns_per_event", of: Measurement::server_cpu_ns_per_operation },
    Metric { name: "events_per_core_s", of: Measurement::operations_per_core_s },
    Metric { name: "load_cpu_ns_per_event", of: Measurement::load_cpu_ns_per_operation },
];

const JOIN_METRICS: &[Metric] = &[
    Metric { name: "p50_us", of: |round| Some(round.latency.p50_us) },
    Metric { name: "p90_us", of: |round| Some(round.latency.p90_us) },
    Metric { name: "p99_us", of: |round| Some(round.latency.p99_us) },
    Metric { name: "max_us", of: |round| Some(round.latency.max_us) },
    Metric { name: "joins_per_s", of: Measurement::operations_per_s },
    Metric { name: "router_cpu_ns_per_join", of: Measurement::server_cpu_ns_per_operation },
    Metric { name: "joins_per_core_s", of: Measurement::operations_per_core_s },
];
