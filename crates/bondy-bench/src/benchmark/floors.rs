//! The floors alone: what this machine does when nothing is routed.

use super::{Pin, Settings, metric};
use crate::figure::{Figure, Metric, Over, Rounds, Row};
use crate::floor::{FloorKind, copy_ns};
use crate::load::{PubSubWork, RpcWork, Work};
use crate::server::Server;
use crate::wire::{Payload, Shape, Wire};
use serde_json::{Map, json};

const COPY_BYTES: usize = 256;
const COPY_ROUNDS: u32 = 2_000_000;

/// Every floor, one figure each, frames of 104 octets.
pub fn floors(settings: &Settings, subscribers: usize, window: usize) -> anyhow::Result<Vec<Figure>> {
    let payload = Payload { bytes: 64, shape: Shape::Text };
    let rate_per_s = None;
    let rpc = |window| Work::Rpc(RpcWork { pairs: 1, window, rate_per_s, payload });
    let events = |window| {
        Work::PubSub(PubSubWork { publishers: 1, subscribers, stalled: 0, window, rate_per_s, payload })
    };
    let plan = [
        ("direct", FloorKind::Direct, rpc(1), Pin::Same),
        ("direct_split", FloorKind::Direct, rpc(1), Pin::Split),
        ("echo", FloorKind::Echo, rpc(1), Pin::Same),
        ("forwarder", FloorKind::Forwarder, rpc(1), Pin::Same),
        ("forwarder_split", FloorKind::Forwarder, rpc(1), Pin::Split),
        ("forwarder_window", FloorKind::Forwarder, rpc(window), Pin::Split),
        ("fan_out", FloorKind::FanOut, events(1), Pin::Split),
        ("fan_out_window", FloorKind::FanOut, events(window), Pin::Split),
    ];
    let mut figures = vec![memory()];
    for (name, kind, work, pin) in plan {
        figures.push(one(settings, name, kind, work, pin)?);
    }
    Ok(figures)
}

fn memory() -> Figure {
    let metric = Metric { name: "copy_ns", of: |_| None, over: Over::Median };
    let row = Row { floor: Some(copy_ns(COPY_BYTES, COPY_ROUNDS)), ..Rounds::default().row(metric, None) };
    let mut setting = Map::new();
    setting.insert("bytes".to_owned(), json!(COPY_BYTES));
    Figure {
        benchmark: "floor",
        name: Some("memory"),
        title: format!("memory: copying {COPY_BYTES} octets"),
        setting,
        floor: Some("memcpy"),
        rows: vec![row],
    }
}

fn one(
    settings: &Settings,
    name: &'static str,
    kind: FloorKind,
    work: Work,
    pin: Pin,
) -> anyhow::Result<Figure> {
    let places = settings.places(pin);
    let mut server = Server::floor(&settings.worker, kind, places.server)?;
    let mut rounds = Rounds::default();
    let count = settings.rounds.max(1);
    for round in 1..=count {
        let what = format!("{}, round {round} of {count}", kind.name());
        rounds.floor.push(settings.measure(&mut server, Wire::Blind, work, places, &what)?);
    }
    let (text, mut setting) = settings.describe(&server, places);
    let (what, metrics) = match work {
        Work::PubSub(events) => {
            setting.insert("subscribers".to_owned(), json!(events.subscribers));
            setting.insert("window".to_owned(), json!(events.window));
            (format!("{} subscribers, window {}", events.subscribers, events.window), metric::events())
        }
        Work::Rpc(calls) => {
            setting.insert("window".to_owned(), json!(calls.window));
            (format!("window {}", calls.window), metric::calls())
        }
        Work::Connections(_) | Work::Churn(_) => ("connections".to_owned(), metric::joins()),
    };
    Ok(Figure {
        benchmark: "floor",
        name: Some(name),
        title: format!("{}: {what}, frames of 104 octets\n  {text}", kind.name()),
        setting,
        floor: Some(kind.name()),
        rows: metrics.iter().map(|&metric| rounds.row(metric, None)).collect(),
    })
}
