//! Calls of meta procedures.

use bondy_wamp::feature::Feature;
use bondy_wamp::value::Value;

use super::{AUTHIDS, AUTHROLES, Action, Chance, Options, Peer, TOPICS, dict, empty};

impl Chance<'_> {
    pub(super) fn meta_call(&mut self, from: &Peer) -> Action {
        let request = self.request(from);
        let (procedure, args, kwargs) = self.meta_procedure();
        let mut options = Vec::new();
        if from.profile.features.has(Feature::CallerProgressiveInvocations) {
            self.flag(&mut options, "progress", 30);
        }
        self.flag(&mut options, "disclose_me", 20);
        let mut call = vec![48.into(), request.into(), dict(options), procedure.into()];
        if !args.is_empty() || !kwargs.is_empty() || self.one_in(2) {
            call.push(Value::List(args));
        }
        if !kwargs.is_empty() {
            call.push(dict(kwargs));
        }
        Action::Send(from.id, Value::List(call))
    }

    fn meta_procedure(&mut self) -> (&'static str, Vec<Value>, Options) {
        let (session, subscription, registration) = (self.session(), self.route(true), self.route(false));
        let (topic, policy) = self.pattern();
        let roles =
            Value::List(AUTHROLES.iter().filter(|_| self.rng.bool()).map(|role| (*role).into()).collect());
        let roles = if self.one_in(3) { vec![roles] } else { Vec::new() };
        let lookup = vec![topic.into(), [("match", policy.name().into())].into()];
        let concrete = vec![self.pick(&TOPICS).into()];
        let no_kwargs = Vec::new();
        let kind = self.rng.u8(..30);
        match kind {
            0 => ("wamp.session.count", roles, no_kwargs),
            1 => ("wamp.session.list", roles, no_kwargs),
            2 | 3 => ("wamp.session.get", vec![session.into()], no_kwargs),
            4 => ("wamp.session.kill", vec![session.into()], self.farewell()),
            5 if self.one_in(4) => {
                ("wamp.session.kill_by_authid", vec![self.pick(&AUTHIDS).into()], self.farewell())
            }
            6 if self.one_in(4) => {
                ("wamp.session.kill_by_authrole", vec![self.pick(&["user", "guest"]).into()], self.farewell())
            }
            7 if self.one_in(12) => ("wamp.session.kill_all", Vec::new(), self.farewell()),
            8..12 => self.testament(),
            12 => ("wamp.session.flush_testaments", Vec::new(), self.scope()),
            13 => ("wamp.registration.list", Vec::new(), no_kwargs),
            14 => ("wamp.registration.lookup", lookup, no_kwargs),
            15 => ("wamp.registration.match", concrete, no_kwargs),
            16 => ("wamp.registration.get", vec![registration.into()], no_kwargs),
            17 => ("wamp.registration.list_callees", vec![registration.into()], no_kwargs),
            18 => ("wamp.registration.count_callees", vec![registration.into()], no_kwargs),
            19 => {
                ("wamp.registration.remove_callee", vec![registration.into(), session.into()], self.reason())
            }
            20 => ("wamp.subscription.list", Vec::new(), no_kwargs),
            21 => ("wamp.subscription.lookup", lookup, no_kwargs),
            22 => ("wamp.subscription.match", concrete, no_kwargs),
            23 => ("wamp.subscription.get", vec![subscription.into()], no_kwargs),
            24 => ("wamp.subscription.list_subscribers", vec![subscription.into()], no_kwargs),
            25 => ("wamp.subscription.count_subscribers", vec![subscription.into()], no_kwargs),
            26 => (
                "wamp.subscription.remove_subscriber",
                vec![subscription.into(), session.into()],
                self.reason(),
            ),
            27 => ("wamp.subscription.get_events", vec![subscription.into()], self.history_filter()),
            28 if self.one_in(3) => ("wamp.session.get", vec!["nobody".into()], no_kwargs),
            28 => ("wamp.subscription.get_events", vec![subscription.into()], self.history_filter()),
            _ => ("wamp.session.no_such", Vec::new(), no_kwargs),
        }
    }

    fn session(&mut self) -> u64 {
        let peers = &self.reference.peers;
        if self.one_in(10) { 7 } else { peers[self.rng.usize(..peers.len())].id }
    }

    fn route(&mut self, is_subscription: bool) -> u64 {
        let reference = self.reference;
        let routes = if is_subscription { &reference.subscriptions } else { &reference.registrations };
        if routes.is_empty() || self.one_in(8) { 999_999 } else { routes[self.rng.usize(..routes.len())].id }
    }

    fn reason(&mut self) -> Options {
        if self.one_in(2) { vec![("reason".to_owned(), "a.reason".into())] } else { Vec::new() }
    }

    fn farewell(&mut self) -> Options {
        let mut kwargs = self.reason();
        if self.one_in(2) {
            kwargs.push(("message".to_owned(), "because".into()));
        }
        if self.one_in(10) {
            return vec![("reason".to_owned(), "not a uri".into())];
        }
        kwargs
    }

    fn scope(&mut self) -> Options {
        match self.rng.u8(..8) {
            0..4 => Vec::new(),
            4 | 5 => vec![("scope".to_owned(), "destroyed".into())],
            _ => vec![("scope".to_owned(), "detached".into())],
        }
    }

    fn testament(&mut self) -> (&'static str, Vec<Value>, Options) {
        let args = vec![self.topic().into(), Value::List(vec![self.rng.u64(..9).into()]), empty()];
        let mut kwargs = self.scope();
        if self.one_in(2) {
            let mut options = Vec::new();
            self.flag(&mut options, "retain", 3);
            self.flag(&mut options, "disclose_me", 4);
            self.flag(&mut options, "acknowledge", 4);
            self.receivers(&mut options);
            kwargs.push(("publish_options".to_owned(), dict(options)));
        }
        ("wamp.session.add_testament", args, kwargs)
    }

    fn history_filter(&mut self) -> Options {
        let mut kwargs = Vec::new();
        self.flag(&mut kwargs, "reverse", 3);
        if self.one_in(3) {
            kwargs.push(("limit".to_owned(), self.rng.u64(..6).into()));
        }
        if self.one_in(4) {
            kwargs.push(("topic".to_owned(), self.pick(&TOPICS).into()));
        }
        kwargs
    }
}
