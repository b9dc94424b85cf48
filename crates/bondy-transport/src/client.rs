//! The client's end of a connection: from a URL to a stream of WAMP messages.
//!
//! [`connect`] resolves, dials and shakes hands; what comes back is a byte stream and a [`Codec`], which the caller
//! drives: it reads, asks the codec for messages, has it frame its own, and writes. Everything here can be dropped at
//! any time, which closes the socket. Nothing is spawned, nothing is kept between two connections.
//!
//! What it does not do: know a WAMP message, answer pings by itself, keep time (the caller has the deadlines, here
//! only an address that stays silent is left for the next), reconnect, or compress.
//!
//! Invariant: nothing that a server sends is believed before it was checked, and none of it takes memory without bound.

mod answer;
mod codec;
mod dial;
mod endpoint;
mod error;
mod mask;
mod stream;
mod tls;
mod upgrade;

pub use answer::HeadError;
pub use codec::{Codec, CodecError, MessageTooLarge, Received};
pub use endpoint::{Endpoint, EndpointError, EndpointProblem};
pub use error::{ConnectCause, ConnectError, Phase, RefusedUpgrade};
pub use mask::RandomError;
pub use stream::ClientStream;
pub use tls::{TlsOptions, TlsOptionsError};
pub use upgrade::{Answer, HeaderError, Refusal, Upgrade, UpgradeError};

use crate::rawsocket::{
    self, ClientHandshake, HANDSHAKE_BYTES, HandshakeError, MAGIC, MaxLength, RefusalCode,
};
use crate::socket::SocketOptions;
use bondy_wamp::serializer::Serializer;
use dial::dial;
use endpoint::{Place, Protocol};
use error::lost;
use std::io;
use std::time::Duration;
use tls::TlsSetup;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use upgrade::BODY_BYTES_MAX;

/// What is read at once while shaking hands, in bytes.
const READ_BYTES: usize = 4 * 1024;

/// So long the body of a refusal is waited for: it only explains.
const BODY_WAIT_MAX: Duration = Duration::from_secs(1);

/// How to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// What to offer, in order of preference. A WebSocket is offered all at once, rawsocket one after the other, each
    /// on a connection of its own. MessagePack, CBOR, JSON unless changed: the first two carry binary as it is.
    pub serializers: Vec<Serializer>,
    /// The longest message that is accepted, in bytes; 16 MiB unless changed. Over rawsocket the largest power of two
    /// that is not above it, from 512 B to 16 MiB, is announced and holds.
    pub message_bytes_max: usize,
    /// How TLS is spoken, where the endpoint wants it.
    pub tls: TlsOptions,
    /// Sent with the request for a WebSocket, for proxies and gateways on the way.
    pub headers: Vec<(String, String)>,
    /// What is set on a TCP socket.
    pub socket: SocketOptions,
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions {
            serializers: vec![Serializer::MessagePack, Serializer::Cbor, Serializer::Json],
            message_bytes_max: 16 * 1024 * 1024,
            tls: TlsOptions::default(),
            headers: Vec::new(),
            socket: SocketOptions::default(),
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    /// To be read and written by the caller. Dropping it closes the connection.
    pub stream: ClientStream,
    /// What the bytes mean.
    pub codec: Codec,
    /// What was read beyond the handshake: the first bytes for the codec.
    pub received: Vec<u8>,
}

impl Connection {
    /// The serializer that was agreed.
    pub fn serializer(&self) -> Serializer {
        self.codec.serializer()
    }

    /// The 32 bytes of `tls-exporter` (RFC 9266), which bind an authentication to this connection; none without
    /// TLS 1.3.
    pub fn channel_id(&self) -> Option<[u8; 32]> {
        self.stream.channel_id()
    }
}

/// Opens a connection. The caller has the deadline and drops the future to give up.
///
/// # Errors
/// Whatever hinders it, with the endpoint and what to do about it.
pub async fn connect(endpoint: &Endpoint, options: &ConnectOptions) -> Result<Connection, ConnectError> {
    let opened = match &endpoint.protocol {
        Protocol::WebSocket { target } => open_websocket(endpoint, target, options).await,
        Protocol::RawSocket => open_rawsocket(endpoint, options).await,
    };
    opened.map_err(|cause| ConnectError { endpoint: endpoint.without_query(), cause })
}

/// Speaks rawsocket over a stream that is already open. The first serializer alone is offered: there is no second
/// stream for another try.
///
/// # Errors
/// Whatever hinders it.
pub async fn connect_stream(
    stream: ClientStream,
    options: &ConnectOptions,
) -> Result<Connection, ConnectError> {
    let opened = match options.serializers.first() {
        Some(serializer) => rawsocket_handshake(stream, *serializer, options).await,
        None => Err(ConnectCause::NoSerializer),
    };
    opened.map_err(|cause| ConnectError { endpoint: "the given stream".to_owned(), cause })
}

/// Connections to one endpoint, encrypted where it wants that.
struct Dialer<'a> {
    endpoint: &'a Endpoint,
    options: &'a ConnectOptions,
    tls: Option<TlsSetup>,
}

impl<'a> Dialer<'a> {
    async fn new(endpoint: &'a Endpoint, options: &'a ConnectOptions) -> Result<Dialer<'a>, ConnectCause> {
        let tls = match &endpoint.place {
            Place::Tcp { host, is_tls: true, .. } => {
                let speaks_http = endpoint.protocol != Protocol::RawSocket;
                Some(TlsSetup::load(&options.tls, host, speaks_http).await?)
            }
            Place::Tcp { .. } | Place::Unix(_) => None,
        };
        Ok(Dialer { endpoint, options, tls })
    }

    async fn open(&self) -> Result<ClientStream, ConnectCause> {
        let stream = dial(&self.endpoint.place, &self.options.socket).await?;
        match &self.tls {
            Some(tls) => tls.handshake(stream).await.map(ClientStream::encrypted),
            None => Ok(stream.into()),
        }
    }
}

async fn open_rawsocket(endpoint: &Endpoint, options: &ConnectOptions) -> Result<Connection, ConnectCause> {
    let dialer = Dialer::new(endpoint, options).await?;
    let mut outcome = Err(ConnectCause::NoSerializer);
    for serializer in &options.serializers {
        outcome = rawsocket_handshake(dialer.open().await?, *serializer, options).await;
        match &outcome {
            Err(ConnectCause::RawSocket(HandshakeError::Refused(RefusalCode::SerializerUnsupported))) => {}
            Ok(_) | Err(_) => break,
        }
    }
    outcome
}

async fn rawsocket_handshake(
    mut stream: ClientStream,
    serializer: Serializer,
    options: &ConnectOptions,
) -> Result<Connection, ConnectCause> {
    let lost = |source| lost(Phase::RawSocketHandshake, source);
    let receive_max = MaxLength::announcing(options.message_bytes_max);
    let handshake = ClientHandshake { receive_max, serializer };
    stream.write_all(&handshake.request()).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    // Octet by octet, so that whoever does not speak rawsocket is known by the first, and nothing beyond is taken.
    let mut reply = [0; HANDSHAKE_BYTES];
    reply[0] = stream.read_u8().await.map_err(lost)?;
    if reply[0] != MAGIC {
        return Err(ConnectCause::RawSocket(HandshakeError::Magic(reply[0])));
    }
    stream.read_exact(&mut reply[1..]).await.map_err(lost)?;
    let negotiated: rawsocket::Negotiated = handshake.conclude(reply).map_err(ConnectCause::RawSocket)?;
    Ok(Connection { stream, codec: Codec::rawsocket(negotiated), received: Vec::new() })
}

async fn open_websocket(
    endpoint: &Endpoint,
    target: &str,
    options: &ConnectOptions,
) -> Result<Connection, ConnectCause> {
    if options.serializers.is_empty() {
        return Err(ConnectCause::NoSerializer);
    }
    let mut nonce = [0; 16];
    mask::fill_random(&mut nonce)?;
    let host = endpoint.host_header();
    let upgrade = Upgrade::new(&host, target, &options.serializers, &options.headers, nonce)?;
    let mut stream = Dialer::new(endpoint, options).await?.open().await?;
    let (serializer, received) = websocket_handshake(&mut stream, &upgrade).await?;
    let codec = Codec::websocket(serializer, options.message_bytes_max)?;
    Ok(Connection { stream, codec, received })
}

/// The agreed serializer, and what was read beyond the answer.
async fn websocket_handshake(
    stream: &mut ClientStream,
    upgrade: &Upgrade,
) -> Result<(Serializer, Vec<u8>), ConnectCause> {
    let lost = |source| lost(Phase::WebSocketHandshake, source);
    stream.write_all(upgrade.request()).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let mut received = Vec::new();
    loop {
        receive_some(stream, &mut received).await.map_err(lost)?;
        match upgrade.conclude(&received)? {
            Answer::Incomplete => {}
            Answer::Upgraded { serializer, head_bytes } => {
                received.drain(..head_bytes);
                return Ok((serializer, received));
            }
            Answer::Refused { refusal, head_bytes } => {
                received.drain(..head_bytes);
                return Err(refused(stream, refusal, received).await);
            }
        }
    }
}

/// The refusal with the start of its body, as far as it comes in a moment.
async fn refused(stream: &mut ClientStream, refusal: Refusal, mut received: Vec<u8>) -> ConnectCause {
    let reading =
        async { while !refusal.is_enough(&received) && receive_some(stream, &mut received).await.is_ok() {} };
    // What came is what there is to show, whether or not the rest comes.
    let _ = tokio::time::timeout(BODY_WAIT_MAX, reading).await;
    let body = refusal.body_text(&received);
    let Refusal { status, reason, location, .. } = refusal;
    ConnectCause::Refused(Box::new(RefusedUpgrade { status, reason, location, body }))
}

/// Appends what is there; the end is an error.
async fn receive_some(stream: &mut ClientStream, received: &mut Vec<u8>) -> io::Result<()> {
    received.reserve(READ_BYTES.max(BODY_BYTES_MAX));
    match stream.read_buf(received).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
