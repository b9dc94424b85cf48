//! A shared stream whose first bytes were already read.

use super::{Stream, poll_readable, poll_writable};
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A [`Stream`] and the bytes that detection took from it, which are read again first.
///
/// Made for the HTTP phase; afterwards [`Prefixed::into_parts`] gives the stream back for the steady one.
#[derive(Debug)]
pub struct Prefixed {
    stream: Arc<Stream>,
    received: Vec<u8>,
    taken: usize,
}

impl Prefixed {
    /// `received` is what was read from `stream` so far.
    pub fn new(stream: Arc<Stream>, received: Vec<u8>) -> Prefixed {
        Prefixed { stream, received, taken: 0 }
    }

    /// The stream, and the bytes that were not read again.
    pub fn into_parts(mut self) -> (Arc<Stream>, Vec<u8>) {
        self.received.drain(..self.taken);
        (self.stream, self.received)
    }

    /// The stream below.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    fn read_received(&mut self, buffer: &mut ReadBuf<'_>) {
        let rest = &self.received[self.taken..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.taken += count;
        if self.taken == self.received.len() {
            self.received = Vec::new();
            self.taken = 0;
        }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.received.is_empty() {
            this.read_received(buffer);
            return Poll::Ready(Ok(()));
        }
        let free = buffer.initialize_unfilled();
        let count = std::task::ready!(poll_readable(&this.stream, cx, || this.stream.try_read(free)))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        poll_writable(&self.stream, cx, || self.stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_writable(&self.stream, cx, || self.stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(Shutdown::Write))
    }
}
