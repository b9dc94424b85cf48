//! A blocking connection that is joined to a realm, or, on the floor, has said which end it is.

use super::{Credentials, FrameKind, Inbox, Stream, Template, Wire, code, handshake, printable};
use crate::endpoint::{Address, Endpoint};
use crate::failure::Failure;
use anyhow::Context;
use bondy_wamp::value::Value;
use serde::{Deserialize, Serialize};
use socket2::{SockRef, Socket};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Longer than any answer of a working server takes on a busy machine.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const INBOX_BYTES: usize = 64 << 10;

/// Whom to connect to, and what to speak there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Where the server listens.
    pub endpoint: Endpoint,
    /// The address of it that answers.
    pub address: Address,
    /// The realm to join.
    pub realm: String,
    /// The wire to use.
    pub wire: Wire,
    /// Who joins; `None`: anonymously.
    pub credentials: Option<Credentials>,
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
    pub fn space(&mut self) -> Result<&mut [u8], Failure> {
        match &self.closed {
            Some(reason) => Err(Failure::unreachable(format!("the server closed the WebSocket: {reason}"))),
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
                    let answer = if self.wire == Wire::Nats { &[] } else { payload };
                    framing.append_header(FrameKind::Pong, answer.len(), &mut self.output);
                    self.output.extend_from_slice(answer);
                }
                FrameKind::Pong => {}
                FrameKind::Close => self.closed = Some(close_reason(payload)),
            }
        }
        Ok(())
    }
}

/// What a WebSocket close frame says (RFC 6455, section 5.5.1).
fn close_reason(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("{code} {}", String::from_utf8_lossy(reason)).trim_end().to_owned()
        }
        _ => "without a reason".to_owned(),
    }
}

/// A connected socket and its exchange.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    pub(super) exchange: Exchange,
    last_request: u64,
}

impl Connection {
    /// Connects, shakes hands and joins; on the floor says `role`. `source` is the local address to bind, for runs
    /// with more connections than one source address has ports.
    pub fn open(target: &Target, role: FloorRole, source: Option<Ipv4Addr>) -> anyhow::Result<Connection> {
        let refused = || Failure::unreachable(format!("cannot connect to {}", target.endpoint));
        let stream = Stream::connect(&target.address, &target.endpoint, source)
            .map_err(|error| Failure::unreachable(format!("{}: {error:#}", refused())))?;
        stream.socket().set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.socket().set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let exchange =
            Exchange { wire: target.wire, inbox: Inbox::new(INBOX_BYTES), output: Vec::new(), closed: None };
        let mut connection = Connection { stream, exchange, last_request: 0 };
        handshake::open(&mut connection, target, role).with_context(refused)?;
        Ok(connection)
    }

    /// Leaves the realm: sends GOODBYE and waits for the router's. On the floor and in NATS there is nothing to say.
    pub fn leave(&mut self) -> anyhow::Result<()> {
        if self.exchange.wire.serializer().is_none() {
            return Ok(());
        }
        let goodbye = [Value::from(code::GOODBYE), Value::from([]), Value::from("wamp.close.close_realm")];
        self.append_value(goodbye.to_vec());
        self.flush()?;
        match self.await_message(code::GOODBYE) {
            // Some routers close at once instead of saying GOODBYE too.
            Err(_) if self.exchange.closed.is_some() => Ok(()),
            answered => answered.map(|_| ()),
        }
    }

    /// Appends a message of the set-up, element by element.
    pub(super) fn append_value(&mut self, message: Vec<Value>) {
        let Some(serializer) = self.exchange.wire.serializer() else { return };
        let message = Value::List(message).to_bytes(serializer.into());
        let output = &mut self.exchange.output;
        self.exchange.wire.framing().append_header(FrameKind::Message, message.len(), output);
        output.extend_from_slice(&message);
    }

    /// The next message, which stands alone: an answer of the set-up.
    pub(super) fn receive(&mut self) -> anyhow::Result<Value> {
        let wire = self.exchange.wire;
        loop {
            let mut received = Vec::new();
            self.exchange.drain(|message, _| {
                let value = wire.serializer().and_then(|serializer| serializer.decode(message));
                let unreadable =
                    || Failure::answer(format!("an unreadable message: {}", printable(wire, message)));
                received.push(value.ok_or_else(unreadable)?);
                Ok(())
            })?;
            if !received.is_empty() {
                return Ok(received.swap_remove(0));
            }
            self.read()?;
        }
    }

    /// Sends a request of the set-up and waits for its answer. On the floor there is nothing to ask.
    pub fn request(&mut self, template: &Template, answer_code: u64) -> anyhow::Result<()> {
        if self.exchange.wire == Wire::Blind {
            return Ok(());
        }
        let request = self.next_request();
        template.append(request, &mut self.exchange.output);
        self.flush()?;
        let answer_code = if self.exchange.wire == Wire::Nats { code::PONG } else { answer_code };
        self.await_message(answer_code).map(|_| ())
    }

    /// The next request id of this session.
    pub fn next_request(&mut self) -> u64 {
        self.last_request += 1;
        self.last_request
    }

    pub(super) fn await_message(&mut self, wanted: u64) -> anyhow::Result<u64> {
        let wire = self.exchange.wire;
        loop {
            let mut found = None;
            self.exchange.drain(|message, _| match wire.header(message) {
                Some(header) if header.code == wanted => {
                    found = Some(header.id.unwrap_or_default());
                    Ok(())
                }
                _ => Err(unexpected(wire, wanted, message)),
            })?;
            if let Some(id) = found {
                return Ok(id);
            }
            self.read()?;
        }
    }

    pub(super) fn read_until<T>(
        &mut self,
        mut take: impl FnMut(&mut Inbox) -> Option<T>,
    ) -> anyhow::Result<T> {
        loop {
            if let Some(taken) = take(&mut self.exchange.inbox) {
                return Ok(taken);
            }
            self.read()?;
        }
    }

    /// Waits until there is something to read, at most `timeout`.
    pub fn wait_readable(&mut self, timeout: Duration) -> anyhow::Result<bool> {
        Ok(self.stream.wait_readable(timeout)?)
    }

    /// Answers the pings of a server that says nothing else to this connection; does not wait.
    pub fn attend(&mut self) -> anyhow::Result<()> {
        if !self.wait_readable(Duration::ZERO)? {
            return Ok(());
        }
        self.read()?;
        let wire = self.exchange.wire;
        self.exchange.drain(|message, _| Err(unexpected(wire, code::PONG, message)))?;
        Ok(self.flush()?)
    }

    /// Reads once, waiting for at least one octet.
    pub fn read(&mut self) -> Result<(), Failure> {
        match self.stream.read(self.exchange.space()?) {
            Ok(0) => Err(Failure::unreachable("the server closed the connection")),
            Ok(length) => {
                self.exchange.inbox.filled(length);
                Ok(())
            }
            Err(error) => Err(lost(&error, "has not answered")),
        }
    }

    /// What was read and is to be written.
    pub fn exchange(&mut self) -> &mut Exchange {
        &mut self.exchange
    }

    /// Writes all output, waiting where it must.
    pub fn flush(&mut self) -> Result<(), Failure> {
        if !self.exchange.output.is_empty() {
            self.stream.write_all(&self.exchange.output).map_err(|error| lost(&error, "has not read"))?;
            self.exchange.output.clear();
        }
        Ok(())
    }

    /// A second handle on the socket, with which another thread can shut it down.
    pub fn socket(&self) -> anyhow::Result<Socket> {
        Ok(self.stream.socket().try_clone()?)
    }

    /// Lets the socket end with a reset, which leaves nothing behind: a round of thousands of connections would
    /// else keep their ports busy for a minute and slow down the next rounds.
    pub fn reset_when_dropped(&self) -> anyhow::Result<()> {
        Ok(SockRef::from(self.stream.socket()).set_linger(Some(Duration::ZERO))?)
    }

    /// The stream alone, with as small a receive buffer as the system gives: from now on nobody reads it.
    pub fn stall(self) -> anyhow::Result<Stream> {
        SockRef::from(self.stream.socket()).set_recv_buffer_size(1)?;
        Ok(self.stream)
    }

    /// The stream alone, without buffers: what an idle session needs to stay open.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// The stream and the exchange, to go on without blocking.
    pub fn into_parts(self) -> (Stream, Exchange) {
        (self.stream, self.exchange)
    }
}

/// What went wrong with a read or a write.
pub(crate) fn lost(error: &io::Error, in_time: &str) -> Failure {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Failure::answer(format!("the server {in_time} within {ANSWER_TIMEOUT:?}"))
        }
        _ => Failure::unreachable(format!("the connection to the server is lost: {error}")),
    }
}

/// Another message came than the one that was waited for: the router's answer, in its own words.
pub(crate) fn unexpected(wire: Wire, wanted: u64, message: &[u8]) -> anyhow::Error {
    let text = format!("expected {}, got {}", code::name(wanted), printable(wire, message));
    // Who is waiting for one of these has not been let in.
    match wanted {
        code::WELCOME | code::PONG => Failure::unreachable(text).into(),
        _ => Failure::answer(text).into(),
    }
}
