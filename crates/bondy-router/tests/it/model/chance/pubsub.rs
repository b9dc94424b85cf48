//! SUBSCRIBE, UNSUBSCRIBE and PUBLISH.

use bondy_wamp::feature::Feature;
use bondy_wamp::value::Value;

use super::{
    AUTHIDS, AUTHROLES, Action, Chance, META_TOPICS, Options, Peer, Policy, dict, held_by, message,
    with_payload,
};

/// The topic with the retained events.
const HOT_TOPIC: &str = "hot";

impl Chance<'_> {
    pub(super) fn subscription(&mut self, from: &Peer) -> Action {
        let request = self.request(from);
        let held: Vec<u64> = held_by(&self.reference.subscriptions, from.id);
        if self.rng.u8(..10) < 4 && (!held.is_empty() || self.one_in(8)) {
            let id = if held.is_empty() || self.one_in(10) { self.rng.u64(1..40) } else { self.pick(&held) };
            return Action::Send(from.id, message([34.into(), request.into(), id.into()]));
        }
        let (topic, policy) = match self.rng.u8(..16) {
            0 => (HOT_TOPIC, Policy::Exact),
            1..5 => (self.pick(&META_TOPICS), Policy::Exact),
            _ => self.pattern(),
        };
        let mut options = self.match_option(policy);
        self.flag(&mut options, "get_retained", if topic == HOT_TOPIC { 1 } else { 3 });
        self.oddities(&mut options);
        Action::Send(from.id, message([32.into(), request.into(), dict(options), topic.into()]))
    }

    pub(super) fn publication(&mut self, from: &Peer) -> Action {
        if self.one_in(8) {
            return self.hot_publication(from);
        }
        let request = self.request(from);
        let mut options = Vec::new();
        self.flag(&mut options, "acknowledge", 2);
        self.flag(&mut options, "disclose_me", 6);
        self.flag(&mut options, "retain", 4);
        if self.one_in(2) {
            options.push(("exclude_me".to_owned(), false.into()));
        }
        if self.one_in(3) {
            self.receivers(&mut options);
        }
        self.attributes(from.profile.features.has(Feature::PublisherPassthru), &mut options);
        let topic = self.topic();
        let payload = self.payload();
        let head = [16.into(), request.into(), dict(options), topic.into()];
        Action::Send(from.id, with_payload(head, &payload))
    }

    /// A topic with many retained events, almost all of them restricted; one authid may never receive those.
    fn hot_publication(&mut self, from: &Peer) -> Action {
        let mut options = vec![("retain".to_owned(), true.into())];
        if !self.one_in(30) {
            let some = AUTHIDS[1..].iter().filter(|_| self.one_in(3)).map(|name| (*name).into()).collect();
            options.push(("eligible_authid".to_owned(), Value::List(some)));
        }
        let request = self.request(from);
        Action::Send(from.id, message([16.into(), request.into(), dict(options), HOT_TOPIC.into()]))
    }

    pub(super) fn receivers(&mut self, options: &mut Options) {
        for key in ["exclude", "eligible"] {
            if self.one_in(4) {
                let is_empty = self.one_in(6);
                let ids = self.reference.peers.iter().map(|peer| peer.id).chain([7]);
                let some = ids.filter(|_| !is_empty && self.rng.bool()).map(Value::from).collect();
                options.push((key.to_owned(), Value::List(some)));
            }
        }
        for (keys, names) in [
            (["exclude_authid", "eligible_authid"], &AUTHIDS[..]),
            (["exclude_authrole", "eligible_authrole"], &AUTHROLES),
        ] {
            for key in keys {
                if self.one_in(5) {
                    let some = names.iter().filter(|_| self.rng.bool()).map(|name| (*name).into()).collect();
                    options.push((key.to_owned(), Value::List(some)));
                }
            }
        }
    }
}
