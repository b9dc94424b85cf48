//! Subscriptions and publications.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;

use bondy_client::{
    Client, ConnectionEvent, Event, MatchPolicy, PublishError, SubscribeError, Subscription, WhyEnded,
};
use futures_core::Stream;

use crate::node::{TestNode, WAYS, in_time, run};

const TOPIC: &str = "com.example.tick";

async fn next(events: &mut Subscription) -> Event {
    in_time("an event", events.next()).await.unwrap()
}

async fn next_number(events: &mut Subscription) -> u64 {
    next(events).await.decode().unwrap()
}

/// How many sessions are subscribed to the topic.
async fn subscribers(control: &Client) -> u64 {
    let id: Option<u64> = control.call("wamp.subscription.lookup").arg(TOPIC).await.unwrap();
    match id {
        None => 0,
        Some(id) => control.call("wamp.subscription.count_subscribers").arg(id).await.unwrap_or(0),
    }
}

async fn wait_for_subscribers(control: &Client, count: u64) {
    in_time("the subscribers", async {
        while subscribers(control).await != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[test]
fn an_event_reaches_a_subscriber_over_every_transport_and_serializer() {
    let node = TestNode::start();
    run(async {
        let publisher = node.plain_client().await;
        for way in WAYS {
            let client = node.client(way).await;
            let mut events = client.subscribe(TOPIC).await.unwrap();
            let id = publisher.publish(TOPIC).arg(7).kwarg("k", "v").acknowledge().await.unwrap();
            let event = next(&mut events).await;
            assert_eq!(event.topic(), TOPIC);
            assert_eq!(Some(event.publication()), id, "{way:?}");
            assert_eq!(event.args::<(i64,)>().unwrap(), (7,));
            assert_eq!(event.kwargs::<BTreeMap<String, String>>().unwrap()["k"], "v");
            assert_eq!(event.dropped(), 0);
            assert!(!event.is_retained());
            assert!(event.publisher().is_none());
        }
    });
}

#[test]
fn a_pattern_says_which_topic_matched() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let mut prefix = client.subscribe("com.example.").match_policy(MatchPolicy::Prefix).await.unwrap();
        let mut wildcard =
            client.subscribe("com..created").match_policy(MatchPolicy::Wildcard).await.unwrap();
        client.publish("com.example.created").exclude_me(false).await.unwrap();
        for events in [&mut prefix, &mut wildcard] {
            assert_eq!(next(events).await.topic(), "com.example.created");
        }
        assert_eq!(prefix.topic(), "com.example.");
    });
}

#[test]
fn publications_may_be_restricted_disclosed_and_marked() {
    let node = TestNode::start();
    run(async {
        let (publisher, client) = (node.plain_client().await, node.plain_client().await);
        let mut events = client.subscribe(TOPIC).await.unwrap();
        let mut own = publisher.subscribe(TOPIC).await.unwrap();
        let me = client.session().id;
        let publish = |number: u64| publisher.publish(TOPIC).arg(number).exclude_me(false).acknowledge();
        publish(1).exclude([me]).await.unwrap();
        publish(2).eligible([publisher.session().id]).await.unwrap();
        publish(3).exclude_authid([&client.session().authid]).await.unwrap();
        publish(4).eligible_authid([&publisher.session().authid]).await.unwrap();
        publish(5).exclude_authrole(["anonymous"]).await.unwrap();
        publish(6).eligible_authrole(["staff"]).await.unwrap();
        publish(7).eligible([me]).disclose_me().option("x_mark", "yes").await.unwrap();
        let event = next(&mut events).await;
        assert_eq!(event.decode::<u64>().unwrap(), 7);
        assert_eq!(event.publisher().unwrap().session, Some(publisher.session().id));
        assert_eq!(event.details().value::<String>("x_mark").unwrap().as_deref(), Some("yes"));
        for number in [1, 2, 3, 4] {
            assert_eq!(next_number(&mut own).await, number);
        }
    });
}

#[test]
fn a_refused_publication_says_why_only_where_it_is_acknowledged() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        assert_eq!(client.publish("not a uri").await.unwrap(), None);
        match client.publish("not a uri").acknowledge().await {
            Err(PublishError::Wamp(error)) => assert_eq!(error.uri(), "wamp.error.invalid_uri"),
            other => panic!("{other:?}"),
        }
        match client.subscribe("not a uri").await {
            Err(SubscribeError::Wamp(error)) => assert_eq!(error.uri(), "wamp.error.invalid_uri"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn streams_of_one_topic_share_a_subscription_until_the_last_is_gone() {
    let node = TestNode::start();
    run(async {
        let (client, control) = (node.plain_client().await, node.plain_client().await);
        let mut first = client.subscribe(TOPIC).await.unwrap();
        let mut second = client.subscribe(TOPIC).await.unwrap();
        assert_eq!(subscribers(&control).await, 1);
        control.publish(TOPIC).arg(1).acknowledge().await.unwrap();
        assert_eq!((next_number(&mut first).await, next_number(&mut second).await), (1, 1));
        drop(first);
        control.publish(TOPIC).arg(2).acknowledge().await.unwrap();
        assert_eq!(next_number(&mut second).await, 2);
        assert_eq!(subscribers(&control).await, 1);
        second.unsubscribe().await.unwrap();
        assert_eq!(subscribers(&control).await, 0);
        let third = client.subscribe(TOPIC).await.unwrap();
        assert_eq!(subscribers(&control).await, 1);
        drop(third);
        wait_for_subscribers(&control, 0).await;
    });
}

#[test]
fn subscribing_while_the_last_stream_leaves_ends_with_a_subscription() {
    let node = TestNode::start();
    run(async {
        let (client, control) = (node.plain_client().await, node.plain_client().await);
        // Keeps the subscription's id the same at the router.
        let _other = control.subscribe(TOPIC).await.unwrap();
        let mut events = client.subscribe(TOPIC).await.unwrap();
        for number in 0..200 {
            // UNSUBSCRIBE goes out, and SUBSCRIBE right behind it.
            drop(events);
            let (one, two) = tokio::join!(client.subscribe(TOPIC), client.subscribe(TOPIC).get_retained());
            events = one.unwrap();
            drop(two.unwrap());
            control.publish(TOPIC).arg(number).acknowledge().await.unwrap();
            assert_eq!(next_number(&mut events).await, number);
        }
        assert_eq!(subscribers(&control).await, 2);
        // A subscription that nobody waited for is taken back.
        drop(events);
        for _ in 0..20 {
            let mut subscribing = Box::pin(client.subscribe(TOPIC).into_future());
            poll_fn(|context| {
                let _ = subscribing.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
        }
        wait_for_subscribers(&control, 1).await;
    });
}

#[test]
fn the_retained_event_comes_once_to_those_who_ask() {
    let node = TestNode::start();
    run(async {
        let (publisher, client) = (node.plain_client().await, node.plain_client().await);
        publisher.publish(TOPIC).arg(1).retain().acknowledge().await.unwrap();
        let mut asking = client.subscribe(TOPIC).get_retained().await.unwrap();
        let event = next(&mut asking).await;
        assert!(event.is_retained());
        assert_eq!(event.decode::<u64>().unwrap(), 1);
        let mut plain = client.subscribe(TOPIC).await.unwrap();
        // The router sends it again for this one, and the first has had it.
        let mut late = client.subscribe(TOPIC).get_retained().await.unwrap();
        assert_eq!(next_number(&mut late).await, 1);
        publisher.publish(TOPIC).arg(2).acknowledge().await.unwrap();
        for events in [&mut asking, &mut plain, &mut late] {
            assert_eq!(next_number(events).await, 2);
        }
    });
}

#[test]
fn a_stream_that_is_not_read_loses_the_oldest_events_and_says_how_many() {
    let node = TestNode::start();
    run(async {
        let (publisher, client) = (node.plain_client().await, node.plain_client().await);
        let mut told = client.events();
        let mut events = client.subscribe(TOPIC).queue(4).await.unwrap();
        let mut marker = client.subscribe("com.example.marker").await.unwrap();
        for number in 0..10 {
            publisher.publish(TOPIC).arg(number).acknowledge().await.unwrap();
        }
        publisher.publish("com.example.marker").await.unwrap();
        next(&mut marker).await;
        let event = next(&mut events).await;
        assert_eq!((event.decode::<u64>().unwrap(), event.dropped()), (6, 6));
        let event = next(&mut events).await;
        assert_eq!((event.decode::<u64>().unwrap(), event.dropped()), (7, 0));
        let slow = ConnectionEvent::SlowSubscription { topic: TOPIC.to_owned() };
        assert_eq!(in_time("being told", told.next()).await, Some(slow));
    });
}

#[test]
fn a_revoked_subscription_ends_its_streams() {
    let node = TestNode::start();
    run(async {
        let (client, control) = (node.plain_client().await, node.plain_client().await);
        let mut events = client.subscribe(TOPIC).await.unwrap();
        let mut told = client.events();
        control.publish(TOPIC).arg(1).acknowledge().await.unwrap();
        let id: u64 = control.call("wamp.subscription.lookup").arg(TOPIC).await.unwrap();
        let remove =
            control.call::<()>("wamp.subscription.remove_subscriber").args((id, client.session().id.0));
        remove.kwarg("reason", "com.example.revoked").await.unwrap();
        assert_eq!(next_number(&mut events).await, 1);
        let end = poll_fn(|context| Pin::new(&mut events).poll_next(context));
        assert!(in_time("the end", end).await.is_none());
        match events.ended() {
            Some(WhyEnded::Lost(error)) => assert_eq!(error.uri(), "com.example.revoked"),
            other => panic!("{other:?}"),
        }
        match in_time("being told", told.next()).await {
            Some(ConnectionEvent::SubscriptionLost { topic, .. }) => assert_eq!(topic, TOPIC),
            other => panic!("{other:?}"),
        }
        let mut again = client.subscribe(TOPIC).await.unwrap();
        control.publish(TOPIC).arg(2).acknowledge().await.unwrap();
        assert_eq!(next_number(&mut again).await, 2);
    });
}

#[test]
fn senders_wait_for_room_and_nothing_is_lost() {
    let node = TestNode::start();
    run(async {
        let client =
            in_time("connecting", node.builder(WAYS[0]).outgoing_bytes_max(1000).connect()).await.unwrap();
        let control = node.plain_client().await;
        let mut events = control.subscribe(TOPIC).queue(10_000).await.unwrap();
        let mut publishing = tokio::task::JoinSet::new();
        for number in 0..500_u64 {
            let client = client.clone();
            publishing.spawn(async move {
                client.publish(TOPIC).arg(number).arg("x".repeat(300)).await.unwrap();
            });
        }
        let mut seen = Vec::new();
        for _ in 0..500 {
            seen.push(next(&mut events).await.args::<(u64, String)>().unwrap().0);
        }
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..500));
        in_time("the publishers", publishing.join_all()).await;
    });
}
