//! One side of a connection that says what a test writes, and nothing else.
//!
//! A [`Peer`] plays the client against a router, or the router against a client that a [`FakeRouter`] has let in. It
//! knows how bytes become messages and nothing about what they mean: it may send what breaks the protocol, in messages
//! or in bytes. Only pings are answered without being told.
//!
//! Invariant: every wait has a deadline, and an error says what was expected, what came instead, and what came before.

mod error;
mod fake_router;
mod script;

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bondy_transport::socket::Stream;
use bondy_transport::websocket::Role;
use bondy_wamp::feature::{Feature, WampRole};
use bondy_wamp::serializer::Serializer;
use serde_json::Value;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub use error::{History, PeerError};
pub use fake_router::FakeRouter;
pub(crate) use script::octets;

use crate::message::{decode, describe, encode};
use crate::notation::NotationError;
use crate::pattern::{Mismatch, Pattern, Symbols};
use crate::wire::frame::{self, Frame, FrameError, Frames};
use crate::wire::opening::{self, HEAD_BYTES_MAX};
use crate::wire::{Agreement, Endpoint, Transport};

/// How long a peer waits unless it is told otherwise: far longer than anything takes on one machine, so that only what
/// does not happen at all takes it.
const DEADLINE: Duration = Duration::from_secs(5);

/// What one read takes at most.
const READ_BYTES: usize = 16 << 10;

/// How a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerOptions {
    /// How its messages are written.
    pub serializer: Serializer,
    /// How long it waits for whatever it expects.
    pub deadline: Duration,
}

impl Default for PeerOptions {
    /// JSON, and five seconds.
    fn default() -> Self {
        Self { serializer: Serializer::Json, deadline: DEADLINE }
    }
}

/// One side of a WAMP connection under a test's control.
#[derive(Debug)]
pub struct Peer {
    stream: Stream,
    agreement: Agreement,
    role: Role,
    frames: Frames,
    received: Vec<u8>,
    symbols: Symbols,
    history: History,
    deadline: Duration,
}

/// What came.
enum Arrival {
    Message(Value),
    Closed(String),
}

impl Peer {
    /// Connects as a client, in JSON. Nothing is said yet.
    ///
    /// # Errors
    /// Nobody listens there, or the handshake fails.
    pub async fn connect(url: &str) -> Result<Self, PeerError> {
        Self::connect_with(url, PeerOptions::default()).await
    }

    /// Connects as a client.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(url: &str, options: PeerOptions) -> Result<Self, PeerError> {
        let endpoint = Endpoint::parse(url)?;
        let connect = TcpStream::connect(&endpoint.address);
        let connected = match tokio::time::timeout(options.deadline, connect).await {
            Ok(connected) => connected,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let stream =
            connected.map_err(|source| PeerError::Connect { address: endpoint.address.clone(), source })?;
        let _ = stream.set_nodelay(true);
        Self::open(Stream::Tcp(stream), &endpoint, options).await
    }

    /// Speaks rawsocket as a client over a stream that leads to a router, such as [`Router::connect`] gives.
    ///
    /// [`Router::connect`]: crate::Router::connect
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn over(stream: UnixStream, options: PeerOptions) -> Result<Self, PeerError> {
        let nowhere = |source| PeerError::Connect { address: "the stream".to_owned(), source };
        stream.set_nonblocking(true).map_err(nowhere)?;
        let stream = tokio::net::UnixStream::from_std(stream).map_err(nowhere)?;
        let endpoint =
            Endpoint { transport: Transport::RawSocket, address: String::new(), path: String::new() };
        Self::open(Stream::Unix(stream), &endpoint, options).await
    }

    /// The client's handshake.
    async fn open(mut stream: Stream, endpoint: &Endpoint, options: PeerOptions) -> Result<Self, PeerError> {
        let request = opening::request(endpoint, options.serializer);
        stream.write_all(&request).await.map_err(PeerError::Send)?;
        let mut received = Vec::new();
        let length = read_opening(&mut stream, endpoint.transport, &mut received, options.deadline).await?;
        let answer: Vec<u8> = received.drain(..length).collect();
        let agreement =
            opening::conclude(endpoint.transport, options.serializer, &answer).map_err(PeerError::Opening)?;
        Ok(Self::new(stream, agreement, Role::Client, received, options.deadline))
    }

    fn new(stream: Stream, agreement: Agreement, role: Role, received: Vec<u8>, deadline: Duration) -> Self {
        Self {
            stream,
            agreement,
            role,
            frames: Frames::new(agreement.transport, role),
            received,
            symbols: Symbols::default(),
            history: History::default(),
            deadline,
        }
    }

    /// How messages are written on this connection.
    pub fn serializer(&self) -> Serializer {
        self.agreement.serializer
    }

    /// How messages lie on this connection.
    pub fn transport(&self) -> Transport {
        self.agreement.transport
    }

    /// What the symbols of this peer's messages stand for.
    pub fn symbols(&mut self) -> &mut Symbols {
        &mut self.symbols
    }

    /// How long this peer waits.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Changes how long this peer waits.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// Says HELLO with every role and feature, as an anonymous client does, and expects WELCOME; returns the session id.
    ///
    /// # Errors
    /// Something else came.
    pub async fn join(&mut self, realm: &str) -> Result<u64, PeerError> {
        self.send(serde_json::json!([1, realm, { "roles": every_role() }])).await?;
        let welcome = self.expect(serde_json::json!([2, "*", {"...": 0}])).await?;
        welcome[1].as_u64().ok_or_else(|| PeerError::Opening(format!("{} as session id", welcome[1])))
    }

    /// Sends a message: a JSON list, or text such as `CALL 1 {} com.example.add [1, 2]`.
    ///
    /// # Errors
    /// It is not well written, does not go into this serializer, or the connection is gone.
    pub async fn send<M>(&mut self, message: M) -> Result<(), PeerError>
    where
        M: TryInto<Pattern>,
        NotationError: From<M::Error>,
    {
        let pattern = message.try_into().map_err(NotationError::from)?;
        let message = pattern
            .to_value(&self.symbols)
            .map_err(|reason| PeerError::Hole { pattern: pattern.to_string(), reason })?;
        let bytes = encode(self.agreement.serializer, &message)?;
        self.send_payload(&bytes).await?;
        self.history.push('>', &message);
        Ok(())
    }

    /// Sends these bytes in the frame of one message, whatever they are.
    ///
    /// # Errors
    /// They are too many, or the connection is gone.
    pub async fn send_payload(&mut self, payload: &[u8]) -> Result<(), PeerError> {
        let mut bytes = Vec::new();
        if !frame::append(self.agreement, self.role, &Frame::Message(payload.to_vec()), &mut bytes) {
            return Err(PeerError::TooLong(payload.len()));
        }
        self.send_bytes(&bytes).await
    }

    /// Sends these bytes as they are, without a frame.
    ///
    /// # Errors
    /// The connection is gone, or the other side takes nothing within the deadline.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), PeerError> {
        match tokio::time::timeout(self.deadline, self.stream.write_all(bytes)).await {
            Ok(written) => written.map_err(PeerError::Send),
            Err(_) => Err(PeerError::Send(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Expects the next message to be like this one: a JSON list in which `"*"` is anything and `"..."` more, or text
    /// such as `RESULT 1 {} [3]`. Returns the message.
    ///
    /// # Errors
    /// Another message came, or none.
    pub async fn expect<P>(&mut self, pattern: P) -> Result<Value, PeerError>
    where
        P: TryInto<Pattern>,
        NotationError: From<P::Error>,
    {
        let pattern = pattern.try_into().map_err(NotationError::from)?;
        let expected = pattern.to_string();
        let before = self.history.clone();
        let message = self.next(&expected).await?;
        match pattern.check(&message, &mut self.symbols) {
            Ok(()) => Ok(message),
            Err(mismatch) => {
                Err(PeerError::Unexpected { expected, came: describe(&message), mismatch, before })
            }
        }
    }

    /// The next message, whatever it is.
    ///
    /// # Errors
    /// None came.
    pub async fn receive(&mut self) -> Result<Value, PeerError> {
        self.next("a message").await
    }

    /// Expects the other side to close, with no message before.
    ///
    /// # Errors
    /// A message came, or nothing happened.
    pub async fn expect_closed(&mut self) -> Result<(), PeerError> {
        let before = self.history.clone();
        match self.arrival("the end of the connection").await? {
            Arrival::Closed(_) => Ok(()),
            Arrival::Message(message) => Err(PeerError::Unexpected {
                expected: "the end of the connection".to_owned(),
                came: describe(&message),
                mismatch: Mismatch { pointer: String::new(), reason: "a message".to_owned() },
                before,
            }),
        }
    }

    /// Closes in order: a close frame where the transport has one, then the end of the stream.
    pub async fn close(&mut self) {
        let mut bytes = Vec::new();
        let normal = 1000_u16.to_be_bytes().to_vec();
        if frame::append(self.agreement, self.role, &Frame::Close(normal), &mut bytes) {
            // Who has gone already needs no farewell.
            let _ = self.send_bytes(&bytes).await;
        }
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection with a reset, as a process that dies does; over a Unix socket, which has none, by closing it.
    pub fn reset(self) {
        if let Stream::Tcp(stream) = &self.stream {
            // A socket that takes no option is gone already.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    async fn next(&mut self, expected: &str) -> Result<Value, PeerError> {
        match self.arrival(expected).await? {
            Arrival::Message(message) => Ok(message),
            Arrival::Closed(how) => {
                Err(PeerError::Closed { expected: expected.to_owned(), how, before: self.history.clone() })
            }
        }
    }

    async fn arrival(&mut self, expected: &str) -> Result<Arrival, PeerError> {
        let deadline = self.deadline;
        match tokio::time::timeout(deadline, self.next_arrival()).await {
            Ok(arrival) => arrival,
            Err(_) => {
                let (expected, before) = (expected.to_owned(), self.history.clone());
                Err(PeerError::Silence { expected, deadline, before })
            }
        }
    }

    async fn next_arrival(&mut self) -> Result<Arrival, PeerError> {
        loop {
            match self.frames.next(&self.received) {
                Ok(Some((length, frame))) => {
                    self.received.drain(..length);
                    if let Some(arrival) = self.handle_frame(frame).await? {
                        return Ok(arrival);
                    }
                }
                Ok(None) => {
                    if let Some(how) = self.read_more().await {
                        return Ok(Arrival::Closed(how));
                    }
                }
                Err(error @ (FrameError::RawSocket(_) | FrameError::WebSocket(_) | FrameError::TooLong)) => {
                    return Err(PeerError::Framing(error.to_string()));
                }
            }
        }
    }

    async fn handle_frame(&mut self, frame: Option<Frame>) -> Result<Option<Arrival>, PeerError> {
        match frame {
            None | Some(Frame::Pong(_)) => Ok(None),
            Some(Frame::Ping(payload)) => {
                let mut bytes = Vec::new();
                frame::append(self.agreement, self.role, &Frame::Pong(payload), &mut bytes);
                self.send_bytes(&bytes).await?;
                Ok(None)
            }
            Some(Frame::Close(payload)) => Ok(Some(Arrival::Closed(describe_close(&payload)))),
            Some(Frame::Message(payload)) => {
                let message = decode(self.agreement.serializer, &payload)?;
                self.history.push('<', &message);
                Ok(Some(Arrival::Message(message)))
            }
        }
    }

    /// Reads; how the stream ended where it did.
    async fn read_more(&mut self) -> Option<String> {
        let mut buffer = [0; READ_BYTES];
        match self.stream.read(&mut buffer).await {
            Ok(0) => Some("the end of the stream".to_owned()),
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                None
            }
            Err(error) => Some(error.to_string()),
        }
    }
}

/// Every role with every feature.
fn every_role() -> Value {
    let mut roles = serde_json::json!({});
    for (_, role, feature) in Feature::ALL {
        let role = match role {
            WampRole::Publisher => "publisher",
            WampRole::Subscriber => "subscriber",
            WampRole::Caller => "caller",
            WampRole::Callee => "callee",
        };
        roles[role]["features"][*feature] = true.into();
    }
    roles
}

fn describe_close(payload: &[u8]) -> String {
    match payload.split_first_chunk() {
        Some((code, reason)) => {
            format!("close code {} {}", u16::from_be_bytes(*code), String::from_utf8_lossy(reason))
        }
        None => "a close frame without a code".to_owned(),
    }
}

/// Reads until the other side's opening is there; its length.
async fn read_opening(
    stream: &mut (impl AsyncRead + Unpin),
    transport: Transport,
    received: &mut Vec<u8>,
    deadline: Duration,
) -> Result<usize, PeerError> {
    let read = async {
        let mut buffer = [0; READ_BYTES];
        loop {
            if let Some(length) = opening::length(transport, received) {
                return Ok(length);
            }
            if received.len() > HEAD_BYTES_MAX {
                return Err(PeerError::Opening("the handshake is too long".to_owned()));
            }
            match stream.read(&mut buffer).await {
                Ok(0) => return Err(PeerError::Opening("the other side closed".to_owned())),
                Ok(count) => received.extend_from_slice(&buffer[..count]),
                Err(error) => return Err(PeerError::Opening(error.to_string())),
            }
        }
    };
    match tokio::time::timeout(deadline, read).await {
        Ok(outcome) => outcome,
        Err(_) => Err(PeerError::Opening(format!("no handshake came within {deadline:?}"))),
    }
}
