//! The meta API: procedures and events by which clients see and steer sessions, registrations and subscriptions.
//!
//! Specification: Advanced Profile, "Session Meta API", "Registration Meta API", "Subscription Meta API",
//! "Testament", "Event History". Meta events are appended while control is held. Long lists of ids are copied under
//! the lock and encoded outside.

use std::collections::BTreeMap;

use bondy_wamp::error_uri::{CloseUri, ErrorUri};
use bondy_wamp::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use bondy_wamp::message::{self, Attributes, Call, Message, MessageType};
use bondy_wamp::payload::Payload;
use bondy_wamp::serializer::{Encoder, Serializer};
use bondy_wamp::uri::{self, MatchPolicy, UriRule};
use bondy_wamp::value::Value;

use crate::broker::Publication;
use crate::control::{Control, EndedRoutes};
use crate::history::{HistoryQuery, KeptEvent};
use crate::realm::{Farewell, Flow, Realm};
use crate::registration::Registration;
use crate::registry::{Entry, Registry};
use crate::session::{Refusal, Session};
use crate::subscription::Subscription;
use crate::sync::{Arc, Ordering};
use crate::testament::Scope;
use crate::turn::Turn;

/// The serializer in which meta events are first written.
const META_SERIALIZER: Serializer = Serializer::MessagePack;

/// The arguments of a meta procedure.
struct Arguments {
    args: Vec<Value>,
    kwargs: Value,
}

/// What a meta procedure answers: positional arguments.
type Answer = Result<Vec<Value>, Refusal>;

/// The session itself has to end as part of the call.
type Doomed = Vec<(Arc<Session>, String, Option<String>)>;

impl Arguments {
    fn decode(payload: &Payload<'_>) -> Result<Self, Refusal> {
        let part = |bytes: &[u8]| match bytes {
            [] => Ok(Value::Null),
            bytes => Value::decode(payload.serializer, bytes).map_err(|error| invalid(error.to_string())),
        };
        let args = match part(payload.args)? {
            Value::List(args) => args,
            _ => Vec::new(),
        };
        Ok(Self { args, kwargs: part(payload.kwargs)? })
    }

    fn at(&self, index: usize) -> &Value {
        self.args.get(index).unwrap_or(&Value::Null)
    }

    fn id(&self, index: usize, name: &str) -> Result<u64, Refusal> {
        self.at(index).as_u64().ok_or_else(|| invalid(format!("argument {index} must be {name}, an id")))
    }

    fn text(&self, index: usize, name: &str) -> Result<&str, Refusal> {
        self.at(index).as_str().ok_or_else(|| invalid(format!("argument {index} must be {name}, a string")))
    }

    fn keyword_text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.kwargs.entry(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(invalid(format!("{name} must be a string"))),
        }
    }

    fn keyword_flag(&self, name: &str) -> Result<bool, Refusal> {
        let Some(value) = self.kwargs.entry(name) else { return Ok(false) };
        value.as_bool().ok_or_else(|| invalid(format!("{name} must be a boolean")))
    }

    fn keyword_id(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.kwargs.entry(name) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| invalid(format!("{name} must be an id")))
    }

    fn keyword_time(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.keyword_text(name)? else { return Ok(None) };
        let time: jiff::Timestamp = text.parse().map_err(|_| {
            invalid(format!("{name} is {:?}, not a time such as 2026-01-31T12:00:00Z", uri::shown(text)))
        })?;
        Ok(Some(u64::try_from(time.as_microsecond()).unwrap_or(0)))
    }

    /// The reason and the message with which sessions are killed.
    fn farewell(&self) -> Result<(String, Option<String>), Refusal> {
        let reason = self.keyword_text("reason")?.unwrap_or(CloseUri::Killed.as_str());
        if !uri::is_valid(reason, UriRule::Loose) {
            return Err(Refusal::new(
                ErrorUri::InvalidUri,
                format!("the reason {:?} is not a valid URI", uri::shown(reason)),
            ));
        }
        Ok((reason.to_owned(), self.keyword_text("message")?.map(str::to_owned)))
    }

    fn match_policy(&self, index: usize) -> Result<MatchPolicy, Refusal> {
        match self.at(index).entry("match") {
            None => Ok(MatchPolicy::Exact),
            Some(value) => value
                .as_str()
                .and_then(MatchPolicy::parse)
                .ok_or_else(|| invalid("match must be \"exact\", \"prefix\" or \"wildcard\"")),
        }
    }

    /// The authroles by which sessions are filtered.
    fn authroles(&self) -> Result<Option<Vec<&str>>, Refusal> {
        match self.at(0) {
            Value::Null => Ok(None),
            Value::List(roles) => {
                let texts: Option<Vec<&str>> = roles.iter().map(Value::as_str).collect();
                texts.map(Some).ok_or_else(|| invalid("argument 0 must be a list of authroles"))
            }
            _ => Err(invalid("argument 0 must be a list of authroles")),
        }
    }
}

fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::new(ErrorUri::InvalidArgument, text)
}

fn no_such_session(id: u64) -> Refusal {
    Refusal::new(ErrorUri::NoSuchSession, format!("there is no session {id} to act on"))
}

fn timestamp(unix_us: u64) -> Value {
    let time = i64::try_from(unix_us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    time.map_or(Value::Null, |time| format!("{time:.6}").as_str().into())
}

fn ids(ids: impl IntoIterator<Item = u64>) -> Value {
    Value::List(ids.into_iter().map(Value::from).collect())
}

impl Realm {
    /// A CALL of a `wamp.*` procedure, whose entry has been made: rule 1 with its answer.
    pub(crate) fn meta_call(
        &self,
        caller: &Arc<Session>,
        call: &Call<'_>,
        serial: u64,
        turn: &mut Turn,
    ) -> Flow {
        let mut doomed = Doomed::new();
        let answer = Arguments::decode(&call.payload).and_then(|arguments| {
            self.meta_procedure(caller, &call.procedure, call, &arguments, &mut doomed, turn)
        });
        match answer {
            Ok(args) => self.answer_meta(caller, call.request, serial, args, turn),
            Err(refusal) => self.end_call(caller, call.request, serial, &refusal, turn),
        }
        let is_quiet = call.procedure == "wamp.session.kill_all";
        for (session, reason, message) in doomed {
            let farewell = Farewell::Goodbye(&reason, message.as_deref());
            if is_quiet {
                self.leave_quietly(&session, farewell, turn);
            } else {
                self.leave(&session, farewell, turn);
            }
        }
        Flow::Done
    }

    fn answer_meta(
        &self,
        caller: &Arc<Session>,
        request: RequestId,
        serial: u64,
        args: Vec<Value>,
        turn: &mut Turn,
    ) {
        let encode = |encoder: &mut Encoder<'_>| {
            encoder.begin_dict(0);
            encoder.end_dict();
            if !args.is_empty() {
                encoder.begin_list(args.len());
                args.iter().for_each(|value| value.encode(encoder));
                encoder.end_list();
            }
            encoder.end_list();
            Ok(())
        };
        let Ok(tail) = turn.encode(caller.serializer(), usize::MAX, encode) else { return };
        let head = message::head(
            caller.serializer(),
            3 + usize::from(!args.is_empty()),
            MessageType::Result,
            request.0,
        );
        let mut state = caller.lock();
        if state.remove_call(request, serial).is_none() {
            return;
        }
        if state.outbox.is_too_large(head.as_bytes().len() + tail.len()) || !state.outbox.has_room() {
            let refusal =
                Refusal::new(ErrorUri::PayloadSizeExceeded, "the answer is larger than the caller takes");
            turn.stats.calls_failed += 1;
            state.append_error(caller, MessageType::Call, request, &refusal, turn);
            return;
        }
        turn.stats.calls_succeeded += 1;
        state.append(caller, head.as_bytes(), tail.as_tail(), turn);
        drop(state);
        turn.recycle(tail);
    }

    fn meta_procedure(
        &self,
        caller: &Arc<Session>,
        procedure: &str,
        call: &Call<'_>,
        arguments: &Arguments,
        doomed: &mut Doomed,
        turn: &mut Turn,
    ) -> Answer {
        match procedure {
            "wamp.session.count" => {
                Ok(vec![(self.session_ids(arguments.authroles()?.as_deref()).len() as u64).into()])
            }
            "wamp.session.list" => Ok(vec![ids(self.session_ids(arguments.authroles()?.as_deref()))]),
            "wamp.session.get" => self.session_get(arguments, turn),
            "wamp.session.kill" => self.session_kill(caller, arguments, doomed),
            "wamp.session.kill_by_authid" => {
                let authid = arguments.text(0, "an authid")?;
                self.session_kill_if(caller, arguments, doomed, |session| {
                    &*session.identity().authid == authid
                })?;
                Ok(vec![ids(doomed.iter().map(|(session, ..)| session.id().0))])
            }
            "wamp.session.kill_by_authrole" => {
                let authrole = arguments.text(0, "an authrole")?;
                self.session_kill_if(caller, arguments, doomed, |session| has_authrole(session, authrole))?;
                Ok(vec![(doomed.len() as u64).into()])
            }
            "wamp.session.kill_all" => {
                self.session_kill_if(caller, arguments, doomed, |_| true)?;
                Ok(vec![(doomed.len() as u64).into()])
            }
            "wamp.session.add_testament" => self.add_testament(caller, arguments),
            "wamp.session.flush_testaments" => self.flush_testaments(caller, arguments),
            "wamp.registration.list" => Ok(vec![list_entries(&self.control.lock().registrations)]),
            "wamp.registration.lookup" => {
                let policy = arguments.match_policy(1)?;
                let control = self.control.lock();
                Ok(vec![id_or_null(control.registrations.lookup(arguments.text(0, "a procedure")?, policy))])
            }
            "wamp.registration.match" => {
                let control = self.control.lock();
                Ok(vec![id_or_null(
                    control.registrations.matching(arguments.text(0, "a procedure")?).first(),
                )])
            }
            "wamp.registration.get" => Ok(vec![registration_details(&*self.registration(arguments)?)]),
            "wamp.registration.list_callees" => Ok(vec![ids(self
                .registration(arguments)?
                .callees()
                .iter()
                .map(|callee| callee.session.id().0))]),
            "wamp.registration.count_callees" => {
                Ok(vec![(self.registration(arguments)?.callees().len() as u64).into()])
            }
            "wamp.registration.remove_callee" => self.remove_callee(arguments, turn),
            "wamp.subscription.list" => Ok(vec![list_entries(&self.control.lock().subscriptions)]),
            "wamp.subscription.lookup" => {
                let policy = arguments.match_policy(1)?;
                let control = self.control.lock();
                Ok(vec![id_or_null(control.subscriptions.lookup(arguments.text(0, "a topic")?, policy))])
            }
            "wamp.subscription.match" => {
                let control = self.control.lock();
                let matching = control.subscriptions.matching(arguments.text(0, "a topic")?);
                let found = || ids(matching.iter().map(|entry| entry.id()));
                Ok(vec![if matching.is_empty() { Value::Null } else { found() }])
            }
            "wamp.subscription.get" => Ok(vec![subscription_details(&*self.subscription(arguments)?)]),
            "wamp.subscription.list_subscribers" => {
                let subscribers = self.subscription(arguments)?.subscribers();
                Ok(vec![ids(subscribers.iter().map(|subscriber| subscriber.session.id().0))])
            }
            "wamp.subscription.count_subscribers" => {
                Ok(vec![(self.subscription(arguments)?.subscribers().len() as u64).into()])
            }
            "wamp.subscription.remove_subscriber" => self.remove_subscriber(arguments, turn),
            "wamp.subscription.get_events" => self.get_events(caller, arguments, turn),
            _ => {
                let text = format!("there is no procedure {:?}", uri::shown(&call.procedure));
                Err(Refusal::new(ErrorUri::NoSuchProcedure, text))
            }
        }
    }

    /// In ascending order.
    fn session_ids(&self, authroles: Option<&[&str]>) -> Vec<u64> {
        let control = self.control.lock();
        let is_wanted = |session: &&Arc<Session>| {
            authroles.is_none_or(|roles| roles.iter().any(|role| has_authrole(session, role)))
        };
        let mut found: Vec<u64> =
            control.sessions().filter(is_wanted).map(|session| session.id().0).collect();
        drop(control);
        found.sort_unstable();
        found
    }

    fn session_get(&self, arguments: &Arguments, turn: &Turn) -> Answer {
        let id = arguments.id(0, "a session")?;
        let session =
            self.control.lock().session(SessionId(id)).map(Arc::clone).ok_or_else(|| no_such_session(id))?;
        let mut details = session_details(&session);
        if let Value::Dict(entries) = &mut details {
            entries.insert("_stats".to_owned(), session_stats(&session, turn));
        }
        Ok(vec![details])
    }

    fn session_kill(&self, caller: &Arc<Session>, arguments: &Arguments, doomed: &mut Doomed) -> Answer {
        let id = arguments.id(0, "a session")?;
        let (reason, message) = arguments.farewell()?;
        if id == caller.id().0 {
            return Err(no_such_session(id));
        }
        let session =
            self.control.lock().session(SessionId(id)).map(Arc::clone).ok_or_else(|| no_such_session(id))?;
        doomed.push((session, reason, message));
        Ok(Vec::new())
    }

    /// The caller itself is spared.
    fn session_kill_if(
        &self,
        caller: &Arc<Session>,
        arguments: &Arguments,
        doomed: &mut Doomed,
        is_meant: impl Fn(&Session) -> bool,
    ) -> Result<(), Refusal> {
        let (reason, message) = arguments.farewell()?;
        let control = self.control.lock();
        let meant = control.sessions().filter(|session| session.id() != caller.id() && is_meant(session));
        doomed.extend(meant.map(|session| (Arc::clone(session), reason.clone(), message.clone())));
        drop(control);
        doomed.sort_by_key(|(session, ..)| session.id());
        Ok(())
    }

    fn add_testament(&self, caller: &Session, arguments: &Arguments) -> Answer {
        let topic = arguments.text(0, "a topic")?;
        let scope = Scope::parse(arguments.keyword_text("scope")?)?;
        let publish = encode_testament(topic, arguments)?;
        match message::parse(META_SERIALIZER, &publish) {
            Ok(Message::Publish(_)) => {}
            Ok(_) => return Err(invalid("the testament is not a publication")),
            Err(error) => return Err(invalid(error.to_string())),
        }
        if !uri::is_valid(topic, self.config.uri_rule) || uri::is_reserved(topic) {
            return Err(Refusal::new(
                ErrorUri::InvalidUri,
                format!("{:?} is not a topic to publish to", uri::shown(topic)),
            ));
        }
        let max = self.config.limits.testaments_max;
        let mut control = self.control.lock();
        if let Some(holdings) = control.holdings(caller.id()) {
            holdings.testaments.add(scope, META_SERIALIZER, publish, max)?;
        }
        Ok(Vec::new())
    }

    fn flush_testaments(&self, caller: &Session, arguments: &Arguments) -> Answer {
        let scope = Scope::parse(arguments.keyword_text("scope")?)?;
        if let Some(holdings) = self.control.lock().holdings(caller.id()) {
            holdings.testaments.flush(scope);
        }
        Ok(Vec::new())
    }

    fn registration(&self, arguments: &Arguments) -> Result<Arc<Registration>, Refusal> {
        let id = arguments.id(0, "a registration")?;
        self.control.lock().registrations.by_id(id).map(Arc::clone).ok_or_else(|| no_such_registration(id))
    }

    fn subscription(&self, arguments: &Arguments) -> Result<Arc<Subscription>, Refusal> {
        let id = arguments.id(0, "a subscription")?;
        self.control.lock().subscriptions.by_id(id).map(Arc::clone).ok_or_else(|| no_such_subscription(id))
    }

    fn remove_callee(&self, arguments: &Arguments, turn: &mut Turn) -> Answer {
        let (id, callee) = (arguments.id(0, "a registration")?, arguments.id(1, "a session")?);
        let reason = arguments.keyword_text("reason")?.unwrap_or("wamp.error.revoked").to_owned();
        let mut control = self.control.lock();
        control.registrations.by_id(id).ok_or_else(|| no_such_registration(id))?;
        let session =
            control.session(SessionId(callee)).map(Arc::clone).ok_or_else(|| no_such_session(callee))?;
        if !self.revoke_registration(&mut control, &session, RegistrationId(id), &reason, turn) {
            return Err(no_such_session(callee));
        }
        Ok(Vec::new())
    }

    fn remove_subscriber(&self, arguments: &Arguments, turn: &mut Turn) -> Answer {
        let (id, subscriber) = (arguments.id(0, "a subscription")?, arguments.id(1, "a session")?);
        let reason = arguments.keyword_text("reason")?.unwrap_or("wamp.error.revoked").to_owned();
        let mut control = self.control.lock();
        control.subscriptions.by_id(id).ok_or_else(|| no_such_subscription(id))?;
        let session = control
            .session(SessionId(subscriber))
            .map(Arc::clone)
            .ok_or_else(|| no_such_session(subscriber))?;
        if !self.revoke_subscription(&mut control, &session, SubscriptionId(id), &reason, turn) {
            return Err(no_such_session(subscriber));
        }
        Ok(Vec::new())
    }

    fn get_events(&self, caller: &Session, arguments: &Arguments, turn: &Turn) -> Answer {
        let query = history_query(arguments)?;
        let subscription = self.subscription(arguments)?;
        let found =
            self.histories.matching(subscription.uri(), subscription.match_policy(), caller, turn.now);
        // The specification makes the events themselves the positional arguments.
        Ok(query.select(found).iter().map(|event| kept_event(event, query.subscription)).collect())
    }
}

fn history_query(arguments: &Arguments) -> Result<HistoryQuery, Refusal> {
    let publication = |name| arguments.keyword_id(name).map(|id| id.map(PublicationId));
    Ok(HistoryQuery {
        subscription: SubscriptionId(arguments.id(0, "a subscription")?),
        is_reverse: arguments.keyword_flag("reverse")?,
        limit: arguments.keyword_id("limit")?.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        from_us: arguments.keyword_time("from_time")?,
        after_us: arguments.keyword_time("after_time")?,
        before_us: arguments.keyword_time("before_time")?,
        until_us: arguments.keyword_time("until_time")?,
        topic: arguments.keyword_text("topic")?.map(str::to_owned),
        from_publication: publication("from_publication")?,
        after_publication: publication("after_publication")?,
        before_publication: publication("before_publication")?,
        until_publication: publication("until_publication")?,
    })
}

/// `[16, 1, options, topic, args, kwargs]`, so that a testament is checked and published like any PUBLISH.
fn encode_testament(topic: &str, arguments: &Arguments) -> Result<Vec<u8>, Refusal> {
    let options = match arguments.kwargs.entry("publish_options") {
        None => Value::Dict(BTreeMap::new()),
        Some(options) => options.clone(),
    };
    let or_empty = |value: &Value, empty: Value| if *value == Value::Null { empty } else { value.clone() };
    let publish = Value::List(vec![
        (MessageType::Publish as u64).into(),
        1.into(),
        options,
        topic.into(),
        or_empty(arguments.at(1), Value::List(Vec::new())),
        or_empty(arguments.at(2), Value::Dict(BTreeMap::new())),
    ]);
    let bytes = publish.to_bytes(META_SERIALIZER);
    Ok(bytes)
}

fn no_such_registration(id: u64) -> Refusal {
    Refusal::new(ErrorUri::NoSuchRegistration, format!("there is no registration {id}"))
}

fn no_such_subscription(id: u64) -> Refusal {
    Refusal::new(ErrorUri::NoSuchSubscription, format!("there is no subscription {id}"))
}

fn has_authrole(session: &Session, authrole: &str) -> bool {
    let whole = &*session.identity().authrole;
    whole == authrole || whole.split(',').any(|part| part.trim() == authrole)
}

fn session_details(session: &Session) -> Value {
    let identity = session.identity();
    let mut details: BTreeMap<String, Value> = [
        ("authid", (&*identity.authid).into()),
        ("authmethod", (&*identity.authmethod).into()),
        ("authprovider", (&*identity.authprovider).into()),
        ("authrole", (&*identity.authrole).into()),
        ("session", session.id().0.into()),
    ]
    .into_iter()
    .map(|(key, value): (&str, Value)| (key.to_owned(), value))
    .collect();
    let transport = session.link().describe();
    if transport != Value::Null {
        details.insert("transport".to_owned(), transport);
    }
    Value::Dict(details)
}

/// Messages, bytes, queue, drops, and the mean rates since the session joined.
fn session_stats(session: &Session, turn: &Turn) -> Value {
    let (messages_received, bytes_received) = session.received();
    let state = session.lock();
    let (messages_sent, bytes_sent) = state.sent();
    let (queue_bytes, dropped) = (state.outbox.pending_bytes() as u64, state.dropped_events());
    let (calls, invocations) = state.pending();
    drop(state);
    // A rate over less than a second would say nothing.
    let elapsed_ns = turn.now.monotonic_ns.saturating_sub(session.joined().monotonic_ns).max(1_000_000_000);
    let per_second =
        |count: u64| Value::Float((count as f64 * 1e9 / elapsed_ns as f64 * 1000.0).round() / 1000.0);
    [
        ("bytes_received", bytes_received.into()),
        ("bytes_sent", bytes_sent.into()),
        ("calls_pending", (calls as u64).into()),
        ("events_dropped", dropped.into()),
        ("invocations_pending", (invocations as u64).into()),
        ("joined", timestamp(session.joined().unix_us)),
        ("messages_received", messages_received.into()),
        ("messages_received_per_s", per_second(messages_received)),
        ("messages_sent", messages_sent.into()),
        ("messages_sent_per_s", per_second(messages_sent)),
        ("queue_bytes", queue_bytes.into()),
    ]
    .into()
}

fn registration_details(registration: &Registration) -> Value {
    let count = |counter: &crate::sync::AtomicU64| Value::from(counter.load(Ordering::Relaxed));
    let running: u64 = registration.callees().iter().map(|callee| u64::from(callee.slot.running())).sum();
    let stats = [
        ("callees", (registration.callees().len() as u64).into()),
        ("errors", count(&registration.stats.errors)),
        ("invocations", count(&registration.stats.invocations)),
        ("invocations_running", running.into()),
    ];
    [
        ("_stats", stats.into()),
        ("created", timestamp(registration.created_unix_us())),
        ("id", registration.id().into()),
        ("invoke", registration.invoke().as_str().into()),
        ("match", registration.match_policy().as_str().into()),
        ("uri", registration.uri().into()),
    ]
    .into()
}

fn subscription_details(subscription: &Subscription) -> Value {
    let stats = [
        ("events", subscription.stats.events.load(Ordering::Relaxed).into()),
        ("events_dropped", subscription.stats.dropped.load(Ordering::Relaxed).into()),
        ("subscribers", (subscription.subscribers().len() as u64).into()),
    ];
    [
        ("_stats", stats.into()),
        ("created", timestamp(subscription.created_unix_us())),
        ("id", subscription.id().into()),
        ("match", subscription.match_policy().as_str().into()),
        ("uri", subscription.uri().into()),
    ]
    .into()
}

/// Without what changes with every look.
fn without_stats(mut details: Value) -> Value {
    if let Value::Dict(entries) = &mut details {
        entries.remove("_stats");
    }
    details
}

fn list_entries<E: Entry>(registry: &Registry<E>) -> Value {
    let of =
        |policy| ids(registry.iter().filter(|entry| entry.match_policy() == policy).map(|entry| entry.id()));
    [
        ("exact", of(MatchPolicy::Exact)),
        ("prefix", of(MatchPolicy::Prefix)),
        ("wildcard", of(MatchPolicy::Wildcard)),
    ]
    .into()
}

fn id_or_null<E: Entry>(entry: Option<&Arc<E>>) -> Value {
    entry.map_or(Value::Null, |entry| entry.id().into())
}

fn kept_event(event: &KeptEvent, subscription: SubscriptionId) -> Value {
    let decoded = |bytes: &[u8]| {
        if bytes.is_empty() {
            Value::Null
        } else {
            Value::decode(event.payload.as_payload().serializer, bytes).unwrap_or_default()
        }
    };
    let mut details: BTreeMap<String, Value> = BTreeMap::from([("topic".to_owned(), (&*event.topic).into())]);
    if let Some(publisher) = &event.publisher {
        details.insert("publisher".to_owned(), publisher.session.0.into());
        details.insert("publisher_authid".to_owned(), (&*publisher.authid).into());
        details.insert("publisher_authrole".to_owned(), (&*publisher.authrole).into());
    }
    if let Some(trust_level) = event.trust_level {
        details.insert("trustlevel".to_owned(), trust_level.into());
    }
    for (key, value) in &event.attributes().entries {
        details.insert(key.clone().into_owned(), decoded(value));
    }
    let mut entries: BTreeMap<String, Value> = [
        ("details", Value::Dict(details)),
        ("publication", event.publication.0.into()),
        ("subscription", subscription.0.into()),
        ("timestamp", timestamp(event.unix_us)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    let payload = event.payload.as_payload();
    for (key, part) in [("args", payload.args), ("kwargs", payload.kwargs)] {
        if !part.is_empty() {
            entries.insert(key.to_owned(), decoded(part));
        }
    }
    Value::Dict(entries)
}

// Meta events.

impl Realm {
    fn publish_meta(
        &self,
        control: &Control,
        topic: &str,
        args: impl FnOnce() -> Vec<Value>,
        turn: &mut Turn,
    ) {
        if control.subscriptions.matching(topic).is_empty() {
            return;
        }
        let bytes = Value::List(args()).to_bytes(META_SERIALIZER);
        let attributes = Attributes::none(META_SERIALIZER);
        let payload = Payload { serializer: META_SERIALIZER, args: &bytes, kwargs: &[] };
        let id = PublicationId(turn.random_id());
        self.publish_under_control(control, Publication::new(id, topic, &attributes, payload), turn);
    }

    pub(crate) fn publish_on_join(&self, control: &Control, session: &Session, turn: &mut Turn) {
        self.publish_meta(control, "wamp.session.on_join", || vec![session_details(session)], turn);
    }

    pub(crate) fn publish_on_leave(&self, control: &Control, session: &Session, turn: &mut Turn) {
        let identity = session.identity();
        let args = || vec![session.id().0.into(), (&*identity.authid).into(), (&*identity.authrole).into()];
        self.publish_meta(control, "wamp.session.on_leave", args, turn);
    }

    pub(crate) fn publish_subscribed(
        &self,
        control: &Control,
        session: &Session,
        subscription: &Subscription,
        is_new: bool,
        turn: &mut Turn,
    ) {
        let id = session.id();
        if is_new {
            let args = || vec![id.0.into(), without_stats(subscription_details(subscription))];
            self.publish_meta(control, "wamp.subscription.on_create", args, turn);
        }
        let args = || vec![id.0.into(), subscription.id().into()];
        self.publish_meta(control, "wamp.subscription.on_subscribe", args, turn);
    }

    pub(crate) fn publish_unsubscribed(
        &self,
        control: &Control,
        session: SessionId,
        id: SubscriptionId,
        is_last: bool,
        turn: &mut Turn,
    ) {
        let args = || vec![session.0.into(), id.0.into()];
        self.publish_meta(control, "wamp.subscription.on_unsubscribe", args, turn);
        if is_last {
            self.publish_meta(control, "wamp.subscription.on_delete", args, turn);
        }
    }

    pub(crate) fn publish_registered(
        &self,
        control: &Control,
        session: &Session,
        registration: &Registration,
        is_new: bool,
        turn: &mut Turn,
    ) {
        let id = session.id();
        if is_new {
            let args = || vec![id.0.into(), without_stats(registration_details(registration))];
            self.publish_meta(control, "wamp.registration.on_create", args, turn);
        }
        let args = || vec![id.0.into(), registration.id().into()];
        self.publish_meta(control, "wamp.registration.on_register", args, turn);
    }

    pub(crate) fn publish_unregistered(
        &self,
        control: &Control,
        session: SessionId,
        id: RegistrationId,
        is_last: bool,
        turn: &mut Turn,
    ) {
        let args = || vec![session.0.into(), id.0.into()];
        self.publish_meta(control, "wamp.registration.on_unregister", args, turn);
        if is_last {
            self.publish_meta(control, "wamp.registration.on_delete", args, turn);
        }
    }

    pub(crate) fn publish_routes_ended(
        &self,
        control: &Control,
        session: SessionId,
        ended: &EndedRoutes,
        turn: &mut Turn,
    ) {
        // Most realms have nobody who listens: that is asked once, and not for each of thousands of routes.
        const TOPICS: [&str; 4] = [
            "wamp.subscription.on_unsubscribe",
            "wamp.subscription.on_delete",
            "wamp.registration.on_unregister",
            "wamp.registration.on_delete",
        ];
        if TOPICS.iter().all(|topic| control.subscriptions.matching(topic).is_empty()) {
            return;
        }
        for (id, is_last) in &ended.subscriptions {
            self.publish_unsubscribed(control, session, *id, *is_last, turn);
        }
        for (id, is_last) in &ended.registrations {
            self.publish_unregistered(control, session, *id, *is_last, turn);
        }
    }
}
