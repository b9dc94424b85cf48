//! Every message in every serializer: there and back, cut short, and with something behind it.

use bondy_wamp::id::RequestId;
use bondy_wamp::message::{self, Attributes, Message, MessageType, Yield};
use bondy_wamp::payload::Payload;
use bondy_wamp::serializer::{Encoder, ParseErrorKind, Serializer};
use bondy_wamp::value::Value;

use crate::sample;

fn encoded(message: &Message<'_>, serializer: Serializer) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(serializer, &mut out).unwrap();
    out
}

#[test]
fn every_message_type_is_sampled() {
    let sampled: Vec<MessageType> =
        sample::messages(Serializer::Cbor).iter().map(Message::message_type).collect();
    for message_type in MessageType::ALL {
        assert!(sampled.contains(&message_type), "{message_type}");
        assert_eq!(MessageType::try_from(message_type.code()), Ok(message_type));
    }
    assert_eq!(MessageType::try_from(7).unwrap_err().to_string(), "unknown message type 7");
}

#[test]
fn every_message_survives_every_serializer() {
    for serializer in Serializer::ALL {
        for message in sample::messages(serializer) {
            let bytes = encoded(&message, serializer);
            assert_eq!(message::parse(serializer, &bytes).unwrap(), message);
        }
    }
}

#[test]
fn every_message_survives_a_detour_through_every_other_serializer() {
    for serializer in Serializer::ALL {
        for target in Serializer::ALL {
            for message in sample::messages(serializer) {
                let there = encoded(&message, target);
                let message_there = message::parse(target, &there).unwrap();
                let back = encoded(&message_there, serializer);
                // Containers that came from JSON have longer headers than necessary, so that means, not bytes,
                // are compared.
                let values = |bytes: &[u8]| {
                    bondy_wamp::serializer::Decoder::message(serializer, bytes).unwrap().value()
                };
                assert_eq!(values(&back).unwrap(), values(&encoded(&message, serializer)).unwrap());
            }
        }
    }
}

#[test]
fn a_message_cut_short_anywhere_is_an_error() {
    for serializer in Serializer::ALL {
        for message in sample::messages(serializer) {
            let bytes = encoded(&message, serializer);
            for len in 0..bytes.len() {
                let error = message::parse(serializer, &bytes[..len]).unwrap_err();
                // JSON numbers have no end of their own, so that half of one may be another number.
                assert!(
                    error.kind == ParseErrorKind::Truncated || serializer.is_text(),
                    "{error} for {len} bytes of {message:?}"
                );
                assert!(error.offset <= len);
            }
        }
    }
}

#[test]
fn nothing_may_follow_a_message_but_white_space_in_json() {
    for serializer in Serializer::ALL {
        for message in sample::messages(serializer) {
            let mut bytes = encoded(&message, serializer);
            let len = bytes.len();
            bytes.push(b' ');
            let outcome = message::parse(serializer, &bytes);
            if serializer == Serializer::Json {
                assert_eq!(outcome.unwrap(), message);
                bytes.push(b'1');
                assert_eq!(message::parse(serializer, &bytes).unwrap_err().offset, len + 1);
            } else {
                let error = outcome.unwrap_err();
                assert_eq!((error.kind, error.offset), (ParseErrorKind::TrailingBytes, len));
            }
        }
    }
}

#[test]
fn a_head_is_what_the_encoder_would_write() {
    let firsts =
        [0, 1, 23, 24, 127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, 1 << 53, u64::MAX];
    for serializer in Serializer::ALL {
        for message_type in MessageType::ALL {
            for first in firsts {
                let mut expected = Vec::new();
                let mut encoder = Encoder::new(serializer, &mut expected);
                encoder.begin_list(5);
                encoder.unsigned(message_type.code());
                encoder.unsigned(first);
                let head = message::head(serializer, 5, message_type, first);
                assert_eq!(head.as_bytes(), expected);
                assert!(std::mem::size_of_val(&head) <= 32);
            }
        }
    }
}

#[test]
fn an_item_that_cannot_be_encoded_again_leaves_nothing_behind() {
    let message = Message::Yield(Yield {
        request: RequestId(1),
        progress: false,
        options: Attributes::none(Serializer::Cbor),
        payload: Payload { serializer: Serializer::Cbor, args: &[0x81], kwargs: &[] },
    });
    let mut out = vec![1, 2];
    let error = message.encode(Serializer::Json, &mut out).unwrap_err();
    assert_eq!(out, [1, 2]);
    assert_eq!(error.to_string(), "cannot re-encode an item from cbor to json");
}

#[test]
fn names_and_numbers_of_serializers_lead_back_to_them() {
    for serializer in Serializer::ALL {
        assert_eq!(Serializer::ALL[serializer.index()], serializer);
        assert_eq!(Serializer::from_rawsocket_id(serializer.rawsocket_id()), Some(serializer));
        for batched in [false, true] {
            let name = serializer.subprotocol(batched);
            assert_eq!(Serializer::from_subprotocol(name), Some((serializer, batched)));
        }
    }
    assert_eq!(Serializer::from_rawsocket_id(0), None);
    assert_eq!(Serializer::from_subprotocol("wamp.2.JSON"), None);
}

#[test]
fn a_payload_outlives_its_message_in_one_piece() {
    let args = Value::List(vec![Value::from(1)]).to_bytes(Serializer::Json);
    let payload = Payload { serializer: Serializer::Json, args: &args, kwargs: b"{}" };
    assert_eq!(payload.to_stored().as_payload(), payload);
}
