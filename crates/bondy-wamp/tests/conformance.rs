//! The official test vectors of the WAMP specification, one test for each sample and serializer.
//!
//! A serialization sample must parse to the attributes that it expects, in each of our serializers, and must be
//! encoded again to one of the encodings given. A validation sample must be accepted, or refused with an error
//! that names the key. `tests/vectors/README.md` says where the vectors come from.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::path::{Path, PathBuf};

use bondy_wamp::message::{self, Message};
use bondy_wamp::serializer::{Decoder, ParseErrorKind, Serializer, transcode};
use bondy_wamp::value::Value;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value as Json;

/// Encodings of the samples that this router does not speak.
const SKIPPED_SERIALIZERS: [&str; 2] = ["ubjson", "flatbuffers"];

/// A message of the test suite that is not in the specification: it must be refused as unknown.
const NOT_IN_THE_SPECIFICATION: u64 = 337;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/singlemessage");
    let mut trials = Vec::new();
    for path in vector_files(&root) {
        add_trials(&path, &mut trials);
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

#[expect(clippy::disallowed_methods, reason = "a test reads its vectors from files")]
fn read(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn vector_files(root: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = ["basic", "advanced"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn add_trials(path: &Path, trials: &mut Vec<Trial>) {
    let file = read(path);
    let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
    for (index, sample) in file["samples"].as_array().unwrap().iter().enumerate() {
        let name = format!("{stem}_{index}");
        for serializer in Serializer::ALL {
            let sample = sample.clone();
            let name = format!("{name}_{serializer}");
            if sample.get("wmsg").is_some() {
                trials.push(Trial::test(name, move || validation(&sample, serializer)));
            } else {
                trials.push(Trial::test(name, move || serialization(&sample, serializer)));
            }
        }
        for skipped in SKIPPED_SERIALIZERS.iter().filter(|name| sample["serializers"].get(name).is_some()) {
            trials.push(Trial::test(format!("{name}_{skipped}"), || Ok(())).with_ignored_flag(true));
        }
    }
}

fn encodings(sample: &Json, serializer: Serializer) -> Vec<Vec<u8>> {
    let variants = sample["serializers"][serializer.as_str()].as_array().unwrap();
    variants
        .iter()
        .map(|variant| match variant["bytes"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => hex(variant["bytes_hex"].as_str().unwrap()),
        })
        .collect()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn serialization(sample: &Json, serializer: Serializer) -> Result<(), Failed> {
    let attributes = &sample["expected_attributes"];
    let variants = encodings(sample, serializer);
    assert!(!variants.is_empty());
    for bytes in &variants {
        if attributes["message_type"] == NOT_IN_THE_SPECIFICATION {
            let error = message::parse(serializer, bytes).unwrap_err();
            assert_eq!(error.kind, ParseErrorKind::UnknownType(NOT_IN_THE_SPECIFICATION));
            continue;
        }
        let message = message::parse(serializer, bytes)?;
        assert_eq!(message.message_type().code(), attributes["message_type"].as_u64().unwrap());
        compare_attributes(&message, serializer, bytes, attributes);
        compare_encoding(&message, serializer, &variants);
    }
    Ok(())
}

/// What the message means must be what the sample expects. The message as parsed is turned back into a list, so
/// that nothing is compared that the parser has not understood or kept.
fn compare_attributes(message: &Message<'_>, serializer: Serializer, bytes: &[u8], attributes: &Json) {
    let mut again = Vec::new();
    message.encode(serializer, &mut again).unwrap();
    let list = decoded(serializer, &again);
    let names = elements(message);
    for (name, expected) in attributes.as_object().unwrap() {
        let expected = value_of(expected);
        let position = names.iter().position(|element| element == name);
        match name.as_str() {
            "message_type" => assert_eq!(list[0], expected),
            // Details that are no list of elements of their own.
            "roles" => assert_eq!(roles(serializer, bytes, list.len() - 1), expected),
            // Legacy opaque payload, given in hexadecimal digits.
            "payload" => match expected.as_str() {
                Some(digits) => assert_eq!(list.last(), Some(&Value::Binary(hex(digits)))),
                None => assert_eq!(expected, Value::Null),
            },
            "options" if list[0] == Value::from(49) || list[0] == Value::from(69) => {
                // The mode is always written, also where it is the default.
                assert_eq!(expected, Value::Dict(Default::default()));
            }
            "args" if attributes["payload"].is_string() => assert_eq!(expected, Value::Null),
            _ => {
                let position = position.unwrap_or_else(|| panic!("no element for {name}"));
                assert_eq!(list.get(position).unwrap_or(&Value::Null), &expected, "{name}");
            }
        }
    }
}

fn decoded(serializer: Serializer, bytes: &[u8]) -> Vec<Value> {
    match Decoder::message(serializer, bytes).unwrap().value().unwrap() {
        Value::List(values) => values,
        other => panic!("not a list: {other:?}"),
    }
}

/// The roles in the details of HELLO or WELCOME, with the features that the parser fills in left out.
fn roles(serializer: Serializer, bytes: &[u8], position: usize) -> Value {
    decoded(serializer, bytes)[position].entry("roles").cloned().unwrap()
}

/// The names that the vectors give to the elements of each message.
fn elements(message: &Message<'_>) -> &'static [&'static str] {
    match message {
        Message::Hello(_) => &["", "realm", ""],
        Message::Welcome(_) => &["", "session_id", ""],
        Message::Abort(_) | Message::Goodbye(_) => &["", "details", "reason"],
        Message::Challenge(_) => &["", "method", "extra"],
        Message::Authenticate(_) => &["", "signature", "extra"],
        Message::Error(_) => &["", "request_type", "request_id", "details", "error", "args", "kwargs"],
        Message::Publish(_) => &["", "request_id", "options", "topic", "args", "kwargs"],
        Message::Published(_) => &["", "request_id", "publication_id"],
        Message::Subscribe(_) => &["", "request_id", "options", "topic"],
        Message::Subscribed(_) | Message::Unsubscribe(_) => &["", "request_id", "subscription_id"],
        Message::Unsubscribed(_) | Message::Unregistered(_) => &["", "request_id"],
        Message::Event(_) => &["", "subscription", "publication", "details", "args", "kwargs"],
        Message::Call(_) => &["", "request_id", "options", "procedure", "args", "kwargs"],
        Message::Cancel(_) | Message::Interrupt(_) => &["", "request_id", "options"],
        Message::Result(_) => &["", "request_id", "details", "args", "kwargs"],
        Message::Register(_) => &["", "request_id", "options", "procedure"],
        Message::Registered(_) | Message::Unregister(_) => &["", "request_id", "registration_id"],
        Message::Invocation(_) => &["", "request_id", "registration_id", "details", "args", "kwargs"],
        Message::Yield(_) => &["", "request_id", "options", "args", "kwargs"],
    }
}

/// The message must be encoded to one of the variants: the same bytes, or for JSON the same value. HELLO, CANCEL
/// and INTERRUPT are written more explicitly than in the samples.
fn compare_encoding(message: &Message<'_>, serializer: Serializer, variants: &[Vec<u8>]) {
    if matches!(message, Message::Hello(_) | Message::Cancel(_) | Message::Interrupt(_)) {
        return;
    }
    let mut again = Vec::new();
    message.encode(serializer, &mut again).unwrap();
    let found = match serializer {
        Serializer::Json => {
            variants.iter().any(|variant| decoded(serializer, variant) == decoded(serializer, &again))
        }
        Serializer::MessagePack | Serializer::Cbor => variants.contains(&again),
    };
    assert!(found, "{message:?} became {again:02x?}");
}

/// A list of plain JSON values, parsed in each serializer.
fn validation(sample: &Json, serializer: Serializer) -> Result<(), Failed> {
    let bytes = validation_bytes(&sample["wmsg"], serializer);
    let outcome = message::parse(serializer, &bytes);
    let Some(expected) = sample.get("expected_error").filter(|expected| !expected.is_null()) else {
        outcome?;
        return Ok(());
    };
    assert_eq!(expected["type"], "protocol_violation");
    let text = outcome.unwrap_err().to_string();
    let key = format!("`{}`", expected["contains"].as_str().unwrap());
    assert!(text.contains(&key), "{text} does not name {key}");
    Ok(())
}

/// The sample in a serializer. Four samples write the opaque payload as hexadecimal digits where their own
/// description means bytes; it is made binary here.
fn validation_bytes(wmsg: &Json, serializer: Serializer) -> Vec<u8> {
    let Value::List(mut list) = value_of(wmsg) else { panic!("not a list") };
    let opaque = list.iter().any(|element| element.entry("enc_algo").is_some());
    if let (true, Some(Value::String(digits))) = (opaque, list.last()) {
        let payload = Value::Binary(hex(digits));
        list.pop();
        list.push(payload);
    }
    Value::List(list).to_bytes(serializer)
}

fn value_of(json: &Json) -> Value {
    let mut bytes = Vec::new();
    transcode(Serializer::Json, json.to_string().as_bytes(), Serializer::Cbor, &mut bytes).unwrap();
    Value::decode(Serializer::Cbor, &bytes).unwrap()
}
