//! The meta API: procedures and events.

use bondy_wamp::uri::UriRule;
use bondy_wamp::value::Value;

use super::broker::has_authrole;
use super::matching::{Policy, Route, is_reserved, is_uri, lookup, matching};
use super::registration::session_of;
use super::session::session_details;
use super::{Dict, Reference, any, empty, goodbye, limit_error, message, text};
use crate::model::compare::bound_text;

/// What a meta procedure answers: positional arguments, an error, or an error about a limit.
enum Answer {
    Result(Vec<Value>),
    Error(&'static str),
    Limit(&'static str, usize),
}

const INVALID_ARGUMENT: Answer = Answer::Error("wamp.error.invalid_argument");
const NO_SUCH_SESSION: Answer = Answer::Error("wamp.error.no_such_session");
const NO_SUCH_REGISTRATION: Answer = Answer::Error("wamp.error.no_such_registration");
const NO_SUCH_SUBSCRIPTION: Answer = Answer::Error("wamp.error.no_such_subscription");

fn one(value: impl Into<Value>) -> Answer {
    Answer::Result(vec![value.into()])
}

fn ids(ids: impl IntoIterator<Item = u64>) -> Value {
    Value::List(ids.into_iter().map(Value::from).collect())
}

fn id_or_null(id: Option<u64>) -> Answer {
    one(id.map_or(Value::Null, Value::from))
}

impl Reference {
    /// A call of `wamp.*`: answered at once; who is killed by it leaves after the answer.
    pub(super) fn meta_call(&mut self, serial: u64) {
        let call = self.call_mut(serial).expect("it is pending");
        let (caller, request, procedure) = (call.caller, call.request, call.procedure.clone());
        let args = call.payload.first().and_then(Value::as_list).unwrap_or_default().to_vec();
        let kwargs = call.payload.get(1).cloned().unwrap_or(Value::Null);
        let mut doomed = Vec::new();
        match self.meta_procedure(caller, &procedure, &args, &kwargs, &mut doomed) {
            Answer::Result(values) => self.answer_meta(serial, values),
            Answer::Error(error) => self.end_call(serial, error),
            Answer::Limit(limit, max) => {
                self.take_call(serial);
                self.send(caller, limit_error(48, request, limit, max));
            }
        }
        let reason = kwargs.entry("reason").map_or("wamp.close.killed", text);
        let farewell = goodbye(reason, kwargs.entry("message").map(text));
        for session in doomed {
            if procedure == "wamp.session.kill_all" {
                self.leave_quietly(session, farewell.clone());
            } else {
                self.leave(session, Some(farewell.clone()));
            }
        }
    }

    fn answer_meta(&mut self, serial: u64, values: Vec<Value>) {
        let call = self.call_mut(serial).expect("it is pending");
        let (caller, request) = (call.caller, call.request);
        let mut result = vec![50.into(), request.into(), empty()];
        if !values.is_empty() {
            result.push(Value::List(values));
        }
        let result = Value::List(result);
        if !self.has_room(caller) || self.is_too_large(caller, &result) {
            return self.end_call(serial, "wamp.error.payload_size_exceeded");
        }
        self.take_call(serial);
        self.send(caller, result);
    }

    fn meta_procedure(
        &mut self,
        caller: u64,
        procedure: &str,
        args: &[Value],
        kwargs: &Value,
        doomed: &mut Vec<u64>,
    ) -> Answer {
        let Some(name) = procedure.strip_prefix("wamp.") else { return INVALID_ARGUMENT };
        match name.split_once('.') {
            Some(("session", name)) => self.session_procedure(caller, name, args, kwargs, doomed),
            Some(("registration", name)) => self.registration_procedure(name, args, kwargs),
            Some(("subscription", name)) => self.subscription_procedure(caller, name, args, kwargs),
            _ => Answer::Error("wamp.error.no_such_procedure"),
        }
    }

    fn session_procedure(
        &mut self,
        caller: u64,
        name: &str,
        args: &[Value],
        kwargs: &Value,
        doomed: &mut Vec<u64>,
    ) -> Answer {
        let first = args.first().unwrap_or(&Value::Null);
        if name.starts_with("kill")
            && !kwargs.entry("reason").is_none_or(|reason| is_uri(text(reason), UriRule::Loose))
        {
            return Answer::Error("wamp.error.invalid_uri");
        }
        let mut meant: Vec<u64> = self
            .peers
            .iter()
            .filter(|peer| match name {
                "count" | "list" => first
                    .as_list()
                    .is_none_or(|roles| roles.iter().any(|role| has_authrole(&peer.profile, text(role)))),
                "kill_by_authid" => peer.id != caller && peer.profile.authid == text(first),
                "kill_by_authrole" => peer.id != caller && has_authrole(&peer.profile, text(first)),
                "kill_all" => peer.id != caller,
                _ => Some(peer.id) == first.as_u64(),
            })
            .map(|peer| peer.id)
            .collect();
        meant.sort_unstable();
        match name {
            "count" => one(meant.len() as u64),
            "list" => one(ids(meant)),
            "get" | "kill" if first.as_u64().is_none() => INVALID_ARGUMENT,
            "get" => match meant.first().and_then(|id| self.peer(*id)) {
                Some(peer) => one(with_stats(session_details(peer.id, &peer.profile))),
                None => NO_SUCH_SESSION,
            },
            "kill" if meant.is_empty() || meant == [caller] => NO_SUCH_SESSION,
            "kill" => {
                doomed.extend(meant);
                Answer::Result(Vec::new())
            }
            "kill_by_authid" | "kill_by_authrole" | "kill_all" => {
                doomed.extend(&meant);
                one(if name == "kill_by_authid" { ids(meant) } else { (meant.len() as u64).into() })
            }
            "add_testament" => self.add_testament(caller, args, kwargs),
            "flush_testaments" => self.flush_testaments(caller, kwargs),
            _ => Answer::Error("wamp.error.no_such_procedure"),
        }
    }

    fn add_testament(&mut self, caller: u64, args: &[Value], kwargs: &Value) -> Answer {
        let topic = args.first().map_or("", text);
        if is_reserved(topic) || !is_uri(topic, self.rules.uri_rule) {
            return Answer::Error("wamp.error.invalid_uri");
        }
        let options = kwargs.entry("publish_options").cloned().unwrap_or_else(empty);
        let or = |index: usize, absent: Value| match args.get(index) {
            None | Some(Value::Null) => absent,
            Some(value) => value.clone(),
        };
        let (args, kwargs_of_event) = (or(1, Value::List(Vec::new())), or(2, empty()));
        let testament = message([16.into(), 1.into(), options, topic.into(), args, kwargs_of_event]);
        let max = self.rules.limits.testaments_max;
        let peer = self.peer_mut(caller);
        if peer.detached_testaments.len() + peer.destroyed_testaments.len() >= max {
            return Answer::Limit("testaments_max", max);
        }
        match kwargs.entry("scope").map(text) {
            None | Some("destroyed") => peer.destroyed_testaments.push(testament),
            Some("detached") => peer.detached_testaments.push(testament),
            Some(_) => return INVALID_ARGUMENT,
        }
        Answer::Result(Vec::new())
    }

    fn flush_testaments(&mut self, caller: u64, kwargs: &Value) -> Answer {
        let peer = self.peer_mut(caller);
        match kwargs.entry("scope").map(text) {
            None | Some("destroyed") => peer.destroyed_testaments.clear(),
            Some("detached") => peer.detached_testaments.clear(),
            Some(_) => return INVALID_ARGUMENT,
        }
        Answer::Result(Vec::new())
    }

    fn registration_procedure(&mut self, name: &str, args: &[Value], kwargs: &Value) -> Answer {
        if let Some(answer) = find(&self.registrations, name, args) {
            return answer;
        }
        let first = args.first().unwrap_or(&Value::Null);
        let Some(id) = first.as_u64() else { return INVALID_ARGUMENT };
        let Some(route) = self.registrations.iter().find(|route| route.id == id) else {
            return NO_SUCH_REGISTRATION;
        };
        match name {
            "get" => one(with_stats(registration_details(route))),
            "list_callees" => one(ids(route.members.iter().map(session_of))),
            "count_callees" => one(route.members.len() as u64),
            "remove_callee" => match args.get(1).and_then(Value::as_u64) {
                None => INVALID_ARGUMENT,
                Some(callee) if !route.holds(callee) => NO_SUCH_SESSION,
                Some(callee) => {
                    let reason = kwargs.entry("reason").cloned().unwrap_or_else(any);
                    self.revoke_registration(callee, id, reason);
                    Answer::Result(Vec::new())
                }
            },
            _ => Answer::Error("wamp.error.no_such_procedure"),
        }
    }

    fn subscription_procedure(&mut self, caller: u64, name: &str, args: &[Value], kwargs: &Value) -> Answer {
        let first = args.first().unwrap_or(&Value::Null);
        if name == "match" {
            let found = matching(&self.subscriptions, text(first));
            return one(if found.is_empty() { Value::Null } else { ids(found) });
        }
        if let Some(answer) = find(&self.subscriptions, name, args) {
            return answer;
        }
        let Some(id) = first.as_u64() else { return INVALID_ARGUMENT };
        let Some(route) = self.subscriptions.iter().find(|route| route.id == id) else {
            return NO_SUCH_SUBSCRIPTION;
        };
        match name {
            "get" => one(with_stats(subscription_details(route))),
            "list_subscribers" => one(ids(route.members.iter().map(session_of))),
            "count_subscribers" => one(route.members.len() as u64),
            "get_events" => Answer::Result(self.events_of(caller, route, kwargs)),
            "remove_subscriber" => match args.get(1).and_then(Value::as_u64) {
                None => INVALID_ARGUMENT,
                Some(subscriber) if !route.holds(subscriber) => NO_SUCH_SESSION,
                Some(subscriber) => {
                    let reason = kwargs.entry("reason").cloned().unwrap_or_else(any);
                    self.revoke_subscription(subscriber, id, reason);
                    Answer::Result(Vec::new())
                }
            },
            _ => Answer::Error("wamp.error.no_such_procedure"),
        }
    }

    /// A session has come into a subscription or registration.
    pub(super) fn publish_route_joined(
        &mut self,
        kind: &str,
        verb: &str,
        session: u64,
        id: u64,
        is_new: bool,
    ) {
        if is_new {
            let details = match kind {
                "subscription" => {
                    self.subscriptions.iter().find(|route| route.id == id).map(subscription_details)
                }
                _ => self.registrations.iter().find(|route| route.id == id).map(registration_details),
            };
            let args = vec![session.into(), details.expect("it is there")];
            self.publish_meta(&format!("wamp.{kind}.on_create"), args);
        }
        self.publish_meta(&format!("wamp.{kind}.on_{verb}"), vec![session.into(), id.into()]);
    }

    /// A session has gone from a subscription or registration.
    pub(super) fn publish_route_left(
        &mut self,
        kind: &str,
        verb: &str,
        session: u64,
        id: u64,
        is_last: bool,
    ) {
        let args = vec![session.into(), id.into()];
        self.publish_meta(&format!("wamp.{kind}.on_{verb}"), args.clone());
        if is_last {
            self.publish_meta(&format!("wamp.{kind}.on_delete"), args);
        }
    }
}

/// `list`, `lookup` and `match`, which look at all routes.
fn find(routes: &[Route], name: &str, args: &[Value]) -> Option<Answer> {
    let first = args.first().unwrap_or(&Value::Null);
    let of = |policy: Policy| {
        let mut found: Vec<u64> =
            routes.iter().filter(|route| route.policy == policy).map(|route| route.id).collect();
        found.sort_unstable();
        ids(found)
    };
    match name {
        "list" => {
            let lists: Dict =
                Policy::ALL.into_iter().map(|policy| (policy.name().to_owned(), of(policy))).collect();
            Some(one(Value::Dict(lists)))
        }
        "lookup" | "match" if first.as_str().is_none() => Some(INVALID_ARGUMENT),
        "lookup" => {
            let options = args.get(1).unwrap_or(&Value::Null);
            let policy = Policy::named(options.entry("match").and_then(Value::as_str));
            Some(id_or_null(lookup(routes, text(first), policy)))
        }
        "match" => Some(id_or_null(matching(routes, text(first)).first().copied())),
        _ => None,
    }
}

fn route_details(kind: &str, route: &Route) -> Dict {
    [
        ("created", bound_text(&format!("{kind} {}", route.id))),
        ("id", route.id.into()),
        ("match", route.policy.name().into()),
        ("uri", route.uri.as_str().into()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

fn subscription_details(route: &Route) -> Value {
    Value::Dict(route_details("subscription", route))
}

fn registration_details(route: &Route) -> Value {
    let mut details = route_details("registration", route);
    details.insert("invoke".to_owned(), route.invoke.as_str().into());
    Value::Dict(details)
}

fn with_stats(mut details: Value) -> Value {
    if let Value::Dict(entries) = &mut details {
        entries.insert("_stats".to_owned(), any());
    }
    details
}
