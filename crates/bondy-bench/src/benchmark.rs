//! The benchmarks: which servers and loads run where, in which order, and what is made of what they say.
//!
//! Rounds of the floor and of the router alternate, each short, because the machine's own speed drifts; what counts
//! is the ratio of neighbours. The load runs in a process of its own, on the router's core where nothing is gained
//! by two (one pair, window 1: left alone, the scheduler puts both on one core or on two, and the figures jump
//! threefold), else on another one.

mod connections;
mod floors;
mod metric;
mod suite;

pub use connections::connections;
pub use floors::floors;
pub use suite::{Scale, suite};

use crate::failure::Failure;
use crate::figure::{Figure, Goal, Metric, Rounds, rounded};
use crate::floor::FloorKind;
use crate::load::{ChurnWork, LoadSpec, Measurement, PubSubWork, Report, RpcWork, Work};
use crate::process::{Placement, Process, Worker};
use crate::progress::Progress;
use crate::server::{RouterSource, Server};
use crate::usage::{Subject, parse_cores};
use crate::wire::{Credentials, Payload, Serializer, Shape, Target, Wire};
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
    /// Who joins; `None`: anonymously.
    pub credentials: Option<Credentials>,
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
    /// Whether to judge the figures by the goals of the project.
    pub with_goals: bool,
    /// Where to say what is going on.
    pub progress: Progress,
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
        server: &mut Server,
        wire: Wire,
        work: Work,
        places: Places,
        what: &str,
    ) -> anyhow::Result<Measurement> {
        self.start_load(server, wire, work, places, what).map(|(_, measurement)| measurement)
    }

    /// The same; the process goes on with what it holds.
    fn start_load(
        &self,
        server: &mut Server,
        wire: Wire,
        work: Work,
        places: Places,
        what: &str,
    ) -> anyhow::Result<(Process, Measurement)> {
        let target = server.target(wire, self.tls && wire != Wire::Blind, &self.realm)?;
        let credentials = self.credentials.clone().filter(|_| wire != Wire::Blind);
        let spec = LoadSpec {
            target: Target { credentials, ..target },
            server_pids: server.pids().to_vec(),
            warm_up: self.warm_up,
            duration: self.round,
            work,
        };
        let mut load = Process::start(&self.worker.command("load", None), places.load)?;
        // Not an argument, which everybody on this machine could read.
        load.say(&serde_json::to_string(&spec)?)?;
        let planned = self.warm_up + self.round;
        let report = load.await_line_with(
            planned + LOAD_GRACE,
            |line| serde_json::from_str(line).ok(),
            |waited| self.progress.show(&format!("{what}: {:.1} s", waited.as_secs_f64())),
        );
        self.progress.clear();
        match report? {
            Report::Measured(measurement) if measurement.operations == 0 => {
                let text = format!(
                    "{what}: nothing was answered in the {:?} that were measured: ask for a longer --duration, or for \
                     less at once",
                    self.round
                );
                Err(Failure::answer(text).into())
            }
            Report::Measured(measurement) => Ok((load, measurement)),
            Report::Failed(failure) => Err(failure.into()),
        }
    }

    /// Rounds of the floor and of the router in turn.
    fn compare(&self, kind: FloorKind, wire: Wire, work: Work, places: Places) -> anyhow::Result<Run> {
        let mut router = Server::router(&self.worker, &self.router, places.server)?;
        // Before anything is measured, so that a router that is not there is known at once.
        let endpoint = router.target(wire, self.tls, &self.realm)?.endpoint;
        let mut floor = match self.with_floor {
            true => Some(Server::floor(&self.worker, kind, places.server)?),
            false => None,
        };
        let mut rounds = Rounds::default();
        let count = self.rounds.max(1);
        for round in 1..=count {
            if let Some(floor) = &mut floor {
                let what = format!("{}, round {round} of {count}", kind.name());
                rounds.floor.push(self.measure(floor, Wire::Blind, work, places, &what)?);
            }
            let what = format!("router, round {round} of {count}");
            rounds.ours.push(self.measure(&mut router, wire, work, places, &what)?);
        }
        let (text, mut setting) = self.describe(&router, places);
        setting.insert("url".to_owned(), json!(endpoint.to_string()));
        let floor = self.with_floor.then(|| kind.name());
        Ok(Run { rounds, floor, wire, ran: (format!("{endpoint}; {text}"), setting) })
    }

    /// Rounds of two works on the same router in turn: what is asked for, and what it is held against.
    fn compare_works(
        &self,
        wire: Wire,
        work: Work,
        (against, name): (Work, &'static str),
        places: Places,
    ) -> anyhow::Result<Run> {
        let mut router = Server::router(&self.worker, &self.router, places.server)?;
        let endpoint = router.target(wire, self.tls, &self.realm)?.endpoint;
        let mut rounds = Rounds::default();
        let count = self.rounds.max(1);
        for round in 1..=count {
            let what = format!("{name}, round {round} of {count}");
            rounds.floor.push(self.measure(&mut router, wire, against, places, &what)?);
            let what = format!("router, round {round} of {count}");
            rounds.ours.push(self.measure(&mut router, wire, work, places, &what)?);
        }
        let (text, mut setting) = self.describe(&router, places);
        setting.insert("url".to_owned(), json!(endpoint.to_string()));
        Ok(Run { rounds, floor: Some(name), wire, ran: (format!("{endpoint}; {text}"), setting) })
    }

    /// What makes figures mean less than they seem to, a line each.
    fn reservations(&self, places: Places, server_cores: Option<&str>) -> String {
        let mut text = String::new();
        let elsewhere = |core: usize| server_cores.is_some_and(|cores| parse_cores(cores) != [core]);
        if self.with_floor && places.server.core.is_some_and(elsewhere) {
            text += "\n  the router is not pinned as the floor is: do not compare these ratios (--start pins one)";
        }
        if cfg!(debug_assertions) {
            text += "\n  this is a build for development, not optimised: the figures say little";
        }
        text
    }

    fn describe(&self, server: &Server, places: Places) -> (String, Map<String, Value>) {
        let server_cores = server.cores();
        let load_cores = match places.load.core {
            Some(core) => core.to_string(),
            None => Subject::Own.cores().unwrap_or_else(|| "unknown".to_owned()),
        };
        let server_text = match &server_cores {
            Some(cores) => format!("server on core {cores}"),
            None => "server elsewhere (or its process not found: --pid names it)".to_owned(),
        };
        let text = format!(
            "{server_text}, load on core {load_cores}{}; {} of {} ms{}",
            if self.realtime { ", real-time" } else { "" },
            counted(self.rounds, "round"),
            self.round.as_millis(),
            self.reservations(places, server_cores.as_deref())
        );
        let setting = json!({
            "router_cores": server_cores,
            "load_cores": load_cores,
            "realtime": self.realtime,
            "rounds": self.rounds,
            "round_ms": self.round.as_millis() as u64,
            "bench_version": env!("CARGO_PKG_VERSION"),
        });
        (text, setting.as_object().cloned().unwrap_or_default())
    }
}

/// `1 pair`, `2 pairs`.
fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Calls through the router, beside the blind forwarder.
pub fn rpc(settings: &Settings, wire: Wire, work: RpcWork) -> anyhow::Result<Figure> {
    let is_alone = work.pairs == 1 && work.window == 1 && work.rate_per_s.is_none();
    let places = settings.places(if is_alone { Pin::Same } else { Pin::Split });
    let run = settings.compare(FloorKind::Forwarder, wire, Work::Rpc(work), places)?;
    let what = format!(
        "{}, {}, {}",
        counted(work.pairs, "pair"),
        pace_text(work.window, work.rate_per_s),
        payload_text(work.payload)
    );
    let mut own = json!({"pairs": work.pairs, "window": work.window});
    add_payload(&mut own, work.payload, work.rate_per_s);
    let goals = |name: &str| match (name, wire, work.window) {
        _ if work.rate_per_s.is_some() => None,
        ("p50_us" | "router_cpu_ns_per_call", Wire::RawSocket(_), 1) => Some(Goal::RatioAtMost(1.10)),
        ("p50_us" | "router_cpu_ns_per_call", Wire::WebSocket(_), 1) => Some(Goal::RatioAtMost(1.15)),
        ("p99_us", _, 1) => Some(Goal::RatioAtMost(1.25)),
        ("calls_per_core_s", Wire::RawSocket(_), 64..) => Some(Goal::AtLeast(1_000_000.0)),
        ("calls_per_core_s", Wire::WebSocket(_), 64..) => Some(Goal::AtLeast(600_000.0)),
        _ => None,
    };
    Ok(run.figure(settings, "rpc", &what, &own, &metric::calls(), goals))
}

/// Events through the router, beside the blind fan-out.
pub fn pubsub(settings: &Settings, wire: Wire, work: PubSubWork) -> anyhow::Result<Figure> {
    let places = settings.places(Pin::Split);
    let run = match work.stalled {
        0 => settings.compare(FloorKind::FanOut, wire, Work::PubSub(work), places)?,
        _ => {
            let none_stalled = Work::PubSub(PubSubWork { stalled: 0, ..work });
            let against = (none_stalled, "none-stalled");
            settings.compare_works(wire, Work::PubSub(work), against, places)?
        }
    };
    let stalled = match work.stalled {
        0 => String::new(),
        stalled => format!(" ({stalled} of them stalled)"),
    };
    let what = format!(
        "{} to {}{stalled}, {}, {}",
        counted(work.publishers, "publisher"),
        counted(work.subscribers, "subscriber"),
        pace_text(work.window, work.rate_per_s),
        payload_text(work.payload)
    );
    let mut own = json!({
        "publishers": work.publishers,
        "subscribers": work.subscribers,
        "stalled": work.stalled,
        "window": work.window,
    });
    add_payload(&mut own, work.payload, work.rate_per_s);
    let goals = |name: &str| match (name, work.window) {
        ("p99_us", _) if work.stalled > 0 => Some(Goal::RatioAtMost(1.10)),
        _ if work.rate_per_s.is_some() || work.stalled > 0 => None,
        ("router_cpu_ns_per_event", 1) => Some(Goal::RatioAtMost(1.05)),
        ("router_cpu_ns_per_event", 64..) => Some(Goal::RatioAtMost(1.25)),
        _ => None,
    };
    Ok(run.figure(settings, "pubsub", &what, &own, &metric::events(), goals))
}

/// Sessions that come and go, beside connections that say one octet and close.
pub fn churn(settings: &Settings, wire: Wire, work: ChurnWork) -> anyhow::Result<Figure> {
    let places = settings.places(Pin::Split);
    let run = settings.compare(FloorKind::Echo, wire, Work::Churn(work), places)?;
    let what = format!("{} at once", work.workers);
    let own = json!({"workers": work.workers});
    let goals = |name: &str| match name {
        "joins_per_core_s" => Some(Goal::AtLeast(25_000.0)),
        _ => None,
    };
    Ok(run.figure(settings, "churn", &what, &own, &metric::joins(), goals))
}

/// Everything that a comparison of rounds knows.
struct Run {
    rounds: Rounds,
    /// The name of what the router is held against, if it is.
    floor: Option<&'static str>,
    wire: Wire,
    /// Where it ran, for people and for programs.
    ran: (String, Map<String, Value>),
}

impl Run {
    fn figure(
        self,
        settings: &Settings,
        benchmark: &'static str,
        what: &str,
        own: &Value,
        metrics: &[Metric],
        goals: impl Fn(&str) -> Option<Goal>,
    ) -> Figure {
        let (ran, mut setting) = self.ran;
        setting.extend(wire_setting(self.wire));
        setting.extend(own.as_object().cloned().unwrap_or_default());
        let goal = |name| if settings.with_goals { goals(name) } else { None };
        Figure {
            benchmark,
            name: None,
            title: format!("{benchmark} over {}: {what}\n  {ran}", wire_text(self.wire)),
            setting,
            floor: self.floor,
            rows: metrics.iter().map(|&metric| self.rounds.row(metric, goal(metric.name))).collect(),
        }
    }
}

fn wire_setting(wire: Wire) -> Map<String, Value> {
    let serializer = wire.serializer().map(Serializer::name);
    let setting = json!({"transport": wire.transport().name(), "serializer": serializer});
    setting.as_object().cloned().unwrap_or_default()
}

fn wire_text(wire: Wire) -> String {
    match wire {
        Wire::Blind => "blind TCP".to_owned(),
        Wire::RawSocket(serializer) => format!("rawsocket with {}", serializer.name()),
        Wire::WebSocket(serializer) => format!("WebSocket with {}", serializer.name()),
        Wire::Nats => "NATS".to_owned(),
    }
}

fn payload_text(payload: Payload) -> String {
    match payload.shape {
        Shape::Text => format!("a text of {} octets", payload.bytes),
        Shape::Mixed => format!("keyword arguments of {} octets", payload.bytes),
    }
}

fn pace_text(window: usize, rate_per_s: Option<f64>) -> String {
    match rate_per_s {
        Some(rate) => format!("{rate} a second"),
        None => format!("window {window}"),
    }
}

fn add_payload(own: &mut Value, payload: Payload, rate_per_s: Option<f64>) {
    let shape = match payload.shape {
        Shape::Text => "text",
        Shape::Mixed => "mixed",
    };
    own["payload_bytes"] = json!(payload.bytes);
    own["shape"] = json!(shape);
    if let Some(rate) = rate_per_s {
        own["rate_per_s"] = rounded(rate);
    }
}
