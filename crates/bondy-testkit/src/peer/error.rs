//! Why a peer could not go on, and what a test needs to see why: what was expected, what came, and what came before.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use serde_json::Value;

use crate::message::{MessageError, describe};
use crate::notation::NotationError;
use crate::pattern::Mismatch;
use crate::wire::EndpointError;

/// How many messages an error remembers.
const HISTORY_MAX: usize = 10;

/// Why a peer could not go on.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The address is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Nobody takes connections there.
    #[error("cannot connect to {address}")]
    Connect {
        /// `HOST:PORT`.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The handshake of the transport failed.
    #[error("the connection did not open: {0}")]
    Opening(String),
    /// What was to be sent or expected is not well written.
    #[error(transparent)]
    Notation(#[from] NotationError),
    /// What was to be sent has holes.
    #[error("cannot send {pattern}: {reason}")]
    Hole {
        /// What was to be sent.
        pattern: String,
        /// The hole.
        reason: String,
    },
    /// A message that is none in this serializer, on its way out or in.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A message that is too long for its frame.
    #[error("a message of {0} bytes fits no frame")]
    TooLong(usize),
    /// Another message came.
    #[error("expected {expected}, but {came} came ({mismatch}){before}")]
    Unexpected {
        /// What was expected.
        expected: String,
        /// What came.
        came: String,
        /// The first difference.
        mismatch: Mismatch,
        /// What came before, for people.
        before: History,
    },
    /// Nothing came in time.
    #[error("expected {expected}, but nothing came within {deadline:?}{before}")]
    Silence {
        /// What was expected.
        expected: String,
        /// How long it was waited for.
        deadline: Duration,
        /// What came before, for people.
        before: History,
    },
    /// The other side has closed.
    #[error("expected {expected}, but the connection was closed: {how}{before}")]
    Closed {
        /// What was expected.
        expected: String,
        /// How it ended.
        how: String,
        /// What came before, for people.
        before: History,
    },
    /// What came is no frame.
    #[error("the other side broke the framing: {0}")]
    Framing(String),
    /// The stream took no bytes.
    #[error("cannot send: the connection was closed")]
    Send(#[source] io::Error),
    /// A line of a script that is none.
    #[error("`{0}` is no step: `> MESSAGE` is sent, `< MESSAGE` expected")]
    Step(String),
    /// A line of a script.
    #[error("line {line} of the script: {source}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What was wrong there.
        source: Box<PeerError>,
    },
}

/// The last messages that a peer sent and received.
#[derive(Clone, Debug, Default)]
pub struct History(VecDeque<String>);

impl std::fmt::Display for History {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        formatter.write_str("\nbefore that:")?;
        self.0.iter().try_for_each(|line| write!(formatter, "\n  {line}"))
    }
}

impl History {
    pub(super) fn push(&mut self, sign: char, message: &Value) {
        if self.0.len() == HISTORY_MAX {
            self.0.pop_front();
        }
        self.0.push_back(format!("{sign} {}", describe(message)));
    }
}
