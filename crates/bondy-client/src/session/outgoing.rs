//! Messages on their way out: encoded, one after the other, not framed yet.
//!
//! Handles append under the session's lock; the background task takes all of them at once, frames them and writes them
//! without the lock.

use bondy_wamp::buffer::Buffer;
use bondy_wamp::message::Message;
use bondy_wamp::serializer::Serializer;

use super::Refusal;
use crate::error::{EncodeError, SendError};

/// A buffer that has grown beyond this is not kept for the next messages.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Encoded messages in the order in which they will be sent.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Buffer,
    /// Where each message ends.
    ends: Vec<usize>,
}

impl Outgoing {
    /// Bytes of all messages.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Is there nothing to send?
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The messages.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.bytes[std::mem::replace(&mut start, *end)..*end])
    }

    /// Forgets the messages, keeping the memory where it is not much.
    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Buffer::new();
        }
    }

    /// Appends a message of at most `bytes_max`. Where that fails nothing is appended.
    pub(super) fn append(
        &mut self,
        message: &Message<'_>,
        serializer: Serializer,
        bytes_max: usize,
    ) -> Result<(), Refusal> {
        let start = self.bytes.len();
        message.encode(serializer, &mut self.bytes).map_err(EncodeError::from).map_err(SendError::from)?;
        let bytes = self.bytes.len() - start;
        if bytes > bytes_max {
            self.bytes.truncate(start);
            return Err(SendError::TooLarge { bytes, max: bytes_max }.into());
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }
}
