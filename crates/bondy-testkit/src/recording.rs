//! What passed a link, in order, and its form as lines of JSON.
//!
//! The first line is `{"recording": 1}`: the version of this format. Every other line is one entry: `at_us`, the
//! microseconds since the recording began, `connection`, counted from 1 on its link, and one of
//!
//! * `"opened": {"transport": "websocket", "serializer": "json"}`: both handshakes have passed;
//! * `"direction": "to_router"` or `"to_client"` with `"message": [...]`, and `"dropped": true` where a fault kept it or a
//!   part of it from passing; the message is null where JSON cannot carry it;
//! * `"closed": "client"`, `"router"` or `"link"`: who ended the connection.
//!
//! Binary inside a message is a text of U+0000 and base64. A reader ignores entries of objects that it does not know,
//! and refuses another version.

use std::fmt::Write as _;
use std::time::Instant;

use bondy_wamp::serializer::Serializer;
use serde_json::{Value, json};

use crate::link::Direction;
use crate::wire::Transport;

/// The version of the format.
const VERSION: u64 = 1;

/// The most entries that are kept: about a gigabyte of usual messages. Beyond it nothing is recorded any more, and
/// [`Recording::is_cut_off`] says so.
const ENTRIES_MAX: usize = 1_000_000;

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closer {
    /// The client.
    Client,
    /// The router.
    Router,
    /// The link, because a test wanted it.
    Link,
}

impl Closer {
    const ALL: [Closer; 3] = [Closer::Client, Closer::Router, Closer::Link];

    /// The name in recordings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Closer::Client => "client",
            Closer::Router => "router",
            Closer::Link => "link",
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// Both handshakes have passed.
    Opened {
        /// How messages lie on the stream.
        transport: Transport,
        /// How they are written.
        serializer: Serializer,
    },
    /// A message passed, or would have.
    Message {
        /// Where it went.
        direction: Direction,
        /// The message.
        message: Value,
        /// A fault kept it from passing.
        is_dropped: bool,
    },
    /// The connection ended.
    Closed {
        /// Who ended it.
        by: Closer,
    },
}

/// One line of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Microseconds since the recording began.
    pub at_us: u64,
    /// Which connection of the link, counted from 1.
    pub connection: u64,
    /// What happened.
    pub happening: Happening,
}

/// A conversation as it passed a link.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// In the order in which the link saw it.
    pub entries: Vec<Entry>,
    /// There was more than is kept.
    pub is_cut_off: bool,
}

/// A text that is no recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the recording: {reason}")]
pub struct RecordingError {
    line: usize,
    reason: String,
}

impl Recording {
    /// The messages that went in this direction, in order, those that were dropped among them.
    pub fn messages(&self, direction: Direction) -> impl Iterator<Item = &Value> {
        self.entries.iter().filter_map(move |entry| match &entry.happening {
            Happening::Message { direction: other, message, .. } => (*other == direction).then_some(message),
            Happening::Opened { .. } | Happening::Closed { .. } => None,
        })
    }

    /// The recording as text.
    pub fn to_lines(&self) -> String {
        let mut text = format!("{}\n", json!({ "recording": VERSION }));
        for entry in &self.entries {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}", entry.to_json());
        }
        text
    }

    /// Reads a recording.
    ///
    /// # Errors
    /// A line is not JSON or lacks something, or the format is of another version.
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let wrong = |line, reason: &str| RecordingError { line, reason: reason.to_owned() };
        let Some((number, first)) = lines.next() else { return Err(wrong(1, "there is none")) };
        let version = json_of(number, first)?.get("recording").and_then(Value::as_u64);
        if version != Some(VERSION) {
            return Err(wrong(number, "expected {\"recording\": 1}, the version that is known here"));
        }
        let entry = |(number, line)| {
            Entry::from_json(&json_of(number, line)?).map_err(|reason| wrong(number, reason))
        };
        Ok(Self { entries: lines.map(entry).collect::<Result<_, _>>()?, is_cut_off: false })
    }
}

fn json_of(line: usize, text: &str) -> Result<Value, RecordingError> {
    serde_json::from_str(text).map_err(|error| RecordingError { line, reason: error.to_string() })
}

impl Entry {
    fn to_json(&self) -> Value {
        let mut line = json!({ "at_us": self.at_us, "connection": self.connection });
        match &self.happening {
            Happening::Opened { transport, serializer } => {
                line["opened"] =
                    json!({ "transport": transport.as_str(), "serializer": serializer.as_str() });
            }
            Happening::Message { direction, message, is_dropped } => {
                line["direction"] = direction.as_str().into();
                line["message"] = message.clone();
                if *is_dropped {
                    line["dropped"] = true.into();
                }
            }
            Happening::Closed { by } => line["closed"] = by.as_str().into(),
        }
        line
    }

    fn from_json(line: &Value) -> Result<Self, &'static str> {
        let number = |key| line.get(key).and_then(Value::as_u64);
        let at_us = number("at_us").ok_or("`at_us` is missing or no number")?;
        let connection = number("connection").ok_or("`connection` is missing or no number")?;
        let happening = if let Some(opened) = line.get("opened") {
            opened_from_json(opened)?
        } else if let Some(message) = line.get("message") {
            let direction = line.get("direction").and_then(Value::as_str).and_then(Direction::parse);
            Happening::Message {
                direction: direction.ok_or("`direction` is neither to_router nor to_client")?,
                message: message.clone(),
                is_dropped: line.get("dropped").and_then(Value::as_bool).unwrap_or(false),
            }
        } else {
            let name = line.get("closed").and_then(Value::as_str);
            let by = Closer::ALL.into_iter().find(|one| Some(one.as_str()) == name);
            Happening::Closed { by: by.ok_or("expected `opened`, `message` or `closed`")? }
        };
        Ok(Self { at_us, connection, happening })
    }
}

fn opened_from_json(opened: &Value) -> Result<Happening, &'static str> {
    let text = |key| opened.get(key).and_then(Value::as_str);
    let transport = text("transport").and_then(Transport::parse).ok_or("`transport` is unknown")?;
    let serializer = text("serializer")
        .and_then(|name| Serializer::ALL.into_iter().find(|one| one.as_str() == name))
        .ok_or("`serializer` is unknown")?;
    Ok(Happening::Opened { transport, serializer })
}

/// A recording that is being made.
#[derive(Debug)]
pub(crate) struct Recorder {
    begun: Instant,
    recording: Recording,
}

impl Recorder {
    pub(crate) fn new(now: Instant) -> Self {
        Self { begun: now, recording: Recording::default() }
    }

    pub(crate) fn push(&mut self, now: Instant, connection: u64, happening: Happening) {
        if self.recording.entries.len() == ENTRIES_MAX {
            self.recording.is_cut_off = true;
            return;
        }
        // Half a million years fit.
        let at_us = now.duration_since(self.begun).as_micros() as u64;
        self.recording.entries.push(Entry { at_us, connection, happening });
    }

    pub(crate) fn finish(self) -> Recording {
        self.recording
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_the_same_after_writing_and_reading() {
        let message = |direction, is_dropped| Happening::Message {
            direction,
            message: json!([48, 1, {}, "com.example.add", [1.5, "\u{0}AQI="]]),
            is_dropped,
        };
        let happenings = [
            Happening::Opened { transport: Transport::RawSocket, serializer: Serializer::Cbor },
            message(Direction::ToRouter, false),
            message(Direction::ToClient, true),
            Happening::Closed { by: Closer::Link },
        ];
        let entry = |(at_us, happening)| Entry { at_us, connection: 1, happening };
        let entries = (0..).zip(happenings).map(entry).collect();
        let recording = Recording { entries, is_cut_off: false };
        assert_eq!(Recording::parse(&recording.to_lines()), Ok(recording));
    }

    #[test]
    fn what_is_no_recording_is_refused_with_its_line() {
        let cases = [
            ("", "line 1"),
            ("{\"recording\": 2}", "version"),
            ("{\"recording\": 1}\n\n[", "line 3"),
            ("{\"recording\": 1}\n{\"at_us\": 1}", "`connection`"),
            ("{\"recording\": 1}\n{\"at_us\": 1, \"connection\": 1}", "expected `opened`"),
            ("{\"recording\": 1}\n{\"at_us\": 1, \"connection\": 1, \"message\": []}", "`direction`"),
        ];
        for (text, part) in cases {
            let error = Recording::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
