//! Messages as large as they may be, larger than they may be, and larger than a peer takes.

use bondy_transport::websocket::frame::{FrameHeader, Opcode, append_frame};
use bondy_wamp::serializer::Serializer;
use serde_json::{Value, json};

use crate::authority::Tls;
use crate::node::{REALM, Setup, Witness};
use crate::peer::{self, Dial, EVENT, INVOCATION, Peer, RESULT, Received, until_end};

const MIB: usize = 1 << 20;

/// A JSON message of exactly `bytes`: `head`, a string of one letter, `]]`.
fn message_of(bytes: usize, head: &str) -> Vec<u8> {
    let letters = bytes - head.len() - "\"\"]]".len();
    [head.as_bytes(), b"\"", &vec![b'a'; letters], b"\"]]"].concat()
}

/// The next message as bytes.
#[track_caller]
fn receive_bytes(peer: &mut Peer) -> Vec<u8> {
    match peer.wire.receive() {
        Received::Message(bytes) => bytes,
        other => panic!("{other:?} where a message was expected"),
    }
}

#[test]
fn a_rawsocket_message_of_exactly_16_mib_goes_both_ways() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    let (mut callee, mut caller) = (node.rawsocket("tcp").join(REALM), node.rawsocket("tcp").join(REALM));
    // CALL names the procedure and INVOCATION does not, so what the callee gets fits as well.
    let procedure = format!("com.example.{}", "a".repeat(200));
    callee.register(&procedure);
    let head = format!("[48,1,{{}},\"{procedure}\",[");
    caller.wire.send(&message_of(16 * MIB, &head));
    let invocation = receive_bytes(&mut callee);
    assert!(invocation.len() > 15 * MIB && invocation.starts_with(b"[68,1,"));
    // YIELD and RESULT have the same length.
    callee.wire.send(&message_of(16 * MIB, "[70,1,{},["));
    let result = receive_bytes(&mut caller);
    assert_eq!(result.len(), 16 * MIB);
    assert!(result.starts_with(b"[50,1,{},[\"aaa"));
}

#[test]
fn a_message_of_several_mib_goes_both_ways_over_websocket_and_tls() {
    let tls = Tls::new();
    let node = Setup::new()
        .listener("ws", "serve: [websocket]")
        .listener("tls", &format!("serve: [rawsocket, websocket], {}", tls.keys()))
        .start();
    for dial in [
        node.websocket("ws"),
        node.websocket("ws").serializer(Serializer::Cbor),
        node.websocket("tls").tls(&tls.client()),
        node.rawsocket("tls").tls(&tls.client()),
    ] {
        let (mut callee, mut caller) = (dial.join(REALM), dial.join(REALM));
        callee.register("com.example.echo");
        let args = json!(["a".repeat(9 * MIB)]);
        let request = caller.begin_call("com.example.echo", &args);
        callee.echo();
        assert!(caller.end_call(request) == Ok(args), "the same comes back");
        drop(callee);
        node.wait_for_metric("bondy_registrations", 0.0);
    }
}

#[test]
fn a_large_message_in_many_fragments_is_put_together() {
    let node = Setup::new().listener("ws", "serve: [websocket]").start();
    let mut peer = node.websocket("ws").join(REALM);
    peer.register("com.example.echo");
    let message = message_of(3 * MIB, "[48,2,{},\"com.example.echo\",[");
    let chunks: Vec<&[u8]> = message.chunks(60_000).collect();
    for (index, chunk) in chunks.iter().enumerate() {
        let opcode = if index == 0 { Opcode::Text } else { Opcode::Continuation };
        let fin = index + 1 == chunks.len();
        let header = FrameHeader { fin, mask: Some([1, 2, 3, 4]), ..FrameHeader::whole(opcode, 0) };
        let mut frame = Vec::new();
        append_frame(header, chunk, &mut frame);
        peer.wire.send_bytes(&frame);
    }
    peer.echo();
    let result = peer.receive_type(RESULT);
    assert!(result[3][0].as_str().is_some_and(|text| text.len() > 3 * MIB - 100));
}

#[test]
fn a_large_message_stalls_nobody_and_keeps_its_place_in_the_order() {
    let node = Setup::new().listener("all", "serve: [rawsocket, websocket]").start();
    for dial in [node.rawsocket("all"), node.websocket("all")] {
        let (mut callee, mut caller) = (dial.join(REALM), dial.join(REALM));
        callee.register("com.example.echo");
        let small = json!([48, 1, {}, "com.example.echo", ["first"]]);
        caller.send(&small);
        caller.wire.send(&message_of(4 * MIB, "[48,2,{},\"com.example.echo\",["));
        caller.send(&json!([48, 3, {}, "com.example.echo", ["last"]]));
        let order: Vec<Value> = (0..3).map(|_| callee.receive_type(INVOCATION)[4][0].clone()).collect();
        assert_eq!((&order[0], &order[2]), (&json!("first"), &json!("last")));
        drop(callee);
        node.wait_for_metric("bondy_registrations", 0.0);
    }
}

#[test]
fn a_websocket_message_over_the_listeners_limit_closes_with_1009() {
    let node = Setup::new()
        .listener("ws", "serve: [websocket], message_bytes_max: 64KiB")
        .listener("deflate", "serve: [websocket], message_bytes_max: 64KiB, compression: true")
        .start();
    let mut witness = Witness::join(&node.websocket("ws"));
    let call = |bytes| message_of(bytes, "[48,1,{},\"com.example.nobody\",[");
    let mut peer = node.websocket("ws").join(REALM);
    peer.wire.send(&call(64 * 1024));
    assert_eq!(peer.receive()[4], "wamp.error.no_such_procedure");
    peer.wire.send(&call(64 * 1024 + 1));
    assert_eq!(peer.until_end(), (vec![], Some(1009)));

    // What is small on the wire and large behind it.
    let mut peer = Dial { compression: true, ..node.websocket("deflate") }.join(REALM);
    peer.wire.send(&call(MIB));
    assert_eq!(peer.until_end(), (vec![], Some(1009)));

    // The limit holds before there is a session, too.
    let mut wire = node.websocket("ws").open();
    wire.send(&message_of(64 * 1024 + 1, "[1,\"realm1\",[["));
    assert_eq!(until_end(&mut wire).1, Some(1009));
    witness.check();
}

#[test]
fn a_rawsocket_message_over_the_listeners_limit_ends_the_session_with_a_reason() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket], message_bytes_max: 64KiB").start();
    let mut witness = Witness::join(&node.rawsocket("tcp"));
    let mut peer = node.rawsocket("tcp").join(REALM);
    peer.wire.send(&message_of(64 * 1024, "[48,1,{},\"com.example.nobody\",["));
    assert_eq!(peer.receive()[4], "wamp.error.no_such_procedure");
    peer.wire.send(&message_of(64 * 1024 + 1, "[48,2,{},\"com.example.nobody\",["));
    let (messages, _) = peer.until_end();
    assert_eq!(messages[0][2], "wamp.error.protocol_violation");
    assert!(messages[0][1]["message"].as_str().is_some_and(|text| text.contains("65537")), "{messages:?}");
    witness.check();
}

/// A rawsocket peer that takes messages of at most 1 KiB.
fn small(dial: Dial) -> Peer {
    Dial { receive_bytes_max: 1024, ..dial }.join(REALM)
}

#[test]
fn an_event_larger_than_a_peer_takes_is_dropped_for_it_alone_and_counted() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    let mut publisher = node.rawsocket("tcp").join(REALM);
    let (mut tiny, mut other) = (small(node.rawsocket("tcp")), node.rawsocket("tcp").join(REALM));
    tiny.subscribe("com.example.topic");
    let subscription = other.subscribe("com.example.topic");
    let large = json!(["a".repeat(2000)]);
    publisher.publish("com.example.topic", &large);
    assert_eq!(other.receive_type(EVENT)[4], large);
    assert_eq!(publisher.details(tiny.session)["_stats"]["events_dropped"], 1);
    node.wait_for_metric("bondy_events_dropped_size_total", 1.0);
    publisher.publish("com.example.topic", &json!(["small"]));
    let event = tiny.receive_type(EVENT);
    assert_eq!((&event[3], &event[4]), (&json!({"_dropped": 1}), &json!(["small"])));
    assert_eq!(other.receive_type(EVENT)[3], json!({}));
    publisher.publish("com.example.topic", &json!(["again"]));
    assert_eq!(tiny.receive_type(EVENT)[3], json!({}), "drops are told once");
    let stats = publisher.call("wamp.subscription.get", &json!([subscription])).expect("a subscription");
    assert_eq!(stats[0]["_stats"]["events_dropped"], 1);
}

#[test]
fn a_call_or_result_larger_than_its_receiver_takes_ends_with_payload_size_exceeded() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    let (mut tiny, mut other) = (small(node.rawsocket("tcp")), node.rawsocket("tcp").join(REALM));
    let exceeded = Err("wamp.error.payload_size_exceeded".to_owned());
    tiny.register("com.example.tiny");
    assert_eq!(other.call("com.example.tiny", &json!(["a".repeat(2000)])), exceeded);
    let request = other.begin_call("com.example.tiny", &json!(["a"]));
    tiny.echo();
    assert_eq!(other.end_call(request), Ok(json!(["a"])));

    other.register("com.example.other");
    let request = tiny.begin_call("com.example.other", &json!([]));
    let invocation = other.receive_type(INVOCATION);
    other.send(&json!([70, invocation[1], {}, ["a".repeat(2000)]]));
    assert_eq!(tiny.end_call(request), exceeded);

    // An error of the callee, and an answer of the router itself.
    let request = tiny.begin_call("com.example.other", &json!([]));
    let invocation = other.receive_type(INVOCATION);
    other.send(&json!([8, 68, invocation[1], {}, "com.example.error", ["a".repeat(2000)]]));
    assert_eq!(tiny.end_call(request), exceeded);
    for number in 0..300 {
        other.register(&format!("com.example.p{number}"));
    }
    assert_eq!(tiny.call("wamp.registration.list", &json!([])), exceeded);
    let request = tiny.begin_call("com.example.other", &json!([1]));
    other.echo();
    assert_eq!(tiny.end_call(request), Ok(json!([1])), "the link has held");
}

#[test]
fn a_refusal_never_exceeds_what_its_receiver_takes() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    let mut tiny = small(node.rawsocket("tcp"));
    // The router's texts quote what was asked for; the peer's frames would break where they are too long.
    let name = format!("com.example.{}", "a".repeat(975));
    assert_eq!(tiny.call(&name, &json!([])), Err("wamp.error.no_such_procedure".to_owned()));
    let request = tiny.next_request();
    tiny.send(&json!([32, request, {}, format!("com..{}", "a".repeat(975))]));
    assert_eq!(tiny.receive()[4], "wamp.error.invalid_uri");
}

#[test]
fn a_peer_that_takes_less_than_welcome_is_not_let_in() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    let mut wire = Dial { receive_bytes_max: 512, ..node.rawsocket("tcp") }.open();
    wire.send_value(&peer::hello(REALM));
    let (messages, _) = until_end(&mut wire);
    assert_eq!((messages.len(), &messages[0][0]), (1, &json!(peer::ABORT)), "{messages:?}");
    assert_eq!(messages[0][2], "wamp.error.payload_size_exceeded");
    node.wait_for_metric("bondy_sessions", 0.0);
}
