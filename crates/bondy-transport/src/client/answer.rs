//! The head of an HTTP answer, read strictly and within a bound (RFC 9112).

/// The longest head, in bytes, with those of the answers that only announce another one (status 1xx).
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A text of the server's in an error, in bytes.
const SHOWN_BYTES_MAX: usize = 64;

/// Every HTTP answer begins so.
const START: &[u8] = b"HTTP/1.";

/// What is wrong with the head of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Some other protocol.
    #[error("the answer is not HTTP, it begins with {0:?}; check the port and the scheme of the URL")]
    NotHttp(String),
    /// No end in sight.
    #[error("the head of the answer is longer than {HEAD_BYTES_MAX} bytes")]
    TooLong,
    /// A line is not as HTTP has it.
    #[error("the head of the answer has a malformed line: {0:?}")]
    Line(String),
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) is_http_1_1: bool,
    pub(super) status: u16,
    pub(super) reason: &'a str,
    /// In order, each name as it was sent, each value without the white space around it.
    headers: Vec<(&'a str, &'a str)>,
    /// With the empty line at its end.
    pub(super) bytes: usize,
}

impl<'a> Head<'a> {
    /// The head at the start of `received`, behind any that only announce another; `None` while its end is missing.
    /// A violation is reported as soon as it is there, and so is a head that comes to no end.
    pub(super) fn parse(received: &'a [u8]) -> Result<Option<Head<'a>>, HeadError> {
        let mut start = 0;
        loop {
            let Some(head) = parse_one(&received[start..], HEAD_BYTES_MAX - start)? else { return Ok(None) };
            let bytes = start + head.bytes;
            // 101 ends HTTP and is final; the other 1xx are followed by the real answer (RFC 9110, 15.2).
            if head.status / 100 != 1 || head.status == 101 {
                return Ok(Some(Head { bytes, ..head }));
            }
            start = bytes;
        }
    }

    /// The values of a header, each possibly a list.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// Whether a header that is a list has this element.
    pub(super) fn has_token(&self, name: &str, token: &str) -> bool {
        self.values(name).flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
    }
}

fn parse_one(received: &[u8], bytes_max: usize) -> Result<Option<Head<'_>>, HeadError> {
    if !START.iter().zip(received).all(|(expected, got)| expected == got) {
        return Err(HeadError::NotHttp(printable(received)));
    }
    let Some((lines, bytes)) = split_lines(received, bytes_max)? else { return Ok(None) };
    // There is a line, or there would be no empty one behind it.
    let Some((first, rest)) = lines.split_first() else { return Ok(None) };
    let (is_http_1_1, status, reason) = parse_status(first).ok_or_else(|| malformed(first))?;
    let headers = rest.iter().map(|line| parse_header(line).ok_or_else(|| malformed(line)));
    Ok(Some(Head { is_http_1_1, status, reason, headers: headers.collect::<Result<_, _>>()?, bytes }))
}

/// The lines before the empty one, and the length of all; `None` while that is missing.
fn split_lines(received: &[u8], bytes_max: usize) -> Result<Option<(Vec<&str>, usize)>, HeadError> {
    let (mut lines, mut start) = (Vec::new(), 0);
    let within = &received[..received.len().min(bytes_max)];
    while let Some(length) = within[start..].iter().position(|octet| *octet == b'\n') {
        let line = &within[start..start + length];
        start += length + 1;
        let text = line.strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok());
        let text = text.filter(|text| text.chars().all(|one| one == '\t' || !one.is_control()));
        match text {
            Some("") => return Ok(Some((lines, start))),
            Some(text) => lines.push(text),
            None => return Err(HeadError::Line(printable(line))),
        }
    }
    if received.len() < bytes_max { Ok(None) } else { Err(HeadError::TooLong) }
}

/// `HTTP/1.x NNN reason`, the reason possibly empty.
fn parse_status(line: &str) -> Option<(bool, u16, &str)> {
    let (version, rest) = line.split_at_checked(START.len() + 1)?;
    let is_http_1_1 = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return None,
    };
    let (digits, reason) = rest.strip_prefix(' ')?.split_at_checked(3)?;
    let status = digits.bytes().all(|one| one.is_ascii_digit()).then(|| digits.parse::<u16>().ok())??;
    let reason = if reason.is_empty() { reason } else { reason.strip_prefix(' ')? };
    (100..1000).contains(&status).then_some((is_http_1_1, status, reason))
}

/// `name: value`; a line that continues the one before is refused (RFC 9112, 5.2).
fn parse_header(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    is_token(name).then(|| (name, value.trim_matches([' ', '\t'])))
}

/// Whether `text` may be the name of a header (RFC 9110, 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let is_char = |one: u8| one.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&one);
    !text.is_empty() && text.bytes().all(is_char)
}

fn malformed(line: &str) -> HeadError {
    HeadError::Line(printable(line.as_bytes()))
}

/// The start of what the server sent, for an error.
pub(super) fn printable(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(SHOWN_BYTES_MAX)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_ends_with_its_empty_line_and_no_sooner() {
        let wire = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade:  a, WebSocket\t\r\nx:\r\n\r\nrest";
        for end in 0..wire.len() - 4 {
            assert!(Head::parse(&wire[..end]).unwrap().is_none(), "{end} bytes");
        }
        let head = Head::parse(wire).unwrap().unwrap();
        assert_eq!((head.is_http_1_1, head.status, head.reason), (true, 101, "Switching Protocols"));
        assert_eq!(head.bytes, wire.len() - 4);
        assert_eq!(head.values("UPGRADE").collect::<Vec<_>>(), ["a, WebSocket"]);
        assert!(head.has_token("upgrade", "websocket") && !head.has_token("upgrade", "a, websocket"));
    }

    #[test]
    fn answers_that_announce_another_are_skipped() {
        let wire = b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.0 404\r\n\r\n";
        let head = Head::parse(wire).unwrap().unwrap();
        assert_eq!((head.is_http_1_1, head.status, head.reason, head.bytes), (false, 404, "", wire.len()));
        assert_eq!(head.values("a").count(), 0);
    }

    #[test]
    fn malformed_heads_are_refused_as_soon_as_they_are_seen() {
        let lines: &[&[u8]] = &[
            b"HTTP/1.1 101\n",
            b"HTTP/1.1\r\n",
            b"HTTP/1.2 101 X\r\n\r\n",
            b"HTTP/1.1 99 X\r\n\r\n",
            b"HTTP/1.1  101 X\r\n\r\n",
            b"HTTP/1.1 1010\r\n\r\n",
            b"HTTP/1.1 +10 X\r\n\r\n",
            b"HTTP/1.1 200 \x00\r\n",
            b"HTTP/1.1 200 a\rb\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nname : x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: x\r\n continued\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: \xff\r\n\r\n",
        ];
        for wire in lines {
            let whole = [*wire, b"\r\n"].concat();
            let error = Head::parse(&whole).unwrap_err();
            assert!(matches!(error, HeadError::Line(_)), "{}: {error:?}", wire.escape_ascii());
        }
        for wire in [&b"\x15\x03\x03"[..], b"\x7f\xf1\0\0", b"SSH-2.0", b"HTTP/2"] {
            assert!(matches!(Head::parse(wire), Err(HeadError::NotHttp(_))));
        }
    }

    #[test]
    fn endless_heads_are_refused_at_the_bound() {
        let mut wire = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(3);
        wire.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        while wire.len() < HEAD_BYTES_MAX - 8 {
            assert!(Head::parse(&wire).unwrap().is_none());
            wire.extend_from_slice(b"a: b\r\n");
        }
        wire.extend_from_slice(&b"a: b\r\n".repeat(2));
        assert_eq!(Head::parse(&wire).unwrap_err(), HeadError::TooLong);
        let announced = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        assert_eq!(Head::parse(&announced).unwrap_err(), HeadError::TooLong);
    }
}
