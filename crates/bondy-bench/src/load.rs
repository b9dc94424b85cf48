//! The load: clients that drive one server for one round and say what they saw.
//!
//! A load runs in a process of its own (the hidden command `worker load`), so that it can be pinned and its CPU time
//! told apart. It measures the server's CPU time itself, at the two moments between which it counts.

mod churn;
mod connections;
mod pubsub;
mod rpc;

pub use connections::SESSIONS_PER_PROCESS_MAX;

use crate::usage::Subject;
use crate::wire::{Payload, Target};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// One round of load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadSpec {
    /// The server.
    pub target: Target,
    /// The server's process, to read its CPU time; `None` if it runs elsewhere.
    pub server_pid: Option<u32>,
    /// How long to run before measuring.
    pub warm_up: Duration,
    /// How long to measure.
    pub duration: Duration,
    /// What to do.
    pub work: Work,
}

/// What a load does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Calls in closed loops.
    Rpc(RpcWork),
    /// Events in closed batches.
    PubSub(PubSubWork),
    /// Idle sessions, held until standard input ends.
    Connections(ConnectionsWork),
    /// Joining and leaving.
    Churn(ChurnWork),
}

/// Each pair is a caller and a callee with a procedure of its own, both on connections of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcWork {
    /// How many pairs.
    pub pairs: usize,
    /// How many calls each caller keeps in flight.
    pub window: usize,
    /// What calls and results carry.
    pub payload: Payload,
}

/// Everybody subscribes to one topic. Each publisher writes `window` events at once; the next such batch waits until
/// every subscriber has every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PubSubWork {
    /// How many publishers.
    pub publishers: usize,
    /// How many subscribers.
    pub subscribers: usize,
    /// How many events in a batch of one publisher.
    pub window: usize,
    /// What events carry.
    pub payload: Payload,
}

/// Sessions that join and then do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionsWork {
    /// How many.
    pub sessions: usize,
    /// The index of the first among all processes of a run: it decides the source address.
    pub first: usize,
}

/// Workers that connect, join, leave and begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChurnWork {
    /// How many at once.
    pub workers: usize,
}

/// What one round saw.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Calls answered, events delivered, sessions joined.
    pub operations: u64,
    /// How long that took.
    pub elapsed: Duration,
    /// How long one took.
    pub latency: Latency,
    /// The server's CPU time meanwhile.
    pub server_cpu_ns: Option<u64>,
    /// The load's own CPU time meanwhile, where its threads lived on to tell it.
    pub load_cpu_ns: Option<u64>,
}

impl Measurement {
    /// How many a second.
    pub fn operations_per_s(&self) -> Option<f64> {
        quotient(self.operations as f64, self.elapsed.as_secs_f64())
    }

    /// The server's CPU time for one.
    pub fn server_cpu_ns_per_operation(&self) -> Option<f64> {
        quotient(self.server_cpu_ns? as f64, self.operations as f64)
    }

    /// How many a second one core of the server could do, had it nothing to wait for.
    pub fn operations_per_core_s(&self) -> Option<f64> {
        quotient(self.operations as f64 * 1e9, self.server_cpu_ns? as f64)
    }

    /// The load's CPU time for one.
    pub fn load_cpu_ns_per_operation(&self) -> Option<f64> {
        quotient(self.load_cpu_ns? as f64, self.operations as f64)
    }
}

fn quotient(dividend: f64, divisor: f64) -> Option<f64> {
    (divisor > 0.0).then_some(dividend / divisor)
}

/// Quantiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50_us: f64,
    /// Nine of ten were faster.
    pub p90_us: f64,
    /// 99 of 100 were faster.
    pub p99_us: f64,
    /// The slowest.
    pub max_us: f64,
}

/// Runs the load and writes the measurement as one line of JSON to standard output.
pub fn run(spec: &LoadSpec) -> anyhow::Result<()> {
    match spec.work {
        Work::Rpc(work) => report(&rpc::run(spec, work)?),
        Work::PubSub(work) => report(&pubsub::run(spec, work)?),
        Work::Churn(work) => report(&churn::run(spec, work)?),
        Work::Connections(work) => {
            let (measurement, streams) = connections::open(spec, work)?;
            report(&measurement)?;
            connections::hold(streams)
        }
    }
}

fn report(measurement: &Measurement) -> anyhow::Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{}", serde_json::to_string(measurement)?)?;
    Ok(output.flush()?)
}

/// The clocks at the beginning of what is measured.
struct Span {
    server: Option<Subject>,
    started: Instant,
    server_cpu_ns: Option<u64>,
    load_cpu_ns: u64,
}

impl Span {
    fn begin(server_pid: Option<u32>) -> anyhow::Result<Span> {
        let server = server_pid.map(Subject::Process);
        let server_cpu_ns = server.map(Subject::cpu_ns).transpose()?;
        Ok(Span { server, server_cpu_ns, load_cpu_ns: Subject::Own.cpu_ns()?, started: Instant::now() })
    }

    /// The measurement, with `operations` counted since the beginning.
    fn end(&self, operations: u64) -> anyhow::Result<Measurement> {
        let elapsed = self.started.elapsed();
        let server_cpu_ns = match (self.server, self.server_cpu_ns) {
            (Some(server), Some(before_ns)) => Some(server.cpu_ns()?.saturating_sub(before_ns)),
            (None, _) | (_, None) => None,
        };
        let load_cpu_ns = Some(Subject::Own.cpu_ns()?.saturating_sub(self.load_cpu_ns));
        Ok(Measurement { operations, elapsed, latency: Latency::default(), server_cpu_ns, load_cpu_ns })
    }
}

/// Latencies between 1 ns and a minute, exact to 0.1 %.
struct Latencies(Histogram<u64>);

impl Latencies {
    const MAX_NS: u64 = 60_000_000_000;

    fn new() -> Latencies {
        Latencies(Histogram::new_with_bounds(1, Self::MAX_NS, 3).expect("these constant bounds are valid"))
    }

    fn record(&mut self, elapsed: Duration, count: u64) {
        let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record_n(elapsed_ns, count);
    }

    fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    fn quantiles(&self) -> Latency {
        let at_us = |quantile| self.0.value_at_quantile(quantile) as f64 / 1_000.0;
        Latency { p50_us: at_us(0.5), p90_us: at_us(0.9), p99_us: at_us(0.99), max_us: at_us(1.0) }
    }
}

/// How many connections share a source address. Past about 14,000 to one destination, the kernel searches long for a
/// free port.
const CONNECTIONS_PER_SOURCE: usize = 12_000;

/// The source address of the connection with this index: left to the kernel for the first ones and towards other
/// machines, then 127.0.0.2 and up.
fn source(destination: SocketAddr, index: usize) -> Option<Ipv4Addr> {
    let loopback = matches!(destination, SocketAddr::V4(address) if address.ip().is_loopback());
    let host = u8::try_from(1 + index / CONNECTIONS_PER_SOURCE).ok()?;
    (loopback && host > 1).then(|| Ipv4Addr::new(127, 0, 0, host))
}
