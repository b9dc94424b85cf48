//! From settings to a joined session, and what is said when it is lost.

use std::time::Duration;

use bondy_client::{
    Anonymous, Builder, Client, ConnectError, ConnectionEvent, ConnectionEvents, Cryptosign, Details,
    Identity, MatchPolicy, ReconnectPolicy, Restored, Scram, Serializer, Ticket, WampCra, WhileDisconnected,
    WhyEnded,
};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use crate::Failure;
use crate::answer::chain;
use crate::arguments::client::MatchName;
use crate::arguments::connection::{AuthMethodName, ReconnectArguments, SerializerName};
use crate::failure::say;
use crate::option::Options;
use crate::output::one_line;
use crate::runtime::Told;
use crate::settings::Settings;
use crate::wire::Incoming;

/// The longest pause between two attempts to connect again.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long the router may take to answer what has no time of its own.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long a router may take to say good-bye.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// How long after a lost connection is back what was there before may be missing, until that is said.
const RESTORATION_MAX: Duration = Duration::from_secs(2);

/// What becomes of a command whose connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    /// It ends.
    UntilLost,
    /// It connects again.
    ForEver,
}

impl Stay {
    pub(crate) fn of(arguments: &ReconnectArguments) -> Self {
        if arguments.no_reconnect { Stay::UntilLost } else { Stay::ForEver }
    }
}

/// Connects and joins, trying once.
pub(crate) async fn connect(settings: &Settings, stay: Stay) -> Result<Client, Failure> {
    let reconnect = match stay {
        Stay::UntilLost => ReconnectPolicy::never(),
        Stay::ForEver => ReconnectPolicy { pause_max: PAUSE_MAX, ..ReconnectPolicy::default() },
    };
    let mut builder = Client::builder()
        .url(settings.url.as_str())
        .realm(settings.realm.as_str())
        .agent(concat!("bondy/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect_timeout)
        .reconnect(reconnect)
        .while_disconnected(WhileDisconnected::Fail)
        .connect_options(|options| {
            options.tls.ca_file.clone_from(&settings.ca_file);
            options.tls.insecure = settings.insecure;
        });
    if let Some(serializer) = settings.serializer {
        builder = builder.serializers([match serializer {
            SerializerName::Json => Serializer::Json,
            SerializerName::Msgpack => Serializer::MessagePack,
            SerializerName::Cbor => Serializer::Cbor,
        }]);
    }
    authenticate(builder, settings)?.connect().await.map_err(|error| not_connected(settings, &error))
}

/// The same for a command that stays; `None` if it was told to end meanwhile.
pub(crate) async fn connect_unless_told(
    settings: &Settings,
    reconnect: &ReconnectArguments,
    told: &mut Told,
) -> Result<Option<Client>, Failure> {
    tokio::select! {
        biased;
        () = told.wait() => Ok(None),
        client = connect(settings, Stay::of(reconnect)) => client.map(Some),
    }
}

/// Waits for the router's answer to a request, but not for ever.
pub(crate) async fn in_time<T>(
    request: &str,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = |_| Failure::Answer(format!("the router has not answered {request} within {ANSWER_MAX:?}"));
    tokio::time::timeout(ANSWER_MAX, answer).await.map_err(late)?
}

/// Leaves the realm. A router that does not answer is left all the same.
pub(crate) async fn leave(client: &Client) {
    let _ = tokio::time::timeout(GOODBYE_MAX, client.close()).await;
}

fn authenticate(builder: Builder, settings: &Settings) -> Result<Builder, Failure> {
    let authid = settings.authid.clone().unwrap_or_default();
    let secret = settings.secret.as_str();
    Ok(match settings.authmethod {
        AuthMethodName::Anonymous => builder.authentication(Anonymous),
        AuthMethodName::Ticket => builder.authentication(Ticket::new(authid, secret)),
        AuthMethodName::Wampcra => builder.authentication(WampCra::new(authid, secret)),
        AuthMethodName::Scram => builder.authentication(Scram::new(authid, secret)),
        AuthMethodName::Cryptosign => {
            let key = Cryptosign::new(settings.authid.clone(), secret.trim());
            builder.authentication(
                key.map_err(|error| Failure::usage(format!("the private key: {}", chain(&error))))?,
            )
        }
    })
}

/// What hindered connecting, and what to do about it.
fn not_connected(settings: &Settings, error: &ConnectError) -> Failure {
    let text = match error {
        ConnectError::Url(_) | ConnectError::NoUrl | ConnectError::Realm(_) => {
            return Failure::usage(chain(error));
        }
        // It names the URL.
        ConnectError::Transport(error) => chain(error),
        _ => format!("{}: {}", settings.url, chain(error)),
    };
    let help = help(settings, error).map(|help| format!("\n  help: {help}")).unwrap_or_default();
    // What nobody has typed here is easily forgotten.
    let note = settings.context.as_ref().map(|name| {
        format!("\n  note: what no flag or variable says comes from the context `{name}`; see `bondy context show`")
    });
    Failure::Connection(format!("{text}{help}{}", note.unwrap_or_default()))
}

fn help(settings: &Settings, error: &ConnectError) -> Option<String> {
    if let ConnectError::Refused { reason, message } = error {
        return match reason.as_str() {
            "wamp.error.no_such_realm" => {
                Some(format!("`--realm` (now {:?}) chooses another", settings.realm))
            }
            "wamp.error.no_matching_auth_method" | "wamp.error.authentication_required" => {
                Some(other_method(settings.authmethod, message.as_deref()).to_owned())
            }
            _ => None,
        };
    }
    match io_kind(error)? {
        std::io::ErrorKind::ConnectionRefused => Some(
            "is a router running there? `bondy start --dev` starts one; `--url` and `--context` choose another".to_owned(),
        ),
        std::io::ErrorKind::NotFound if settings.url.starts_with("unix:") => {
            Some("there is no such socket; a router makes it when it starts".to_owned())
        }
        _ => None,
    }
}

/// What to try where the realm does not authenticate by `method`; `said` is the router's own text.
fn other_method(method: AuthMethodName, said: Option<&str>) -> &'static str {
    let is_open = said.is_some_and(|text| text.ends_with("by: anonymous"));
    match method {
        AuthMethodName::Anonymous => {
            "the realm wants to know who joins; see `--authid`, `--authmethod` and `--secret-file`"
        }
        _ if is_open => "the realm lets anybody in unproven: leave `--authmethod` (BONDY_AUTHMETHOD) out",
        _ => "choose another way to prove who joins with `--authmethod` (BONDY_AUTHMETHOD)",
    }
}

/// What the system said, if it was the system.
fn io_kind(error: &ConnectError) -> Option<std::io::ErrorKind> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            return Some(error.kind());
        }
        source = cause.source();
    }
    None
}

/// What happens to a connection that is meant to stay, said as it happens.
pub(crate) struct Watch {
    events: ConnectionEvents,
    /// What the session was before, as in `registered`, where it is to become so again.
    state: Option<&'static str>,
    /// When to say that it has not become so again.
    missing_at: Option<Instant>,
}

impl Watch {
    /// `state` is what the session has to become again, as in `registered`.
    pub(crate) fn new(client: &Client, state: Option<&'static str>) -> Self {
        Self { events: client.events(), state, missing_at: None }
    }

    /// Waits for the end for good. It may be dropped and called again.
    pub(crate) async fn ended(&mut self) -> Failure {
        loop {
            let event = match self.missing_at {
                None => self.events.next().await,
                Some(time) => match timeout_at(time, self.events.next()).await {
                    Ok(event) => event,
                    Err(_) => {
                        self.missing_at = None;
                        let state = self.state.unwrap_or("there");
                        say(&format!("not {state} again yet: the router has not agreed so far"));
                        continue;
                    }
                },
            };
            match &event {
                Some(ConnectionEvent::Connected(_)) if self.state.is_some() => {
                    self.missing_at = Some(Instant::now() + RESTORATION_MAX);
                }
                Some(ConnectionEvent::Restored(_) | ConnectionEvent::Disconnected { .. }) => {
                    self.missing_at = None;
                }
                _ => {}
            }
            match event {
                Some(ConnectionEvent::Closed(reason)) => return Failure::Connection(reason.to_string()),
                None => return Failure::Connection("the connection has ended".to_owned()),
                Some(event) => {
                    if let Some(text) = describe(&event) {
                        say(&text);
                    }
                }
            }
        }
    }
}

/// What a user wants to know of an event.
pub(crate) fn describe(event: &ConnectionEvent) -> Option<String> {
    match event {
        ConnectionEvent::Disconnected { reason, .. } => Some(format!("disconnected: {reason}")),
        ConnectionEvent::Reconnecting { attempt: 1, url, .. } => Some(format!("reconnecting to {url}")),
        ConnectionEvent::Connected(details) => Some(format!("connected again to {}", details.url)),
        ConnectionEvent::RegistrationLost { procedure, error } => {
            Some(format!("no longer registered: {}: {error}", one_line(procedure)))
        }
        ConnectionEvent::SubscriptionLost { topic, error } => {
            Some(format!("no longer subscribed: {}: {error}", one_line(topic)))
        }
        ConnectionEvent::Restored(restored) => describe_restored(restored),
        ConnectionEvent::Reconnecting { .. }
        | ConnectionEvent::SlowSubscription { .. }
        | ConnectionEvent::Missed(_)
        | ConnectionEvent::Closed(_) => None,
    }
}

fn describe_restored(restored: &Restored) -> Option<String> {
    let gap = restored.subscriptions.iter().map(|topic| topic.gap).max();
    let subscribed =
        gap.map(|gap| format!("subscribed again; events of the last {:.1} s were missed", gap.as_secs_f64()));
    let registered = (!restored.registrations.is_empty()).then(|| "registered again".to_owned());
    subscribed.or(registered)
}

/// Why a registration or subscription is no more.
pub(crate) fn ended(uri: &str, why: &WhyEnded) -> Failure {
    match why {
        WhyEnded::Lost(error) => {
            Failure::Answer(format!("{}: the router took it back: {error}", one_line(uri)))
        }
        WhyEnded::Closed(reason) => Failure::Connection(reason.to_string()),
    }
}

/// How URIs are compared, as the client knows it.
pub(crate) fn match_policy(name: MatchName) -> MatchPolicy {
    match name {
        MatchName::Exact => MatchPolicy::Exact,
        MatchName::Prefix => MatchPolicy::Prefix,
        MatchName::Wildcard => MatchPolicy::Wildcard,
    }
}

/// `-o match=...`.
pub(crate) fn match_option(options: &mut Options) -> Result<Option<MatchName>, Failure> {
    use clap::ValueEnum as _;
    let Some(text) = options.take_text("match")? else { return Ok(None) };
    MatchName::from_str(&text, false)
        .map(Some)
        .map_err(|_| Failure::usage(format!("-o match: expected exact, prefix or wildcard, found {text:?}")))
}

/// Details that one peer passed on to another. What cannot be shown is left out.
pub(crate) fn details(details: &Details) -> Map<String, Value> {
    let value =
        |key: &str| details.value::<Incoming>(key).ok().flatten().map(|value| (key.to_owned(), value.0));
    details.keys().filter_map(value).collect()
}

/// Who called or published, under the names that the specification gives it.
pub(crate) fn insert_identity(details: &mut Map<String, Value>, role: &str, identity: Option<&Identity>) {
    let Some(identity) = identity else { return };
    let entries = [
        (role.to_owned(), identity.session.map(|session| json!(session.0))),
        (format!("{role}_authid"), identity.authid.clone().map(Value::String)),
        (format!("{role}_authrole"), identity.authrole.clone().map(Value::String)),
    ];
    details.extend(entries.into_iter().filter_map(|(key, value)| Some((key, value?))));
}
