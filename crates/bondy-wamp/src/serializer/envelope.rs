//! The usual shape of the messages that routers see most: `[type, request, {}, uri, args, kwargs]`, read in one go.
//!
//! A message of another shape (options, unusual forms of numbers or lengths) is left to the decoder, and so is every
//! message with an error in it, whose place and reason the decoder finds. So this reads no more than it is sure of.

use super::{LEVELS_MAX, Serializer, cbor, json, msgpack, shortcut};

/// What stands where in a message without options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope<'a> {
    /// The message type.
    pub(crate) code: u64,
    /// The request id, whatever its value.
    pub(crate) request: u64,
    /// The URI; empty where the message has none.
    pub(crate) uri: &'a str,
    /// One encoded list, validated; empty where there is none.
    pub(crate) args: &'a [u8],
    /// One encoded dictionary with text as keys, validated; empty where there is none.
    pub(crate) kwargs: &'a [u8],
}

/// Reads a whole message of the usual shape. `has_uri` says of a message type whether a URI follows the options, or
/// that messages of this type are not read here.
#[inline(always)]
pub(crate) fn envelope<'a>(
    serializer: Serializer,
    bytes: &'a [u8],
    has_uri: impl Fn(u64) -> Option<bool>,
) -> Option<Envelope<'a>> {
    // With a constant in each place the compiler makes three readers of it.
    match serializer {
        Serializer::Json => read(Serializer::Json, bytes, has_uri),
        Serializer::MessagePack => read(Serializer::MessagePack, bytes, has_uri),
        Serializer::Cbor => read(Serializer::Cbor, bytes, has_uri),
    }
}

#[inline(always)]
fn read<'a>(
    serializer: Serializer,
    bytes: &'a [u8],
    has_uri: impl Fn(u64) -> Option<bool>,
) -> Option<Envelope<'a>> {
    let mut cursor = Cursor::enter(serializer, bytes)?;
    let code = cursor.unsigned()?;
    let has_uri = has_uri(code)?;
    cursor.required()?;
    let request = cursor.unsigned()?;
    cursor.required()?;
    cursor.empty_dict()?;
    let mut uri = "";
    if has_uri {
        cursor.required()?;
        uri = cursor.text()?;
    }
    let (mut args, mut kwargs) = (&[][..], &[][..]);
    if cursor.more()? {
        args = cursor.part(false)?;
        if cursor.more()? {
            kwargs = cursor.part(true)?;
            if cursor.more()? {
                return None;
            }
        }
    }
    (cursor.at == bytes.len()).then_some(Envelope { code, request, uri, args, kwargs })
}

/// A place in the list that is the message.
struct Cursor<'a> {
    serializer: Serializer,
    bytes: &'a [u8],
    /// The bytes as text, in JSON; else empty.
    text: &'a str,
    at: usize,
    /// Elements behind this one; JSON does not tell.
    left: usize,
}

impl<'a> Cursor<'a> {
    /// Enters the list and stands at its first element.
    #[inline(always)]
    fn enter(serializer: Serializer, bytes: &'a [u8]) -> Option<Self> {
        let (left, text) = match (serializer, *bytes.first()?) {
            (Serializer::Json, b'[') => (0, simdutf8::basic::from_utf8(bytes).ok()?),
            (Serializer::MessagePack, first @ 0x91..=0x9f) => (usize::from(first - 0x91), ""),
            (Serializer::Cbor, first @ 0x81..=0x97) => (usize::from(first - 0x81), ""),
            _ => return None,
        };
        Some(Self { serializer, bytes, text, at: 1, left })
    }

    #[inline(always)]
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Goes to the next element; false, behind the list, if there is none.
    #[inline(always)]
    fn more(&mut self) -> Option<bool> {
        if self.serializer != Serializer::Json {
            let more = self.left > 0;
            self.left -= usize::from(more);
            return Some(more);
        }
        let at = json::skip_space(self.bytes, self.at);
        match self.bytes.get(at)? {
            b',' => {
                self.at = json::skip_space(self.bytes, at + 1);
                Some(true)
            }
            b']' => {
                self.at = at + 1;
                Some(false)
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn required(&mut self) -> Option<()> {
        self.more()?.then_some(())
    }

    #[inline(always)]
    fn unsigned(&mut self) -> Option<u64> {
        let (value, len) = shortcut::unsigned(self.serializer, self.rest())?;
        self.at += len;
        Some(value)
    }

    #[inline(always)]
    fn empty_dict(&mut self) -> Option<()> {
        self.at += shortcut::empty_dict(self.serializer, self.rest())?;
        Some(())
    }

    /// A text without escapes.
    #[inline(always)]
    fn text(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let (begin, len) = match (self.serializer, rest) {
            (Serializer::Json, [b'"', ..]) => match json::scan_string(self.bytes, self.at + 1) {
                Ok((end, false)) => (1, end - self.at - 1),
                _ => return None,
            },
            (Serializer::MessagePack, [first @ 0xa0..=0xbf, ..]) => (1, usize::from(first & 0x1f)),
            (Serializer::Cbor, [first @ 0x60..=0x77, ..]) => (1, usize::from(first & 0x1f)),
            (Serializer::MessagePack, [0xd9, len, ..]) | (Serializer::Cbor, [0x78, len, ..]) => {
                (2, usize::from(*len))
            }
            _ => return None,
        };
        let start = self.at + begin;
        self.at = start + len;
        if self.serializer == Serializer::Json {
            // The closing quote belongs to it.
            self.at += 1;
            return self.text.get(start..start + len);
        }
        std::str::from_utf8(self.bytes.get(start..start + len)?).ok()
    }

    /// `args`, a list, or `kwargs`, a dictionary.
    #[inline(always)]
    fn part(&mut self, is_dict: bool) -> Option<&'a [u8]> {
        const LEVELS: usize = LEVELS_MAX - 1;
        let (start, rest) = (self.at, self.rest());
        let is_expected = match is_dict {
            true => shortcut::is_dict(self.serializer, rest),
            false => shortcut::is_list(self.serializer, rest),
        };
        if !is_expected {
            return None;
        }
        let end = match self.serializer {
            // Nothing in it: the usual `args` of a message with `kwargs`.
            Serializer::MessagePack if rest.first() == Some(&0x90) => start + 1,
            Serializer::Cbor if rest.first() == Some(&0x80) => start + 1,
            Serializer::Json => json::skip(self.bytes, start, LEVELS).ok()?,
            Serializer::MessagePack => msgpack::skip(self.bytes, start, LEVELS, is_dict).ok()?,
            Serializer::Cbor => cbor::skip(self.bytes, start, LEVELS, is_dict).ok()?,
        };
        self.at = end;
        self.bytes.get(start..end)
    }
}
