//! Sessions that come and go: connect, join, leave, close, again.

use super::team::{Phase, Progress, Team};
use super::{ChurnWork, Latencies, LoadSpec, Measurement, source};
use crate::wire::{Connection, FloorRole, Target};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Source addresses are taken in turn, so that ports in TIME_WAIT do not run out: this many addresses of 28,000
/// ports last for a minute of 100,000 joins a second.
const SOURCES: usize = 220;

/// Runs one round.
pub(super) fn run(spec: &LoadSpec, work: ChurnWork) -> anyhow::Result<Measurement> {
    let workers = work.workers.max(1);
    let team = Team::new(workers);
    let next = Arc::new(AtomicUsize::new(0));
    let workers = (0..workers).map(|_| {
        let (target, next) = (spec.target.clone(), Arc::clone(&next));
        team.spawn(move |progress| join_and_leave(&target, &next, progress))
    });
    let workers: Vec<_> = workers.collect();
    let measurement = team.measure(spec)?;
    let mut latencies = Latencies::new();
    for worker in workers {
        latencies.add(&team.join(worker)?);
    }
    Ok(Measurement { latency: latencies.quantiles(), ..measurement })
}

fn join_and_leave(target: &Target, next: &AtomicUsize, progress: &Progress) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::new();
    loop {
        if progress.phase() == Phase::Stopping {
            return Ok(latencies);
        }
        let turn = next.fetch_add(1, Ordering::Relaxed) % SOURCES;
        let source = source(&target.address, turn * super::CONNECTIONS_PER_SOURCE);
        let started = Instant::now();
        let mut session = Connection::open(target, FloorRole::Sender, source)?;
        let elapsed = started.elapsed();
        session.leave()?;
        if progress.phase() == Phase::Measuring {
            latencies.record(elapsed, 1);
            progress.add(1);
        }
    }
}
