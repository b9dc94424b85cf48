//! Waiting for a socket in a task, and reading it in our own way: plain or through TLS.

use super::Stream;
use std::io::{self, Read, Write};
use tokio::io::Interest;

/// A stream that does not block, and a second handle on its socket that tokio watches.
#[derive(Debug)]
pub struct AsyncStream {
    stream: Stream,
    watched: Watched,
}

#[derive(Debug)]
enum Watched {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Watched {
    async fn readable(&self) -> io::Result<()> {
        match self {
            Watched::Tcp(socket) => socket.readable().await,
            Watched::Unix(socket) => socket.readable().await,
        }
    }

    /// Runs `read`, and waits anew before the next one if that says that it would block.
    fn try_io(&self, read: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match self {
            Watched::Tcp(socket) => socket.try_io(Interest::READABLE, read),
            Watched::Unix(socket) => socket.try_io(Interest::READABLE, read),
        }
    }
}

impl AsyncStream {
    /// Within a tokio runtime.
    pub fn new(stream: Stream) -> io::Result<AsyncStream> {
        stream.socket().set_nonblocking(true)?;
        let socket = stream.socket().try_clone()?;
        let watched = match socket.local_addr()?.is_unix() {
            true => Watched::Unix(tokio::net::UnixStream::from_std(socket.into())?),
            false => Watched::Tcp(tokio::net::TcpStream::from_std(socket.into())?),
        };
        Ok(AsyncStream { stream, watched })
    }

    /// Waits for octets and reads them; 0 at the end of the stream.
    pub async fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stream.has_plaintext() {
                return self.stream.read(space);
            }
            self.watched.readable().await?;
            let (stream, mut length) = (&mut self.stream, None);
            let tried = self.watched.try_io(|| {
                let read = stream.read(space)?;
                length = Some(read);
                // A read that leaves room has emptied a plain socket: the next one waits at once instead of asking
                // the kernel again.
                let is_emptied = read > 0 && read < space.len() && stream.short_read_empties();
                if is_emptied { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match (length, tried) {
                (Some(length), _) => return Ok(length),
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                (None, Ok(()) | Err(_)) => {}
            }
        }
    }

    /// Writes what the socket takes without waiting.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }
}
