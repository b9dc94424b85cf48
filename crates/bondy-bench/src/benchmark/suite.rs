//! The figures that a release is judged by, one after the other.

use super::{Settings, churn, connections, floors, pubsub, rpc};
use crate::figure::Figure;
use crate::load::{ChurnWork, PubSubWork, RpcWork};
use crate::wire::{Payload, Serializer, Shape, Wire};

/// How large the suite is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Subscribers of the fan-out.
    pub subscribers: usize,
    /// Calls or events in flight where they are batched.
    pub window: usize,
    /// Idle sessions.
    pub sessions: usize,
}

/// Runs everything; hands each figure to `show` as soon as it is there.
pub fn suite(
    settings: &Settings,
    scale: Scale,
    mut show: impl FnMut(Figure) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Scale { subscribers, window, sessions } = scale;
    let rawsocket = Wire::RawSocket(Serializer::MsgPack);
    let websocket = Wire::WebSocket(Serializer::Json);
    let short = Payload { bytes: 64, shape: Shape::Text };
    let mixed = Payload { bytes: 256, shape: Shape::Mixed };
    for figure in floors(settings, subscribers, window)? {
        show(figure)?;
    }
    for (wire, payload, pairs, window) in [
        (rawsocket, short, 1, 1),
        (websocket, mixed, 1, 1),
        (rawsocket, short, 16, 1),
        (rawsocket, short, 16, window),
        (websocket, mixed, 16, window),
    ] {
        show(rpc(settings, wire, RpcWork { pairs, window, rate_per_s: None, payload })?)?;
    }
    for window in [1, window] {
        let work =
            PubSubWork { publishers: 1, subscribers, stalled: 0, window, rate_per_s: None, payload: short };
        show(pubsub(settings, rawsocket, work)?)?;
    }
    for wire in [rawsocket, websocket] {
        show(connections(settings, wire, sessions)?)?;
    }
    show(churn(settings, websocket, ChurnWork { workers: 8 })?)
}
