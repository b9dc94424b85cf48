//! One event to 20,000 subscribers does not stop the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bondy_wamp::serializer::Serializer;
use serde_json::json;

use crate::peer::{Peer, Wire, encode, hello};
use crate::process::{Bondy, REALM};

const SESSIONS: usize = 4_000;
const PUBLICATIONS: usize = 10;

/// A batch that is not sliced lets one call in before it and one behind it, and none between.
const CALLS_MIN: usize = 5;
const ROUNDS_MAX: usize = 20;

/// Five subscriptions of each session that all match the topic: 20,000 events for each publication.
const TOPIC: &str = "com.example.everybody";
const PATTERNS: [(&str, &str); 5] = [
    ("exact", TOPIC),
    ("prefix", "com.example"),
    ("prefix", "com.exa"),
    ("wildcard", "com..everybody"),
    ("wildcard", ".example."),
];

/// Sessions with all five subscriptions. Everything is sent before anything is read, so that it is quick.
fn subscribers(bondy: &Bondy) -> Vec<Wire> {
    let dial = bondy.rawsocket("tcp");
    let mut messages = vec![hello(REALM)];
    for (request, (policy, pattern)) in (1..).zip(PATTERNS) {
        messages.push(json!([32, request, {"match": policy}, pattern]));
    }
    let messages: Vec<Vec<u8>> = messages.iter().map(|message| encode(Serializer::Json, message)).collect();
    let join = |_| {
        let mut wire = dial.open();
        let frames: Vec<u8> = messages.iter().flat_map(|message| wire.frame(message)).collect();
        wire.send_bytes(&frames);
        wire
    };
    (0..SESSIONS).map(join).collect()
}

#[test]
fn calls_are_answered_between_the_slices_of_a_long_fan_out() {
    // One worker: what the fan-out holds up, it holds up for everybody.
    let bondy = Bondy::start(
        "workers: 1
listeners:
  tcp: {bind: '127.0.0.1:0', serve: [rawsocket]}
  admin: {bind: '127.0.0.1:0', serve: [admin]}",
    );
    let wires = subscribers(&bondy);
    bondy.wait_for_metric("bondy_sessions", SESSIONS as f64);
    let mut publisher = bondy.rawsocket("tcp").join(REALM);
    let mut other = bondy.rawsocket("tcp").join(REALM);
    other.register("com.example.echo");
    // How often the scheduler lets the other session run meanwhile is its affair: one round must show it.
    let rounds = (1..=ROUNDS_MAX).find(|_| calls_during_fan_outs(&mut publisher, &mut other) >= CALLS_MIN);
    let rounds = rounds.expect("calls are answered while fan-outs go on");
    let delivered = (rounds * SESSIONS * PATTERNS.len() * PUBLICATIONS) as f64;
    bondy.wait_for_metric("bondy_events_delivered_total", delivered);
    assert_eq!(bondy.metrics().value("bondy_events_dropped_outbox_total"), 0.0);
    drop(wires);
    bondy.wait_for_metric("bondy_sessions", 2.0);
}

/// Publishes several times in one batch, while the other session calls itself; how many of its calls began and ended
/// meanwhile.
fn calls_during_fan_outs(publisher: &mut Peer, other: &mut Peer) -> usize {
    let is_over = AtomicBool::new(false);
    let (begun, ended, calls) = std::thread::scope(|scope| {
        let calls = scope.spawn(|| call_until(other, &is_over));
        let begun = Instant::now();
        let requests = [(); PUBLICATIONS].map(|()| publisher.next_request());
        for request in requests {
            publisher.send(&json!([16, request, {"acknowledge": true}, TOPIC, ["to all"]]));
        }
        for request in requests {
            assert_eq!(publisher.receive_type(17)[1], request);
        }
        let ended = Instant::now();
        is_over.store(true, Ordering::Relaxed);
        (begun, ended, calls.join().expect("the calls"))
    });
    let is_meanwhile = |(call, elapsed): &&(Instant, Duration)| *call > begun && *call + *elapsed < ended;
    let meanwhile: Vec<_> = calls.iter().filter(is_meanwhile).map(|(_, elapsed)| *elapsed).collect();
    println!(
        "{} events in {:?}; {} calls meanwhile, the slowest in {:?}",
        SESSIONS * PATTERNS.len() * PUBLICATIONS,
        ended - begun,
        meanwhile.len(),
        meanwhile.iter().max(),
    );
    meanwhile.len()
}

/// Calls its own procedure again and again; when each call began, and how long it took.
fn call_until(other: &mut Peer, is_over: &AtomicBool) -> Vec<(Instant, Duration)> {
    let mut calls = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let request = other.begin_call("com.example.echo", &json!([1]));
        other.echo();
        assert_eq!(other.end_call(request), Ok(json!([1])));
        calls.push((begun, begun.elapsed()));
    }
    calls
}
