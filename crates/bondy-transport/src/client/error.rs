//! Why a connection could not be opened.

use super::mask::RandomError;
use super::upgrade::{HeaderError, UpgradeError};
use crate::rawsocket::HandshakeError;
use std::fmt;
use std::io;

/// A connection that was not opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {endpoint}")]
pub struct ConnectError {
    /// Where to: the URL without its query.
    pub endpoint: String,
    /// Why not.
    #[source]
    pub cause: ConnectCause,
}

/// Why a connection was not opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectCause {
    /// No serializer is named.
    #[error("no serializer is named; name at least one of json, msgpack and cbor")]
    NoSerializer,
    /// A header cannot be sent.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The system gives no random numbers.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The host's name has no address.
    #[error("the name {host:?} cannot be resolved; correct it or write an IP address")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// Nobody answers at any of the addresses.
    #[error("no connection to {addresses}; check that the router runs and listens there")]
    Unreachable {
        /// What was tried.
        addresses: String,
        /// What the operating system said about the last one.
        #[source]
        source: io::Error,
    },
    /// The connection ended before it was of use.
    #[error("the connection was lost during the {phase}")]
    Lost {
        /// What was going on.
        phase: Phase,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The server answered the WebSocket handshake with another status than 101.
    #[error("{0}")]
    Refused(Box<RefusedUpgrade>),
    /// The server's answer to the WebSocket handshake is wrong.
    #[error("the WebSocket handshake failed")]
    Upgrade(#[from] UpgradeError),
    /// The rawsocket handshake failed.
    #[error("the rawsocket handshake failed{}", hint(*.0))]
    RawSocket(#[source] HandshakeError),
}

/// What a server is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// HTTP's upgrade to a WebSocket.
    WebSocketHandshake,
    /// The four octets of either side.
    RawSocketHandshake,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::WebSocketHandshake => "WebSocket handshake",
            Phase::RawSocketHandshake => "rawsocket handshake",
        })
    }
}

/// A server that speaks HTTP and opens no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedUpgrade {
    /// The HTTP status.
    pub status: u16,
    /// The text behind the status.
    pub reason: String,
    /// Where a redirection leads.
    pub location: Option<String>,
    /// The start of the body, as one line.
    pub body: String,
}

impl fmt::Display for RefusedUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered the WebSocket handshake with HTTP {}", self.status)?;
        if !self.reason.is_empty() {
            write!(f, " {}", self.reason)?;
        }
        if !self.body.is_empty() {
            write!(f, ": {}", self.body)?;
        }
        match (self.status, &self.location) {
            (300..=399, Some(location)) => write!(f, "; it redirects to {location:?}, use that address"),
            (401 | 403, _) => f.write_str("; what stands in between wants credentials of its own"),
            (404, _) => f.write_str("; check the path, Bondy's is /ws"),
            (200..=299, _) => f.write_str("; an ordinary web page is there, check the path"),
            _ => Ok(()),
        }
    }
}

/// What the first octet of a server tells that does not speak rawsocket.
fn hint(error: HandshakeError) -> &'static str {
    match error {
        HandshakeError::Magic(b'H') => "; the server speaks HTTP, use ws://",
        HandshakeError::Magic(0x15) => "; the server speaks TLS, use rss:// or wss://",
        HandshakeError::Magic(_)
        | HandshakeError::Reserved(_)
        | HandshakeError::Serializer(_)
        | HandshakeError::Refused(_)
        | HandshakeError::SerializerChanged(_) => "",
    }
}
