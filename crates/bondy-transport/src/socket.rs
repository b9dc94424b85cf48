//! Byte streams of the operating system: TCP and Unix sockets behind one type, and the listeners that accept them.
//!
//! A [`Stream`] lives behind an `Arc`: its owner alone waits for readiness, and any thread may write without
//! blocking (a session's outbox is flushed by whichever worker touched it). What it does not do: buffer, encrypt
//! ([`crate::tls`]) or frame.
//!
//! Invariant: the options that find a dead peer are set on every TCP connection, so that a vanished host is noticed
//! without any work in user space.

#[cfg(feature = "server")]
mod listener;
mod prefixed;

#[cfg(feature = "server")]
pub use listener::{
    AcceptBackoff, AcceptVerdict, Accepted, BindAddress, BindAddressError, BindError, Listener,
};
pub use prefixed::Prefixed;

use socket2::{SockRef, TcpKeepalive};
use std::fmt;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// What is set on each TCP connection; a Unix socket needs none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// How long a connection may be silent before it is probed; none: it never is.
    pub keepalive_idle: Option<Duration>,
    /// The time between two probes.
    pub keepalive_interval: Duration,
    /// After how many unanswered probes the connection is dead.
    pub keepalive_probes: u32,
    /// How long sent bytes may stay unacknowledged before the connection is dead.
    pub user_timeout: Duration,
    /// The socket counts as writable below this many unsent bytes, so that the rest waits in the outbox, where the
    /// policies for slow readers apply, and not in the kernel.
    pub unsent_bytes_low: u32,
}

impl Default for SocketOptions {
    /// A vanished peer is noticed within 15 s: after 5 s of silence three probes 3 s apart, or 13 s after the first
    /// unacknowledged byte.
    fn default() -> SocketOptions {
        SocketOptions::probing_after(Some(Duration::from_secs(5)))
    }
}

impl SocketOptions {
    /// The options by which a peer that vanishes in silence is noticed `idle` and 9 s later; without `idle` only
    /// where bytes for it stay unacknowledged.
    ///
    /// On Linux a connection with a user timeout is given up at the first probe at which it has been silent for that
    /// long, and the number of probes counts no more. So the timeout ends a second before the probe after the last:
    /// were it longer, that probe would still be waited out, and were it shorter, one lost probe would be enough.
    pub fn probing_after(idle: Option<Duration>) -> SocketOptions {
        let (interval, probes) = (Duration::from_secs(3), 3);
        let user_timeout =
            idle.unwrap_or(Duration::from_secs(5)) + interval * probes - Duration::from_secs(1);
        SocketOptions {
            keepalive_idle: idle,
            keepalive_interval: interval,
            keepalive_probes: probes,
            user_timeout,
            unsent_bytes_low: 64 * 1024,
        }
    }

    /// Sets the options on a TCP socket, and `TCP_NODELAY`: frames are already coalesced when they are written.
    fn apply(&self, socket: SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(true)?;
        if let Some(idle) = self.keepalive_idle {
            let keepalive = TcpKeepalive::new()
                .with_time(idle)
                .with_interval(self.keepalive_interval)
                .with_retries(self.keepalive_probes);
            socket.set_tcp_keepalive(&keepalive)?;
        }
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(self.user_timeout))?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_notsent_lowat(self.unsent_bytes_low)?;
        Ok(())
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// A TCP peer; IPv4 addresses are never in their IPv6 form.
    Ip(SocketAddr),
    /// A process on this host.
    Unix,
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddress::Ip(address) => address.fmt(f),
            PeerAddress::Unix => f.write_str("unix"),
        }
    }
}

/// A connected TCP or Unix socket, registered with the runtime of the worker that owns it.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

impl Stream {
    /// Connects to a TCP address and sets the options.
    pub async fn connect_tcp(address: SocketAddr, options: &SocketOptions) -> io::Result<Stream> {
        let stream = TcpStream::connect(address).await?;
        options.apply(SockRef::from(&stream))?;
        Ok(Stream::Tcp(stream))
    }

    /// Connects to a Unix socket.
    pub async fn connect_unix(path: &std::path::Path) -> io::Result<Stream> {
        UnixStream::connect(path).await.map(Stream::Unix)
    }

    /// The other end.
    pub fn peer_address(&self) -> io::Result<PeerAddress> {
        match self {
            Stream::Tcp(stream) => stream.peer_addr().map(canonical).map(PeerAddress::Ip),
            Stream::Unix(_) => Ok(PeerAddress::Unix),
        }
    }

    /// Waits until there may be something to read. Only the owner waits.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.readable().await,
            Stream::Unix(stream) => stream.readable().await,
        }
    }

    /// Waits until there may be room to write. Only the owner waits.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.writable().await,
            Stream::Unix(stream) => stream.writable().await,
        }
    }

    /// Reads what is there; `WouldBlock` if nothing is, 0 at the end.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_read(buffer),
            Stream::Unix(stream) => stream.try_read(buffer),
        }
    }

    /// Says that a read which did not fill its buffer has drained the socket, so that the next wait needs no read that
    /// finds nothing. (Sound where readiness is edge-triggered: bytes that come later bring a new edge.)
    pub fn was_drained(&self) {
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        // The outcome is the error above, whose only purpose is to clear the readiness.
        let _ = match self {
            Stream::Tcp(stream) => stream.try_io(Interest::READABLE, nothing),
            Stream::Unix(stream) => stream.try_io(Interest::READABLE, nothing),
        };
    }

    /// Appends what is there to `buffer`, at most `bytes_max`; `WouldBlock` if nothing is, 0 at the end.
    pub fn try_read_append(&self, buffer: &mut Vec<u8>, bytes_max: usize) -> io::Result<usize> {
        let start = buffer.len();
        buffer.resize(start + bytes_max, 0);
        let outcome = self.try_read(&mut buffer[start..]);
        buffer.truncate(start + *outcome.as_ref().unwrap_or(&0));
        outcome
    }

    /// Waits for bytes and appends them to `received`, at most `bytes_max`; the end is an `UnexpectedEof` error.
    /// Nothing is lost if it is dropped. For handshakes, where each byte still has to be judged.
    pub async fn receive_some(&self, received: &mut Vec<u8>, bytes_max: usize) -> io::Result<usize> {
        loop {
            self.readable().await?;
            match self.try_read_append(received, bytes_max) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }

    /// Writes as much as fits; `WouldBlock` if nothing does, and until the runtime has seen a fresh stream. From any
    /// thread.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_write(bytes),
            Stream::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Writes as much of all slices as fits, in one call; `WouldBlock` if nothing does. From any thread.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_write_vectored(slices),
            Stream::Unix(stream) => stream.try_write_vectored(slices),
        }
    }

    /// Polls for readability; only the last task that polled is woken.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Polls for writability; only the last task that polled is woken.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => stream.poll_write_ready(cx),
            Stream::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Ends one or both directions at once, from any thread; the descriptor stays open until the stream is dropped.
    /// A direction that has already ended is not an error.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let outcome = match self {
            Stream::Tcp(stream) => SockRef::from(stream).shutdown(how),
            Stream::Unix(stream) => SockRef::from(stream).shutdown(how),
        };
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            outcome => outcome,
        }
    }
}

/// An IPv4 peer of an IPv6 socket counts as what it is, or networks would not match it.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_canonical() {
            std::net::IpAddr::V4(v4) => SocketAddr::from((v4, v6.port())),
            std::net::IpAddr::V6(_) => address,
        },
    }
}

/// Polls readiness and reads until one of them says that it has to wait.
pub(crate) fn poll_readable<T>(
    stream: &Stream,
    cx: &mut Context<'_>,
    mut read: impl FnMut() -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::task::ready!(stream.poll_read_ready(cx))?;
            }
            outcome => return Poll::Ready(outcome),
        }
    }
}

/// Polls readiness and writes until one of them says that it has to wait.
pub(crate) fn poll_writable<T>(
    stream: &Stream,
    cx: &mut Context<'_>,
    mut write: impl FnMut() -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        match write() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::task::ready!(stream.poll_write_ready(cx))?;
            }
            outcome => return Poll::Ready(outcome),
        }
    }
}

/// As the owner of the stream, or while it is shared.
impl AsyncRead for &Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let free = buffer.initialize_unfilled();
        let count = std::task::ready!(poll_readable(&self, cx, || self.try_read(free)))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for &Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        poll_writable(&self, cx, || self.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_writable(&self, cx, || self.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown(Shutdown::Write))
    }
}

/// As its only holder.
impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_shutdown(cx)
    }
}
