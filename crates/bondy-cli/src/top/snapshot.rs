//! What `bondy top` shows: one look at a realm through the meta API, and the rates since the look before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bondy_client::{Arguments, CallError, Client};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::Failure;
use crate::answer::{not_sent, refusal};
use crate::connection::ANSWER_MAX;
use crate::output::one_line;
use crate::repetition::{Plan, Turn};
use crate::table;
use crate::wire;

/// What stands in the place of its own address.
const OWN: &str = "this bondy top";

/// How many entries are asked for at once.
const PARALLEL: u32 = 32;

/// Counters of which the rates are shown.
const COUNTERS: [&str; 6] =
    ["messages_received", "messages_sent", "bytes_received", "bytes_sent", "invocations", "events"];

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    /// Of the entry.
    pub(super) key: &'static str,
    /// Where there is no room, columns with higher ranks go first; 0 stays.
    pub(super) rank: u8,
}

impl Column {
    const fn new(heading: &'static str, key: &'static str, rank: u8) -> Self {
        Self { heading, key, rank }
    }
}

/// What there is to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sessions,
    Procedures,
    Topics,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::Sessions, Kind::Procedures, Kind::Topics];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Sessions => "sessions",
            Kind::Procedures => "procedures",
            Kind::Topics => "topics",
        }
    }

    /// As the meta API calls it.
    fn subject(self) -> &'static str {
        match self {
            Kind::Sessions => "session",
            Kind::Procedures => "registration",
            Kind::Topics => "subscription",
        }
    }

    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Kind::Sessions => {
                const {
                    &[
                        Column::new("SESSION", "session", 0),
                        Column::new("AUTHID", "authid", 3),
                        Column::new("AUTHROLE", "authrole", 10),
                        Column::new("TRANSPORT", "transport", 7),
                        Column::new("CLIENT", "client", 6),
                        Column::new("IN/S", "messages_received_per_s", 1),
                        Column::new("OUT/S", "messages_sent_per_s", 2),
                        Column::new("QUEUE", "queue_bytes", 4),
                        Column::new("DROPPED", "events_dropped", 5),
                        Column::new("CALLS", "calls_pending", 8),
                        Column::new("RUNNING", "invocations_pending", 9),
                    ]
                }
            }
            Kind::Procedures => {
                const {
                    &[
                        Column::new("PROCEDURE", "uri", 0),
                        Column::new("MATCH", "match", 6),
                        Column::new("INVOKE", "invoke", 7),
                        Column::new("CALLEES", "callees", 5),
                        Column::new("CALLS/S", "invocations_per_s", 1),
                        Column::new("CALLS", "invocations", 3),
                        Column::new("ERRORS", "errors", 2),
                        Column::new("RUNNING", "invocations_running", 4),
                    ]
                }
            }
            Kind::Topics => {
                const {
                    &[
                        Column::new("TOPIC", "uri", 0),
                        Column::new("MATCH", "match", 5),
                        Column::new("SUBSCRIBERS", "subscribers", 2),
                        Column::new("EVENTS/S", "events_per_s", 1),
                        Column::new("EVENTS", "events", 4),
                        Column::new("DROPPED", "events_dropped", 3),
                    ]
                }
            }
        }
    }

    /// The column by which the table is sorted, the largest first.
    fn order(self) -> &'static str {
        match self {
            Kind::Sessions => "messages_received_per_s",
            Kind::Procedures => "invocations_per_s",
            Kind::Topics => "events_per_s",
        }
    }
}

/// One kind of entries: how many there are, and those that were looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    pub(super) count: usize,
    pub(super) rows: Vec<Map<String, Value>>,
}

/// One look at a realm.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    taken: Instant,
    realm: String,
    /// The session that looks. What it causes by looking is in no total.
    own: u64,
    sessions: Entries,
    procedures: Entries,
    topics: Entries,
}

impl Snapshot {
    /// Asks the router. Rates are those since `before`; without one there are none.
    pub(super) async fn take(
        client: &Client,
        limit: u32,
        before: Option<&Snapshot>,
    ) -> Result<Self, Failure> {
        let taken = Instant::now();
        let mut snapshot = Self {
            taken,
            realm: client.session().realm.clone(),
            own: client.session().id.0,
            sessions: entries(client, Kind::Sessions, limit).await?,
            procedures: entries(client, Kind::Procedures, limit).await?,
            topics: entries(client, Kind::Topics, limit).await?,
        };
        if let Some(before) = before {
            let seconds = taken.duration_since(before.taken).as_secs_f64();
            snapshot.add_rates(before, seconds);
        }
        for kind in Kind::ALL {
            let key = |row: &Map<String, Value>| row.get(kind.order()).and_then(Value::as_f64).unwrap_or(0.0);
            snapshot.entries_mut(kind).rows.sort_by(|a, b| key(b).total_cmp(&key(a)));
        }
        Ok(snapshot)
    }

    pub(super) fn entries(&self, kind: Kind) -> &Entries {
        match kind {
            Kind::Sessions => &self.sessions,
            Kind::Procedures => &self.procedures,
            Kind::Topics => &self.topics,
        }
    }

    fn entries_mut(&mut self, kind: Kind) -> &mut Entries {
        match kind {
            Kind::Sessions => &mut self.sessions,
            Kind::Procedures => &mut self.procedures,
            Kind::Topics => &mut self.topics,
        }
    }

    fn add_rates(&mut self, before: &Snapshot, seconds: f64) {
        for kind in Kind::ALL {
            let known: BTreeMap<u64, &Map<String, Value>> =
                before.entries(kind).rows.iter().filter_map(|row| Some((id(row)?, row))).collect();
            for row in &mut self.entries_mut(kind).rows {
                let earlier = id(row).and_then(|id| known.get(&id).copied());
                for counter in COUNTERS {
                    let Some(now) = row.get(counter).and_then(Value::as_u64) else { continue };
                    // What is new began at nothing.
                    let then = earlier.and_then(|row| row.get(counter)).and_then(Value::as_u64).unwrap_or(0);
                    let rate = now.saturating_sub(then) as f64 / seconds.max(1e-9);
                    row.insert(format!("{counter}_per_s"), json!((rate * 10.0).round() / 10.0));
                }
            }
        }
    }

    /// The sum of one rate over what was looked at, if there are rates.
    pub(super) fn total(&self, kind: Kind, rate: &str) -> Option<f64> {
        let rows = &self.entries(kind).rows;
        let others = rows.iter().filter(|row| kind != Kind::Sessions || id(row) != Some(self.own));
        let rates: Vec<f64> = others.filter_map(|row| row.get(rate)?.as_f64()).collect();
        let is_known = rows.is_empty() || rows.iter().any(|row| row.contains_key(rate));
        // An empty sum of floats is -0.
        is_known.then(|| (rates.iter().sum::<f64>() * 10.0).round() / 10.0 + 0.0)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "realm": self.realm,
            "sessions": self.sessions.count,
            "procedures": self.procedures.count,
            "topics": self.topics.count,
            "messages_received_per_s": self.total(Kind::Sessions, "messages_received_per_s"),
            "messages_sent_per_s": self.total(Kind::Sessions, "messages_sent_per_s"),
            "calls_per_s": self.total(Kind::Procedures, "invocations_per_s"),
            "events_per_s": self.total(Kind::Topics, "events_per_s"),
            "session_list": self.sessions.rows,
            "procedure_list": self.procedures.rows,
            "topic_list": self.topics.rows,
        })
    }

    /// The line above the tables.
    pub(super) fn summary(&self) -> String {
        let counts = Kind::ALL.map(|kind| self.counted(kind)).join(", ");
        format!("{}: {counts}; {}", one_line(&self.realm), self.rates())
    }

    /// The realm and its rates, for a line that is not long.
    pub(super) fn short_summary(&self) -> String {
        format!("{}  {}", one_line(&self.realm), self.rates())
    }

    /// `1 session`, `2 sessions`.
    pub(super) fn counted(&self, kind: Kind) -> String {
        let (count, name) = (self.entries(kind).count, kind.name());
        format!("{count} {}", if count == 1 { name.trim_end_matches('s') } else { name })
    }

    fn rates(&self) -> String {
        let rate =
            |kind, name| self.total(kind, name).map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
        format!(
            "in/s {}  out/s {}  calls/s {}  events/s {}",
            rate(Kind::Sessions, "messages_received_per_s"),
            rate(Kind::Sessions, "messages_sent_per_s"),
            rate(Kind::Procedures, "invocations_per_s"),
            rate(Kind::Topics, "events_per_s"),
        )
    }

    /// The cells of each entry. The session that looks is named in the place of its address.
    pub(super) fn rows(&self, kind: Kind) -> Vec<Vec<String>> {
        let client = kind.columns().iter().position(|column| column.key == "client");
        let row = |entry: &Map<String, Value>| {
            let mut cells = cells(kind, entry);
            if let (Some(client), true) = (client, id(entry) == Some(self.own)) {
                cells[client] = OWN.to_owned();
            }
            cells
        };
        self.entries(kind).rows.iter().map(row).collect()
    }

    /// All tables, for people.
    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.summary());
        for kind in Kind::ALL {
            let entries = self.entries(kind);
            let head: Vec<&str> = kind.columns().iter().map(|column| column.heading).collect();
            let rows = self.rows(kind);
            text += &format!("\n{}", table::columns(&head, &rows));
            if rows.len() < entries.count {
                text += &format!("({} of {}; see --limit)\n", rows.len(), entries.count);
            }
        }
        text
    }
}

/// The cells of one row, without anything that would steer a terminal.
fn cells(kind: Kind, row: &Map<String, Value>) -> Vec<String> {
    let cell = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => one_line(text),
        Some(other) => other.to_string(),
    };
    kind.columns().iter().map(|column| cell(row.get(column.key))).collect()
}

fn id(row: &Map<String, Value>) -> Option<u64> {
    row.get("session").or_else(|| row.get("id"))?.as_u64()
}

/// The ids, and the details of the first of them. One that is gone by now is left out.
async fn entries(client: &Client, kind: Kind, limit: u32) -> Result<Entries, Failure> {
    let list = call(client, format!("wamp.{}.list", kind.subject()), None).await?;
    let ids: Vec<u64> = match list {
        Value::Array(ids) => ids.iter().filter_map(Value::as_u64).collect(),
        Value::Object(by_policy) => {
            by_policy.values().filter_map(Value::as_array).flatten().filter_map(Value::as_u64).collect()
        }
        _ => Vec::new(),
    };
    let (count, wanted) = (ids.len(), ids.len().min(limit as usize));
    let rows = Arc::new(Mutex::new(vec![None; wanted]));
    if wanted > 0 {
        let plan = Plan { count: wanted as u64, parallel: PARALLEL, rate: None };
        let (client, found, ids) = (client.clone(), Arc::clone(&rows), Arc::new(ids));
        let look = move |turn: Turn| {
            let (client, found, ids) = (client.clone(), Arc::clone(&found), Arc::clone(&ids));
            async move {
                let index = usize::try_from(turn.number - 1).unwrap_or(usize::MAX);
                let details = call(&client, format!("wamp.{}.get", kind.subject()), Some(ids[index])).await;
                let row = match details {
                    Ok(Value::Object(details)) => Some(flatten(details)),
                    Ok(_) | Err(Failure::Answer(_)) => None,
                    Err(failure) => return Err(failure),
                };
                found.lock().unwrap_or_else(PoisonError::into_inner)[index] = row;
                Ok(true)
            }
        };
        plan.run(look).await?;
    }
    let rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Entries { count, rows: rows.into_iter().flatten().collect() })
}

/// Details with what stands in `_stats` and `transport` beside the rest.
fn flatten(mut details: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Object(stats)) = details.remove("_stats") {
        // The router's own rates are means since the session joined.
        details.extend(stats.into_iter().filter(|(key, _)| !key.ends_with("_per_s")));
    }
    if let Some(Value::Object(transport)) = details.remove("transport") {
        let text = |key: &str| transport.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_tls = transport.get("tls") == Some(&Value::Bool(true));
        let protocol = if is_tls { format!("{}+tls", text("protocol")) } else { text("protocol") };
        details.insert("transport".to_owned(), Value::String(protocol));
        details.insert("client".to_owned(), Value::String(text("client")));
    }
    details
}

async fn call(client: &Client, procedure: String, id: Option<u64>) -> Result<Value, Failure> {
    let mut call = client.call::<Arguments>(procedure).timeout(ANSWER_MAX);
    if let Some(id) = id {
        call = call.arg(id);
    }
    match call.await {
        Ok(arguments) => {
            let unreadable = |error| Failure::Other(anyhow::Error::new(error).context("the router's answer"));
            let mut args = wire::decode(&arguments).map_err(unreadable)?.args;
            Ok(if args.is_empty() { Value::Null } else { args.swap_remove(0) })
        }
        Err(CallError::Wamp(error)) => Err(refusal(&error)),
        Err(CallError::NotSent(cause)) => Err(not_sent(&cause)),
        Err(error @ CallError::Timeout(_)) => Err(Failure::Answer(error.to_string())),
        Err(error) => Err(Failure::Connection(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(taken: Instant, received: u64) -> Snapshot {
        let row = json!({"session": 7, "authid": "a\u{1b}", "_stats": {"messages_received": received},
            "transport": {"protocol": "websocket", "client": "127.0.0.1:1", "tls": true}});
        let Value::Object(row) = row else { panic!("an object") };
        let sessions = Entries { count: 1, rows: vec![flatten(row)] };
        let none = Entries::default;
        Snapshot { taken, realm: "realm1".to_owned(), own: 8, sessions, procedures: none(), topics: none() }
    }

    #[test]
    fn rates_are_what_was_added_since_the_look_before() {
        let begun = Instant::now();
        let before = snapshot(begun, 100);
        let mut now = snapshot(begun + std::time::Duration::from_secs(2), 150);
        assert_eq!(now.total(Kind::Sessions, "messages_received_per_s"), None);
        now.add_rates(&before, 2.0);
        assert_eq!(now.total(Kind::Sessions, "messages_received_per_s"), Some(25.0));
        assert_eq!(now.to_json()["session_list"][0]["messages_received_per_s"], 25.0);
        assert_eq!(now.to_json()["sessions"], 1);
        assert_eq!(now.to_json()["events_per_s"].to_string(), "0.0");
        assert_eq!(now.short_summary(), "realm1  in/s 25  out/s -  calls/s 0  events/s 0");
    }

    #[test]
    fn the_session_that_looks_is_named_and_in_no_total() {
        let begun = Instant::now();
        let before = Snapshot { own: 7, ..snapshot(begun, 100) };
        let mut now = Snapshot { own: 7, ..snapshot(begun, 150) };
        now.add_rates(&before, 1.0);
        assert_eq!(now.total(Kind::Sessions, "messages_received_per_s"), Some(0.0));
        assert!(now.rows(Kind::Sessions)[0].contains(&OWN.to_owned()));
    }

    #[test]
    fn cells_hold_what_the_router_says_and_steer_no_terminal() {
        let begun = Instant::now();
        let cells = cells(Kind::Sessions, &snapshot(begun, 1).sessions.rows[0]);
        assert_eq!(cells[..5], ["7", "a\u{fffd}", "-", "websocket+tls", "127.0.0.1:1"]);
        assert!(snapshot(begun, 1).to_text().contains("PROCEDURE  MATCH"));
    }
}
