//! One subscriber that never reads, beside 99 that do: it alone pays for it.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::peer::{Dial, EVENT, Peer, Received, wait_for};
use crate::process::{Bondy, REALM, message};

const LISTENERS: &str = "listeners:
  tcp: {bind: '127.0.0.1:0', serve: [rawsocket]}
  strict: {bind: '127.0.0.1:0', serve: [rawsocket], overflow: close}
  admin: {bind: '127.0.0.1:0', serve: [admin]}";

const TOPIC: &str = "com.example.load";
const HEALTHY: usize = 99;
const EVENTS: u64 = 20_000;

/// The default of `outbox_hard`.
const HARD_BYTES: u64 = 1024 * 1024;

/// Joins, and counts on a thread of its own until `EVENTS` events have come, each in its turn.
fn spawn_healthy(dial: &Dial) -> JoinHandle<()> {
    let mut peer = dial.join(REALM);
    peer.subscribe(TOPIC);
    std::thread::spawn(move || {
        for number in 0..EVENTS {
            let Received::Message(event) = peer.wire.receive() else { panic!("the session has ended") };
            // The number stands behind the details; reading all as JSON would make this test about its reader.
            let start = b"{},[";
            let at = event.windows(start.len()).position(|window| window == start).expect("an event");
            let digits = event[at + start.len()..].split(|octet| *octet == b',').next().expect("a number");
            assert_eq!(digits, number.to_string().as_bytes(), "an event is lost or out of order");
        }
    })
}

/// Publishes `EVENTS` events of 1 KiB, at the pace of the healthy ones.
fn publish_load(bondy: &Bondy, publisher: &mut Peer, mut check: impl FnMut(&mut Peer)) {
    let letters = "a".repeat(1000);
    for number in 0..EVENTS {
        let request = publisher.next_request();
        // A round trip now and then keeps the publisher from running ahead of all readers.
        let acknowledge = number % 50 == 49;
        publisher.send(&json!([16, request, {"acknowledge": acknowledge}, TOPIC, [number, letters]]));
        if acknowledge {
            publisher.receive_type(17);
        }
        if number % 500 == 499 {
            wait_for_readers(bondy);
            check(publisher);
        }
    }
}

/// Waits until nothing waits for the healthy ones any more.
fn wait_for_readers(bondy: &Bondy) {
    // The slow one keeps up to its hard limit; whatever is beyond belongs to others.
    wait_for("the readers", || {
        bondy.metrics().value("bondy_outbox_congested_bytes") <= (HARD_BYTES + 64 * 1024) as f64
    });
}

#[test]
fn one_that_never_reads_costs_the_others_nothing_and_is_counted_and_told() {
    let bondy = Bondy::start(LISTENERS);
    let dial = bondy.rawsocket("tcp");
    let mut publisher = dial.join(REALM);
    let mut slow = dial.join(REALM);
    slow.subscribe(TOPIC);
    let healthy: Vec<JoinHandle<()>> = (0..HEALTHY).map(|_| spawn_healthy(&dial)).collect();
    let before = bondy.resident_bytes();
    let begun = Instant::now();
    let session = slow.session;
    publish_load(&bondy, &mut publisher, |publisher| {
        let queue = publisher.details(session)["_stats"]["queue_bytes"].as_u64().expect("a number");
        assert!(queue <= HARD_BYTES + 2048, "{queue} bytes wait for the slow one");
    });
    healthy.into_iter().for_each(|thread| thread.join().expect("a healthy subscriber loses nothing"));
    println!("{EVENTS} events to {HEALTHY} subscribers took {:?}", begun.elapsed());
    let grown = bondy.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "the node has grown by {grown} bytes");

    let dropped = publisher.details(session)["_stats"]["events_dropped"].as_u64().expect("a number");
    assert!(dropped > 0 && dropped < EVENTS, "{dropped} events dropped");
    bondy.wait_for_metric("bondy_events_dropped_outbox_total", dropped as f64);
    let is_report = |line: &Value| message(line).starts_with("a subscriber reads too slowly");
    let report = bondy.wait_for_line("the report", is_report);
    assert_eq!((&report["level"], &report["session"]), (&json!("WARN"), &json!(session)));
    assert_eq!(bondy.lines().iter().filter(|line| is_report(line)).count(), 1, "at most once a minute");

    // It reads again: what was kept, in order, and then how much was not.
    (0..EVENTS - dropped).for_each(|number| {
        let event = slow.receive_type(EVENT);
        assert_eq!((&event[3], &event[4][0]), (&json!({}), &json!(number)));
    });
    publisher.publish(TOPIC, &json!(["after"]));
    let event = slow.receive_type(EVENT);
    assert_eq!((&event[3], &event[4]), (&json!({"_dropped": dropped}), &json!(["after"])));
    publisher.publish(TOPIC, &json!(["later"]));
    assert_eq!(slow.receive_type(EVENT)[3], json!({}));
}

#[test]
fn where_the_policy_is_close_the_slow_one_is_closed_with_a_reason() {
    let bondy = Bondy::start(LISTENERS);
    let mut publisher = bondy.rawsocket("tcp").join(REALM);
    let mut slow = bondy.rawsocket("strict").join(REALM);
    slow.subscribe(TOPIC);
    let letters = "a".repeat(10_000);
    wait_for("the slow one to be closed", || {
        publisher.publish(TOPIC, &json!([letters]));
        bondy.metrics().value("bondy_outbox_overflows_total") == 1.0
    });
    bondy.wait_for_metric("bondy_sessions", 1.0);
    let (messages, _) = slow.until_end();
    let last = messages.last().expect("ABORT");
    assert_eq!((&last[0], &last[2]), (&json!(3), &json!("bondy.error.limit_exceeded")));
    assert!(last[1]["message"].as_str().is_some_and(|text| text.contains("slowly")), "{last}");
}

#[test]
fn calls_of_others_are_answered_while_one_caller_reads_nothing() {
    let bondy = Bondy::start(LISTENERS);
    let dial = bondy.rawsocket("tcp");
    let (mut callee, mut stuck, mut caller) = (dial.join(REALM), dial.join(REALM), dial.join(REALM));
    callee.register("com.example.echo");
    let large = json!(["a".repeat(100_000)]);
    // Results that nobody reads: beyond the hard limit each is a short error, and the callee is not held up.
    for _ in 0..100 {
        stuck.begin_call("com.example.echo", &large);
        callee.echo();
        let request = caller.begin_call("com.example.echo", &json!([1]));
        let begun = Instant::now();
        callee.echo();
        assert_eq!(caller.end_call(request), Ok(json!([1])));
        // A destination that did not drain in time is not waited for again.
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    let (mut results, mut errors) = (0, 0);
    for request in 1..=100 {
        match stuck.end_call(request) {
            Ok(args) => {
                assert!(args == large);
                results += 1;
            }
            Err(error) => {
                assert_eq!(error, "wamp.error.payload_size_exceeded");
                errors += 1;
            }
        }
    }
    assert!(results > 0 && errors > 0, "{results} results and {errors} errors: every call ends");
}
