//! Idle sessions: joined, silent, held open with nothing but their streams.

use super::{ConnectionsWork, Latencies, LoadSpec, Measurement, Span, source};
use crate::usage::Subject;
use crate::wire::{Connection, FloorRole, Stream};
use anyhow::{Context, ensure};
use std::io::Read;
use std::time::Instant;

/// How many sessions one process opens at most; more take more processes, as each has a limit of open files.
pub const SESSIONS_PER_PROCESS_MAX: usize = 15_000;

/// Files that are open for other reasons than sessions.
const OTHER_FILES: usize = 64;

/// Opens the sessions one after the other.
pub(super) fn open(spec: &LoadSpec, work: ConnectionsWork) -> anyhow::Result<(Measurement, Vec<Stream>)> {
    let files_max = Subject::Own.open_files_max().unwrap_or(usize::MAX);
    ensure!(
        work.sessions + OTHER_FILES <= files_max,
        "{} sessions need more than the {files_max} files that this process may open: raise `ulimit -n`",
        work.sessions
    );
    let span = Span::begin(&spec.server_pids)?;
    let mut latencies = Latencies::new();
    let mut streams = Vec::with_capacity(work.sessions);
    for index in 0..work.sessions {
        let source = source(&spec.target.address, work.first + index);
        let started = Instant::now();
        let session = Connection::open(&spec.target, FloorRole::Receiver, source)
            .with_context(|| format!("after {index} sessions"))?;
        latencies.record(started.elapsed(), 1);
        session.reset_when_dropped()?;
        streams.push(session.into_stream());
    }
    let measurement = span.end(work.sessions as u64)?;
    Ok((Measurement { latency: latencies.quantiles(), ..measurement }, streams))
}

/// Keeps the sessions until standard input ends.
pub(super) fn hold(streams: Vec<Stream>) -> anyhow::Result<()> {
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest)?;
    drop(streams);
    Ok(())
}
