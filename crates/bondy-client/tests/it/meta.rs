//! The meta API, and testaments.

use bondy_client::{ErrorUri, MatchPolicy, SessionId, TestamentScope, Value, WampError};

use crate::node::{TestNode, in_time, run};

#[test]
fn the_realm_tells_of_its_sessions() {
    let node = TestNode::start();
    run(async {
        let (client, other) = (node.plain_client().await, node.plain_client().await);
        let meta = client.meta();
        assert_eq!(meta.session_count().await.unwrap(), 2);
        let mut sessions = meta.sessions().await.unwrap();
        sessions.sort_unstable();
        let mut expected = [client.session().id, other.session().id];
        expected.sort_unstable();
        assert_eq!(sessions, expected);
        let info = meta.session(other.session().id).await.unwrap();
        assert_eq!(info.authid.as_deref(), Some(&*other.session().authid));
        assert!(info.stats.is_some() && info.transport.is_some());
        let error = meta.session(SessionId(1)).await.unwrap_err();
        assert!(error.is(ErrorUri::NoSuchSession), "{error}");
        meta.kill_session(other.session().id, None, Some("enough")).await.unwrap();
        in_time("the kill", async { while meta.session_count().await.unwrap() != 1 {} }).await;
    });
}

#[test]
fn the_realm_tells_of_registrations_and_subscriptions() {
    let node = TestNode::start();
    run(async {
        let client = node.plain_client().await;
        let meta = client.meta();
        let _registration = client
            .register("com.example.")
            .match_policy(MatchPolicy::Prefix)
            .invoke("roundrobin")
            .serve(|(): (), _| async { Ok::<_, WampError>(()) })
            .await
            .unwrap();
        let _subscription = client.subscribe("com.example.tick").await.unwrap();
        let id = meta.find_registration("com.example.", MatchPolicy::Prefix).await.unwrap().unwrap();
        assert_eq!(meta.matching_registration("com.example.x").await.unwrap(), Some(id));
        assert_eq!(meta.find_registration("com.example.", MatchPolicy::Wildcard).await.unwrap(), None);
        assert_eq!(meta.registrations().await.unwrap().prefix, [id.0]);
        let info = meta.registration(id).await.unwrap();
        assert_eq!((&*info.uri, &*info.match_policy), ("com.example.", "prefix"));
        assert_eq!(info.invoke.as_deref(), Some("roundrobin"));
        assert_eq!(meta.callees(id).await.unwrap(), [client.session().id]);
        let id = meta.find_subscription("com.example.tick", MatchPolicy::Exact).await.unwrap().unwrap();
        assert_eq!(meta.matching_subscriptions("com.example.tick").await.unwrap(), [id]);
        assert_eq!(meta.matching_subscriptions("com.example.other").await.unwrap(), []);
        assert_eq!(meta.subscriptions().await.unwrap().all().collect::<Vec<_>>(), [id.0]);
        assert_eq!(meta.subscribers(id).await.unwrap(), [client.session().id]);
        assert_eq!(meta.subscription(id).await.unwrap().uri, "com.example.tick");
        for number in 0..4 {
            client.publish("com.example.tick").arg(number).acknowledge().await.unwrap();
        }
        let kept = meta.events(id, 2).await.unwrap();
        let args = kept.iter().map(|event| event.args.clone().unwrap());
        assert!(args.eq([3, 2].map(|number| Value::List(vec![Value::Integer(number)]))), "{kept:?}");
        assert_eq!(kept[0].details.entry("topic").and_then(Value::as_str), Some("com.example.tick"));
    });
}

#[test]
fn a_testament_is_published_when_the_session_has_ended() {
    let node = TestNode::start();
    run(async {
        let (client, other) = (node.plain_client().await, node.plain_client().await);
        let mut events = other.subscribe("com.example.gone").await.unwrap();
        client.add_testament("com.example.gone").arg("not this").await.unwrap();
        client.flush_testaments(TestamentScope::Destroyed).await.unwrap();
        let me = Value::List(vec![other.session().id.0.into()]);
        client
            .add_testament("com.example.gone")
            .arg("farewell")
            .kwarg("k", 1)
            .publish_option("eligible", me)
            .retain()
            .await
            .unwrap();
        client.add_testament("com.example.gone").scope(TestamentScope::Detached).arg("first").await.unwrap();
        drop(client);
        let texts = [
            in_time("an event", events.next()).await.unwrap(),
            in_time("an event", events.next()).await.unwrap(),
        ]
        .map(|event| event.args::<(String,)>().unwrap().0);
        assert_eq!(texts, ["first", "farewell"]);
    });
}
