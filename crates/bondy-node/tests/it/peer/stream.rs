//! The byte stream under a peer: TCP, a Unix socket, or TLS over TCP. Blocking, with a deadline for every read.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects to an address as the readiness line prints it: `HOST:PORT` or `unix:PATH`.
    pub(crate) fn connect(address: &str) -> io::Result<Self> {
        if let Some(path) = address.strip_prefix("unix:") {
            return UnixStream::connect(path).map(Stream::Unix);
        }
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Stream::Tcp(stream))
    }

    /// Puts TLS over TCP; the handshake happens with the first bytes.
    pub(crate) fn encrypt(self, config: Arc<ClientConfig>) -> Self {
        let Stream::Tcp(tcp) = self else { panic!("TLS goes over TCP") };
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(config, name).expect("a TLS client");
        Stream::Tls(Box::new(StreamOwned::new(client, tcp)))
    }

    pub(crate) fn set_read_timeout(&self, timeout: Duration) {
        let timeout = Some(timeout);
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(timeout),
            Stream::Unix(stream) => stream.set_read_timeout(timeout),
            Stream::Tls(stream) => stream.sock.set_read_timeout(timeout),
        }
        .expect("a read timeout");
    }

    pub(crate) fn set_write_timeout(&self, timeout: Duration) {
        let timeout = Some(timeout);
        match self {
            Stream::Tcp(stream) => stream.set_write_timeout(timeout),
            Stream::Unix(stream) => stream.set_write_timeout(timeout),
            Stream::Tls(stream) => stream.sock.set_write_timeout(timeout),
        }
        .expect("a write timeout");
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end(&mut self) {
        // The other side may have closed first.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()
            }
        };
    }

    /// The certificate that the server has shown.
    pub(crate) fn certificate(&self) -> Option<Vec<u8>> {
        let Stream::Tls(stream) = self else { return None };
        stream.conn.peer_certificates().and_then(|chain| chain.first()).map(|one| one.to_vec())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.flush(),
            Stream::Unix(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}
