//! Idle sessions: what one costs the router in memory.

use super::{Pin, Settings, counted, metric, wire_setting, wire_text};
use crate::figure::{Figure, Goal, Rounds, Row, Spread};
use crate::floor::FloorKind;
use crate::load::{ConnectionsWork, Measurement, SESSIONS_PER_PROCESS_MAX, Work};
use crate::process::Process;
use crate::server::{RouterSource, Server};
use crate::usage::resident_bytes_of;
use crate::wire::Wire;
use anyhow::Context;
use serde_json::json;
use std::time::Duration;

/// Opened and closed before counting, so that what a server sets up once is not billed to the sessions.
const WARM_UP_SESSIONS: usize = 200;
/// With fewer, single pages decide.
const SESSIONS_MIN: usize = 10_000;
const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);

/// What holding sessions showed.
struct Held {
    /// Growth of the server's memory, where its process is known.
    bytes_per_session: Option<f64>,
    opening: Measurement,
}

/// Opens `sessions` and reads the server's resident memory before and after; one round. A router that has held more
/// sessions before gives them the memory of those: start it afresh.
pub fn connections(settings: &Settings, wire: Wire, sessions: usize) -> anyhow::Result<Figure> {
    let settings = &Settings { rounds: 1, ..settings.clone() };
    let places = settings.places(Pin::Split);
    let mut router = Server::router(&settings.worker, &settings.router, places.server)?;
    let endpoint = router.target(wire, settings.tls, &settings.realm)?.endpoint;
    let floor = match settings.with_floor {
        true => {
            let mut server = Server::floor(&settings.worker, FloorKind::Echo, places.server)?;
            Some(held(settings, &mut server, Wire::Blind, sessions)?)
        }
        false => None,
    };
    let ours = held(settings, &mut router, wire, sessions)?;
    let (text, mut setting) = settings.describe(&router, places);
    setting.remove("round_ms");
    setting.extend(wire_setting(wire));
    setting.insert("url".to_owned(), json!(endpoint.to_string()));
    setting.insert("sessions".to_owned(), json!(sessions));
    // The goal is for the tens of thousands that it is about; in a few, single pages decide.
    let bytes_max = if settings.tls { 9_216.0 } else { 1_280.0 };
    let goal = (settings.with_goals && sessions >= SESSIONS_MIN).then_some(Goal::AtMost(bytes_max));
    let rounds =
        Rounds { ours: vec![ours.opening], floor: floor.iter().map(|floor| floor.opening).collect() };
    let (bytes, floor_bytes) =
        (ours.bytes_per_session, floor.as_ref().and_then(|floor| floor.bytes_per_session));
    let quotient = floor_bytes.zip(bytes).filter(|(floor, _)| *floor > 0.0).map(|(floor, ours)| ours / floor);
    let ratio = quotient.and_then(|ratio| Spread::of(vec![ratio]));
    let mut rows =
        vec![Row { name: "resident_bytes_per_session", ours: bytes, floor: floor_bytes, ratio, goal }];
    rows.extend(metric::joins().into_iter().map(|metric| rounds.row(metric, None)));
    Ok(Figure {
        benchmark: "connections",
        name: None,
        title: format!(
            "connections over {}: {}\n  {endpoint}; {text}{}",
            wire_text(wire),
            counted(sessions, "idle session"),
            reservation(settings, sessions)
        ),
        setting,
        floor: settings.with_floor.then(|| FloorKind::Echo.name()),
        rows,
    })
}

/// What makes the memory of one session mean less than it seems to.
fn reservation(settings: &Settings, sessions: usize) -> &'static str {
    match settings.router {
        RouterSource::Running { .. } => {
            "\n  the router ran before: memory that it had left is not counted (--start measures all)"
        }
        RouterSource::Command(_) if sessions < SESSIONS_MIN => {
            "\n  few sessions: what the router keeps once for all makes each look larger"
        }
        RouterSource::Command(_) => "",
    }
}

fn held(settings: &Settings, server: &mut Server, wire: Wire, sessions: usize) -> anyhow::Result<Held> {
    close(open(settings, server, wire, WARM_UP_SESSIONS.min(sessions))?);
    let before_bytes = resident_bytes_of(server.pids())?;
    let opened = open(settings, server, wire, sessions)?;
    let after_bytes = resident_bytes_of(server.pids())?;
    let grown_bytes = before_bytes.zip(after_bytes).map(|(before, after)| after.saturating_sub(before));
    let measurements: Vec<Measurement> = opened.iter().map(|(_, measurement)| *measurement).collect();
    close(opened);
    let opening = total(&measurements).context("no sessions were opened")?;
    let bytes_per_session = grown_bytes.map(|bytes| bytes as f64 / sessions.max(1) as f64);
    Ok(Held { bytes_per_session, opening })
}

/// Opens sessions in as many processes as their limit of open files asks for.
fn open(
    settings: &Settings,
    server: &mut Server,
    wire: Wire,
    sessions: usize,
) -> anyhow::Result<Vec<(Process, Measurement)>> {
    let firsts = (0..sessions).step_by(SESSIONS_PER_PROCESS_MAX);
    let what = format!("opening {sessions} sessions");
    let loads = firsts.map(|first| {
        let work = ConnectionsWork { sessions: (sessions - first).min(SESSIONS_PER_PROCESS_MAX), first };
        settings.start_load(server, wire, Work::Connections(work), settings.places(Pin::Split), &what)
    });
    loads.collect()
}

fn close(opened: Vec<(Process, Measurement)>) {
    for (process, _) in opened {
        process.finish(CLOSE_TIMEOUT);
    }
}

/// What processes that opened sessions one after the other come to; the latency is that of the first, which has the
/// most of them.
fn total(measurements: &[Measurement]) -> Option<Measurement> {
    let (first, others) = measurements.split_first()?;
    Some(others.iter().fold(*first, |sum, one| Measurement {
        operations: sum.operations + one.operations,
        elapsed: sum.elapsed + one.elapsed,
        server_cpu_ns: sum.server_cpu_ns.zip(one.server_cpu_ns).map(|(sum, one)| sum + one),
        load_cpu_ns: sum.load_cpu_ns + one.load_cpu_ns,
        ..sum
    }))
}
