//! Every WAMP message as a typed struct, named as in the specification.
//!
//! Specification: Basic Profile, "Messages"; Advanced Profile for the options and details of its features. Known
//! options and details are parsed into fields. Those that are passed on from one peer to another (beginning with
//! `_` or `x_`, `ppt_*`, and the de-facto ones) are kept as [`Attributes`]; all others are dropped.
//!
//! Texts are borrowed from the message where the serializer allows it (JSON escapes do not).

mod encode;
mod entries;
mod head;
mod hello;
mod name;
mod parse;

use std::borrow::Cow;

pub use head::{Head, head};
pub use name::UnknownMessageType;
pub use parse::parse;

use crate::feature::Features;
use crate::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crate::payload::Payload;
use crate::serializer::Serializer;
use crate::uri::MatchPolicy;
use crate::value::Value;

/// The type of a message: the first element of its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum MessageType {
    /// HELLO
    Hello = 1,
    /// WELCOME
    Welcome = 2,
    /// ABORT
    Abort = 3,
    /// CHALLENGE
    Challenge = 4,
    /// AUTHENTICATE
    Authenticate = 5,
    /// GOODBYE
    Goodbye = 6,
    /// ERROR
    Error = 8,
    /// PUBLISH
    Publish = 16,
    /// PUBLISHED
    Published = 17,
    /// SUBSCRIBE
    Subscribe = 32,
    /// SUBSCRIBED
    Subscribed = 33,
    /// UNSUBSCRIBE
    Unsubscribe = 34,
    /// UNSUBSCRIBED
    Unsubscribed = 35,
    /// EVENT
    Event = 36,
    /// CALL
    Call = 48,
    /// CANCEL
    Cancel = 49,
    /// RESULT
    Result = 50,
    /// REGISTER
    Register = 64,
    /// REGISTERED
    Registered = 65,
    /// UNREGISTER
    Unregister = 66,
    /// UNREGISTERED
    Unregistered = 67,
    /// INVOCATION
    Invocation = 68,
    /// INTERRUPT
    Interrupt = 69,
    /// YIELD
    Yield = 70,
}

/// Any message.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants are the messages, each documented at its struct")]
pub enum Message<'a> {
    Hello(Box<Hello>),
    Welcome(Box<Welcome>),
    Abort(Abort<'a>),
    Challenge(Challenge),
    Authenticate(Authenticate),
    Goodbye(Goodbye<'a>),
    Error(Error<'a>),
    Publish(Publish<'a>),
    Published(Published),
    Subscribe(Subscribe<'a>),
    Subscribed(Subscribed),
    Unsubscribe(Unsubscribe),
    Unsubscribed(Unsubscribed),
    Event(Event<'a>),
    Call(Call<'a>),
    Cancel(Cancel),
    Result(Result<'a>),
    Register(Register<'a>),
    Registered(Registered),
    Unregister(Unregister),
    Unregistered(Unregistered),
    Invocation(Invocation<'a>),
    Interrupt(Interrupt),
    Yield(Yield<'a>),
}

/// Entries of an Options or Details dictionary that are passed on untouched: keys, and values as encoded bytes.
#[derive(Debug, PartialEq)]
pub struct Attributes<'a> {
    /// The serializer of the values.
    pub serializer: Serializer,
    /// Keys and encoded values, in the order in which they came. Empty (and without memory) in the common case.
    pub entries: Vec<(Cow<'a, str>, &'a [u8])>,
}

impl Clone for Attributes<'_> {
    #[inline]
    fn clone(&self) -> Self {
        // The common case, which a list does not know of.
        let entries = if self.entries.is_empty() { Vec::new() } else { self.entries.clone() };
        Self { serializer: self.serializer, entries }
    }
}

impl Attributes<'_> {
    /// None.
    pub const fn none(serializer: Serializer) -> Self {
        Self { serializer, entries: Vec::new() }
    }

    /// Does the payload pass through the router as one opaque binary (`ppt_scheme` is there)?
    #[inline]
    pub fn has_passthru(&self) -> bool {
        self.entries.iter().any(|(key, _)| key == "ppt_scheme")
    }
}

/// `[HELLO, Realm|uri, Details|dict]`
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// The realm to join.
    pub realm: String,
    /// What the client announces.
    pub details: HelloDetails,
}

/// Details of HELLO.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HelloDetails {
    /// Roles and features.
    pub features: Features,
    /// The client software.
    pub agent: Option<String>,
    /// The authentication methods offered; `None` where the key is absent.
    pub authmethods: Option<Vec<String>>,
    /// Who the client claims to be.
    pub authid: Option<String>,
    /// The role or roles that the client asks for.
    pub authrole: Option<String>,
    /// What the authentication method needs besides.
    pub authextra: Value,
}

/// `[WELCOME, Session|id, Details|dict]`
#[derive(Clone, Debug, PartialEq)]
pub struct Welcome {
    /// The new session.
    pub session: SessionId,
    /// Realm, identity, roles and features of the router.
    pub details: Value,
}

/// `[ABORT, Details|dict, Reason|uri]`
#[derive(Clone, Debug, PartialEq)]
pub struct Abort<'a> {
    /// `message`: what happened, for people.
    pub message: Option<Cow<'a, str>>,
    /// Why.
    pub reason: Cow<'a, str>,
}

/// `[CHALLENGE, AuthMethod|string, Extra|dict]`
#[derive(Clone, Debug, PartialEq)]
pub struct Challenge {
    /// The authentication method chosen.
    pub authmethod: String,
    /// What the method needs.
    pub extra: Value,
}

/// `[AUTHENTICATE, Signature|string, Extra|dict]`
#[derive(Clone, Debug, PartialEq)]
pub struct Authenticate {
    /// The answer to the challenge.
    pub signature: String,
    /// What the method needs besides.
    pub extra: Value,
}

/// `[GOODBYE, Details|dict, Reason|uri]`
#[derive(Clone, Debug, PartialEq)]
pub struct Goodbye<'a> {
    /// `message`: what happened, for people.
    pub message: Option<Cow<'a, str>>,
    /// Why.
    pub reason: Cow<'a, str>,
}

/// `[ERROR, REQUEST.Type|int, REQUEST.Request|id, Details|dict, Error|uri, Arguments|list, ArgumentsKw|dict]`
#[derive(Clone, Debug, PartialEq)]
pub struct Error<'a> {
    /// The type of the request that failed.
    pub request_type: MessageType,
    /// Its id.
    pub request: RequestId,
    /// Passed on.
    pub details: Attributes<'a>,
    /// What went wrong.
    pub error: Cow<'a, str>,
    /// `args` and `kwargs`.
    pub payload: Payload<'a>,
}

/// `[PUBLISH, Request|id, Options|dict, Topic|uri, Arguments|list, ArgumentsKw|dict]`
#[derive(Clone, Debug, PartialEq)]
pub struct Publish<'a> {
    /// The request.
    pub request: RequestId,
    /// How to publish.
    pub options: PublishOptions<'a>,
    /// Where.
    pub topic: Cow<'a, str>,
    /// `args` and `kwargs`.
    pub payload: Payload<'a>,
}

/// Options of PUBLISH.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishOptions<'a> {
    /// Answer with PUBLISHED or ERROR.
    pub acknowledge: bool,
    /// Do not deliver to the publisher itself (the default).
    pub exclude_me: bool,
    /// Tell subscribers who published.
    pub disclose_me: bool,
    /// Keep the event for later subscribers.
    pub retain: bool,
    /// Who may receive the event; `None`: everyone.
    pub receivers: Option<Box<Receivers>>,
    /// Passed on to EVENT.
    pub attributes: Attributes<'a>,
}

impl PublishOptions<'_> {
    /// No options: all at their defaults.
    pub const fn none(serializer: Serializer) -> Self {
        Self {
            acknowledge: false,
            exclude_me: true,
            disclose_me: false,
            retain: false,
            receivers: None,
            attributes: Attributes::none(serializer),
        }
    }
}

/// Restrictions on who receives an event. All lists that are there must agree; a list that is there may be empty.
///
/// Specification: Advanced Profile, "Subscriber Black- and Whitelisting".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receivers {
    /// Not these sessions.
    pub exclude: Option<Vec<SessionId>>,
    /// Not these authids.
    pub exclude_authid: Option<Vec<String>>,
    /// Not these authroles.
    pub exclude_authrole: Option<Vec<String>>,
    /// Only these sessions.
    pub eligible: Option<Vec<SessionId>>,
    /// Only these authids.
    pub eligible_authid: Option<Vec<String>>,
    /// Only these authroles.
    pub eligible_authrole: Option<Vec<String>>,
}

/// `[PUBLISHED, PUBLISH.Request|id, Publication|id]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The request answered.
    pub request: RequestId,
    /// The publication.
    pub publication: PublicationId,
}

/// `[SUBSCRIBE, Request|id, Options|dict, Topic|uri]`
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe<'a> {
    /// The request.
    pub request: RequestId,
    /// How to subscribe.
    pub options: SubscribeOptions,
    /// The topic or pattern.
    pub topic: Cow<'a, str>,
}

/// Options of SUBSCRIBE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// `match`: how the topic is matched.
    pub match_policy: MatchPolicy,
    /// Deliver the retained event at once.
    pub get_retained: bool,
}

/// `[SUBSCRIBED, SUBSCRIBE.Request|id, Subscription|id]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The request answered.
    pub request: RequestId,
    /// The subscription.
    pub subscription: SubscriptionId,
}

/// `[UNSUBSCRIBE, Request|id, SUBSCRIBED.Subscription|id]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The request.
    pub request: RequestId,
    /// The subscription to leave.
    pub subscription: SubscriptionId,
}

/// `[UNSUBSCRIBED, UNSUBSCRIBE.Request|id]`, or revoked: `[UNSUBSCRIBED, 0, {subscription, reason}]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribed {
    /// The request answered; 0 for a revocation.
    pub request: RequestId,
    /// The subscription and the reason, where the router revoked it.
    pub revoked: Option<(SubscriptionId, String)>,
}

/// `[EVENT, SUBSCRIBED.Subscription|id, PUBLISHED.Publication|id, Details|dict, Arguments|list, ArgumentsKw|dict]`
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The publication.
    pub publication: PublicationId,
    /// About the event.
    pub details: EventDetails<'a>,
    /// `args` and `kwargs`.
    pub payload: Payload<'a>,
}

/// Details of EVENT.
#[derive(Clone, Debug, PartialEq)]
pub struct EventDetails<'a> {
    /// The topic, for pattern-based subscriptions.
    pub topic: Option<Cow<'a, str>>,
    /// The publisher, where it is disclosed.
    pub publisher: Option<Identity<'a>>,
    /// The publisher's trust level.
    pub trustlevel: Option<u64>,
    /// The event was kept and is delivered late.
    pub retained: bool,
    /// `_dropped`: how many events this subscription lost before this one, because the subscriber read too slowly.
    pub dropped: u64,
    /// Passed on from PUBLISH.
    pub attributes: Attributes<'a>,
}

impl EventDetails<'_> {
    /// No details.
    pub const fn none(serializer: Serializer) -> Self {
        Self {
            topic: None,
            publisher: None,
            trustlevel: None,
            retained: false,
            dropped: 0,
            attributes: Attributes::none(serializer),
        }
    }
}

/// Who a caller or publisher is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Its session.
    pub session: SessionId,
    /// Its authid.
    pub authid: Cow<'a, str>,
    /// Its authrole.
    pub authrole: Cow<'a, str>,
}

/// `[CALL, Request|id, Options|dict, Procedure|uri, Arguments|list, ArgumentsKw|dict]`
#[derive(Clone, Debug, PartialEq)]
pub struct Call<'a> {
    /// The request.
    pub request: RequestId,
    /// How to call.
    pub options: CallOptions<'a>,
    /// What to call.
    pub procedure: Cow<'a, str>,
    /// `args` and `kwargs`.
    pub payload: Payload<'a>,
}

/// Options of CALL.
#[derive(Clone, Debug, PartialEq)]
pub struct CallOptions<'a> {
    /// The caller takes progressive results.
    pub receive_progress: bool,
    /// More input follows under the same request.
    pub progress: bool,
    /// Milliseconds; 0 means none.
    pub timeout_ms: u64,
    /// Tell the callee who calls.
    pub disclose_me: bool,
    /// `rkey`: the encoded value by which a `consistent_hash` registration chooses the callee; empty where absent.
    pub rkey: &'a [u8],
    /// Passed on to INVOCATION.
    pub attributes: Attributes<'a>,
}

impl CallOptions<'_> {
    /// No options: all at their defaults.
    pub const fn none(serializer: Serializer) -> Self {
        Self {
            receive_progress: false,
            progress: false,
            timeout_ms: 0,
            disclose_me: false,
            rkey: &[],
            attributes: Attributes::none(serializer),
        }
    }
}

/// How a call is canceled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CancelMode {
    /// The caller gets its error at once, the callee hears nothing.
    Skip,
    /// The callee is interrupted, and its answer is awaited.
    Kill,
    /// The callee is interrupted, and the caller gets its error at once (the default).
    #[default]
    KillNoWait,
}

/// `[CANCEL, CALL.Request|id, Options|dict]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// The call.
    pub request: RequestId,
    /// How.
    pub mode: CancelMode,
}

/// `[RESULT, CALL.Request|id, Details|dict, YIELD.Arguments|list, YIELD.ArgumentsKw|dict]`
#[derive(Clone, Debug, PartialEq)]
pub struct Result<'a> {
    /// The call.
    pub request: RequestId,
    /// More results follow.
    pub progress: bool,
    /// Passed on from YIELD.
    pub details: Attributes<'a>,
    /// `args` and `kwargs`.
    pub payload: Payload<'a>,
}

/// `[REGISTER, Request|id, Options|dict, Procedure|uri]`
#[derive(Clone, Debug, PartialEq)]
pub struct Register<'a> {
    /// The request.
    pub request: RequestId,
    /// How to register.
    pub options: RegisterOptions<'a>,
    /// The procedure or pattern.
    pub procedure: Cow<'a, str>,
}

/// Options of REGISTER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisterOptions<'a> {
    /// `match`: how the procedure is matched.
    pub match_policy: MatchPolicy,
    /// `invoke`: the name of the policy by which a callee is chosen; `None` means `single`.
    pub invoke: Option<Cow<'a, str>>,
    /// How many invocations this callee takes at once; 0 means any number.
    pub concurrency: u32,
    /// Take the registration over from its present callees.
    pub force_reregister: bool,
    /// The callee wants to know who calls.
    pub disclose_caller: bool,
    /// The callee keeps timeouts itself.
    pub forward_timeout: bool,
}

/// `[REGISTERED, REGISTER.Request|id, Registration|id]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The request answered.
    pub request: RequestId,
    /// The registration.
    pub registration: RegistrationId,
}

/// `[UNREGISTER, Request|id, REGISTERED.Registration|id]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unregister {
    /// The request.
    pub request: RequestId,
    /// The registration to leave.
    pub registration: RegistrationId,
}

/// `[UNREGISTERED, UNREGISTER.Request|id]`, or revoked: `[UNREGISTERED, 0, {registration, reason}]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unregistered {
    /// The request answered; 0 for a revocation.
    pub request: RequestId,
    /// The registration and the reason, where the router revoked it.
    pub revoked: Option<(RegistrationId, String)>,
}

/// `[INVOCATION, Request|id, REGISTERED.Registration|id, Details|dict, CALL.Arguments|list, CALL.ArgumentsKw|dict]`
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation<'a> {
    /// The invocation.
    pub request: RequestId,
    /// The registration.
    pub registration: RegistrationId,
    /// About the call.
    pub details: InvocationDetails<'a>,
    /// `args` and `kwargs`.
    pub payload: Payload<'a>,
}

/// Details of INVOCATION.
#[derive(Clone, Debug, PartialEq)]
pub struct InvocationDetails<'a> {
    /// The caller takes progressive results.
    pub receive_progress: bool,
    /// More input follows.
    pub progress: bool,
    /// Milliseconds, where the callee keeps the timeout itself; 0 means none.
    pub timeout_ms: u64,
    /// The procedure, for pattern-based registrations.
    pub procedure: Option<Cow<'a, str>>,
    /// The caller, where it is disclosed.
    pub caller: Option<Identity<'a>>,
    /// The caller's trust level.
    pub trustlevel: Option<u64>,
    /// Passed on from CALL.
    pub attributes: Attributes<'a>,
}

impl InvocationDetails<'_> {
    /// No details.
    pub const fn none(serializer: Serializer) -> Self {
        Self {
            receive_progress: false,
            progress: false,
            timeout_ms: 0,
            procedure: None,
            caller: None,
            trustlevel: None,
            attributes: Attributes::none(serializer),
        }
    }
}

/// `[INTERRUPT, INVOCATION.Request|id, Options|dict]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// The invocation.
    pub request: RequestId,
    /// How.
    pub mode: CancelMode,
}

/// `[YIELD, INVOCATION.Request|id, Options|dict, Arguments|list, ArgumentsKw|dict]`
#[derive(Clone, Debug, PartialEq)]
pub struct Yield<'a> {
    /// The invocation.
    pub request: RequestId,
    /// More results follow.
    pub progress: bool,
    /// Passed on to RESULT.
    pub options: Attributes<'a>,
    /// `args` and `kwargs`.
    pub payload: Payload<'a>,
}
