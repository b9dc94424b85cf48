//! Malformed bytes on every transport: the offender is closed with a reason, and nobody else notices.

use std::io::{Read, Write};

use bondy_transport::websocket::frame::Opcode;
use bondy_wamp::serializer::Serializer;
use serde_json::{Value, json};

use crate::authority::Tls;
use crate::node::{REALM, Setup, TestNode, Witness};
use crate::peer::{self, ABORT, Dial, until_end};

/// Random connections of each kind. More of them find nothing else: the parsers have their fuzzers.
const ROUNDS: u64 = 40;

/// A node with every transport, how to reach it, and a healthy session.
pub(crate) struct Scene {
    pub(crate) node: TestNode,
    pub(crate) dials: Vec<Dial>,
    pub(crate) witness: Witness,
    _tls: Tls,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let tls = Tls::new();
        let keys = format!("serve: [rawsocket, websocket, http], {}", tls.keys());
        let node = Setup::new()
            .listener("all", "serve: [rawsocket, websocket, http]")
            .listener("proxied", "serve: [rawsocket, websocket], proxy_protocol: true")
            .unix("local", "serve: [rawsocket, websocket]")
            .listener("tls", &keys)
            .start();
        let client = tls.client();
        let dials = Serializer::ALL.into_iter().flat_map(|serializer| {
            let dials = [
                node.rawsocket("all"),
                node.websocket("all"),
                Dial { batched: true, ..node.websocket("all") },
                node.rawsocket("local"),
                node.websocket("local"),
                node.rawsocket("tls").tls(&client),
                node.websocket("tls").tls(&client),
            ];
            dials.map(|dial| dial.serializer(serializer))
        });
        let dials = dials.collect();
        let witness = Witness::join(&node.rawsocket("all"));
        Self { node, dials, witness, _tls: tls }
    }

    /// The witness is well, and nothing of the others is left.
    #[track_caller]
    pub(crate) fn conclude(mut self) {
        self.witness.check();
        self.node.wait_for_metric("bondy_sessions", 1.0);
        // The witness, and the request that asks.
        self.node.wait_for_metric("bondy_connections", 2.0);
        self.witness.check();
    }
}

fn random_bytes(random: &mut fastrand::Rng) -> Vec<u8> {
    let length = random.usize(1..600);
    (0..length).map(|_| random.u8(..)).collect()
}

#[test]
fn random_bytes_in_place_of_a_handshake_end_the_connection() {
    let scene = Scene::new();
    let mut random = fastrand::Rng::with_seed(1);
    let addresses: Vec<String> =
        ["all", "proxied", "local", "tls"].iter().map(|name| scene.node.address(name)).collect();
    for round in 0..ROUNDS {
        for address in &addresses {
            let mut stream = Dial::rawsocket(address).try_connect().expect("a connection");
            let mut bytes = random_bytes(&mut random);
            // Begin as one of the protocols now and then.
            let beginnings: [&[u8]; 6] = [
                b"",
                b"\x7f",
                b"GET /ws HTTP/1.1\r\n",
                b"\x16\x03\x01",
                b"PROXY TCP4 ",
                b"\r\n\r\n\0\r\nQUIT\n",
            ];
            bytes.splice(0..0, beginnings[(round % 6) as usize].iter().copied());
            let _ = stream.write_all(&bytes);
            stream.end();
            let mut answer = Vec::new();
            // A reset is as good an end as any other.
            let _ = stream.read_to_end(&mut answer);
        }
    }
    scene.conclude();
}

#[test]
fn random_bytes_behind_a_handshake_end_the_connection() {
    let scene = Scene::new();
    let mut random = fastrand::Rng::with_seed(2);
    for dial in &scene.dials {
        for _ in 0..ROUNDS / 8 {
            let mut wire = dial.open();
            wire.send_bytes(&random_bytes(&mut random));
            wire.stream.end();
            until_end(&mut wire);
        }
    }
    scene.conclude();
}

#[test]
fn random_bytes_within_a_session_end_it() {
    let scene = Scene::new();
    let mut random = fastrand::Rng::with_seed(3);
    for dial in &scene.dials {
        for _ in 0..ROUNDS / 8 {
            let mut peer = dial.join(REALM);
            peer.wire.send_bytes(&random_bytes(&mut random));
            peer.wire.stream.end();
            peer.until_end();
        }
    }
    scene.conclude();
}

#[test]
fn well_framed_garbage_ends_the_session_with_a_reason() {
    let scene = Scene::new();
    let mut random = fastrand::Rng::with_seed(4);
    for dial in &scene.dials {
        for _ in 0..ROUNDS / 8 {
            let mut peer = dial.join(REALM);
            // 0xC1 is no MessagePack, 0xFF no JSON and no CBOR: whatever follows, this is no message.
            let mut garbage = random_bytes(&mut random);
            garbage[0] = if dial.serializer == Serializer::MessagePack { 0xc1 } else { 0xff };
            peer.wire.send(&garbage);
            let (messages, code) = peer.until_end();
            let is_told = messages.last().is_some_and(|last| last[0] == ABORT) || code == Some(1007);
            assert!(is_told, "{messages:?} {code:?}");
        }
    }
    scene.conclude();
}

#[test]
fn a_session_cut_off_at_any_byte_leaves_nothing_behind() {
    let scene = Scene::new();
    for dial in &scene.dials {
        let mut wire = dial.open();
        let dialogue = [
            peer::hello(REALM),
            json!([64, 1, {}, "com.example.cut"]),
            json!([32, 2, {}, "com.example.cut"]),
            json!([48, 3, {}, "com.example.cut", ["a"]]),
        ];
        let bytes: Vec<u8> =
            dialogue.iter().flat_map(|message| wire.frame(&peer::encode(dial.serializer, message))).collect();
        for end in (0..bytes.len()).step_by(23) {
            let mut wire = dial.open();
            wire.send_bytes(&bytes[..end]);
            wire.stream.end();
            until_end(&mut wire);
        }
    }
    scene.conclude();
}

/// Sends bytes within a session; what the peer is told.
#[track_caller]
fn sentenced(dial: &Dial, bytes: &[u8]) -> (Vec<Value>, Option<u16>) {
    let mut peer = dial.join(REALM);
    peer.wire.send_bytes(bytes);
    peer.until_end()
}

#[test]
fn frames_that_break_the_websocket_protocol_close_with_1002() {
    let mut scene = Scene::new();
    let dial = scene.node.websocket("all");
    let reserved = [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf];
    let mut cases: Vec<Vec<u8>> =
        reserved.iter().map(|opcode| vec![0x80 | opcode, 0x80, 1, 2, 3, 4]).collect();
    cases.extend([
        // Reserved bits, without an extension that gives them a meaning.
        vec![0xc1, 0x80, 1, 2, 3, 4],
        vec![0xa1, 0x80, 1, 2, 3, 4],
        vec![0x91, 0x80, 1, 2, 3, 4],
        // Not masked.
        vec![0x81, 0x02, b'[', b']'],
        // A control frame in fragments, and one that is too long.
        vec![0x09, 0x80, 1, 2, 3, 4],
        vec![0x89, 0xfe, 0, 126, 1, 2, 3, 4],
        // The continuation of nothing.
        vec![0x80, 0x80, 1, 2, 3, 4],
        // A length that is not in its shortest form, and one beyond all bounds.
        vec![0x81, 0xfe, 0, 5, 1, 2, 3, 4],
        vec![0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        // A close frame with half a code, and with one that must not be sent.
        vec![0x88, 0x81, 0, 0, 0, 0, 3],
        vec![0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed],
    ]);
    for bytes in cases {
        let (_, code) = sentenced(&dial, &bytes);
        assert_eq!(code, Some(1002), "{bytes:02x?}");
    }
    let empty_batch = [0x81, 0x80, 1, 2, 3, 4];
    assert_eq!(sentenced(&Dial { batched: true, ..dial }, &empty_batch).1, Some(1002));
    scene.witness.check();
}

#[test]
fn frames_that_break_the_rawsocket_protocol_end_the_session_with_a_reason() {
    let mut scene = Scene::new();
    for dial in [scene.node.rawsocket("all"), scene.node.rawsocket("local")] {
        let mut cases: Vec<Vec<u8>> = (3..=7).map(|kind| vec![kind, 0, 0, 1, b'x']).collect();
        cases.extend((4..8).map(|bit| vec![1 << bit, 0, 0, 1, b'x']));
        cases.push(vec![0, 0, 0, 0]);
        cases.push(vec![8, 0, 0, 1]);
        for bytes in cases {
            let (messages, _) = sentenced(&dial, &bytes);
            assert_eq!(messages.last().expect("ABORT")[2], "wamp.error.protocol_violation", "{bytes:02x?}");
        }
    }
    scene.witness.check();
}

#[test]
fn a_rawsocket_handshake_that_cannot_be_served_is_refused_with_its_code() {
    let scene = Scene::new();
    let cases: [([u8; 4], u8); 5] = [
        ([0x7f, 0xf0, 0, 0], 0x10),
        ([0x7f, 0xf4, 0, 0], 0x10),
        ([0x7f, 0xff, 0, 0], 0x10),
        ([0x7f, 0xf1, 1, 0], 0x30),
        ([0x7f, 0xf1, 0, 1], 0x30),
    ];
    for (request, code) in cases {
        let mut stream = scene.node.rawsocket("all").try_connect().expect("a connection");
        stream.write_all(&request).expect("a write");
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).expect("a reply and the end");
        assert_eq!(reply, [0x7f, code, 0, 0], "{request:02x?}");
    }
    scene.conclude();
}

#[test]
fn a_websocket_frame_of_the_wrong_type_for_its_serializer_is_a_violation() {
    let mut scene = Scene::new();
    for serializer in Serializer::ALL {
        let mut peer = scene.node.websocket("all").serializer(serializer).join(REALM);
        let message = peer::encode(serializer, &json!([32, 1, {}, "com.example.topic"]));
        let wrong = if serializer.is_text() { Opcode::Binary } else { Opcode::Text };
        peer.wire.send_frame(wrong, &message);
        let (messages, code) = peer.until_end();
        assert_eq!(messages.last().expect("ABORT")[2], "wamp.error.protocol_violation", "{serializer}");
        assert!(code.is_some(), "a close frame follows");
    }
    scene.witness.check();
}

#[test]
fn text_that_is_not_utf_8_closes_a_websocket_with_1007_and_else_aborts() {
    let mut scene = Scene::new();
    let bad = b"[48,1,{},\"com.example.nobody\",[\"\xff\xfe\"]]";
    let mut large = b"[48,1,{},\"com.example.nobody\",[\"".to_vec();
    large.resize(3 << 20, b'a');
    large.extend_from_slice(b"\xed\xa0\x80\"]]");
    for bytes in [&bad[..], &large] {
        let mut peer = scene.node.websocket("all").join(REALM);
        peer.wire.send(bytes);
        assert_eq!(peer.until_end().1, Some(1007), "{} bytes", bytes.len());
        let mut peer = scene.node.rawsocket("all").join(REALM);
        peer.wire.send(bytes);
        let (messages, _) = peer.until_end();
        assert_eq!(messages.last().expect("ABORT")[2], "wamp.error.protocol_violation");
    }
    let mut wire = scene.node.websocket("all").open();
    wire.send(b"[1,\"realm\xff\",{\"roles\":{\"caller\":{}}}]");
    assert_eq!(until_end(&mut wire).1, Some(1007), "before there is a session, too");
    // Binary serializers: the text is inside a binary frame.
    let mut peer = scene.node.websocket("all").serializer(Serializer::MessagePack).join(REALM);
    peer.wire.send(b"\x95\x30\x01\x80\xa1\xff\x90");
    let (messages, _) = peer.until_end();
    assert_eq!(messages.last().expect("ABORT")[2], "wamp.error.protocol_violation");
    scene.witness.check();
}
