//! Connections that are lost at every place of the protocol, and routers that are started again under load: no call
//! hangs, nothing is restored twice, no event is delivered twice, and the application learns what it missed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bondy_client::{
    Builder, CallError, Client, ConnectionEvent, ConnectionEvents, ConnectionState, ReconnectPolicy,
    Subscription, WampError,
};

use crate::node::{DEADLINE, REALM, TestNode, in_time, run};
use crate::proxy::{Direction, Fault, Plan, Proxy};

/// The number of the event behind all others.
const LAST: u64 = 1000;

/// Impatient, so that the tests are not slow.
fn builder(url: String) -> Builder {
    let policy = ReconnectPolicy {
        pause_min: Duration::from_millis(1),
        pause_max: Duration::from_millis(20),
        attempts_max: None,
    };
    Client::builder()
        .url(url)
        .realm(REALM)
        .reconnect(policy)
        .ping(Duration::from_millis(300), Duration::from_secs(2))
        .connect_timeout(Duration::from_secs(2))
}

/// Waits until the condition holds.
async fn wait_for<F: Future<Output = bool>>(what: &str, mut is_reached: impl FnMut() -> F) {
    let until = Instant::now() + DEADLINE;
    while !is_reached().await {
        assert!(Instant::now() < until, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Connects however often that has to be tried.
async fn connect_stubbornly(url: &str) -> Client {
    let until = Instant::now() + DEADLINE;
    loop {
        match in_time("an attempt to connect", builder(url.to_owned()).connect()).await {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    }
}

/// How many sessions have this URI registered or subscribed.
async fn count(control: &Client, kind: &str, members: &str, uri: &str) -> u64 {
    let id: Option<u64> = control.call(format!("wamp.{kind}.lookup")).arg(uri).await.unwrap();
    match id {
        None => 0,
        // The last one may leave between the two calls.
        Some(id) => control.call(format!("wamp.{kind}.count_{members}")).arg(id).await.unwrap_or(0),
    }
}

/// The life of one client whose first connection has the fault.
async fn live(control: Client, router: String, plan: Plan, number: usize) -> bool {
    let proxy = Proxy::start(&router).await;
    proxy.plan(plan);
    let (procedure, topic) = (format!("com.example.p{number}"), format!("com.example.t{number}"));
    let client = connect_stubbornly(&proxy.url()).await;
    let mut events = client.events();
    let first = client.session().id;
    // By the plan, or because this machine is so slow that the connection seemed dead.
    let was_lost = || {
        let is_connected = *client.state().borrow() == ConnectionState::Connected;
        proxy.faults() > 0 || !is_connected || client.session().id != first
    };
    let runs = Arc::new(AtomicU64::new(0));
    let registration = loop {
        let runs = Arc::clone(&runs);
        let serving = client.register(&*procedure).serve(move |input: u64, _| {
            runs.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, WampError>(input) }
        });
        // Its own lost session may hold the procedure for a moment.
        match in_time("a registration", serving).await {
            Ok(registration) => break registration,
            Err(error) => assert!(was_lost(), "{error}"),
        }
    };
    let mut subscription = loop {
        match in_time("a subscription", client.subscribe(&*topic).get_retained()).await {
            Ok(subscription) => break subscription,
            Err(error) => assert!(was_lost(), "{error}"),
        }
    };
    for round in 0..3 {
        match in_time("a call", client.call::<u64>(&*procedure).arg(round)).await {
            Ok(result) => assert_eq!(result, round),
            // The caller lost its connection, or the callee (which is the same) did.
            Err(CallError::Disconnected) => assert!(was_lost()),
            Err(CallError::Wamp(error)) => assert!(was_lost(), "{error}"),
            Err(error) => panic!("{error}"),
        }
        let published = control.publish(&*topic).arg(round).retain().acknowledge();
        in_time("a publication", published).await.unwrap();
        let _ = in_time("another", client.publish(&*topic).arg(100 + round).acknowledge()).await;
    }
    settle(&control, &procedure, &topic).await;
    let mut seen = collect(&control, &topic, &mut subscription).await;
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), all, "an event came twice: {plan:?}");
    let missed = 3 - seen.iter().filter(|number| **number < 3).count();
    let came_true = proxy.faults() > 0;
    drop((registration, subscription));
    client.close().await;
    let gaps = gaps(&mut events, &topic).await;
    assert!(missed == 0 || gaps > 0, "{missed} events were missed and nobody said so: {plan:?}");
    came_true
}

/// Waits until the client is registered and subscribed once, and serves.
async fn settle(control: &Client, procedure: &str, topic: &str) {
    wait_for("one registration", || async {
        count(control, "registration", "callees", procedure).await == 1
    })
    .await;
    wait_for("one subscription", || async {
        count(control, "subscription", "subscribers", topic).await == 1
    })
    .await;
    wait_for("an answer", || async { matches!(control.call(procedure).arg(7).await, Ok(7)) }).await;
}

/// All events, up to one that is published now: again and again, should the connection be lost once more.
async fn collect(control: &Client, topic: &str, subscription: &mut Subscription) -> Vec<u64> {
    let until = Instant::now() + DEADLINE;
    let mut seen = Vec::new();
    loop {
        assert!(Instant::now() < until, "waited in vain for the last event");
        control.publish(topic).arg(LAST).acknowledge().await.unwrap();
        while let Ok(event) = tokio::time::timeout(Duration::from_secs(1), subscription.next()).await {
            match event.unwrap().decode::<u64>().unwrap() {
                LAST => return seen,
                number => seen.push(number),
            }
        }
    }
}

/// How many times the application was told of a gap. The client must be closed.
async fn gaps(events: &mut ConnectionEvents, topic: &str) -> usize {
    let mut gaps = 0;
    while let Some(event) = in_time("the end of the events", events.next()).await {
        if let ConnectionEvent::Restored(restored) = event {
            let mut uris = BTreeSet::new();
            for subscription in &restored.subscriptions {
                assert!(uris.insert(subscription.topic.clone()), "{} was restored twice", subscription.topic);
            }
            gaps += restored.subscriptions.iter().filter(|restored| restored.topic == topic).count();
        }
    }
    gaps
}

async fn every_place(node: &TestNode, fault: Fault) {
    let control = node.plain_client().await;
    let router = node.address("raw");
    let mut lives = tokio::task::JoinSet::new();
    let mut number = 0;
    for direction in [Direction::ToRouter, Direction::ToClient] {
        for units in 0..14 {
            for in_the_middle in [false, true] {
                number += 1;
                let plan = Plan { fault, direction, units, in_the_middle };
                lives.spawn(live(control.clone(), router.clone(), plan, number));
            }
        }
    }
    let mut lost = 0;
    while let Some(life) = lives.join_next().await {
        lost += usize::from(life.unwrap());
    }
    // The last places lie behind the end of the short lives.
    assert!(lost >= 30, "only {lost} connections were lost");
}

#[test]
fn a_connection_may_be_cut_at_every_place() {
    let node = TestNode::start();
    run(every_place(&node, Fault::Cut));
}

#[test]
fn a_connection_may_freeze_at_every_place() {
    let node = TestNode::start();
    run(every_place(&node, Fault::Freeze));
}

/// Calls and publishes without a pause, and counts how that went.
struct Load {
    stop: Arc<AtomicBool>,
    succeeded: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    tasks: tokio::task::JoinSet<()>,
}

impl Load {
    fn start(client: &Client) -> Self {
        let (stop, succeeded, failed) = <(Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..8 {
            let client = client.clone();
            let (stop, succeeded, failed) = (Arc::clone(&stop), Arc::clone(&succeeded), Arc::clone(&failed));
            tasks.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let call = client.call::<u64>("com.example.double").arg(number);
                    match in_time("a call under load", call).await {
                        Ok(result) => {
                            assert_eq!(result, 2 * number);
                            succeeded.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(CallError::Disconnected | CallError::Wamp(_) | CallError::NotConnected(_)) => {
                            failed.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) => panic!("{error}"),
                    }
                    let _ =
                        in_time("an event under load", client.publish("com.example.load").arg(number)).await;
                }
            });
        }
        Self { stop, succeeded, failed, tasks }
    }

    async fn end(mut self) -> (usize, usize) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(task) = self.tasks.join_next().await {
            task.unwrap();
        }
        (self.succeeded.load(Ordering::SeqCst), self.failed.load(Ordering::SeqCst))
    }
}

/// The next report about what was restored, and the calls that failed since the one before.
async fn restored(events: &mut ConnectionEvents) -> bondy_client::Restored {
    loop {
        match in_time("being restored", events.next()).await.unwrap() {
            ConnectionEvent::Restored(restored) => return restored,
            ConnectionEvent::Missed(count) => panic!("{count} connection events were missed"),
            ConnectionEvent::Closed(why) => panic!("{why}"),
            _ => {}
        }
    }
}

#[test]
fn a_router_may_be_started_again_a_hundred_times_under_load() {
    run(async {
        let mut node = TestNode::start();
        let proxy = Proxy::start(&node.address("raw")).await;
        let client = builder(proxy.url()).connect().await.unwrap();
        let mut events = client.events();
        let _registration = client
            .register("com.example.double")
            .serve(|number: u64, _| async move { Ok::<_, WampError>(2 * number) })
            .await
            .unwrap();
        let _subscription = client.subscribe("com.example.other").await.unwrap();
        let mut same = client.subscribe("com.example.other").await.unwrap();
        let load = Load::start(&client);
        let mut calls_failed = 0;
        for restart in 0..100 {
            // Every other time the router has no chance to say goodbye.
            proxy.aim(None);
            if restart % 2 == 0 {
                proxy.cut_all();
            }
            node = tokio::task::spawn_blocking(move || {
                drop(node);
                TestNode::start()
            })
            .await
            .unwrap();
            proxy.aim(Some(&node.address("raw")));
            let restored = restored(&mut events).await;
            assert_eq!(restored.registrations, ["com.example.double"], "{restart}");
            assert_eq!(restored.subscriptions.len(), 1, "{restart}: two streams, one subscription");
            assert_eq!(restored.lost, [], "{restart}");
            calls_failed += restored.calls_failed;
            let control = node.plain_client().await;
            assert_eq!(count(&control, "registration", "callees", "com.example.double").await, 1);
            assert_eq!(count(&control, "subscription", "subscribers", "com.example.other").await, 1);
            control.publish("com.example.other").arg(restart).acknowledge().await.unwrap();
            let event = in_time("an event", same.next()).await.unwrap();
            assert_eq!(event.decode::<u64>().unwrap(), restart, "each event once");
            control.close().await;
        }
        let (succeeded, failed) = load.end().await;
        assert!(succeeded > 100, "{succeeded} calls succeeded");
        assert!(failed >= calls_failed, "{calls_failed} calls are said to have failed, and {failed} did");
        assert!(proxy.connections() > 100);
    });
}
