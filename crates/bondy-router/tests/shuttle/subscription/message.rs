//! What publishers and subscribers send. The arguments of an event name its publisher and its number.

use std::sync::Arc;

use bondy_router::realm::{Flow, Realm};
use bondy_router::session::Session;
use bondy_router::turn::Turn;
use bondy_wamp::id::{RequestId, SubscriptionId};
use bondy_wamp::message::{Message, Publish, PublishOptions, Subscribe, SubscribeOptions, Unsubscribe};
use bondy_wamp::payload::Payload;
use bondy_wamp::uri::MatchPolicy;

use crate::seat::SERIALIZER;

const TOPIC: &str = "com.example.topic";

/// Nothing depends on the ids of requests.
const SOME_REQUEST: RequestId = RequestId(1000);

fn send(realm: &Realm, session: &Arc<Session>, message: &Message<'_>, turn: &mut Turn) {
    let flow = realm.handle(session, message, turn);
    assert!(!matches!(flow, Flow::FanOut(_)), "nobody has thousands of subscribers here");
}

pub(crate) fn publish(
    realm: &Realm,
    session: &Arc<Session>,
    event: (usize, u64),
    retain: bool,
    turn: &mut Turn,
) {
    let args = format!("[{},{}]", event.0, event.1);
    let publish = Publish {
        request: SOME_REQUEST,
        options: PublishOptions {
            acknowledge: true,
            exclude_me: false,
            retain,
            ..PublishOptions::none(SERIALIZER)
        },
        topic: TOPIC.into(),
        payload: Payload { serializer: SERIALIZER, args: args.as_bytes(), kwargs: &[] },
    };
    send(realm, session, &Message::Publish(publish), turn);
}

pub(crate) fn subscribe(
    realm: &Realm,
    session: &Arc<Session>,
    match_policy: MatchPolicy,
    get_retained: bool,
    turn: &mut Turn,
) {
    let options = SubscribeOptions { match_policy, get_retained };
    let topic = match match_policy {
        MatchPolicy::Exact => TOPIC,
        MatchPolicy::Prefix => "com.example.",
        MatchPolicy::Wildcard => "com..topic",
    };
    let subscribe = Subscribe { request: SOME_REQUEST, options, topic: topic.into() };
    send(realm, session, &Message::Subscribe(subscribe), turn);
}

pub(super) fn unsubscribe(realm: &Realm, session: &Arc<Session>, id: SubscriptionId, turn: &mut Turn) {
    let unsubscribe = Unsubscribe { request: SOME_REQUEST, subscription: id };
    send(realm, session, &Message::Unsubscribe(unsubscribe), turn);
}
