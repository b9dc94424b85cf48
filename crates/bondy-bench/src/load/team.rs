//! Threads that share one run: when to begin counting, when to stop, and the first failure of any of them.

use super::{LoadSpec, Measurement, Span};
use crate::wire::ANSWER_TIMEOUT;
use anyhow::{anyhow, bail};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The steps by which a measurement without any operation is prolonged.
const EXTENSION: Duration = Duration::from_millis(10);

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing counts yet.
    WarmingUp,
    /// Everything counts.
    Measuring,
    /// Finish what has begun.
    Stopping,
}

/// What the threads of one run share.
#[derive(Debug)]
pub(super) struct Progress {
    phase: AtomicU8,
    operations: AtomicU64,
}

impl Progress {
    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::WarmingUp,
            1 => Phase::Measuring,
            _ => Phase::Stopping,
        }
    }

    /// Waits until everybody is to stop. A thread that ends takes its CPU time with it, so none ends before.
    pub(super) fn await_stop(&self) {
        while self.phase() != Phase::Stopping {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Counts finished operations.
    pub(super) fn add(&self, operations: u64) {
        self.operations.fetch_add(operations, Ordering::Relaxed);
    }
}

/// The threads. They end with the process where the run fails before its end.
pub(super) struct Team {
    progress: Arc<Progress>,
    failures: SyncSender<anyhow::Error>,
    failed: Receiver<anyhow::Error>,
}

/// A thread of a team. It gives nothing if it has failed.
pub(super) struct Member<T>(JoinHandle<Option<T>>);

impl Team {
    /// A team of at most `members`.
    pub(super) fn new(members: usize) -> Team {
        let progress = Arc::new(Progress {
            phase: AtomicU8::new(Phase::WarmingUp as u8),
            operations: AtomicU64::new(0),
        });
        let (failures, failed) = sync_channel(members.max(1));
        Team { progress, failures, failed }
    }

    /// Runs `body` on a thread. Its failure ends the run.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        body: impl FnOnce(&Progress) -> anyhow::Result<T> + Send + 'static,
    ) -> Member<T> {
        let (failures, progress) = (self.failures.clone(), Arc::clone(&self.progress));
        Member(std::thread::spawn(move || match body(&progress) {
            Ok(value) => Some(value),
            Err(error) => {
                // There is room for a failure of every thread, and nobody listens once the run has ended.
                let _ = failures.try_send(error);
                None
            }
        }))
    }

    /// Lets the threads run for the time of a round, and asks them to stop.
    pub(super) fn measure(&self, spec: &LoadSpec) -> anyhow::Result<Measurement> {
        self.wait(spec.warm_up)?;
        let before = self.progress.operations.load(Ordering::Relaxed);
        let span = Span::begin(&spec.server_pids)?;
        self.progress.enter(Phase::Measuring);
        self.wait(spec.duration)?;
        // Where a moment is too short for a single one, it lasts until there is one.
        let until = Instant::now() + ANSWER_TIMEOUT;
        while self.progress.operations.load(Ordering::Relaxed) == before && Instant::now() < until {
            self.wait(EXTENSION)?;
        }
        let measurement = span.end(self.progress.operations.load(Ordering::Relaxed) - before);
        self.progress.enter(Phase::Stopping);
        measurement
    }

    /// Lets the threads run, unless one fails.
    fn wait(&self, duration: Duration) -> anyhow::Result<()> {
        match self.failed.recv_timeout(duration) {
            Ok(error) => Err(error),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => bail!("every thread of the load has ended"),
        }
    }

    /// Waits for the end of a thread; its failure is the run's.
    pub(super) fn join<T>(&self, member: Member<T>) -> anyhow::Result<T> {
        match member.0.join().map_err(|_| anyhow!("a thread of the load panicked"))? {
            Some(value) => Ok(value),
            None => Err(self.failed.try_recv().unwrap_or_else(|_| anyhow!("a thread of the load failed"))),
        }
    }
}
