//! Bytes on a connection: where it leads, how it opens, and how messages lie in it.
//!
//! Both transports from both sides, without I/O: the link looks into a conversation of others (`splitter`), a peer leads
//! one of its own (`frame`, `opening`). What they do not do: compress. A link takes the offer of compression out of a
//! WebSocket's opening, and a peer makes none.

pub(crate) mod frame;
pub(crate) mod opening;
pub(crate) mod splitter;

use std::fmt;

use bondy_wamp::serializer::Serializer;

/// How messages lie on a byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Advanced Profile, "RawSocket Transport".
    RawSocket,
    /// Basic Profile, "WebSocket Transport".
    WebSocket,
}

impl Transport {
    /// The name in recordings and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Transport::RawSocket => "rawsocket",
            Transport::WebSocket => "websocket",
        }
    }

    /// The transport of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Transport::RawSocket, Transport::WebSocket].into_iter().find(|one| one.as_str() == name)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What both sides of a connection have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) transport: Transport,
    pub(crate) serializer: Serializer,
    /// Several messages in one WebSocket message (Advanced Profile, "Batched WebSocket Transport").
    pub(crate) batched: bool,
}

/// A router's address: `ws://HOST:PORT/PATH` or `rs://HOST:PORT` (also `tcp://`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How to speak there.
    pub transport: Transport,
    /// `HOST:PORT`.
    pub address: String,
    /// Path and query of a WebSocket.
    pub path: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::RawSocket => write!(formatter, "rs://{}", self.address),
            Transport::WebSocket => write!(formatter, "ws://{}{}", self.address, self.path),
        }
    }
}

/// A text that is no address of a router.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is no address that a test can use: {reason}")]
pub struct EndpointError {
    url: String,
    reason: &'static str,
}

impl Endpoint {
    /// Reads an address.
    ///
    /// # Errors
    /// The scheme is another one (there is no TLS here), or the port is missing.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let wrong = |reason| EndpointError { url: url.to_owned(), reason };
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(wrong("give ws://HOST:PORT/PATH or rs://HOST:PORT"));
        };
        let transport = match scheme {
            "ws" => Transport::WebSocket,
            "rs" | "tcp" => Transport::RawSocket,
            _ => return Err(wrong("the scheme is not ws, rs or tcp")),
        };
        let (address, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
        if port.is_none_or(|port| port.parse::<u16>().is_err()) {
            return Err(wrong("the port is missing or no port"));
        }
        // The path stands in an HTTP request, where a space or a control character would end it.
        if path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(wrong("the path holds a space or a control character"));
        }
        Ok(Self { transport, address: address.to_owned(), path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_others_refused_with_the_reason() {
        let parsed = Endpoint::parse("ws://127.0.0.1:18080/ws?x=1").unwrap();
        assert_eq!((parsed.transport, parsed.path.as_str()), (Transport::WebSocket, "/ws?x=1"));
        assert_eq!(Endpoint::parse("tcp://[::1]:1").unwrap().address, "[::1]:1");
        for url in [
            "",
            "localhost:1",
            "wss://a:1/",
            "ws://a/ws",
            "rs://:1",
            "rs://a:x",
            "ws://a:1/a b",
            "ws://a:1/\r\n",
        ] {
            let error = Endpoint::parse(url).unwrap_err().to_string();
            assert!(error.contains(&format!("`{url}`")), "{error}");
        }
    }
}
