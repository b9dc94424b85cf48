//! Every transport joins, calls and publishes.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use bondy_wamp::serializer::Serializer;
use serde_json::json;

use crate::authority::Tls;
use crate::node::{REALM, Setup};
use crate::peer::wire::{batched, opcode_of};
use crate::peer::{Dial, Peer, wait_for};

/// A call and an event go through, both ways, between this peer and itself.
#[track_caller]
fn exercise(mut peer: Peer, name: &str) -> Peer {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let procedure = format!("com.example.{number}.echo");
    peer.register(&procedure);
    let args = json!([1, -2, 3.5, "Grüße, мир, 世界 🙂", null, true, {"nested": [{}]}]);
    let request = peer.begin_call(&procedure, &args);
    peer.echo();
    assert_eq!(peer.end_call(request), Ok(args.clone()), "{name}");
    let topic = format!("com.example.{number}.event");
    let subscription = peer.subscribe(&topic);
    let request = peer.next_request();
    peer.send(&json!([16, request, {"acknowledge": true, "exclude_me": false}, topic, args]));
    let event = peer.receive_type(crate::peer::EVENT);
    assert_eq!((&event[1], &event[4]), (&json!(subscription), &args), "{name}");
    peer.receive_type(crate::peer::PUBLISHED);
    peer
}

#[track_caller]
fn transport_of(peer: &mut Peer) -> serde_json::Value {
    let session = peer.session;
    peer.details(session)["transport"].clone()
}

#[test]
fn rawsocket_over_tcp_serves_every_serializer() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    for serializer in Serializer::ALL {
        let peer = node.rawsocket("tcp").serializer(serializer).join(REALM);
        let mut peer = exercise(peer, serializer.as_str());
        let transport = transport_of(&mut peer);
        assert_eq!(transport["protocol"], "rawsocket");
        assert_eq!(transport["tls"], false);
        assert_eq!(transport["client"], "127.0.0.1");
    }
}

#[test]
fn unix_sockets_serve_rawsocket_and_websocket_and_count_as_this_host() {
    let node = Setup::new().unix("local", "serve: [rawsocket, websocket]").start();
    for dial in [node.rawsocket("local"), node.websocket("local")] {
        let mut peer = exercise(dial.join(REALM), "unix");
        assert_eq!(transport_of(&mut peer)["client"], "127.0.0.1");
    }
}

#[test]
fn websocket_serves_all_six_subprotocols() {
    let node = Setup::new().listener("ws", "serve: [websocket]").start();
    for serializer in Serializer::ALL {
        for batched in [false, true] {
            let dial = Dial { batched, ..node.websocket("ws").serializer(serializer) };
            let mut peer = exercise(dial.join(REALM), serializer.subprotocol(batched));
            assert_eq!(transport_of(&mut peer)["protocol"], "websocket");
        }
    }
}

#[test]
fn a_batch_of_several_messages_is_handled_in_order() {
    let node = Setup::new().listener("ws", "serve: [websocket]").start();
    for serializer in Serializer::ALL {
        let dial = Dial { batched: true, ..node.websocket("ws").serializer(serializer) };
        let mut peer = dial.join(REALM);
        let topics = [(1, "com.example.a"), (2, "com.example.b"), (3, "com.example.c")];
        let requests = topics.iter().map(|(request, topic)| json!([32, request, {}, topic]));
        let batch: Vec<u8> = requests
            .flat_map(|request| batched(serializer, &crate::peer::encode(serializer, &request)))
            .collect();
        peer.wire.send_frame(opcode_of(serializer), &batch);
        for request in 1..=3 {
            assert_eq!(peer.receive()[1], request);
        }
    }
}

#[test]
fn tls_carries_rawsocket_and_websocket_on_one_port() {
    let tls = Tls::new();
    let node =
        Setup::new().listener("tls", &format!("serve: [rawsocket, websocket], {}", tls.keys())).start();
    for serializer in Serializer::ALL {
        for dial in [node.rawsocket("tls"), node.websocket("tls")] {
            let dial = dial.serializer(serializer).tls(&tls.client());
            let mut peer = exercise(dial.join(REALM), serializer.as_str());
            assert_eq!(transport_of(&mut peer)["tls"], true);
        }
    }
    assert!(node.rawsocket("tls").try_open().is_err(), "a listener with TLS takes nothing in plain text");
    assert!(node.websocket("tls").try_open().is_err(), "a listener with TLS takes nothing in plain text");
}

#[test]
fn new_certificates_are_for_new_connections_and_a_bad_one_changes_nothing() {
    let tls = Tls::new();
    let node = Setup::new().listener("tls", &format!("serve: [rawsocket], {}", tls.keys())).start();
    let dial = node.rawsocket("tls").tls(&tls.client());
    let mut old = dial.join(REALM);
    let issued = tls.issue();
    node.handle.reload_certificates();
    wait_for("the new certificate", || dial.open().stream.certificate() == Some(issued.clone()));
    assert_ne!(old.wire.stream.certificate(), Some(issued));
    old.register("com.example.still_here");
}

#[test]
fn a_listener_with_client_ca_takes_only_clients_with_a_certificate() {
    let (tls, others) = (Tls::new(), Tls::new());
    let keys = tls.keys_with_client_ca();
    let node = Setup::new().listener("tls", &format!("serve: [rawsocket, websocket], {keys}")).start();
    for dial in [node.rawsocket("tls"), node.websocket("tls")] {
        exercise(dial.clone().tls(&tls.client_with_certificate()).join(REALM), "with certificate");
        assert!(dial.clone().tls(&tls.client()).try_open().is_err(), "without certificate");
        let stranger = tls.client_with_certificate_of(&others);
        assert!(dial.tls(&stranger).try_open().is_err(), "with the certificate of another authority");
    }
}

#[test]
fn one_port_serves_rawsocket_websocket_and_http_by_the_first_octet() {
    let node = Setup::new().listener("all", "serve: [rawsocket, websocket, http, admin]").start();
    exercise(node.rawsocket("all").join(REALM), "raw");
    exercise(node.websocket("all").join(REALM), "ws");
    assert_eq!(crate::peer::http::http(&node.address("all"), "GET", "/ping").status, 204);
    assert_eq!(crate::peer::http::http(&node.address("all"), "GET", "/nothing").status, 404);
}

#[test]
fn peers_of_every_transport_and_serializer_understand_each_other() {
    let node = Setup::new()
        .listener("tcp", "serve: [rawsocket]")
        .listener("ws", "serve: [websocket]")
        .unix("local", "serve: [rawsocket]")
        .start();
    let dials = |serializer| {
        [node.rawsocket("tcp"), node.websocket("ws"), node.rawsocket("local")]
            .map(|dial: Dial| dial.serializer(serializer))
    };
    let args = json!([9_007_199_254_740_993_u64, 0.1, "é", [[]], {"k": -1}]);
    for (number, callee) in Serializer::ALL.into_iter().flat_map(dials).enumerate() {
        let mut callee = callee.join(REALM);
        // The one before may not have left yet.
        let (procedure, topic) = (format!("com.example.p{number}"), format!("com.example.t{number}"));
        callee.register(&procedure);
        callee.subscribe(&topic);
        for caller in Serializer::ALL.into_iter().flat_map(dials) {
            let mut caller = caller.join(REALM);
            let request = caller.begin_call(&procedure, &args);
            callee.echo();
            assert_eq!(caller.end_call(request), Ok(args.clone()));
            caller.publish(&topic, &args);
            assert_eq!(callee.receive_type(crate::peer::EVENT)[4], args);
        }
    }
}

#[test]
fn the_proxy_protocol_tells_the_clients_address() {
    let node =
        Setup::new().listener("proxied", "serve: [rawsocket, websocket], proxy_protocol: true").start();
    let version_1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n".to_vec();
    let mut version_2 = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    version_2.extend_from_slice(&[0x21, 0x11, 0, 12, 203, 0, 113, 8, 127, 0, 0, 1, 0x12, 0x67, 0, 80]);
    for (preface, client) in [(version_1, "203.0.113.7"), (version_2, "203.0.113.8")] {
        for dial in [node.rawsocket("proxied"), node.websocket("proxied")] {
            let mut peer = Dial { preface: preface.clone(), ..dial }.join(REALM);
            let transport = transport_of(&mut peer);
            assert_eq!(transport["client"], client);
        }
    }
    assert!(node.rawsocket("proxied").try_open().is_err(), "the header is demanded where it is configured");
}

#[test]
fn forwarding_headers_count_only_from_trusted_proxies() {
    let node = Setup::new()
        .listener("trusting", "serve: [websocket], trusted_proxies: ['127.0.0.0/8']")
        .listener("plain", "serve: [websocket]")
        .start();
    let headers = "X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\n";
    let client = |listener: &str, headers: &str| {
        let mut peer = Dial { headers: headers.to_owned(), ..node.websocket(listener) }.join(REALM);
        transport_of(&mut peer)["client"].clone()
    };
    assert_eq!(client("trusting", headers), "203.0.113.9");
    assert_eq!(client("trusting", "Forwarded: for=203.0.113.10;proto=http\r\n"), "203.0.113.10");
    assert_eq!(client("trusting", ""), "127.0.0.1");
    assert_eq!(client("plain", headers), "127.0.0.1");
}

#[test]
fn compressed_messages_are_understood_where_compression_is_switched_on() {
    let node = Setup::new()
        .listener("small", "serve: [websocket], compression: true")
        .listener("plain", "serve: [websocket]")
        .start();
    for serializer in Serializer::ALL {
        let dial = Dial { compression: true, ..node.websocket("small").serializer(serializer) };
        let peer = exercise(dial.join(REALM), serializer.as_str());
        assert!(peer.wire.compressed_frames > 0, "compression was agreed");
        let dial = Dial { compression: true, ..node.websocket("plain").serializer(serializer) };
        let peer = exercise(dial.join(REALM), serializer.as_str());
        assert_eq!(peer.wire.compressed_frames, 0, "compression was declined");
    }
}

#[test]
fn a_large_event_comes_compressed_where_compression_is_switched_on() {
    let node = Setup::new()
        .listener("small", "serve: [websocket], compression: true")
        .listener("tcp", "serve: [rawsocket]")
        .start();
    let mut publisher = node.rawsocket("tcp").join(REALM);
    let mut subscriber = Dial { compression: true, ..node.websocket("small") }.join(REALM);
    subscriber.subscribe("com.example.topic");
    let before = subscriber.wire.received_bytes;
    let args = json!(["a".repeat(100_000)]);
    publisher.publish("com.example.topic", &args);
    assert_eq!(subscriber.receive_type(crate::peer::EVENT)[4], args);
    let received = subscriber.wire.received_bytes - before;
    assert!(received < 10_000, "{received} bytes for an event of 100,000 equal letters");
}

#[test]
fn messages_behind_hello_in_one_segment_are_not_lost() {
    let node = Setup::new().listener("all", "serve: [rawsocket, websocket]").start();
    for dial in [node.rawsocket("all"), node.websocket("all")] {
        let mut wire = dial.open();
        let mut bytes = Vec::new();
        for message in [crate::peer::hello(REALM), json!([32, 1, {}, "a.b"]), json!([32, 2, {}, "a.c"])] {
            let message = crate::peer::encode(Serializer::Json, &message);
            bytes.extend_from_slice(&wire.frame(&message));
        }
        wire.send_bytes(&bytes);
        let mut peer = Peer::welcomed(wire).expect("WELCOME");
        assert_eq!(peer.receive()[1], 1);
        assert_eq!(peer.receive()[1], 2);
    }
}

#[test]
fn bytes_that_trickle_in_one_by_one_are_put_together() {
    let node = Setup::new().listener("all", "serve: [rawsocket, websocket]").start();
    for dial in [node.rawsocket("all"), node.websocket("all")] {
        let mut wire = dial.open();
        let hello = crate::peer::encode(Serializer::Json, &crate::peer::hello(REALM));
        let subscribe = crate::peer::encode(Serializer::Json, &json!([32, 1, {}, "com.example.topic"]));
        let bytes = [wire.frame(&hello), wire.frame(&subscribe)].concat();
        for octet in bytes {
            wire.stream.write_all(&[octet]).expect("a write");
        }
        let mut peer = Peer::welcomed(wire).expect("WELCOME");
        assert_eq!(peer.receive()[0], crate::peer::SUBSCRIBED);
    }
}
