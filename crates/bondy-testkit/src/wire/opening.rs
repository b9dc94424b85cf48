//! How a connection opens, from both sides: four octets each, or one HTTP request and its response.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bondy_transport::rawsocket::{ClientHandshake, MaxLength, ServerHandshake};
use bondy_transport::websocket::handshake::{Policy, accept, accept_key};
use bondy_wamp::serializer::Serializer;

use super::{Agreement, Endpoint, Transport};

/// The longest head of an HTTP request or response.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;

/// The nonce of every WebSocket that a test opens: any will do, and the same one makes runs alike.
const NONCE: &[u8; 16] = b"bondy test kit 1";

/// The subprotocols that a test's router knows, in no order: the client's counts.
const SUBPROTOCOLS: &[&str] = &["wamp.2.json", "wamp.2.msgpack", "wamp.2.cbor"];

/// What a client sends first.
pub(crate) fn request(endpoint: &Endpoint, serializer: Serializer) -> Vec<u8> {
    match endpoint.transport {
        Transport::RawSocket => {
            ClientHandshake { receive_max: MaxLength::LARGEST, serializer }.request().to_vec()
        }
        Transport::WebSocket => format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
            endpoint.path,
            endpoint.address,
            BASE64.encode(NONCE),
            serializer.subprotocol(false)
        )
        .into_bytes(),
    }
}

/// The length of the opening at the start of `received`, which goes in this transport; `None` while it is not all there.
pub(crate) fn length(transport: Transport, received: &[u8]) -> Option<usize> {
    match transport {
        Transport::RawSocket => (received.len() >= 4).then_some(4),
        Transport::WebSocket => head_length(received),
    }
}

/// The length of an HTTP head with its empty line.
pub(crate) fn head_length(received: &[u8]) -> Option<usize> {
    received.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Judges what the server answered to [`request`]; the error is for people.
pub(crate) fn conclude(
    transport: Transport,
    serializer: Serializer,
    answer: &[u8],
) -> Result<Agreement, String> {
    match transport {
        Transport::RawSocket => {
            let answer = *answer.first_chunk().ok_or("the handshake is too short")?;
            let handshake = ClientHandshake { receive_max: MaxLength::LARGEST, serializer };
            handshake.conclude(answer).map_err(|error| error.to_string())?;
        }
        Transport::WebSocket => {
            let head = Head::parse(answer).ok_or("the answer is not HTTP")?;
            if !head.first_line.starts_with("HTTP/1.1 101") {
                return Err(format!("the server answered `{}`", head.first_line));
            }
            if head.value("sec-websocket-accept") != Some(accept_key(&BASE64.encode(NONCE)).as_str()) {
                return Err("the server answered the key of another handshake".to_owned());
            }
            let subprotocol = head.value("sec-websocket-protocol");
            if subprotocol != Some(serializer.subprotocol(false)) {
                return Err(format!("the server chose the subprotocol {subprotocol:?}"));
            }
        }
    }
    Ok(Agreement { transport, serializer, batched: false })
}

/// What a router answers to a client's opening, and what is agreed thereby; the error is for people, and goes with an
/// answer that refuses where there is one.
pub(crate) fn answer(transport: Transport, opening: &[u8]) -> (Vec<u8>, Result<Agreement, String>) {
    match transport {
        Transport::RawSocket => answer_rawsocket(opening),
        Transport::WebSocket => answer_websocket(opening),
    }
}

fn answer_rawsocket(opening: &[u8]) -> (Vec<u8>, Result<Agreement, String>) {
    let Some(request) = opening.first_chunk().copied() else {
        return (Vec::new(), Err("the handshake is too short".to_owned()));
    };
    let handshake = ServerHandshake { receive_max: MaxLength::LARGEST, serializers: &Serializer::ALL };
    match handshake.answer(request) {
        Ok((answer, negotiated)) => {
            let serializer = negotiated.serializer;
            (answer.to_vec(), Ok(Agreement { transport: Transport::RawSocket, serializer, batched: false }))
        }
        Err(refusal) => (refusal.reply.map_or(Vec::new(), |reply| reply.to_vec()), Err(refusal.to_string())),
    }
}

fn answer_websocket(opening: &[u8]) -> (Vec<u8>, Result<Agreement, String>) {
    let refuse = |reason: String| {
        (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec(), Err(reason))
    };
    let Some(head) = Head::parse(opening) else { return refuse("the request is not HTTP".to_owned()) };
    let method = head.first_line.split(' ').next().unwrap_or_default();
    let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let policy = Policy { subprotocols: SUBPROTOCOLS, compression: false };
    let accepted = match accept(method, head.first_line.ends_with("HTTP/1.1"), headers, &policy) {
        Ok(accepted) => accepted,
        Err(rejection) => return refuse(rejection.to_string()),
    };
    let subprotocol = accepted.subprotocol.unwrap_or_default();
    let Some((serializer, batched)) = Serializer::from_subprotocol(subprotocol) else {
        return refuse("no subprotocol was agreed".to_owned());
    };
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n",
        accepted.accept_key
    );
    (response.into_bytes(), Ok(Agreement { transport: Transport::WebSocket, serializer, batched }))
}

/// An HTTP head, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) first_line: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// Names of headers in lower case, values without the spaces around them. `None` where it is no text of lines.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.split("\r\n");
        let first_line = lines.next().filter(|line| line.contains("HTTP/1."))?.to_owned();
        let mut headers = Vec::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        Some(Self { first_line, headers })
    }

    /// The value of the first header of this name, in lower case.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A request without its offer of compression, byte for byte the same elsewhere.
pub(crate) fn without_compression(head: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"sec-websocket-extensions:";
    let mut kept = Vec::with_capacity(head.len());
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        let is_offer = line.get(..NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(NAME));
        if !is_offer {
            kept.extend_from_slice(line);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(transport: Transport) -> Endpoint {
        Endpoint { transport, address: "127.0.0.1:1".to_owned(), path: "/ws".to_owned() }
    }

    #[test]
    fn both_sides_agree_on_every_serializer() {
        for transport in [Transport::RawSocket, Transport::WebSocket] {
            for serializer in Serializer::ALL {
                let request = request(&endpoint(transport), serializer);
                assert_eq!(length(transport, &request), Some(request.len()));
                assert_eq!(length(transport, &request[..request.len() - 1]), None);
                let (answer, agreed) = answer(transport, &request);
                assert_eq!(conclude(transport, serializer, &answer), agreed);
                assert_eq!(agreed.unwrap().serializer, serializer);
            }
        }
    }

    #[test]
    fn refusals_say_why() {
        let (reply, agreed) = answer(Transport::RawSocket, &[0x7f, 0xf9, 0, 0]);
        assert_eq!((reply.len(), agreed.is_err()), (4, true));
        let error = conclude(Transport::RawSocket, Serializer::Json, &reply).unwrap_err();
        assert!(error.contains("serializer unsupported"), "{error}");
        let (reply, agreed) = answer(Transport::WebSocket, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(agreed.is_err());
        let error = conclude(Transport::WebSocket, Serializer::Json, &reply).unwrap_err();
        assert!(error.contains("400"), "{error}");
    }

    #[test]
    fn the_offer_of_compression_is_left_out_and_nothing_else() {
        let head =
            b"GET / HTTP/1.1\r\nHost: a\r\nSEC-WebSocket-Extensions: permessage-deflate\r\nX: y\r\n\r\n";
        assert_eq!(without_compression(head), b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
    }
}
