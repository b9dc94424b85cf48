//! A stream whose first bytes were already read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream and the bytes that detection took from it, which are read again first.
///
/// Made for the HTTP phase; afterwards [`Prefixed::into_parts`] gives the stream back for the steady one.
#[derive(Debug)]
pub struct Prefixed<S> {
    stream: S,
    received: Vec<u8>,
    taken: usize,
}

impl<S> Prefixed<S> {
    /// `received` is what was read from `stream` so far.
    pub fn new(stream: S, received: Vec<u8>) -> Prefixed<S> {
        Prefixed { stream, received, taken: 0 }
    }

    /// The stream, and the bytes that were not read again.
    pub fn into_parts(mut self) -> (S, Vec<u8>) {
        self.received.drain(..self.taken);
        (self.stream, self.received)
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

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
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
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
