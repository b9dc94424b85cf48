//! One TLS connection over a shared stream.
//!
//! The same type serves the HTTP phase (as [`AsyncRead`] and [`AsyncWrite`]) and the steady phase (`try_*`), so
//! nothing has to be taken apart in between.

use super::record::{Intent, RECORD_BYTES_MAX, Records, Sink};
use crate::socket::{Stream, poll_readable, poll_writable};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Ciphertext taken from the socket at once: one full record and its overhead.
const READ_BYTES: usize = 17 * 1024;

/// Ciphertext that may wait for the socket before no more plaintext is taken.
const OUTGOING_BYTES_MAX: usize = 64 * 1024;

/// A server's TLS connection. Only its owner touches it.
pub struct TlsStream {
    stream: Arc<Stream>,
    records: Records,
    /// The socket's end without TLS' own, which an attacker can cause.
    cut_off: bool,
}

impl TlsStream {
    pub(super) fn new(
        config: Arc<ServerConfig>,
        stream: Arc<Stream>,
        received: Vec<u8>,
    ) -> Result<TlsStream, rustls::Error> {
        Ok(TlsStream { stream, records: Records::new(config, received)?, cut_off: false })
    }

    /// Runs the handshake to its end; the caller has the deadline and drops this to give up. A client that breaks
    /// the protocol is sent the alert that says why.
    pub async fn handshake(&mut self) -> io::Result<()> {
        let outcome = self.handshake_steps().await;
        if outcome.is_err() {
            // The alert, if the socket takes it at once: nobody waits for a client that failed.
            let _ = self.try_flush();
        }
        outcome
    }

    async fn handshake_steps(&mut self) -> io::Result<()> {
        loop {
            self.records.pass(Intent::Receive, &mut Sink::backlog())?;
            while !self.try_flush()? {
                self.stream.writable().await?;
            }
            if !self.records.state().is_handshaking() {
                return Ok(());
            }
            if self.cut_off || self.records.peer_closed {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.stream.readable().await?;
            match self.receive() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Reads plaintext: `WouldBlock` if there is none (then wait for the stream to become readable), 0 after the
    /// peer's own end, `UnexpectedEof` if the connection was cut without it.
    pub fn try_read_plain(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let rest = self.records.plain.rest();
            if !rest.is_empty() {
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                self.records.plain.advance(count);
                return Ok(count);
            }
            self.records.check()?;
            if self.records.peer_closed {
                return Ok(0);
            }
            if self.cut_off {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.receive()?;
            let mut sink = Sink::new(buffer);
            let outcome = self.records.pass(Intent::Receive, &mut sink);
            let filled = sink.filled_bytes();
            self.flush_reply();
            if filled > 0 {
                // An error waits for the next call.
                return Ok(filled);
            }
            outcome?;
        }
    }

    /// Encrypts the start of `bytes` and says how much of it was taken: 0 while as much as is allowed waits for the
    /// socket. Send it with [`TlsStream::try_flush`]. Each call makes at least one record, so pass large pieces.
    pub fn queue_plain(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room_bytes = OUTGOING_BYTES_MAX.saturating_sub(self.records.outgoing.rest().len());
        // Rather nothing than a tiny record to fill up.
        if bytes.is_empty() || room_bytes < bytes.len().min(RECORD_BYTES_MAX) {
            return Ok(0);
        }
        self.records.outgoing.compact();
        let taken = &bytes[..bytes.len().min(room_bytes)];
        if !self.records.pass(Intent::Encrypt(taken), &mut Sink::backlog())? {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the TLS handshake is not complete"));
        }
        Ok(taken.len())
    }

    /// Writes what waits, without blocking: whether nothing waits any more. If not, wait for the stream to become
    /// writable.
    pub fn try_flush(&mut self) -> io::Result<bool> {
        while !self.records.outgoing.rest().is_empty() {
            match self.stream.try_write(self.records.outgoing.rest()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.records.outgoing.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Tells the peer that nothing more will come, after which nothing may be queued. Send it with
    /// [`TlsStream::try_flush`]. A second time does nothing.
    pub fn close_notify(&mut self) -> io::Result<()> {
        self.records.pass(Intent::Close, &mut Sink::backlog()).map(drop)
    }

    /// The client's certificates, its own first; none unless the listener asks for them.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.records.state().peer_certificates().unwrap_or_default()
    }

    /// The protocol that ALPN chose.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.records.state().alpn_protocol()
    }

    /// The version that was agreed, for logs.
    pub fn version(&self) -> Option<rustls::ProtocolVersion> {
        self.records.state().protocol_version()
    }

    /// The socket below: for readiness, the peer's address and shutting down, never for reading or writing.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Whether ciphertext waits for the socket.
    pub fn wants_write(&self) -> bool {
        !self.records.outgoing.rest().is_empty()
    }

    /// Whether plaintext can be read without the socket, so that no readiness will announce it.
    pub fn has_plain(&self) -> bool {
        !self.records.plain.rest().is_empty()
    }

    /// What the buffers hold at this moment, in allocated bytes; 0 for an idle connection.
    pub fn buffered_bytes(&self) -> usize {
        self.records.incoming.capacity()
            + self.records.plain.allocated_bytes()
            + self.records.outgoing.allocated_bytes()
    }

    /// Takes what the socket has, or says `WouldBlock` and gives the memory back.
    fn receive(&mut self) -> io::Result<()> {
        match self.stream.try_read_append(&mut self.records.incoming, READ_BYTES) {
            Ok(0) => self.cut_off = true,
            Ok(_) => {}
            Err(error) => {
                self.records.incoming.shrink_to_fit();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Answers to the peer's handshake messages go out at once if the socket takes them; what remains waits for the
    /// owner's next flush, and a broken socket shows there.
    fn flush_reply(&mut self) {
        if self.wants_write() {
            let _ = self.try_flush();
        }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let stream = Arc::clone(&this.stream);
        let free = buffer.initialize_unfilled();
        let count = ready!(poll_readable(&stream, cx, || this.try_read_plain(free)))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            let count = this.queue_plain(bytes)?;
            if count > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(count));
            }
            ready!(this.poll_outgoing(cx))?;
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_outgoing(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.close_notify()?;
        ready!(this.poll_outgoing(cx))?;
        Poll::Ready(this.stream.shutdown(Shutdown::Write))
    }
}

impl TlsStream {
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = Arc::clone(&self.stream);
        poll_writable(&stream, cx, || match self.try_flush()? {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })
    }
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}
