//! A router that breaks the protocol, answers twice, or says things that no router of this project says.

use std::time::Duration;

use bondy_client::{
    CallError, Client, ConnectError, ConnectionEvent, ConnectionState, EndReason, PublishError,
    ReconnectPolicy, RegisterError, WampError,
};
use serde_json::json;

use crate::node::{in_time, run};
use crate::script::{Peer, Script};

/// A joined client, and the router's end of it.
pub(crate) async fn joined(script: &Script) -> (Client, Peer) {
    let quick = ReconnectPolicy {
        pause_min: Duration::from_millis(1),
        pause_max: Duration::from_millis(10),
        attempts_max: None,
    };
    let builder = script.builder().reconnect(quick).ping(Duration::from_secs(10), Duration::from_secs(10));
    let (client, peer) = tokio::join!(in_time("connecting", builder.connect()), script.join());
    (client.unwrap(), peer)
}

#[test]
fn what_no_router_may_send_ends_the_connection_and_not_the_client() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let violations: [&[u8]; 9] = [
            b"not json",
            b"[]",
            b"[99, 1]",
            b"[2, 1, {}]",
            b"[48, 1, {}, \"com.example.x\"]",
            b"[50, 1]",
            b"[36, 1, 1, {}, [], {}, 7, 8]",
            b"[68, \"one\", 1, {}]",
            b"\xff\xff",
        ];
        for violation in violations {
            let call = tokio::spawn(client.call::<()>("com.example.x").into_future());
            peer.receive_type(48).await;
            peer.send_bytes(violation).await;
            let abort = peer.receive_type(3).await;
            assert_eq!(abort[2], "wamp.error.protocol_violation", "{violation:?}");
            let error = in_time("an error", call).await.unwrap().unwrap_err();
            assert!(matches!(error, CallError::Disconnected), "{error}");
            peer = script.join().await;
        }
        let call = tokio::spawn(client.call::<u8>("com.example.x").into_future());
        let request = peer.receive_type(48).await[1].clone();
        peer.send(json!([50, request, {}, [7]])).await;
        assert_eq!(in_time("a result", call).await.unwrap().unwrap(), 7);
    });
}

#[test]
fn an_answer_that_nobody_waits_for_is_nothing() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        for message in [
            json!([50, 77, {}, [1]]),
            json!([50, 77, {"progress": true}, [1]]),
            json!([8, 48, 77, {}, "wamp.error.canceled"]),
            json!([8, 16, 77, {}, "wamp.error.canceled"]),
            json!([17, 77, 1]),
            json!([33, 77, 1]),
            json!([35, 77]),
            json!([35, 0, {"subscription": 77, "reason": "x.y"}]),
            json!([65, 77, 1]),
            json!([67, 77]),
            json!([67, 0, {"registration": 77, "reason": "x.y"}]),
            json!([69, 77, {}]),
            json!([36, 77, 1, {}]),
        ] {
            peer.send(message).await;
        }
        // An invocation of nothing that is registered is passed on to another callee.
        peer.send(json!([68, 1, 77, {}])).await;
        let error = peer.receive_type(8).await;
        assert_eq!(
            (&error[1], &error[2], &error[4]),
            (&json!(68), &json!(1), &json!("wamp.error.unavailable"))
        );
        assert_eq!(*client.state().borrow(), ConnectionState::Connected);
    });
}

#[test]
fn an_error_for_another_kind_of_request_is_a_violation() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let subscribing = tokio::spawn(client.subscribe("com.example.tick").into_future());
        let request = peer.receive_type(32).await[1].clone();
        peer.send(json!([8, 64, request, {}, "wamp.error.not_authorized"])).await;
        assert_eq!(peer.receive_type(3).await[2], "wamp.error.protocol_violation");
        assert!(in_time("an error", subscribing).await.unwrap().is_err());
    });
}

pub(crate) async fn registered(
    client: &Client,
    peer: &mut Peer,
    concurrency: u32,
) -> tokio::sync::watch::Sender<u32> {
    let (release, released) = tokio::sync::watch::channel(0_u32);
    let serving =
        client.register("com.example.work").concurrency(concurrency).serve(move |number: u32, _| {
            let mut released = released.clone();
            async move {
                released.wait_for(|released| *released > number).await.map_err(WampError::runtime)?;
                Ok::<_, WampError>(number)
            }
        });
    let registering = tokio::spawn(serving.into_future());
    let request = peer.receive_type(64).await[1].clone();
    peer.send(json!([65, request, 5])).await;
    in_time("the registration", registering).await.unwrap().unwrap().detach();
    release
}

#[test]
fn input_that_comes_after_the_answer_begins_nothing() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let release = registered(&client, &mut peer, 0).await;
        release.send_replace(10);
        // It answers its first input, whatever more may come.
        peer.send(json!([68, 1, 5, {"progress": true}, [1]])).await;
        assert_eq!(peer.receive_type(70).await, json!([70, 1, {}, [1]]));
        peer.send(json!([68, 1, 5, {"progress": true}, [2]])).await;
        peer.send(json!([68, 1, 5, {}, [3]])).await;
        // One that is interrupted is over as well, its grace or not.
        peer.send(json!([68, 2, 5, {"progress": true}, [99]])).await;
        peer.send(json!([69, 2, {"mode": "killnowait"}])).await;
        peer.send(json!([68, 2, 5, {}, [4]])).await;
        peer.send(json!([68, 3, 5, {"progress": true}, [98]])).await;
        peer.send(json!([69, 3, {"mode": "kill"}])).await;
        assert_eq!(peer.receive().await[2], 3, "canceled");
        peer.send(json!([68, 3, 5, {}, [5]])).await;
        peer.send(json!([68, 4, 5, {}, [6]])).await;
        assert_eq!(peer.receive().await, json!([70, 4, {}, [6]]));
    });
}

#[test]
fn a_router_that_does_not_keep_to_the_concurrency_finds_a_bounded_queue() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let release = registered(&client, &mut peer, 2).await;
        for number in 0..1030 {
            peer.send(json!([68, number + 1, 5, {}, [number]])).await;
        }
        // 2 run, 1,024 wait, and the last four are refused.
        for number in 1026..1030 {
            let error = peer.receive_type(8).await;
            assert_eq!((&error[2], &error[4]), (&json!(number + 1), &json!("wamp.error.unavailable")));
        }
        // One that is interrupted while it waits is not begun.
        peer.send(json!([69, 3, {"mode": "killnowait"}])).await;
        peer.send(json!([68, 2000, 77, {}])).await;
        assert_eq!(peer.receive_type(8).await[2], 2000, "the interruption has come");
        release.send_replace(10_000);
        let mut answered = Vec::new();
        for _ in 0..1025 {
            answered.push(peer.receive_type(70).await[1].as_u64().unwrap());
        }
        answered.sort_unstable();
        assert!(answered.into_iter().eq((1..=1026).filter(|request| *request != 3)));
        drop(client);
    });
}

#[test]
fn a_lost_connection_stops_handlers_and_their_answers_go_nowhere() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let release = registered(&client, &mut peer, 0).await;
        peer.send(json!([68, 1, 5, {}, [0]])).await;
        peer.send(json!([68, 2, 5, {}, [7]])).await;
        drop(peer);
        let mut peer = script.join().await;
        let request = peer.receive_type(64).await[1].clone();
        peer.send(json!([65, request, 5])).await;
        release.send_replace(7);
        // The first answer is of an invocation of this connection.
        peer.send(json!([68, 1, 5, {}, [3]])).await;
        assert_eq!(peer.receive_type(70).await, json!([70, 1, {}, [3]]));
        drop(client);
    });
}

#[test]
fn a_procedure_that_is_still_held_is_asked_for_until_it_is_free() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let mut events = client.events();
        let _release = registered(&client, &mut peer, 0).await;
        drop(peer);
        let mut peer = script.join().await;
        for _ in 0..2 {
            let request = peer.receive_type(64).await[1].clone();
            peer.send(json!([8, 64, request, {}, "wamp.error.procedure_already_exists"])).await;
        }
        let request = peer.receive_type(64).await[1].clone();
        peer.send(json!([65, request, 6])).await;
        let restored = loop {
            if let Some(ConnectionEvent::Restored(restored)) = in_time("an event", events.next()).await {
                break restored;
            }
        };
        assert_eq!(
            (&*restored.registrations, restored.lost.len()),
            (&["com.example.work".to_owned()][..], 0)
        );
        // Any other refusal is final.
        drop(peer);
        let mut peer = script.join().await;
        let request = peer.receive_type(64).await[1].clone();
        peer.send(json!([8, 64, request, {}, "wamp.error.not_authorized"])).await;
        let mut lost = Vec::new();
        while lost.len() < 2 {
            match in_time("an event", events.next()).await.unwrap() {
                ConnectionEvent::Restored(restored) => lost.push(restored.lost[0].uri.clone()),
                ConnectionEvent::RegistrationLost { procedure, error } => {
                    assert_eq!(error.uri(), "wamp.error.not_authorized");
                    lost.push(procedure);
                }
                _ => {}
            }
        }
        assert_eq!(lost, ["com.example.work", "com.example.work"]);
    });
}

#[test]
fn a_first_registration_is_tried_once() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let serving = client.register("com.example.work").serve(|(): (), _| async { Ok::<_, WampError>(()) });
        let registering = tokio::spawn(serving.into_future());
        let request = peer.receive_type(64).await[1].clone();
        peer.send(json!([8, 64, request, {}, "wamp.error.procedure_already_exists"])).await;
        assert!(matches!(in_time("an error", registering).await.unwrap(), Err(RegisterError::Wamp(_))));
    });
}

#[test]
fn the_answer_to_a_dropped_registration_is_taken_back() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let serving = client.register("com.example.work").serve(|(): (), _| async { Ok::<_, WampError>(()) });
        let registering = tokio::spawn(serving.into_future());
        let request = peer.receive_type(64).await[1].clone();
        registering.abort();
        assert!(registering.await.unwrap_err().is_cancelled());
        peer.send(json!([65, request, 5])).await;
        assert_eq!(peer.receive_type(66).await[2], 5);
    });
}

#[test]
fn request_ids_are_one_two_three_in_every_session() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        for _ in 0..2 {
            for number in 1..4_u64 {
                client.publish("com.example.tick").arg(number).await.unwrap();
                assert_eq!(peer.receive_type(16).await[1], number);
                // One that cannot be sent uses up no id.
                let large = client.publish("com.example.tick").arg("x".repeat(100_000)).await;
                assert!(large.is_err());
            }
            drop(peer);
            peer = script.join().await;
        }
    });
}

#[test]
fn a_router_that_does_not_answer_goodbye_is_left_in_the_end() {
    run(async {
        let script = Script::start().await;
        let builder = script.builder().close_timeout(Duration::from_millis(20));
        let (client, mut peer) = tokio::join!(in_time("connecting", builder.connect()), script.join());
        let client = client.unwrap();
        let closing = tokio::spawn(async move { client.close().await });
        assert_eq!(peer.receive().await[0], 6);
        in_time("closing", closing).await.unwrap();
    });
}

#[test]
fn calls_in_flight_end_when_the_client_is_closed() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        let mut events = client.events();
        let call = tokio::spawn(client.call::<()>("com.example.x").into_future());
        let published = tokio::spawn(client.publish("com.example.x").acknowledge().into_future());
        peer.receive_type(48).await;
        let closing = tokio::spawn(async move { client.close().await });
        peer.receive_type(6).await;
        peer.send(json!([6, {}, "wamp.close.goodbye_and_out"])).await;
        in_time("closing", closing).await.unwrap();
        assert!(matches!(call.await.unwrap(), Err(CallError::Closed)));
        assert!(matches!(published.await.unwrap(), Err(PublishError::Closed)));
        let disconnected = ConnectionEvent::Disconnected { reason: EndReason::Closed, calls_failed: 1 };
        assert_eq!(events.next().await, Some(disconnected));
        assert_eq!(events.next().await, Some(ConnectionEvent::Closed(EndReason::Closed)));
        assert_eq!(events.next().await, None);
    });
}

#[test]
fn what_comes_instead_of_a_welcome_is_said() {
    run(async {
        let script = Script::start().await;
        for (answer, expected) in [
            (json!([36, 1, 1, {}]), "EVENT"),
            (json!("hello"), "list"),
            (json!([3, {"message": "full"}, "com.example.full"]), "com.example.full (full)"),
        ] {
            let client = tokio::spawn(in_time("an error", script.builder().connect()));
            let mut peer = script.accept().await;
            peer.receive().await;
            peer.send(answer).await;
            let error = client.await.unwrap().unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        let client = tokio::spawn(in_time("an error", script.builder().connect()));
        drop(script.accept().await);
        assert!(matches!(client.await.unwrap(), Err(ConnectError::Lost(_))));
        let client = tokio::spawn(in_time("an error", script.builder().connect()));
        let mut peer = script.accept().await;
        for _ in 0..20 {
            peer.send(json!([4, "ticket", {}])).await;
        }
        assert!(client.await.unwrap().is_err());
    });
}

#[test]
fn a_goodbye_is_answered() {
    run(async {
        let script = Script::start().await;
        let (client, mut peer) = joined(&script).await;
        peer.send(json!([6, {}, "wamp.close.system_shutdown"])).await;
        assert_eq!(peer.receive_type(6).await[2], "wamp.close.goodbye_and_out");
        let mut peer = script.join().await;
        peer.send(json!([6, {}, "com.example.leave"])).await;
        let mut state = client.state();
        let closed = state.wait_for(|state| matches!(state, ConnectionState::Closed(_)));
        let reason = "com.example.leave".to_owned();
        let expected = ConnectionState::Closed(EndReason::Goodbye { reason, message: None });
        assert_eq!(*in_time("the end", closed).await.unwrap(), expected);
    });
}

#[test]
fn a_router_that_drops_everybody_at_once_is_not_stormed() {
    run(async {
        let script = Script::start().await;
        let policy = ReconnectPolicy { pause_min: Duration::from_millis(1), ..ReconnectPolicy::default() };
        let builder = script.builder().reconnect(policy);
        let (client, peer) = tokio::join!(in_time("connecting", builder.connect()), script.join());
        let mut events = client.as_ref().unwrap().events();
        drop(peer);
        for _ in 0..9 {
            drop(script.join().await);
        }
        let mut pauses = Vec::new();
        while pauses.len() < 9 {
            if let Some(ConnectionEvent::Reconnecting { after, .. }) =
                in_time("an event", events.next()).await
            {
                pauses.push(after);
            }
        }
        // Were they not to grow, none would be longer than a millisecond.
        assert!(pauses.iter().max() > Some(&Duration::from_millis(4)), "{pauses:?}");
    });
}
