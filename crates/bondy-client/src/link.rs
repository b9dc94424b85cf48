//! One connection: bytes to messages and back, and how long ago anything was heard.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bondy_transport::client::{ClientStream, Codec, Connection, Received};
use bondy_transport::websocket::close::CloseCode;
use bondy_wamp::message::{self, Message};
use bondy_wamp::serializer::Serializer;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::connection::EndReason;
use crate::error::ConnectError;
use crate::session::{Outgoing, Session, Violation};
use crate::shared::Shared;

/// What is read at once. A larger message lets the buffer grow while it comes.
const READ_BYTES: usize = 32 * 1024;
/// Reads in one turn, so that the background task gets to its other duties under load too.
const READS_MAX: usize = 16;
/// A buffer that has grown beyond this is given back when it is empty.
const KEPT_BYTES_MAX: usize = 256 * 1024;
/// Answers to pings that wait to be written. Beyond, and where one is longer than that, a ping is not answered.
const PONG_BYTES_MAX: usize = 64 * 1024;

/// A connection that messages go through.
#[derive(Debug)]
pub(crate) struct Link {
    stream: ClientStream,
    codec: Codec,
    /// Bytes that came and are no whole message yet.
    received: Vec<u8>,
    /// Frames on their way out, from `written` on.
    writing: Vec<u8>,
    written: usize,
    /// Bytes of answers to pings among them.
    pongs: usize,
    needs_flush: bool,
    /// Messages that are being framed; empty in between.
    outgoing: Outgoing,
    heard: Instant,
    /// When the last ping, or something before it, was written for the last time.
    ping_moved: Instant,
    /// That ping is not written yet.
    ping_waits: bool,
}

impl Link {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            stream: connection.stream,
            codec: connection.codec,
            received: connection.received,
            writing: Vec::new(),
            written: 0,
            pongs: 0,
            needs_flush: false,
            outgoing: Outgoing::default(),
            heard: Instant::now(),
            ping_moved: Instant::now(),
            ping_waits: false,
        }
    }

    /// The serializer that was agreed on.
    pub(crate) fn serializer(&self) -> Serializer {
        self.codec.serializer()
    }

    /// The longest message that the router takes.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.codec.message_bytes_max()
    }

    /// When anything came for the last time.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// Sends one message before the session is joined.
    pub(crate) async fn send(&mut self, message: &Message<'_>) -> Result<(), ConnectError> {
        let mut bytes = Vec::new();
        message
            .encode(self.serializer(), &mut bytes)
            .map_err(|error| ConnectError::ProtocolViolation(error.to_string()))?;
        self.codec
            .append_message(&bytes, &mut self.writing)
            .map_err(|error| ConnectError::ProtocolViolation(error.to_string()))?;
        self.write_all().await.map_err(ConnectError::Lost)
    }

    async fn write_all(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.writing[self.written..]).await?;
        self.writing.clear();
        self.written = 0;
        self.stream.flush().await
    }

    /// The next message before the session is joined.
    pub(crate) async fn receive(&mut self) -> Result<Vec<u8>, ConnectError> {
        loop {
            let mut rest = self.received.as_mut_slice();
            let before = rest.len();
            let next = self
                .codec
                .next(&mut rest)
                .map_err(|error| ConnectError::ProtocolViolation(error.to_string()))?;
            let mut message = None;
            match next {
                Received::Message(bytes) => message = Some(bytes.into_owned()),
                Received::Ping(payload) => {
                    // One that is too long to be answered is its sender's mistake.
                    let _ = self.codec.append_pong(&payload, &mut self.writing);
                }
                Received::Pong(_) => {}
                Received::Close(close) => {
                    let text = format!("the router closed the connection: {close:?}");
                    return Err(ConnectError::Lost(io::Error::new(io::ErrorKind::ConnectionAborted, text)));
                }
                Received::Incomplete { .. } => {
                    let taken = before - rest.len();
                    self.received.drain(..taken);
                    self.write_all().await.map_err(ConnectError::Lost)?;
                    if self.stream.read_buf(&mut self.received).await.map_err(ConnectError::Lost)? == 0 {
                        let text = "the router closed the connection before WELCOME";
                        return Err(ConnectError::Lost(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
                    }
                    continue;
                }
            }
            let taken = before - rest.len();
            self.received.drain(..taken);
            if let Some(message) = message {
                return Ok(message);
            }
        }
    }

    /// Handles what came, and writes what is to be sent, as far as the socket goes. Ready when the connection must end.
    pub(crate) fn poll_io(&mut self, shared: &Arc<Shared>, context: &mut Context<'_>) -> Poll<EndReason> {
        // What came behind the answer to the handshake.
        if !self.received.is_empty()
            && let Some(end) = self.handle_received(shared)
        {
            return Poll::Ready(end);
        }
        for _ in 0..READS_MAX {
            if let Err(error) = self.write_some(shared, context) {
                return Poll::Ready(EndReason::Lost(error.to_string()));
            }
            match ready!(self.poll_read(context)) {
                Ok(0) => return Poll::Ready(EndReason::Lost("the router closed it".to_owned())),
                Ok(_) => self.heard = Instant::now(),
                Err(error) => return Poll::Ready(EndReason::Lost(error.to_string())),
            }
            if let Some(end) = self.handle_received(shared) {
                // The answer to a GOODBYE goes out if it can; nobody waits for it.
                let _ = self.write_some(shared, context);
                return Poll::Ready(end);
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.received.is_empty() && self.received.capacity() > KEPT_BYTES_MAX {
            self.received = Vec::new();
        }
        self.received.reserve(READ_BYTES);
        // The future holds nothing but the two borrows, so it may be made anew for each poll.
        pin!(self.stream.read_buf(&mut self.received)).poll(context)
    }

    /// Writes until there is nothing more to write, or the socket takes no more.
    fn write_some(&mut self, shared: &Arc<Shared>, context: &mut Context<'_>) -> io::Result<()> {
        loop {
            if self.written == self.writing.len() && !self.take_outgoing(shared) {
                break;
            }
            match Pin::new(&mut self.stream).poll_write(context, &self.writing[self.written..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => self.wrote(count),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
            self.needs_flush = true;
        }
        if self.needs_flush {
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(flushed) => {
                    self.needs_flush = false;
                    flushed?;
                }
                Poll::Pending => {}
            }
        }
        Ok(())
    }

    fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.ping_waits {
            self.ping_moved = Instant::now();
            self.ping_waits = self.written < self.writing.len();
        }
    }

    /// Frames the session's messages; false if there are none.
    fn take_outgoing(&mut self, shared: &Arc<Shared>) -> bool {
        self.writing.clear();
        self.written = 0;
        self.pongs = 0;
        if self.writing.capacity() > KEPT_BYTES_MAX {
            self.writing = Vec::new();
        }
        shared.with(|session| session.take_outgoing(&mut self.outgoing));
        for message in self.outgoing.messages() {
            // The session has compared each with the same limit.
            let _ = self.codec.append_message(message, &mut self.writing);
        }
        self.outgoing.clear();
        !self.writing.is_empty()
    }

    /// Handles every whole message that has come; the reason if the connection must end.
    fn handle_received(&mut self, shared: &Arc<Shared>) -> Option<EndReason> {
        let now = Instant::now();
        let mut rest = self.received.as_mut_slice();
        let before = rest.len();
        let (codec, writing, pongs) = (&mut self.codec, &mut self.writing, &mut self.pongs);
        let end = shared.with(|session| {
            loop {
                match codec.next(&mut rest) {
                    Ok(Received::Message(bytes)) => handle_message(session, codec.serializer(), &bytes, now),
                    // One that is too long to be answered is its sender's mistake.
                    Ok(Received::Ping(payload)) if *pongs + payload.len() <= PONG_BYTES_MAX => {
                        let before = writing.len();
                        let _ = codec.append_pong(&payload, writing);
                        *pongs += writing.len() - before;
                    }
                    Ok(Received::Ping(_)) => {}
                    Ok(Received::Pong(_)) => {}
                    Ok(Received::Close(close)) => {
                        codec.append_close(close.code, "", writing);
                        let ended = session.ended().cloned();
                        return Some(ended.unwrap_or_else(|| EndReason::Lost(format!("closed: {close:?}"))));
                    }
                    Ok(Received::Incomplete { .. }) => return None,
                    Err(error) => {
                        codec.append_error(error, writing);
                        return Some(EndReason::ProtocolViolation(error.to_string()));
                    }
                }
                if let Some(end) = session.ended() {
                    return Some(end.clone());
                }
            }
        });
        let taken = before - rest.len();
        self.received.drain(..taken);
        end
    }

    /// Asks for a sign of life.
    pub(crate) fn ping(&mut self, number: u64) {
        // Eight bytes are never too long.
        let _ = self.codec.append_ping(&number.to_be_bytes(), &mut self.writing);
        self.ping_moved = Instant::now();
        self.ping_waits = true;
    }

    /// When the last ping came nearer to the router for the last time, as far as this side sees: a line that takes what
    /// stands before it is slow, and not silent.
    pub(crate) fn ping_moved(&self) -> Instant {
        self.ping_moved
    }

    /// Is there something that the socket has not taken?
    #[cfg(test)]
    pub(crate) fn has_unwritten(&self) -> bool {
        self.written < self.writing.len()
    }

    /// Says that nothing more comes, where the protocol has a word for that, and closes.
    pub(crate) async fn close(mut self) {
        self.codec.append_close(Some(CloseCode::NORMAL), "", &mut self.writing);
        // Whoever does not take it sees the connection end.
        if self.write_all().await.is_ok() {
            let _ = self.stream.shutdown().await;
        }
    }
}

fn handle_message(session: &mut Session, serializer: Serializer, bytes: &[u8], now: Instant) {
    let handled = match message::parse(serializer, bytes) {
        Ok(message) => session.handle(&message, bytes.len(), now),
        Err(error) => Err(Violation(error.to_string())),
    };
    if let Err(violation) = handled {
        session.abort(&violation);
    }
}
