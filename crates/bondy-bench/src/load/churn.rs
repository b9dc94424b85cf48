//! Sessions that come and go: connect, join, leave, close, again.

use super::{ChurnWork, Latencies, LoadSpec, Measurement, Span, source};
use crate::wire::{Connection, FloorRole};
use anyhow::anyhow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Source addresses are taken in turn, so that ports in TIME_WAIT do not run out: this many addresses of 28,000
/// ports last for a minute of 100,000 joins a second.
const SOURCES: usize = 220;

/// Runs one round.
pub(super) fn run(spec: &LoadSpec, work: ChurnWork) -> anyhow::Result<Measurement> {
    let next = AtomicUsize::new(0);
    join_and_leave(spec, work, spec.warm_up, &next)?;
    let span = Span::begin(spec.server_pid)?;
    let latencies = join_and_leave(spec, work, spec.duration, &next)?;
    // The workers have ended and taken their CPU time with them, so the load's own is not known here.
    let measurement = Measurement { load_cpu_ns: None, ..span.end(latencies.0.len())? };
    Ok(Measurement { latency: latencies.quantiles(), ..measurement })
}

fn join_and_leave(
    spec: &LoadSpec,
    work: ChurnWork,
    duration: Duration,
    next: &AtomicUsize,
) -> anyhow::Result<Latencies> {
    let until = Instant::now() + duration;
    let mut all = Latencies::new();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let workers: Vec<_> =
            (0..work.workers.max(1)).map(|_| scope.spawn(|| worker(spec, until, next))).collect();
        for worker in workers {
            all.add(&worker.join().map_err(|_| anyhow!("a worker's thread panicked"))??);
        }
        Ok(())
    })?;
    Ok(all)
}

fn worker(spec: &LoadSpec, until: Instant, next: &AtomicUsize) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::new();
    while Instant::now() < until {
        let turn = next.fetch_add(1, Ordering::Relaxed) % SOURCES;
        let source = source(spec.target.address, turn * super::CONNECTIONS_PER_SOURCE);
        let started = Instant::now();
        let mut session = Connection::open(&spec.target, FloorRole::Sender, source)?;
        latencies.record(started.elapsed(), 1);
        session.leave()?;
    }
    Ok(latencies)
}
