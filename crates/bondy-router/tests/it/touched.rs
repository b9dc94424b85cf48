//! What stands on the lists of sessions to be flushed, with several workers that do not flush at once.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bondy_router::config::RealmConfig;
use bondy_router::flush::Link;
use bondy_router::realm::Realm;
use bondy_router::session::{Session, SessionConfig, SessionIdentity};
use bondy_router::turn::Turn;
use bondy_wamp::feature::Features;
use bondy_wamp::framing::Framing;
use bondy_wamp::message;
use bondy_wamp::outbox::{Budget, Outbox, OutboxLimits};
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;

/// A peer that takes every byte at once, or nothing any more.
#[derive(Debug, Default)]
struct Sink {
    is_stalled: AtomicBool,
}

impl Link for Sink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_stalled.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
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

fn join(realm: &Realm, turn: &mut Turn) -> Arc<Session> {
    join_over(Arc::default(), OutboxLimits::default(), realm, turn)
}

fn join_over(link: Arc<Sink>, limits: OutboxLimits, realm: &Realm, turn: &mut Turn) -> Arc<Session> {
    let anonymous: Arc<str> = "anonymous".into();
    let config = SessionConfig {
        identity: SessionIdentity {
            authid: Arc::clone(&anonymous),
            authrole: Arc::clone(&anonymous),
            authmethod: Arc::clone(&anonymous),
            authprovider: anonymous,
        },
        features: Features::all(),
        serializer: Serializer::Json,
        trust_level: None,
        is_strict: false,
        deflate_bytes_max: 0,
        closes_on_overflow: false,
        outbox: Outbox::new(Framing::RawSocket, limits, Arc::new(Budget::new(1 << 30))),
        link,
    };
    let session = realm.join(config, "touched", turn).expect("the realm takes everybody");
    flush_touched(turn);
    session
}

fn send(realm: &Realm, session: &Arc<Session>, json: &str, turn: &mut Turn) {
    let message = message::parse(Serializer::Json, json.as_bytes()).expect("the test writes messages");
    realm.handle(session, &message, turn);
}

fn flush_touched(turn: &mut Turn) {
    for session in std::mem::take(&mut turn.touched) {
        session.flush(&mut turn.pool);
    }
}

#[test]
fn a_session_that_is_touched_again_and_again_stands_on_the_list_once() {
    let realm = Realm::new(RealmConfig { uri: "realm1".to_owned(), ..RealmConfig::default() });
    let mut turn = Turn::new(0, 1);
    let session = join(&realm, &mut turn);
    for _ in 0..10_000 {
        session.lock().touch(&session, &mut turn);
    }
    assert_eq!(turn.touched.len(), 1);
    flush_touched(&mut turn);
    session.lock().touch(&session, &mut turn);
    assert_eq!(turn.touched.len(), 1, "whoever was flushed can be touched again");
    send(&realm, &session, r#"[32, 1, {}, "com.a"]"#, &mut turn);
    assert_eq!(turn.touched.len(), 1, "a reply needs no second entry");
}

#[test]
fn a_session_stands_on_the_lists_for_events_once_whoever_publishes_and_whoever_flushes() {
    let realm = Realm::new(RealmConfig { uri: "realm1".to_owned(), ..RealmConfig::default() });
    let mut turns = [Turn::new(0, 1), Turn::new(1, 2)];
    let publishers = turns.each_mut().map(|turn| join(&realm, turn));
    let subscriber = join(&realm, &mut turns[0]);
    send(&realm, &subscriber, r#"[32, 1, {}, "com.a"]"#, &mut turns[0]);
    flush_touched(&mut turns[0]);
    let listed = |turns: &[Turn]| turns.iter().map(|turn| turn.touched_by_events.len()).sum::<usize>();

    for _ in 0..100 {
        for (publisher, turn) in publishers.iter().zip(&mut turns) {
            send(&realm, publisher, r#"[16, 1, {}, "com.a"]"#, turn);
            // A reply comes between, and is flushed first.
            subscriber.lock().touch(&subscriber, turn);
            flush_touched(turn);
        }
    }
    assert_eq!(listed(&turns), 1);

    for turn in &mut turns {
        for session in std::mem::take(&mut turn.touched_by_events) {
            session.flush_events(&mut turn.pool);
        }
    }
    assert_eq!(subscriber.lock().outbox.pending_bytes(), 0);
    send(&realm, &publishers[1], r#"[16, 1, {}, "com.a"]"#, &mut turns[1]);
    assert_eq!(listed(&turns), 1, "whoever was flushed is listed again");
}

#[test]
fn a_subscriber_with_a_quarter_of_its_soft_limit_waiting_is_flushed_with_calls_and_replies() {
    let realm = Realm::new(RealmConfig { uri: "realm1".to_owned(), ..RealmConfig::default() });
    let mut turn = Turn::new(0, 1);
    let publisher = join(&realm, &mut turn);
    let sink = Arc::new(Sink::default());
    let limits = OutboxLimits { soft_bytes: 4096, ..OutboxLimits::default() };
    let subscriber = join_over(Arc::clone(&sink), limits, &realm, &mut turn);
    send(&realm, &subscriber, r#"[32, 1, {}, "com.a"]"#, &mut turn);
    flush_touched(&mut turn);
    let publish = format!(r#"[16, 1, {{}}, "com.a", ["{}"]]"#, "x".repeat(500));

    send(&realm, &publisher, &publish, &mut turn);
    assert!(turn.touched.is_empty(), "the first event may wait for more");
    for _ in 0..3 {
        send(&realm, &publisher, &publish, &mut turn);
    }
    assert_eq!(turn.touched.len(), 1);
    flush_touched(&mut turn);
    assert_eq!(subscriber.lock().outbox.pending_bytes(), 0);

    sink.is_stalled.store(true, Ordering::Relaxed);
    send(&realm, &publisher, &publish, &mut turn);
    subscriber.flush_events(&mut turn.pool);
    for _ in 0..5 {
        send(&realm, &publisher, &publish, &mut turn);
    }
    assert!(turn.touched.is_empty(), "to flush a peer that does not read would only delay the others");
}
