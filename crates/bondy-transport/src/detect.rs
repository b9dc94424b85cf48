//! Which protocol a connection speaks, told by its first octets.
//!
//! One listener may serve rawsocket, WebSocket and HTTP, with or without TLS. The octet 0x7F opens a rawsocket
//! handshake and cannot start an HTTP request (Advanced Profile, "RawSocket Transport", note on shared ports);
//! 0x16 is a TLS handshake record (RFC 8446, section 5.1); an upper-case ASCII letter starts an HTTP method.
//! Inside TLS the question is asked once more.
//!
//! It takes nothing from the stream: whoever is chosen gets the octets that were looked at. Whether the listener
//! serves what was detected is the caller's decision.

use crate::proxy;

/// The largest number of octets that [`detect`] needs.
pub const DETECT_BYTES_MAX: usize = proxy::V2_SIGNATURE.len();

/// The answer of [`detect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// A rawsocket handshake.
    RawSocket,
    /// A TLS handshake record.
    Tls,
    /// An HTTP request line, so also a WebSocket upgrade.
    Http,
    /// A PROXY protocol header; detect again behind it, without expecting another.
    ProxyProtocol,
    /// Too few octets to tell.
    NeedMore,
    /// None of these; the value is the first octet, or the first that differs from an expected PROXY header.
    Unknown(u8),
}

/// Tells the protocol from the first octets of a connection.
///
/// With `proxy_protocol` the PROXY header is *required*: its specification (section 2) forbids to guess whether it
/// is there, because a client could then forge one.
pub fn detect(received: &[u8], proxy_protocol: bool) -> Detection {
    if proxy_protocol { detect_proxy_header(received) } else { detect_protocol(received) }
}

fn detect_protocol(received: &[u8]) -> Detection {
    match received.first().copied() {
        None => Detection::NeedMore,
        Some(0x7f) => Detection::RawSocket,
        Some(0x16) => Detection::Tls,
        Some(octet) if octet.is_ascii_uppercase() => Detection::Http,
        Some(octet) => Detection::Unknown(octet),
    }
}

fn detect_proxy_header(received: &[u8]) -> Detection {
    let signature = match received.first() {
        Some(octet) if *octet == proxy::V1_PREFIX[0] => proxy::V1_PREFIX,
        Some(_) | None => proxy::V2_SIGNATURE,
    };
    match received.iter().zip(signature).find(|(octet, expected)| octet != expected) {
        Some((octet, _)) => Detection::Unknown(*octet),
        None if received.len() >= signature.len() => Detection::ProxyProtocol,
        None => Detection::NeedMore,
    }
}
