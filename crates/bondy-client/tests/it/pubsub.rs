//! Subscriptions and publications.

use bondy_client::MatchPolicy;

use crate::node::{TestNode, WAYS, in_time, run};

#[test]
fn an_event_reaches_a_subscriber_over_every_transport_and_serializer() {
    let node = TestNode::start();
    run(async {
        let publisher = node.plain_client().await;
        for way in WAYS {
            let client = node.client(way).await;
            let mut events = client.subscribe("com.example.tick").await.unwrap();
            let id =
                publisher.publish("com.example.tick").arg(7).kwarg("k", "v").acknowledge().await.unwrap();
            let event = in_time("an event", events.next()).await.unwrap();
            assert_eq!(event.topic(), "com.example.tick");
            assert_eq!(Some(event.publication()), id, "{way:?}");
            assert_eq!(event.args::<(i64,)>().unwrap(), (7,));
            assert_eq!(event.kwargs::<std::collections::BTreeMap<String, String>>().unwrap()["k"], "v");
            assert_eq!(event.dropped(), 0);
        }
    });
}

#[test]
fn a_pattern_says_which_topic_matched() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let mut events = client.subscribe("com.example.").match_policy(MatchPolicy::Prefix).await.unwrap();
        client.publish("com.example.a").exclude_me(false).await.unwrap();
        let event = in_time("an event", events.next()).await.unwrap();
        assert_eq!(event.topic(), "com.example.a");
        assert_eq!(events.topic(), "com.example.");
    });
}
