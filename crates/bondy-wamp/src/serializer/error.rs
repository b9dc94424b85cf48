//! What can be wrong with the bytes of a message or of an item.

use super::{DEPTH_MAX, Serializer};
use crate::id::RequestId;
use crate::message::MessageType;

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (at byte {offset})")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Where, in bytes from the beginning of what was parsed: at, or a little before, the first wrong byte.
    pub offset: usize,
    /// The request, where nothing but its `args` or `kwargs` is wrong and it can be answered with ERROR.
    pub request: Option<(MessageType, RequestId)>,
}

/// What is wrong with bytes that were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// A value, or a declared length, goes beyond the last byte.
    #[error("the bytes end inside a value")]
    Truncated,
    /// There is more than one value.
    #[error("bytes follow after the end of the value")]
    TrailingBytes,
    /// A WebSocket is closed with 1007 for this.
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// JSON only. The other serializers, and UTF-8, cannot carry half of a surrogate pair.
    #[error("a string escape stands for half of a surrogate pair")]
    LoneSurrogate,
    /// Lists, dictionaries and tags inside each other.
    #[error("nesting is deeper than {DEPTH_MAX}")]
    TooDeep,
    /// Not the grammar of the serializer.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// A value of another kind was read than the one that stands there.
    #[error("{0} expected")]
    Expected(&'static str),
    /// The first element of a message is none of the message types.
    #[error("unknown message type {0}")]
    UnknownType(u64),
    /// A message has too few or too many elements.
    #[error("{message_type} has {} elements", if *.missing { "too few" } else { "too many" })]
    Arity {
        /// The message.
        message_type: MessageType,
        /// Too few, not too many.
        missing: bool,
    },
    /// An element of a message has the wrong type or an impossible value.
    #[error("{message_type}: {element} must be {expected}")]
    Element {
        /// The message.
        message_type: MessageType,
        /// The element, named as in the specification.
        element: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// An option or detail has the wrong type or a value outside its closed set.
    #[error("{message_type}: option `{key}` must be {expected}")]
    Option {
        /// The message.
        message_type: MessageType,
        /// The key.
        key: &'static str,
        /// What the value should be.
        expected: &'static str,
    },
}

impl ParseErrorKind {
    /// The error at this place.
    #[cold]
    pub(crate) fn at(self, offset: usize) -> ParseError {
        ParseError { kind: self, offset, request: None }
    }
}

/// A dictionary has a key that its serializer does not allow.
#[cold]
pub(super) fn no_text_key(at: usize) -> ParseError {
    ParseErrorKind::Malformed("a key must be text").at(at)
}

/// An item that cannot be re-encoded, because it is not one well-formed item of its serializer.
///
/// Items that [`crate::message::parse`] has let through never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot re-encode an item from {from} to {to}")]
pub struct TranscodeError {
    /// The serializer of the item.
    pub from: Serializer,
    /// The serializer wanted.
    pub to: Serializer,
    /// What is wrong with the item.
    #[source]
    pub cause: ParseError,
}
