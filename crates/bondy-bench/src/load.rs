//! The load: clients that drive one server for one round and say what they saw.
//!
//! A load runs in a process of its own (the hidden command `worker load`), so that it can be pinned and its CPU time
//! told apart. It measures the server's CPU time itself, at the two moments between which it counts.

mod churn;
mod connections;
mod latency;
mod pubsub;
mod rpc;
mod schedule;
mod team;

pub use connections::SESSIONS_PER_PROCESS_MAX;
pub use latency::Latency;

use crate::endpoint::Address;
use crate::failure::Failure;
use crate::usage::cpu_ns_of;
use crate::wire::{Payload, Target};
use latency::Latencies;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// One round of load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadSpec {
    /// The server.
    pub target: Target,
    /// The server's processes, to read their CPU time; none if it runs elsewhere.
    pub server_pids: Vec<u32>,
    /// How long to run before measuring.
    pub warm_up: Duration,
    /// How long to measure.
    pub duration: Duration,
    /// What to do.
    pub work: Work,
}

/// What a load does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// Calls in closed loops, or at a rate.
    Rpc(RpcWork),
    /// Events in closed batches, or at a rate.
    PubSub(PubSubWork),
    /// Idle sessions, held until standard input ends.
    Connections(ConnectionsWork),
    /// Joining and leaving.
    Churn(ChurnWork),
}

/// Each pair is a caller and a callee with a procedure of its own, both on connections of their own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RpcWork {
    /// How many pairs.
    pub pairs: usize,
    /// How many calls each caller keeps in flight, and with a rate at most.
    pub window: usize,
    /// How many calls all callers begin in a second; `None`: the next one when one is answered.
    pub rate_per_s: Option<f64>,
    /// What calls and results carry.
    pub payload: Payload,
}

/// Everybody subscribes to one topic. Each publisher writes `window` events at once; the next such batch waits until
/// every subscriber has every event. With a rate nobody waits for anybody.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PubSubWork {
    /// How many publishers.
    pub publishers: usize,
    /// How many subscribers.
    pub subscribers: usize,
    /// How many of them never read, and so count nothing.
    pub stalled: usize,
    /// How many events in a batch of one publisher; means nothing with a rate.
    pub window: usize,
    /// How many events all publishers publish in a second; `None`: batch by batch.
    pub rate_per_s: Option<f64>,
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
    /// How long one took; `None` where none was measured.
    pub latency: Option<Latency>,
    /// The server's CPU time meanwhile.
    pub server_cpu_ns: Option<u64>,
    /// The load's own CPU time meanwhile.
    pub load_cpu_ns: u64,
    /// With a rate: calls that were due and not made, as too many were in flight; events that did not arrive.
    pub missed: Option<u64>,
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

    /// How many cores the server kept busy: close to those it has means that it could do no more.
    pub fn server_cores_busy(&self) -> Option<f64> {
        quotient(self.server_cpu_ns? as f64, self.elapsed.as_nanos() as f64)
    }

    /// The load's CPU time for one.
    pub fn load_cpu_ns_per_operation(&self) -> Option<f64> {
        quotient(self.load_cpu_ns as f64, self.operations as f64)
    }
}

fn quotient(dividend: f64, divisor: f64) -> Option<f64> {
    (divisor > 0.0).then_some(dividend / divisor)
}

/// What a load says on its standard output, one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Report {
    /// The round is over.
    Measured(Measurement),
    /// There is nothing to measure.
    Failed(Failure),
}

/// Runs the load and reports.
pub fn run(spec: &LoadSpec) -> anyhow::Result<()> {
    // Threads inherit it: sleeps end when they should, not within the 50 us that the kernel allows itself otherwise.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    let measured = match spec.work {
        Work::Rpc(work) => rpc::run(spec, work),
        Work::PubSub(work) => pubsub::run(spec, work),
        Work::Churn(work) => churn::run(spec, work),
        Work::Connections(work) => match connections::open(spec, work) {
            Ok((measurement, streams)) => {
                report(&Report::Measured(measurement))?;
                return connections::hold(streams);
            }
            Err(error) => Err(error),
        },
    };
    match measured {
        Ok(measurement) => report(&Report::Measured(measurement)),
        Err(error) => report(&Report::Failed(Failure::of(&error))),
    }
}

fn report(report: &Report) -> anyhow::Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{}", serde_json::to_string(report)?)?;
    Ok(output.flush()?)
}

/// The clocks at the beginning of what is measured.
struct Span<'a> {
    server_pids: &'a [u32],
    started: Instant,
    server_cpu_ns: Option<u64>,
    load_cpu_ns: u64,
}

impl Span<'_> {
    fn begin(server_pids: &[u32]) -> anyhow::Result<Span<'_>> {
        let server_cpu_ns = cpu_ns_of(server_pids)?;
        Ok(Span { server_pids, server_cpu_ns, load_cpu_ns: own_cpu_ns()?, started: Instant::now() })
    }

    /// The measurement, with `operations` counted since the beginning.
    fn end(&self, operations: u64) -> anyhow::Result<Measurement> {
        let elapsed = self.started.elapsed();
        let server_cpu_ns = match (cpu_ns_of(self.server_pids)?, self.server_cpu_ns) {
            (Some(after_ns), Some(before_ns)) => Some(after_ns.saturating_sub(before_ns)),
            (None, _) | (_, None) => None,
        };
        let load_cpu_ns = own_cpu_ns()?.saturating_sub(self.load_cpu_ns);
        Ok(Measurement { operations, elapsed, latency: None, server_cpu_ns, load_cpu_ns, missed: None })
    }
}

fn own_cpu_ns() -> anyhow::Result<u64> {
    crate::usage::Subject::Own.cpu_ns()
}

/// A name that no other run uses, so that what an earlier one leaves behind for a moment is not in the way.
fn own_name(what: &str) -> String {
    format!("com.example.bench.{}.{what}", std::process::id())
}

/// How many connections share a source address. Past about 14,000 to one destination, the kernel searches long for a
/// free port.
const CONNECTIONS_PER_SOURCE: usize = 12_000;

/// The source address of the connection with this index: left to the kernel for the first ones and towards other
/// machines, then 127.0.0.2 and up.
fn source(destination: &Address, index: usize) -> Option<Ipv4Addr> {
    let host = u8::try_from(1 + index / CONNECTIONS_PER_SOURCE).ok()?;
    (destination.is_ipv4_loopback() && host > 1).then(|| Ipv4Addr::new(127, 0, 0, host))
}
