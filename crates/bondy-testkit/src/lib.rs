//! A Bondy node inside a test, and everything that can go wrong between it and a client.
//!
//! * [`Router`]: a whole node in this process, without files and on free ports;
//! * [`Link`]: a way to the router that delays, drops, freezes and cuts, at the message and the byte that a test names;
//! * [`Peer`]: one side of a connection that speaks raw WAMP as a script says, and [`FakeRouter`], which accepts such
//!   peers in place of a router;
//! * [`Recording`] and [`Replay`]: what passed a link, as lines of JSON, and the same conversation once more;
//! * [`command`](mod@command): all of it for other languages, by lines of JSON over standard input and output.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use bondy_testkit::{Fault, MessageType, Peer, Router};
//!
//! let router = Router::start().await?;
//! let link = router.link()?;
//! link.add(Fault::drop().on(MessageType::Event).nth(2));
//! let mut peer = Peer::connect(&link.url()).await?;
//! peer.join("realm1").await?;
//! peer.send("CALL 1 {} com.example.add [1, 2]").await?;
//! peer.expect("ERROR CALL 1 {} wamp.error.no_such_procedure ...").await?;
//! # Ok(())
//! # }
//! ```
//!
//! What it does not do: decide what is right. A test says what it expects, and is told what came instead. Links and peers
//! share no code with the client library, so that a mistake there is not repeated here; [`Router::client`] is that
//! library's client.
//!
//! Invariant: nothing is random unless a test gives a seed, and nothing waits without a deadline.

#![allow(clippy::disallowed_methods, reason = "this crate does the I/O of tests")]

pub mod command;
mod link;
mod message;
mod notation;
mod pattern;
mod peer;
mod recording;
mod replay;
mod router;
mod wire;

pub use bondy_wamp::message::MessageType;
pub use bondy_wamp::serializer::Serializer;

pub use crate::link::{Action, Counts, Direction, Ending, Fault, FaultId, Link, Step, Traffic, WaitError};
pub use crate::message::MessageError;
pub use crate::notation::NotationError;
pub use crate::pattern::{Mismatch, Pattern, Symbols};
pub use crate::peer::{FakeRouter, History, Peer, PeerError, PeerOptions};
pub use crate::recording::{Closer, Entry, Happening, Recording, RecordingError};
pub use crate::replay::{Replay, ReplayError, Replayed};
pub use crate::router::{Router, RouterBuilder, StartError};
pub use crate::wire::{Endpoint, EndpointError, Transport};
