//! What a listener and a realm refuse when they are full or have waited long enough.

use std::io::{Read, Write};
use std::time::Duration;

use bondy_wamp::serializer::Serializer;
use serde_json::json;

use crate::authority::Tls;
use crate::node::{REALM, Setup};
use crate::peer::http::http;
use crate::peer::{self, Dial, until_end, wait_for};

#[test]
fn a_full_listener_refuses_rawsocket_with_code_4_and_http_with_503() {
    let node =
        Setup::new().listener("all", "serve: [rawsocket, websocket, http], connections_max: 2").start();
    let dial = node.rawsocket("all");
    let (first, mut second) = (dial.join(REALM), node.websocket("all").join(REALM));
    let error = dial.try_open().err().expect("a refusal");
    assert!(error.to_string().contains("maximum connection count"), "{error}");
    let error = node.websocket("all").try_open().err().expect("a refusal").to_string();
    assert!(
        error.starts_with("HTTP/1.1 503 ") && error.to_ascii_lowercase().contains("retry-after:"),
        "{error}"
    );
    assert_eq!(http(&node.address("all"), "GET", "/").status, 503);
    // Those who are in notice nothing, and a place that is free is given again.
    second.register("com.example.echo");
    drop(first);
    wait_for("a free place", || dial.try_open().is_ok());
}

#[test]
fn a_full_listener_refuses_over_tls_as_well() {
    let tls = Tls::new();
    let node = Setup::new()
        .listener("tls", &format!("serve: [rawsocket, websocket], connections_max: 1, {}", tls.keys()))
        .start();
    let client = tls.client();
    let _first = node.rawsocket("tls").tls(&client).join(REALM);
    let error = node.rawsocket("tls").tls(&client).try_open().err().expect("a refusal");
    assert!(error.to_string().contains("maximum connection count"), "{error}");
    let error = node.websocket("tls").tls(&client).try_open().err().expect("a refusal");
    assert!(error.to_string().starts_with("HTTP/1.1 503 "), "{error}");
}

#[test]
fn one_full_listener_leaves_the_others_alone() {
    let node = Setup::new()
        .listener("small", "serve: [rawsocket], connections_max: 1")
        .listener("other", "serve: [rawsocket]")
        .start();
    let _first = node.rawsocket("small").join(REALM);
    assert!(node.rawsocket("small").try_open().is_err());
    node.rawsocket("other").join(REALM);
    assert_eq!(http(&node.address("admin"), "GET", "/ping").status, 204);
}

/// Sends this much of a handshake; the router must end the connection by itself.
#[track_caller]
fn is_ended(dial: &Dial, beginning: &[u8]) {
    let mut stream = dial.try_connect().expect("a connection");
    stream.write_all(beginning).expect("a write");
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection was not ended: {error}"),
    }
}

#[test]
fn a_handshake_that_does_not_come_in_time_ends_the_connection() {
    let tls = Tls::new();
    let keys = "serve: [rawsocket, websocket], handshake_timeout: 200ms";
    let node = Setup::new()
        .listener("all", keys)
        .listener("proxied", &format!("{keys}, proxy_protocol: true"))
        .listener("tls", &format!("{keys}, {}", tls.keys()))
        .start();
    let plain = node.rawsocket("all");
    is_ended(&plain, b"");
    is_ended(&plain, b"\x7f");
    is_ended(&plain, b"\x7f\xf1\x00");
    is_ended(&plain, b"G");
    is_ended(&plain, b"GET /ws HTTP/1.1\r\nHost: local");
    is_ended(&node.rawsocket("proxied"), b"PROXY TCP4 203.0.");
    is_ended(&node.rawsocket("tls"), b"");
    is_ended(&node.rawsocket("tls"), b"\x16\x03\x01\x02\x00");
    node.wait_for_metric("bondy_connections", 1.0);
}

#[test]
fn a_hello_that_does_not_come_in_time_ends_the_connection() {
    let node =
        Setup::new().listener("all", "serve: [rawsocket, websocket], authentication_timeout: 200ms").start();
    for dial in [node.rawsocket("all"), node.websocket("all")] {
        let mut wire = dial.open();
        until_end(&mut wire);
        let mut wire = dial.open();
        let hello = peer::encode(Serializer::Json, &peer::hello(REALM));
        let frame = wire.frame(&hello);
        wire.send_bytes(&frame[..frame.len() - 1]);
        until_end(&mut wire);
    }
    node.wait_for_metric("bondy_connections", 1.0);
}

#[test]
fn a_hello_without_end_is_refused_before_it_fills_the_memory() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    let mut wire = node.rawsocket("tcp").open();
    let mut hello = b"[1,\"realm1\",{\"x\":\"".to_vec();
    hello.resize(8 << 20, b'a');
    wire.send(&hello);
    let (messages, _) = until_end(&mut wire);
    // The peer may find the connection reset before it has read the reason.
    assert!(messages.iter().all(|message| message[2] == "wamp.error.protocol_violation"), "{messages:?}");
    drop(wire);
    node.wait_for_metric("bondy_connections", 1.0);
}

#[test]
fn a_hello_without_end_is_refused_over_websocket_as_well() {
    let node = Setup::new().listener("ws", "serve: [websocket]").start();
    let mut wire = node.websocket("ws").open();
    let mut hello = b"[1,\"realm1\",{\"x\":\"".to_vec();
    hello.resize(8 << 20, b'a');
    let frame = wire.frame(&hello);
    // Less than what the frame announces, and more than any HELLO needs.
    wire.send_bytes(&frame[..1 << 20]);
    let (messages, _) = until_end(&mut wire);
    assert!(messages.iter().all(|message| message[2] == "wamp.error.protocol_violation"), "{messages:?}");
    drop(wire);
    node.wait_for_metric("bondy_connections", 1.0);
}

#[test]
fn a_realm_with_all_its_sessions_lets_nobody_else_in() {
    let node = Setup::new()
        .listener("all", "serve: [rawsocket, websocket]")
        .realms(
            "  - {uri: small, authmethods: [anonymous], security_enabled: false, limits: {sessions_max: 1}}\n\
             \x20 - {uri: other, authmethods: [anonymous], security_enabled: false}",
        )
        .start();
    for dial in [node.rawsocket("all"), node.websocket("all")] {
        let first = dial.join("small");
        let mut wire = dial.open();
        wire.send_value(&peer::hello("small"));
        let (messages, _) = until_end(&mut wire);
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0][2], "bondy.error.limit_exceeded");
        dial.join("other");
        drop(first);
        node.wait_for_metric("bondy_sessions", 0.0);
    }
}

#[test]
fn pending_calls_beyond_the_limit_are_refused_and_the_others_go_on() {
    let node = Setup::new()
        .listener("tcp", "serve: [rawsocket]")
        .realms(
            "  - {uri: realm1, authmethods: [anonymous], security_enabled: false, limits: {calls_max: 10}}",
        )
        .start();
    let (mut callee, mut caller) = (node.rawsocket("tcp").join(REALM), node.rawsocket("tcp").join(REALM));
    callee.register("com.example.echo");
    let requests: Vec<u64> =
        (0..10).map(|number| caller.begin_call("com.example.echo", &json!([number]))).collect();
    let refused = caller.begin_call("com.example.echo", &json!([]));
    let error = caller.receive();
    assert_eq!((&error[2], &error[4]), (&json!(refused), &json!("bondy.error.limit_exceeded")));
    assert_eq!(error[6], json!({"limit": "calls_max", "max": 10}));
    (0..10).for_each(|_| callee.echo());
    for (number, request) in requests.into_iter().enumerate() {
        assert_eq!(caller.end_call(request), Ok(json!([number])));
    }
}

#[test]
fn ten_thousand_pending_calls_are_all_answered() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    let (mut callee, mut caller) = (node.rawsocket("tcp").join(REALM), node.rawsocket("tcp").join(REALM));
    callee.register("com.example.echo");
    let requests: Vec<u64> =
        (0..10_000).map(|number| caller.begin_call("com.example.echo", &json!([number]))).collect();
    let invocations: Vec<_> = (0..10_000).map(|_| callee.receive_type(peer::INVOCATION)).collect();
    let details = callee.details(caller.session);
    assert_eq!(details["_stats"]["calls_pending"], 10_000);
    for invocation in invocations.iter().rev() {
        callee.send(&json!([peer::YIELD, invocation[1], {}, invocation[4]]));
    }
    for (number, request) in requests.into_iter().enumerate().rev() {
        assert_eq!(caller.end_call(request), Ok(json!([number])));
    }
    assert!(callee.try_receive(Duration::from_millis(1)).is_none());
}
