//! Calls: two blocking threads for each pair, as nothing wakes up faster. A caller keeps its window full, or calls
//! when a call is due.

use super::schedule::Schedule;
use super::team::{Phase, Progress, Team};
use super::{Latencies, LoadSpec, Measurement, RpcWork, own_name};
use crate::failure::Failure;
use crate::wire::{ANSWER_TIMEOUT, Connection, FloorRole, Target, Template, Wire, code, unexpected};
use anyhow::Context;
use std::collections::VecDeque;
use std::net::Shutdown;
use std::time::{Duration, Instant};

/// How long after the end calls that were due before it are still made.
const LATE_MAX: Duration = Duration::from_secs(1);

/// A caller that is ready to call.
struct Caller {
    connection: Connection,
    call: Template,
    window: usize,
}

/// What a caller saw.
struct Seen {
    latencies: Latencies,
    /// Calls that were due and not made.
    missed: u64,
    /// Kept to the end of the run: a floor closes both ends of a pair when one is closed.
    _connection: Connection,
}

/// Runs one round.
pub(super) fn run(spec: &LoadSpec, work: RpcWork) -> anyhow::Result<Measurement> {
    let pairs = work.pairs.max(1);
    let team = Team::new(2 * pairs);
    let (mut callees, mut callers) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        let procedure = own_name(&format!("echo_{pair}"));
        let callee = open_callee(&spec.target, &procedure)?;
        let socket = callee.socket()?;
        let answer = Template::answer(spec.target.wire, &procedure, work.payload);
        callees.push((socket, team.spawn(move |progress| answer_calls(callee, &answer, progress))));
        callers.push(open_caller(&spec.target, &procedure, work)?);
    }
    let schedule = work.rate_per_s.map(|rate| Schedule::new(rate, spec.warm_up, spec.duration));
    let callers = (0..).zip(callers).map(|(member, caller)| match schedule {
        None => team.spawn(move |progress| caller.keep_window_full(progress)),
        Some(schedule) => {
            let schedule = schedule.share(member, pairs);
            team.spawn(move |progress| caller.keep_schedule(schedule, progress))
        }
    });
    let callers = callers.collect::<Vec<_>>();
    let measurement = team.measure(spec)?;
    let seen = callers.into_iter().map(|caller| team.join(caller)).collect::<anyhow::Result<Vec<Seen>>>()?;
    let mut latencies = Latencies::new();
    seen.iter().for_each(|seen| latencies.add(&seen.latencies));
    let missed = schedule.map(|_| seen.iter().map(|seen| seen.missed).sum());
    for (socket, callee) in callees {
        // A socket that is closed already needs no shutting down.
        let _ = socket.shutdown(Shutdown::Both);
        team.join(callee)?;
    }
    Ok(Measurement { latency: latencies.quantiles(), missed, ..measurement })
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

fn open_caller(target: &Target, procedure: &str, work: RpcWork) -> anyhow::Result<Caller> {
    let mut connection = Connection::open(target, FloorRole::Sender, None)?;
    if let Some(results) = Template::results(target.wire, procedure) {
        connection.request(&results, code::PONG)?;
    }
    let call = Template::call(target.wire, procedure, work.payload);
    Ok(Caller { connection, call, window: work.window.max(1) })
}

impl Caller {
    /// A closed loop: whenever calls are answered, as many are made.
    fn keep_window_full(mut self, progress: &Progress) -> anyhow::Result<Seen> {
        let mut latencies = Latencies::new();
        let mut pending = VecDeque::with_capacity(self.window);
        let mut now = Instant::now();
        let mut answered = self.window;
        loop {
            if progress.phase() != Phase::Stopping {
                (0..answered).for_each(|_| self.append_call(now, &mut pending));
            } else if pending.is_empty() {
                return Ok(Seen { latencies, missed: 0, _connection: self.connection });
            }
            self.connection.flush()?;
            self.connection.read()?;
            now = Instant::now();
            let is_measured = progress.phase() == Phase::Measuring;
            answered = self.take_answers(&mut pending, |sent| {
                if is_measured {
                    latencies.record(now - sent, 1);
                }
            })?;
            progress.add(if is_measured { answered as u64 } else { 0 });
        }
    }

    /// An open loop: a call is made when it is due, however many wait for their answers, up to the window.
    fn keep_schedule(mut self, schedule: Schedule, progress: &Progress) -> anyhow::Result<Seen> {
        let mut latencies = Latencies::new();
        let mut pending = VecDeque::new();
        let mut made = 0;
        loop {
            let now = Instant::now();
            let is_over = now >= schedule.measured_until + LATE_MAX;
            let mut due = schedule.due(made);
            while due <= now && due < schedule.measured_until && pending.len() < self.window && !is_over {
                self.append_call(due, &mut pending);
                made += 1;
                due = schedule.due(made);
            }
            self.connection.flush()?;
            let is_last = is_over || due >= schedule.measured_until;
            if is_last && pending.is_empty() {
                break;
            }
            let has_room = pending.len() < self.window && !is_last;
            let patience = if has_room { due.saturating_duration_since(now) } else { ANSWER_TIMEOUT };
            if self.connection.wait_readable(patience)? {
                self.connection.read()?;
                let now = Instant::now();
                let answered = self.take_answers(&mut pending, |due| {
                    if schedule.is_measured(due) {
                        latencies.record(now.saturating_duration_since(due), 1);
                    }
                })?;
                progress.add(answered as u64);
            } else if !has_room {
                let text = format!("{} calls are not answered within {ANSWER_TIMEOUT:?}", pending.len());
                return Err(Failure::answer(text).into());
            }
        }
        progress.await_stop();
        let missed = record_missed(&schedule, made, &mut latencies);
        Ok(Seen { latencies, missed, _connection: self.connection })
    }

    fn append_call(&mut self, at: Instant, pending: &mut VecDeque<(u64, Instant)>) {
        let request = self.connection.next_request();
        self.call.append(request, &mut self.connection.exchange().output);
        pending.push_back((request, at));
    }

    /// Takes the answers that have been read out of `pending`; hands on the moment of each call.
    fn take_answers(
        &mut self,
        pending: &mut VecDeque<(u64, Instant)>,
        mut seen: impl FnMut(Instant),
    ) -> anyhow::Result<usize> {
        let mut answered = 0;
        let exchange = self.connection.exchange();
        let wire = exchange.wire;
        exchange.drain(|message, _| {
            seen(take_answered(wire, message, pending)?);
            answered += 1;
            Ok(())
        })?;
        Ok(answered)
    }
}

/// Calls that were due and never made have waited at least until the end.
fn record_missed(schedule: &Schedule, made: u64, latencies: &mut Latencies) -> u64 {
    let dues = (made..).map(|index| schedule.due(index)).take_while(|due| *due < schedule.measured_until);
    let mut missed = 0;
    for due in dues.filter(|due| schedule.is_measured(*due)) {
        latencies.record(schedule.measured_until - due, 1);
        missed += 1;
    }
    missed
}

/// When the call was sent, or due, that this message answers. Answers mostly come in order, so the search ends at
/// once.
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
        _ => return Err(unexpected(wire, code::RESULT, message)),
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
            Err(_) if progress.phase() == Phase::Stopping => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        callee.exchange().drain(|message, output| {
            let request = match wire.header(message) {
                None if wire == Wire::Blind => 0,
                Some(header) if header.code == code::INVOCATION => header.id.unwrap_or_default(),
                _ => return Err(unexpected(wire, code::INVOCATION, message)),
            };
            answer.append(request, output);
            Ok(())
        })?;
        callee.flush()?;
    }
}
