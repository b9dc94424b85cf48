//! Calls with one result.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bondy_wamp::message::{Attributes, CancelMode};
use bondy_wamp::payload::Payload;
use bondy_wamp::value::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::arguments::{Arguments, ArgumentsBuilder, Details};
use crate::client::Client;
use crate::error::{CallError, DecodeError, EncodeError, SendError};
use crate::open::Open;
use crate::policy::bounded;
use crate::progressive::Progressive;
use crate::session::{CallAnswer, OutgoingCall, Ticket};
use crate::shared::Shared;

/// So much longer than the router's timer the client's own runs, so that the router's answer comes first where there is
/// one.
pub(crate) const TIMEOUT_SLACK: Duration = Duration::from_secs(1);

/// The raw result of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    arguments: Arguments,
    details: Details,
}

impl Reply {
    pub(crate) fn received(details: &Attributes<'_>, payload: Payload<'_>) -> Self {
        Self { arguments: Arguments::received(payload), details: Details::of(details) }
    }

    /// `args` and `kwargs`.
    pub fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    /// `args` and `kwargs`, without the details.
    pub fn into_arguments(self) -> Arguments {
        self.arguments
    }

    /// What the callee passed on besides.
    pub fn details(&self) -> &Details {
        &self.details
    }

    /// The encoded parts.
    pub fn payload(&self) -> Payload<'_> {
        self.arguments.payload()
    }

    /// The positional arguments, see [`Arguments::args`].
    ///
    /// # Errors
    /// They are not what `T` is made of.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.arguments.args()
    }

    /// The keyword arguments, see [`Arguments::kwargs`].
    ///
    /// # Errors
    /// They are not what `T` is made of.
    pub fn kwargs<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.arguments.kwargs()
    }

    /// The whole as one value, see [`Arguments::decode`].
    ///
    /// # Errors
    /// The arguments are not what `T` is made of.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.arguments.decode()
    }

    /// `args` and `kwargs` as trees, see [`Arguments::to_value`].
    ///
    /// # Errors
    /// The bytes are not well-formed, which what a router sent never is.
    pub fn to_value(&self) -> Result<(Value, Value), DecodeError> {
        self.arguments.to_value()
    }
}

/// What a call may result in: any type that `serde` can make, or a raw [`Reply`] or [`Arguments`].
pub trait FromReply: Sized {
    /// The reply as this type.
    ///
    /// # Errors
    /// It is something else.
    fn from_reply(reply: Reply) -> Result<Self, DecodeError>;
}

impl<T: DeserializeOwned> FromReply for T {
    fn from_reply(reply: Reply) -> Result<Self, DecodeError> {
        reply.decode()
    }
}

impl FromReply for Reply {
    fn from_reply(reply: Reply) -> Result<Self, DecodeError> {
        Ok(reply)
    }
}

impl FromReply for Arguments {
    fn from_reply(reply: Reply) -> Result<Self, DecodeError> {
        Ok(reply.arguments)
    }
}

/// A call that is being put together. Awaiting it sends it and waits for its result.
///
/// A call always ends: with its result, with an ERROR, with the end of the connection, or with its timeout. Where the
/// future is dropped before, CANCEL is sent.
#[must_use = "a call is sent when it is awaited"]
#[derive(Debug)]
pub struct Call<T> {
    client: Client,
    procedure: String,
    arguments: ArgumentsBuilder,
    attributes: Details,
    attributes_error: Option<EncodeError>,
    timeout: Option<Duration>,
    disclose_me: bool,
    receive_progress: bool,
    cancel_mode: CancelMode,
    result: PhantomData<fn() -> T>,
}

impl<T> Call<T> {
    pub(crate) fn new(client: Client, procedure: String) -> Self {
        let serializer = client.shared().serializer();
        Self {
            client,
            procedure,
            arguments: ArgumentsBuilder::new(serializer),
            attributes: Details::new(serializer),
            attributes_error: None,
            timeout: None,
            disclose_me: false,
            receive_progress: false,
            cancel_mode: CancelMode::KillNoWait,
            result: PhantomData,
        }
    }

    /// Adds a positional argument.
    pub fn arg<A: Serialize>(mut self, value: A) -> Self {
        self.arguments.arg(&value);
        self
    }

    /// Adds positional arguments: the elements of a tuple, or one value that is none.
    pub fn args<A: Serialize>(mut self, values: A) -> Self {
        self.arguments.args(&values);
        self
    }

    /// Adds a keyword argument.
    pub fn kwarg<A: Serialize>(mut self, key: &str, value: A) -> Self {
        self.arguments.kwarg(key, &value);
        self
    }

    /// Adds keyword arguments: the fields of a struct or the entries of a map.
    pub fn kwargs<A: Serialize>(mut self, values: A) -> Self {
        self.arguments.kwargs(&values);
        self
    }

    /// Adds `args` and `kwargs` that are encoded already.
    pub fn payload(mut self, arguments: Arguments) -> Self {
        self.arguments.payload(arguments);
        self
    }

    /// The router ends the call with `wamp.error.timeout` after this time; should nothing come from it either, the
    /// client itself does so a second later. None by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(bounded(timeout));
        self
    }

    /// Lets the callee know who calls.
    pub fn disclose_me(mut self) -> Self {
        self.disclose_me = true;
        self
    }

    /// The key by which a `consistent_hash` registration chooses the callee.
    pub fn rkey<A: Serialize>(self, key: A) -> Self {
        self.option("rkey", key)
    }

    /// Adds an option that has no method here, such as `x_*`, which the router passes on to the callee.
    pub fn option<A: Serialize>(mut self, key: &str, value: A) -> Self {
        if let Err(error) = self.attributes.insert(key, &value) {
            self.attributes_error.get_or_insert(error);
        }
        self
    }

    /// How the call is canceled when its future is dropped or its time is up: `killnowait` unless this is called.
    pub fn cancel_mode(mut self, mode: CancelMode) -> Self {
        self.cancel_mode = mode;
        self
    }

    /// Takes progressive results, as a stream of them and of the final one.
    pub fn progressive(mut self) -> Progressive<T> {
        self.receive_progress = true;
        Progressive::new(self)
    }

    /// Takes progressive results of a call that is [opened](Self::open).
    pub fn receive_progress(mut self) -> Self {
        self.receive_progress = true;
        self
    }

    pub(crate) fn into_parts(self) -> Result<Parts, EncodeError> {
        if let Some(error) = self.attributes_error {
            return Err(error);
        }
        let timeout_ms =
            self.timeout.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1));
        let call = OutgoingCall {
            procedure: self.procedure,
            arguments: self.arguments.finish()?,
            receive_progress: self.receive_progress,
            // Larger ones are for ever, and have no exact form in JSON.
            timeout_ms: timeout_ms.min(bondy_wamp::id::ID_MAX),
            disclose_me: self.disclose_me,
            attributes: self.attributes,
        };
        Ok(Parts { client: self.client, call, timeout: self.timeout, cancel_mode: self.cancel_mode })
    }
}

/// A call that is ready to be sent.
pub(crate) struct Parts {
    pub(crate) client: Client,
    pub(crate) call: OutgoingCall,
    pub(crate) timeout: Option<Duration>,
    pub(crate) cancel_mode: CancelMode,
}

impl<T: FromReply> Call<T> {
    /// Begins a call whose input comes in parts: what was added so far is the first of them.
    ///
    /// # Errors
    /// It cannot be sent.
    pub async fn open(self) -> Result<Open<T>, CallError> {
        Open::begin(self).await
    }
}

impl<T: FromReply + 'static> IntoFuture for Call<T> {
    type Output = Result<T, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let parts = self.into_parts();
        Box::pin(async move {
            let parts = parts.map_err(SendError::from)?;
            let reply = match parts.timeout {
                None => run(&parts).await,
                Some(timeout) => match tokio::time::timeout(timeout + TIMEOUT_SLACK, run(&parts)).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(CallError::Timeout(timeout)),
                },
            };
            Ok(T::from_reply(reply?)?)
        })
    }
}

async fn run(parts: &Parts) -> Result<Reply, CallError> {
    let shared = parts.client.shared();
    let mut answer = None;
    let ticket = shared
        .begin(|session| {
            session.begin_call(&parts.call, false, 0, || {
                let (sender, receiver) = oneshot::channel();
                answer = Some(receiver);
                CallAnswer::Once(sender)
            })
        })
        .await?;
    let mut guard = CancelOnDrop::new(shared, ticket, parts.cancel_mode);
    let outcome = match answer {
        Some(answer) => answer.await,
        None => return Err(CallError::Closed),
    };
    guard.disarm();
    // The session answers every call that it forgets.
    outcome.unwrap_or(Err(CallError::Closed))
}

/// Cancels a call that nobody waits for any more.
#[derive(Debug)]
pub(crate) struct CancelOnDrop {
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
    mode: CancelMode,
}

impl CancelOnDrop {
    pub(crate) fn new(shared: &Arc<Shared>, ticket: Ticket, mode: CancelMode) -> Self {
        Self { shared: Arc::clone(shared), ticket: Some(ticket), mode }
    }

    /// The call has ended.
    pub(crate) fn disarm(&mut self) {
        self.ticket = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.with(|session| session.abandon_call(ticket, self.mode));
        }
    }
}
