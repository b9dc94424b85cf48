//! Ten thousand connections that come and go, each at another point of its life.

use std::io::Write;

use serde_json::json;

use crate::peer::{Dial, wait_for};
use crate::process::{Bondy, REALM};

const CONNECTIONS: usize = 10_000;

/// More is a leak: it is less than 4 KiB for each connection.
const GROWTH_BYTES_MAX: usize = 32 << 20;

/// Connects and goes, in the way of this number. Half of them never say HELLO.
fn come_and_go(dial: &Dial, websocket: &Dial, kind: usize) {
    let begin = |dial: &Dial, bytes: &[u8]| {
        let mut stream = dial.try_connect().expect("a connection");
        let _ = stream.write_all(bytes);
    };
    match kind % 12 {
        0 => begin(dial, b""),
        1 => begin(dial, b"\x7f\xf1"),
        2 => begin(websocket, b"GET /ws HTTP/1.1\r\nHost: local"),
        3 => begin(dial, b"nonsense"),
        4 => drop(dial.open()),
        5 => drop(websocket.open()),
        6 => dial.open().send(b"[1,\"realm1\""),
        7 => drop(dial.join(REALM)),
        8 => drop(websocket.join(REALM)),
        9 => {
            let mut peer = dial.join(REALM);
            peer.register(&format!("com.example.{}", peer.session));
            peer.subscribe("com.example.topic");
        }
        10 => {
            let mut peer = websocket.join(REALM);
            peer.begin_call("com.example.nobody", &json!([]));
            peer.wire.send_close();
        }
        _ => {
            let mut peer = dial.join(REALM);
            peer.send(&json!([6, {}, "wamp.close.normal"]));
            peer.until_end();
        }
    }
}

#[test]
fn ten_thousand_connections_that_come_and_go_leave_nothing_behind() {
    let bondy = Bondy::start(
        "workers: 2
listeners:
  all: {bind: '127.0.0.1:0', serve: [rawsocket, websocket]}
  admin: {bind: '127.0.0.1:0', serve: [admin]}",
    );
    let (dial, websocket) = (bondy.rawsocket("all"), bondy.websocket("all"));
    let is_empty = || {
        let metrics = bondy.metrics();
        // The one that asks is there.
        metrics.value("bondy_connections") == 1.0 && metrics.value("bondy_sessions") == 0.0
    };
    (0..500).for_each(|kind| come_and_go(&dial, &websocket, kind));
    wait_for("the first ones to be gone", is_empty);
    wait_for("their descriptors", || bondy.descriptors() < 60);
    let (descriptors, memory) = (bondy.descriptors(), bondy.resident_bytes());

    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (dial, websocket) = (&dial, &websocket);
            let kinds = (thread..CONNECTIONS).step_by(4);
            scope.spawn(move || kinds.for_each(|kind| come_and_go(dial, websocket, kind / 4)));
        }
    });
    wait_for("all to be gone", is_empty);
    wait_for("descriptors as at the beginning", || bondy.descriptors() <= descriptors);
    let metrics = bondy.metrics();
    for gauge in ["registrations", "subscriptions", "calls_pending", "invocations_pending"] {
        assert_eq!(metrics.value(&format!("bondy_{gauge}")), 0.0, "{gauge}");
    }
    let grown = bondy.resident_bytes().saturating_sub(memory);
    println!("{CONNECTIONS} connections, {grown} bytes more than after the first 500");
    assert!(grown < GROWTH_BYTES_MAX, "the node has grown by {grown} bytes");
    assert_eq!(metrics.value("bondy_sessions_joined_total"), metrics.value("bondy_sessions_left_total"));
    dial.join(REALM).register("com.example.well");
}
