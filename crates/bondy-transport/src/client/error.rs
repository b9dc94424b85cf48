//! Why a connection could not be opened.

use super::mask::RandomError;
use super::tls::TlsOptionsError;
use super::upgrade::{HeaderError, UpgradeError};
use crate::rawsocket::HandshakeError;
use rustls::{AlertDescription, CertificateError};
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
    /// The TLS options cannot be used.
    #[error(transparent)]
    TlsOptions(TlsOptionsError),
    /// The server is not the one that is trusted, does not trust the client, or does not speak TLS.
    #[error("TLS failed{}", advice(.0))]
    Tls(#[source] rustls::Error),
    /// The connection ended before it was of use.
    #[error("the connection ended during the {phase}; check that scheme and port of the URL belong together")]
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
    /// TLS, before either of the others.
    TlsHandshake,
    /// HTTP's upgrade to a WebSocket.
    WebSocketHandshake,
    /// The four octets of either side.
    RawSocketHandshake,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::TlsHandshake => "TLS handshake",
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

/// The cause behind an error of the stream: TLS hands its own through.
pub(super) fn lost(phase: Phase, source: io::Error) -> ConnectCause {
    match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => ConnectCause::Tls(error.clone()),
        None => ConnectCause::Lost { phase, source },
    }
}

/// What to do about the failures of TLS that are met most.
fn advice(error: &rustls::Error) -> &'static str {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    match error {
        // A bad signature: of an authority by the same name.
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "; the server's certificate comes from an authority that is not trusted here: name the file with the \
             authority's certificate"
        }
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "; connect by a name that the server's certificate has, or set the server name",
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "; the server's certificate must be renewed, or the clock here is wrong"
        }
        InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "; check the clock here"
        }
        AlertReceived(AlertDescription::CertificateRequired) => {
            "; the server wants a client certificate: name its file and that of its key"
        }
        AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown,
        ) => "; the server does not accept the client certificate",
        InvalidMessage(_) => "; the server does not speak TLS there: use ws:// or rs://, or another port",
        _ => "",
    }
}
