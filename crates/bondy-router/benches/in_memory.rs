//! What routing costs without sockets: nanoseconds and allocations for each routed message, and what a second thread
//! in the same realm brings.
//!
//! `cargo bench -p bondy-router` prints the figures; `-- --quick` proves in a moment that it runs. A routed message is
//! a CALL that becomes an INVOCATION, a YIELD that becomes a RESULT, or a PUBLISH for each EVENT: parsing, validating,
//! routing, encoding, framing and handing the bytes to a link that takes them all. Time is the thread's own CPU time,
//! because other work may share the machine.
//!
//! For a profiler: `-- --only rpc:msgpack --rounds 10000` runs one figure, so many times. `--only` takes `rpc`, `parse`
//! and `fan-out`, each with or without a serializer.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark reads clocks, starts threads and prints; what fails in it is a bug"
)]

use std::io::{self, IoSlice, Write as _};
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bondy_router::config::RealmConfig;
use bondy_router::flush::Link;
use bondy_router::realm::{Flow, Realm};
use bondy_router::session::{Session, SessionConfig, SessionIdentity};
use bondy_router::turn::Turn;
use bondy_wamp::feature::Features;
use bondy_wamp::framing::Framing;
use bondy_wamp::id::RequestId;
use bondy_wamp::message::{self, Call, CallOptions, Message, Publish, PublishOptions, Register, Subscribe};
use bondy_wamp::outbox::{Budget, Outbox, OutboxLimits};
use bondy_wamp::payload::Payload;
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;

/// A peer that takes every byte at once.
#[derive(Debug)]
struct Sink;

impl Link for Sink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn wake_owner(&self) {}

    fn describe(&self) -> Value {
        Value::Null
    }

    fn is_owner_only(&self) -> bool {
        false
    }
}

fn join(realm: &Realm, serializer: Serializer, turn: &mut Turn) -> Arc<Session> {
    let anonymous: Arc<str> = "anonymous".into();
    let config = SessionConfig {
        identity: SessionIdentity {
            authid: Arc::clone(&anonymous),
            authrole: Arc::clone(&anonymous),
            authmethod: Arc::clone(&anonymous),
            authprovider: anonymous,
        },
        features: Features::all(),
        serializer,
        trust_level: None,
        is_strict: false,
        deflate_bytes_max: 0,
        closes_on_overflow: false,
        outbox: Outbox::new(Framing::RawSocket, OutboxLimits::default(), Arc::new(Budget::new(1 << 30))),
        link: Arc::new(Sink),
    };
    let session = realm.join(config, "bench", turn).unwrap();
    flush(turn);
    session
}

fn flush(turn: &mut Turn) {
    while let Some(session) = turn.touched.pop() {
        session.flush(&mut turn.pool);
    }
    while let Some(session) = turn.touched_by_events.pop() {
        session.flush_events(&mut turn.pool);
    }
}

fn route(realm: &Realm, session: &Arc<Session>, bytes: &[u8], turn: &mut Turn) {
    let message = message::parse(session.serializer(), bytes).unwrap();
    let mut flow = realm.handle(session, &message, turn);
    if let Flow::FanOut(fan_out) = &mut flow {
        while !realm.continue_fan_out(session, fan_out, turn) {}
    }
    flush(turn);
}

/// `kwargs` with integers, floats, texts and a list, of about 200 octets.
fn kwargs(serializer: Serializer) -> Vec<u8> {
    let value: Value = [
        ("active", true.into()),
        ("id", 4_711.into()),
        ("name", "a sensor in the north hall".into()),
        ("place", "building 7, second floor, to the left".into()),
        ("temperature", Value::Float(21.5)),
        ("humidity", Value::Float(0.437)),
        ("samples", Value::List((0..12_u64).map(Value::from).collect())),
        ("unit", "celsius".into()),
    ]
    .into();
    value.to_bytes(serializer)
}

/// A caller and a callee, and the messages that they send over and over.
struct Pair {
    caller: Arc<Session>,
    callee: Arc<Session>,
    call: Vec<u8>,
    answer: Answer,
}

/// YIELD for the next invocation.
struct Answer {
    serializer: Serializer,
    bytes: Vec<u8>,
    kwargs: Vec<u8>,
    invocation: u64,
}

impl Answer {
    fn next(&mut self) -> &[u8] {
        self.invocation += 1;
        self.bytes.clear();
        match self.serializer {
            Serializer::Json => {
                write!(self.bytes, "[70,{},{{}},[],", self.invocation).unwrap();
                self.bytes.extend_from_slice(&self.kwargs);
                self.bytes.push(b']');
            }
            Serializer::MessagePack => {
                self.bytes.extend_from_slice(&[0x95, 70, 0xce]);
                self.bytes.extend_from_slice(&(self.invocation as u32).to_be_bytes());
                self.bytes.extend_from_slice(&[0x80, 0x90]);
                self.bytes.extend_from_slice(&self.kwargs);
            }
            Serializer::Cbor => {
                self.bytes.extend_from_slice(&[0x85, 0x18, 70, 0x1a]);
                self.bytes.extend_from_slice(&(self.invocation as u32).to_be_bytes());
                self.bytes.extend_from_slice(&[0xa0, 0x80]);
                self.bytes.extend_from_slice(&self.kwargs);
            }
        }
        &self.bytes
    }
}

impl Pair {
    fn new(realm: &Realm, serializer: Serializer, procedure: &str, turn: &mut Turn) -> Self {
        let (caller, callee) = (join(realm, serializer, turn), join(realm, serializer, turn));
        let register = Message::Register(Register {
            request: RequestId(1),
            options: Default::default(),
            procedure: procedure.into(),
        });
        realm.handle(&callee, &register, turn);
        flush(turn);
        let kwargs = kwargs(serializer);
        let call = Message::Call(Call {
            request: RequestId(1),
            options: CallOptions::none(serializer),
            procedure: procedure.into(),
            payload: Payload { serializer, args: &[], kwargs: &kwargs },
        });
        let mut bytes = Vec::new();
        call.encode(serializer, &mut bytes).unwrap();
        let answer =
            Answer { serializer, bytes: Vec::with_capacity(512), kwargs: kwargs.clone(), invocation: 0 };
        Self { caller, callee, call: bytes, answer }
    }

    /// One call and its result: two routed messages.
    fn round(&mut self, realm: &Realm, turn: &mut Turn) {
        route(realm, &self.caller, &self.call, turn);
        route(realm, &self.callee, self.answer.next(), turn);
    }
}

/// CPU time of this thread so far, in nanoseconds.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

/// How long a figure is measured.
#[derive(Clone, Copy)]
enum Length {
    Time(Duration),
    Rounds(u64),
}

/// Runs `round` as long as wanted; nanoseconds of CPU for each.
fn time(length: Length, mut round: impl FnMut()) -> f64 {
    let (started, cpu, mut rounds) = (Instant::now(), cpu_ns(), 0_u64);
    match length {
        Length::Rounds(wanted) => {
            (0..wanted).for_each(|_| round());
            rounds = wanted;
        }
        Length::Time(duration) => {
            while started.elapsed() < duration {
                (0..256).for_each(|_| round());
                rounds += 256;
            }
        }
    }
    (cpu_ns() - cpu) as f64 / rounds.max(1) as f64
}

fn rpc(serializer: Serializer, length: Length) {
    let realm = Realm::new(RealmConfig::default());
    let mut turn = Turn::new(0, 1);
    let mut pair = Pair::new(&realm, serializer, "com.example.procedure", &mut turn);
    (0..1000).for_each(|_| pair.round(&realm, &mut turn));
    let allocations = allocation_counter::measure(|| (0..1000).for_each(|_| pair.round(&realm, &mut turn)));
    let rounds = time(length, || pair.round(&realm, &mut turn));
    // Writing the callee's answer is the benchmark's own work.
    let preparing = time(length, || {
        std::hint::black_box(pair.answer.next());
    });
    let ns = (rounds - preparing) / 2.0;
    println!(
        "rpc {:<8} {:>4} B call   {ns:>7.1} ns/message   {:>6.3} allocations/message",
        serializer.as_str(),
        pair.call.len(),
        allocations.count_total as f64 / 2000.0
    );
}

fn parse(serializer: Serializer, length: Length) {
    let realm = Realm::new(RealmConfig::default());
    let mut turn = Turn::new(0, 1);
    let pair = Pair::new(&realm, serializer, "com.example.procedure", &mut turn);
    let ns = time(length, || {
        std::hint::black_box(message::parse(serializer, std::hint::black_box(&pair.call)).unwrap());
    });
    println!("  of this parsing         {ns:>7.1} ns/message");
}

fn fan_out(serializer: Serializer, subscribers: usize, length: Length) {
    let realm = Realm::new(RealmConfig::default());
    let mut turn = Turn::new(0, 1);
    let publisher = join(&realm, serializer, &mut turn);
    for _ in 0..subscribers {
        let subscriber = join(&realm, serializer, &mut turn);
        let subscribe = Message::Subscribe(Subscribe {
            request: RequestId(1),
            options: Default::default(),
            topic: "com.example.topic".into(),
        });
        realm.handle(&subscriber, &subscribe, &mut turn);
        flush(&mut turn);
    }
    let kwargs = kwargs(serializer);
    let publish = Message::Publish(Publish {
        request: RequestId(1),
        options: PublishOptions::none(serializer),
        topic: "com.example.topic".into(),
        payload: Payload { serializer, args: &[], kwargs: &kwargs },
    });
    let mut bytes = Vec::new();
    publish.encode(serializer, &mut bytes).unwrap();
    (0..10).for_each(|_| route(&realm, &publisher, &bytes, &mut turn));
    let allocations =
        allocation_counter::measure(|| (0..10).for_each(|_| route(&realm, &publisher, &bytes, &mut turn)));
    let ns = time(length, || route(&realm, &publisher, &bytes, &mut turn));
    println!(
        "fan-out to {subscribers} {}   {:>7.1} ns/event   {:>6.4} allocations/event",
        serializer.as_str(),
        ns / subscribers as f64,
        allocations.count_total as f64 / 10.0 / subscribers as f64
    );
}

/// Disjoint pairs in one realm on `threads` threads: CPU nanoseconds for each message.
fn threads(threads: usize, length: Length, churn: bool) -> f64 {
    let realm = Realm::new(RealmConfig::default());
    let (barrier, stop) = (Barrier::new(threads), AtomicBool::new(false));
    let mut sum = 0.0;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|index| {
                let (realm, barrier) = (&realm, &barrier);
                scope.spawn(move || {
                    let mut turn = Turn::new(index as u16, index as u64);
                    let procedure = format!("com.example.procedure{index}");
                    let mut pair = Pair::new(realm, Serializer::MessagePack, &procedure, &mut turn);
                    (0..1000).for_each(|_| pair.round(realm, &mut turn));
                    barrier.wait();
                    time(length, || pair.round(realm, &mut turn)) / 2.0
                })
            })
            .collect();
        let churner = churn.then(|| scope.spawn(|| come_and_go(&realm, &stop)));
        sum = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        stop.store(true, Ordering::Relaxed);
        if let Some(changes) = churner.map(|churner| churner.join().unwrap()) {
            println!(
                "  with {changes:.0} subscriptions and registrations a second that come and go on other URIs:"
            );
        }
    });
    sum / threads as f64
}

/// Subscribes and unsubscribes, also patterns, about 10,000 times a second; returns how many it were.
fn come_and_go(realm: &Realm, stop: &AtomicBool) -> f64 {
    let mut turn = Turn::new(99, 99);
    let session = join(realm, Serializer::MessagePack, &mut turn);
    let (started, mut changes) = (Instant::now(), 0_u64);
    while !stop.load(Ordering::Relaxed) {
        let topic = format!("com.example.other{}", changes % 1000);
        let subscribe = Message::Subscribe(Subscribe {
            request: RequestId(1),
            options: Default::default(),
            topic: topic.into(),
        });
        realm.handle(&session, &subscribe, &mut turn);
        let id = 1 + changes;
        let unsubscribe = Message::Unsubscribe(message::Unsubscribe {
            request: RequestId(1),
            subscription: bondy_wamp::id::SubscriptionId(id),
        });
        realm.handle(&session, &unsubscribe, &mut turn);
        flush(&mut turn);
        changes += 1;
        while started.elapsed() < Duration::from_micros(changes * 200) {
            std::thread::yield_now();
        }
    }
    2.0 * changes as f64 / started.elapsed().as_secs_f64()
}

/// The value behind an option of the command line.
fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let length = match option("--rounds") {
        Some(rounds) => Length::Rounds(rounds.parse().expect("a number of rounds")),
        None if is_quick => Length::Time(Duration::from_millis(20)),
        None => Length::Time(Duration::from_secs(1)),
    };
    let only = option("--only");
    let is_wanted = |figure: &str, serializer: Serializer| {
        only.as_deref()
            .is_none_or(|only| only == figure || only == format!("{figure}:{}", serializer.as_str()))
    };
    for serializer in Serializer::ALL {
        if is_wanted("rpc", serializer) {
            rpc(serializer, length);
        }
        if is_wanted("parse", serializer) {
            parse(serializer, length);
        }
    }
    for serializer in Serializer::ALL {
        if is_wanted("fan-out", serializer) {
            fan_out(serializer, 1000, length);
        }
    }
    if only.is_some() {
        return;
    }
    fan_out(Serializer::MessagePack, 20_000, length);
    let rounds = if is_quick { 1 } else { 5 };
    let mut ratios: Vec<f64> = (0..rounds).map(|_| scaling(length)).collect();
    ratios.sort_by(f64::total_cmp);
    println!("two threads over one, median: {:.3}", ratios[ratios.len() / 2]);
    let (alone, churned) = (threads(1, length, false), threads(1, length, true));
    println!(
        "one thread alone {alone:.1} ns/message, beside changes {churned:.1}: {:.3} times",
        churned / alone
    );
}

/// How many times the messages of one thread two threads route.
fn scaling(length: Length) -> f64 {
    let (one, two) = (threads(1, length, false), threads(2, length, false));
    let times = 2.0 * one / two;
    println!("one thread {one:.1} ns/message, two threads {two:.1} ns/message each: {times:.3} times");
    times
}
