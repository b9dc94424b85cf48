//! Appends values to a buffer, in any of the serializers.

use super::{Serializer, TranscodeError, cbor, json, msgpack, text, transcode};
use crate::buffer::Buffer;

/// Appends values in one serializer to a buffer.
///
/// Values are written in the order of the calls: `begin_list(2)`, two items, `end_list()`; `begin_dict(1)`,
/// `key("a")`, one item, `end_dict()`. The caller keeps the promised lengths; a wrong one gives malformed bytes.
/// Strings and binaries above 4 GiB (no message is that long) are cut to what a 32-bit length can say.
#[derive(Debug)]
pub struct Encoder<'o> {
    serializer: Serializer,
    out: &'o mut Buffer,
    /// JSON only: a comma must precede the next item. So separators need no stack: beginning a container and a
    /// key clear it, every finished item sets it.
    comma: bool,
}

/// A place in the output of an [`Encoder`].
#[cfg(feature = "serde")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    len: usize,
    comma: bool,
}

impl<'o> Encoder<'o> {
    /// Appends to this buffer.
    #[inline(always)]
    pub fn new(serializer: Serializer, out: &'o mut Buffer) -> Self {
        Self { serializer, out, comma: false }
    }

    /// Continues a list whose header and first elements are written elsewhere, by [`crate::message::head`].
    #[inline(always)]
    pub fn tail(serializer: Serializer, out: &'o mut Buffer) -> Self {
        Self { serializer, out, comma: true }
    }

    /// The serializer.
    #[inline(always)]
    pub fn serializer(&self) -> Serializer {
        self.serializer
    }

    /// Calls `write` with an encoder of which the compiler knows the serializer, which is this one's.
    #[inline(always)]
    pub(super) fn with<R>(&mut self, serializer: Serializer, write: impl FnOnce(&mut Encoder<'_>) -> R) -> R {
        let mut known = Encoder { serializer, out: &mut *self.out, comma: self.comma };
        let result = write(&mut known);
        self.comma = known.comma;
        result
    }

    /// How many bytes there are, with those that were there before.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Where the output stands, for [`Encoder::rewind`].
    #[cfg(feature = "serde")]
    pub(crate) fn mark(&self) -> Mark {
        Mark { len: self.out.len(), comma: self.comma }
    }

    /// Takes back everything written since the mark.
    #[cfg(feature = "serde")]
    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.out.truncate(mark.len);
        self.comma = mark.comma;
    }

    /// What was there and what has been appended.
    pub(crate) fn out(&mut self) -> &mut Buffer {
        self.out
    }

    #[inline(always)]
    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    /// Begins a list of `len` items.
    #[inline(always)]
    pub fn begin_list(&mut self, len: usize) {
        match self.serializer {
            Serializer::Json => self.open(b'['),
            Serializer::MessagePack => msgpack::write_list(self.out, len),
            Serializer::Cbor => cbor::write_head(self.out, cbor::LIST, len as u64),
        }
    }

    /// Ends the list begun last.
    #[inline(always)]
    pub fn end_list(&mut self) {
        if self.serializer == Serializer::Json {
            self.close(b']');
        }
    }

    /// Begins a dictionary of `len` entries.
    #[inline(always)]
    pub fn begin_dict(&mut self, len: usize) {
        match self.serializer {
            Serializer::Json => self.open(b'{'),
            Serializer::MessagePack => msgpack::write_dict(self.out, len),
            Serializer::Cbor => cbor::write_head(self.out, cbor::DICT, len as u64),
        }
    }

    /// Ends the dictionary begun last.
    #[inline(always)]
    pub fn end_dict(&mut self) {
        if self.serializer == Serializer::Json {
            self.close(b'}');
        }
    }

    #[inline(always)]
    fn open(&mut self, bracket: u8) {
        self.separate();
        self.out.push(bracket);
        self.comma = false;
    }

    #[inline(always)]
    fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.comma = true;
    }

    /// A key of a dictionary; its value follows.
    #[inline(always)]
    pub fn key(&mut self, key: &str) {
        self.key_bytes(key.as_bytes());
    }

    /// A key whose bytes are known to be UTF-8.
    #[inline(always)]
    pub(super) fn key_bytes(&mut self, key: &[u8]) {
        self.string_bytes(key);
        self.end_key();
    }

    /// The item just written was a key.
    #[inline(always)]
    pub(super) fn end_key(&mut self) {
        if self.serializer == Serializer::Json {
            self.out.push(b':');
            self.comma = false;
        }
    }

    /// Null.
    #[inline(always)]
    pub fn null(&mut self) {
        match self.serializer {
            Serializer::Json => self.word(b"null"),
            Serializer::MessagePack => self.out.push(msgpack::NIL),
            Serializer::Cbor => self.out.push(cbor::NULL),
        }
    }

    /// A boolean.
    #[inline(always)]
    pub fn bool(&mut self, value: bool) {
        match self.serializer {
            Serializer::Json => self.word(if value { b"true" } else { b"false" }),
            Serializer::MessagePack => self.out.push(msgpack::FALSE + u8::from(value)),
            Serializer::Cbor => self.out.push(cbor::FALSE + u8::from(value)),
        }
    }

    #[inline(always)]
    fn word(&mut self, word: &[u8]) {
        self.separate();
        self.out.extend_from_slice(word);
    }

    /// An unsigned integer.
    #[inline(always)]
    pub fn unsigned(&mut self, value: u64) {
        match self.serializer {
            Serializer::Json => {
                self.separate();
                self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
            }
            Serializer::MessagePack => msgpack::write_unsigned(self.out, value),
            Serializer::Cbor => cbor::write_head(self.out, cbor::UNSIGNED, value),
        }
    }

    /// Any integer. One that the serializer cannot carry becomes the nearest float: MessagePack has 64 bits
    /// signed or unsigned, CBOR -2^64 to 2^64-1, JSON has no limit.
    #[inline(always)]
    pub fn integer(&mut self, value: i128) {
        match u64::try_from(value) {
            Ok(value) => self.unsigned(value),
            Err(_) => self.unusual_integer(value),
        }
    }

    fn unusual_integer(&mut self, value: i128) {
        let written = match self.serializer {
            Serializer::Json => {
                self.separate();
                self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
                true
            }
            Serializer::MessagePack => match i64::try_from(value) {
                Ok(value) => {
                    msgpack::write_negative(self.out, value);
                    true
                }
                Err(_) => false,
            },
            Serializer::Cbor => match u64::try_from(-1 - value.min(0)) {
                Ok(complement) if value < 0 => {
                    cbor::write_head(self.out, cbor::NEGATIVE, complement);
                    true
                }
                _ => false,
            },
        };
        if !written {
            self.float(value as f64);
        }
    }

    /// A float, exact to the bit. JSON has no NaN and no infinities: they become null.
    #[inline(always)]
    pub fn float(&mut self, value: f64) {
        match self.serializer {
            Serializer::Json if value.is_finite() => {
                self.separate();
                self.out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
            }
            Serializer::Json => self.word(b"null"),
            Serializer::MessagePack => msgpack::write_float(self.out, value),
            Serializer::Cbor => cbor::write_float(self.out, value),
        }
    }

    /// Text.
    #[inline(always)]
    pub fn string(&mut self, string: &str) {
        self.string_bytes(string.as_bytes());
    }

    /// Text whose bytes are known to be UTF-8.
    #[inline(always)]
    pub(super) fn string_bytes(&mut self, text: &[u8]) {
        match self.serializer {
            Serializer::Json => {
                self.separate();
                json::write_string(self.out, text);
            }
            Serializer::MessagePack => msgpack::write_string(self.out, text),
            Serializer::Cbor => cbor::write_bytes(self.out, cbor::TEXT, text),
        }
    }

    /// Text that stands in `bytes`, known to be UTF-8: faster than [`Encoder::string`] if something follows it there.
    #[inline(always)]
    pub(super) fn string_at(&mut self, bytes: &[u8], at: usize, len: usize) {
        match self.serializer {
            Serializer::Json => {
                self.separate();
                json::write_string_at(self.out, bytes, at, len);
            }
            Serializer::MessagePack => {
                msgpack::write_string_head(self.out, len);
                text::append(self.out, bytes, at, len);
            }
            Serializer::Cbor => {
                cbor::write_head(self.out, cbor::TEXT, len as u64);
                text::append(self.out, bytes, at, len);
            }
        }
    }

    /// Bytes. In JSON: a string of `\u0000` and the bytes in base64 (Basic Profile, "Binary conversion of JSON
    /// Strings").
    pub fn binary(&mut self, bytes: &[u8]) {
        match self.serializer {
            Serializer::Json => {
                self.separate();
                json::write_binary(self.out, bytes);
            }
            Serializer::MessagePack => msgpack::write_binary(self.out, bytes),
            Serializer::Cbor => cbor::write_bytes(self.out, cbor::BYTES, bytes),
        }
    }

    /// One item that is encoded already, in this very serializer.
    #[inline(always)]
    pub fn raw(&mut self, item: &[u8]) {
        if self.serializer == Serializer::Json {
            self.separate();
        }
        self.out.extend_from_slice(item);
    }

    /// One encoded item: verbatim if it is in this serializer, else re-encoded.
    ///
    /// # Errors
    /// The item is not well-formed. What was appended until then stays; the caller takes it back.
    #[inline(always)]
    pub fn item(&mut self, source: Serializer, item: &[u8]) -> Result<(), TranscodeError> {
        if source == self.serializer {
            self.raw(item);
            Ok(())
        } else {
            transcode::transcode_item(source, item, self)
        }
    }

    /// Begins a container whose length is not known yet, and returns the position that [`Encoder::patch_len`]
    /// wants: a header of 32 bits is left to fill.
    #[inline(always)]
    pub(crate) fn begin_open(&mut self, dict: bool) -> usize {
        match self.serializer {
            Serializer::Json => self.open(if dict { b'{' } else { b'[' }),
            Serializer::MessagePack => {
                self.out.extend_from_slice(&[
                    if dict { msgpack::DICT_32 } else { msgpack::LIST_32 },
                    0,
                    0,
                    0,
                    0,
                ]);
            }
            Serializer::Cbor => {
                self.out.extend_from_slice(&[if dict { cbor::DICT_32 } else { cbor::LIST_32 }, 0, 0, 0, 0]);
            }
        }
        self.out.len()
    }

    /// Ends a container begun with [`Encoder::begin_open`].
    #[inline(always)]
    pub(crate) fn patch_len(&mut self, position: usize, len: u32) {
        if self.serializer != Serializer::Json
            && let Some(field) = self.out.get_mut(position - 4..position)
        {
            field.copy_from_slice(&len.to_be_bytes());
        }
    }
}
