//! What can go wrong, as one enum for each operation, and the error that a WAMP peer answered.

use std::fmt;
use std::time::Duration;

use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::payload::Payload;
use bondy_wamp::serializer::{ParseError, TranscodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arguments::{Arguments, ArgumentsBuilder, DEFAULT_SERIALIZER};

/// The URI of an error of which nothing more is known: a handler panicked, or answered with bare text.
pub const RUNTIME_ERROR: &str = "wamp.error.runtime_error";

/// An ERROR as it came from, or goes to, another peer: a URI, `args` and `kwargs`.
#[derive(Clone, Debug, PartialEq)]
pub struct WampError {
    uri: Box<str>,
    arguments: Arguments,
}

impl WampError {
    /// An error without arguments.
    pub fn new(uri: impl Into<String>) -> Self {
        Self { uri: uri.into().into_boxed_str(), arguments: Arguments::none() }
    }

    /// An error with a text for people as its only argument.
    pub fn with_message(uri: impl Into<String>, message: impl fmt::Display) -> Self {
        let mut arguments = ArgumentsBuilder::new(DEFAULT_SERIALIZER);
        arguments.arg(&message.to_string());
        let error = Self::new(uri);
        // Text can always be encoded.
        Self { arguments: arguments.finish().unwrap_or_else(|_| Arguments::none()), ..error }
    }

    /// `wamp.error.runtime_error` with this text: for what has no URI of its own.
    pub fn runtime(message: impl fmt::Display) -> Self {
        Self::with_message(RUNTIME_ERROR, message)
    }

    /// The same URI with these arguments.
    #[must_use]
    pub fn with_arguments(self, arguments: Arguments) -> Self {
        Self { arguments, ..self }
    }

    /// The same with another positional argument. One that cannot be encoded is left out.
    #[must_use]
    pub fn arg<T: Serialize>(self, value: T) -> Self {
        self.changed(|builder| builder.arg(&value))
    }

    /// The same with another keyword argument. One that cannot be encoded is left out.
    #[must_use]
    pub fn kwarg<T: Serialize>(self, key: &str, value: T) -> Self {
        self.changed(|builder| builder.kwarg(key, &value))
    }

    fn changed(self, change: impl FnOnce(&mut ArgumentsBuilder)) -> Self {
        let mut builder = ArgumentsBuilder::new(self.arguments.payload().serializer);
        builder.payload(self.arguments.clone());
        change(&mut builder);
        let arguments = builder.finish().unwrap_or(self.arguments);
        Self { arguments, uri: self.uri }
    }

    pub(crate) fn received(uri: &str, payload: Payload<'_>) -> Self {
        Self { uri: uri.into(), arguments: Arguments::received(payload) }
    }

    /// The URI.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Is it this predefined error?
    pub fn is(&self, uri: ErrorUri) -> bool {
        &*self.uri == uri.as_str()
    }

    /// `args` and `kwargs`.
    pub fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    /// The positional arguments.
    ///
    /// # Errors
    /// They are not what `T` is made of.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.arguments.args()
    }

    /// The keyword arguments.
    ///
    /// # Errors
    /// They are not what `T` is made of.
    pub fn kwargs<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.arguments.kwargs()
    }

    /// The text for people: the first positional argument, where it is text.
    pub fn message(&self) -> Option<String> {
        let args: Vec<bondy_wamp::value::Value> = self.arguments.args().ok()?;
        args.first()?.as_str().map(str::to_owned)
    }
}

impl fmt::Display for WampError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.uri)?;
        match self.message() {
            Some(message) => write!(formatter, ": {message}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for WampError {}

impl From<ErrorUri> for WampError {
    fn from(uri: ErrorUri) -> Self {
        Self::new(uri.as_str())
    }
}

impl From<std::convert::Infallible> for WampError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl From<DecodeError> for WampError {
    fn from(error: DecodeError) -> Self {
        Self::with_message(ErrorUri::InvalidArgument.as_str(), full(&error))
    }
}

impl From<EncodeError> for WampError {
    fn from(error: EncodeError) -> Self {
        Self::runtime(full(&error))
    }
}

impl From<CallError> for WampError {
    /// The error of a call that was made to answer another: an ERROR is passed on as it came.
    fn from(error: CallError) -> Self {
        match error {
            CallError::Wamp(error) => error,
            CallError::Timeout(_) => Self::with_message(ErrorUri::Timeout.as_str(), full(&error)),
            CallError::Disconnected | CallError::Closed | CallError::NotConnected(_) => {
                Self::with_message(ErrorUri::NetworkFailure.as_str(), full(&error))
            }
            other => Self::runtime(full(&other)),
        }
    }
}

/// The text of an error with that of its causes.
pub(crate) fn full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A value cannot be put into a message.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EncodeError {
    /// The value has no form in WAMP.
    #[error("cannot encode the value")]
    Value(#[from] bondy_wamp::serde::Error),
    /// A keyword argument was given twice.
    #[error("the keyword argument `{0}` is given twice")]
    SameKey(String),
    /// The parts of a payload made by hand are not a list and a dictionary.
    #[error("the payload is not well-formed")]
    Payload(#[from] ParseError),
    /// A payload made by hand is not well-formed.
    #[error("the payload is not well-formed")]
    Transcode(#[from] TranscodeError),
}

/// Arguments are not what was expected.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot decode {what}")]
pub struct DecodeError {
    what: &'static str,
    #[source]
    cause: bondy_wamp::serde::Error,
}

impl DecodeError {
    pub(crate) fn new(what: &'static str, cause: bondy_wamp::serde::Error) -> Self {
        Self { what, cause }
    }
}

/// Why a request could not be sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// The client was closed, or its session ended for good.
    #[error("the client is closed")]
    Closed,
    /// There is no connection, and none came in the time that the client waits for one.
    #[error("there is no connection to the router")]
    NotConnected,
    /// The message is larger than the router takes.
    #[error("the message has {bytes} bytes, and the router takes at most {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most that the router announced to take.
        max: usize,
    },
    /// A limit of this client is reached.
    #[error("there are already {max} {what}")]
    TooMany {
        /// What there are so many of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The arguments or options cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

macro_rules! from_send_error {
    ($($error:ident),*) => {$(
        impl From<SendError> for $error {
            fn from(error: SendError) -> Self {
                match error {
                    SendError::Closed => Self::Closed,
                    other => Self::NotSent(other),
                }
            }
        }
    )*};
}

from_send_error!(PublishError, SubscribeError, RegisterError);

/// Why a call has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The callee or the router answered with ERROR.
    #[error(transparent)]
    Wamp(#[from] WampError),
    /// The connection was lost while the call was on its way. It may or may not have been executed.
    #[error("the connection was lost before the call was answered; it may or may not have been executed")]
    Disconnected,
    /// There is no connection, and none came in the time that the client waits for one. The call was not sent.
    #[error("the call was not sent")]
    NotConnected(#[source] SendError),
    /// The call could not be sent.
    #[error("the call was not sent")]
    NotSent(#[source] SendError),
    /// Neither the callee nor the router ended the call in time.
    #[error("the call was not answered within {0:?}")]
    Timeout(Duration),
    /// The call was canceled here.
    #[error("the call was canceled")]
    Canceled,
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
    /// More progressive results came than were read; the call was canceled.
    #[error("more than {0} progressive results waited to be read; the call was canceled")]
    TooSlow(usize),
    /// The result is not what was expected.
    #[error("the result is not what was expected")]
    Decode(#[from] DecodeError),
}

impl CallError {
    /// The ERROR that was answered, if it was one.
    pub fn wamp(&self) -> Option<&WampError> {
        match self {
            CallError::Wamp(error) => Some(error),
            CallError::Disconnected
            | CallError::NotConnected(_)
            | CallError::NotSent(_)
            | CallError::Timeout(_)
            | CallError::Canceled
            | CallError::Closed
            | CallError::TooSlow(_)
            | CallError::Decode(_) => None,
        }
    }

    /// Was this predefined error answered?
    pub fn is(&self, uri: ErrorUri) -> bool {
        self.wamp().is_some_and(|error| error.is(uri))
    }
}

impl From<SendError> for CallError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Closed => Self::Closed,
            SendError::NotConnected => Self::NotConnected(error),
            SendError::TooLarge { .. } | SendError::TooMany { .. } | SendError::Encode(_) => {
                Self::NotSent(error)
            }
        }
    }
}

/// Why a publication failed, or why it is not known whether it did.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// The router answered with ERROR.
    #[error(transparent)]
    Wamp(#[from] WampError),
    /// The connection was lost before the acknowledgement came. The event may or may not have been published.
    #[error("the connection was lost before the publication was acknowledged")]
    Disconnected,
    /// The event could not be sent.
    #[error("the event was not sent")]
    NotSent(#[source] SendError),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a subscription did not come about.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The router answered with ERROR.
    #[error(transparent)]
    Wamp(#[from] WampError),
    /// The connection was lost before the router answered.
    #[error("the connection was lost before the subscription was confirmed")]
    Disconnected,
    /// The request could not be sent.
    #[error("the subscription was not asked for")]
    NotSent(#[source] SendError),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a registration did not come about.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegisterError {
    /// The router answered with ERROR.
    #[error(transparent)]
    Wamp(#[from] WampError),
    /// The connection was lost before the router answered.
    #[error("the connection was lost before the registration was confirmed")]
    Disconnected,
    /// The request could not be sent.
    #[error("the registration was not asked for")]
    NotSent(#[source] SendError),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a client could not connect and join.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No URL was given.
    #[error("no URL is given; write one such as ws://127.0.0.1:18080/ws")]
    NoUrl,
    /// A URL cannot be used.
    #[error("the URL cannot be used")]
    Url(#[from] bondy_transport::client::EndpointError),
    /// The realm is no URI.
    #[error("{0:?} is not a realm: it must be a URI such as realm1")]
    Realm(String),
    /// No connection came about.
    #[error("no connection")]
    Transport(#[from] bondy_transport::client::ConnectError),
    /// The application's own connector gave no stream.
    #[error("the connector gave no stream")]
    Connector(#[source] std::io::Error),
    /// The connection was lost while joining.
    #[error("the connection was lost while joining")]
    Lost(#[source] std::io::Error),
    /// The router did not let the client in.
    #[error("the router refused: {reason}{}", in_brackets(message.as_deref()))]
    Refused {
        /// The URI it gave.
        reason: String,
        /// Its text for people.
        message: Option<String>,
    },
    /// The client could not prove who it is, or the router could not.
    #[error("authentication failed")]
    Authentication(#[from] crate::authentication::AuthenticationError),
    /// The router broke the protocol, or speaks another one.
    #[error("the router broke the protocol: {0}")]
    ProtocolViolation(String),
    /// Connecting and joining took too long.
    #[error("not connected and joined within {0:?}")]
    Timeout(Duration),
    /// None of several URLs let the client in.
    #[error("none of the routers let the client in: {}", .0.iter().map(|(url, error)| format!("{url}: {}", full(error))).collect::<Vec<_>>().join("; "))]
    All(Vec<(String, ConnectError)>),
}

fn in_brackets(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!(" ({text})"))
}

impl ConnectError {
    /// Would another attempt fail in the same way, whatever the network does?
    pub(crate) fn is_final(&self) -> bool {
        match self {
            ConnectError::Refused { reason, .. } => !crate::policy::may_join_again(reason),
            ConnectError::NoUrl
            | ConnectError::Url(_)
            | ConnectError::Realm(_)
            | ConnectError::Authentication(_) => true,
            ConnectError::Transport(_)
            | ConnectError::Connector(_)
            | ConnectError::Lost(_)
            | ConnectError::ProtocolViolation(_)
            | ConnectError::Timeout(_)
            | ConnectError::All(_) => false,
        }
    }

    /// The URI of the router's ABORT, if it sent one.
    pub fn reason(&self) -> Option<&str> {
        match self {
            ConnectError::Refused { reason, .. } => Some(reason),
            ConnectError::All(errors) => errors.iter().find_map(|(_, error)| error.reason()),
            ConnectError::NoUrl
            | ConnectError::Url(_)
            | ConnectError::Realm(_)
            | ConnectError::Transport(_)
            | ConnectError::Connector(_)
            | ConnectError::Lost(_)
            | ConnectError::Authentication(_)
            | ConnectError::ProtocolViolation(_)
            | ConnectError::Timeout(_) => None,
        }
    }
}

impl From<crate::dial::DialError> for ConnectError {
    fn from(error: crate::dial::DialError) -> Self {
        match error {
            crate::dial::DialError::Connect(error) => ConnectError::Transport(error),
            crate::dial::DialError::Connector(error) => ConnectError::Connector(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_its_uri_and_its_message() {
        let error = WampError::with_message("com.example.error.sold_out", "no seats left").kwarg("seats", 0);
        assert_eq!(error.to_string(), "com.example.error.sold_out: no seats left");
        assert_eq!(error.message().as_deref(), Some("no seats left"));
        let kwargs: std::collections::BTreeMap<String, u8> = error.kwargs().unwrap();
        assert_eq!(kwargs["seats"], 0);
    }

    #[test]
    fn an_error_of_a_call_is_passed_on_as_it_came() {
        let error = WampError::new("com.example.error.x").arg(1);
        assert_eq!(WampError::from(CallError::Wamp(error.clone())), error);
        assert!(WampError::from(CallError::Disconnected).is(ErrorUri::NetworkFailure));
    }
}
