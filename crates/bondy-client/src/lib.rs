//! A WAMP client: calls, registrations, events, and a session that outlives its connections.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use bondy_client::{Client, WampError};
//!
//! let client = Client::builder().url("ws://127.0.0.1:18080/ws").realm("realm1").connect().await?;
//! let registration = client
//!     .register("com.example.add")
//!     .serve(|(a, b): (i64, i64), _| async move { Ok::<_, WampError>(a + b) })
//!     .await?;
//! let sum: i64 = client.call("com.example.add").arg(2).arg(3).await?;
//! # drop((registration, sum));
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] is a handle; one background task behind it owns the connection. Handles encode their messages under one
//! short lock into one buffer, and the task writes whatever is there at once: no channel and no wake-up for each message.
//! When the connection is lost, the task makes another, and asks again for what was registered and subscribed;
//! [`Client::events`] tells what was restored, lost or missed.
//!
//! What it does not do: route, or keep messages for later. Delivery is at most once: a call in flight when the connection
//! is lost fails with [`CallError::Disconnected`], and events published in between are missed.
//!
//! Invariant: nothing that comes over the wire makes it panic or wait for ever, and nothing grows without a limit.

#![expect(clippy::disallowed_methods, reason = "this crate is the client's outside: sockets and clocks")]

/// The listing in the README is compiled, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod arguments;
mod authentication;
mod builder;
mod call;
mod client;
mod connection;
mod dial;
mod driver;
mod error;
mod identity;
mod invocation;
mod join;
mod link;
mod meta;
mod open;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod oracle;
mod policy;
mod progressive;
mod publish;
mod queue;
mod register;
mod session;
mod shared;
mod subscribe;
mod testament;

pub use arguments::{Arguments, Details, FromArguments, ToArguments};
pub use authentication::{Anonymous, AuthenticationError, Authenticator, Cryptosign, Scram, Ticket, WampCra};
pub use builder::{Builder, OUTGOING_BYTES_DEFAULT};
pub use call::{Call, FromReply, Reply};
pub use client::{Client, ConnectionEvents};
pub use connection::{
    ConnectionEvent, ConnectionState, EndReason, Lost, Restored, RestoredSubscription, SessionDetails,
    WhyEnded,
};
pub use dial::Connector;
pub use error::{
    CallError, ConnectError, DecodeError, EncodeError, PublishError, RUNTIME_ERROR, RegisterError, SendError,
    SubscribeError, WampError,
};
pub use identity::Identity;
pub use invocation::{InputStream, InvocationContext};
pub use meta::{EntryIds, EntryInfo, KeptEvent, Meta, SessionInfo};
pub use open::{Inputs, Open};
pub use policy::ReconnectPolicy;
pub use progressive::{PARTS_MAX, Progress, Progressive};
pub use publish::Publish;
pub use register::{GRACE_DEFAULT, Register, Registration, Serve};
pub use shared::WhileDisconnected;
pub use subscribe::{Event, QUEUE_DEFAULT, Subscribe, Subscription};
pub use testament::{Testament, TestamentScope};

pub use bondy_transport::client::{ClientStream, ConnectOptions, TlsOptions};
pub use bondy_wamp::auth::cryptosign::KeyError;
pub use bondy_wamp::error_uri::ErrorUri;
pub use bondy_wamp::id::{PublicationId, RegistrationId, SessionId, SubscriptionId};
pub use bondy_wamp::message::{Authenticate, CancelMode, Challenge};
pub use bondy_wamp::payload::Payload;
pub use bondy_wamp::serializer::Serializer;
pub use bondy_wamp::uri::MatchPolicy;
pub use bondy_wamp::value::Value;
