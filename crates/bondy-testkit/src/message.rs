//! WAMP messages as JSON values, and the bytes of every serializer.
//!
//! Binary is what the specification makes of it in JSON: a text of U+0000 and base64 (Basic Profile, "Binary conversion
//! of JSON Strings"). So a message looks the same in a test, whatever the serializer of its connection is.
//!
//! Nothing is checked here beyond the serialization: a list of anything is a message, because tests also say what is
//! wrong.

use bondy_wamp::message::MessageType;
use bondy_wamp::serializer::{Serializer, transcode};
use serde_json::Value;

/// Why bytes are no message, or a value cannot be written as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The bytes are not of this serializer.
    #[error("not one value in {serializer}: {reason}")]
    Malformed {
        /// The serializer of the connection.
        serializer: Serializer,
        /// What is wrong, and where.
        reason: String,
    },
}

/// The JSON form of a message.
pub(crate) fn decode(serializer: Serializer, bytes: &[u8]) -> Result<Value, MessageError> {
    let malformed = |reason: String| MessageError::Malformed { serializer, reason };
    if serializer == Serializer::Json {
        return serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()));
    }
    let mut text = Vec::new();
    transcode(serializer, bytes, Serializer::Json, &mut text)
        .map_err(|error| malformed(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))
}

/// The bytes of a message in this serializer.
pub(crate) fn encode(serializer: Serializer, message: &Value) -> Result<Vec<u8>, MessageError> {
    let text = message.to_string().into_bytes();
    let mut bytes = Vec::new();
    match transcode(Serializer::Json, &text, serializer, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(MessageError::Malformed { serializer, reason: error.to_string() }),
    }
}

/// The type of a message, where it has one.
pub(crate) fn type_of(message: &Value) -> Option<MessageType> {
    MessageType::try_from(message.get(0)?.as_u64()?).ok()
}

/// The type of this name, in any case.
pub(crate) fn type_named(name: &str) -> Option<MessageType> {
    MessageType::ALL.into_iter().find(|one| one.as_str().eq_ignore_ascii_case(name))
}

/// The longest description of a message, in characters.
const DESCRIPTION_CHARS_MAX: usize = 400;

/// The message for people: its name and its elements.
pub(crate) fn describe(message: &Value) -> String {
    match (type_of(message), message.as_array()) {
        (Some(name), Some(elements)) => {
            let elements: Vec<String> = elements.iter().skip(1).map(Value::to_string).collect();
            shorten(format!("{name} {}", elements.join(" ")))
        }
        (None, _) | (_, None) => shorten(message.to_string()),
    }
}

/// A text of bearable length.
pub(crate) fn shorten(text: String) -> String {
    match text.char_indices().nth(DESCRIPTION_CHARS_MAX) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_is_the_same_in_every_serializer() {
        let message =
            json!([48, 7, {}, "com.example.add", [1, -2, 1.5, null, "\u{0}AQI=", "ä"], {"k": [{}]}]);
        for serializer in Serializer::ALL {
            let bytes = encode(serializer, &message).unwrap();
            assert_eq!(decode(serializer, &bytes), Ok(message.clone()), "{serializer}");
        }
    }

    #[test]
    fn what_is_no_message_says_so() {
        for serializer in Serializer::ALL {
            let error = decode(serializer, b"[1,").unwrap_err();
            assert!(error.to_string().contains(serializer.as_str()), "{error}");
        }
    }

    #[test]
    fn descriptions_name_the_type_and_are_short() {
        assert_eq!(describe(&json!([50, 1, {}, [3]])), "RESULT 1 {} [3]");
        assert_eq!(describe(&json!("x")), "\"x\"");
        assert!(describe(&json!([50, 1, {}, ["ä".repeat(1000)]])).len() < 900);
    }
}
