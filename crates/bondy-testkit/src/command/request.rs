//! The fields of one command, read strictly: a field that a command does not know is an error that names those it knows.

use std::time::Duration;

use serde_json::{Map, Value};

use bondy_wamp::message::MessageType;
use bondy_wamp::serializer::Serializer;

use crate::link::Direction;
use crate::message::type_named;

/// Every command with its fields, besides `id` and `do`.
pub const COMMANDS: &[(&str, &[&str])] = &[
    ("version", &[]),
    ("start", &["realms", "set"]),
    ("stop", &["router"]),
    ("kill", &["router"]),
    ("restart", &["router"]),
    ("link", &["router", "to"]),
    (
        "fault",
        &[
            "link",
            "action",
            "delay_ms",
            "bytes",
            "ending",
            "direction",
            "connection",
            "on",
            "uri",
            "after_bytes",
            "after",
            "nth",
            "times",
            "each_connection",
            "delivered",
            "chance",
            "seed",
        ],
    ),
    ("unfault", &["link", "fault"]),
    ("acted", &["link", "fault"]),
    ("clear", &["link"]),
    ("cut", &["link", "ending"]),
    ("freeze", &["link", "direction"]),
    ("thaw", &["link"]),
    ("refuse", &["link", "refuse"]),
    ("counts", &["link"]),
    ("wait", &["link", "until", "timeout_ms"]),
    ("record", &["link"]),
    ("recording", &["link", "file"]),
    ("replay", &["recording", "file", "url", "router", "fake_router", "ignore", "timeout_ms"]),
    ("peer", &["url", "router", "link", "serializer", "timeout_ms"]),
    ("fake_router", &[]),
    ("accept", &["fake_router", "timeout_ms"]),
    ("join", &["peer", "realm", "timeout_ms"]),
    ("send", &["peer", "message"]),
    ("send_payload", &["peer", "text", "hex"]),
    ("send_bytes", &["peer", "text", "hex"]),
    ("expect", &["peer", "message", "timeout_ms"]),
    ("receive", &["peer", "timeout_ms"]),
    ("expect_closed", &["peer", "timeout_ms"]),
    ("play", &["peer", "script", "timeout_ms"]),
    ("close", &["peer"]),
    ("reset", &["peer"]),
    ("end", &["router", "link", "peer", "fake_router"]),
];

/// A command that is being read.
#[derive(Debug)]
pub(super) struct Fields {
    name: String,
    entries: Map<String, Value>,
}

impl Fields {
    /// A command of the table with no field but its own.
    pub(super) fn parse(command: Value) -> Result<Self, String> {
        let Value::Object(mut entries) = command else {
            return Err("a command is an object, such as {\"id\": 1, \"do\": \"start\"}".to_owned());
        };
        entries.remove("id");
        let name = match entries.remove("do") {
            Some(Value::String(name)) => name,
            Some(_) | None => return Err("`do` says what to do, such as \"start\"; it is missing".to_owned()),
        };
        let Some((_, known)) = COMMANDS.iter().find(|(command, _)| *command == name) else {
            let names: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
            return Err(format!("`{name}` is no command; there are {}", names.join(", ")));
        };
        match entries.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) if known.is_empty() => Err(format!("`{name}` takes no fields, but has `{key}`")),
            Some(key) => Err(format!("`{name}` does not know `{key}`; it takes {}", known.join(", "))),
            None => Ok(Self { name, entries }),
        }
    }

    /// What to do.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The field, if it is there and not null.
    pub(super) fn any(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(key).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        match self.any(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "a text", &other)),
        }
    }

    pub(super) fn number(&mut self, key: &str) -> Result<Option<u64>, String> {
        match self.any(key) {
            None => Ok(None),
            Some(value) => {
                value.as_u64().map(Some).ok_or_else(|| self.wrong(key, "a whole number from 0", &value))
            }
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, String> {
        match self.any(key) {
            None => Ok(None),
            Some(value) => value.as_bool().map(Some).ok_or_else(|| self.wrong(key, "true or false", &value)),
        }
    }

    pub(super) fn list(&mut self, key: &str) -> Result<Vec<Value>, String> {
        match self.any(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(self.wrong(key, "a list", &other)),
        }
    }

    pub(super) fn dict(&mut self, key: &str) -> Result<Map<String, Value>, String> {
        match self.any(key) {
            None => Ok(Map::new()),
            Some(Value::Object(entries)) => Ok(entries),
            Some(other) => Err(self.wrong(key, "an object", &other)),
        }
    }

    /// A field that is a list of texts or one of them.
    pub(super) fn texts(&mut self, key: &str) -> Result<Vec<String>, String> {
        let values = match self.any(key) {
            None => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(one) => vec![one],
        };
        let text = |value: Value| match value {
            Value::String(text) => Ok(text),
            other => Err(self.wrong(key, "texts", &other)),
        };
        values.into_iter().map(text).collect()
    }

    pub(super) fn milliseconds(&mut self, key: &str) -> Result<Option<Duration>, String> {
        Ok(self.number(key)?.map(Duration::from_millis))
    }

    pub(super) fn direction(&mut self) -> Result<Option<Direction>, String> {
        let Some(name) = self.text("direction")? else { return Ok(None) };
        Direction::parse(&name)
            .map(Some)
            .ok_or_else(|| format!("`direction` is `{name}`, but to_router or to_client was expected"))
    }

    pub(super) fn serializer(&mut self) -> Result<Option<Serializer>, String> {
        let Some(name) = self.text("serializer")? else { return Ok(None) };
        Serializer::ALL
            .into_iter()
            .find(|one| one.as_str() == name)
            .map(Some)
            .ok_or_else(|| format!("`serializer` is `{name}`, but json, msgpack or cbor was expected"))
    }

    /// The error that a field is missing.
    pub(super) fn missing(&self, what: &str) -> String {
        format!("`{}` needs {what}", self.name)
    }

    fn wrong(&self, key: &str, expected: &str, found: &Value) -> String {
        format!("`{key}` of `{}` is {found}, but {expected} was expected", self.name)
    }
}

/// The type of message of this name.
pub(super) fn message_type(name: &str) -> Result<MessageType, String> {
    type_named(name).ok_or_else(|| format!("`{name}` is no type of message, such as CALL or EVENT"))
}
