//! Calls in closed loops: two blocking threads for each pair, as nothing wakes up faster.

use super::{Latencies, LoadSpec, Measurement, RpcWork, Span};
use crate::wire::{Connection, FloorRole, Target, Template, Wire, code, printable};
use anyhow::{Context, anyhow, bail};
use std::collections::VecDeque;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const WARMING_UP: u8 = 0;
const MEASURING: u8 = 1;
const STOPPING: u8 = 2;

/// What the threads of one run share.
#[derive(Debug)]
struct Progress {
    phase: AtomicU8,
    calls: AtomicU64,
}

/// Runs one round.
pub(super) fn run(spec: &LoadSpec, work: RpcWork) -> anyhow::Result<Measurement> {
    let progress = Arc::new(Progress { phase: AtomicU8::new(WARMING_UP), calls: AtomicU64::new(0) });
    let (failures, failed) = sync_channel(2 * work.pairs.max(1));
    let mut callees = Vec::new();
    let mut callers = Vec::new();
    for pair in 0..work.pairs.max(1) {
        let procedure = format!("com.example.bench.echo.{pair}");
        let callee = open_callee(&spec.target, &procedure)?;
        let socket = callee.socket()?;
        let answer = Template::answer(spec.target.wire, work.payload);
        let shared = Arc::clone(&progress);
        callees.push((socket, spawn(&failures, move || answer_calls(callee, &answer, &shared))));
        let caller = Connection::open(&spec.target, FloorRole::Sender, None)?;
        callers.push((caller, Template::call(spec.target.wire, &procedure, work.payload)));
    }
    let callers = callers.into_iter().map(|(caller, call)| {
        let shared = Arc::clone(&progress);
        spawn(&failures, move || make_calls(caller, &call, work.window.max(1), &shared))
    });
    let callers: Vec<_> = callers.collect();
    let measured = measure(spec, &progress, &failed);
    progress.phase.store(STOPPING, Ordering::Relaxed);
    let mut latencies = Latencies::new();
    for caller in callers {
        if let Some(seen) = caller.join().map_err(|_| anyhow!("a caller's thread panicked"))? {
            latencies.add(&seen);
        }
    }
    for (socket, callee) in callees {
        // A socket that is closed already needs no shutting down.
        let _ = socket.shutdown(Shutdown::Both);
        callee.join().map_err(|_| anyhow!("a callee's thread panicked"))?;
    }
    Ok(Measurement { latency: latencies.quantiles(), ..measured? })
}

fn open_callee(target: &Target, procedure: &str) -> anyhow::Result<Connection> {
    let mut callee = Connection::open(target, FloorRole::Receiver, None)?;
    callee
        .request(&Template::register(target.wire, procedure), code::REGISTERED)
        .with_context(|| format!("cannot register {procedure}"))?;
    // The end of the run shuts its socket down, so the callee may wait as long as it takes.
    callee.socket()?.set_read_timeout(None)?;
    Ok(callee)
}

/// Runs `body` on a thread whose failure goes to the channel, which has room for one from every thread.
fn spawn<T: Send + 'static>(
    failures: &SyncSender<anyhow::Error>,
    body: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> JoinHandle<Option<T>> {
    let failures = failures.clone();
    std::thread::spawn(move || match body() {
        Ok(value) => Some(value),
        Err(error) => {
            // Nobody listens any more once the run has failed for another reason.
            let _ = failures.try_send(error);
            None
        }
    })
}

fn measure(
    spec: &LoadSpec,
    progress: &Progress,
    failed: &Receiver<anyhow::Error>,
) -> anyhow::Result<Measurement> {
    wait(failed, spec.warm_up)?;
    let calls_before = progress.calls.load(Ordering::Relaxed);
    let span = Span::begin(spec.server_pid)?;
    progress.phase.store(MEASURING, Ordering::Relaxed);
    wait(failed, spec.duration)?;
    let measurement = span.end(progress.calls.load(Ordering::Relaxed) - calls_before);
    progress.phase.store(STOPPING, Ordering::Relaxed);
    measurement
}

/// Lets the threads run, unless one fails.
fn wait(failed: &Receiver<anyhow::Error>, duration: Duration) -> anyhow::Result<()> {
    match failed.recv_timeout(duration) {
        Ok(error) => Err(error),
        Err(RecvTimeoutError::Timeout) => Ok(()),
        Err(RecvTimeoutError::Disconnected) => bail!("every thread of the load has ended"),
    }
}

fn make_calls(
    mut caller: Connection,
    call: &Template,
    window: usize,
    progress: &Progress,
) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::new();
    let mut pending = VecDeque::with_capacity(window);
    let mut now = Instant::now();
    let mut answered = window;
    let wire = caller.exchange().wire;
    loop {
        let phase = progress.phase.load(Ordering::Relaxed);
        if phase != STOPPING {
            for _ in 0..answered {
                let request = caller.next_request();
                call.append(request, &mut caller.exchange().output);
                pending.push_back((request, now));
            }
        } else if pending.is_empty() {
            return Ok(latencies);
        }
        caller.flush()?;
        caller.read()?;
        now = Instant::now();
        answered = 0;
        caller.exchange().drain(|message, _| {
            let sent = take_answered(wire, message, &mut pending)?;
            answered += 1;
            if phase == MEASURING {
                latencies.record(now - sent, 1);
            }
            Ok(())
        })?;
        progress.calls.fetch_add(answered as u64, Ordering::Relaxed);
    }
}

/// When the call was sent that this message answers. Answers mostly come in order, so the search ends at once.
fn take_answered(
    wire: Wire,
    message: &[u8],
    pending: &mut VecDeque<(u64, Instant)>,
) -> anyhow::Result<Instant> {
    let position = match wire.header(message) {
        None if wire == Wire::Blind => Some(0),
        Some(header) if header.code == code::RESULT => {
            pending.iter().position(|&(request, _)| Some(request) == header.id)
        }
        _ => bail!("expected RESULT, got {}", printable(message)),
    };
    let (_, sent) =
        position.and_then(|index| pending.remove(index)).context("an answer that no call waits for")?;
    Ok(sent)
}

fn answer_calls(mut callee: Connection, answer: &Template, progress: &Progress) -> anyhow::Result<()> {
    let wire = callee.exchange().wire;
    loop {
        match callee.read() {
            Ok(()) => {}
            // The run is over and the socket was shut down.
            Err(_) if progress.phase.load(Ordering::Relaxed) == STOPPING => return Ok(()),
            Err(error) => return Err(error),
        }
        callee.exchange().drain(|message, output| {
            let request = match wire.header(message) {
                None if wire == Wire::Blind => 0,
                Some(header) if header.code == code::INVOCATION => header.id.unwrap_or_default(),
                _ => bail!("expected INVOCATION, got {}", printable(message)),
            };
            answer.append(request, output);
            Ok(())
        })?;
        callee.flush()?;
    }
}
