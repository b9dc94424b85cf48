//! Every message, at its plainest and with everything that it can carry.

use std::borrow::Cow;

use bondy_wamp::feature::{Feature, Features, WampRole};
use bondy_wamp::id::{ID_MAX, PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use bondy_wamp::message::{
    Abort, Attributes, Authenticate, Call, CallOptions, Cancel, CancelMode, Challenge, Error, Event,
    EventDetails, Goodbye, Hello, HelloDetails, Identity, Interrupt, Invocation, InvocationDetails, Message,
    MessageType, Publish, PublishOptions, Published, Receivers, Register, RegisterOptions, Registered,
    Result, Subscribe, SubscribeOptions, Subscribed, Unregister, Unregistered, Unsubscribe, Unsubscribed,
    Welcome, Yield,
};
use bondy_wamp::payload::Payload;
use bondy_wamp::serializer::Serializer;
use bondy_wamp::uri::MatchPolicy;
use bondy_wamp::value::Value;

/// Every message in every shape, with payloads in this serializer.
pub(crate) fn messages(serializer: Serializer) -> Vec<Message<'static>> {
    let mut messages = plain(serializer);
    messages.extend(full(serializer));
    messages.extend(legacy_and_one_sided(serializer));
    messages
}

fn bytes(serializer: Serializer, value: &Value) -> &'static [u8] {
    value.to_bytes(serializer).leak()
}

fn text(text: &'static str) -> Cow<'static, str> {
    Cow::Borrowed(text)
}

fn args() -> Value {
    Value::List(vec![
        Value::from("Grüße \"all\"\n"),
        Value::Integer(-7),
        Value::Float(0.1),
        Value::Binary(vec![0, 255]),
    ])
}

fn kwargs() -> Value {
    Value::from([
        ("big", Value::from(u64::MAX)),
        ("nothing", Value::Null),
        ("nested", Value::List(vec![Value::from([("deep", Value::from(true))]), Value::List(vec![])])),
    ])
}

fn payload(serializer: Serializer) -> Payload<'static> {
    Payload { serializer, args: bytes(serializer, &args()), kwargs: bytes(serializer, &kwargs()) }
}

fn attributes(serializer: Serializer) -> Attributes<'static> {
    let entry = |key: &'static str, value: Value| (Cow::Borrowed(key), bytes(serializer, &value));
    let hop = Value::from([
        ("session", Value::from(5)),
        ("authid", Value::from("r1")),
        ("authrole", Value::from("router")),
    ]);
    Attributes {
        serializer,
        entries: vec![
            entry("ppt_scheme", Value::from("x_custom")),
            entry("ppt_serializer", Value::from("cbor")),
            entry("_private", Value::List(vec![Value::from(1)])),
            entry("x_extension", Value::Float(2.5)),
            entry("forward_for", Value::List(vec![hop])),
            entry("transaction_hash", Value::from("abc")),
            entry("x_acknowledged_delivery", Value::from(true)),
        ],
    }
}

fn identity() -> Identity<'static> {
    Identity { session: SessionId(ID_MAX), authid: text("joe"), authrole: text("staff") }
}

fn plain(serializer: Serializer) -> Vec<Message<'static>> {
    let none = || Attributes::none(serializer);
    let empty = || Payload::none(serializer);
    let request = RequestId(1);
    vec![
        Message::Hello(Box::new(Hello { realm: "realm1".to_owned(), details: HelloDetails::default() })),
        Message::Welcome(Box::new(Welcome { session: SessionId(1), details: Value::from([]) })),
        Message::Abort(Abort { message: None, reason: text("wamp.error.no_such_realm") }),
        Message::Challenge(Challenge { authmethod: "wampcra".to_owned(), extra: Value::from([]) }),
        Message::Authenticate(Authenticate { signature: String::new(), extra: Value::from([]) }),
        Message::Goodbye(Goodbye { message: None, reason: text("wamp.close.normal") }),
        Message::Error(Error {
            request_type: MessageType::Call,
            request,
            details: none(),
            error: text("com.example.error"),
            payload: empty(),
        }),
        Message::Publish(Publish {
            request,
            options: PublishOptions::none(serializer),
            topic: text("a.b"),
            payload: empty(),
        }),
        Message::Published(Published { request, publication: PublicationId(4_429_313_566) }),
        Message::Subscribe(Subscribe { request, options: SubscribeOptions::default(), topic: text("a.b") }),
        Message::Subscribed(Subscribed { request, subscription: SubscriptionId(5_512_315_355) }),
        Message::Unsubscribe(Unsubscribe { request, subscription: SubscriptionId(300) }),
        Message::Unsubscribed(Unsubscribed { request, revoked: None }),
        Message::Event(Event {
            subscription: SubscriptionId(70_000),
            publication: PublicationId(ID_MAX),
            details: EventDetails::none(serializer),
            payload: empty(),
        }),
        Message::Call(Call {
            request,
            options: CallOptions::none(serializer),
            procedure: text("a.b"),
            payload: empty(),
        }),
        Message::Cancel(Cancel { request, mode: CancelMode::KillNoWait }),
        Message::Result(Result { request, progress: false, details: none(), payload: empty() }),
        Message::Register(Register { request, options: RegisterOptions::default(), procedure: text("a.b") }),
        Message::Registered(Registered { request, registration: RegistrationId(23) }),
        Message::Unregister(Unregister { request, registration: RegistrationId(24) }),
        Message::Unregistered(Unregistered { request, revoked: None }),
        Message::Invocation(Invocation {
            request,
            registration: RegistrationId(127),
            details: InvocationDetails::none(serializer),
            payload: empty(),
        }),
        Message::Interrupt(Interrupt { request, mode: CancelMode::Kill }),
        Message::Yield(Yield { request, progress: false, options: none(), payload: empty() }),
    ]
}

fn full(serializer: Serializer) -> Vec<Message<'static>> {
    let request = RequestId(ID_MAX);
    let mut messages = full_session(serializer);
    messages.extend(full_pubsub(serializer, request));
    messages.extend(full_rpc(serializer, request));
    messages
}

fn all_features() -> Features {
    let mut features = Features::default();
    WampRole::ALL.iter().for_each(|(role, _)| features.insert_role(*role));
    Feature::ALL.iter().for_each(|(feature, _, _)| features.insert(*feature));
    features
}

fn full_session(serializer: Serializer) -> Vec<Message<'static>> {
    let details = HelloDetails {
        features: all_features(),
        agent: Some("Agent/1.0".to_owned()),
        authmethods: Some(vec!["wampcra".to_owned(), "ticket".to_owned()]),
        authid: Some("joe".to_owned()),
        authrole: Some("staff,admin".to_owned()),
        authextra: kwargs(),
    };
    vec![
        Message::Hello(Box::new(Hello { realm: "com.example.réalm".to_owned(), details })),
        Message::Welcome(Box::new(Welcome { session: SessionId(ID_MAX), details: kwargs() })),
        Message::Abort(Abort {
            message: Some(text("\"why\"\\\u{1}")),
            reason: text("wamp.error.protocol_violation"),
        }),
        Message::Challenge(Challenge { authmethod: "wamp-scram".to_owned(), extra: kwargs() }),
        Message::Authenticate(Authenticate { signature: "gir1mSx+deC=".to_owned(), extra: kwargs() }),
        Message::Goodbye(Goodbye { message: Some(text("bye")), reason: text("wamp.close.killed") }),
        Message::Error(Error {
            request_type: MessageType::Invocation,
            request: RequestId(ID_MAX),
            details: attributes(serializer),
            error: text("com.example.error"),
            payload: payload(serializer),
        }),
    ]
}

fn full_pubsub(serializer: Serializer, request: RequestId) -> Vec<Message<'static>> {
    let receivers = Receivers {
        exclude: Some(vec![SessionId(1), SessionId(ID_MAX)]),
        exclude_authid: Some(vec![]),
        exclude_authrole: Some(vec!["a".to_owned()]),
        eligible: Some(vec![]),
        eligible_authid: Some(vec!["b".to_owned(), "c".to_owned()]),
        eligible_authrole: Some(vec!["d".to_owned()]),
    };
    let options = PublishOptions {
        acknowledge: true,
        exclude_me: false,
        disclose_me: true,
        retain: true,
        receivers: Some(Box::new(receivers)),
        attributes: attributes(serializer),
    };
    let details = EventDetails {
        topic: Some(text("com.example.topic")),
        publisher: Some(identity()),
        trustlevel: Some(3),
        retained: true,
        dropped: 12,
        attributes: attributes(serializer),
    };
    vec![
        Message::Publish(Publish {
            request,
            options,
            topic: text("com.example.topic"),
            payload: payload(serializer),
        }),
        Message::Subscribe(Subscribe {
            request,
            options: SubscribeOptions { match_policy: MatchPolicy::Wildcard, get_retained: true },
            topic: text("com..topic"),
        }),
        Message::Unsubscribed(Unsubscribed {
            request: RequestId(0),
            revoked: Some((SubscriptionId(7), "wamp.authentication.authorization".to_owned())),
        }),
        Message::Event(Event {
            subscription: SubscriptionId(ID_MAX),
            publication: PublicationId(1),
            details,
            payload: payload(serializer),
        }),
    ]
}

fn full_rpc(serializer: Serializer, request: RequestId) -> Vec<Message<'static>> {
    let options = CallOptions {
        receive_progress: true,
        progress: true,
        timeout_ms: 60_000,
        disclose_me: true,
        rkey: bytes(serializer, &Value::List(vec![Value::from("key"), Value::from(1)])),
        attributes: attributes(serializer),
    };
    let details = InvocationDetails {
        receive_progress: true,
        progress: true,
        timeout_ms: 1,
        procedure: Some(text("com.example.procedure")),
        caller: Some(identity()),
        trustlevel: Some(0),
        attributes: attributes(serializer),
    };
    let register = RegisterOptions {
        match_policy: MatchPolicy::Prefix,
        invoke: Some(text("roundrobin")),
        concurrency: u32::MAX,
        force_reregister: true,
        disclose_caller: true,
        forward_timeout: true,
    };
    let attributes = || attributes(serializer);
    vec![
        Message::Call(Call {
            request,
            options,
            procedure: text("com.example"),
            payload: payload(serializer),
        }),
        Message::Cancel(Cancel { request, mode: CancelMode::Skip }),
        Message::Result(Result {
            request,
            progress: true,
            details: attributes(),
            payload: payload(serializer),
        }),
        Message::Register(Register { request, options: register, procedure: text("com.example.") }),
        Message::Unregistered(Unregistered {
            request: RequestId(0),
            revoked: Some((RegistrationId(7), String::new())),
        }),
        Message::Invocation(Invocation {
            request,
            registration: RegistrationId(1),
            details,
            payload: payload(serializer),
        }),
        Message::Yield(Yield {
            request,
            progress: true,
            options: attributes(),
            payload: payload(serializer),
        }),
    ]
}

/// A payload of `args` alone, of an empty `args` with `kwargs`, and one opaque binary under `enc_algo`.
fn legacy_and_one_sided(serializer: Serializer) -> Vec<Message<'static>> {
    let request = RequestId(9);
    let none = || Attributes::none(serializer);
    let one = Payload { serializer, args: bytes(serializer, &args()), kwargs: &[] };
    let empty_list = bytes(serializer, &Value::List(vec![]));
    let other = Payload { serializer, args: empty_list, kwargs: bytes(serializer, &kwargs()) };
    let opaque = Payload { serializer, args: bytes(serializer, &Value::Binary(vec![1, 2, 3])), kwargs: &[] };
    let algorithm = bytes(serializer, &Value::from("cryptobox"));
    let legacy = Attributes { serializer, entries: vec![(text("enc_algo"), algorithm)] };
    vec![
        Message::Yield(Yield { request, progress: false, options: none(), payload: one }),
        Message::Result(Result { request, progress: false, details: none(), payload: other }),
        Message::Yield(Yield { request, progress: false, options: legacy, payload: opaque }),
    ]
}
