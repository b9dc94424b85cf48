//! The floor: servers that move the same bytes as a router and do nothing else.
//!
//! Each runs in a process of its own (the hidden command `worker floor`), so that its CPU time can be told from the
//! load's. A connection opens with one octet that says which end it is ([`FloorRole`]), which the server repeats
//! when the connection is in place. Frames are not parsed: what one read brings goes out in one write.

mod direct;
mod memory;
mod relay;

pub use memory::copy_ns;

use crate::wire::FloorRole;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

/// What a floor server does with the bytes that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FloorKind {
    /// Sends them back, with a blocking thread for each connection: the peer of a direct ping-pong.
    Direct,
    /// Sends them back, on tokio: a blind router that knows one connection.
    Echo,
    /// Passes them between the two connections of a pair, on tokio: a blind router for calls.
    Forwarder,
    /// Passes them from a sender to every receiver, on tokio: a blind router for events.
    FanOut,
}

impl FloorKind {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            FloorKind::Direct => "direct ping-pong",
            FloorKind::Echo => "blind echo",
            FloorKind::Forwarder => "blind forwarder",
            FloorKind::FanOut => "blind fan-out",
        }
    }
}

/// Serves until standard input ends, as it does with whoever has started this; says on standard output where it
/// listens: `floor ready floor=ADDRESS`.
pub fn serve(kind: FloorKind) -> anyhow::Result<()> {
    std::thread::spawn(|| {
        // Whatever ends it, there is nobody left to serve.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let mut output = std::io::stdout();
    writeln!(output, "floor ready floor={}", listener.local_addr()?)?;
    output.flush()?;
    match kind {
        FloorKind::Direct => direct::serve(&listener),
        FloorKind::Echo | FloorKind::Forwarder | FloorKind::FanOut => relay::serve(kind, listener),
    }
}

/// The role that an opening octet names.
fn role(octet: u8) -> Option<FloorRole> {
    [FloorRole::Sender, FloorRole::Receiver].into_iter().find(|role| role.octet() == octet)
}
