//! Connecting, closing, and what is told of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bondy_client::{
    CallError, Client, ClientStream, ConnectError, ConnectionEvent, ConnectionState, EndReason,
    ReconnectPolicy, SendError, WampError, WhileDisconnected, WhyEnded,
};
use tokio::net::{TcpListener, UnixStream};

use crate::node::{REALM, TestNode, WAYS, Way, in_time, run, wait_for};
use crate::proxy::Proxy;

#[test]
fn the_session_says_who_and_where_it_is() {
    let node = TestNode::start();
    run(async {
        for way in WAYS {
            let client = node.client(way).await;
            let session = client.session();
            assert_eq!(session.realm, REALM);
            assert_eq!(session.authmethod, "anonymous");
            assert!(!session.authid.is_empty());
            assert_eq!(session.url, node.url(way));
            assert!(session.has_feature("dealer", "call_canceling"), "{:?}", session.details);
            assert!(!session.has_feature("dealer", "time_travel"));
            assert_eq!(*client.state().borrow(), ConnectionState::Connected);
        }
    });
}

#[test]
fn serializers_are_agreed_on_in_the_order_of_preference() {
    use bondy_client::Serializer::{Cbor, Json};
    let node = TestNode::start();
    run(async {
        for way in [Way::WebSocket(Json), Way::RawSocket(Json)] {
            let client = node.builder(way).serializers([Cbor, Json]).connect().await.unwrap();
            assert_eq!(client.session().serializer, Cbor);
        }
    });
}

#[test]
fn tls_is_spoken_with_whom_the_client_trusts() {
    let (node, tls) = TestNode::start_with_tls();
    run(async {
        let address = node.address("tls");
        for url in [format!("wss://{address}/ws"), format!("rss://{address}")] {
            let builder = || Client::builder().url(url.clone()).realm(REALM);
            let client = in_time("connecting", builder().tls(tls.clone()).connect()).await.unwrap();
            assert_eq!(client.call::<u64>("wamp.session.count").await.unwrap(), 1);
            client.close().await;
            let error = in_time("an error", builder().connect()).await.unwrap_err();
            assert!(matches!(error, ConnectError::Transport(_)), "{error}");
        }
    });
}

#[test]
fn what_hinders_connecting_is_said() {
    let node = TestNode::start();
    run(async {
        let error = |builder: bondy_client::Builder| async {
            in_time("an error", builder.connect()).await.unwrap_err()
        };
        assert!(matches!(error(Client::builder()).await, ConnectError::NoUrl));
        assert!(matches!(error(Client::builder().url("ftp://x")).await, ConnectError::Url(_)));
        assert!(matches!(error(node.builder(WAYS[0]).realm("not a realm")).await, ConnectError::Realm(_)));
        let unknown = error(node.builder(WAYS[0]).realm("com.example.nowhere")).await;
        assert_eq!(unknown.reason(), Some("wamp.error.no_such_realm"));
        // Nobody listens there any more.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = format!("rs://{}", listener.local_addr().unwrap());
        drop(listener);
        assert!(matches!(error(Client::builder().url(gone)).await, ConnectError::Transport(_)));
    });
}

#[test]
fn a_router_that_says_nothing_is_not_waited_for() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/ws", listener.local_addr().unwrap());
        let connecting = Client::builder().url(url).connect_timeout(Duration::from_millis(50)).connect();
        assert!(matches!(in_time("the timeout", connecting).await, Err(ConnectError::Timeout(_))));
    });
}

#[test]
fn the_first_router_that_lets_the_client_in_is_taken() {
    let node = TestNode::start();
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = format!("rs://{}", listener.local_addr().unwrap());
        drop(listener);
        let client =
            Client::builder().url(gone.clone()).url(node.url(WAYS[0])).realm(REALM).connect().await.unwrap();
        assert_eq!(client.session().url, node.url(WAYS[0]));
        let error =
            in_time("an error", Client::builder().url(gone.clone()).url(gone).connect()).await.unwrap_err();
        assert!(matches!(error, ConnectError::All(errors) if errors.len() == 2));
    });
}

#[test]
fn a_client_comes_back_through_another_router() {
    let nodes = [TestNode::start(), TestNode::start()];
    run(async {
        let proxies =
            [Proxy::start(&nodes[0].address("raw")).await, Proxy::start(&nodes[1].address("raw")).await];
        let quick = ReconnectPolicy { pause_min: Duration::from_millis(1), ..ReconnectPolicy::default() };
        let builder = Client::builder().url(proxies[0].url()).url(proxies[1].url()).reconnect(quick);
        let client = builder.realm(REALM).connect().await.unwrap();
        let mut events = client.events();
        let _registration = client
            .register("com.example.here")
            .serve(|(): (), _| async { Ok::<_, WampError>(1) })
            .await
            .unwrap();
        for from in [0, 1, 0] {
            assert_eq!(client.session().url, proxies[from].url());
            proxies[from].cut_all();
            while !matches!(
                in_time("being restored", events.next()).await,
                Some(ConnectionEvent::Restored(_))
            ) {}
        }
        let caller = nodes[1].plain_client().await;
        assert_eq!(caller.call::<i32>("com.example.here").await.unwrap(), 1);
    });
}

#[test]
fn closing_says_goodbye_and_ends_everything() {
    let node = TestNode::start();
    run(async {
        let (client, control) = (node.plain_client().await, node.plain_client().await);
        let mut told = client.events();
        let mut events = client.subscribe("com.example.tick").await.unwrap();
        let registration = client
            .register("com.example.wait")
            .serve(|(): (), _| std::future::pending::<Result<(), WampError>>())
            .await
            .unwrap();
        let call = tokio::spawn(client.call::<()>("com.example.wait").into_future());
        wait_for_sessions(&control, 2).await;
        let id: u64 = control.call("wamp.registration.lookup").arg("com.example.wait").await.unwrap();
        in_time("the invocation", async {
            loop {
                let details: serde_json::Value = control.call("wamp.registration.get").arg(id).await.unwrap();
                if details["_stats"]["invocations_running"] == 1 {
                    break;
                }
            }
        })
        .await;
        in_time("closing", client.close()).await;
        assert!(matches!(
            call.await.unwrap(),
            Err(CallError::Closed | CallError::Wamp(_) | CallError::Disconnected)
        ));
        assert!(in_time("the end", events.next()).await.is_none());
        assert_eq!(registration.closed().await, WhyEnded::Closed(EndReason::Closed));
        assert_eq!(*client.state().borrow(), ConnectionState::Closed(EndReason::Closed));
        assert!(matches!(client.call::<()>("com.example.wait").await, Err(CallError::Closed)));
        while let Some(event) = in_time("the end", told.next()).await {
            if let ConnectionEvent::Closed(reason) = event {
                assert_eq!(reason, EndReason::Closed);
            }
        }
        assert!(client.events().next().await.is_none());
        wait_for_sessions(&control, 1).await;
        // Twice does no harm.
        in_time("closing", client.close()).await;
    });
}

async fn wait_for_sessions(control: &Client, count: u64) {
    in_time("the sessions", async {
        while control.call::<u64>("wamp.session.count").await.unwrap() != count {}
    })
    .await;
}

#[test]
fn dropping_the_last_handle_ends_the_session() {
    let node = TestNode::start();
    run(async {
        let control = node.plain_client().await;
        let client = node.plain_client().await;
        let mut events = client.subscribe("com.example.tick").await.unwrap();
        let clone = client.clone();
        drop(client);
        drop(clone);
        // The subscription still holds the client.
        control.publish("com.example.tick").arg(1).acknowledge().await.unwrap();
        assert_eq!(in_time("an event", events.next()).await.unwrap().decode::<u8>().unwrap(), 1);
        wait_for_sessions(&control, 2).await;
        drop(events);
        wait_for_sessions(&control, 1).await;
    });
}

#[test]
fn who_is_killed_stays_away() {
    let node = TestNode::start();
    run(async {
        let (client, control) = (node.plain_client().await, node.plain_client().await);
        let mut events = client.events();
        let kill = control.call::<()>("wamp.session.kill").arg(client.session().id.0);
        kill.kwarg("reason", "com.example.banned").kwarg("message", "no").await.unwrap();
        let reason =
            EndReason::Goodbye { reason: "com.example.banned".to_owned(), message: Some("no".to_owned()) };
        let disconnected = ConnectionEvent::Disconnected { reason: reason.clone(), calls_failed: 0 };
        assert_eq!(in_time("an event", events.next()).await, Some(disconnected));
        assert_eq!(in_time("an event", events.next()).await, Some(ConnectionEvent::Closed(reason)));
        assert!(events.next().await.is_none());
        assert!(matches!(client.call::<()>("com.example.x").await, Err(CallError::Closed)));
    });
}

#[test]
fn requests_wait_for_a_connection_or_fail_as_they_are_told() {
    let node = TestNode::start();
    run(async {
        let proxy = Proxy::start(&node.address("raw")).await;
        let quick = ReconnectPolicy {
            pause_min: Duration::from_millis(1),
            pause_max: Duration::from_millis(10),
            attempts_max: None,
        };
        let builder = |policy| {
            Client::builder().url(proxy.url()).realm(REALM).reconnect(quick).while_disconnected(policy)
        };
        let patient = builder(WhileDisconnected::Wait(Duration::from_secs(20))).connect().await.unwrap();
        let hasty = builder(WhileDisconnected::Wait(Duration::from_millis(20))).connect().await.unwrap();
        let failing = builder(WhileDisconnected::Fail).connect().await.unwrap();
        proxy.aim(None);
        proxy.cut_all();
        for client in [&patient, &hasty, &failing] {
            let mut state = client.state();
            in_time("the loss", state.wait_for(|state| *state == ConnectionState::Disconnected))
                .await
                .unwrap();
        }
        let waiting = tokio::spawn(patient.call::<u64>("wamp.session.count").into_future());
        for client in [&hasty, &failing] {
            let error = in_time("an error", client.call::<u64>("wamp.session.count")).await.unwrap_err();
            assert!(matches!(error, CallError::NotConnected(SendError::NotConnected)), "{error}");
        }
        proxy.aim(Some(&node.address("raw")));
        assert!(in_time("an answer", waiting).await.unwrap().unwrap() >= 1);
    });
}

#[test]
fn a_client_gives_up_when_it_is_told_to() {
    let node = TestNode::start();
    run(async {
        let proxy = Proxy::start(&node.address("raw")).await;
        for (attempts_max, attempts) in [(0, None), (3, Some(3))] {
            let policy = ReconnectPolicy {
                pause_min: Duration::from_millis(1),
                pause_max: Duration::from_millis(2),
                attempts_max: Some(attempts_max),
            };
            proxy.aim(Some(&node.address("raw")));
            let client =
                Client::builder().url(proxy.url()).realm(REALM).reconnect(policy).connect().await.unwrap();
            proxy.aim(None);
            proxy.cut_all();
            let mut state = client.state();
            let ended = state.wait_for(|state| matches!(state, ConnectionState::Closed(_)));
            match (in_time("the end", ended).await.unwrap().clone(), attempts) {
                (ConnectionState::Closed(EndReason::GaveUp { attempts, .. }), Some(expected)) => {
                    assert_eq!(attempts, expected);
                }
                (ConnectionState::Closed(EndReason::Lost(_)), None) => {}
                other => panic!("{other:?}"),
            }
            assert!(matches!(client.call::<()>("com.example.x").await, Err(CallError::Closed)));
        }
    });
}

#[test]
fn a_client_runs_over_streams_of_the_application() {
    let node = TestNode::start();
    run(async {
        let path = node.address("unix").strip_prefix("unix:").unwrap().to_owned();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let connector = move || {
            let path = path.clone();
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                // Bytes go through memory, as they would to a router in the same process.
                let (near, mut far) = tokio::io::duplex(1000);
                let mut router = UnixStream::connect(path).await?;
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut far, &mut router).await });
                Ok::<_, io::Error>(ClientStream::from(near))
            }
        };
        let client = Client::builder().realm(REALM).connect_over(connector).await.unwrap();
        assert_eq!(client.session().url, "memory:");
        let text = "x".repeat(100_000);
        let _registration = client
            .register("com.example.echo")
            .serve(|text: String, _| async move { Ok::<_, WampError>(text) })
            .await
            .unwrap();
        let echoed: String = in_time("an answer", client.call("com.example.echo").arg(&text)).await.unwrap();
        assert_eq!(echoed, text);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_runtime_that_ends_leaves_nobody_waiting() {
    let node = TestNode::start();
    let client = run(async {
        let client = node.plain_client().await;
        tokio::spawn({
            let client = client.clone();
            async move { client.call::<()>("com.example.nothing").await }
        });
        client
    });
    run(async {
        assert!(matches!(*client.state().borrow(), ConnectionState::Closed(_)));
        assert!(matches!(in_time("an error", client.call::<()>("x")).await, Err(CallError::Closed)));
        in_time("closing", client.close()).await;
    });
}

#[test]
fn a_handle_may_be_dropped_outside_of_a_runtime() {
    let node = TestNode::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = runtime.block_on(node.plain_client());
    let events = runtime.block_on(client.subscribe("com.example.tick").into_future()).unwrap();
    let mut state = client.state();
    drop(events);
    drop(client);
    runtime.block_on(in_time("the end", async {
        state.wait_for(|state| matches!(state, ConnectionState::Closed(_))).await.unwrap();
    }));
    runtime.block_on(wait_for("nothing", || true));
}
