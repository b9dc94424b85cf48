//! From an accepted socket to a connection that speaks WAMP: PROXY protocol, detection, TLS, rawsocket or HTTP.
//!
//! All of it is one boxed phase with one deadline, so that an established session does not carry its memory.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bondy_transport::detect::{Detection, detect};
use bondy_transport::forwarded::{ForwardingHeaders, client_address};
use bondy_transport::proxy;
use bondy_transport::rawsocket::{self, HANDSHAKE_BYTES, MaxLength, RefusalCode, ServerHandshake};
use bondy_transport::socket::{Accepted, PeerAddress, Prefixed, Stream};
use bondy_transport::tls::{TlsAcceptor, TlsStream};
use bondy_transport::websocket::decoder::{Decoder, MessageKind, Settings as DecoderSettings};
use bondy_transport::websocket::handshake::Policy;
use bondy_transport::websocket::upgrade::{self, Outcome, Settings, Upgraded};
use bondy_transport::websocket::{Role, deflate::Inflater};
use bondy_wamp::buffer::Buffer;
use bondy_wamp::framing::Framing;
use bondy_wamp::serializer::Serializer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::config::Serve;
use crate::framer::{Batch, Framer};
use crate::http;
use crate::link::{Protocol, SocketLink};
use crate::listener::ListenerContext;

/// The path of WebSocket.
const WEBSOCKET_PATH: &str = "/ws";

/// No path: nothing is upgraded.
const NO_PATH: &str = "";

/// What is read at once before the protocol is known, and of HELLO: mostly all of it.
const RECEIVE_BYTES: usize = 2 * 1024;

/// The longest head of an HTTP request.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The most header lines of an HTTP request.
const HEADERS_MAX: usize = 64;

/// The subprotocols, as [`Serializer::from_subprotocol`] knows them.
const SUBPROTOCOLS: &[&str] = &[
    "wamp.2.json",
    "wamp.2.msgpack",
    "wamp.2.cbor",
    "wamp.2.json.batched",
    "wamp.2.msgpack.batched",
    "wamp.2.cbor.batched",
];

/// A connection that speaks WAMP and has no session yet.
pub(crate) struct Opened {
    pub(crate) link: Arc<SocketLink>,
    pub(crate) tls: Option<Box<TlsStream>>,
    pub(crate) framer: Framer,
    pub(crate) serializer: Serializer,
    pub(crate) framing: Framing,
    /// Bytes that came behind the handshake.
    pub(crate) unread: Buffer,
    /// The largest message that the peer takes.
    pub(crate) peer_bytes_max: u32,
    /// The largest message that is compressed for the peer; 0: none is.
    pub(crate) deflate_bytes_max: u32,
}

/// Why a connection did not come to speak WAMP.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the handshake was not complete in time")]
    Timeout,
    #[error("the PROXY protocol header cannot be read")]
    Proxy(#[source] proxy::ReadHeaderError),
    #[error("the first octet {0:#04x} belongs to no protocol of this listener")]
    Protocol(u8),
    #[error("this listener does not serve {0}")]
    NotServed(&'static str),
    #[error("the TLS connection cannot be set up")]
    Tls(#[source] bondy_transport::tls::TlsError),
    #[error("the rawsocket handshake failed")]
    RawSocket(#[source] rawsocket::HandshakeError),
    #[error("the listener has all the connections it may have")]
    Full,
    #[error("the HTTP request cannot be served")]
    Http(#[source] hyper::Error),
    #[error("the forwarding headers of a trusted proxy cannot be used")]
    Forwarded(#[source] bondy_transport::forwarded::ForwardedError),
}

/// What a connection is before its protocol is known.
struct Fresh {
    stream: Arc<Stream>,
    received: Buffer,
    peer: PeerAddress,
    is_full: bool,
}

/// A connection whose protocol is known.
enum Prepared {
    /// Rawsocket, after its handshake.
    Opened(Opened),
    Http(Fresh),
    Https(Fresh, TlsStream),
}

/// Opens a connection; `None` where it served HTTP to its end.
///
/// Everything has the handshake's deadline but HTTP, where each request has it: a connection lives as long as requests
/// come.
pub(crate) async fn open(
    accepted: Accepted,
    listener: &Arc<ListenerContext>,
    is_full: bool,
) -> Result<Option<Opened>, OpenError> {
    let preparing = prepare(accepted, listener, is_full);
    let prepared = tokio::time::timeout(listener.config.handshake_timeout, preparing).await;
    match prepared.map_err(|_| OpenError::Timeout)?? {
        Prepared::Opened(opened) => Ok(Some(opened)),
        Prepared::Http(fresh) => open_http(fresh, listener).await,
        Prepared::Https(fresh, tls) => open_https(fresh, tls, listener).await,
    }
}

async fn prepare(
    accepted: Accepted,
    listener: &Arc<ListenerContext>,
    is_full: bool,
) -> Result<Prepared, OpenError> {
    let peer = accepted.peer();
    let stream = Arc::new(accepted.register(&listener.socket_options)?);
    let mut fresh = Fresh { stream, received: Buffer::new(), peer, is_full };
    if listener.config.proxy_protocol {
        let source =
            proxy::read_header(&fresh.stream, &mut fresh.received).await.map_err(OpenError::Proxy)?;
        fresh.peer = source.peer(fresh.peer);
    }
    match (&listener.tls, detect_plain(&mut fresh).await?) {
        (Some(acceptor), Detection::Tls) => prepare_tls(fresh, acceptor, listener).await,
        (Some(_), _) => Err(OpenError::NotServed("anything but TLS")),
        (None, Detection::RawSocket) => open_rawsocket(fresh, None, listener).await.map(Prepared::Opened),
        (None, Detection::Http) => Ok(Prepared::Http(fresh)),
        (None, Detection::Tls) => Err(OpenError::NotServed("TLS")),
        (None, Detection::Unknown(octet)) => Err(OpenError::Protocol(octet)),
        (None, Detection::ProxyProtocol | Detection::NeedMore) => Err(OpenError::NotServed("this")),
    }
}

async fn detect_plain(fresh: &mut Fresh) -> Result<Detection, OpenError> {
    loop {
        match detect(&fresh.received, false) {
            Detection::NeedMore => fresh.stream.receive_some(&mut fresh.received, RECEIVE_BYTES).await?,
            detection => return Ok(detection),
        };
    }
}

async fn prepare_tls(
    fresh: Fresh,
    acceptor: &TlsAcceptor,
    listener: &Arc<ListenerContext>,
) -> Result<Prepared, OpenError> {
    let mut tls = acceptor.accept(Arc::clone(&fresh.stream), fresh.received).map_err(OpenError::Tls)?;
    tls.handshake().await?;
    let mut received = vec![0; HANDSHAKE_BYTES];
    let count = tls.read(&mut received).await?;
    received.truncate(count);
    let fresh = Fresh { received, ..fresh };
    match detect(&fresh.received, false) {
        Detection::RawSocket => {
            open_rawsocket(fresh, Some(Box::new(tls)), listener).await.map(Prepared::Opened)
        }
        Detection::Http => Ok(Prepared::Https(fresh, tls)),
        Detection::Unknown(octet) => Err(OpenError::Protocol(octet)),
        Detection::Tls | Detection::ProxyProtocol | Detection::NeedMore => Err(OpenError::NotServed("this")),
    }
}

async fn open_rawsocket(
    mut fresh: Fresh,
    mut tls: Option<Box<TlsStream>>,
    listener: &Arc<ListenerContext>,
) -> Result<Opened, OpenError> {
    if !listener.config.serve.contains(&Serve::Rawsocket) {
        return Err(OpenError::NotServed("rawsocket"));
    }
    while fresh.received.len() < HANDSHAKE_BYTES {
        read_more(&fresh.stream, tls.as_deref_mut(), &mut fresh.received).await?;
    }
    let behind = fresh.received.split_off(HANDSHAKE_BYTES);
    let request = <[u8; HANDSHAKE_BYTES]>::try_from(&*fresh.received).unwrap_or_default();
    if fresh.is_full {
        write(&fresh.stream, tls.as_deref_mut(), &RefusalCode::TooManyConnections.reply()).await?;
        return Err(OpenError::Full);
    }
    let receive_max = MaxLength::announcing(listener.config.message_bytes_max);
    let handshake = ServerHandshake { receive_max, serializers: &Serializer::ALL };
    let (reply, negotiated) = match handshake.answer(request) {
        Ok(agreed) => agreed,
        Err(refusal) => {
            if let Some(reply) = refusal.reply {
                write(&fresh.stream, tls.as_deref_mut(), &reply).await?;
            }
            return Err(OpenError::RawSocket(refusal.error));
        }
    };
    write(&fresh.stream, tls.as_deref_mut(), &reply).await?;
    Ok(Opened {
        link: Arc::new(SocketLink::new(fresh.stream, tls.is_some(), Protocol::RawSocket, fresh.peer, None)),
        tls,
        framer: Framer::RawSocket(rawsocket::Decoder::new(negotiated.receive_max)),
        serializer: negotiated.serializer,
        framing: Framing::RawSocket,
        unread: behind,
        peer_bytes_max: u32::try_from(negotiated.send_max.bytes_max()).unwrap_or(u32::MAX),
        deflate_bytes_max: 0,
    })
}

/// Waits for more bytes, on whichever of the two there is; the end is an `UnexpectedEof` error.
pub(crate) async fn read_more(
    stream: &Stream,
    tls: Option<&mut TlsStream>,
    received: &mut Buffer,
) -> io::Result<()> {
    match tls {
        None => stream.receive_some(received, RECEIVE_BYTES).await.map(drop),
        Some(tls) => match tls.read_buf(received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        },
    }
}

/// Writes all bytes, on whichever of the two there is.
pub(crate) async fn write(mut stream: &Stream, tls: Option<&mut TlsStream>, bytes: &[u8]) -> io::Result<()> {
    match tls {
        None => stream.write_all(bytes).await,
        Some(tls) => {
            tls.write_all(bytes).await?;
            tls.flush().await
        }
    }
}

async fn open_http(fresh: Fresh, listener: &Arc<ListenerContext>) -> Result<Option<Opened>, OpenError> {
    let Fresh { stream, received, peer, is_full } = fresh;
    let upgraded = serve_http(Prefixed::new(&*stream, received), listener, is_full).await?;
    upgraded.map(|upgraded| opened(upgraded, peer, listener, |_| (Arc::clone(&stream), None))).transpose()
}

async fn open_https(
    fresh: Fresh,
    tls: TlsStream,
    listener: &Arc<ListenerContext>,
) -> Result<Option<Opened>, OpenError> {
    let Fresh { stream, received, peer, is_full } = fresh;
    let upgraded = serve_http(Prefixed::new(tls, received), listener, is_full).await?;
    let parts = |tls| (stream, Some(Box::new(tls)));
    upgraded.map(|upgraded| opened(upgraded, peer, listener, parts)).transpose()
}

async fn serve_http<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    listener: &Arc<ListenerContext>,
    is_full: bool,
) -> Result<Option<Upgraded<S>>, OpenError> {
    let serve = &listener.config.serve;
    if !(serve.contains(&Serve::Websocket) || serve.contains(&Serve::Http) || serve.contains(&Serve::Admin)) {
        return Err(OpenError::NotServed("HTTP"));
    }
    let serves_websocket = serve.contains(&Serve::Websocket) && !is_full;
    let settings = Settings {
        path: Some(if serves_websocket { WEBSOCKET_PATH } else { NO_PATH }),
        policy: Policy { subprotocols: SUBPROTOCOLS, compression: listener.config.compression },
        head_bytes_max: HEAD_BYTES_MAX,
        headers_max: HEADERS_MAX,
        head_timeout: listener.config.handshake_timeout,
    };
    let handler = |request| std::future::ready(http::answer(&request, listener, is_full));
    let draining = async {
        match listener.is_admin_only() {
            true => std::future::pending().await,
            false => listener.node.draining().await,
        }
    };
    match upgrade::serve(stream, &settings, handler, draining).await.map_err(OpenError::Http)? {
        Outcome::Upgraded(upgraded) => Ok(Some(*upgraded)),
        Outcome::Closed => Ok(None),
    }
}

/// What the handshake has agreed on, for the steady phase; `parts` are socket and TLS.
fn opened<S>(
    upgraded: Upgraded<Prefixed<S>>,
    peer: PeerAddress,
    listener: &ListenerContext,
    parts: impl FnOnce(S) -> (Arc<Stream>, Option<Box<TlsStream>>),
) -> Result<Opened, OpenError> {
    let subprotocol = upgraded.subprotocol.unwrap_or(SUBPROTOCOLS[0]);
    let (serializer, is_batched) =
        Serializer::from_subprotocol(subprotocol).unwrap_or((Serializer::Json, false));
    let is_text = serializer.is_text();
    let decoder = Decoder::new(DecoderSettings {
        role: Role::Server,
        message_bytes_max: listener.config.message_bytes_max,
        deflate: upgraded.extension.is_some(),
        kind: Some(if is_text { MessageKind::Text } else { MessageKind::Binary }),
        // The serializer's skipper checks it.
        check_text: false,
    });
    let inflater = upgraded.extension.map(|_| Box::new(Inflater::default()));
    let framer = match is_batched {
        false => Framer::WebSocket { decoder, inflater, is_text, is_closed: false },
        true => {
            let batch = Box::new(Batch { is_text, ..Batch::default() });
            Framer::Batched { decoder, inflater, is_closed: false, batch }
        }
    };
    let framing = match (is_text, is_batched) {
        (true, false) => Framing::WebSocketText,
        (false, false) => Framing::WebSocketBinary,
        (true, true) => Framing::WebSocketTextBatched,
        (false, true) => Framing::WebSocketBinaryBatched,
    };
    let client = forwarded_client(&upgraded, peer, listener)?;
    let deflate_bytes_max = deflate_bytes_max(&upgraded);
    let (stream, mut unread) = upgraded.stream.into_parts();
    unread.extend_from_slice(&upgraded.read);
    let (stream, tls) = parts(stream);
    Ok(Opened {
        link: Arc::new(SocketLink::new(stream, tls.is_some(), Protocol::WebSocket, peer, client)),
        tls,
        framer,
        serializer,
        framing,
        unread,
        peer_bytes_max: u32::MAX,
        deflate_bytes_max,
    })
}

/// Where compression was agreed, events of up to this size are compressed. (Not in batches, whose delimiters would have
/// to be compressed with each message.)
fn deflate_bytes_max<S>(upgraded: &Upgraded<S>) -> u32 {
    const ON_A_WORKER_BYTES_MAX: u32 = 256 * 1024;
    let is_batched = upgraded.subprotocol.is_some_and(|subprotocol| subprotocol.ends_with(".batched"));
    let Some(extension) = upgraded.extension.filter(|_| !is_batched) else { return 0 };
    let fits = |bytes: &u32| extension.may_deflate(*bytes as usize);
    (9..=18).rev().map(|bits| 1 << bits).chain([0]).find(fits).unwrap_or(0).min(ON_A_WORKER_BYTES_MAX)
}

fn forwarded_client<S>(
    upgraded: &Upgraded<S>,
    peer: PeerAddress,
    listener: &ListenerContext,
) -> Result<Option<IpAddr>, OpenError> {
    let PeerAddress::Ip(address) = peer else { return Ok(None) };
    if listener.config.trusted_proxies.is_empty() {
        return Ok(None);
    }
    let lines = |name: &str| -> Vec<&[u8]> {
        upgraded.headers.get_all(name).iter().map(hyper::header::HeaderValue::as_bytes).collect()
    };
    let (forwarded, x_forwarded_for) = (lines("forwarded"), lines("x-forwarded-for"));
    let headers = ForwardingHeaders { forwarded: &forwarded, x_forwarded_for: &x_forwarded_for };
    client_address(address.ip(), &listener.config.trusted_proxies, headers)
        .map(Some)
        .map_err(OpenError::Forwarded)
}
