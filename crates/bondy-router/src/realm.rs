//! A realm: the door through which sessions, messages and timers come in.

use bondy_wamp::error_uri::{CloseUri, ErrorUri};
use bondy_wamp::feature::{BROKER_FEATURES, DEALER_FEATURES};
use bondy_wamp::id::{RequestId, SessionId};
use bondy_wamp::message::{self, Message, MessageType};
use bondy_wamp::outbox::Tail;
use bondy_wamp::serializer::{Encoder, ParseError, Serializer};
use bondy_wamp::value::Value;

use crate::broker::FanOut;
use crate::config::RealmConfig;
use crate::control::Control;
use crate::dealer;
use crate::history::Histories;
use crate::registration::Registration;
use crate::registry::Routes;
use crate::session::{Refusal, Session, SessionConfig};
use crate::subscription::Subscription;
use crate::sync::{Arc, Lock};
use crate::timer::Timer;
use crate::turn::Turn;

/// One realm on one node. Shared by all workers.
#[derive(Debug)]
pub struct Realm {
    pub(crate) config: RealmConfig,
    pub(crate) control: Lock<Control>,
    pub(crate) topics: Routes<Subscription>,
    pub(crate) procedures: Routes<Registration>,
    pub(crate) histories: Histories,
    /// What WELCOME says of the router, by serializer: nearly all of that message.
    roles: [Box<[u8]>; Serializer::ALL.len()],
}

/// What the owner of a session does after a message.
#[derive(Debug)]
pub enum Flow {
    /// Go on with the next message.
    Done,
    /// A fan-out has more to do: call [`Realm::continue_fan_out`] until it is done, serving others in between, and
    /// read no further from this publisher before.
    FanOut(Box<FanOut<'static>>),
    /// The session has ended: write what is left and close.
    Ended,
}

/// Why a session could not join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The realm is shutting down.
    #[error("the realm is shutting down")]
    Closing,
    /// The realm has as many sessions as it may.
    #[error("the realm has {0} sessions, its limit")]
    SessionsMax(usize),
    /// The client takes only messages that are smaller than WELCOME.
    #[error("the client takes messages of at most {0} bytes, and WELCOME is larger")]
    MessagesTooSmall(u32),
}

/// How a session ends, as its peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell<'a> {
    /// The connection is lost: nothing can be said.
    Lost,
    /// GOODBYE with this reason and, for people, this message.
    Goodbye(&'a str, Option<&'a str>),
    /// ABORT with this reason and, for people, this message.
    Abort(&'a str, &'a str),
}

/// What is in a realm at present, for tests and tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Sessions.
    pub sessions: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Registrations.
    pub registrations: usize,
    /// Pending calls of all sessions.
    pub calls: usize,
    /// Pending invocations of all sessions.
    pub invocations: usize,
    /// Topics with retained events.
    pub retained_topics: usize,
}

impl Realm {
    /// A realm without sessions.
    pub fn new(config: RealmConfig) -> Self {
        let histories = Histories::new(&config);
        Self {
            config,
            control: Lock::default(),
            topics: Routes::default(),
            procedures: Routes::default(),
            histories,
            roles: Serializer::ALL.map(|serializer| roles().to_bytes(serializer).into()),
        }
    }

    /// The realm's URI.
    pub fn uri(&self) -> &str {
        &self.config.uri
    }

    /// The configuration.
    pub fn config(&self) -> &RealmConfig {
        &self.config
    }

    /// A new session: WELCOME is the first message in its outbox.
    pub fn join(
        &self,
        config: SessionConfig,
        agent: &str,
        turn: &mut Turn,
    ) -> Result<Arc<Session>, JoinError> {
        let mut control = self.control.lock();
        if control.is_closing {
            return Err(JoinError::Closing);
        }
        if control.session_count() >= self.config.limits.sessions_max {
            return Err(JoinError::SessionsMax(self.config.limits.sessions_max));
        }
        let id = loop {
            let id = SessionId(turn.random_id());
            if !control.has_session(id) {
                break id;
            }
        };
        let session = Arc::new(Session::new(id, turn.now, config));
        let head = message::head(session.serializer(), 3, MessageType::Welcome, id.0);
        let mut tail = turn.pool.take();
        let mut encoder = Encoder::tail(session.serializer(), &mut tail);
        self.encode_welcome(&session, agent, &mut encoder);
        encoder.end_list();
        let mut state = session.lock();
        if state.outbox.is_too_large(head.len() + tail.len()) {
            return Err(JoinError::MessagesTooSmall(state.outbox.limits().message_bytes_max));
        }
        state.append(&session, &head, Tail::Copied(&tail), turn);
        drop(state);
        turn.pool.give(tail);
        control.insert_session(Arc::clone(&session));
        turn.stats.sessions_joined += 1;
        self.publish_on_join(&control, &session, turn);
        Ok(session)
    }

    /// The details of WELCOME, their keys in order.
    fn encode_welcome(&self, session: &Session, agent: &str, encoder: &mut Encoder<'_>) {
        let identity = session.identity();
        let texts = [
            ("agent", agent),
            ("authid", &identity.authid),
            ("authmethod", &identity.authmethod),
            ("authprovider", &identity.authprovider),
            ("authrole", &identity.authrole),
            ("realm", self.uri()),
        ];
        encoder.begin_dict(texts.len() + 1);
        for (key, text) in texts {
            encoder.key(key);
            encoder.string(text);
        }
        encoder.key("roles");
        encoder.raw(&self.roles[session.serializer().index()]);
        encoder.end_dict();
    }

    /// Handles one message of a session. The messages of one session are handled one at a time, in order.
    pub fn handle(&self, session: &Arc<Session>, message: &Message<'_>, turn: &mut Turn) -> Flow {
        match message {
            Message::Call(call) => self.call(session, call, turn),
            Message::Yield(answer) => self.yielded(session, answer, turn),
            Message::Publish(publish) => self.publish(session, publish, turn),
            Message::Error(error) => self.failed(session, error, turn),
            Message::Cancel(cancel) => self.cancel(session, *cancel, turn),
            Message::Subscribe(subscribe) => self.subscribe(session, subscribe, turn),
            Message::Unsubscribe(unsubscribe) => self.unsubscribe(session, *unsubscribe, turn),
            Message::Register(register) => self.register(session, register, turn),
            Message::Unregister(unregister) => self.unregister(session, *unregister, turn),
            Message::Goodbye(_) => {
                self.leave(session, Farewell::Goodbye(CloseUri::GoodbyeAndOut.as_str(), None), turn);
                Flow::Ended
            }
            Message::Abort(_) => {
                self.leave(session, Farewell::Lost, turn);
                Flow::Ended
            }
            Message::Hello(_)
            | Message::Welcome(_)
            | Message::Challenge(_)
            | Message::Authenticate(_)
            | Message::Published(_)
            | Message::Subscribed(_)
            | Message::Unsubscribed(_)
            | Message::Event(_)
            | Message::Result(_)
            | Message::Registered(_)
            | Message::Unregistered(_)
            | Message::Invocation(_)
            | Message::Interrupt(_) => {
                let text = format!("{:?} is not expected in an established session", message.message_type());
                self.violate(session, &text, turn)
            }
        }
    }

    /// Handles bytes that are no message. Where only the payload is at fault the session lives on with an ERROR.
    pub fn handle_malformed(&self, session: &Arc<Session>, error: &ParseError, turn: &mut Turn) -> Flow {
        let refusal = Refusal::new(ErrorUri::InvalidArgument, error.to_string());
        match error.request {
            Some((MessageType::Yield | MessageType::Error, id)) => {
                self.refuse_answer(session, id, &refusal, turn)
            }
            Some((MessageType::Call, request)) => self.refuse_call(session, request, &refusal, turn),
            // Whether a PUBLISH asked to be acknowledged is not known where its payload is malformed.
            Some((MessageType::Publish, request)) => self.drop_publish(session, request, turn),
            // No other message with a payload comes from a client.
            Some(_) | None => self.violate(session, &refusal.message, turn),
        }
    }

    /// Handles a message that is larger than the realm's limit: it is refused, the session lives.
    pub fn handle_too_large(&self, session: &Arc<Session>, message: &Message<'_>, turn: &mut Turn) -> Flow {
        let max = self.config.limits.message_bytes_max;
        let text = format!("the message is larger than the {max} bytes that the realm allows");
        let refusal = Refusal::new(ErrorUri::PayloadSizeExceeded, text);
        match message {
            Message::Yield(answer) => self.refuse_answer(session, answer.request, &refusal, turn),
            Message::Error(error) => self.refuse_answer(session, error.request, &refusal, turn),
            Message::Call(call) => self.refuse_call(session, call.request, &refusal, turn),
            Message::Publish(publish) if publish.options.acknowledge => {
                match Self::check_sequence(session, publish.request) {
                    Ok(()) => self.refuse(session, MessageType::Publish, publish.request, &refusal, turn),
                    Err(text) => self.violate(session, &text, turn),
                }
            }
            Message::Publish(publish) => self.drop_publish(session, publish.request, turn),
            _ => self.violate(session, &refusal.message, turn),
        }
    }

    fn drop_publish(&self, session: &Arc<Session>, request: RequestId, turn: &mut Turn) -> Flow {
        match Self::check_sequence(session, request) {
            Ok(()) => Flow::Done,
            Err(text) => self.violate(session, &text, turn),
        }
    }

    /// A timer of [`Turn::timers`] is due. (Of whichever realm: the timer knows its caller.)
    pub fn expire(timer: &Timer, turn: &mut Turn) {
        dealer::deadline(timer, turn);
    }

    /// The next slice of a long fan-out; true when it is done.
    pub fn continue_fan_out(
        &self,
        session: &Arc<Session>,
        fan_out: &mut FanOut<'_>,
        turn: &mut Turn,
    ) -> bool {
        self.fan_out_slice(session, fan_out, turn)
    }

    /// The session broke the protocol: ABORT, then it leaves.
    pub fn violate(&self, session: &Arc<Session>, text: &str, turn: &mut Turn) -> Flow {
        turn.stats.protocol_violations += 1;
        turn.violations.push((Arc::clone(session), text.to_owned()));
        self.leave(session, Farewell::Abort(ErrorUri::ProtocolViolation.as_str(), text), turn);
        Flow::Ended
    }

    /// The session's own outbox took no reply: it leaves.
    pub(crate) fn overflow(&self, session: &Arc<Session>, turn: &mut Turn) -> Flow {
        turn.stats.outbox_overflows += 1;
        let text = "the session reads too slowly: its outbox is over its limit";
        self.leave(session, Farewell::Abort(ErrorUri::LimitExceeded.as_str(), text), turn);
        Flow::Ended
    }

    /// In strict sessions request ids come in sequence: 1, 2, 3, ..., after 2^53 again 1.
    ///
    /// Returns what is wrong.
    pub(crate) fn check_sequence(session: &Session, request: RequestId) -> Result<(), String> {
        if !session.is_strict() {
            return Ok(());
        }
        let mut state = session.lock();
        let expected = state.last_request % bondy_wamp::id::ID_MAX + 1;
        if request.0 != expected {
            return Err(format!("request id {request} where {expected} is next in sequence"));
        }
        state.last_request = request.0;
        Ok(())
    }

    /// Is this session in the realm?
    pub fn has_session(&self, id: SessionId) -> bool {
        self.control.lock().has_session(id)
    }

    /// What is in the realm.
    pub fn inspect(&self) -> Inspection {
        let control = self.control.lock();
        let mut inspection = Inspection {
            sessions: control.session_count(),
            subscriptions: control.subscriptions.count(),
            registrations: control.registrations.count(),
            retained_topics: control.retained.len(),
            ..Inspection::default()
        };
        let sessions: Vec<_> = control.sessions().map(Arc::clone).collect();
        drop(control);
        for session in sessions {
            let (calls, invocations) = session.lock().pending();
            inspection.calls += calls;
            inspection.invocations += invocations;
        }
        inspection
    }
}

/// The roles of the router and their features, as WELCOME announces them.
fn roles() -> Value {
    let features = |names: &[&str]| -> Value {
        let flags = names.iter().map(|name| ((*name).to_owned(), Value::Bool(true))).collect();
        [("features", Value::Dict(flags))].into()
    };
    [("broker", features(BROKER_FEATURES)), ("dealer", features(DEALER_FEATURES))].into()
}
