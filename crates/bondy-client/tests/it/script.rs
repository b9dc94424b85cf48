//! A router that says what a test tells it to: right or wrong, at any time. Rawsocket with JSON.

use std::io;

use bondy_client::{ClientStream, Connector};
use bondy_wamp::message::{self, Message};
use bondy_wamp::serializer::Serializer;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::node::in_time;

/// Where the script listens.
pub(crate) struct Script {
    listener: TcpListener,
}

/// One connection of a client.
pub(crate) struct Peer<S = TcpStream> {
    stream: S,
    /// Answers to pings that have come.
    pub(crate) pongs: usize,
}

/// Connections in memory that hold so many bytes in each direction, and the router's ends of them.
pub(crate) fn memory(bytes: usize) -> (impl Connector, mpsc::UnboundedReceiver<DuplexStream>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let connector = move || {
        let (client, router) = tokio::io::duplex(bytes);
        let sent = sender.send(router).map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused));
        async move { sent.map(|()| ClientStream::from(client)) }
    };
    (connector, receiver)
}

/// The next of those connections, joined.
pub(crate) async fn join_memory(ends: &mut mpsc::UnboundedReceiver<DuplexStream>) -> Peer<DuplexStream> {
    let stream = in_time("a connection", ends.recv()).await.unwrap();
    let mut peer = Peer::handshake(stream).await;
    peer.welcome().await;
    peer
}

impl Script {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        format!("rs://{}", self.listener.local_addr().unwrap())
    }

    pub(crate) fn builder(&self) -> bondy_client::Builder {
        bondy_client::Client::builder().url(self.url()).serializers([Serializer::Json])
    }

    /// The next connection, with the handshake of rawsocket done.
    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = in_time("a connection", self.listener.accept()).await.unwrap();
        Peer::handshake(stream).await
    }

    /// The next connection, joined.
    pub(crate) async fn join(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.welcome().await;
        peer
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    async fn handshake(mut stream: S) -> Self {
        let mut request = [0; 4];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(request[0], 0x7f);
        // Takes messages of up to 64 KiB.
        stream.write_all(&[0x7f, 0x70 | Serializer::Json.rawsocket_id(), 0, 0]).await.unwrap();
        Self { stream, pongs: 0 }
    }

    async fn welcome(&mut self) {
        assert_eq!(self.receive().await[0], 1);
        self.send(serde_json::json!([2, 7, {"roles": {"broker": {}, "dealer": {}}}])).await;
    }

    /// The next message.
    pub(crate) async fn receive(&mut self) -> Value {
        let bytes = in_time("a message", self.read()).await.expect("a message");
        // Whatever the client sends is strictly right.
        message::parse(Serializer::Json, &bytes).unwrap_or_else(|error| panic!("{error}"));
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The next message; `None` at the end of the connection.
    async fn read(&mut self) -> Option<Vec<u8>> {
        loop {
            let mut header = [0; 4];
            self.stream.read_exact(&mut header).await.ok()?;
            let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
            let mut bytes = vec![0; length];
            self.stream.read_exact(&mut bytes).await.ok()?;
            match header[0] & 7 {
                0 => return Some(bytes),
                1 => self.write(2, &bytes).await,
                2 => self.pongs += 1,
                _ => {}
            }
        }
    }

    /// The next message of this type; others are dropped.
    pub(crate) async fn receive_type(&mut self, code: u64) -> Value {
        loop {
            let message = self.receive().await;
            if message[0] == code {
                return message;
            }
        }
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_bytes(message.to_string().as_bytes()).await;
    }

    pub(crate) async fn send_message(&mut self, message: &Message<'_>) {
        let mut bytes = Vec::new();
        message.encode(Serializer::Json, &mut bytes).unwrap();
        self.send_bytes(&bytes).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.write(0, bytes).await;
    }

    pub(crate) async fn ping(&mut self, bytes: &[u8]) {
        self.write(1, bytes).await;
    }

    async fn write(&mut self, kind: u8, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        // The client may be gone already, which the test then finds out.
        let _ = self.stream.write_all(&[kind, length[1], length[2], length[3]]).await;
        let _ = self.stream.write_all(bytes).await;
    }
}

/// Waits until the client has handled everything that it was sent: an invocation of nothing that it registered is
/// refused.
pub(crate) async fn settle<S: AsyncRead + AsyncWrite + Unpin>(peer: &mut Peer<S>) {
    peer.send(serde_json::json!([68, 2000, 77, {}])).await;
    assert_eq!(peer.receive_type(8).await[2], 2000);
}
