//! A session's connection in its steady state: read, split, route; write what waits; nothing held while idle.
//!
//! The task waits for one of: something to read, room to write (only where a write would have blocked), a wake-up by
//! anybody who wants its owner to look. It reads into its worker's buffer, hands each message to the realm, and
//! leaves the writing of everything that was touched to the worker's flusher.

mod batch;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bondy_router::broker::FanOut;
use bondy_router::flush::{Flushed, Link};
use bondy_router::realm::{Farewell, Flow, Realm};
use bondy_router::session::Session;
use bondy_router::turn::Turn;
use bondy_transport::rawsocket;
use bondy_transport::socket::Stream;
use bondy_transport::tls::TlsStream;
use bondy_transport::websocket::close::{self, CloseCode};
use bondy_transport::websocket::frame::{self, FrameHeader, Opcode};
use bondy_transport::websocket::{ProtocolError, decoder};
use bondy_wamp::buffer::Buffer;
use bondy_wamp::message;
use bondy_wamp::serializer::ParseErrorKind;

use self::batch::Batch;
use crate::config::Ping;
use crate::framer::{Framed, Framer};
use crate::link::{Protocol, SocketLink};
use crate::listener::ListenerContext;
use crate::pause::Pause;
use crate::worker::{READ_BYTES, with_worker};

/// A message above this size is handled off the worker, so that it stalls nobody else there.
const LARGE_MESSAGE_BYTES: usize = 1024 * 1024;

/// How long the peer may take to read what is left after its session has ended.
pub(crate) const LINGER_MAX: Duration = Duration::from_secs(5);

/// The most bytes read at once into a message that is larger than a worker's buffer.
const LARGE_READ_BYTES: usize = 256 * 1024;

/// One session and its socket.
pub(crate) struct Connection {
    pub(crate) session: Arc<Session>,
    pub(crate) realm: Arc<Realm>,
    pub(crate) link: Arc<SocketLink>,
    pub(crate) framer: Framer,
    pub(crate) tls: Option<Box<TlsStream>>,
    pub(crate) listener: Arc<ListenerContext>,
    /// Bytes that were read and not handled yet.
    pub(crate) unread: Buffer,
    /// How many bytes `unread` must have before it is worth looking at.
    pub(crate) wanted: u32,
    pub(crate) pause: Option<Box<Pause>>,
    pub(crate) wants_write: bool,
    pub(crate) ping_state: PingState,
    /// The owner was woken just now: the next thing it does is to read.
    pub(crate) reads_next: bool,
}

/// Where a connection is between two pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PingState {
    Idle,
    Sent,
    Answered,
}

/// A control frame of the transport.
#[derive(Clone, Copy)]
enum Control {
    Ping,
    Pong,
}

/// Why a connection's task goes on.
enum Wake {
    Owner,
    Readable,
    Writable,
}

/// What is to be done after a batch was handled.
enum After {
    /// Nothing; read again when there is something.
    Wait,
    /// There may be more: let others run, then go on.
    Yield,
    /// The slices of a long fan-out.
    FanOut(Box<FanOut<'static>>),
    /// A large message, to be handled off the worker.
    Large(Box<[u8]>),
    /// The session has ended.
    Ended,
    /// The connection is lost.
    Lost,
    /// The peer broke the WebSocket protocol.
    Broken(ProtocolError),
}

/// How a connection ends.
enum End {
    /// The session has ended: write what is left, say goodbye in the transport's way.
    Orderly,
    /// Nobody is there any more.
    Lost,
}

impl Connection {
    /// Serves the session until it ends.
    pub(crate) async fn run(&mut self) {
        let end = self.serve().await;
        if let End::Lost = end {
            with_worker(|worker| {
                worker.begin();
                self.realm.leave(&self.session, Farewell::Lost, &mut worker.turn);
                worker.end();
            });
            self.session.lock().outbox.discard();
        }
        if let End::Orderly = end {
            Box::pin(self.close()).await;
        }
    }

    async fn serve(&mut self) -> End {
        if let Some(ping) = self.ping() {
            with_worker(|worker| worker.schedule_ping(ping.interval, &self.link));
        }
        loop {
            let after = match poll_fn(|context| self.poll_wake(context)).await {
                Wake::Readable => self.read_batch(),
                Wake::Owner if self.session.is_closed() => After::Ended,
                Wake::Owner => match self.look() {
                    After::Wait => After::Yield,
                    after => after,
                },
                Wake::Writable => self.flush(),
            };
            match after {
                After::Wait => {}
                After::Yield => tokio::task::yield_now().await,
                After::FanOut(fan_out) => Box::pin(self.fan_out(fan_out)).await,
                After::Large(bytes) => match Box::pin(self.handle_large(bytes.into_vec())).await {
                    Ok(true) => return End::Orderly,
                    Ok(false) => {}
                    Err(error) => return self.fail(error),
                },
                After::Ended => return End::Orderly,
                After::Lost => return End::Lost,
                After::Broken(error) => return self.fail(error),
            }
        }
    }

    fn poll_wake(&mut self, context: &mut Context<'_>) -> Poll<Wake> {
        self.link.register_owner(context.waker());
        // Who is woken over and over to write must still read in between.
        let is_wake_next = !std::mem::replace(&mut self.reads_next, false);
        if is_wake_next && self.link.take_wake() {
            self.reads_next = true;
            return Poll::Ready(Wake::Owner);
        }
        match self.poll_socket(context) {
            Poll::Pending if self.link.take_wake() => Poll::Ready(Wake::Owner),
            polled => polled,
        }
    }

    fn poll_socket(&mut self, context: &mut Context<'_>) -> Poll<Wake> {
        let stream = self.link.stream();
        // An error of the socket shows when it is read or written.
        if self.wants_write && stream.poll_write_ready(context).is_ready() {
            return Poll::Ready(Wake::Writable);
        }
        if self.pause.as_mut().is_some_and(|pause| pause.poll_over(context).is_pending()) {
            return Poll::Pending;
        }
        self.pause = None;
        if self.has_unread() || stream.poll_read_ready(context).is_ready() {
            return Poll::Ready(Wake::Readable);
        }
        Poll::Pending
    }

    /// Is there something to handle that needs no reading?
    fn has_unread(&self) -> bool {
        let has_plain = self.tls.as_ref().is_some_and(|tls| tls.has_plain());
        has_plain || self.has_postponed()
    }

    /// Was something read that is complete and not handled yet?
    fn has_postponed(&self) -> bool {
        self.framer.has_pending() || (!self.unread.is_empty() && self.unread.len() >= self.wanted as usize)
    }

    /// The owner was woken: something to write, or a ping that is due.
    fn look(&mut self) -> After {
        if self.link.take_ping_due() && !self.handle_ping_due() {
            tracing::debug!(session = self.session.id().0, "the peer does not answer pings");
            return After::Lost;
        }
        self.flush()
    }

    fn flush(&mut self) -> After {
        let (session, link, tls) = (&self.session, &self.link, &mut self.tls);
        let flushed = with_worker(|worker| match tls {
            None => session.flush_as_owner(&mut worker.turn.pool, |slices| link.try_write(slices)),
            Some(tls) => session.flush_as_owner(&mut worker.turn.pool, |slices| write_encrypted(tls, slices)),
        });
        let has_ciphertext = match &mut self.tls {
            None => false,
            Some(tls) => match tls.try_flush() {
                Ok(is_done) => !is_done,
                Err(_) => return After::Lost,
            },
        };
        self.wants_write = has_ciphertext || flushed == Flushed::Blocked;
        if flushed == Flushed::Broken { After::Lost } else { After::Wait }
    }

    /// When this connection is pinged, if it is.
    fn ping(&self) -> Option<Ping> {
        match self.link.protocol() {
            Protocol::WebSocket => self.listener.config.websocket_ping,
            Protocol::RawSocket => self.listener.config.rawsocket_ping,
        }
    }

    /// The time for a ping, or for its answer, has come. False where the answer has not.
    fn handle_ping_due(&mut self) -> bool {
        let Some(ping) = self.ping() else { return true };
        match self.ping_state {
            PingState::Sent => return false,
            PingState::Answered => {
                self.ping_state = PingState::Idle;
                let rest = ping.interval.saturating_sub(ping.timeout).max(Duration::from_secs(1));
                with_worker(|worker| worker.schedule_ping(rest, &self.link));
            }
            PingState::Idle if self.append_control(Control::Ping, &[]) => {
                self.ping_state = PingState::Sent;
                with_worker(|worker| {
                    worker.schedule_ping(ping.timeout, &self.link);
                    worker.end();
                });
            }
            // The peer has much to read before it could see a ping.
            PingState::Idle => with_worker(|worker| worker.schedule_ping(ping.interval, &self.link)),
        }
        true
    }

    /// Bytes came: the peer lives, whatever they are. (A pong cannot stand inside a message that is on its way.)
    fn heard(&mut self) {
        if self.ping_state == PingState::Sent {
            self.ping_state = PingState::Answered;
        }
    }

    /// Appends a control frame of the transport behind what waits; false where there is no room for it. The caller
    /// ends the batch that it belongs to.
    fn append_control(&self, control: Control, payload: &[u8]) -> bool {
        with_worker(|worker| {
            let pool = &mut worker.turn.pool;
            let mut frame = pool.take();
            match (self.link.protocol(), control) {
                (Protocol::WebSocket, Control::Ping) => {
                    frame::append_frame(FrameHeader::whole(Opcode::Ping, payload.len()), payload, &mut frame);
                }
                (Protocol::WebSocket, Control::Pong) => {
                    frame::append_frame(FrameHeader::whole(Opcode::Pong, payload.len()), payload, &mut frame);
                }
                (Protocol::RawSocket, Control::Ping) => {
                    rawsocket::append_frame(&mut frame, rawsocket::FrameKind::Ping, payload);
                }
                (Protocol::RawSocket, Control::Pong) => {
                    rawsocket::append_frame(&mut frame, rawsocket::FrameKind::Pong, payload);
                }
            }
            let mut state = self.session.lock();
            let has_room = state.outbox.has_room();
            if has_room {
                state.outbox.append_control(&frame, pool);
                state.touch(&self.session, &mut worker.turn);
            }
            drop(state);
            worker.turn.pool.give(frame);
            has_room
        })
    }

    /// Appends a close frame; nothing may follow it.
    fn append_close(&mut self, append: impl FnOnce(&mut Buffer)) {
        with_worker(|worker| {
            let mut frame = worker.turn.pool.take();
            append(&mut frame);
            self.session.lock().outbox.append_control(&frame, &mut worker.turn.pool);
            worker.turn.pool.give(frame);
        });
        self.framer.closed();
    }

    /// One batch: read, then handle everything that is complete.
    fn read_batch(&mut self) -> After {
        if self.has_postponed() {
            let bytes = std::mem::take(&mut self.unread);
            let filled = bytes.len();
            return self.handle_batch(bytes, filled, true);
        }
        if self.wanted as usize > READ_BYTES {
            return self.read_large();
        }
        let mut buffer = with_worker(|worker| worker.take_read_buffer());
        let held = self.unread.len();
        buffer[..held].copy_from_slice(&self.unread);
        let read = self.read(held, &mut buffer);
        match read {
            Ok(0) => self.lost(buffer),
            Ok(read) => {
                self.heard();
                self.unread = Buffer::new();
                let is_full = held + read == buffer.len();
                if !is_full && self.tls.is_none() {
                    self.link.stream().was_drained();
                }
                self.handle_batch(buffer, held + read, is_full)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                with_worker(|worker| worker.give_read_buffer(buffer));
                After::Wait
            }
            Err(error) => {
                self.lost_by(&error);
                self.lost(buffer)
            }
        }
    }

    /// A peer that has vanished, or that has not read for so long that the system gave it up, is worth a line.
    fn lost_by(&self, error: &io::Error) -> After {
        if error.kind() == io::ErrorKind::TimedOut {
            let queue_bytes = self.session.lock().outbox.pending_bytes();
            tracing::info!(
                session = self.session.id().0,
                queue_bytes,
                "the connection has timed out: the peer is gone, or has not read what was sent"
            );
        }
        After::Lost
    }

    fn lost(&self, buffer: Buffer) -> After {
        with_worker(|worker| worker.give_read_buffer(buffer));
        After::Lost
    }

    fn read(&mut self, from: usize, buffer: &mut Buffer) -> io::Result<usize> {
        match &mut self.tls {
            None => self.link.stream().try_read(&mut buffer[from..]),
            Some(tls) => {
                let read = tls.try_read_plain(&mut buffer[from..]);
                self.wants_write |= tls.wants_write();
                read
            }
        }
    }

    /// Reads on into a message that is larger than a worker's buffer; grows as bytes arrive.
    fn read_large(&mut self) -> After {
        let missing = (self.wanted as usize - self.unread.len()).min(LARGE_READ_BYTES);
        let read = match &mut self.tls {
            None => self.link.stream().try_read_append(&mut self.unread, missing),
            Some(tls) => {
                let held = self.unread.len();
                self.unread.resize(held + missing, 0);
                let read = tls.try_read_plain(&mut self.unread[held..]);
                self.unread.truncate(held + read.as_ref().copied().unwrap_or(0));
                read
            }
        };
        match read {
            Ok(0) => After::Lost,
            Ok(_) => {
                self.heard();
                After::Yield
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => After::Wait,
            Err(error) => self.lost_by(&error),
        }
    }

    /// Handles the messages in `buffer`, of which the first `filled` bytes count. `may_have_more`: the socket probably
    /// holds more.
    fn handle_batch(&mut self, mut buffer: Buffer, filled: usize, may_have_more: bool) -> After {
        let mut batch = with_worker(|worker| {
            worker.begin();
            Batch::begin(worker.turn.stats.events())
        });
        let (consumed, after) = self.handle_frames(&mut buffer[..filled], &mut batch);
        if consumed < filled {
            self.unread = buffer[consumed..filled].to_vec();
        }
        with_worker(|worker| {
            worker.give_read_buffer(buffer);
            self.begin_pause(std::mem::take(&mut worker.turn.congested));
            let has_more = consumed < filled || self.framer.has_pending();
            let waits = has_more && matches!(after, After::Yield);
            let has_published = batch.has_published(worker.turn.stats.events());
            worker.end();
            if waits && has_published {
                worker.expect_more(batch.message_bytes);
            }
        });
        match after {
            After::Wait if may_have_more => After::Yield,
            after => after,
        }
    }

    /// Returns how many bytes were taken.
    fn handle_frames(&mut self, bytes: &mut [u8], batch: &mut Batch) -> (usize, After) {
        let all = bytes.len();
        let mut rest = bytes;
        self.wanted = 0;
        let after = loop {
            if batch.is_out_of_time() {
                break After::Yield;
            }
            batch.count_frame();
            match self.framer.next(&mut rest) {
                Ok(Framed::Message(message)) => {
                    batch.count_message(message.len());
                    if message.len() > LARGE_MESSAGE_BYTES {
                        break After::Large(message.into());
                    }
                    let is_text = self.framer.is_text();
                    match with_worker(|worker| {
                        handle_message(&self.realm, &self.session, &message, is_text, &mut worker.turn)
                    }) {
                        Ok(Flow::Done)
                            if batch.has_many_events(with_worker(|worker| worker.turn.stats.events())) =>
                        {
                            break After::Yield;
                        }
                        Ok(Flow::Done) => {}
                        Ok(Flow::FanOut(fan_out)) => break After::FanOut(fan_out),
                        Ok(Flow::Ended) => break After::Ended,
                        Err(error) => break After::Broken(error),
                    }
                }
                Ok(Framed::Ping(payload)) => {
                    let payload = payload.into_owned();
                    self.append_control(Control::Pong, &payload);
                }
                Ok(Framed::Pong) => self.ping_state = PingState::Answered,
                Ok(Framed::Close(code)) => break self.peer_closes(code),
                Ok(Framed::NeedMore(wanted)) => {
                    // No message is as long as that number can say.
                    self.wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
                    break After::Wait;
                }
                Err(error) => break self.broken(error),
            }
        };
        let consumed = all - rest.len();
        self.count(batch.messages, batch.message_bytes);
        (consumed, after)
    }

    fn count(&self, messages: u64, bytes: u64) {
        self.session.count_received(messages, bytes);
        with_worker(|worker| {
            worker.turn.stats.messages_received += messages;
            worker.turn.stats.bytes_received += bytes;
        });
    }

    /// The peer closes the transport without GOODBYE, or after it.
    fn peer_closes(&mut self, code: Option<CloseCode>) -> After {
        with_worker(|worker| self.realm.leave(&self.session, Farewell::Lost, &mut worker.turn));
        self.append_close(|frame| close::append_close(code, "", None, frame));
        After::Ended
    }

    /// The bytes are no frame: the transport is failed. Over rawsocket there is no way to say so but ABORT.
    fn broken(&mut self, error: crate::framer::FramingError) -> After {
        match error {
            crate::framer::FramingError::WebSocket(error) => After::Broken(error),
            crate::framer::FramingError::RawSocket(text) => {
                with_worker(|worker| self.realm.violate(&self.session, &text, &mut worker.turn));
                After::Ended
            }
        }
    }

    /// Fails the WebSocket: the close frame says why, the session is lost to its realm.
    fn fail(&mut self, error: ProtocolError) -> End {
        tracing::debug!(session = self.session.id().0, %error, "the peer broke the WebSocket protocol");
        with_worker(|worker| {
            worker.begin();
            match error {
                // The frame is fine, the message is not: WAMP's own way to say so comes first.
                ProtocolError::UnexpectedKind => {
                    self.realm.violate(&self.session, &error.to_string(), &mut worker.turn);
                }
                _ => {
                    worker.turn.stats.protocol_violations += 1;
                    self.realm.leave(&self.session, Farewell::Lost, &mut worker.turn);
                }
            }
            worker.end();
        });
        self.append_close(|frame| close::append_error(error, None, frame));
        End::Orderly
    }

    /// A batch took receivers of calls or results over their soft limit: do not read on before they have drained, or
    /// some milliseconds have passed.
    fn begin_pause(&mut self, congested: Vec<Arc<Session>>) {
        if !congested.is_empty() {
            self.pause = Some(Box::new(Pause::new(congested)));
        }
    }

    async fn fan_out(&mut self, mut fan_out: Box<FanOut<'static>>) {
        loop {
            tokio::task::yield_now().await;
            let is_done = with_worker(|worker| {
                worker.begin();
                let is_done = self.realm.continue_fan_out(&self.session, &mut fan_out, &mut worker.turn);
                worker.end();
                is_done
            });
            if is_done {
                return;
            }
        }
    }

    /// Handles a large message on the pool for such; true if the session has ended.
    async fn handle_large(&mut self, bytes: Buffer) -> Result<bool, ProtocolError> {
        let node = with_worker(|worker| Arc::clone(&worker.node));
        let (realm, session) = (Arc::clone(&self.realm), Arc::clone(&self.session));
        let is_text = self.framer.is_text();
        let (flow, congested) = node.handle_large(realm, session, bytes, is_text).await;
        self.begin_pause(congested);
        match flow? {
            Flow::Done => Ok(false),
            Flow::Ended => Ok(true),
            Flow::FanOut(fan_out) => {
                self.fan_out(fan_out).await;
                Ok(false)
            }
        }
    }

    /// Writes what is left, closes the transport in its own way and waits a little for the peer to do the same.
    async fn close(&mut self) {
        if self.link.protocol() == Protocol::WebSocket && !self.framer.is_closed() {
            self.append_close(|frame| close::append_close(Some(CloseCode::NORMAL), "", None, frame));
        }
        let linger = async {
            self.write_rest().await?;
            read_to_end(self.link.stream()).await
        };
        let _ = tokio::time::timeout(LINGER_MAX, linger).await;
        self.session.lock().outbox.discard();
        let _ = self.link.stream().shutdown(Shutdown::Both);
    }

    async fn write_rest(&mut self) -> io::Result<()> {
        loop {
            if let After::Lost = self.flush() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if self.session.lock().outbox.pending_bytes() == 0 && !self.wants_write {
                break;
            }
            poll_fn(|context| {
                // Somebody else may be writing: he says when he has written.
                self.session.lock().outbox.wake_when_drained(context.waker().clone());
                self.link.register_owner(context.waker());
                if self.link.take_wake() || self.session.lock().outbox.pending_bytes() == 0 {
                    return Poll::Ready(());
                }
                let stream = self.link.stream();
                if self.wants_write { stream.poll_write_ready(context).map(|_| ()) } else { Poll::Pending }
            })
            .await;
        }
        if let Some(tls) = &mut self.tls {
            tls.close_notify()?;
            while !tls.try_flush()? {
                self.link.stream().writable().await?;
            }
        }
        self.link.stream().shutdown(Shutdown::Write)
    }
}

impl Drop for Connection {
    /// A handler that panics unwinds through its connection, and that fails the realm, not the node.
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A second panic must not leave this function: that would end the process.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| {
                let node = with_worker(|worker| Arc::clone(&worker.node));
                node.fail_realm(&self.realm);
            }));
        }
    }
}

/// What the peer still sends is of no interest, but must be read: a socket that is closed with unread bytes resets
/// the connection, and the peer would lose what was written last.
pub(crate) async fn read_to_end(stream: &Stream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        let mut buffer = with_worker(|worker| worker.take_read_buffer());
        let read = stream.try_read(&mut buffer);
        with_worker(|worker| worker.give_read_buffer(buffer));
        match read {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Parses and routes one message. Text that is not UTF-8 fails a WebSocket (RFC 6455, section 8.1).
pub(crate) fn handle_message(
    realm: &Realm,
    session: &Arc<Session>,
    bytes: &[u8],
    is_text: bool,
    turn: &mut Turn,
) -> Result<Flow, ProtocolError> {
    match message::parse(session.serializer(), bytes) {
        Ok(message) if bytes.len() > realm.config().limits.message_bytes_max => {
            Ok(realm.handle_too_large(session, &message, turn))
        }
        Ok(message) => Ok(realm.handle(session, &message, turn)),
        Err(error) if error.kind == ParseErrorKind::InvalidUtf8 && is_text => Err(ProtocolError::InvalidUtf8),
        Err(error) => Ok(realm.handle_malformed(session, &error, turn)),
    }
}

/// Encrypts what the TLS connection takes at present.
fn write_encrypted(tls: &mut TlsStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut written = 0;
    for slice in slices {
        let mut rest = &slice[..];
        while !rest.is_empty() {
            let taken = tls.queue_plain(rest)?;
            if taken == 0 && (tls.wants_write() && !tls.try_flush()?) {
                return if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) };
            }
            written += taken;
            rest = &rest[taken..];
        }
    }
    Ok(written)
}

/// Kept small: this is what an idle session costs besides its socket and its outbox.
pub(crate) const CONNECTION_BYTES_MAX: usize = 136;

const _: () = assert!(size_of::<Connection>() <= CONNECTION_BYTES_MAX);
const _: () = assert!(size_of::<decoder::Decoder>() <= 64);
