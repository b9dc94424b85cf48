//! The client's framing as bytes, in both directions.

use bondy_transport::client::{Codec, CodecError, MessageTooLarge, Received};
use bondy_transport::rawsocket::{self, FrameError, FrameKind, MaxLength, Negotiated};
use bondy_transport::websocket::close::{Close, CloseCode, append_close};
use bondy_transport::websocket::decoder::{Event, MessageKind, Settings};
use bondy_transport::websocket::frame::{FrameHeader, Opcode, append_frame};
use bondy_transport::websocket::{ProtocolError, Role};
use bondy_wamp::serializer::Serializer;
use std::borrow::Cow;

use crate::client_oracle::{client_codec, client_upgrade, received_in_pieces};
use crate::oracle;

const MESSAGE_BYTES_MAX: usize = 1024;

fn websocket(serializer: Serializer) -> Codec {
    Codec::websocket(serializer, MESSAGE_BYTES_MAX).unwrap()
}

fn rawsocket(send_bytes_max: usize) -> Codec {
    Codec::rawsocket(Negotiated {
        serializer: Serializer::MessagePack,
        send_max: MaxLength::announcing(send_bytes_max),
        receive_max: MaxLength::announcing(MESSAGE_BYTES_MAX),
    })
}

/// What a server makes of the bytes that a client wrote.
fn at_server(kind: MessageKind, wire: &[u8]) -> Vec<Event<'static>> {
    let settings = Settings {
        role: Role::Server,
        message_bytes_max: 1 << 20,
        deflate: false,
        kind: Some(kind),
        check_text: true,
    };
    let (events, error) = oracle::events(settings, wire, || usize::MAX);
    assert_eq!(error, None);
    events
}

fn close(code: Option<CloseCode>, reason: &str) -> Close<'static> {
    Close { code, reason: Cow::Owned(reason.to_owned()) }
}

#[test]
fn websocket_messages_and_control_frames_come_whole_however_they_are_cut() {
    let mut wire = Vec::new();
    append_frame(FrameHeader::whole(Opcode::Text, 0), b"[1]", &mut wire);
    append_frame(FrameHeader::whole(Opcode::Ping, 0), b"p", &mut wire);
    append_frame(FrameHeader { fin: false, ..FrameHeader::whole(Opcode::Text, 0) }, b"[2", &mut wire);
    append_frame(FrameHeader::whole(Opcode::Pong, 0), b"", &mut wire);
    append_frame(FrameHeader::whole(Opcode::Continuation, 0), &[b' '; 200], &mut wire);
    append_close(Some(CloseCode::GOING_AWAY), "bye", None, &mut wire);
    let expected = vec![
        Received::Message(b"[1]".into()),
        Received::Ping(b"p".into()),
        Received::Pong(b"".into()),
        Received::Message([&b"[2"[..], &[b' '; 200]].concat().into()),
        Received::Close(close(Some(CloseCode::GOING_AWAY), "bye")),
    ];
    for piece in 1..=wire.len() {
        let (received, error) = received_in_pieces(&mut websocket(Serializer::Json), &wire, piece);
        assert_eq!((received, error), (expected.clone(), None), "pieces of {piece} bytes");
    }
}

#[test]
fn rawsocket_messages_and_control_frames_come_whole_however_they_are_cut() {
    let mut wire = Vec::new();
    assert!(rawsocket::append_frame(&mut wire, FrameKind::Message, b"\x91\x01"));
    assert!(rawsocket::append_frame(&mut wire, FrameKind::Ping, b""));
    assert!(rawsocket::append_frame(&mut wire, FrameKind::Pong, b"pong"));
    assert!(rawsocket::append_frame(&mut wire, FrameKind::Message, &[0xc0; 1024]));
    let expected = vec![
        Received::Message(b"\x91\x01".into()),
        Received::Ping(b"".into()),
        Received::Pong(b"pong".into()),
        Received::Message(vec![0xc0; 1024].into()),
    ];
    for piece in 1..=wire.len() {
        let (received, error) = received_in_pieces(&mut rawsocket(1024), &wire, piece);
        assert_eq!((received, error), (expected.clone(), None), "pieces of {piece} bytes");
    }
}

#[test]
fn messages_that_lie_whole_in_the_buffer_are_not_copied() {
    let mut wire = Vec::new();
    append_frame(FrameHeader::whole(Opcode::Binary, 0), b"abc", &mut wire);
    assert!(rawsocket::append_frame(&mut wire, FrameKind::Message, b"abc"));
    let (mut left, mut right) = wire.split_at_mut(5);
    for (mut codec, bytes) in [(websocket(Serializer::Cbor), &mut left), (rawsocket(512), &mut right)] {
        let received = codec.next(bytes).unwrap();
        assert!(matches!(received, Received::Message(Cow::Borrowed(b"abc"))), "{received:?}");
        assert!(bytes.is_empty());
    }
}

#[test]
fn messages_are_masked_with_a_key_of_their_own() {
    for (serializer, kind) in [
        (Serializer::Json, MessageKind::Text),
        (Serializer::MessagePack, MessageKind::Binary),
        (Serializer::Cbor, MessageKind::Binary),
    ] {
        let mut codec = websocket(serializer);
        let mut wires = Vec::new();
        for length in [3, 3, 126, 70_000] {
            let message = vec![b'7'; length];
            let mut wire = Vec::new();
            codec.append_message(&message, &mut wire).unwrap();
            assert_eq!(at_server(kind, &wire), [Event::Message { kind, payload: message.into() }]);
            wires.push(wire);
        }
        assert_ne!(wires[0], wires[1], "the same message looks different");
    }
}

#[test]
fn ping_is_answered_with_its_payload() {
    let mut wire = Vec::new();
    append_frame(FrameHeader::whole(Opcode::Ping, 0), b"there?", &mut wire);
    let mut codec = websocket(Serializer::Json);
    let mut rest = &mut wire[..];
    let Received::Ping(payload) = codec.next(&mut rest).unwrap() else { panic!("no ping") };
    let mut answer = Vec::new();
    codec.append_pong(&payload, &mut answer).unwrap();
    codec.append_ping(b"and you?", &mut answer).unwrap();
    let expected = [Event::Pong(b"there?".into()), Event::Ping(b"and you?".into())];
    assert_eq!(at_server(MessageKind::Text, &answer), expected);
    let mut answer = Vec::new();
    rawsocket(512).append_pong(b"x", &mut answer).unwrap();
    rawsocket(512).append_ping(b"", &mut answer).unwrap();
    assert_eq!(answer, b"\x02\0\0\x01x\x01\0\0\0");
}

#[test]
fn close_is_sent_once() {
    let mut codec = websocket(Serializer::Json);
    let mut wire = Vec::new();
    codec.append_close(Some(CloseCode::NORMAL), "done", &mut wire);
    codec.append_close(None, "", &mut wire);
    codec.append_error(CodecError::WebSocket(ProtocolError::Masked), &mut wire);
    let expected = [Event::Close(close(Some(CloseCode::NORMAL), "done"))];
    assert_eq!(at_server(MessageKind::Text, &wire), expected);
    let mut nothing = Vec::new();
    rawsocket(512).append_close(Some(CloseCode::NORMAL), "done", &mut nothing);
    rawsocket(512).append_error(CodecError::RawSocket(FrameError::EmptyMessage), &mut nothing);
    assert!(nothing.is_empty(), "rawsocket has no frame for it");
}

#[test]
fn what_is_too_large_for_the_router_is_not_appended() {
    let mut codec = rawsocket(512);
    assert_eq!(codec.message_bytes_max(), 512);
    let mut out = b"before".to_vec();
    let too_large =
        |message_bytes, message_bytes_max| Err(MessageTooLarge { message_bytes, message_bytes_max });
    assert_eq!(codec.append_message(&[0; 513], &mut out), too_large(513, 512));
    assert_eq!(codec.append_pong(&[0; 513], &mut out), too_large(513, 512));
    assert_eq!(websocket(Serializer::Json).append_ping(&[0; 126], &mut out), too_large(126, 125));
    assert_eq!(out, b"before");
    assert_eq!(codec.append_message(&[0; 512], &mut out), Ok(()));
    assert_eq!(out.len(), 6 + 4 + 512);
}

#[test]
fn what_is_too_large_for_the_client_is_refused_by_its_header() {
    let mut codec = websocket(Serializer::Json);
    let header = FrameHeader { payload_bytes: 1025, ..FrameHeader::whole(Opcode::Text, 0) };
    let mut wire = header.encode().as_bytes().to_vec();
    let error = codec.next(&mut &mut wire[..]).unwrap_err();
    assert_eq!(error, CodecError::WebSocket(ProtocolError::MessageTooBig { bytes_max: 1024 }));
    let mut answer = Vec::new();
    codec.append_error(error, &mut answer);
    let reason = "the message is longer than the 1024 bytes allowed";
    let expected = [Event::Close(close(Some(CloseCode::MESSAGE_TOO_BIG), reason))];
    assert_eq!(at_server(MessageKind::Text, &answer), expected);

    let error = rawsocket(512).next(&mut &mut [0, 0, 4, 1][..]).unwrap_err();
    let too_long = FrameError::TooLong { length_bytes: 1025, length_bytes_max: 1024 };
    assert_eq!(error, CodecError::RawSocket(too_long));
}

#[test]
fn frames_of_the_wrong_kind_are_violations() {
    let cases: [(&[u8], ProtocolError); 4] = [
        (b"\x82\x01x", ProtocolError::UnexpectedKind),
        (b"\x81\x81abcdx", ProtocolError::Masked),
        (b"\xc1\x01x", ProtocolError::ReservedBits(0b100)),
        (b"\x80\x01x", ProtocolError::UnexpectedContinuation),
    ];
    for (wire, error) in cases {
        let received = received_in_pieces(&mut websocket(Serializer::Json), wire, usize::MAX);
        assert_eq!(received, (Vec::new(), Some(CodecError::WebSocket(error))));
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(13);
    let answer = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: wamp.2.cbor\r\n\r\n";
    for _ in 0..1000 {
        let bytes: Vec<u8> = (0..random.usize(0..40)).map(|_| random.u8(..) & random.u8(..)).collect();
        client_codec(&bytes);
        let mut bytes = answer.to_vec();
        for _ in 0..random.usize(0..4) {
            let at = random.usize(..bytes.len());
            match random.u8(0..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.insert(at, b"\r\n:, \0"[random.usize(0..6)]),
                _ => drop(bytes.drain(at..)),
            }
            if bytes.is_empty() {
                break;
            }
        }
        client_upgrade(&bytes);
    }
}
