//! A router that does nothing by itself: it lets clients in, and a script speaks for it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bondy_transport::rawsocket::MAGIC;
use bondy_transport::socket::Stream;
use bondy_transport::websocket::Role;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::{DEADLINE, Peer, PeerError, read_opening};
use crate::wire::{Transport, opening};

/// Listens on a free port of the loopback interface, for WebSocket and rawsocket at once.
#[derive(Debug)]
pub struct FakeRouter {
    listener: TcpListener,
    address: SocketAddr,
    deadline: Duration,
}

impl FakeRouter {
    /// Begins to listen.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, deadline: DEADLINE })
    }

    /// `HOST:PORT` where it listens.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// What a client connects to with WebSocket.
    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// What a client connects to with rawsocket.
    pub fn rawsocket_url(&self) -> String {
        format!("rs://{}", self.address)
    }

    /// Changes how long it and the peers to come wait.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// Lets the next client in: the handshake of its transport, in the serializer that it asks for. What is said
    /// afterwards is the test's.
    ///
    /// # Errors
    /// Nobody came in time, or what came is no WAMP client.
    pub async fn accept(&self) -> Result<Peer, PeerError> {
        let accepted = match tokio::time::timeout(self.deadline, self.listener.accept()).await {
            Ok(accepted) => accepted,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no client came within {:?}", self.deadline),
            )),
        };
        let (mut stream, _) =
            accepted.map_err(|error| PeerError::Opening(format!("cannot accept: {error}")))?;
        let _ = stream.set_nodelay(true);
        let transport = self.transport_of(&stream).await?;
        let mut received = Vec::new();
        let length = read_opening(&mut stream, transport, &mut received, self.deadline).await?;
        let request: Vec<u8> = received.drain(..length).collect();
        let (answer, agreed) = opening::answer(transport, &request);
        stream.write_all(&answer).await.map_err(PeerError::Send)?;
        let agreement = agreed.map_err(PeerError::Opening)?;
        Ok(Peer::new(Stream::Tcp(stream), agreement, Role::Server, received, self.deadline))
    }

    /// The transport, by the first octet.
    async fn transport_of(&self, stream: &TcpStream) -> Result<Transport, PeerError> {
        let mut first = [0];
        match tokio::time::timeout(self.deadline, stream.peek(&mut first)).await {
            Ok(Ok(0)) => Err(PeerError::Opening("the client closed at once".to_owned())),
            Ok(Ok(_)) if first == [MAGIC] => Ok(Transport::RawSocket),
            Ok(Ok(_)) => Ok(Transport::WebSocket),
            Ok(Err(error)) => Err(PeerError::Opening(error.to_string())),
            Err(_) => Err(PeerError::Opening(format!("the client said nothing within {:?}", self.deadline))),
        }
    }
}
