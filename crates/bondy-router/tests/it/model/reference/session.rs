//! Sessions: how they join and how they leave.

use bondy_wamp::value::Value;

use super::matching::Route;
use super::{Peer, Reference, abort, goodbye, message};
use crate::model::action::Profile;
use crate::model::compare::any;

/// What a session was when it left.
pub(super) struct Departed {
    pub(super) id: u64,
    pub(super) profile: Profile,
}

impl Reference {
    pub(super) fn join(&mut self, profile: &Profile, joined: Option<u64>) {
        if self.is_closing || self.peers.len() >= self.rules.limits.sessions_max {
            if joined.is_some() {
                self.objections.push("a session was let in".to_owned());
            }
            return;
        }
        let Some(id) = joined else { return self.objections.push("a session was not let in".to_owned()) };
        if self.is_open(id) {
            self.objections.push(format!("two sessions have the id {id}"));
        }
        self.peers.push(Peer {
            id,
            profile: profile.clone(),
            highest_request: 0,
            in_sequence: 0,
            last_invocation: 0,
            is_stalled: false,
            waiting: 0,
            bigs: Vec::new(),
            ended_inputs: Vec::new(),
            detached_testaments: Vec::new(),
            destroyed_testaments: Vec::new(),
        });
        let details = [
            ("agent", "model".into()),
            ("authid", profile.authid.into()),
            ("authmethod", "anonymous".into()),
            ("authprovider", "static".into()),
            ("authrole", profile.authrole.into()),
            ("realm", self.rules.uri.as_str().into()),
            ("roles", any()),
        ];
        self.send(id, message([2.into(), id.into(), details.into()]));
        self.publish_meta("wamp.session.on_join", vec![session_details(id, profile)]);
    }

    pub(super) fn violate(&mut self, id: u64) {
        self.leave(id, Some(abort("wamp.error.protocol_violation")));
    }

    pub(super) fn overflow(&mut self, id: u64) {
        self.leave(id, Some(abort("bondy.error.limit_exceeded")));
    }

    /// Routes go, the farewell is the last message, then others learn of it; calls end last.
    pub(super) fn leave(&mut self, id: u64, farewell: Option<Value>) {
        self.end_session(id, farewell, true);
    }

    /// As `wamp.session.kill_all` does it: no meta events, no testaments.
    pub(super) fn leave_quietly(&mut self, id: u64, farewell: Value) {
        self.end_session(id, Some(farewell), false);
    }

    fn end_session(&mut self, id: u64, farewell: Option<Value>, is_told: bool) {
        if !self.is_open(id) {
            return;
        }
        let subscriptions = leave_routes(&mut self.subscriptions, id);
        let registrations = leave_routes(&mut self.registrations, id);
        if let Some(farewell) = farewell {
            self.send(id, farewell);
        }
        let position = self.peers.iter().position(|peer| peer.id == id).expect("it is open");
        let peer = self.peers.remove(position);
        let departed = Departed { id, profile: peer.profile };
        if is_told {
            let testaments = peer.detached_testaments.iter().chain(&peer.destroyed_testaments);
            testaments.for_each(|testament| self.publish_testament(&departed, testament));
            for (subscription, is_last) in subscriptions {
                self.publish_route_left("subscription", "unsubscribe", id, subscription, is_last);
            }
            for (registration, is_last) in registrations {
                self.publish_route_left("registration", "unregister", id, registration, is_last);
            }
            let Profile { authid, authrole, .. } = departed.profile;
            self.publish_meta("wamp.session.on_leave", vec![id.into(), authid.into(), authrole.into()]);
        }
        self.end_calls_of(id);
    }

    /// Its callers get an error; who works for it is interrupted.
    fn end_calls_of(&mut self, id: u64) {
        let mut served: Vec<(u64, u64)> = self
            .invocations
            .iter()
            .filter(|invocation| invocation.callee == id)
            .map(|invocation| (invocation.id, invocation.call))
            .collect();
        served.sort_unstable();
        self.invocations.retain(|invocation| invocation.callee != id);
        let mut made: Vec<(u64, Option<(u64, u64)>)> = self
            .calls
            .iter()
            .filter(|call| call.caller == id)
            .map(|call| (call.request, call.invoked))
            .collect();
        made.sort_unstable();
        self.calls.retain(|call| call.caller != id);
        for (_, call) in served {
            self.end_call(call, "wamp.error.canceled");
        }
        for (callee, invocation) in made.into_iter().filter_map(|(_, invoked)| invoked) {
            self.abandon(callee, invocation);
        }
    }

    /// One session after the other: its calls end, GOODBYE; then the callers of its invocations.
    pub(super) fn shut_down(&mut self) {
        self.is_closing = true;
        self.subscriptions.clear();
        self.registrations.clear();
        let mut ids: Vec<u64> = self.peers.iter().map(|peer| peer.id).collect();
        ids.sort_unstable();
        for id in ids {
            let mut requests: Vec<u64> =
                self.calls.iter().filter(|call| call.caller == id).map(|call| call.request).collect();
            requests.sort_unstable();
            for request in requests {
                self.send_call_error(id, request, "wamp.error.canceled");
            }
            let farewell = goodbye("wamp.close.system_shutdown", Some("the node stops"));
            self.leave_quietly(id, farewell);
        }
    }
}

/// Takes a session out of all routes; which, and whether it was the last there.
fn leave_routes(routes: &mut Vec<Route>, session: u64) -> Vec<(u64, bool)> {
    let mut held: Vec<u64> =
        routes.iter().filter(|route| route.holds(session)).map(|route| route.id).collect();
    held.sort_unstable();
    held.into_iter().map(|id| (id, leave_route(routes, session, id))).collect()
}

/// Takes a session out of a route; was it the last there?
pub(super) fn leave_route(routes: &mut Vec<Route>, session: u64, id: u64) -> bool {
    let Some(position) = routes.iter().position(|route| route.id == id) else { return false };
    routes[position].members.retain(|member| member.session != session);
    let is_last = routes[position].members.is_empty();
    if is_last {
        routes.remove(position);
    }
    is_last
}

pub(super) fn session_details(id: u64, profile: &Profile) -> Value {
    [
        ("authid", profile.authid.into()),
        ("authmethod", "anonymous".into()),
        ("authprovider", "static".into()),
        ("authrole", profile.authrole.into()),
        ("session", id.into()),
    ]
    .into()
}
