//! From a connection that speaks WAMP to a session: HELLO, and WELCOME or ABORT.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use bondy_router::realm::Realm;
use bondy_router::session::{SessionConfig, SessionIdentity};
use bondy_transport::websocket::ProtocolError;
use bondy_transport::websocket::close::{self, CloseCode};
use bondy_wamp::buffer::Buffer;
use bondy_wamp::error_uri::{CloseUri, ErrorUri};
use bondy_wamp::framing::Framing;
use bondy_wamp::message::{self, Abort, Hello, Message};
use bondy_wamp::outbox::{Outbox, OutboxLimits};
use bondy_wamp::serializer::ParseErrorKind;
use tokio::io::AsyncWriteExt;

use crate::config::Overflow;
use crate::connection::{Connection, LINGER_MAX, PingState, read_to_end};
use crate::framer::{Framed, FramingError};
use crate::listener::ListenerContext;
use crate::node::{AGENT, Node};
use crate::open::{Opened, read_more, write};
use crate::worker::with_worker;

/// The largest HELLO. Authentication data are small, and nobody is known yet.
const HELLO_BYTES_MAX: usize = 64 * 1024;

/// Why a client was not let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the client closed the WebSocket before HELLO")]
    WebSocketClosed(Option<CloseCode>),
    #[error("the client broke the WebSocket protocol before HELLO")]
    WebSocket(#[source] ProtocolError),
    #[error("{reason}: {message}")]
    Refused { reason: &'static str, message: String },
}

fn refused(reason: ErrorUri, message: impl Into<String>) -> JoinError {
    JoinError::Refused { reason: reason.as_str(), message: message.into() }
}

/// Waits for HELLO and lets the client in, or tells it why not.
pub(crate) async fn join(
    mut opened: Opened,
    listener: &Arc<ListenerContext>,
) -> Result<Connection, JoinError> {
    let outcome = match read_hello(&mut opened).await {
        Ok(hello) => enter(opened, hello, listener),
        Err(error) => Err((Box::new(opened), error)),
    };
    match outcome {
        Ok(connection) => Ok(connection),
        Err((mut opened, error)) => {
            let farewell = farewell(&opened, &error);
            if !farewell.is_empty() {
                part(&mut opened, &farewell).await?;
            }
            Err(error)
        }
    }
}

/// The first message, which must be HELLO.
async fn read_hello(opened: &mut Opened) -> Result<Box<Hello>, JoinError> {
    // What a framer holds of an unfinished message counts as well.
    let mut received = opened.unread.len();
    loop {
        if let Some(hello) = next_hello(opened)? {
            return Ok(hello);
        }
        if received > HELLO_BYTES_MAX {
            return Err(refused(
                ErrorUri::ProtocolViolation,
                format!("HELLO has more than {HELLO_BYTES_MAX} bytes"),
            ));
        }
        let held = opened.unread.len();
        read_more(opened.link.stream(), opened.tls.as_deref_mut(), &mut opened.unread).await?;
        received += opened.unread.len() - held;
    }
}

fn next_hello(opened: &mut Opened) -> Result<Option<Box<Hello>>, JoinError> {
    let mut bytes = std::mem::take(&mut opened.unread);
    let mut rest = &mut bytes[..];
    let hello = loop {
        let framed = opened.framer.next(&mut rest).map_err(|error| match error {
            FramingError::WebSocket(ProtocolError::UnexpectedKind) => {
                refused(ErrorUri::ProtocolViolation, ProtocolError::UnexpectedKind.to_string())
            }
            FramingError::WebSocket(error) => JoinError::WebSocket(error),
            FramingError::RawSocket(text) => refused(ErrorUri::ProtocolViolation, text),
        })?;
        match framed {
            Framed::Message(message) => break Some(parse_hello(&message, opened)?),
            Framed::NeedMore(_) => break None,
            Framed::Close(code) => return Err(JoinError::WebSocketClosed(code)),
            // Nothing is written before WELCOME but ABORT; a peer that pings this early gets no answer.
            Framed::Ping(_) | Framed::Pong => {}
        }
    };
    let left = rest.len();
    bytes.drain(..bytes.len() - left);
    if hello.is_some() {
        // The session keeps what is left, however long it is idle, and no more memory than that.
        bytes.shrink_to_fit();
    }
    opened.unread = bytes;
    Ok(hello)
}

fn parse_hello(bytes: &[u8], opened: &Opened) -> Result<Box<Hello>, JoinError> {
    match message::parse(opened.serializer, bytes) {
        Ok(Message::Hello(hello)) => Ok(hello),
        Ok(other) => {
            let text = format!("{:?} before HELLO", other.message_type());
            Err(refused(ErrorUri::ProtocolViolation, text))
        }
        Err(error) if error.kind == ParseErrorKind::InvalidUtf8 && opened.framer.is_text() => {
            Err(JoinError::WebSocket(ProtocolError::InvalidUtf8))
        }
        Err(error) => Err(refused(ErrorUri::ProtocolViolation, error.to_string())),
    }
}

type Refused = (Box<Opened>, JoinError);

/// Joins the realm: WELCOME is in the outbox.
fn enter(opened: Opened, hello: Box<Hello>, listener: &Arc<ListenerContext>) -> Result<Connection, Refused> {
    let node = Arc::clone(&listener.node);
    let realm = match admit(&opened, &hello, &node) {
        Ok(realm) => realm,
        Err(error) => return Err((Box::new(opened), error)),
    };
    let limits = OutboxLimits {
        soft_bytes: u32::try_from(listener.config.outbox_soft_bytes).unwrap_or(u32::MAX),
        hard_bytes: u32::try_from(listener.config.outbox_hard_bytes).unwrap_or(u32::MAX),
        message_bytes_max: opened.peer_bytes_max,
    };
    let config = SessionConfig {
        identity: node.anonymous_identity(),
        features: hello.details.features,
        serializer: opened.serializer,
        trust_level: listener.config.trust_level,
        is_strict: listener.config.strict,
        deflate_bytes_max: opened.deflate_bytes_max,
        closes_on_overflow: listener.config.overflow == Overflow::Close,
        outbox: Outbox::new(opened.framing, limits, Arc::clone(node.budget())),
        link: opened.link.clone(),
    };
    let joining = || {
        with_worker(|worker| {
            worker.begin();
            let joined = realm.join(config, AGENT, &mut worker.turn);
            worker.end();
            joined
        })
    };
    let joined = panic::catch_unwind(AssertUnwindSafe(joining)).unwrap_or_else(|_| {
        node.fail_realm(&realm);
        Err(bondy_router::realm::JoinError::Closing)
    });
    let session = match joined {
        Ok(session) => session,
        Err(error) => {
            let reason = match error {
                bondy_router::realm::JoinError::Closing => CloseUri::SystemShutdown.as_str(),
                bondy_router::realm::JoinError::SessionsMax(_) => ErrorUri::LimitExceeded.as_str(),
                bondy_router::realm::JoinError::MessagesTooSmall(_) => ErrorUri::PayloadSizeExceeded.as_str(),
            };
            return Err((Box::new(opened), JoinError::Refused { reason, message: error.to_string() }));
        }
    };
    let Opened { link, tls, framer, unread, .. } = opened;
    tracing::debug!(
        session = session.id().0,
        realm = realm.uri(),
        peer = %link.peer(),
        listener = listener.name,
        "joined"
    );
    Ok(Connection {
        session,
        realm,
        link,
        framer,
        tls,
        listener: Arc::clone(listener),
        unread,
        wanted: 0,
        pause: None,
        wants_write: false,
        ping_state: PingState::Idle,
        reads_next: false,
    })
}

/// May this client join the realm that it names?
fn admit(opened: &Opened, hello: &Hello, node: &Node) -> Result<Arc<Realm>, JoinError> {
    if !hello.details.features.has_any_role() {
        let text = "HELLO must announce at least one of the roles publisher, subscriber, caller, callee";
        return Err(refused(ErrorUri::ProtocolViolation, text));
    }
    if !bondy_wamp::uri::is_valid(&hello.realm, bondy_wamp::uri::UriRule::Loose) {
        return Err(refused(
            ErrorUri::InvalidUri,
            format!("{:?} is not a valid realm", bondy_wamp::uri::shown(&hello.realm)),
        ));
    }
    let Some(entry) = node.realm(&hello.realm) else {
        return Err(refused(
            ErrorUri::NoSuchRealm,
            format!("there is no realm {:?}", bondy_wamp::uri::shown(&hello.realm)),
        ));
    };
    let methods = hello.details.authmethods.as_deref();
    if methods
        .is_some_and(|methods| !methods.is_empty() && !methods.iter().any(|method| method == "anonymous"))
    {
        let text = "the realm authenticates by: anonymous";
        return Err(refused(ErrorUri::NoMatchingAuthMethod, text));
    }
    let address = opened.link.client_address();
    if !entry.anonymous_sources.contains(address) {
        let text = "anonymous sessions may not join this realm from your address";
        return Err(refused(ErrorUri::AuthenticationDenied, text));
    }
    Ok(entry.realm())
}

/// What a client that is not let in is told, in its transport's way; nothing where nobody is there to be told.
fn farewell(opened: &Opened, error: &JoinError) -> Buffer {
    let mut bytes = Buffer::new();
    match error {
        JoinError::Io(_) => {}
        JoinError::WebSocketClosed(code) => close::append_close(*code, "", None, &mut bytes),
        JoinError::WebSocket(error) => close::append_error(*error, None, &mut bytes),
        JoinError::Refused { reason, message } => append_abort(opened, reason, message, &mut bytes),
    }
    bytes
}

fn append_abort(opened: &Opened, reason: &str, message: &str, bytes: &mut Buffer) {
    let abort = Message::Abort(Abort { reason: reason.into(), message: Some(message.into()) });
    let mut body = Buffer::new();
    if abort.encode(opened.serializer, &mut body).is_err() {
        return;
    }
    bytes.extend_from_slice(opened.framing.header(body.len(), false).as_bytes());
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(opened.framing.trailer());
    if opened.framing != Framing::RawSocket {
        close::append_close(Some(CloseCode::NORMAL), "", None, bytes);
    }
}

/// Sends the last bytes, says that nothing follows, and waits a little for the client to read them and go.
async fn part(opened: &mut Opened, farewell: &[u8]) -> io::Result<()> {
    let stream = opened.link.stream();
    write(stream, opened.tls.as_deref_mut(), farewell).await?;
    match &mut opened.tls {
        Some(tls) => tls.shutdown().await?,
        None => stream.shutdown(std::net::Shutdown::Write)?,
    }
    // A client that stays is not waited for any longer, which is no error.
    let _ = tokio::time::timeout(LINGER_MAX, read_to_end(stream)).await;
    Ok(())
}

/// Who a session is that has not authenticated.
pub(crate) fn anonymous(authid: &str, shared: &SharedNames) -> SessionIdentity {
    SessionIdentity {
        authid: authid.into(),
        authrole: Arc::clone(&shared.anonymous),
        authmethod: Arc::clone(&shared.anonymous),
        authprovider: Arc::clone(&shared.provider),
    }
}

/// Names that all anonymous sessions share.
#[derive(Debug)]
pub(crate) struct SharedNames {
    anonymous: Arc<str>,
    provider: Arc<str>,
}

impl Default for SharedNames {
    fn default() -> Self {
        Self { anonymous: "anonymous".into(), provider: "bondy".into() }
    }
}
