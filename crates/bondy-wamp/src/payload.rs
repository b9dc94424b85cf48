//! The opaque part of a message: `args` and `kwargs` as the bytes they came as.
//!
//! A payload is validated once, by the skipper that found where it ends, and never decoded by the router. It is
//! re-encoded only where the two ends use different serializers, by streaming transcoding.

use crate::buffer::Buffer;
use crate::serializer::{Encoder, Serializer, TranscodeError};

/// `args` and `kwargs` of a message: validated bytes, borrowed from the message that brought them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The serializer that both are written in.
    pub serializer: Serializer,
    /// One encoded list, or empty where the message has no `args`. (With the legacy `enc_*` attributes: one
    /// encoded binary.)
    pub args: &'a [u8],
    /// One encoded dictionary, or empty where the message has no `kwargs`.
    pub kwargs: &'a [u8],
}

impl<'a> Payload<'a> {
    /// A message without `args` and `kwargs`.
    pub const fn none(serializer: Serializer) -> Self {
        Self { serializer, args: &[], kwargs: &[] }
    }

    /// How many elements of the message list this payload takes: 0, 1 or 2.
    #[inline]
    pub const fn elements(&self) -> usize {
        match (self.args.is_empty(), self.kwargs.is_empty()) {
            (true, true) => 0,
            (false, true) => 1,
            (_, false) => 2,
        }
    }

    /// Bytes of both parts.
    pub const fn len(&self) -> usize {
        self.args.len() + self.kwargs.len()
    }

    /// Is there neither `args` nor `kwargs`?
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the payload as the last elements of a message, re-encoding where the serializers differ.
    ///
    /// A message with `kwargs` and no `args` gets an empty list for `args`.
    #[inline]
    pub fn encode(&self, encoder: &mut Encoder<'_>) -> Result<(), TranscodeError> {
        if self.args.is_empty() && !self.kwargs.is_empty() {
            encoder.begin_list(0);
            encoder.end_list();
        }
        for part in [self.args, self.kwargs] {
            if !part.is_empty() {
                encoder.item(self.serializer, part)?;
            }
        }
        Ok(())
    }

    /// Copies the payload, for what outlives the message: a call that may be rerouted, a retained event.
    pub fn to_stored(&self) -> StoredPayload {
        let mut bytes = Buffer::with_capacity(self.len());
        bytes.extend_from_slice(self.args);
        bytes.extend_from_slice(self.kwargs);
        StoredPayload {
            serializer: self.serializer,
            args_len: self.args.len(),
            bytes: bytes.into_boxed_slice(),
        }
    }
}

/// A payload of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPayload {
    serializer: Serializer,
    args_len: usize,
    bytes: Box<[u8]>,
}

impl StoredPayload {
    /// Positional arguments alone: one encoded list, or nothing.
    #[cfg(feature = "serde")]
    pub(crate) fn of_args(serializer: Serializer, args: Buffer) -> Self {
        Self { serializer, args_len: args.len(), bytes: args.into_boxed_slice() }
    }

    /// The payload, borrowed.
    pub fn as_payload(&self) -> Payload<'_> {
        let (args, kwargs) = self.bytes.split_at(self.args_len);
        Payload { serializer: self.serializer, args, kwargs }
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Is there neither `args` nor `kwargs`?
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
