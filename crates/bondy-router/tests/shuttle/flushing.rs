//! Flushing (P10): bytes leave in the order appended, each once; when all sleep, nothing is left unwritten.
//!
//! Publishers on threads of their own append events to one subscriber and flush it as a worker does at the end of its
//! turn. The subscriber's socket takes few bytes at once, and blocks; its owner sleeps until it is woken or, if it
//! wants to write, until the socket is ready. Lost bytes or a lost wake-up leave everybody asleep, which the explorer
//! reports as a deadlock.

mod socket;

use std::sync::Arc;

use bondy_router::config::RealmConfig;
use bondy_router::flush::{Flushed, Link};
use bondy_router::realm::Realm;
use bondy_router::session::Session;
use bondy_router::turn::Turn;
use bondy_wamp::feature::Features;
use bondy_wamp::message::Message;
use bondy_wamp::uri::MatchPolicy;
use shuttle::thread;

use self::socket::{Socket, Wake};
use crate::explore::{Run, explore, scaled};
use crate::seat::{frames, join, numbers, parsed};
use crate::subscription::message;
use crate::violated;

/// Executions of each scenario.
const EXECUTIONS: usize = 300;

/// So that no worker has the number of another.
const OWNER: u16 = 100;

/// One world to explore.
#[derive(Clone, Debug)]
struct Scenario {
    name: String,
    /// How many events each publisher publishes.
    events: Vec<u64>,
    /// How many bytes the socket holds.
    room_max: usize,
    /// Only the owner may write.
    is_encrypting: bool,
}

fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for events in [vec![3], vec![2, 1], vec![2, 2], vec![1, 1, 1], vec![2, 1, 1]] {
        // Less than an event, more than one, and more than there are.
        for room_max in [15, 60, 10_000] {
            for is_encrypting in [false, true] {
                let end = if is_encrypting { ", encrypting" } else { "" };
                let name = format!("events {events:?}, the socket holds {room_max} bytes{end}");
                scenarios.push(Scenario { name, events: events.clone(), room_max, is_encrypting });
            }
        }
    }
    scenarios
}

/// The scenarios whose name contains this.
pub(crate) fn named(part: &str) -> Vec<(String, Run)> {
    let run_of = |scenario: Scenario| -> Run { Arc::new(move || run(&scenario)) };
    let chosen = scenarios().into_iter().filter(|scenario| scenario.name.contains(part));
    chosen.map(|scenario| (scenario.name.clone(), run_of(scenario))).collect()
}

#[test]
fn nothing_is_left_unwritten_when_all_sleep() {
    for (name, run) in named("") {
        explore(&name, scaled(EXECUTIONS), &run);
    }
}

/// Executes a scenario once.
fn run(scenario: &Scenario) {
    let realm = Arc::new(Realm::new(RealmConfig { uri: "com.example".to_owned(), ..RealmConfig::default() }));
    let socket = Arc::new(Socket::new(scenario.room_max, scenario.is_encrypting));
    let mut turn = Turn::new(OWNER, 1);
    let link = Arc::clone(&socket) as Arc<dyn Link>;
    let subscriber = join(&realm, "subscriber", Features::all(), link, &mut turn);
    message::subscribe(&realm, &subscriber, MatchPolicy::Exact, false, &mut turn);
    turn.touched.clear();
    // The peer has read WELCOME and SUBSCRIBED.
    subscriber.flush_as_owner(&mut turn.pool, |slices| Ok(slices.iter().map(|slice| slice.len()).sum()));
    let mut threads = Vec::new();
    for (publisher, events) in scenario.events.iter().copied().enumerate() {
        let (realm, link) = (Arc::clone(&realm), Arc::clone(&socket));
        threads.push(thread::spawn(move || publish(&realm, link, publisher, events)));
    }
    let owned = (Arc::clone(&subscriber), Arc::clone(&socket));
    let owner = thread::spawn(move || own(&owned.0, &owned.1, turn));
    let received = read(&socket, scenario.events.iter().sum());
    socket.hang_up();
    threads.into_iter().chain([owner]).for_each(|thread| {
        thread.join().expect("a failed thread ends the execution");
    });
    check_order(&received);
    let state = subscriber.lock();
    if state.outbox.pending_bytes() > 0 || state.outbox.writer() != bondy_wamp::outbox::Writer::Idle {
        violated!("P10", "everything was read, and the outbox is {:?}", state.outbox);
    }
}

/// A worker: it publishes, and flushes whom it has touched.
fn publish(realm: &Realm, link: Arc<Socket>, publisher: usize, events: u64) {
    let mut turn = Turn::new(publisher as u16, publisher as u64);
    let session = join(realm, "publisher", Features::all(), link, &mut turn);
    turn.touched.clear();
    for number in 1..=events {
        message::publish(realm, &session, (publisher, number), false, &mut turn);
        turn.touched.clear();
        for subscriber in std::mem::take(&mut turn.touched_by_events) {
            subscriber.flush_events(&mut turn.pool);
        }
    }
}

/// The owner's task.
fn own(session: &Session, socket: &Socket, mut turn: Turn) {
    let mut wants_write = false;
    while let Wake::Look = socket.wait(wants_write) {
        let flushed = session.flush_as_owner(&mut turn.pool, |slices| socket.write(slices));
        wants_write = flushed == Flushed::Blocked;
    }
}

/// The peer: reads until it has seen so many events.
fn read(socket: &Socket, events: u64) -> Vec<(u64, u64)> {
    let (mut bytes, mut received) = (Vec::new(), Vec::new());
    while (received.len() as u64) < events {
        socket.read(&mut bytes);
        let whole = whole_frames(&bytes);
        for (_, frame) in frames(&bytes[..whole]) {
            match parsed(frame) {
                Message::Event(event) => match numbers(event.payload.args)[..] {
                    [publisher, number] => received.push((publisher, number)),
                    ref other => violated!("P10", "an event with arguments {other:?}"),
                },
                other => violated!("P10", "{other:?} for the subscriber"),
            }
        }
        bytes.drain(..whole);
    }
    if !bytes.is_empty() {
        violated!("P10", "{} bytes more than were appended", bytes.len());
    }
    received
}

/// How many bytes at the beginning are whole frames.
fn whole_frames(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(&[kind, a, b, c]) = bytes[end..].first_chunk() {
        if kind != 0 {
            violated!("P10", "a byte {kind} where a frame should begin");
        }
        let next = end + 4 + u32::from_be_bytes([0, a, b, c]) as usize;
        if next > bytes.len() {
            break;
        }
        end = next;
    }
    end
}

fn check_order(received: &[(u64, u64)]) {
    for (index, (publisher, number)) in received.iter().enumerate() {
        let before = received[..index].iter().filter(|(other, _)| other == publisher).count() as u64;
        if *number != before + 1 {
            violated!(
                "P10",
                "event {number} of {publisher} comes where {} is next: {received:?}",
                before + 1
            );
        }
    }
}
