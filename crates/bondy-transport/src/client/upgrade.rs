//! The opening handshake of a WebSocket, seen from the client (RFC 6455, section 4.1), without I/O.

use super::answer::{Head, HeadError, is_token, printable};
use crate::websocket::handshake::accept_key;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bondy_wamp::serializer::Serializer;

/// More of a refusal's body is not read, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 1024;

/// All headers of a user's together, in bytes; servers rarely take more.
const HEADERS_BYTES_MAX: usize = 8 * 1024;

/// Headers that are the handshake's own.
const OWN_HEADERS: [&str; 8] = [
    "connection",
    "content-length",
    "host",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "upgrade",
];

/// A header that cannot be sent with the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The name has characters that may not be there, or none.
    #[error("{0:?} is no name of an HTTP header")]
    Name(String),
    /// The value has a control character or something beyond ASCII. It may be secret, so it is not shown.
    #[error("the value of the HTTP header {0} has a character that may not be there")]
    Value(String),
    /// The handshake sets it.
    #[error("the HTTP header {0} cannot be set: it is part of the WebSocket handshake")]
    Own(String),
    /// All together are too much.
    #[error("the HTTP headers are longer than {HEADERS_BYTES_MAX} bytes together")]
    TooLong,
}

/// An answer that is no upgrade to the WebSocket that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// It is not HTTP as it should be.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The answer 101 is HTTP/1.0's, which has no upgrades.
    #[error("the answer 101 is not HTTP/1.1")]
    Version,
    /// `Upgrade` lacks `websocket`, or `Connection` lacks `upgrade`.
    #[error("the answer 101 does not say that it upgrades to a WebSocket")]
    NotWebSocket,
    /// `Sec-WebSocket-Accept` proves that somebody answered who does not know the question.
    #[error("the answer's Sec-WebSocket-Accept is missing or wrong; is a proxy or a cache in between?")]
    AcceptKey,
    /// `Sec-WebSocket-Protocol` is missing or repeated.
    #[error("the server chose no subprotocol; is there a WAMP router at this path?")]
    NoSubprotocol,
    /// The subprotocol was not offered.
    #[error("the server chose the subprotocol {0:?}, which was not offered")]
    Subprotocol(String),
    /// The extension was not offered.
    #[error("the server uses the WebSocket extension {0:?}, which was not offered")]
    Extension(String),
}

/// An answer with another status than 101. `body` may still be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The text behind the status.
    pub reason: String,
    /// Where a redirection leads.
    pub location: Option<String>,
    /// How long the body is, where that is said.
    pub body_bytes: Option<u64>,
    /// Whether the body comes in chunks (RFC 9112, 7.1).
    pub is_chunked: bool,
}

/// What the server has answered so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The end of the head is missing.
    Incomplete,
    /// The WebSocket is open.
    Upgraded {
        /// What the chosen subprotocol stands for.
        serializer: Serializer,
        /// What follows is the first frame.
        head_bytes: usize,
    },
    /// The server does not want to.
    Refused {
        /// What it says.
        refusal: Refusal,
        /// What follows is the body.
        head_bytes: usize,
    },
}

/// One request, and the judgement of its answer.
#[derive(Clone, Debug)]
pub struct Upgrade {
    request: Vec<u8>,
    accept_key: String,
    offered: Vec<Serializer>,
}

impl Upgrade {
    /// A request to `host` (with the port where it is not the default) for `target` (path and query), which are not
    /// checked here. `serializers` are offered in this order; `nonce` must be random.
    ///
    /// # Errors
    /// If one of `headers` cannot be sent.
    pub fn new(
        host: &str,
        target: &str,
        serializers: &[Serializer],
        headers: &[(String, String)],
        nonce: [u8; 16],
    ) -> Result<Upgrade, HeaderError> {
        check_headers(headers)?;
        let key = BASE64.encode(nonce);
        let offered: Vec<&str> = serializers.iter().copied().map(subprotocol).collect();
        let mut request = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {}\r\n",
            offered.join(", "),
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let accept_key = accept_key(&key);
        Ok(Upgrade { request: request.into_bytes(), accept_key, offered: serializers.to_vec() })
    }

    /// What to send.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Judges all bytes that the server has sent so far.
    ///
    /// # Errors
    /// As soon as they cannot become an answer to this request.
    pub fn conclude(&self, received: &[u8]) -> Result<Answer, UpgradeError> {
        let Some(head) = Head::parse(received)? else { return Ok(Answer::Incomplete) };
        let head_bytes = head.bytes;
        if head.status != 101 {
            return Ok(Answer::Refused { refusal: refusal(&head), head_bytes });
        }
        if !head.is_http_1_1 {
            return Err(UpgradeError::Version);
        }
        if !head.has_token("upgrade", "websocket") || !head.has_token("connection", "upgrade") {
            return Err(UpgradeError::NotWebSocket);
        }
        if !head.values("sec-websocket-accept").eq([self.accept_key.as_str()]) {
            return Err(UpgradeError::AcceptKey);
        }
        if let Some(extension) = head.values("sec-websocket-extensions").next() {
            return Err(UpgradeError::Extension(printable(extension.as_bytes())));
        }
        Ok(Answer::Upgraded { serializer: self.chosen(&head)?, head_bytes })
    }

    fn chosen(&self, head: &Head<'_>) -> Result<Serializer, UpgradeError> {
        let mut values = head.values("sec-websocket-protocol");
        let (Some(chosen), None) = (values.next(), values.next()) else {
            return Err(UpgradeError::NoSubprotocol);
        };
        let offered = self.offered.iter().copied().find(|one| subprotocol(*one) == chosen);
        offered.ok_or_else(|| UpgradeError::Subprotocol(printable(chosen.as_bytes())))
    }
}

fn refusal(head: &Head<'_>) -> Refusal {
    let body_bytes = head.values("content-length").next().and_then(|digits| digits.parse().ok());
    Refusal {
        status: head.status,
        reason: head.reason.to_owned(),
        location: head.values("location").next().map(str::to_owned),
        body_bytes,
        is_chunked: head.has_token("transfer-encoding", "chunked"),
    }
}

impl Refusal {
    /// Whether `received`, what follows the head, is as much of the body as is read.
    pub(super) fn is_enough(&self, received: &[u8]) -> bool {
        let wanted = self.body_bytes.map_or(BODY_BYTES_MAX as u64, |bytes| bytes.min(BODY_BYTES_MAX as u64));
        received.len() as u64 >= wanted || (self.is_chunked && received.ends_with(b"0\r\n\r\n"))
    }

    /// The start of the body as one line of text.
    pub(super) fn body_text(&self, received: &[u8]) -> String {
        let received = &received[..received.len().min(BODY_BYTES_MAX)];
        let body = if self.is_chunked { first_chunk(received) } else { received };
        one_line(&String::from_utf8_lossy(body))
    }
}

/// A body that is a sentence comes in one chunk; of a longer one the start is enough.
fn first_chunk(received: &[u8]) -> &[u8] {
    let Some(line_end) = received.windows(2).position(|pair| pair == b"\r\n") else { return received };
    let (size, rest) = (&received[..line_end], &received[line_end + 2..]);
    let size = std::str::from_utf8(size).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
    size.map_or(received, |size| &rest[..rest.len().min(size)])
}

/// Without control characters, which a terminal would obey, and with single spaces.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Basic Profile, "WebSocket Transport".
fn subprotocol(serializer: Serializer) -> &'static str {
    match serializer {
        Serializer::Json => "wamp.2.json",
        Serializer::MessagePack => "wamp.2.msgpack",
        Serializer::Cbor => "wamp.2.cbor",
    }
}

fn check_headers(headers: &[(String, String)]) -> Result<(), HeaderError> {
    let mut bytes = 0;
    for (name, value) in headers {
        if !is_token(name) {
            return Err(HeaderError::Name(name.clone()));
        }
        if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(HeaderError::Own(name.clone()));
        }
        if !value.bytes().all(|one| one == b'\t' || one == b' ' || one.is_ascii_graphic()) {
            return Err(HeaderError::Value(name.clone()));
        }
        bytes += name.len() + value.len() + 4;
    }
    if bytes > HEADERS_BYTES_MAX { Err(HeaderError::TooLong) } else { Ok(()) }
}
