//! A recorded conversation once more, with the other side new.
//!
//! [`Replay::against_router`] plays every client of a recording against a router, and [`Replay::against_client`] plays
//! the router against a client; each sends what its side sent, in the recorded order, and checks that the other side
//! answers what it answered. Ids that a side chooses (sessions, registrations, subscriptions, publications, requests)
//! differ from run to run: `identity` finds them in messages and keeps which new one stands for which recorded one.
//!
//! HELLO, WELCOME, CHALLENGE, AUTHENTICATE and the details of GOODBYE and ABORT say who speaks and with which software:
//! of those only the type and the URI are compared. Everything else must be the same, less what
//! [`ignore`](Replay::ignore) names. The replay goes over no faulty link: what the other side never got, because a fault
//! dropped it, is not sent, and what it said is expected, whether it arrived then or not. The replay ends at the first difference: what follows is its consequence.

mod identity;

use std::collections::BTreeMap;
use std::time::Duration;

use bondy_wamp::message::MessageType;
use serde_json::Value;

use crate::link::Direction;
use crate::message::{describe, type_of};
use crate::pattern::{Mismatch, Pattern, Symbols};
use crate::peer::{FakeRouter, Peer, PeerError, PeerOptions};
use crate::recording::{Closer, Entry, Happening, Recording};
use crate::wire::{Endpoint, EndpointError};
use identity::Identities;

/// How long a message is waited for unless a test says otherwise.
const DEADLINE: Duration = Duration::from_secs(5);

/// A recording that is to be played.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    recording: &'a Recording,
    ignored: Vec<(MessageType, String)>,
    deadline: Duration,
}

/// What was played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Messages that were sent.
    pub sent: u64,
    /// Messages that came as recorded.
    pub matched: u64,
    /// Connections that were opened.
    pub connections: u64,
}

/// Why a replay did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The address is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Something else came than was recorded.
    #[error("entry {entry}, connection {connection}: recorded was {recorded}, but {came} came ({mismatch})")]
    Different {
        /// The entry of the recording, counted from 1.
        entry: usize,
        /// Its connection.
        connection: u64,
        /// What was recorded, with the ids of this run.
        recorded: String,
        /// What came.
        came: String,
        /// The first difference.
        mismatch: Mismatch,
    },
    /// A connection that is not open is used: the recording began in its middle.
    #[error(
        "entry {entry}: connection {connection} is not open in this recording; record from the beginning"
    )]
    NotOpen {
        /// The entry of the recording, counted from 1.
        entry: usize,
        /// Its connection.
        connection: u64,
    },
    /// A message that JSON cannot carry, such as one with a float that is no number.
    #[error("entry {entry}, connection {connection}: the message could not be read when it was recorded")]
    Unreadable {
        /// The entry of the recording, counted from 1.
        entry: usize,
        /// Its connection.
        connection: u64,
    },
    /// Nothing came, the connection was closed, or it could not be opened.
    #[error("entry {entry}, connection {connection}: {source}")]
    Peer {
        /// The entry of the recording, counted from 1.
        entry: usize,
        /// Its connection.
        connection: u64,
        /// What went wrong.
        source: PeerError,
    },
}

/// Whom the replay plays against.
enum Opponent<'a> {
    Router(Endpoint),
    Client(&'a FakeRouter),
}

impl<'a> Replay<'a> {
    /// Plays this recording.
    pub fn new(recording: &'a Recording) -> Self {
        Self { recording, ignored: Vec::new(), deadline: DEADLINE }
    }

    /// Takes anything at this place of messages of this type: a JSON pointer, such as `/3/0` for the first argument of a
    /// RESULT.
    #[must_use]
    pub fn ignore(mut self, message: MessageType, pointer: impl Into<String>) -> Self {
        self.ignored.push((message, pointer.into()));
        self
    }

    /// Waits so long for each message.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Plays the clients against the router at `url`, each in its recorded serializer, over the transport of the URL.
    ///
    /// # Errors
    /// The first difference.
    pub async fn against_router(&self, url: &str) -> Result<Replayed, ReplayError> {
        self.play(Opponent::Router(Endpoint::parse(url)?)).await
    }

    /// Plays the router against the clients that connect to `router`.
    ///
    /// # Errors
    /// The first difference.
    pub async fn against_client(&self, router: &FakeRouter) -> Result<Replayed, ReplayError> {
        self.play(Opponent::Client(router)).await
    }

    async fn play(&self, opponent: Opponent<'_>) -> Result<Replayed, ReplayError> {
        let mut run = Run {
            replay: self,
            opponent,
            peers: BTreeMap::new(),
            identities: Identities::default(),
            replayed: Replayed::default(),
        };
        for (number, entry) in (1..).zip(&self.recording.entries) {
            run.step(number, entry).await?;
        }
        Ok(run.replayed)
    }
}

struct Run<'a> {
    replay: &'a Replay<'a>,
    opponent: Opponent<'a>,
    peers: BTreeMap<u64, Peer>,
    identities: Identities,
    replayed: Replayed,
}

impl Run<'_> {
    /// The direction in which this side sends.
    fn sends(&self) -> Direction {
        match self.opponent {
            Opponent::Router(_) => Direction::ToRouter,
            Opponent::Client(_) => Direction::ToClient,
        }
    }

    async fn step(&mut self, number: usize, entry: &Entry) -> Result<(), ReplayError> {
        let connection = entry.connection;
        let outcome = match &entry.happening {
            // The transport is the URL's, or the client's to choose.
            Happening::Opened { serializer, transport: _ } => {
                let options = PeerOptions { serializer: *serializer, deadline: self.replay.deadline };
                self.open(connection, options).await
            }
            Happening::Closed { by } => {
                self.close(connection, *by).await;
                Ok(())
            }
            Happening::Message { direction, message, is_dropped } => {
                if !self.peers.contains_key(&connection) {
                    return Err(ReplayError::NotOpen { entry: number, connection });
                }
                if message.is_null() {
                    return Err(ReplayError::Unreadable { entry: number, connection });
                }
                match (*direction == self.sends(), is_dropped) {
                    (true, false) => self.send(connection, message).await,
                    (true, true) => Ok(()),
                    (false, _) => return self.expect(number, connection, message).await,
                }
            }
        };
        outcome.map_err(|source| ReplayError::Peer { entry: number, connection, source })
    }

    async fn open(&mut self, connection: u64, options: PeerOptions) -> Result<(), PeerError> {
        let peer = match &self.opponent {
            Opponent::Router(endpoint) => Peer::connect_with(&endpoint.to_string(), options).await?,
            Opponent::Client(router) => {
                let mut peer = router.accept().await?;
                peer.set_deadline(options.deadline);
                peer
            }
        };
        self.peers.insert(connection, peer);
        self.replayed.connections += 1;
        Ok(())
    }

    /// This side closes where it did; what the other did is its own business.
    async fn close(&mut self, connection: u64, by: Closer) {
        let Some(mut peer) = self.peers.remove(&connection) else { return };
        match (by, self.sends()) {
            (Closer::Client, Direction::ToRouter) | (Closer::Router, Direction::ToClient) => {
                peer.close().await;
            }
            (Closer::Link, _) => peer.reset(),
            (Closer::Client, Direction::ToClient) | (Closer::Router, Direction::ToRouter) => {
                // Closing is the other's, so that it may still say what it has to.
                let _ = peer.expect_closed().await;
            }
        }
    }

    async fn send(&mut self, connection: u64, recorded: &Value) -> Result<(), PeerError> {
        let message = self.identities.translate(connection, recorded);
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        // As it is: a text `*` in a recording is a text.
        peer.send(literal(message)).await?;
        self.replayed.sent += 1;
        Ok(())
    }

    async fn expect(&mut self, number: usize, connection: u64, recorded: &Value) -> Result<(), ReplayError> {
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(()) };
        let came = peer.receive().await;
        let came = came.map_err(|source| ReplayError::Peer { entry: number, connection, source })?;
        if type_of(&came) == type_of(recorded) {
            self.identities.learn(connection, recorded, &came);
        }
        let expected = self.identities.translate(connection, recorded);
        match self.pattern(&expected).check(&came, &mut Symbols::default()) {
            Ok(()) => {
                self.replayed.matched += 1;
                Ok(())
            }
            Err(mismatch) => Err(ReplayError::Different {
                entry: number,
                connection,
                recorded: describe(&expected),
                came: describe(&came),
                mismatch,
            }),
        }
    }

    /// What must be the same in a message.
    fn pattern(&self, expected: &Value) -> Pattern {
        let message = type_of(expected);
        let mut pattern = literal(expected.clone());
        let holes: &[&str] = match message {
            Some(MessageType::Hello) => &["/2"],
            Some(MessageType::Welcome | MessageType::Authenticate) => &["/1", "/2"],
            Some(MessageType::Challenge) => &["/2"],
            Some(MessageType::Abort | MessageType::Goodbye) => &["/1"],
            _ => &[],
        };
        let ignored = self.replay.ignored.iter().filter(|(ignored, _)| message == Some(*ignored));
        for pointer in holes.iter().copied().chain(ignored.map(|(_, pointer)| pointer.as_str())) {
            dig(&mut pattern, pointer);
        }
        pattern
    }
}

/// A pattern that is this value and nothing else.
fn literal(value: Value) -> Pattern {
    match value {
        Value::Array(items) => Pattern::List { items: items.into_iter().map(literal).collect(), open: false },
        Value::Object(entries) => Pattern::Dict {
            entries: entries.into_iter().map(|(key, value)| (key, literal(value))).collect(),
            open: false,
        },
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            Pattern::Exactly(other)
        }
    }
}

/// Makes a hole at this place, where there is one.
fn dig(pattern: &mut Pattern, pointer: &str) {
    let mut place = pattern;
    for token in pointer.split('/').skip(1) {
        let key = token.replace("~1", "/").replace("~0", "~");
        let inner = match place {
            Pattern::List { items, .. } => key.parse().ok().and_then(|index: usize| items.get_mut(index)),
            Pattern::Dict { entries, .. } => entries.get_mut(&key),
            Pattern::Anything | Pattern::Symbol(_) | Pattern::Exactly(_) => None,
        };
        let Some(inner) = inner else { return };
        place = inner;
    }
    *place = Pattern::Anything;
}
