//! Typed values in all three serializers: one serde `Serializer` over [`Encoder`], one `Deserializer` over
//! [`Decoder`].
//!
//! A type means the same in every serializer, because a router re-encodes between them: every format counts as
//! human-readable (a type that has a text form is text everywhere), and what each value becomes stands in
//! `docs/wire-transcoding.md`.
//!
//! | serde | WAMP |
//! |---|---|
//! | unit, unit struct, `None` | null |
//! | `Some`, newtype struct | its content |
//! | integers | an integer; outside of -2^63 to 2^64-1 an error |
//! | `f32`, `f64` | a float; NaN and infinities become null in JSON, which no float type reads |
//! | `char`, text | text |
//! | bytes (`serialize_bytes`) | bytes, in JSON as text of NUL and base64 |
//! | sequences, tuples, tuple structs | a list |
//! | maps, structs | a dictionary; its keys are text, or integers as their decimal text |
//! | unit variant | its name |
//! | other variants | a dictionary of one entry: the name, and the content |
//!
//! Reading is lenient in three places: a sequence or a tuple of integers also reads bytes, an integer type also
//! reads a float without a fraction (which is how some clients write integers), and a text type reads the text of a
//! JSON string that could be taken for bytes. Text and bytes are borrowed where they stand in one piece and without
//! escapes.
//!
//! Nesting is limited as in every message: by [`DEPTH_MAX`](crate::serializer::DEPTH_MAX) inside an argument. No
//! bytes make a read panic, and none make it allocate more than in proportion to their number.
//!
//! What it does not do: messages. They have their own structs, in [`crate::message`].
//!
//! Key functions: [`encode`] and [`decode`] for one item, [`encode_payload`] and [`decode_payload`] for arguments.

mod error;
mod key;
mod payload;
mod reader;
mod value;
mod writer;

pub use error::{Error, ErrorKind};

use serde::{Deserialize, Serialize};

use crate::buffer::Buffer;
use crate::payload::{Payload, StoredPayload};
use crate::serializer::{Decoder, Encoder, Serializer};
use payload::PayloadReader;
use reader::Reader;
use writer::{Shape, Writer};

/// Appends a value as one item: an argument, or an entry of `kwargs`, options or details.
///
/// # Errors
/// The value cannot be written: see [`ErrorKind`]. Then nothing is appended.
pub fn encode<T: Serialize + ?Sized>(value: &T, encoder: &mut Encoder<'_>) -> Result<(), Error> {
    let mark = encoder.mark();
    let outcome = value.serialize(&mut Writer::new(encoder));
    if outcome.is_err() {
        encoder.rewind(mark);
    }
    outcome
}

/// Reads exactly one item, such as an argument, `args`, `kwargs` or an option, from all of the bytes.
///
/// # Errors
/// The bytes are malformed, or not what the type wants.
pub fn decode<'de, T: Deserialize<'de>>(serializer: Serializer, bytes: &'de [u8]) -> Result<T, Error> {
    let mut decoder = Decoder::new(serializer, bytes)?;
    let value = T::deserialize(Reader::new(&mut decoder)).map_err(|error| error.at(0))?;
    decoder.end()?;
    Ok(value)
}

/// A value as the arguments of a call, a result or an event: the unit as none at all, a tuple as the positional
/// arguments, and anything else as the only positional argument.
///
/// # Errors
/// The value cannot be written: see [`ErrorKind`].
pub fn encode_payload<T: Serialize + ?Sized>(
    value: &T,
    serializer: Serializer,
) -> Result<StoredPayload, Error> {
    let mut args = Buffer::new();
    let mut encoder = Encoder::new(serializer, &mut args);
    encoder.begin_list(1);
    let shape = Writer::new(&mut encoder).write_payload(value)?;
    encoder.end_list();
    match shape {
        Shape::Unit => args.clear(),
        Shape::Tuple => unwrap_only_item(serializer, &mut args),
        Shape::Other => {}
    }
    Ok(StoredPayload::of_args(serializer, args))
}

/// From a list of one item to that item. The header of such a list is one byte in every serializer, and only JSON
/// has an end.
fn unwrap_only_item(serializer: Serializer, list: &mut Buffer) {
    list.remove(0);
    if serializer == Serializer::Json {
        list.pop();
    }
}

/// Reads the arguments of a call, a result or an event.
///
/// - The unit, and serde's `IgnoredAny`, accept any arguments.
/// - A tuple is read from the positional arguments, of which there must be as many.
/// - A struct or a map is read from the keyword arguments, where there are those alone, else from the only
///   positional argument.
/// - An option is `None` where there are no arguments, or where the only one is null.
/// - Any other type is the only positional argument. Keyword arguments besides are not looked at.
///
/// # Errors
/// The arguments are not what the type wants.
pub fn decode_payload<'de, T: Deserialize<'de>>(payload: Payload<'de>) -> Result<T, Error> {
    T::deserialize(PayloadReader::new(payload))
}
