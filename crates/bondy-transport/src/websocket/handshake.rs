//! The opening handshake, seen from the server (RFC 6455, section 4.2).
//!
//! Judges one HTTP request; reading the request and writing the response is `upgrade`'s.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use thiserror::Error;

use super::deflate::Extension;

/// What the server has to offer.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The subprotocols that are known. A client must name one of them; if the list is empty, none is chosen
    /// whatever the client names.
    pub subprotocols: &'static [&'static str],
    /// Whether permessage-deflate is accepted where it is offered.
    pub compression: bool,
}

/// An upgrade that may go ahead with status 101.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept_key: String,
    /// The value of `Sec-WebSocket-Protocol`, if one was chosen: the first known one in the client's order.
    pub subprotocol: Option<&'static str>,
    /// What was agreed about compression; its value of `Sec-WebSocket-Extensions` is [`Extension::response`].
    pub extension: Option<Extension>,
}

/// Why an upgrade is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Rejection {
    /// Only GET can be upgraded.
    #[error("a WebSocket handshake uses GET")]
    Method,
    /// HTTP/1.0 has no upgrades, HTTP/2 has other ones.
    #[error("a WebSocket handshake uses HTTP/1.1")]
    HttpVersion,
    /// Every HTTP/1.1 request names its host.
    #[error("the Host header is missing")]
    Host,
    /// `Upgrade` lacks `websocket`, or `Connection` lacks `upgrade`.
    #[error("the Upgrade and Connection headers do not ask for a WebSocket")]
    Upgrade,
    /// `Sec-WebSocket-Version` is missing or repeated.
    #[error("the Sec-WebSocket-Version header must be there once")]
    MissingVersion,
    /// Only version 13 was ever standardised.
    #[error("the only WebSocket version here is 13")]
    Version,
    /// The key is missing, repeated or not 16 bytes in base64.
    #[error("the Sec-WebSocket-Key header must be there once, with 16 bytes in base64")]
    Key,
    /// The client named no subprotocol that is known here.
    #[error("none of the subprotocols named in Sec-WebSocket-Protocol is known here")]
    Subprotocol,
}

impl Rejection {
    /// The HTTP status to answer with. 426 goes with the header `Sec-WebSocket-Version: 13` (RFC 6455, 4.4).
    pub fn status(self) -> u16 {
        match self {
            Self::Version => 426,
            Self::Method
            | Self::HttpVersion
            | Self::Host
            | Self::Upgrade
            | Self::MissingVersion
            | Self::Key
            | Self::Subprotocol => 400,
        }
    }
}

/// Judges a request from its method, whether its version is HTTP/1.1, and its headers in order, whose names are
/// compared without regard to case. Headers that are not text count as absent.
pub fn accept<'h>(
    method: &str,
    is_http_1_1: bool,
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    policy: &Policy,
) -> Result<Accepted, Rejection> {
    if method != "GET" {
        return Err(Rejection::Method);
    }
    if !is_http_1_1 {
        return Err(Rejection::HttpVersion);
    }
    let request = Request::collect(headers);
    if !request.has_host {
        return Err(Rejection::Host);
    }
    if !has_token(&request.upgrade, "websocket") || !has_token(&request.connection, "upgrade") {
        return Err(Rejection::Upgrade);
    }
    let [version] = request.version[..] else { return Err(Rejection::MissingVersion) };
    if version != "13" {
        return Err(Rejection::Version);
    }
    let [key] = request.key[..] else { return Err(Rejection::Key) };
    if !BASE64.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
        return Err(Rejection::Key);
    }
    let subprotocol = choose_subprotocol(&request.subprotocols, policy.subprotocols)?;
    let extension = match policy.compression {
        true => Extension::negotiate(request.extensions),
        false => None,
    };
    Ok(Accepted { accept_key: accept_key(key), subprotocol, extension })
}

/// The proof that the server understood the handshake with this `Sec-WebSocket-Key` (RFC 6455, 4.2.2).
pub fn accept_key(key: &str) -> String {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(GUID);
    BASE64.encode(context.finish())
}

/// The values of the headers that matter, each possibly a comma-separated list.
#[derive(Default)]
struct Request<'h> {
    has_host: bool,
    upgrade: Vec<&'h str>,
    connection: Vec<&'h str>,
    version: Vec<&'h str>,
    key: Vec<&'h str>,
    subprotocols: Vec<&'h str>,
    extensions: Vec<&'h str>,
}

impl<'h> Request<'h> {
    fn collect(headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> Self {
        let mut request = Self::default();
        for (name, value) in headers {
            let Ok(value) = std::str::from_utf8(value) else { continue };
            let values = match name.to_ascii_lowercase().as_str() {
                "upgrade" => &mut request.upgrade,
                "connection" => &mut request.connection,
                "sec-websocket-version" => &mut request.version,
                "sec-websocket-key" => &mut request.key,
                "sec-websocket-protocol" => &mut request.subprotocols,
                "sec-websocket-extensions" => &mut request.extensions,
                "host" => {
                    request.has_host = true;
                    continue;
                }
                _ => continue,
            };
            values.push(value.trim_matches([' ', '\t']));
        }
        request
    }
}

/// The elements of a header that is a comma-separated list, possibly spread over several lines.
fn tokens<'h>(values: &[&'h str]) -> impl Iterator<Item = &'h str> {
    values.iter().flat_map(|value| value.split(',')).map(|token| token.trim_matches([' ', '\t']))
}

fn has_token(values: &[&str], token: &str) -> bool {
    tokens(values).any(|candidate| candidate.eq_ignore_ascii_case(token))
}

fn choose_subprotocol(
    named: &[&str],
    known: &'static [&'static str],
) -> Result<Option<&'static str>, Rejection> {
    if known.is_empty() {
        return Ok(None);
    }
    let chosen = tokens(named).find_map(|token| known.iter().find(|known| **known == token));
    chosen.copied().map(Some).ok_or(Rejection::Subprotocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[(&str, &str)] = &[
        ("Host", "example.com"),
        ("Upgrade", "WebSocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    const POLICY: Policy = Policy { subprotocols: &["wamp.2.json", "wamp.2.cbor"], compression: true };

    fn judge(headers: &[(&str, &str)], policy: &Policy) -> Result<Accepted, Rejection> {
        accept("GET", true, headers.iter().map(|(name, value)| (*name, value.as_bytes())), policy)
    }

    /// `GOOD` with the named header replaced by these values.
    fn with<'h>(name: &'h str, values: &[&'h str]) -> Vec<(&'h str, &'h str)> {
        let others = GOOD.iter().copied().filter(|(other, _)| *other != name);
        others.chain(values.iter().map(|value| (name, *value))).collect()
    }

    #[test]
    fn sample_key_of_the_rfc_gives_its_answer() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn subprotocol_is_the_first_known_one_in_the_clients_order() {
        for named in [&["x, wamp.2.cbor ,wamp.2.json"][..], &["x", "wamp.2.cbor", "wamp.2.json"]] {
            let accepted = judge(&with("Sec-WebSocket-Protocol", named), &POLICY).unwrap();
            assert_eq!(accepted.subprotocol, Some("wamp.2.cbor"));
        }
        let unknown = judge(&with("Sec-WebSocket-Protocol", &["WAMP.2.JSON", "wamp.2"]), &POLICY);
        assert_eq!(unknown, Err(Rejection::Subprotocol));
        assert_eq!(judge(GOOD, &POLICY), Err(Rejection::Subprotocol));
    }

    #[test]
    fn without_subprotocols_none_is_chosen() {
        let policy = Policy { subprotocols: &[], compression: false };
        let headers = with("Sec-WebSocket-Protocol", &["chat"]);
        assert_eq!(judge(&headers, &policy).map(|accepted| accepted.subprotocol), Ok(None));
        assert!(judge(GOOD, &policy).is_ok());
    }

    #[test]
    fn compression_is_agreed_only_where_it_is_switched_on() {
        let headers = with("Sec-WebSocket-Extensions", &["x-other", "permessage-deflate"]);
        for compression in [true, false] {
            let policy = Policy { subprotocols: &[], compression };
            let accepted = judge(&headers, &policy).unwrap();
            assert_eq!(accepted.extension.is_some(), compression);
        }
    }

    #[test]
    fn every_missing_or_wrong_part_is_refused_with_its_reason() {
        let policy = Policy { subprotocols: &[], compression: false };
        let cases: &[(&str, &[&str], Rejection)] = &[
            ("Host", &[], Rejection::Host),
            ("Upgrade", &[], Rejection::Upgrade),
            ("Upgrade", &["h2c"], Rejection::Upgrade),
            ("Connection", &["keep-alive"], Rejection::Upgrade),
            ("Sec-WebSocket-Version", &[], Rejection::MissingVersion),
            ("Sec-WebSocket-Version", &["13", "8"], Rejection::MissingVersion),
            ("Sec-WebSocket-Version", &["8"], Rejection::Version),
            ("Sec-WebSocket-Key", &[], Rejection::Key),
            ("Sec-WebSocket-Key", &["c2hvcnQ="], Rejection::Key),
            ("Sec-WebSocket-Key", &["not base64 at all, really"], Rejection::Key),
        ];
        for (name, values, rejection) in cases {
            assert_eq!(judge(&with(name, values), &policy), Err(*rejection), "{name} {values:?}");
        }
        assert_eq!(accept("POST", true, [], &policy), Err(Rejection::Method));
        assert_eq!(accept("GET", false, [], &policy), Err(Rejection::HttpVersion));
        assert_eq!(Rejection::Version.status(), 426);
        assert_eq!(Rejection::Subprotocol.status(), 400);
    }
}
