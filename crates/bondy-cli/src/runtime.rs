//! Where the client commands run, and what signals do to them.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::Failure;

/// Threads beside the main one: the client's own task goes on while the main thread writes to a slow pipe.
const WORKERS: usize = 2;

/// How long a command may take to end after a signal, before the process ends without it.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// Runs a command's work to its end. SIGINT ends it with exit code 130, SIGTERM with 143.
pub(crate) fn run(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    on_runtime(Builder::new_multi_thread().worker_threads(WORKERS), None, async {
        tokio::select! {
            biased;
            // First, so that a signal finds its handler before the work can be seen from outside.
            signal = signaled() => Err(Failure::Signaled(signal?)),
            result = work => result,
        }
    })
}

/// Runs a command's work, which ends by itself when it is told that a signal came.
pub(crate) fn run_until_told<W>(work: impl FnOnce(Told) -> W) -> Result<(), Failure>
where
    W: Future<Output = Result<(), Failure>>,
{
    on_runtime(Builder::new_multi_thread().worker_threads(WORKERS), Some(0), until_told(work))
}

/// The same with all tasks on one thread, so that one step of a task is done before another task begins one.
pub(crate) fn run_alone_until_told<W>(work: impl FnOnce(Told) -> W) -> Result<(), Failure>
where
    W: Future<Output = Result<(), Failure>>,
{
    on_runtime(&mut Builder::new_current_thread(), Some(0), until_told(work))
}

async fn until_told<W>(work: impl FnOnce(Told) -> W) -> Result<(), Failure>
where
    W: Future<Output = Result<(), Failure>>,
{
    let (sender, told) = watch::channel(false);
    let mut work = std::pin::pin!(work(Told(told)));
    tokio::select! {
        biased;
        signal = signaled() => drop(signal?),
        result = &mut work => return result,
    }
    sender.send_replace(true);
    work.await
}

/// Says when a signal came.
#[derive(Clone, Debug)]
pub(crate) struct Told(watch::Receiver<bool>);

impl Told {
    /// Waits for a signal.
    pub(crate) async fn wait(&mut self) {
        // Without a sender the work is over.
        let _ = self.0.wait_for(|told| *told).await;
    }
}

/// `farewell` is the exit code after a signal, where it is not that of the signal.
fn on_runtime(
    builder: &mut Builder,
    farewell: Option<i32>,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(anyhow::Error::new(error).context("cannot start threads")))?;
    let result = runtime.block_on(async {
        tokio::spawn(end_in_time(farewell));
        work.await
    });
    // What still runs belongs to the command, which is over.
    runtime.shutdown_background();
    result
}

/// Ends the process some time after a signal, or with a second one, should its main thread be stuck writing to a pipe
/// that nobody reads.
async fn end_in_time(farewell: Option<i32>) {
    let Ok(number) = signaled().await else { return };
    let code = match tokio::time::timeout(FAREWELL_MAX, signaled()).await {
        Err(_) => farewell.unwrap_or(128 + number),
        Ok(_) => 128 + number,
    };
    std::process::exit(code);
}

/// Waits for SIGINT or SIGTERM; which it was.
async fn signaled() -> Result<i32, Failure> {
    let no_handler = |error| Failure::Other(anyhow::Error::new(error).context("cannot handle signals"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_handler)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(no_handler)?;
    tokio::select! {
        _ = interrupt.recv() => Ok(SignalKind::interrupt().as_raw_value()),
        _ = terminate.recv() => Ok(SignalKind::terminate().as_raw_value()),
    }
}
