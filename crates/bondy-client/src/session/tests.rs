//! A session on imagined time: what it tells and answers after lost connections.

use super::*;
use crate::arguments::{Arguments, Details};
use crate::error::SubscribeError;
use crate::invocation::InvocationContext;
use crate::subscribe::EventQueue;
use bondy_wamp::id::SessionId;
use bondy_wamp::message;
use bondy_wamp::uri::MatchPolicy;
use bondy_wamp::value::Value;
use serde_json::json;
use std::task::{Context, Poll, Waker};

/// The largest message that the imagined router takes, unless a test says otherwise.
const ROUTER_BYTES_MAX: usize = 4096;

struct World {
    session: Session,
    now: Instant,
    events: Arc<Queue<ConnectionEvent>>,
}

impl World {
    fn new() -> Self {
        let mut session = Session::new(Limits { outgoing_bytes_max: 1 << 20 });
        let events = session.observe();
        let mut world = Self { session, now: Instant::now(), events };
        world.join(ROUTER_BYTES_MAX);
        world
    }

    fn join(&mut self, message_bytes_max: usize) {
        let url = "memory:".to_owned();
        let details = SessionDetails::new(SessionId(1), Value::Null, "realm1", url, Serializer::Json);
        self.session.joined(Arc::new(details), message_bytes_max, self.now);
    }

    /// The connection is lost now.
    fn lose(&mut self) {
        self.session.disconnected(&EndReason::Lost("of a test".to_owned()), self.now);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn receive(&mut self, message: serde_json::Value) {
        let bytes = message.to_string();
        let message = message::parse(Serializer::Json, bytes.as_bytes()).unwrap();
        self.session.handle(&message, bytes.len(), self.now).unwrap();
    }

    /// What the session has sent since this was asked for the last time.
    fn sent(&mut self) -> Vec<serde_json::Value> {
        let mut outgoing = Outgoing::default();
        self.session.take_outgoing(&mut outgoing);
        outgoing.messages().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect()
    }

    /// The id of the only message of this type that was sent.
    fn sent_one(&mut self, code: u64) -> serde_json::Value {
        let mut sent = self.sent();
        sent.retain(|message| message[0] == code);
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent[0][1].clone()
    }

    fn subscribe(
        &mut self,
        topic: &str,
    ) -> (SubscriberToken, Option<tokio::sync::oneshot::Receiver<Result<(), SubscribeError>>>) {
        let new = NewSubscription {
            topic: topic.into(),
            match_policy: MatchPolicy::Exact,
            get_retained: false,
            queue: Arc::new(EventQueue::new(4)),
        };
        self.session.subscribe(&new).unwrap()
    }

    /// A subscription that the router has confirmed under this id.
    fn subscribed(&mut self, topic: &str, id: u64) -> SubscriberToken {
        let (token, confirmation) = self.subscribe(topic);
        let request = self.sent_one(32);
        self.receive(json!([33, request, id]));
        confirmation.unwrap().try_recv().unwrap().unwrap();
        token
    }

    /// A registration that the router has confirmed under this id.
    fn registered(&mut self, procedure: &str, id: u64) -> RegistrationToken {
        let new = Arc::new(NewRegistration {
            procedure: procedure.into(),
            match_policy: MatchPolicy::Exact,
            invoke: None,
            concurrency: 0,
            force_reregister: false,
            disclose_caller: false,
            forward_timeout: false,
            grace: Duration::ZERO,
            handler: Arc::new(NoProcedure),
        });
        let (token, mut confirmed, _) = self.session.register(&new).unwrap();
        let request = self.sent_one(64);
        self.receive(json!([65, request, id]));
        confirmed.try_recv().unwrap().unwrap();
        token
    }

    /// The reports about restorations since this was asked for the last time.
    fn reports(&mut self) -> Vec<crate::connection::Restored> {
        let mut reports = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(taken)) = self.events.poll_next(&mut context) {
            if let ConnectionEvent::Restored(report) = taken.item {
                reports.push(report);
            }
        }
        reports
    }
}

struct NoProcedure;

impl Procedure for NoProcedure {
    fn begin(&self, arguments: Arguments, _: InvocationContext) -> Answering {
        Box::pin(std::future::ready(Ok(arguments)))
    }
}

#[test]
fn who_subscribes_while_the_topic_is_restored_hears_of_its_refusal() {
    let mut world = World::new();
    world.subscribed("com.example.tick", 5);
    world.lose();
    world.join(ROUTER_BYTES_MAX);
    let request = world.sent_one(32);
    let (_, confirmation) = world.subscribe("com.example.tick");
    assert!(world.sent().is_empty(), "one SUBSCRIBE is enough");
    world.receive(json!([8, 32, request, {}, "wamp.error.not_authorized"]));
    let answer = confirmation.unwrap().try_recv().expect("an answer");
    assert!(matches!(answer, Err(SubscribeError::Wamp(_))), "{answer:?}");
    // Nothing is left of it: the next one asks again.
    let (_, confirmation) = world.subscribe("com.example.tick");
    let request = world.sent_one(32);
    world.receive(json!([33, request, 6]));
    confirmation.unwrap().try_recv().unwrap().unwrap();
}

#[test]
fn a_gap_goes_on_when_the_connection_is_lost_before_all_is_restored() {
    let mut world = World::new();
    world.subscribed("com.example.one", 5);
    world.subscribed("com.example.other", 6);
    world.lose();
    world.pass(10);
    world.join(ROUTER_BYTES_MAX);
    let first = world.sent()[0][1].clone();
    // The other's answer does not come any more.
    world.receive(json!([33, first, 5]));
    world.pass(1);
    world.lose();
    world.pass(20);
    world.join(ROUTER_BYTES_MAX);
    assert_eq!(world.reports(), []);
    for (number, message) in world.sent().into_iter().enumerate() {
        world.receive(json!([33, message[1], number + 5]));
    }
    let gaps = |reports: Vec<crate::connection::Restored>| -> Vec<(String, u64)> {
        let all = reports.into_iter().flat_map(|report| report.subscriptions);
        all.map(|restored| (restored.topic, restored.gap.as_secs())).collect()
    };
    let expected = [("com.example.one".to_owned(), 31), ("com.example.other".to_owned(), 31)];
    assert_eq!(gaps(world.reports()), expected);
    // Once it was told, the next gap begins anew.
    world.pass(100);
    world.lose();
    world.pass(2);
    world.join(ROUTER_BYTES_MAX);
    for (number, message) in world.sent().into_iter().enumerate() {
        world.receive(json!([33, message[1], number + 5]));
    }
    let expected = [("com.example.one".to_owned(), 2), ("com.example.other".to_owned(), 2)];
    assert_eq!(gaps(world.reports()), expected);
}

#[test]
fn a_registration_that_is_held_is_asked_for_longer_than_a_router_holds_it() {
    let mut world = World::new();
    world.registered("com.example.work", 7);
    world.lose();
    world.join(ROUTER_BYTES_MAX);
    let lost_at = world.now;
    // A router that pings each 30 s and waits 10 s, twice over.
    while world.now.duration_since(lost_at) < Duration::from_secs(80) {
        let request = world.sent_one(64);
        world.receive(json!([8, 64, request, {}, "wamp.error.procedure_already_exists"]));
        world.now = world.session.next_deadline().expect("it is asked for again");
        world.session.expire(world.now);
    }
    let request = world.sent_one(64);
    assert_eq!(world.session.next_deadline(), None, "an answer is to come");
    world.receive(json!([65, request, 8]));
    assert_eq!(world.reports()[0].registrations, ["com.example.work"]);
}

#[test]
fn details_count_for_what_may_wait_to_be_read() {
    let mut world = World::new();
    let call = OutgoingCall {
        procedure: "com.example.count".to_owned(),
        arguments: Arguments::none(),
        receive_progress: true,
        timeout_ms: 0,
        disclose_me: false,
        attributes: Details::new(Serializer::Json),
    };
    let parts = Arc::new(Queue::new(1000, 1000));
    world.session.begin_call(&call, false, 1000, || CallAnswer::Parts(Arc::clone(&parts))).unwrap();
    let request = world.sent_one(48);
    let blob = "x".repeat(600);
    for _ in 0..2 {
        world.receive(json!([50, request, {"progress": true, "x_blob": blob}]));
    }
    assert_eq!(world.sent_one(49), request, "it is canceled");
}

#[test]
fn nothing_follows_a_goodbye() {
    let mut world = World::new();
    let subscriber = world.subscribed("com.example.tick", 5);
    let registration = world.registered("com.example.work", 7);
    assert!(world.session.leave());
    assert_eq!(world.sent()[0][0], 6);
    // The application drops what it holds while the answer is awaited.
    assert!(world.session.unsubscribe(subscriber).is_none());
    let _ = world.session.unregister(registration);
    world.receive(json!([68, 1, 7, {}]));
    world.receive(json!([68, 2, 99, {}]));
    assert_eq!(world.sent(), Vec::<serde_json::Value>::new());
    assert!(!world.session.take_effects().iter().any(|effect| matches!(effect, Effect::Invoke(_))));
}

#[test]
fn what_a_new_router_takes_no_request_for_is_reported_with_the_rest() {
    let mut world = World::new();
    let long = format!("com.example.{}", "x".repeat(500));
    world.subscribed("com.example.tick", 5);
    world.subscribed(&long, 6);
    world.registered(&long, 7);
    world.registered("com.example.work", 8);
    world.lose();
    world.join(256);
    assert_eq!(world.reports(), [], "answers are still to come");
    for message in world.sent() {
        let answer = if message[0] == 32 { 33 } else { 65 };
        world.receive(json!([answer, message[1], 9]));
    }
    let reports = world.reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].registrations, ["com.example.work"]);
    assert_eq!(reports[0].subscriptions[0].topic, "com.example.tick");
    let lost: Vec<&str> = reports[0].lost.iter().map(|lost| &*lost.uri).collect();
    assert_eq!(lost, [&*long, &*long]);
}

#[test]
fn who_gave_a_registration_up_does_not_hear_of_its_loss() {
    let mut world = World::new();
    let registration = world.registered("com.example.work", 7);
    world.lose();
    world.join(ROUTER_BYTES_MAX);
    let request = world.sent_one(64);
    assert!(world.session.unregister(registration).is_none());
    world.receive(json!([8, 64, request, {}, "wamp.error.not_authorized"]));
    assert_eq!(world.reports(), [crate::connection::Restored::default()]);
}
