//! Where a server listens, as a URL says it.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is spoken at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// WAMP over rawsocket.
    RawSocket,
    /// WAMP over WebSocket.
    WebSocket,
    /// The text protocol of NATS, to set its figures beside those of WAMP.
    Nats,
}

impl Transport {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Transport::RawSocket => "rawsocket",
            Transport::WebSocket => "websocket",
            Transport::Nats => "nats",
        }
    }
}

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// What is spoken there.
    pub transport: Transport,
    /// Whether TLS is below it.
    pub tls: bool,
    /// Where it is.
    pub place: Place,
    /// The path of a WebSocket endpoint, with its query.
    pub path: String,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A host, by name or address, and a port.
    Host(String, u16),
    /// A Unix socket.
    File(PathBuf),
}

/// An address that a socket can connect to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

const FORMS: &str = "write ws://HOST:PORT/PATH or wss:// for WebSocket, rs://HOST:PORT or rss:// for rawsocket, \
                     unix:PATH for rawsocket over a Unix socket, nats://HOST:PORT for NATS";

impl Endpoint {
    /// Reads a URL; `tcp://` and `tcps://` mean `rs://` and `rss://`.
    pub fn parse(url: &str) -> Result<Endpoint, String> {
        if let Some(path) = url.strip_prefix("unix:") {
            // `unix:///path` is the same file as `unix:/path`.
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(format!("`{url}` names no file: {FORMS}"));
            }
            let place = Place::File(PathBuf::from(path));
            return Ok(Endpoint { transport: Transport::RawSocket, tls: false, place, path: String::new() });
        }
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| format!("`{url}` has no scheme: {FORMS}"))?;
        let (transport, tls, port) = match scheme {
            "ws" => (Transport::WebSocket, false, Some(80)),
            "wss" => (Transport::WebSocket, true, Some(443)),
            "rs" | "tcp" => (Transport::RawSocket, false, None),
            "rss" | "tcps" => (Transport::RawSocket, true, None),
            "nats" => (Transport::Nats, false, Some(4222)),
            _ => return Err(format!("`{scheme}` in `{url}` is no scheme of a router: {FORMS}")),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = host_and_port(authority, port).map_err(|error| format!("`{url}` {error}"))?;
        Ok(Endpoint { transport, tls, place: Place::Host(host, port), path: format!("/{path}") })
    }

    /// The first of the endpoint's addresses at which a server accepts a connection.
    pub fn reach(&self) -> Result<Address, Failure> {
        let unreachable = |error: &io::Error| Failure::absent(format!("cannot connect to {self}: {error}"));
        let addresses = match &self.place {
            Place::File(path) => vec![Address::Unix(path.clone())],
            Place::Host(host, port) => match (host.as_str(), *port).to_socket_addrs() {
                Ok(addresses) => addresses.map(Address::Tcp).collect(),
                Err(error) => return Err(unreachable(&error)),
            },
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in addresses {
            match address.connect(None) {
                Ok(_) => return Ok(address),
                Err(error) => last = error,
            }
        }
        Err(unreachable(&last))
    }

    /// The host as the `Host` header and TLS have it.
    pub fn host(&self) -> &str {
        match &self.place {
            Place::Host(host, _) => host,
            Place::File(_) => "localhost",
        }
    }
}

/// Splits `HOST:PORT`, where an IPv6 address stands in brackets.
fn host_and_port(authority: &str, default: Option<u16>) -> Result<(String, u16), String> {
    let authority = match authority.rsplit_once('@') {
        Some(_) => return Err("has a user in it, and no benchmark signs in".to_owned()),
        None => authority,
    };
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err("has no host".to_owned());
    }
    let port = match (port, default) {
        (Some(port), _) => port.parse().map_err(|_| format!("has `{port}` for a port"))?,
        (None, Some(port)) => port,
        (None, None) => return Err("has no port, and rawsocket has none by default".to_owned()),
    };
    Ok((host.to_owned(), port))
}

impl Address {
    /// A connected, blocking socket. `source` is the local address to bind, for runs with more connections than one
    /// source address has ports.
    pub fn connect(&self, source: Option<Ipv4Addr>) -> io::Result<Socket> {
        match self {
            Address::Tcp(address) => {
                let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
                if let Some(source) = source {
                    socket.bind(&SocketAddr::from((source, 0)).into())?;
                }
                socket.connect_timeout(&(*address).into(), CONNECT_TIMEOUT)?;
                socket.set_tcp_nodelay(true)?;
                Ok(socket)
            }
            Address::Unix(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                socket.connect(&SockAddr::unix(path)?)?;
                Ok(socket)
            }
        }
    }

    /// Whether the server is on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Address::Unix(_) => true,
        }
    }

    /// Whether it is one of the IPv4 loopback addresses, of which there are many to connect from.
    pub fn is_ipv4_loopback(&self) -> bool {
        matches!(self, Address::Tcp(address) if matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.transport, self.tls) {
            (Transport::WebSocket, false) => "ws",
            (Transport::WebSocket, true) => "wss",
            (Transport::RawSocket, false) => "rs",
            (Transport::RawSocket, true) => "rss",
            (Transport::Nats, _) => "nats",
        };
        match &self.place {
            Place::File(path) => write!(formatter, "unix:{}", path.display()),
            Place::Host(host, port) if host.contains(':') => write!(formatter, "{scheme}://[{host}]:{port}"),
            Place::Host(host, port) => write!(formatter, "{scheme}://{host}:{port}"),
        }?;
        match self.transport {
            Transport::WebSocket => formatter.write_str(&self.path),
            Transport::RawSocket | Transport::Nats => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_every_kind_are_read_and_written_again() {
        for url in [
            "ws://127.0.0.1:18080/ws",
            "wss://router.example:443/a/b?c=d",
            "rs://[::1]:18082",
            "rss://localhost:18084",
            "unix:./bondy.sock",
            "unix:/run/bondy.sock",
            "nats://127.0.0.1:4222",
        ] {
            assert_eq!(Endpoint::parse(url).expect(url).to_string(), url);
        }
        assert_eq!(Endpoint::parse("tcp://a:1"), Endpoint::parse("rs://a:1"));
        assert_eq!(Endpoint::parse("ws://a").expect("a port by default").to_string(), "ws://a:80/");
    }

    #[test]
    fn what_is_no_url_of_a_router_says_why() {
        for (url, reason) in [
            ("http://127.0.0.1:8080", "`http`"),
            ("127.0.0.1:8080", "no scheme"),
            ("rs://127.0.0.1", "no port"),
            ("ws://:80", "no host"),
            ("ws://a:port", "`port`"),
            ("ws://me:secret@a:80", "signs in"),
            ("unix:", "no file"),
        ] {
            let error = Endpoint::parse(url).expect_err(url);
            assert!(error.contains(reason), "{error}");
        }
    }
}
