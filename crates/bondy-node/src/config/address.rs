//! Where a listener listens.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use super::problem::Complaint;

/// The longest path of a Unix socket, in bytes, that every supported system takes.
const UNIX_PATH_BYTES_MAX: usize = 103;

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bind {
    /// A TCP port. The host is an address or a name; port 0 lets the system choose.
    Tcp {
        /// An IP address without brackets, or a host name.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix {
        /// Its path.
        path: PathBuf,
    },
}

impl Bind {
    /// Reads `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`.
    pub(crate) fn parse(text: &str) -> Result<Self, Complaint> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Bind::parse_unix(path);
        }
        if text.parse::<u16>().is_ok() {
            return Err(not_a_bind(text).help(format!("did you mean `127.0.0.1:{text}`?")));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| {
            not_a_bind(text).help(format!("a port is missing; did you mean `{}:18080`?", text.escape_debug()))
        })?;
        let Ok(port) = port.parse() else {
            return Err(not_a_bind(text).help("the port is a number from 0 to 65535"));
        };
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match bracketed {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => {
                Ok(Bind::Tcp { host: inner.to_owned(), port })
            }
            Some(_) => Err(not_a_bind(text).help("brackets hold an IPv6 address, as in `[::1]:18080`")),
            None if host.contains(':') => {
                Err(not_a_bind(text).help(format!("did you mean `[{}]:{port}`?", host.escape_debug())))
            }
            None if host.is_empty() || host == "*" => {
                Err(not_a_bind(text)
                    .help(format!("for every address write `0.0.0.0:{port}` or `[::]:{port}`")))
            }
            None if !is_host(host) => Err(not_a_bind(text).help("the host is an IP address or a name")),
            None => Ok(Bind::Tcp { host: host.to_owned(), port }),
        }
    }

    fn parse_unix(path: &str) -> Result<Self, Complaint> {
        if path.is_empty() || path.contains('\0') {
            return Err(Complaint::new("expected a path after `unix:`").help("as in `unix:./bondy.sock`"));
        }
        if path.len() > UNIX_PATH_BYTES_MAX {
            let what = format!("the path of the socket has {} bytes", path.len());
            return Err(Complaint::new(what).help(format!("the system takes at most {UNIX_PATH_BYTES_MAX}")));
        }
        Ok(Bind::Unix { path: PathBuf::from(path) })
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp { host, port } if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Bind::Tcp { host, port } => write!(formatter, "{host}:{port}"),
            Bind::Unix { path } => write!(formatter, "unix:{}", path.display()),
        }
    }
}

fn not_a_bind(text: &str) -> Complaint {
    let text: String = text.chars().take(60).collect();
    Complaint::new(format!("expected `HOST:PORT` or `unix:PATH`, found `{}`", text.escape_debug()))
}

/// Letters, digits, dots, hyphens and underscores; four numbers only if they make an address.
fn is_host(host: &str) -> bool {
    let is_name = host.len() <= 253
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    let is_numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_name && (!is_numeric || host.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_they_were_written() {
        for text in ["127.0.0.1:18080", "[::1]:0", "localhost:80", "0.0.0.0:65535", "unix:./bondy.sock"] {
            assert_eq!(Bind::parse(text).map(|bind| bind.to_string()), Ok(text.to_owned()));
        }
        for wrong in
            ["", ":", "18080", ":80", "*:80", "::1:80", "[::1]", "[x]:1", "a b:1", "h:65536", "1.2.3:4"]
        {
            assert!(Bind::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(Bind::parse("unix:").is_err());
        assert!(Bind::parse(&format!("unix:/{}", "x".repeat(200))).is_err());
    }
}
