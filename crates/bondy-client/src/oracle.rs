//! What must hold for a joined session whatever a router sends, at whatever moment: the fuzz target `client_session`,
//! and the replay of its corpus.
//!
//! The bytes say what happens: requests of the application, messages of the router, lost connections. Nothing panics;
//! whatever the session sends is strictly right, under ids without gaps; every request is answered once, and by the end
//! all of them are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bondy_wamp::id::SessionId;
use bondy_wamp::message::{self, CancelMode, Message};
use bondy_wamp::serializer::Serializer;
use bondy_wamp::uri::MatchPolicy;
use bondy_wamp::value::Value;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::arguments::{Arguments, Details};
use crate::connection::{EndReason, SessionDetails};
use crate::error::WampError;
use crate::invocation::InvocationContext;
use crate::queue::Queue;
use crate::session::{
    Answering, CallAnswer, Cancellation, Effect, Finished, Invocation, Limits, NewRegistration,
    NewSubscription, Outgoing, OutgoingCall, OutgoingEvent, Procedure, RegistrationToken, Session,
    SubscriberToken, Ticket, Violation,
};
use crate::subscribe::EventQueue;

/// The largest message that the imagined router takes.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Runs the bytes against a session.
pub fn client_session(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let mut harness = Harness::new(Serializer::ALL[usize::from(*first) % 3]);
    let mut script = rest;
    while let Some(step) = Step::next(&mut script) {
        harness.take(step);
        harness.check();
    }
    harness.close();
}

/// One thing that happens.
enum Step<'a> {
    Received(&'a [u8]),
    Call { progressive: bool },
    CancelCall,
    Publish,
    Subscribe { get_retained: bool },
    Unsubscribe,
    Register,
    Unregister,
    Finish(u8),
    Disconnect,
    Later,
}

impl<'a> Step<'a> {
    fn next(script: &mut &'a [u8]) -> Option<Self> {
        let (tag, rest) = script.split_first()?;
        *script = rest;
        Some(match tag % 12 {
            0 | 1 => {
                let (length, rest) = script.split_first().unwrap_or((&0, &[]));
                let end = usize::from(*length).min(rest.len());
                *script = &rest[end..];
                Step::Received(&rest[..end])
            }
            2 => Step::Call { progressive: tag & 16 != 0 },
            3 => Step::CancelCall,
            4 => Step::Publish,
            5 => Step::Subscribe { get_retained: tag & 16 != 0 },
            6 => Step::Unsubscribe,
            7 => Step::Register,
            8 => Step::Unregister,
            9 => Step::Finish(tag / 12),
            10 => Step::Disconnect,
            _ => Step::Later,
        })
    }
}

struct Harness {
    session: Session,
    serializer: Serializer,
    now: Instant,
    last_request: u64,
    answers: Vec<Box<dyn Pending>>,
    calls: Vec<Ticket>,
    queues: Vec<Arc<EventQueue>>,
    subscribers: Vec<SubscriberToken>,
    registrations: Vec<RegistrationToken>,
    invocations: Vec<Invocation>,
}

/// An answer that is waited for.
trait Pending {
    /// Has it come? It must not be lost.
    fn has_come(&mut self) -> bool;
}

impl<T> Pending for oneshot::Receiver<T> {
    fn has_come(&mut self) -> bool {
        match self.try_recv() {
            Ok(_) => true,
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Closed) => panic!("a request was forgotten without an answer"),
        }
    }
}

struct NoProcedure;

impl Procedure for NoProcedure {
    fn begin(&self, arguments: Arguments, _: InvocationContext) -> Answering {
        Box::pin(std::future::ready(Ok(arguments)))
    }
}

impl Harness {
    fn new(serializer: Serializer) -> Self {
        let mut harness = Self {
            session: Session::new(Limits { outgoing_bytes_max: 1 << 20 }),
            serializer,
            now: Instant::now(),
            last_request: 0,
            answers: Vec::new(),
            calls: Vec::new(),
            queues: Vec::new(),
            subscribers: Vec::new(),
            registrations: Vec::new(),
            invocations: Vec::new(),
        };
        harness.join();
        harness
    }

    fn join(&mut self) {
        let url = "memory:".to_owned();
        let details = SessionDetails::new(SessionId(1), Value::Null, "realm1", url, self.serializer);
        self.last_request = 0;
        self.session.joined(Arc::new(details), MESSAGE_BYTES_MAX, self.now);
    }

    fn take(&mut self, step: Step<'_>) {
        match step {
            Step::Received(bytes) => self.receive(bytes),
            Step::Call { progressive } => self.call(progressive),
            Step::CancelCall => {
                if let Some(ticket) = self.calls.pop() {
                    self.session.abandon_call(ticket, CancelMode::KillNoWait);
                }
            }
            Step::Publish => {
                let published = self.session.publish(&event()).ok().flatten();
                self.answers.extend(published.map(|answer| Box::new(answer) as Box<dyn Pending>));
            }
            Step::Subscribe { get_retained } => self.subscribe(get_retained),
            Step::Unsubscribe => {
                let answer = self.subscribers.pop().and_then(|token| self.session.unsubscribe(token));
                self.answers.extend(answer.map(|answer| Box::new(answer) as Box<dyn Pending>));
            }
            Step::Register => self.register(),
            Step::Unregister => {
                let answer = self.registrations.pop().and_then(|token| self.session.unregister(token));
                self.answers.extend(answer.map(|answer| Box::new(answer) as Box<dyn Pending>));
            }
            Step::Finish(how) => self.finish(how),
            Step::Disconnect => self.disconnect(),
            Step::Later => {
                self.now += Duration::from_secs(1);
                self.session.expire(self.now);
            }
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let handled = match message::parse(self.serializer, bytes) {
            Ok(message) => self.session.handle(&message, bytes.len(), self.now),
            Err(error) => Err(Violation(error.to_string())),
        };
        if let Err(violation) = handled {
            self.session.abort(&violation);
        }
        if self.session.ended().is_some() {
            self.disconnect();
        }
    }

    fn disconnect(&mut self) {
        self.check();
        self.session.disconnected(&EndReason::Lost("of fuzzing".to_owned()), self.now);
        self.join();
    }

    fn call(&mut self, progressive: bool) {
        let call = OutgoingCall {
            procedure: "com.example.call".to_owned(),
            arguments: Arguments::of(&(1, "a")).expect("it can be encoded"),
            receive_progress: progressive,
            timeout_ms: 0,
            disclose_me: false,
            attributes: Details::new(self.serializer),
        };
        let (sender, receiver) = oneshot::channel();
        let begun = self.session.begin_call(&call, progressive, 4, || match progressive {
            true => CallAnswer::Parts(Arc::new(Queue::new(4, 1000))),
            false => CallAnswer::Once(sender),
        });
        if let Ok(ticket) = begun {
            self.calls.push(ticket);
            if !progressive {
                // It may be abandoned, and is not answered then.
                self.answers.push(Box::new(MayBeDropped(receiver)));
            }
        }
    }

    fn subscribe(&mut self, get_retained: bool) {
        let queue = Arc::new(EventQueue::new(4));
        let new = NewSubscription {
            topic: "com.example.topic".into(),
            match_policy: MatchPolicy::Exact,
            get_retained,
            queue: Arc::clone(&queue),
        };
        if let Ok((token, answer)) = self.session.subscribe(&new) {
            self.subscribers.push(token);
            self.queues.push(queue);
            // It may be dropped before it is confirmed.
            self.answers.extend(answer.map(|answer| Box::new(MayBeDropped(answer)) as Box<dyn Pending>));
        }
    }

    fn register(&mut self) {
        let new = Arc::new(NewRegistration {
            procedure: "com.example.procedure".into(),
            match_policy: MatchPolicy::Exact,
            invoke: None,
            concurrency: 2,
            force_reregister: false,
            disclose_caller: false,
            forward_timeout: false,
            grace: Duration::ZERO,
            handler: Arc::new(NoProcedure),
        });
        if let Ok((token, answer, _)) = self.session.register(&new) {
            self.registrations.push(token);
            self.answers.push(Box::new(answer));
        }
    }

    fn finish(&mut self, how: u8) {
        let Some(invocation) = self.invocations.pop() else { return };
        let (generation, request) = (invocation.generation, invocation.request);
        let finished = match how % 4 {
            0 => Finished::Answered(Ok(invocation.arguments)),
            1 => Finished::Answered(Err(WampError::new("com.example.error"))),
            2 => Finished::Stopped(Cancellation::Kill),
            _ => Finished::Panicked,
        };
        let _ = self.session.progress(generation, request, &Arguments::none());
        self.session.finish(generation, request, invocation.registration, finished);
    }

    /// What must hold after every step.
    fn check(&mut self) {
        for effect in self.session.take_effects() {
            if let Effect::Invoke(invocation) = effect {
                self.invocations.push(*invocation);
            }
        }
        let mut outgoing = Outgoing::default();
        self.session.take_outgoing(&mut outgoing);
        for bytes in outgoing.messages() {
            assert!(bytes.len() <= MESSAGE_BYTES_MAX, "larger than the router takes");
            let message = message::parse(self.serializer, bytes).expect("what is sent is right");
            if let Some(request) = new_request(&message) {
                assert_eq!(request, self.last_request + 1, "ids have no gaps");
                self.last_request = request;
            }
        }
        self.answers.retain_mut(|answer| !answer.has_come());
        assert!(!self.session.subscribers_wait_in_vain(), "a stream waits for an answer that never comes");
        let _ = (self.session.next_deadline(), self.session.has_room(), self.session.wants_driver());
    }

    /// By the end everything is answered.
    fn close(mut self) {
        while !self.invocations.is_empty() {
            self.finish(0);
            self.check();
        }
        assert_eq!(self.session.invocations(), 0, "an invocation was forgotten without an answer");
        self.session.close(&EndReason::Closed);
        self.check();
        self.answers.retain_mut(|answer| !answer.has_come());
        assert!(self.answers.is_empty(), "{} requests were never answered", self.answers.len());
    }
}

/// An answer that whoever asked may give up, so that it never comes.
struct MayBeDropped<T>(oneshot::Receiver<T>);

impl<T> Pending for MayBeDropped<T> {
    fn has_come(&mut self) -> bool {
        !matches!(self.0.try_recv(), Err(TryRecvError::Empty))
    }
}

fn event() -> OutgoingEvent {
    OutgoingEvent {
        topic: "com.example.topic".to_owned(),
        arguments: Arguments::none(),
        acknowledge: true,
        exclude_me: true,
        disclose_me: false,
        retain: false,
        receivers: message::Receivers::default(),
        attributes: Details::new(Serializer::Json),
    }
}

/// The id of a message that begins a request.
fn new_request(message: &Message<'_>) -> Option<u64> {
    match message {
        Message::Call(call) => Some(call.request.0),
        Message::Publish(publish) => Some(publish.request.0),
        Message::Subscribe(subscribe) => Some(subscribe.request.0),
        Message::Unsubscribe(unsubscribe) => Some(unsubscribe.request.0),
        Message::Register(register) => Some(register.request.0),
        Message::Unregister(unregister) => Some(unregister.request.0),
        Message::Hello(_)
        | Message::Welcome(_)
        | Message::Abort(_)
        | Message::Challenge(_)
        | Message::Authenticate(_)
        | Message::Goodbye(_)
        | Message::Error(_)
        | Message::Published(_)
        | Message::Subscribed(_)
        | Message::Unsubscribed(_)
        | Message::Event(_)
        | Message::Cancel(_)
        | Message::Result(_)
        | Message::Registered(_)
        | Message::Unregistered(_)
        | Message::Invocation(_)
        | Message::Interrupt(_)
        | Message::Yield(_) => None,
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn client_session_holds_for_its_corpus() {
    replay::replay("client_session", client_session);
}

#[cfg(test)]
#[test]
fn client_session_holds_for_random_scripts() {
    let mut random = fastrand::Rng::with_seed(7);
    let answers: Vec<Vec<u8>> = answers();
    for _ in 0..3000 {
        let mut script = vec![0];
        for _ in 0..random.usize(1..60) {
            if random.u8(..) < 100 {
                let answer = &answers[random.usize(..answers.len())];
                script.extend([0, answer.len() as u8]);
                script.extend(answer);
            } else {
                script.push(random.u8(..));
            }
        }
        client_session(&script);
    }
}

/// What a router may answer to the first requests.
#[cfg(test)]
fn answers() -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    for request in 1..6 {
        for text in [
            "[50,R,{},[1]]",
            "[50,R,{\"progress\":true},[1]]",
            "[8,48,R,{},\"a.b\"]",
            "[17,R,9]",
            "[8,16,R,{},\"a.b\"]",
            "[33,R,5]",
            "[8,32,R,{},\"a.b\"]",
            "[35,R]",
            "[8,34,R,{},\"a.b\"]",
            "[65,R,6]",
            "[8,64,R,{},\"wamp.error.procedure_already_exists\"]",
            "[67,R]",
            "[8,66,R,{},\"a.b\"]",
            "[68,R,6,{}]",
            "[68,R,6,{\"progress\":true},[1]]",
            "[69,R,{\"mode\":\"kill\"}]",
            "[69,R,{}]",
            "[36,5,R,{\"retained\":true}]",
            "[36,5,R,{}]",
            "[35,0,{\"subscription\":5}]",
            "[67,0,{\"registration\":6}]",
            "[6,{},\"a.b\"]",
        ] {
            answers.push(text.replace('R', &request.to_string()).into_bytes());
        }
    }
    answers
}
