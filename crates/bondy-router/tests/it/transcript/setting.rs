//! What transcripts say about realms and clients, as the configuration that the router takes.

use std::collections::BTreeMap;
use std::time::Duration;

use bondy_router::config::{Disclosure, DisclosurePolicy, HistoryRule, Limits, RealmConfig};
use bondy_wamp::feature::{Feature, Features, WampRole};
use bondy_wamp::message::{self, Message};
use bondy_wamp::serializer::Serializer;
use bondy_wamp::uri::{MatchPolicy, UriRule};
use bondy_wamp::value::Value;

use super::stage::{Played, REALM};
use crate::harness::Profile;

pub(super) fn duration(text: &str) -> Played<Duration> {
    let units = [("ms", 1_000_000), ("us", 1_000), ("s", 1_000_000_000)];
    units
        .iter()
        .find_map(|(unit, ns)| Some(Duration::from_nanos(text.strip_suffix(unit)?.parse::<u64>().ok()? * ns)))
        .ok_or_else(|| format!("{text:?} is no duration"))
}

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

pub(super) fn realm_config(values: &[Value]) -> Played<RealmConfig> {
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
        ("retained_bytes_max", &mut limits.retained_bytes_max),
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

pub(super) fn client_profile(name: &str, value: Option<&Value>) -> Played<Profile> {
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
