//! The text protocol of NATS, as much of it as request-reply and events need.
//!
//! A message is a line, and after `MSG` a payload of the length that ends the line. Which of our subscriptions a
//! message is for stands in it as a number that the subscriber chose, so those numbers tell invocations, results and
//! events apart. A call publishes to the procedure's subject and names a reply subject that ends in the request id;
//! its caller has subscribed to all subjects that differ in no more than that id, as the clients of NATS do.

use super::code;
use super::encoding::Header;
use super::framing::{Extent, FrameKind, FramingError};

/// The callee's subscription.
pub(super) const INVOCATIONS: u64 = 1;
/// The caller's subscription to replies.
pub(super) const RESULTS: u64 = 2;
/// The subscriber's.
pub(super) const EVENTS: u64 = 3;

/// What follows `PING` while a connection is set up. It stands for the answer to what was sent before.
pub(super) const PONG: &[u8] = b"PONG\r\n";

/// The longest line that is waited for; the server's first one, `INFO`, is the longest.
const LINE_BYTES_MAX: usize = 64 << 10;

/// The subject below which the replies to a procedure's calls go.
pub(super) fn reply_prefix(procedure: &str) -> String {
    format!("{procedure}.reply.")
}

/// What a client says first: no acknowledgements, and a `PING` whose answer says that it was let in.
pub(super) fn greeting() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"name\":\"bench\",\"lang\":\"rust\",\
         \"version\":\"{version}\",\"protocol\":1}}\r\nPING\r\n"
    )
}

/// Where the next message ends. Its line belongs to it, as the line says what the payload is for.
pub(super) fn extent(bytes: &[u8]) -> Result<Option<Extent>, FramingError> {
    let Some(&octet) = bytes.first() else { return Ok(None) };
    let Some(line_length) = bytes.iter().position(|&octet| octet == b'\n').map(|index| index + 1) else {
        return if bytes.len() > LINE_BYTES_MAX { Err(FramingError { octet }) } else { Ok(None) };
    };
    let line = &bytes[..line_length];
    let whole = |kind, payload_length| Ok(Some(Extent { kind, header_length: 0, payload_length }));
    if line.starts_with(b"MSG ") {
        let (size, _) = last_number(line.trim_ascii_end()).ok_or(FramingError { octet })?;
        let size = usize::try_from(size).map_err(|_| FramingError { octet })?;
        return whole(FrameKind::Message, line_length.saturating_add(size).saturating_add(2));
    }
    match line {
        b"PING\r\n" => whole(FrameKind::Ping, line_length),
        // Said without being asked, or an acknowledgement that was not asked for.
        _ if line.starts_with(b"INFO ") || line == b"+OK\r\n" => whole(FrameKind::Pong, line_length),
        PONG => whole(FrameKind::Message, line_length),
        _ if line.starts_with(b"-ERR") => whole(FrameKind::Message, line_length),
        _ => Err(FramingError { octet }),
    }
}

/// What a message is, in WAMP's words: `MSG SUBJECT SUBSCRIPTION [REPLY] SIZE`.
pub(super) fn header(message: &[u8]) -> Option<Header> {
    if message == PONG {
        return Some(Header { code: code::PONG, id: None });
    }
    let end = message.iter().position(|&octet| octet == b'\r')?;
    let mut words = message[..end].split(|&octet| octet == b' ');
    let (verb, subject, subscription) = (words.next()?, words.next()?, words.next()?);
    if verb != b"MSG" {
        return None;
    }
    match last_number(subscription)?.0 {
        INVOCATIONS => {
            // Without a reply subject it would be an event, and nobody would wait for the answer.
            let (reply, _size) = (words.next()?, words.next()?);
            Some(Header { code: code::INVOCATION, id: Some(last_number(reply)?.0) })
        }
        RESULTS => Some(Header { code: code::RESULT, id: Some(last_number(subject)?.0) }),
        EVENTS => Some(Header { code: code::EVENT, id: None }),
        _ => None,
    }
}

/// The decimal number that ends `text`, and how many digits it has.
fn last_number(text: &[u8]) -> Option<(u64, usize)> {
    let digits = text.iter().rev().take(20).take_while(|octet| octet.is_ascii_digit()).count();
    let number = std::str::from_utf8(&text[text.len() - digits..]).ok()?.parse().ok()?;
    Some((number, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_end_where_their_line_says() {
        let stream = b"INFO {}\r\nMSG a.b 3 5\r\nhe\r\no\r\nPING\r\n";
        let mut rest = &stream[..];
        let mut found = Vec::new();
        while let Some(Extent { kind, payload_length, .. }) = extent(rest).expect("frames") {
            found.push((kind, payload_length));
            rest = &rest[payload_length..];
        }
        assert_eq!(found, [(FrameKind::Pong, 9), (FrameKind::Message, 20), (FrameKind::Ping, 6)]);
        for length in 0..9 {
            assert!(extent(&stream[..length]).expect("a beginning").is_none(), "{length}");
        }
        assert!(extent(b"HTTP/1.1 400 Bad Request\r\n").is_err());
        assert!(extent(b"MSG a.b 3 many\r\n").is_err());
    }

    #[test]
    fn messages_are_told_apart_by_their_subscription() {
        let of = |message: &[u8]| header(message).map(|header| (header.code, header.id));
        let invocation = b"MSG a.b 1 a.b.reply.17 2\r\nxx\r\n";
        assert_eq!(of(invocation), Some((code::INVOCATION, Some(17))));
        assert_eq!(of(b"MSG a.b.reply.17 2 2\r\nxx\r\n"), Some((code::RESULT, Some(17))));
        assert_eq!(of(b"MSG topic 3 2\r\nxx\r\n"), Some((code::EVENT, None)));
        assert_eq!(of(b"MSG a.b 1 2\r\nxx\r\n"), None);
        assert_eq!(of(b"-ERR 'Slow Consumer'\r\n"), None);
    }
}
