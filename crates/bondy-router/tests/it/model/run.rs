//! One run: a list of operations against the router and the reference, and how a failing list is made short.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bondy_router::realm::Inspection;
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;
use fastrand::Rng;

use super::action::{Action, Outputs};
use super::chance::{self, Chance};
use super::compare::Bindings;
use super::reference::Reference;
use super::world::World;

/// How many operations shrinking may try in all.
const SHRINK_OPERATIONS_MAX: usize = 3_000_000;

/// The router did not do what the reference does.
#[derive(Clone)]
pub(super) struct Failure {
    /// Which operation it was.
    pub(super) operation: usize,
    pub(super) text: String,
    /// What happened until then, a line for each operation.
    pub(super) history: Vec<String>,
}

impl Failure {
    /// The latest operations.
    pub(super) fn trail(&self, count: usize) -> String {
        self.history[self.history.len().saturating_sub(count)..].join("\n")
    }
}

/// Runs so many operations from a seed.
pub(super) fn run(seed: u64, count: usize) -> Result<Sightings, Failure> {
    run_operations(seed, &operations(seed, count))
}

/// Leaves out what the failure does not need.
pub(super) fn shrink(seed: u64, count: usize, failure: &Failure) -> Failure {
    let mut kept = operations(seed, count);
    kept.truncate(failure.operation + 1);
    let mut best = failure.clone();
    let mut budget = SHRINK_OPERATIONS_MAX;
    let mut chunk = kept.len().div_ceil(2);
    while chunk > 0 && budget > 0 {
        let mut start = 0;
        while start < kept.len() && budget > 0 {
            let mut fewer = kept.clone();
            fewer.drain(start..(start + chunk).min(kept.len()));
            budget = budget.saturating_sub(fewer.len());
            match run_operations(seed, &fewer) {
                Err(failure) => {
                    fewer.truncate(failure.operation + 1);
                    kept = fewer;
                    best = failure;
                }
                Ok(_) => start += chunk,
            }
        }
        chunk /= 2;
    }
    best
}

fn operations(seed: u64, count: usize) -> Vec<u64> {
    let mut rng = Rng::with_seed(seed);
    (0..count).map(|_| rng.u64(..)).collect()
}

fn run_operations(seed: u64, operations: &[u64]) -> Result<Sightings, Failure> {
    let mut run = Run::new(seed);
    let is_shut_down = seed.is_multiple_of(3);
    for operation in operations {
        let action = Chance::new(*operation, &run.reference).action();
        run.step(&action)?;
    }
    if is_shut_down {
        run.step(&Action::ShutDown)?;
    }
    while let Some(id) = run.reference.peers.first().map(|peer| peer.id) {
        run.step(&Action::Lose(id))?;
    }
    let left = run.world.inspect();
    let nothing = Inspection { retained_topics: left.retained_topics, ..Inspection::default() };
    if left != nothing {
        return Err(run.failure(format!("left behind: {left:?}")));
    }
    Ok(run.sightings)
}

/// How often messages of a kind were received.
pub(super) type Sightings = BTreeMap<String, u64>;

struct Run {
    world: World,
    sightings: Sightings,
    reference: Reference,
    bindings: Bindings,
    now_ns: u64,
    history: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let rules = chance::realm(&mut Rng::with_seed(seed));
        Self {
            world: World::new(rules.clone(), seed),
            sightings: Sightings::new(),
            reference: Reference::new(rules),
            bindings: Bindings::default(),
            now_ns: 1,
            history: Vec::new(),
        }
    }

    fn step(&mut self, action: &Action) -> Result<(), Failure> {
        self.history.push(describe(self.history.len(), action));
        // Each operation has an instant of its own, so that no two deadlines coincide.
        self.now_ns += 1;
        let applied = catch_unwind(AssertUnwindSafe(|| self.world.apply(self.now_ns, action)));
        let (seen, joined) = match applied {
            Ok(Ok(applied)) => applied,
            Ok(Err(text)) => return Err(self.failure(text)),
            Err(_) => return Err(self.failure("the router panicked".to_owned())),
        };
        self.note_request(action);
        seen.values().flatten().for_each(|message| count(message, &mut self.sightings));
        let expected = self.reference.apply(self.now_ns, action, &seen, joined);
        if let Action::Wait(ms) = action {
            self.now_ns += ms * 1_000_000;
        }
        let objections = std::mem::take(&mut self.reference.objections);
        if !objections.is_empty() {
            return Err(self.failure(objections.join("; ")));
        }
        if let Some(text) = difference(&mut self.bindings, &expected, &seen) {
            return Err(self.failure(text));
        }
        let mut open: Vec<u64> = self.reference.peers.iter().map(|peer| peer.id).collect();
        open.sort_unstable();
        if open != self.world.open() {
            return Err(self.failure(format!("open: expected {open:?}, found {:?}", self.world.open())));
        }
        Ok(())
    }

    /// Request ids are counted up by the clients.
    fn note_request(&mut self, action: &Action) {
        let (from, request) = match action {
            Action::Send(from, Value::List(message)) => (*from, message.get(1).and_then(Value::as_u64)),
            Action::SendMalformed { from, request, .. } => (*from, Some(*request)),
            _ => return,
        };
        if let Some(peer) = self.reference.peers.iter_mut().find(|peer| peer.id == from)
            && request == Some(peer.highest_request + 1)
        {
            peer.highest_request += 1;
        }
    }

    fn failure(&self, text: String) -> Failure {
        let rules = &self.reference.rules;
        let text = format!("{text}\n{:?} {:?} {:?}", rules.uri_rule, rules.disclosure, rules.limits);
        Failure { operation: self.history.len() - 1, text, history: self.history.clone() }
    }
}

/// Counts a message by its type, by its error or reason, and by each of its details.
fn count(message: &Value, sightings: &mut Sightings) {
    let Some([code, items @ ..]) = message.as_list() else { return };
    let code = code.as_u64().unwrap_or(0);
    let mut note = |what: &str| *sightings.entry(format!("{code} {what}")).or_default() += 1;
    note("");
    for item in items.iter().take(4) {
        match item {
            Value::String(text) => note(text),
            Value::Dict(details) => details.keys().for_each(|key| note(key)),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {}
            Value::Binary(_) | Value::List(_) => break,
        }
    }
}

fn difference(bindings: &mut Bindings, expected: &Outputs, seen: &Outputs) -> Option<String> {
    let mut text = String::new();
    let sessions: BTreeSet<u64> = expected.keys().chain(seen.keys()).copied().collect();
    for session in sessions {
        let (expected, seen) = (expected.get(&session), seen.get(&session));
        let (expected, seen) = (expected.map_or(&[][..], Vec::as_slice), seen.map_or(&[][..], Vec::as_slice));
        let agree = expected.len() == seen.len()
            && expected.iter().zip(seen).all(|(expected, seen)| bindings.agree(expected, seen));
        if !agree {
            let _ = writeln!(text, "session {session}");
            expected.iter().for_each(|message| _ = writeln!(text, "  expected {}", show(message)));
            seen.iter().for_each(|message| _ = writeln!(text, "  received {}", show(message)));
        }
    }
    (!text.is_empty()).then_some(text)
}

fn describe(number: usize, action: &Action) -> String {
    match action {
        Action::Send(from, message) => format!("{number:5} {from} sends {}", show(message)),
        Action::Violate(from, bytes) => {
            format!("{number:5} {from} violates {:?}", String::from_utf8_lossy(bytes))
        }
        Action::SendMalformed { from, bytes, .. } => {
            format!("{number:5} {from} sends malformed {}", String::from_utf8_lossy(bytes))
        }
        Action::Join(profile) => {
            let lacking: Vec<_> = bondy_wamp::feature::Feature::ALL
                .iter()
                .filter(|(feature, ..)| !profile.features.has(*feature))
                .map(|(feature, ..)| feature)
                .collect();
            format!("{number:5} join {profile:?} lacking {lacking:?}")
        }
        other => format!("{number:5} {other:?}"),
    }
}

fn show(message: &Value) -> String {
    let text = String::from_utf8_lossy(&abbreviated(message).to_bytes(Serializer::Json)).into_owned();
    text.replace("\\u0001", "*")
}

fn abbreviated(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > 40 && text.bytes().all(|byte| byte == text.as_bytes()[0]) => {
            Value::String(format!("{}*{}", &text[..1], text.len()))
        }
        Value::List(values) => Value::List(values.iter().map(abbreviated).collect()),
        Value::Dict(entries) => {
            Value::Dict(entries.iter().map(|(key, value)| (key.clone(), abbreviated(value))).collect())
        }
        other => other.clone(),
    }
}
