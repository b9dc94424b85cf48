//! What ends before its time: input, invocations that wait for their turn, connections.

use std::time::{Duration, Instant};

use bondy_client::{
    CallError, Client, ConnectionEvent, ConnectionState, EndReason, Open, ReconnectPolicy, WampError,
    WhileDisconnected,
};
use serde_json::json;

use crate::misbehaviour::{joined, registered};
use crate::node::{in_time, run};
use crate::script::{Script, settle};

#[test]
fn input_that_is_dropped_before_its_end_cancels_the_call() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let Open { inputs, mut results } = client.call::<u64>("com.example.sum").arg(1).open().await.unwrap();
        let request = peer.receive_type(48).await[1].clone();
        drop(inputs);
        assert_eq!(peer.receive().await, json!([49, request, {"mode": "killnowait"}]));
        assert!(matches!(in_time("the end", results.next()).await, Some(Err(CallError::Canceled))));
        // Input that came to its end is no reason to cancel.
        let Open { mut inputs, mut results } =
            client.call::<u64>("com.example.sum").arg(1).open().await.unwrap();
        let request = peer.receive_type(48).await[1].clone();
        inputs.finish(2).await.unwrap();
        drop(inputs);
        assert_eq!(peer.receive().await[0], 48);
        peer.send(json!([50, request, {}, [3]])).await;
        assert!(in_time("the result", results.next()).await.unwrap().is_ok());
    });
}

#[test]
fn an_invocation_that_is_killed_while_it_waits_is_answered_and_not_begun() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let release = registered(&client, &mut peer, 1).await;
        for request in 1..4 {
            peer.send(json!([68, request, 5, {}, [request]])).await;
        }
        peer.send(json!([69, 2, {"mode": "kill"}])).await;
        assert_eq!(peer.receive().await, json!([8, 68, 2, {}, "wamp.error.canceled"]));
        release.send_replace(10);
        assert_eq!(peer.receive().await, json!([70, 1, {}, [1]]));
        assert_eq!(peer.receive().await, json!([70, 3, {}, [3]]));
        drop(client);
    });
}

#[test]
fn the_time_of_an_invocation_runs_while_it_waits_for_its_turn() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let release = registered(&client, &mut peer, 1).await;
        peer.send(json!([68, 1, 5, {}, [1]])).await;
        peer.send(json!([68, 2, 5, {"timeout": 1}, [2]])).await;
        settle(&mut peer).await;
        let received = Instant::now();
        while received.elapsed() < Duration::from_millis(3) {
            tokio::task::yield_now().await;
        }
        release.send_replace(10);
        assert_eq!(peer.receive().await, json!([70, 1, {}, [1]]));
        assert_eq!(peer.receive().await, json!([8, 68, 2, {}, "wamp.error.timeout"]));
        drop(client);
    });
}

#[test]
fn a_router_that_just_closes_after_goodbye_has_lost_nothing() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let mut events = client.events();
        let call = tokio::spawn(client.call::<()>("com.example.x").into_future());
        peer.receive_type(48).await;
        let closing = tokio::spawn(async move { client.close().await });
        peer.receive_type(6).await;
        drop(peer);
        in_time("closing", closing).await.unwrap();
        assert!(matches!(call.await.unwrap(), Err(CallError::Closed)));
        let disconnected = ConnectionEvent::Disconnected { reason: EndReason::Closed, calls_failed: 1 };
        assert_eq!(events.next().await, Some(disconnected));
        assert_eq!(events.next().await, Some(ConnectionEvent::Closed(EndReason::Closed)));
    });
}

async fn refuse(script: &Script) {
    let mut peer = script.accept().await;
    peer.receive().await;
    peer.send(json!([3, {}, "wamp.error.no_such_realm"])).await;
}

#[test]
fn one_router_that_refuses_is_not_the_end_where_there_are_others() {
    run(async {
        let (wrong, right) = (Script::start().await, Script::start().await);
        let quick = ReconnectPolicy {
            pause_min: Duration::from_millis(1),
            pause_max: Duration::from_millis(1),
            attempts_max: None,
        };
        let builder = Client::builder().url(wrong.url()).url(right.url()).reconnect(quick);
        let builder = builder.serializers([bondy_client::Serializer::Json]);
        let connecting = tokio::spawn(in_time("connecting", builder.connect()));
        refuse(&wrong).await;
        let peer = right.join().await;
        let client = connecting.await.unwrap().unwrap();
        drop(peer);
        refuse(&wrong).await;
        let peer = right.join().await;
        // Only where all of them refuse, it is over.
        drop(peer);
        refuse(&wrong).await;
        refuse(&right).await;
        let mut state = client.state();
        let closed = state.wait_for(|state| matches!(state, ConnectionState::Closed(_)));
        let reason = "wamp.error.no_such_realm".to_owned();
        let expected = ConnectionState::Closed(EndReason::Abort { reason, message: None });
        assert_eq!(*in_time("the end", closed).await.unwrap(), expected);
    });
}

#[test]
fn a_timeout_holds_while_a_call_waits_to_be_sent() {
    run(async {
        let script = Script::start().await;
        let builder = script.builder().while_disconnected(WhileDisconnected::Wait(Duration::from_secs(60)));
        let (client, peer) = tokio::join!(in_time("connecting", builder.connect()), script.join());
        let client = client.unwrap();
        let mut state = client.state();
        drop(peer);
        let lost = state.wait_for(|state| *state == ConnectionState::Disconnected);
        assert!(in_time("the loss", lost).await.is_ok());
        let call = || client.call::<u64>("com.example.sum").timeout(Duration::from_millis(1));
        let mut results = call().progressive();
        let (result, opened) = tokio::join!(results.next(), call().open());
        assert!(matches!(result, Some(Err(CallError::Timeout(_)))), "{result:?}");
        assert!(matches!(opened, Err(CallError::Timeout(_))), "{opened:?}");
    });
}

#[test]
fn further_input_has_one_reader() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let serving = client.register("com.example.sum").serve(|first: u64, context| async move {
            let mut inputs = context.input::<u64>();
            let mut others = context.input::<u64>();
            assert!(others.next().await.is_none());
            let mut sum = first;
            while let Some(input) = inputs.next().await {
                sum += input.map_err(WampError::runtime)?;
            }
            Ok::<_, WampError>(sum)
        });
        let registering = tokio::spawn(serving.into_future());
        let request = peer.receive_type(64).await[1].clone();
        peer.send(json!([65, request, 5])).await;
        let registration = in_time("the registration", registering).await.unwrap().unwrap();
        peer.send(json!([68, 1, 5, {"progress": true}, [1]])).await;
        peer.send(json!([68, 1, 5, {}, [2]])).await;
        assert_eq!(peer.receive().await, json!([70, 1, {}, [3]]));
        drop(registration);
    });
}
