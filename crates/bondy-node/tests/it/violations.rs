//! Well-formed bytes that say what must not be said: refused before there is a session, and answered within one.

use bondy_wamp::serializer::Serializer;
use serde_json::{Value, json};

use crate::hostile::Scene;
use crate::node::{REALM, Setup};
use crate::peer::http::ask;
use crate::peer::{self, Dial, Peer, until_end};

#[test]
fn what_comes_before_hello_is_refused_with_abort() {
    let scene = Scene::new();
    let early = [
        json!([48, 1, {}, "com.example.echo"]),
        json!([5, "signature", {}]),
        json!([6, {}, "wamp.close.normal"]),
        json!([99, 1]),
        json!({}),
        json!([1, "realm1", {}]),
        json!([1, "realm1", {"roles": {}}]),
        json!([1, "realm1", {"roles": {"broker": {}}}]),
        json!([1, "realm1", {"roles": {"caller": 7}}]),
        json!([1, "realm1"]),
    ];
    for dial in &scene.dials {
        for message in &early {
            let mut wire = dial.open();
            wire.send_value(message);
            let (messages, _) = until_end(&mut wire);
            assert_eq!(messages.len(), 1, "{message}");
            assert_eq!(messages[0][2], "wamp.error.protocol_violation", "{message}");
        }
        let mut wire = dial.open();
        wire.send_value(&json!([1, "no realm", {"roles": {"caller": {}}}]));
        assert_eq!(until_end(&mut wire).0[0][2], "wamp.error.invalid_uri");
        let mut wire = dial.open();
        wire.send_value(&peer::hello("com.example.none"));
        assert_eq!(until_end(&mut wire).0[0][2], "wamp.error.no_such_realm");
    }
    scene.conclude();
}

#[test]
fn messages_that_break_the_protocol_end_the_session_with_abort() {
    let mut scene = Scene::new();
    let violations = [
        peer::hello(REALM),
        json!([2, 1, {}]),
        json!([36, 1, 1, {}]),
        json!([68, 1, 1, {}]),
        json!([50, 1, {}]),
        json!([99, 1, {}]),
        json!([]),
        json!({}),
        json!("text"),
        json!([48]),
        json!([48, 0, {}, "com.example.echo"]),
        json!([48, -1, {}, "com.example.echo"]),
        json!([48, 1.0, {}, "com.example.echo"]),
        json!([48, 9_007_199_254_740_993_u64, {}, "com.example.echo"]),
        json!([48, 1, [], "com.example.echo"]),
        json!([48, 1, null, "com.example.echo"]),
        json!([48, 1, {}, 7]),
        json!([48, 1, {}, "com.example.echo", {}]),
        json!([48, 1, {}, "com.example.echo", [], []]),
        json!([48, 1, {}, "com.example.echo", [], {}, 1]),
        json!([48, 1, {"timeout": -1}, "com.example.echo"]),
        json!([48, 1, {"receive_progress": 1}, "com.example.echo"]),
        json!([16, 1, {"acknowledge": 1}, "com.example.topic"]),
        json!([32, 1, {"match": "fuzzy"}, "com.example.topic"]),
        json!([49, 1, {"mode": "maim"}]),
        // Answers to what was never asked.
        json!([70, 1, {}, []]),
        json!([8, 68, 1, {}, "com.example.error"]),
    ];
    for (number, message) in violations.iter().enumerate() {
        let dial = &scene.dials[number % scene.dials.len()];
        let mut peer = dial.join(REALM);
        peer.send(message);
        let (messages, _) = peer.until_end();
        let last = messages.last().unwrap_or(&Value::Null);
        assert_eq!(last[2], "wamp.error.protocol_violation", "{message}: {messages:?}");
        assert!(last[1]["message"].is_string(), "{message}: {last}");
        scene.witness.check();
    }
    scene.conclude();
}

#[test]
fn an_answer_to_anothers_invocation_touches_nobodys_call() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    let dial = node.rawsocket("tcp");
    let (mut callee, mut caller, mut forger) = (dial.join(REALM), dial.join(REALM), dial.join(REALM));
    callee.register("com.example.echo");
    let request = caller.begin_call("com.example.echo", &json!(["mine"]));
    let invocation = callee.receive_type(peer::INVOCATION);
    forger.send(&json!([70, invocation[1], {}, ["forged"]]));
    assert_eq!(forger.until_end().0.last().expect("ABORT")[2], "wamp.error.protocol_violation");
    callee.send(&json!([70, invocation[1], {}, ["true"]]));
    assert_eq!(caller.end_call(request), Ok(json!(["true"])));
}

/// Lists in lists, `depth` of them inside `args`, in this serializer.
fn nested_call(serializer: Serializer, depth: usize) -> Vec<u8> {
    let mut message = peer::encode(serializer, &json!([48, 7, {}, "com.example.nobody", []]));
    message.pop();
    match serializer {
        Serializer::Json => {
            message.truncate(message.len() - 2);
            message.extend("[".repeat(depth + 1).bytes().chain("]".repeat(depth + 2).bytes()));
        }
        Serializer::MessagePack | Serializer::Cbor => {
            // A list of one item is 0x91 in MessagePack and 0x81 in CBOR, an empty one 0x90 and 0x80.
            let empty = if serializer == Serializer::Cbor { 0x80 } else { 0x90 };
            while message.last().is_some_and(|last| *last != b'y') {
                message.pop();
            }
            message.extend(std::iter::repeat_n(empty + 1, depth));
            message.push(empty);
        }
    }
    message
}

#[test]
fn nesting_deeper_than_64_is_a_violation_however_deep_it_is() {
    let mut scene = Scene::new();
    for serializer in Serializer::ALL {
        let dial = scene.node.rawsocket("all").serializer(serializer);
        let mut peer = dial.join(REALM);
        peer.wire.send(&nested_call(serializer, 64));
        assert_eq!(peer.receive()[4], "wamp.error.no_such_procedure", "{serializer}");
        for depth in [65, 1000, 4_000_000] {
            let mut peer = dial.join(REALM);
            peer.wire.send(&nested_call(serializer, depth));
            let (messages, _) = peer.until_end();
            let last = messages.last().expect("ABORT");
            assert_eq!(last[2], "wamp.error.protocol_violation", "{serializer} {depth}");
        }
    }
    scene.witness.check();
}

#[test]
fn a_lone_surrogate_is_an_error_to_its_sender_and_the_session_lives() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    let dial = node.rawsocket("tcp");
    let (mut callee, mut peer) = (dial.join(REALM), dial.join(REALM));
    callee.register("com.example.echo");
    peer.wire.send(b"[48,1,{},\"com.example.echo\",[\"\\ud800\"]]");
    assert_eq!(peer.receive()[4], "wamp.error.invalid_argument");
    // In an answer it ends the call, and the callee lives as well.
    let request = {
        peer.next_request();
        peer.begin_call("com.example.echo", &json!([]))
    };
    let invocation = callee.receive_type(peer::INVOCATION);
    callee.wire.send(format!("[70,{},{{}},[\"\\udfff\"]]", invocation[1]).as_bytes());
    assert_eq!(peer.end_call(request), Err("wamp.error.invalid_argument".to_owned()));
    let request = peer.begin_call("com.example.echo", &json!([1]));
    callee.echo();
    assert_eq!(peer.end_call(request), Ok(json!([1])));
}

/// The head of the answer to a request.
#[track_caller]
fn head_of(dial: &Dial, request: &str) -> String {
    peer::wire::read_head(&mut ask(dial, request)).expect("an answer")
}

#[test]
fn an_unknown_subprotocol_is_answered_with_400_and_the_first_known_one_is_taken() {
    let node = Setup::new().listener("ws", "serve: [websocket]").start();
    let ask = |subprotocols: Option<&str>| {
        let mut request = node.websocket("ws").request();
        let line = "Sec-WebSocket-Protocol: wamp.2.json\r\n";
        request = match subprotocols {
            Some(names) => request.replace(line, &format!("Sec-WebSocket-Protocol: {names}\r\n")),
            None => request.replace(line, ""),
        };
        head_of(&node.websocket("ws"), &request).to_ascii_lowercase()
    };
    for unknown in [None, Some("chat"), Some("wamp.2.ubjson, wamp.2"), Some("WAMP.2.JSON")] {
        assert!(ask(unknown).starts_with("http/1.1 400 "), "{unknown:?}");
    }
    let answer = ask(Some("wamp.2.ubjson, wamp.2.cbor, wamp.2.json"));
    assert!(
        answer.starts_with("http/1.1 101 ") && answer.contains("sec-websocket-protocol: wamp.2.cbor\r\n")
    );
}

#[test]
fn requests_that_are_no_websocket_handshake_are_refused() {
    let node = Setup::new().listener("ws", "serve: [websocket]").start();
    let status = |request: String| {
        let head = head_of(&node.websocket("ws"), &request);
        head.split(' ').nth(1).map(str::to_owned).expect("a status")
    };
    let good = node.websocket("ws").request();
    assert_eq!(status(good.clone()), "101");
    assert_eq!(status(good.replace("Version: 13", "Version: 8")), "426");
    assert_eq!(status(good.replace("Sec-WebSocket-Key: dGhl", "Sec-WebSocket-Key: x")), "400");
    assert_eq!(status(good.replace("/ws", "/elsewhere")), "404");
    assert_eq!(status("GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()), "426");
    assert_eq!(status("NONSENSE\r\n\r\n".to_owned()), "400");
    assert_eq!(status(format!("GET /ws HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(20_000))), "431");
}

#[test]
fn a_client_that_aborts_is_closed_orderly() {
    let scene = Scene::new();
    for dial in &scene.dials {
        let mut peer: Peer = dial.join(REALM);
        peer.send(&json!([3, {}, "com.example.reason"]));
        let (messages, code) = peer.until_end();
        assert!(messages.is_empty(), "{messages:?}");
        assert!(matches!(code, None | Some(1000 | 1001)), "{code:?}");
    }
    scene.conclude();
}
