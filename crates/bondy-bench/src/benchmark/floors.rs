//! The floors alone: what this machine does when nothing is routed.

use super::{Pin, RPC_METRICS, Settings};
use crate::figure::{Figure, Metric, Rounds, Row};
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
    let rpc = |window| Work::Rpc(RpcWork { pairs: 1, window, payload });
    let events = |window| Work::PubSub(PubSubWork { publishers: 1, subscribers, window, payload });
    let plan = [
        (FloorKind::Direct, rpc(1), Pin::Same),
        (FloorKind::Direct, rpc(1), Pin::Split),
        (FloorKind::Echo, rpc(1), Pin::Same),
        (FloorKind::Forwarder, rpc(1), Pin::Same),
        (FloorKind::Forwarder, rpc(1), Pin::Split),
        (FloorKind::Forwarder, rpc(window), Pin::Split),
        (FloorKind::FanOut, events(1), Pin::Split),
        (FloorKind::FanOut, events(window), Pin::Split),
    ];
    let mut figures = vec![memory()];
    for (kind, work, pin) in plan {
        figures.push(one(settings, kind, work, pin)?);
    }
    Ok(figures)
}

fn memory() -> Figure {
    let metric = Metric { name: "copy_ns", of: |_| None };
    let row = Row { floor: Some(copy_ns(COPY_BYTES, COPY_ROUNDS)), ..Rounds::default().row(metric, None) };
    let mut setting = Map::new();
    setting.insert("bytes".to_owned(), json!(COPY_BYTES));
    Figure {
        benchmark: "floor",
        title: format!("memory: copying {COPY_BYTES} octets"),
        setting,
        floor: Some("memcpy"),
        rows: vec![row],
    }
}

fn one(settings: &Settings, kind: FloorKind, work: Work, pin: Pin) -> anyhow::Result<Figure> {
    let places = settings.places(pin);
    let server = Server::floor(&settings.worker, kind, places.server)?;
    let mut rounds = Rounds::default();
    for _ in 0..settings.rounds.max(1) {
        rounds.floor.push(settings.measure(&server, Wire::Blind, work, places)?);
    }
    let (text, mut setting) = settings.describe(&server, places);
    let (what, metrics) = match work {
        Work::PubSub(events) => {
            setting.insert("subscribers".to_owned(), json!(events.subscribers));
            setting.insert("window".to_owned(), json!(events.window));
            (format!("{} subscribers, window {}", events.subscribers, events.window), super::EVENT_METRICS)
        }
        Work::Rpc(calls) => {
            setting.insert("window".to_owned(), json!(calls.window));
            (format!("window {}", calls.window), RPC_METRICS)
        }
        Work::Connections(_) | Work::Churn(_) => ("connections".to_owned(), super::JOIN_METRICS),
    };
    Ok(Figure {
        benchmark: "floor",
        title: format!("{}: {what}, frames of 104 octets\n  {text}", kind.name()),
        setting,
        floor: Some(kind.name()),
        rows: metrics.iter().map(|&metric| rounds.row(metric, None)).collect(),
    })
}
