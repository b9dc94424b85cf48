//! The first bytes of a message, apart from the rest.
//!
//! A message is a head (the list header, the type, the first id) and a tail. The tail is encoded before a lock is
//! taken; the id that the head carries is known only under the lock, where putting the head in front is all that
//! is left to do.

use super::MessageType;
use crate::buffer::Buffer;
use crate::serializer::Serializer;

/// The list header, the message type and the first id of a message, encoded, on the stack.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    bytes: [u8; Head::BYTES_MAX],
    len: u8,
}

impl Head {
    /// No bytes: the tail is the whole message.
    pub const NONE: Head = Head { bytes: [0; Head::BYTES_MAX], len: 0 };

    /// No head is longer.
    pub const BYTES_MAX: usize = 31;

    /// How many bytes.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes that stand before the tail.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Appends these bytes. In one piece whose size the compiler knows, then cut: faster than calling a copying function.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Buffer) {
        let end = out.len() + self.len();
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }
}

/// The head of a message of `elements` elements (type and first id included; at most 15) whose first element
/// behind the type is the integer `first`.
#[inline]
pub fn head(serializer: Serializer, elements: usize, message_type: MessageType, first: u64) -> Head {
    debug_assert!((2..=15).contains(&elements), "messages have 2 to 7 elements");
    let mut head = Head::NONE;
    let code = message_type.code() as u8;
    match serializer {
        Serializer::Json => {
            head.push(b"[");
            head.push(itoa::Buffer::new().format(code).as_bytes());
            head.push(b",");
            head.push(itoa::Buffer::new().format(first).as_bytes());
        }
        Serializer::MessagePack => {
            // A message type is at most 70, hence a one-byte integer.
            head.push(&[0x90 | elements as u8, code]);
            push_number(&mut head, first, 0x7f, 0xcc);
        }
        Serializer::Cbor => {
            head.push(&[0x80 | elements as u8]);
            push_number(&mut head, u64::from(code), 23, 24);
            push_number(&mut head, first, 23, 24);
        }
    }
    head
}

/// An unsigned integer, the same way in MessagePack and CBOR: one byte up to `small_max`, else a first byte from
/// `sized` on for 1, 2, 4 and 8 bytes.
#[inline]
fn push_number(head: &mut Head, number: u64, small_max: u64, sized: u8) {
    match number {
        _ if number <= small_max => head.push(&[number as u8]),
        0..0x100 => head.push(&[sized, number as u8]),
        0x100..0x1_0000 => {
            head.push(&[sized + 1]);
            head.push(&(number as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            head.push(&[sized + 2]);
            head.push(&(number as u32).to_be_bytes());
        }
        _ => {
            head.push(&[sized + 3]);
            head.push(&number.to_be_bytes());
        }
    }
}
