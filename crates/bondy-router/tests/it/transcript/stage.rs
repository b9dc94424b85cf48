//! Plays one transcript in a world of its own and compares every output of every client.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bondy_router::config::RealmConfig;
use bondy_router::realm::Inspection;
use bondy_wamp::message::MessageType;
use bondy_wamp::value::Value;

use super::notation::{Expected, Input, Pattern, Step, Transcript};
use super::setting::{client_profile, duration, realm_config};
use super::symbol::Symbols;
use crate::harness::{Output, World};

/// The realm that clients join who do not say which.
pub(super) const REALM: &str = "realm1";

/// What a step comes to, or what is wrong with it.
pub(super) type Played<T> = Result<T, String>;

/// Everything that happened: one line for each output.
pub(super) type Log = Vec<String>;

/// A world in which a transcript is played.
struct Stage {
    world: World,
    symbols: Symbols,
    /// What the realm refused to somebody, as an output of who was refused.
    refused: BTreeMap<String, String>,
    log: Log,
}

/// Plays a transcript to its end; at the end everybody goes, and nothing may be left.
pub(super) fn play(transcript: &Transcript) -> Result<Log, String> {
    let mut stage = Stage {
        world: World::new(1),
        symbols: Symbols::default(),
        refused: BTreeMap::new(),
        log: Vec::new(),
    };
    for step in &transcript.steps {
        stage.step(step).map_err(|error| format!("line {}: {error}", step.line))?;
    }
    match stage.world.end().into_iter().find(|(_, left)| *left != Inspection::default()) {
        None => Ok(stage.log),
        Some((realm, left)) => Err(format!("after the end, {realm} still has {left:?}")),
    }
}

impl Stage {
    fn step(&mut self, step: &Step) -> Played<()> {
        match &step.input {
            Input::Message { from, message } => {
                self.ensure_joined(from)?;
                let message = self.symbols.value(from, message)?;
                self.world.send(from, &message);
            }
            Input::Bytes { from, bytes } => {
                self.ensure_joined(from)?;
                self.world.send_bytes(from, bytes);
            }
            Input::Directive { name, words } => self.direct(name, words, &step.expected)?,
        }
        self.compare(step)
    }

    // What happens.

    fn direct(&mut self, name: &str, words: &[Pattern], expected: &[Expected]) -> Played<()> {
        let values: Vec<Value> =
            words.iter().map(|word| self.symbols.value("", word)).collect::<Result<_, _>>()?;
        let who = || values.first().and_then(Value::as_str).ok_or("a client is expected");
        match name {
            "realm" => {
                let config = realm_config(&values)?;
                self.world.add_realm(config);
            }
            "join" => {
                let profile = values.last().filter(|value| matches!(value, Value::Dict(_)));
                for name in values.iter().filter_map(Value::as_str) {
                    self.join(name, profile, expected)?;
                }
            }
            "advance" => self.world.advance(duration(who()?)?),
            "block" => self.world.throttle(who()?, 0),
            "unblock" => self.world.throttle(who()?, usize::MAX),
            "trickle" => {
                let bytes = values.get(1).and_then(Value::as_u64).ok_or("a number of bytes is expected")?;
                self.world.throttle(who()?, bytes as usize);
            }
            "lost" => self.world.lose(who()?),
            "budget" => {
                let bytes = values.first().and_then(Value::as_u64).ok_or("a number of bytes is expected")?;
                self.world.set_budget(bytes);
            }
            "shutdown" => {
                let realm = values.first().and_then(Value::as_str).unwrap_or(REALM);
                self.world.shut_down(realm, "wamp.close.system_shutdown", "the router shuts down");
            }
            "inspect" => self.inspect(&values)?,
            other => return Err(format!("@{other} is unknown")),
        }
        Ok(())
    }

    fn inspect(&mut self, values: &[Value]) -> Played<()> {
        let realm = values.first().and_then(Value::as_str).unwrap_or(REALM);
        let left = self.world.inspect(realm);
        let counts = [
            ("sessions", left.sessions),
            ("subscriptions", left.subscriptions),
            ("registrations", left.registrations),
            ("calls", left.calls),
            ("invocations", left.invocations),
            ("retained_topics", left.retained_topics),
        ];
        for (name, count) in counts {
            let wanted = values.last().and_then(|wanted| wanted.entry(name)).and_then(Value::as_u64);
            if wanted.is_some_and(|wanted| wanted != count as u64) {
                return Err(format!("{realm} has {left:?}"));
            }
        }
        Ok(())
    }

    /// Clients that nobody has introduced join with every feature.
    fn ensure_joined(&mut self, name: &str) -> Played<()> {
        if self.world.has_client(name) {
            return Ok(());
        }
        self.join(name, None, &[])
    }

    fn join(&mut self, name: &str, profile: Option<&Value>, expected: &[Expected]) -> Played<()> {
        let realm =
            profile.and_then(|profile| profile.entry("realm")).and_then(Value::as_str).unwrap_or(REALM);
        if !self.world.has_realm(realm) {
            self.world.add_realm(RealmConfig { uri: realm.to_owned(), ..RealmConfig::default() });
        }
        let profile = client_profile(name, profile)?;
        match self.world.join(name, realm, &profile) {
            Ok(id) => {
                self.symbols.bind(name, "session", name, id)?;
                let is_welcome_expected = expected.iter().any(|expected| expected.to == name);
                if !is_welcome_expected {
                    self.take_welcome(name)?;
                }
            }
            Err(reason) => {
                self.refused.insert(name.to_owned(), reason);
            }
        }
        Ok(())
    }

    /// WELCOME goes without saying where the transcript is about something else.
    fn take_welcome(&mut self, name: &str) -> Played<()> {
        match &self.world.take_outputs(name)[..] {
            [Output::Message(Value::List(items))] if items.first() == Some(&Value::from(2)) => Ok(()),
            other => Err(format!("{name} received {other:?} instead of WELCOME")),
        }
    }

    // What came of it.

    fn compare(&mut self, step: &Step) -> Played<()> {
        let mut received: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (name, outputs) in self.world.take_all_outputs() {
            received.insert(name, outputs.into_iter().map(output_value).collect());
        }
        for (name, reason) in std::mem::take(&mut self.refused) {
            received.insert(name, vec![Value::List(vec!["REFUSED".into(), (&*reason).into()])]);
        }
        for (name, values) in &received {
            self.log.extend(values.iter().map(|value| format!("{name} < {value:?}")));
        }
        let mut next: BTreeMap<&str, usize> = BTreeMap::new();
        let mut problem = None;
        for expected in &step.expected {
            let index = next.entry(&expected.to).or_default();
            let value = received.get(&expected.to).and_then(|values| values.get(*index));
            *index += 1;
            let matched = match value {
                None => Err(format!("{} received nothing more", expected.to)),
                Some(value) => self.symbols.matches(&expected.to, &expected.what, value),
            };
            if let Err(error) = matched {
                problem.get_or_insert((expected.line, error));
            }
        }
        for (name, values) in &received {
            if values.len() > next.get(&**name).copied().unwrap_or(0) {
                problem.get_or_insert((step.line, format!("{name} received more than expected")));
            }
        }
        match problem {
            None => Ok(()),
            Some((line, error)) => Err(self.report(step, line, &error, &received)),
        }
    }

    fn report(
        &self,
        step: &Step,
        line: usize,
        error: &str,
        received: &BTreeMap<String, Vec<Value>>,
    ) -> String {
        let mut text = format!("(expected at line {line}) {error}");
        for expected in &step.expected {
            let _ = write!(text, "\n    expected: {} < {}", expected.to, named(&expected.what.to_string()));
        }
        for (name, values) in received {
            for value in values {
                let _ = write!(text, "\n    received: {name} < {}", named(&self.symbols.show(value)));
            }
        }
        text
    }
}

/// Shows the name of a message in front of it.
fn named(list: &str) -> String {
    let code =
        list.trim_start_matches('[').split([',', ']']).next().and_then(|code| code.parse::<u64>().ok());
    match code.and_then(|code| MessageType::try_from(code).ok()) {
        Some(message_type) => format!("{message_type} {list}"),
        None => list.to_owned(),
    }
}

fn output_value(output: Output) -> Value {
    let word = |word: &str| Value::List(vec![word.into()]);
    match output {
        Output::Message(message) => message,
        Output::Closed => word("CLOSED"),
        Output::Slow => word("SLOW"),
        Output::Congested => word("CONGESTED"),
    }
}
