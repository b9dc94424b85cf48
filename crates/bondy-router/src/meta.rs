//! The meta API: procedures and events by which clients see and steer sessions, registrations and subscriptions.
//!
//! Specification: Advanced Profile, "Session Meta API", "Registration Meta API", "Subscription Meta API",
//! "Testament", "Event History". Meta events are appended while control is held. Long lists of ids are copied under
//! the lock and encoded outside.

use std::collections::BTreeMap;

use bondy_wamp::error_uri::{CloseUri, ErrorUri};
use bondy_wamp::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use bondy_wamp::message::{self, Call, Message, MessageType};
use bondy_wamp::payload::Payload;
use bondy_wamp::serializer::{Encoder, Serializer};
use bondy_wamp::uri::{self, MatchPolicy, UriRule};
use bondy_wamp::value::Value;

use crate::history::HistoryQuery;
use crate::realm::{Farewell, Flow, Realm};
use crate::registration::Registration;
use crate::registry::Entry;
use crate::session::{Refusal, Session};
use crate::subscription::Subscription;
use crate::sync::Arc;
use crate::testament::Scope;
use crate::turn::Turn;

mod detail;
mod event;

use detail::{
    id_or_null, ids, kept_event, list_entries, registration_details, session_details, session_stats,
    subscription_details,
};

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
        if state.outbox.is_too_large(head.len() + tail.len()) || !state.outbox.has_room() {
            let refusal =
                Refusal::new(ErrorUri::PayloadSizeExceeded, "the answer is larger than the caller takes");
            turn.stats.calls_failed += 1;
            state.append_error(caller, MessageType::Call, request, &refusal, turn);
            return;
        }
        turn.stats.calls_succeeded += 1;
        state.append(caller, &head, tail.as_tail(), turn);
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
                self.session_kill_if(caller, arguments, doomed, |session| {
                    session.identity().has_authrole(authrole)
                })?;
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
            authroles.is_none_or(|roles| roles.iter().any(|role| session.identity().has_authrole(role)))
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
