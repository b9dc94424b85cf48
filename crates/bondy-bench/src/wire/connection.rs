//! A blocking connection that is joined to a realm, or, on the floor, has said which end it is.

use super::{FrameKind, Inbox, Stream, Template, Wire, code};
use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer of a working server takes on a busy machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const INBOX_BYTES: usize = 64 << 10;

/// Whom to connect to, and what to speak there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// The server's address.
    pub address: SocketAddr,
    /// The path of a WebSocket endpoint.
    pub path: String,
    /// The realm to join.
    pub realm: String,
    /// Whether to use TLS.
    pub tls: bool,
    /// The wire to use.
    pub wire: Wire,
}

/// Which end of a floor server a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloorRole {
    /// Callers and publishers.
    Sender,
    /// Callees and subscribers.
    Receiver,
}

impl FloorRole {
    /// The octet that says so, also the server's answer to it.
    pub fn octet(self) -> u8 {
        match self {
            FloorRole::Sender => b's',
            FloorRole::Receiver => b'r',
        }
    }
}

/// What is read and to be written on one connection, apart from its socket.
#[derive(Debug)]
pub struct Exchange {
    /// The wire spoken.
    pub wire: Wire,
    /// Bytes read.
    pub inbox: Inbox,
    /// Bytes to be written.
    pub output: Vec<u8>,
    /// What the server's WebSocket close frame said; nothing follows it.
    pub closed: Option<String>,
}

impl Exchange {
    /// Room for the next read; an error if the server has closed the WebSocket.
    pub fn space(&mut self) -> anyhow::Result<&mut [u8]> {
        match &self.closed {
            Some(reason) => bail!("the server closed the WebSocket: {reason}"),
            None => Ok(self.inbox.space()),
        }
    }

    /// Hands every complete message to `handle`, with the output to append answers to; answers pings itself.
    pub fn drain(
        &mut self,
        mut handle: impl FnMut(&[u8], &mut Vec<u8>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let framing = self.wire.framing();
        while let Some((kind, payload)) = self.inbox.next_frame(framing)? {
            match kind {
                FrameKind::Message => handle(payload, &mut self.output)?,
                FrameKind::Ping => {
                    framing.append_header(FrameKind::Pong, payload.len(), &mut self.output);
                    self.output.extend_from_slice(payload);
                }
                FrameKind::Pong => {}
                FrameKind::Close => self.closed = Some(printable(payload)),
            }
        }
        Ok(())
    }
}

/// A connected socket and its exchange.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    exchange: Exchange,
    last_request: u64,
}

impl Connection {
    /// Connects, shakes hands and joins; on the floor says `role`. `source` is the local address to bind, for runs
    /// with more connections than one source address has ports.
    pub fn open(target: &Target, role: FloorRole, source: Option<Ipv4Addr>) -> anyhow::Result<Connection> {
        let stream = connect(target.address, source)
            .with_context(|| format!("cannot connect to {}", target.address))?;
        let stream = if target.tls { Stream::tls(stream)? } else { Stream::Plain(stream) };
        let exchange =
            Exchange { wire: target.wire, inbox: Inbox::new(INBOX_BYTES), output: Vec::new(), closed: None };
        let mut connection = Connection { stream, exchange, last_request: 0 };
        match target.wire {
            Wire::Blind => connection.say_role(role)?,
            Wire::RawSocket(serializer) => {
                connection.shake_rawsocket(serializer.rawsocket_number())?;
                connection.join(&target.realm)?;
            }
            Wire::WebSocket(serializer) => {
                connection.upgrade(target, serializer.subprotocol())?;
                connection.join(&target.realm)?;
            }
        }
        Ok(connection)
    }

    fn say_role(&mut self, role: FloorRole) -> anyhow::Result<()> {
        self.exchange.output.push(role.octet());
        self.flush()?;
        let answer = self.read_until(|inbox| inbox.take(1).map(<[u8]>::to_vec))?;
        ensure!(answer == [role.octet()], "the floor server answered {answer:?}");
        Ok(())
    }

    fn shake_rawsocket(&mut self, serializer: u8) -> anyhow::Result<()> {
        self.exchange.output.extend_from_slice(&[0x7f, 0xf0 | serializer, 0, 0]);
        self.flush()?;
        let answer = self.read_until(|inbox| inbox.take(4).map(<[u8]>::to_vec))?;
        let accepted = answer[0] == 0x7f && answer[1] & 0x0f == serializer;
        ensure!(accepted, "the rawsocket handshake was refused with {answer:02x?}");
        Ok(())
    }

    fn upgrade(&mut self, target: &Target, subprotocol: &str) -> anyhow::Result<()> {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: Ym9uZHktYmVuY2gta2V5IQ==\r\n\
             Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n",
            target.path, target.address
        );
        self.exchange.output.extend_from_slice(request.as_bytes());
        self.flush()?;
        let answer = self.read_until(|inbox| inbox.take_through(b"\r\n\r\n").map(<[u8]>::to_vec))?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.starts_with("HTTP/1.1 101"), "the WebSocket upgrade was refused: {answer}");
        ensure!(answer.contains(subprotocol), "the server did not agree to {subprotocol}: {answer}");
        Ok(())
    }

    fn join(&mut self, realm: &str) -> anyhow::Result<()> {
        let roles = json!({"roles": {"caller": {}, "callee": {}, "publisher": {}, "subscriber": {}}});
        self.append_value(&json!([code::HELLO, realm, roles]));
        self.flush()?;
        self.await_message(code::WELCOME).with_context(|| format!("cannot join the realm {realm}"))?;
        Ok(())
    }

    /// Leaves the realm: sends GOODBYE and waits for the router's. On the floor there is nothing to say.
    pub fn leave(&mut self) -> anyhow::Result<()> {
        if self.exchange.wire == Wire::Blind {
            return Ok(());
        }
        self.append_value(&json!([code::GOODBYE, {}, "wamp.close.close_realm"]));
        self.flush()?;
        match self.await_message(code::GOODBYE) {
            // Some routers close at once instead of saying GOODBYE too.
            Err(_) if self.exchange.closed.is_some() => Ok(()),
            answered => answered.map(|_| ()),
        }
    }

    fn append_value(&mut self, value: &serde_json::Value) {
        let Some(serializer) = self.exchange.wire.serializer() else { return };
        let mut message = Vec::new();
        serializer.append(value, &mut message);
        let output = &mut self.exchange.output;
        self.exchange.wire.framing().append_header(FrameKind::Message, message.len(), output);
        output.extend_from_slice(&message);
    }

    /// Sends a request of the set-up and waits for its answer. On the floor there is nothing to ask.
    pub fn request(&mut self, template: &Template, answer_code: u64) -> anyhow::Result<()> {
        if self.exchange.wire == Wire::Blind {
            return Ok(());
        }
        let request = self.next_request();
        template.append(request, &mut self.exchange.output);
        self.flush()?;
        self.await_message(answer_code).map(|_| ())
    }

    /// The next request id of this session.
    pub fn next_request(&mut self) -> u64 {
        self.last_request += 1;
        self.last_request
    }

    fn await_message(&mut self, wanted: u64) -> anyhow::Result<u64> {
        let wire = self.exchange.wire;
        loop {
            let mut found = None;
            self.exchange.drain(|message, _| match wire.header(message) {
                Some(header) if header.code == wanted => {
                    found = Some(header.id.unwrap_or_default());
                    Ok(())
                }
                _ => bail!("expected a message of type {wanted}, got {}", printable(message)),
            })?;
            if let Some(id) = found {
                return Ok(id);
            }
            self.read()?;
        }
    }

    fn read_until<T>(&mut self, mut take: impl FnMut(&mut Inbox) -> Option<T>) -> anyhow::Result<T> {
        loop {
            if let Some(taken) = take(&mut self.exchange.inbox) {
                return Ok(taken);
            }
            self.read()?;
        }
    }

    /// Reads once, waiting for at least one octet.
    pub fn read(&mut self) -> anyhow::Result<()> {
        let length = self.stream.read(self.exchange.space()?).context("no answer from the server")?;
        ensure!(length > 0, "the server closed the connection");
        self.exchange.inbox.filled(length);
        Ok(())
    }

    /// What was read and is to be written.
    pub fn exchange(&mut self) -> &mut Exchange {
        &mut self.exchange
    }

    /// Writes all output, waiting where it must.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        if !self.exchange.output.is_empty() {
            self.stream.write_all(&self.exchange.output).context("cannot write to the server")?;
            self.exchange.output.clear();
        }
        Ok(())
    }

    /// A second handle on the socket, with which another thread can shut it down.
    pub fn socket(&self) -> anyhow::Result<TcpStream> {
        Ok(self.stream.socket().try_clone()?)
    }

    /// Lets the socket end with a reset, which leaves nothing behind: a round of thousands of connections would
    /// else keep their ports busy for a minute and slow down the next rounds.
    pub fn reset_when_dropped(&self) -> anyhow::Result<()> {
        Ok(SockRef::from(self.stream.socket()).set_linger(Some(Duration::ZERO))?)
    }

    /// The stream alone, without buffers: what an idle session needs to stay open.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// The socket and the exchange, to go on without blocking; not for TLS.
    pub fn into_parts(self) -> anyhow::Result<(TcpStream, Exchange)> {
        match self.stream {
            Stream::Plain(socket) => Ok((socket, self.exchange)),
            Stream::Tls(_) => bail!("events are not measured over TLS"),
        }
    }
}

fn connect(address: SocketAddr, source: Option<Ipv4Addr>) -> anyhow::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    socket.connect_timeout(&address.into(), ANSWER_TIMEOUT)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    socket.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(socket.into())
}

/// The start of a message as text, for error messages.
pub fn printable(message: &[u8]) -> String {
    let start = &message[..message.len().min(200)];
    start.escape_ascii().to_string()
}
