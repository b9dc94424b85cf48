//! Listeners: TCP and Unix sockets, and what to do when accepting fails.
//!
//! The acceptor accepts for all workers. A connection leaves the acceptor's runtime at once and is registered with
//! that of the worker which [`Accepted::register`] is called on, where it lives.

use super::{PeerAddress, SocketOptions, Stream, canonical};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Who may connect to a Unix socket unless told otherwise: the user that runs the node.
const UNIX_MODE: u32 = 0o600;

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindAddress {
    /// `host:port`; the host is an IPv4 address, an IPv6 address in brackets or a name, and port 0 lets the system
    /// choose. `[::]` takes IPv4 connections as well.
    Tcp {
        /// The host, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix:path`.
    Unix {
        /// The socket's file.
        path: PathBuf,
        /// The file's permissions; 0600 unless changed.
        mode: u32,
    },
}

/// Text that is not a [`BindAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address to listen on: write HOST:PORT, [IPV6]:PORT or unix:PATH")]
pub struct BindAddressError(String);

impl BindAddress {
    /// Parses `host:port`, `[ipv6]:port` or `unix:path`.
    pub fn parse(text: &str) -> Result<BindAddress, BindAddressError> {
        let parsed = match text.strip_prefix("unix:") {
            Some("") => None,
            Some(path) => Some(BindAddress::Unix { path: PathBuf::from(path), mode: UNIX_MODE }),
            None => parse_tcp(text),
        };
        parsed.ok_or_else(|| BindAddressError(text.to_owned()))
    }
}

fn parse_tcp(text: &str) -> Option<BindAddress> {
    let (host, port) = text.rsplit_once(':')?;
    let unbracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = match unbracketed {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().ok().map(|_| inner)?,
        None if host.is_empty() || host.contains([':', '[', ']', '/', ' ']) => return None,
        None => host,
    };
    let port = Some(port).filter(|digits| digits.bytes().all(|one| one.is_ascii_digit()))?.parse().ok()?;
    Some(BindAddress::Tcp { host: host.to_owned(), port })
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindAddress::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            BindAddress::Tcp { host, port } => write!(f, "{host}:{port}"),
            BindAddress::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The host name has no address.
    #[error("cannot resolve the host of {address}; write an IP address or correct the name")]
    Resolve {
        /// What was to be bound.
        address: BindAddress,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// The operating system refused.
    #[error("cannot listen on {address}")]
    Socket {
        /// What was to be bound.
        address: BindAddress,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Somebody listens there already.
    #[error("cannot listen on {0}: somebody does already; stop that process or choose another address")]
    InUse(BindAddress),
    /// The path is taken by something that is not a socket, which is not deleted.
    #[error("cannot listen on {0}: the path exists and is not a socket; remove it or choose another path")]
    NotASocket(BindAddress),
}

/// An open listener. Dropping it closes it and removes a Unix socket's file.
#[derive(Debug)]
pub struct Listener {
    socket: ListeningSocket,
    bound: BindAddress,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: UnixSocketFile },
}

impl Listener {
    /// Opens a listener, registered with the current runtime.
    pub async fn bind(address: &BindAddress) -> Result<Listener, BindError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address.clone()),
            _ => BindError::Socket { address: address.clone(), source },
        };
        match address {
            BindAddress::Tcp { host, port } => {
                let resolved = resolve(address, host, *port).await?;
                Listener::bind_tcp(resolved).map_err(failed)
            }
            BindAddress::Unix { path, mode } => {
                remove_stale(address, path)?;
                let socket = bind_unix(path, *mode).map_err(failed)?;
                Ok(Listener { socket, bound: address.clone() })
            }
        }
    }

    fn bind_tcp(address: SocketAddr) -> io::Result<Listener> {
        let listener = TcpListener::from_std(tcp_socket(address)?.into())?;
        let local = listener.local_addr()?;
        let bound = BindAddress::Tcp { host: local.ip().to_string(), port: local.port() };
        Ok(Listener { socket: ListeningSocket::Tcp(listener), bound })
    }

    /// What the listener is bound to, with the port that the system chose.
    pub fn address(&self) -> &BindAddress {
        &self.bound
    }

    /// The next connection. It may be dropped and called again. On an error ask [`AcceptBackoff`].
    pub async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted::Tcp(stream.into_std()?, canonical(peer)))
            }
            ListeningSocket::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted::Unix(stream.into_std()?))
            }
        }
    }
}

async fn resolve(address: &BindAddress, host: &str, port: u16) -> Result<SocketAddr, BindError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let found = tokio::net::lookup_host((host, port)).await.and_then(|mut all| {
        all.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
    });
    found.map_err(|source| BindError::Resolve { address: address.clone(), source })
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for the old connections' TIME_WAIT. Two listeners on one port stay impossible.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Between binding and listening nobody can connect, so nobody slips in before the permissions are set.
fn bind_unix(path: &Path, mode: u32) -> io::Result<ListeningSocket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = UnixSocketFile::new(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(ListeningSocket::Unix { listener: UnixListener::from_std(socket.into())?, _file: file })
}

/// Removes the file of a listener that is gone; anything else stays.
fn remove_stale(address: &BindAddress, path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Socket { address: address.clone(), source };
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        outcome => outcome.map_err(failed)?,
    };
    if !metadata.file_type().is_socket() {
        return Err(BindError::NotASocket(address.clone()));
    }
    match probe(path) {
        // WouldBlock: somebody listens, and the backlog is full.
        Ok(()) => Err(BindError::InUse(address.clone())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(BindError::InUse(address.clone())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

fn probe(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// The file of our own Unix socket, removed on drop unless another file took its place.
#[derive(Debug)]
struct UnixSocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl UnixSocketFile {
    fn new(path: &Path) -> io::Result<UnixSocketFile> {
        Ok(UnixSocketFile { path: std::path::absolute(path)?, identity: identity(path)? })
    }
}

impl Drop for UnixSocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Nobody is left to tell; a stale file is replaced at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// An accepted connection that no runtime knows yet.
#[derive(Debug)]
pub enum Accepted {
    /// Over TCP, with the other end's address.
    Tcp(std::net::TcpStream, SocketAddr),
    /// Over a Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// The other end.
    pub fn peer(&self) -> PeerAddress {
        match self {
            Accepted::Tcp(_, peer) => PeerAddress::Ip(*peer),
            Accepted::Unix(_) => PeerAddress::Unix,
        }
    }

    /// Sets the options and registers the connection with the current runtime. An error concerns this connection
    /// alone: the peer may already be gone.
    pub fn register(self, options: &SocketOptions) -> io::Result<Stream> {
        match self {
            Accepted::Tcp(stream, _) => {
                options.apply(SockRef::from(&stream))?;
                TcpStream::from_std(stream).map(Stream::Tcp)
            }
            Accepted::Unix(stream) => UnixStream::from_std(stream).map(Stream::Unix),
        }
    }
}

/// What an accept loop does after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptVerdict {
    /// That connection is lost; accept the next one at once.
    Continue,
    /// The process or the system has run out of descriptors or memory; wait, then accept again.
    Wait(Duration),
    /// The listener itself is broken.
    Stop,
}

/// Judges the errors of one accept loop. Waits double up to a second, so that a full process neither spins nor
/// sleeps on when descriptors are free again.
#[derive(Debug, Default)]
pub struct AcceptBackoff {
    last: Duration,
}

impl AcceptBackoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    /// A connection was accepted: the next wait begins small again.
    pub fn succeeded(&mut self) {
        self.last = Duration::ZERO;
    }

    /// What to do after `error`. The pending errors of a new connection, which `accept(2)` reports as its own, do
    /// not concern the listener.
    pub fn judge(&mut self, error: &io::Error) -> AcceptVerdict {
        // The numbers are the same on every Unix: EBADF, EINVAL, ENFILE, EMFILE. They have no `ErrorKind` of their own.
        match (error.raw_os_error(), error.kind()) {
            (Some(9 | 22), _) => AcceptVerdict::Stop,
            (Some(23 | 24), _) | (_, io::ErrorKind::OutOfMemory) => self.wait(),
            // ENOBUFS, on Linux and on BSD.
            #[cfg(target_os = "linux")]
            (Some(105), _) => self.wait(),
            #[cfg(not(target_os = "linux"))]
            (Some(55), _) => self.wait(),
            (Some(_), _) => AcceptVerdict::Continue,
            // Not from the system: the runtime is shutting down.
            (None, _) => AcceptVerdict::Stop,
        }
    }

    fn wait(&mut self) -> AcceptVerdict {
        self.last = (self.last * 2).clamp(Self::FIRST, Self::LONGEST);
        AcceptVerdict::Wait(self.last)
    }
}
