//! The close frame, both ways (RFC 6455, sections 5.5.1 and 7.4).
//!
//! Who receives a close frame answers with one that repeats its code ([`append_answer`]) and closes the stream; a
//! close frame that breaks the rules is a [`ProtocolError`], answered like any other ([`append_error`]).

use std::borrow::Cow;

use super::ProtocolError;
use super::frame::{CONTROL_PAYLOAD_BYTES_MAX, FrameHeader, Opcode, append_frame};

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server shuts down, or the page was left.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The peer sent a kind of data that is not taken here.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// A message's data do not fit its kind, as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The peer broke a policy of this server.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// A message is longer than is taken here.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// The server failed.
    pub const INTERNAL_ERROR: Self = Self(1011);

    /// A code that a close frame may carry: those that are defined for it, 1012 to 1014 from the IANA registry, and
    /// the ranges for libraries and applications. 1005, 1006 and 1015 never travel (RFC 6455, 7.4.1).
    pub fn new(code: u16) -> Result<Self, ProtocolError> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Self(code)),
            _ => Err(ProtocolError::InvalidCloseCode(code)),
        }
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// A received close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close<'a> {
    /// The code, if one was given.
    pub code: Option<CloseCode>,
    /// The reason, for logs; empty if none was given.
    pub reason: Cow<'a, str>,
}

impl<'a> Close<'a> {
    /// Reads the payload of a close frame.
    pub fn parse(payload: Cow<'a, [u8]>) -> Result<Self, ProtocolError> {
        match payload {
            Cow::Borrowed(bytes) => Self::parse_borrowed(bytes),
            Cow::Owned(bytes) => Close::parse_borrowed(&bytes).map(Close::into_owned),
        }
    }

    fn parse_borrowed(bytes: &'a [u8]) -> Result<Self, ProtocolError> {
        let (code, reason) = match bytes.split_first_chunk() {
            Some((code, reason)) => (Some(CloseCode::new(u16::from_be_bytes(*code))?), reason),
            None if bytes.is_empty() => (None, bytes),
            None => return Err(ProtocolError::TruncatedCloseCode),
        };
        let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
        Ok(Self { code, reason: Cow::Borrowed(reason) })
    }

    /// The same, independent of the buffer that it was read from.
    pub fn into_owned(self) -> Close<'static> {
        Close { code: self.code, reason: Cow::Owned(self.reason.into_owned()) }
    }
}

/// Appends a close frame. A reason that does not fit is cut after a whole character.
pub fn append_close(code: Option<CloseCode>, reason: &str, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let mut payload = Vec::with_capacity(CONTROL_PAYLOAD_BYTES_MAX);
    // Without a code there is no place for a reason.
    if let Some(code) = code {
        let reason = &reason[..reason.floor_char_boundary(CONTROL_PAYLOAD_BYTES_MAX - 2)];
        payload.extend_from_slice(&code.get().to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
    }
    append_frame(FrameHeader { mask, ..FrameHeader::whole(Opcode::Close, 0) }, &payload, out);
}

/// Appends the answer to a received close frame: the same code, or none if there was none.
pub fn append_answer(received: &Close<'_>, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    append_close(received.code, "", mask, out);
}

/// Appends the close frame that fails a connection.
pub fn append_error(error: ProtocolError, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    append_close(Some(error.close_code()), &error.to_string(), mask, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(payload: &[u8]) -> Result<Close<'_>, ProtocolError> {
        Close::parse(Cow::Borrowed(payload))
    }

    #[test]
    fn payload_is_empty_or_a_code_with_a_reason() {
        assert_eq!(parse(b""), Ok(Close { code: None, reason: "".into() }));
        assert_eq!(parse(b"\x03"), Err(ProtocolError::TruncatedCloseCode));
        assert_eq!(parse(b"\x03\xe8"), Ok(Close { code: Some(CloseCode::NORMAL), reason: "".into() }));
        assert_eq!(
            parse(b"\x03\xe9bye"),
            Ok(Close { code: Some(CloseCode::GOING_AWAY), reason: "bye".into() })
        );
        assert_eq!(parse(b"\x03\xe8\xff"), Err(ProtocolError::InvalidUtf8));
    }

    #[test]
    fn codes_that_never_travel_are_refused() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
            assert_eq!(CloseCode::new(code), Err(ProtocolError::InvalidCloseCode(code)));
        }
        for code in [1000, 1003, 1007, 1011, 1014, 3000, 4999] {
            assert_eq!(CloseCode::new(code).map(CloseCode::get), Ok(code));
        }
    }

    #[test]
    fn long_reason_is_cut_after_a_whole_character() {
        let mut out = Vec::new();
        append_close(Some(CloseCode::NORMAL), &"ä".repeat(100), None, &mut out);
        assert_eq!(out.len(), 2 + 2 + 122);
        assert_eq!(parse(&out[2..]).map(|close| close.reason.into_owned()), Ok("ä".repeat(61)));
    }

    #[test]
    fn answer_repeats_the_code_without_the_reason() {
        let mut out = Vec::new();
        append_answer(&Close { code: Some(CloseCode::GOING_AWAY), reason: "bye".into() }, None, &mut out);
        assert_eq!(out, b"\x88\x02\x03\xe9");
        out.clear();
        append_answer(&Close { code: None, reason: "".into() }, None, &mut out);
        assert_eq!(out, b"\x88\x00");
    }
}
