//! Idle sessions: what one costs the router in memory.

use super::{Pin, Settings, wire_setting, wire_text};
use crate::figure::{Figure, Goal, Row, Spread};
use crate::floor::FloorKind;
use crate::load::{ConnectionsWork, Measurement, SESSIONS_PER_PROCESS_MAX, Work};
use crate::process::Process;
use crate::server::Server;
use crate::usage::Subject;
use crate::wire::Wire;
use anyhow::Context;
use serde_json::json;
use std::time::Duration;

/// Opened and closed before counting, so that what a server sets up once is not billed to the sessions.
const WARM_UP_SESSIONS: usize = 200;
const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);

struct Held {
    bytes_per_session: f64,
    joins_per_s: f64,
    p50_us: f64,
}

/// Opens `sessions` and reads the server's resident memory before and after; one round on a fresh server.
pub fn connections(settings: &Settings, wire: Wire, sessions: usize) -> anyhow::Result<Figure> {
    let places = settings.places(Pin::Split);
    let floor = match settings.with_floor {
        true => {
            let server = Server::floor(&settings.worker, FloorKind::Echo, places.server)?;
            Some(held(settings, &server, Wire::Blind, sessions)?)
        }
        false => None,
    };
    let router = Server::router(&settings.router, places.server)?;
    let ours = held(settings, &router, wire, sessions)?;
    let (text, mut setting) = Settings { rounds: 1, ..settings.clone() }.describe(&router, places);
    setting.extend(wire_setting(wire));
    setting.insert("sessions".to_owned(), json!(sessions));
    let row = |name, goal, value: fn(&Held) -> f64| {
        let (ours, floor) = (value(&ours), floor.as_ref().map(value));
        let ratio = floor.and_then(|floor| Spread::of(vec![ours / floor]));
        Row { name, ours: Some(ours), floor, ratio, goal }
    };
    // The goal is for the tens of thousands that it is about; in a few, single pages decide.
    let bytes_max = if settings.tls { 9_216.0 } else { 1_280.0 };
    let goal = (sessions >= 10_000).then_some(Goal::AtMost(bytes_max));
    Ok(Figure {
        benchmark: "connections",
        title: format!("connections over {}: {sessions} idle sessions\n  {text}", wire_text(wire)),
        setting,
        floor: settings.with_floor.then(|| FloorKind::Echo.name()),
        rows: vec![
            row("resident_bytes_per_session", goal, |held| held.bytes_per_session),
            row("joins_per_s", None, |held| held.joins_per_s),
            row("join_p50_us", None, |held| held.p50_us),
        ],
    })
}

fn held(settings: &Settings, server: &Server, wire: Wire, sessions: usize) -> anyhow::Result<Held> {
    let pid = server.pid().context("the memory of a router needs its process: give --pid")?;
    for process in
        open(settings, server, wire, WARM_UP_SESSIONS.min(sessions))?.into_iter().map(|held| held.0)
    {
        process.finish(CLOSE_TIMEOUT);
    }
    let before_bytes = Subject::Process(pid).resident_bytes()?;
    let opened = open(settings, server, wire, sessions)?;
    let after_bytes = Subject::Process(pid).resident_bytes()?;
    let elapsed_s: f64 = opened.iter().map(|(_, measurement)| measurement.elapsed.as_secs_f64()).sum();
    let p50_us = opened.iter().map(|(_, measurement)| measurement.latency.p50_us).collect();
    for (process, _) in opened {
        process.finish(CLOSE_TIMEOUT);
    }
    Ok(Held {
        bytes_per_session: after_bytes.saturating_sub(before_bytes) as f64 / sessions.max(1) as f64,
        joins_per_s: sessions as f64 / elapsed_s,
        p50_us: Spread::of(p50_us).map(|spread| spread.median).unwrap_or_default(),
    })
}

/// Opens sessions in as many processes as their limit of open files asks for.
fn open(
    settings: &Settings,
    server: &Server,
    wire: Wire,
    sessions: usize,
) -> anyhow::Result<Vec<(Process, Measurement)>> {
    let firsts = (0..sessions).step_by(SESSIONS_PER_PROCESS_MAX);
    let loads = firsts.map(|first| {
        let work = ConnectionsWork { sessions: (sessions - first).min(SESSIONS_PER_PROCESS_MAX), first };
        settings.start_load(server, wire, Work::Connections(work), settings.places(Pin::Split))
    });
    loads.collect()
}
