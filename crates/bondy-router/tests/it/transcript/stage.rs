//! Plays one transcript in a world of its own and compares every output of every client.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bondy_router::config::{Disclosure, DisclosurePolicy, HistoryRule, Limits, RealmConfig};
use bondy_router::realm::Inspection;
use bondy_wamp::feature::{Feature, Features, WampRole};
use bondy_wamp::message::{self, Message, MessageType};
use bondy_wamp::serializer::Serializer;
use bondy_wamp::uri::{MatchPolicy, UriRule};
use bondy_wamp::value::Value;

use super::notation::{Expected, Input, Pattern, Step, Transcript};
use super::symbol::Symbols;
use crate::harness::{Output, Profile, World};

/// The realm that clients join who do not say which.
const REALM: &str = "realm1";

type Played<T> = Result<T, String>;

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

fn duration(text: &str) -> Played<Duration> {
    let units = [("ms", 1_000_000), ("us", 1_000), ("s", 1_000_000_000)];
    units
        .iter()
        .find_map(|(unit, ns)| Some(Duration::from_nanos(text.strip_suffix(unit)?.parse::<u64>().ok()? * ns)))
        .ok_or_else(|| format!("{text:?} is no duration"))
}

// Configuration.

/// The entries of a dictionary, each taken by name; what nobody took is a mistake.
struct Settings(BTreeMap<String, Value>);

impl Settings {
    fn of(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Dict(entries)) => Self(entries.clone()),
            _ => Self(BTreeMap::new()),
        }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key)
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.take(key)?.as_str().map(str::to_owned)
    }

    fn number(&mut self, key: &str) -> Option<u64> {
        self.take(key)?.as_u64()
    }

    fn flag(&mut self, key: &str) -> bool {
        self.take(key).and_then(|value| value.as_bool()).unwrap_or(false)
    }

    fn end(self) -> Played<()> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("the setting {key:?} is unknown")),
        }
    }
}

fn realm_config(values: &[Value]) -> Played<RealmConfig> {
    let uri = values.iter().find_map(Value::as_str).unwrap_or(REALM);
    let mut settings = Settings::of(values.last());
    let mut config = RealmConfig { uri: uri.to_owned(), ..RealmConfig::default() };
    if settings.text("uri_rule").as_deref() == Some("strict") {
        config.uri_rule = UriRule::Strict;
    }
    let mut disclosure = Settings::of(settings.take("disclosure").as_ref());
    config.disclosure = Disclosure {
        caller: disclosure_policy(disclosure.text("caller"))?,
        publisher: disclosure_policy(disclosure.text("publisher"))?,
    };
    disclosure.end()?;
    config.limits = limits(settings.take("limits").as_ref())?;
    if let Some(Value::List(rules)) = settings.take("event_history") {
        config.event_history = rules.iter().map(history_rule).collect::<Result<_, _>>()?;
    }
    settings.end().map(|()| config)
}

fn disclosure_policy(name: Option<String>) -> Played<DisclosurePolicy> {
    match name.as_deref() {
        None | Some("allow") => Ok(DisclosurePolicy::Allow),
        Some("deny") => Ok(DisclosurePolicy::Deny),
        Some("always") => Ok(DisclosurePolicy::Always),
        Some(other) => Err(format!("{other:?} is no disclosure policy")),
    }
}

fn limits(value: Option<&Value>) -> Played<Limits> {
    let mut settings = Settings::of(value);
    let mut limits = Limits::default();
    let fields = [
        ("sessions_max", &mut limits.sessions_max),
        ("registrations_max", &mut limits.registrations_max),
        ("subscriptions_max", &mut limits.subscriptions_max),
        ("calls_max", &mut limits.calls_max),
        ("invocations_max", &mut limits.invocations_max),
        ("retained_max", &mut limits.retained_max),
        ("history_bytes_max", &mut limits.history_bytes_max),
        ("message_bytes_max", &mut limits.message_bytes_max),
        ("testaments_max", &mut limits.testaments_max),
        ("prefix_lengths_max", &mut limits.prefix_lengths_max),
    ];
    for (key, field) in fields {
        if let Some(number) = settings.number(key) {
            *field = number as usize;
        }
    }
    settings.end().map(|()| limits)
}

fn history_rule(value: &Value) -> Played<HistoryRule> {
    let mut settings = Settings::of(Some(value));
    let rule = HistoryRule {
        uri: settings.text("uri").ok_or("a history rule needs a uri")?,
        match_policy: match settings.text("match") {
            None => MatchPolicy::Exact,
            Some(name) => MatchPolicy::parse(&name).ok_or_else(|| format!("match is {name:?}"))?,
        },
        limit: settings.number("limit").unwrap_or(100) as usize,
        ttl: settings.text("ttl").map(|text| duration(&text)).transpose()?,
    };
    settings.end().map(|()| rule)
}

fn client_profile(name: &str, value: Option<&Value>) -> Played<Profile> {
    let mut settings = Settings::of(value);
    let mut profile = Profile::named(name);
    settings.take("realm");
    for (key, field) in [
        ("authid", &mut profile.authid),
        ("authrole", &mut profile.authrole),
        ("authmethod", &mut profile.authmethod),
    ] {
        if let Some(text) = settings.text(key) {
            *field = text;
        }
    }
    if let Some(name) = settings.text("serializer") {
        let known = Serializer::ALL.into_iter().find(|serializer| serializer.as_str() == name);
        profile.serializer = known.ok_or_else(|| format!("serializer is {name:?}"))?;
    }
    for (key, field) in [
        ("soft", &mut profile.limits.soft_bytes),
        ("hard", &mut profile.limits.hard_bytes),
        ("message_max", &mut profile.limits.message_bytes_max),
    ] {
        if let Some(number) = settings.number(key) {
            *field = number as u32;
        }
    }
    if let Some(roles) = settings.take("roles") {
        profile.features = announced(roles)?;
    }
    if let Some(Value::List(names)) = settings.take("without") {
        for name in names.iter().filter_map(Value::as_str) {
            profile.features.remove(feature(name)?);
        }
    }
    profile.trust_level = settings.number("trustlevel");
    profile.is_strict = settings.flag("strict");
    profile.is_owner_only = settings.flag("owner_only");
    profile.closes_on_overflow = settings.text("overflow").as_deref() == Some("close");
    profile.transport = settings.take("transport").unwrap_or_default();
    settings.end().map(|()| profile)
}

/// `callee.call_canceling`
fn feature(name: &str) -> Played<Feature> {
    let is_meant = |(_, role, feature): &&(Feature, WampRole, &str)| {
        let role = WampRole::ALL.iter().find(|(known, _)| known == role).map(|(_, name)| *name);
        name.split_once('.') == role.map(|role| (role, *feature))
    };
    let found = Feature::ALL.iter().find(is_meant);
    found.map(|(feature, _, _)| *feature).ok_or_else(|| format!("there is no feature {name:?}"))
}

/// The features in `HELLO.Details.roles`.
fn announced(roles: Value) -> Played<Features> {
    let details: Value = [("roles", roles)].into();
    let hello = Value::List(vec![1.into(), REALM.into(), details]).to_bytes(Serializer::Json);
    match message::parse(Serializer::Json, &hello) {
        Ok(Message::Hello(hello)) => Ok(hello.details.features),
        other => Err(format!("{other:?} instead of HELLO")),
    }
}
