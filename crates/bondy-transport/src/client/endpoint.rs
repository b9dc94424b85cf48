//! Where a router is reached: a URL, parsed once.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

/// A longer URL is some mistake; no server takes a longer request line.
const URL_BYTES_MAX: usize = 8 * 1024;

/// A router's address and the protocol that is spoken there.
///
/// | URL | Transport |
/// |---|---|
/// | `ws://host[:port]/path?query`, `wss://...` | WebSocket, without and with TLS; ports 80 and 443 unless given |
/// | `rs://host:port` (also `tcp://`), `rss://host:port` (also `tcps://`) | rawsocket over TCP, without and with TLS |
/// | `unix:/path`, `unix:./path` | rawsocket over a Unix socket |
///
/// Its text is the URL in the first of these spellings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub(super) place: Place,
    pub(super) protocol: Protocol,
}

/// Where the socket leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// The host has no brackets.
    Tcp {
        host: String,
        port: u16,
        is_tls: bool,
    },
    Unix(PathBuf),
}

/// What is spoken over the socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    /// With the path and query that are asked for.
    WebSocket {
        target: String,
    },
    RawSocket,
}

/// Text that is no URL of a router.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is no URL of a router: {problem}")]
pub struct EndpointError {
    /// The URL; what stands before an `@` is left out, for it may be secret.
    pub url: String,
    /// What is wrong with it.
    pub problem: EndpointProblem,
}

/// What is wrong with a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointProblem {
    /// It is longer than any real one.
    #[error("it is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// It contains white space, control characters or something beyond ASCII.
    #[error("{0:?} may not stand in a URL; write it percent-encoded, a host in its ASCII form")]
    Character(char),
    /// There is no scheme, or no known one.
    #[error("it must begin with ws://, wss://, rs://, rss:// or unix:")]
    Scheme,
    /// It names a user.
    #[error("a user name has no place in it; give the authid and the secret apart")]
    UserInfo,
    /// It has a fragment, which is never sent (RFC 6455, section 3).
    #[error("it may not have a fragment (`#`)")]
    Fragment,
    /// There is no host.
    #[error("it names no host")]
    NoHost,
    /// The host is no name and no address.
    #[error("{0:?} is neither the name of a host nor an address; an IPv6 address stands in brackets")]
    Host(String),
    /// The port is no number from 1 to 65535.
    #[error("{0:?} is no port; write a number from 1 to 65535")]
    Port(String),
    /// Rawsocket has no port of its own.
    #[error("it needs a port: rawsocket has no default")]
    NoPort,
    /// Rawsocket knows no paths.
    #[error("rawsocket has no path; only ws:// and wss:// do")]
    Path,
    /// There is no path to a Unix socket.
    #[error("it names no file; write unix:/path or unix:./path")]
    NoFile,
    /// The system cannot address the file.
    #[error("the path of {0} bytes is too long for a Unix socket; use a shorter or a relative one")]
    FileTooLong(usize),
}

impl Endpoint {
    /// Parses a URL.
    ///
    /// # Errors
    /// If it is none of the forms above; the error says what to write instead.
    pub fn parse(url: &str) -> Result<Endpoint, EndpointError> {
        parse(url).map_err(|problem| EndpointError { url: printable(url), problem })
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        match self.place {
            Place::Tcp { is_tls, .. } => is_tls,
            Place::Unix(_) => false,
        }
    }

    /// The URL without its query, which may hold a secret: for logs and errors.
    pub fn without_query(&self) -> String {
        let text = self.to_string();
        match (&self.protocol, text.split_once('?')) {
            (Protocol::WebSocket { .. }, Some((before, _))) => before.to_owned(),
            (Protocol::WebSocket { .. } | Protocol::RawSocket, _) => text,
        }
    }

    /// What stands in the `Host` header: the port only where it is not the scheme's own (RFC 9110, 7.2).
    pub(super) fn host_header(&self) -> String {
        match &self.place {
            Place::Tcp { host, port, is_tls } if *port == default_port(*is_tls) => bracketed(host),
            Place::Tcp { host, port, .. } => format!("{}:{port}", bracketed(host)),
            Place::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port, is_tls) = match &self.place {
            Place::Tcp { host, port, is_tls } => (bracketed(host), *port, *is_tls),
            Place::Unix(path) => return write!(f, "unix:{}", path.display()),
        };
        match (&self.protocol, is_tls) {
            (Protocol::RawSocket, false) => write!(f, "rs://{host}:{port}"),
            (Protocol::RawSocket, true) => write!(f, "rss://{host}:{port}"),
            (Protocol::WebSocket { target }, _) => {
                let scheme = if is_tls { "wss" } else { "ws" };
                write!(f, "{scheme}://{host}")?;
                if port != default_port(is_tls) {
                    write!(f, ":{port}")?;
                }
                f.write_str(target)
            }
        }
    }
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Endpoint, EndpointError> {
        Endpoint::parse(url)
    }
}

const fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// The URL for an error: short, and without what may be a password.
fn printable(url: &str) -> String {
    const SHOWN_BYTES_MAX: usize = 200;
    let start = url.find("://").map_or(0, |at| at + 3);
    let authority_end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let shown = match url[start..authority_end].rfind('@') {
        Some(at) => format!("{}...{}", &url[..start], &url[start + at..]),
        None => url.to_owned(),
    };
    match shown.floor_char_boundary(SHOWN_BYTES_MAX) {
        end if end < shown.len() => format!("{}...", &shown[..end]),
        _ => shown,
    }
}

fn parse(url: &str) -> Result<Endpoint, EndpointProblem> {
    if url.len() > URL_BYTES_MAX {
        return Err(EndpointProblem::TooLong);
    }
    if let Some(path) = strip_scheme(url, "unix:") {
        return Ok(Endpoint { place: parse_file(path)?, protocol: Protocol::RawSocket });
    }
    if let Some(odd) = url.chars().find(|one| !one.is_ascii_graphic()) {
        return Err(EndpointProblem::Character(odd));
    }
    const SCHEMES: [(&str, bool, bool); 6] = [
        ("ws://", true, false),
        ("wss://", true, true),
        ("rs://", false, false),
        ("tcp://", false, false),
        ("rss://", false, true),
        ("tcps://", false, true),
    ];
    let known = SCHEMES.iter().find_map(|(scheme, is_websocket, is_tls)| {
        strip_scheme(url, scheme).map(|rest| (rest, *is_websocket, *is_tls))
    });
    let (rest, is_websocket, is_tls) = known.ok_or(EndpointProblem::Scheme)?;
    if rest.contains('#') {
        return Err(EndpointProblem::Fragment);
    }
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (host, port) = parse_authority(authority)?;
    let (port, protocol) = match is_websocket {
        true => (port.unwrap_or(default_port(is_tls)), Protocol::WebSocket { target: absolute(target) }),
        false if !matches!(target, "" | "/") => return Err(EndpointProblem::Path),
        false => (port.ok_or(EndpointProblem::NoPort)?, Protocol::RawSocket),
    };
    Ok(Endpoint { place: Place::Tcp { host, port, is_tls }, protocol })
}

/// Schemes are compared without regard to case (RFC 3986, 3.1).
fn strip_scheme<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let start = url.get(..scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then(|| &url[scheme.len()..])
}

/// An empty path is `/` (RFC 6455, section 3).
fn absolute(target: &str) -> String {
    if target.starts_with('/') { target.to_owned() } else { format!("/{target}") }
}

fn parse_file(path: &str) -> Result<Place, EndpointProblem> {
    // `unix:///run/x` has an empty authority; with another one it is not clear what is meant.
    let path = match path.strip_prefix("//") {
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) => return Err(EndpointProblem::NoFile),
        None => path,
    };
    if path.is_empty() {
        return Err(EndpointProblem::NoFile);
    }
    if path.contains('\0') {
        return Err(EndpointProblem::Character('\0'));
    }
    match std::os::unix::net::SocketAddr::from_pathname(Path::new(path)) {
        Ok(_) => Ok(Place::Unix(PathBuf::from(path))),
        Err(_) => Err(EndpointProblem::FileTooLong(path.len())),
    }
}

fn parse_authority(authority: &str) -> Result<(String, Option<u16>), EndpointProblem> {
    if authority.contains('@') {
        return Err(EndpointProblem::UserInfo);
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) =
                rest.split_once(']').ok_or_else(|| EndpointProblem::Host(authority.to_owned()))?;
            host.parse::<Ipv6Addr>().map_err(|_| EndpointProblem::Host(host.to_owned()))?;
            (host, port)
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            if host.is_empty() {
                return Err(EndpointProblem::NoHost);
            }
            if port.matches(':').count() > 1 || !is_name(host) {
                return Err(EndpointProblem::Host(authority.to_owned()));
            }
            (host, port)
        }
    };
    Ok((host.to_ascii_lowercase(), parse_port(port)?))
}

fn is_name(host: &str) -> bool {
    host.len() <= 253
        && host.bytes().all(|one| one.is_ascii_alphanumeric() || matches!(one, b'-' | b'.' | b'_'))
}

/// The port behind a colon; none where nothing stands.
fn parse_port(port: &str) -> Result<Option<u16>, EndpointProblem> {
    if port.is_empty() {
        return Ok(None);
    }
    let digits = port.strip_prefix(':').filter(|digits| digits.bytes().all(|one| one.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse::<u16>().ok()).filter(|number| *number > 0);
    number.map(Some).ok_or_else(|| EndpointProblem::Port(port.trim_start_matches(':').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str) -> EndpointProblem {
        Endpoint::parse(url).unwrap_err().problem
    }

    #[test]
    fn text_of_an_endpoint_is_its_url() {
        let cases = [
            ("ws://localhost", "ws://localhost/"),
            ("ws://localhost:80/ws", "ws://localhost/ws"),
            ("WSS://Example.COM:443?a=b/c", "wss://example.com/?a=b/c"),
            ("wss://127.0.0.1:18083/ws?x=%20#".trim_end_matches('#'), "wss://127.0.0.1:18083/ws?x=%20"),
            ("ws://[::1]:18080/ws", "ws://[::1]:18080/ws"),
            ("rs://localhost:18082", "rs://localhost:18082"),
            ("tcp://localhost:18082/", "rs://localhost:18082"),
            ("tcps://[fe80::1]:1", "rss://[fe80::1]:1"),
            ("rss://a_b-c.d:65535", "rss://a_b-c.d:65535"),
            ("unix:/run/bondy.sock", "unix:/run/bondy.sock"),
            ("unix:///run/bondy.sock", "unix:/run/bondy.sock"),
            ("unix:./a b.sock", "unix:./a b.sock"),
        ];
        for (url, text) in cases {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(endpoint.to_string(), text, "{url}");
            assert_eq!(text.parse(), Ok(endpoint), "{url}");
        }
    }

    #[test]
    fn every_bad_url_is_told_what_is_wrong_with_it() {
        let cases = [
            ("", EndpointProblem::Scheme),
            ("localhost:8080", EndpointProblem::Scheme),
            ("http://localhost/ws", EndpointProblem::Scheme),
            ("ws:/localhost", EndpointProblem::Scheme),
            ("ws://", EndpointProblem::NoHost),
            ("ws://:80/", EndpointProblem::NoHost),
            ("ws://a b/", EndpointProblem::Character(' ')),
            ("ws://a/\u{e4}", EndpointProblem::Character('\u{e4}')),
            ("ws://a/\r\nX: y", EndpointProblem::Character('\r')),
            ("ws://joe:secret@a/", EndpointProblem::UserInfo),
            ("ws://a/#top", EndpointProblem::Fragment),
            ("ws://a:0/", EndpointProblem::Port("0".to_owned())),
            ("ws://a:65536/", EndpointProblem::Port("65536".to_owned())),
            ("ws://a:/", EndpointProblem::Port(String::new())),
            ("ws://a:+1/", EndpointProblem::Port("+1".to_owned())),
            ("ws://::1/", EndpointProblem::NoHost),
            ("ws://fe80::1/", EndpointProblem::Host("fe80::1".to_owned())),
            ("ws://[::1/", EndpointProblem::Host("[::1".to_owned())),
            ("ws://[localhost]/", EndpointProblem::Host("localhost".to_owned())),
            ("ws://[::1]x/", EndpointProblem::Port("x".to_owned())),
            ("ws://a%41/", EndpointProblem::Host("a%41".to_owned())),
            ("rs://a", EndpointProblem::NoPort),
            ("rs://a:1/ws", EndpointProblem::Path),
            ("rs://a:1?x", EndpointProblem::Path),
            ("unix:", EndpointProblem::NoFile),
            ("unix://host/path", EndpointProblem::NoFile),
            ("unix:/a\0b", EndpointProblem::Character('\0')),
        ];
        for (url, expected) in cases {
            assert_eq!(problem(url), expected, "{url}");
        }
        assert_eq!(problem(&format!("unix:/{}", "x".repeat(200))), EndpointProblem::FileTooLong(201));
        assert_eq!(problem(&format!("ws://a/{}", "x".repeat(9000))), EndpointProblem::TooLong);
    }

    #[test]
    fn errors_show_no_password_and_no_endless_url() {
        let error = Endpoint::parse("ws://joe:hunter2@host/path").unwrap_err().to_string();
        assert!(error.contains("ws://...@host/path") && !error.contains("hunter2"), "{error}");
        let error = Endpoint::parse(&format!("ws://a/{}", "x".repeat(9000))).unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
    }

    #[test]
    fn query_is_left_out_where_a_url_is_shown() {
        let endpoint = Endpoint::parse("ws://a/ws?token=1").unwrap();
        assert_eq!(endpoint.without_query(), "ws://a/ws");
        assert_eq!(Endpoint::parse("unix:/a?b").unwrap().without_query(), "unix:/a?b");
    }

    #[test]
    fn host_header_names_the_port_only_where_it_is_not_the_default() {
        for (url, header) in [("ws://a", "a"), ("ws://a:443", "a:443"), ("wss://[::1]:1", "[::1]:1")] {
            assert_eq!(Endpoint::parse(url).unwrap().host_header(), header);
        }
    }
}
