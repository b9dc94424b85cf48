//! The WebSocket decoder and encoder in memory, with `tungstenite` as the oracle and seeded random streams.

use std::borrow::Cow;
use std::io::{self, Cursor, Read, Write};

use bondy_transport::websocket::close::{self, CloseCode};
use bondy_transport::websocket::decoder::{Decoder, Event, MessageKind, Settings};
use bondy_transport::websocket::deflate::{Deflater, Inflater, deflate_message};
use bondy_transport::websocket::frame::{FrameHeader, Opcode, append_frame};
use bondy_transport::websocket::{ProtocolError, Role};
use fastrand::Rng;
use tungstenite::protocol::{Role as OracleRole, WebSocket};

const SERVER: Settings = Settings {
    role: Role::Server,
    message_bytes_max: 16 << 20,
    deflate: false,
    kind: None,
    check_text: true,
};
const CLIENT: Settings = Settings { role: Role::Client, ..SERVER };
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// An event in the words that the decoder and the oracle share.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message { kind: MessageKind::Text, payload } => Self::Text(payload.into_owned()),
            Event::Message { kind: MessageKind::Binary, payload } => Self::Binary(payload.into_owned()),
            Event::Ping(payload) => Self::Ping(payload.into_owned()),
            Event::Pong(payload) => Self::Pong(payload.into_owned()),
            Event::Close(close) => Self::Close(close.code.map(CloseCode::get), close.reason.into_owned()),
        }
    }
}

/// Decodes `bytes` as they arrive in reads of the lengths that `next_len` gives.
fn decode(
    settings: Settings,
    bytes: &[u8],
    next_len: impl FnMut() -> usize,
) -> (Vec<Seen>, Option<ProtocolError>) {
    let (events, error) = crate::oracle::events(settings, bytes, next_len);
    (events.into_iter().map(Seen::from).collect(), error)
}

fn decode_at_once(settings: Settings, bytes: &[u8]) -> (Vec<Seen>, Option<ProtocolError>) {
    decode(settings, bytes, || usize::MAX)
}

/// What the oracle makes of the same bytes, up to its first error.
fn decode_by_oracle(role: OracleRole, bytes: &[u8]) -> Vec<Seen> {
    let mut oracle = WebSocket::from_raw_socket(Pipe { input: Cursor::new(bytes.to_vec()) }, role, None);
    let mut seen = Vec::new();
    while let Ok(message) = oracle.read() {
        seen.push(match message {
            tungstenite::Message::Text(text) => Seen::Text(text.as_bytes().to_vec()),
            tungstenite::Message::Binary(bytes) => Seen::Binary(bytes.to_vec()),
            tungstenite::Message::Ping(bytes) => Seen::Ping(bytes.to_vec()),
            tungstenite::Message::Pong(bytes) => Seen::Pong(bytes.to_vec()),
            tungstenite::Message::Close(None) => Seen::Close(None, String::new()),
            tungstenite::Message::Close(Some(frame)) => {
                Seen::Close(Some(frame.code.into()), frame.reason.as_str().to_owned())
            }
            tungstenite::Message::Frame(_) => unreachable!("reading gives no raw frames"),
        });
    }
    seen
}

/// A stream that has been received already, and that swallows what is sent.
struct Pipe {
    input: Cursor<Vec<u8>>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn frame(header: FrameHeader, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    append_frame(header, payload, &mut out);
    out
}

/// A frame as a client sends it.
fn masked(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    frame(FrameHeader { fin, mask: Some(KEY), ..FrameHeader::whole(opcode, 0) }, payload)
}

fn text(random: &mut Rng, len: usize) -> String {
    (0..len).map(|_| *random.choice(&['a', '7', 'ß', '€', '𝄞']).unwrap()).collect()
}

/// Appends a valid stream of messages, some in fragments, with control frames between; gives its events.
fn append_stream(random: &mut Rng, role: OracleRole, out: &mut Vec<u8>) -> Vec<Seen> {
    let mut seen = Vec::new();
    for _ in 0..random.usize(1..6) {
        let is_text = random.bool();
        let len = *random.choice(&[0, 1, 30, 125, 126, 500, 70_000]).unwrap();
        let payload: Vec<u8> = match is_text {
            true => text(random, len).into_bytes(),
            false => (0..len).map(|_| random.u8(..)).collect(),
        };
        let mut opcode = if is_text { Opcode::Text } else { Opcode::Binary };
        let mut rest = &payload[..];
        for later_fragments in (0..random.usize(1..5)).rev() {
            let mask = (role == OracleRole::Client).then(|| random.u32(..).to_ne_bytes());
            if random.u8(..4) == 0 {
                let payload: Vec<u8> = (0..random.usize(..=125)).map(|_| random.u8(..)).collect();
                append_frame(FrameHeader { mask, ..FrameHeader::whole(Opcode::Ping, 0) }, &payload, out);
                seen.push(Seen::Ping(payload));
            }
            let fin = later_fragments == 0;
            let (head, tail) = rest.split_at(if fin { rest.len() } else { random.usize(..=rest.len()) });
            append_frame(FrameHeader { fin, mask, ..FrameHeader::whole(opcode, 0) }, head, out);
            (opcode, rest) = (Opcode::Continuation, tail);
        }
        seen.push(if is_text { Seen::Text(payload) } else { Seen::Binary(payload) });
    }
    seen
}

#[test]
fn our_frames_mean_the_same_to_the_oracle_and_to_us() {
    let mut random = Rng::with_seed(1);
    let ends =
        [(OracleRole::Client, OracleRole::Server, SERVER), (OracleRole::Server, OracleRole::Client, CLIENT)];
    for _ in 0..100 {
        for (sender, receiver, settings) in ends {
            let mut bytes = Vec::new();
            let expected = append_stream(&mut random, sender, &mut bytes);
            assert_eq!(decode_by_oracle(receiver, &bytes), expected);
            assert_eq!(decode_at_once(settings, &bytes), (expected, None));
        }
    }
}

#[test]
fn frames_of_the_oracle_are_read() {
    struct Sent(Vec<u8>);
    impl Read for Sent {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
    impl Write for Sent {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for (role, settings) in [(OracleRole::Client, SERVER), (OracleRole::Server, CLIENT)] {
        let mut oracle = WebSocket::from_raw_socket(Sent(Vec::new()), role, None);
        let big = vec![7; 10 << 20];
        oracle.send(tungstenite::Message::text("grüße")).unwrap();
        oracle.send(tungstenite::Message::binary(big.clone())).unwrap();
        oracle.send(tungstenite::Message::Ping("hi".into())).unwrap();
        oracle.send(tungstenite::Message::Pong("yo".into())).unwrap();
        let (code, reason) = (1001.into(), "bye".into());
        oracle.close(Some(tungstenite::protocol::CloseFrame { code, reason })).unwrap();
        let expected = vec![
            Seen::Text("grüße".into()),
            Seen::Binary(big),
            Seen::Ping("hi".into()),
            Seen::Pong("yo".into()),
            Seen::Close(Some(1001), "bye".to_owned()),
        ];
        assert_eq!(decode_at_once(settings, &oracle.get_ref().0), (expected, None));
    }
}

#[test]
fn the_cut_of_the_reads_changes_nothing() {
    let mut random = Rng::with_seed(2);
    for round in 0..60 {
        let mut bytes = Vec::new();
        let expected = (append_stream(&mut random, OracleRole::Client, &mut bytes), None);
        assert_eq!(decode(SERVER, &bytes, || random.usize(1..2000)), expected);
        assert_eq!(decode(SERVER, &bytes, || random.usize(1..20)), expected);
        if round < 10 {
            assert_eq!(decode(SERVER, &bytes, || 1), expected);
        }
    }
}

/// Bytes that look enough like frames to get deep into the decoder.
fn noise(random: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.usize(1..8) {
        let first =
            *random.choice(&[0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0x41]).unwrap();
        let len = *random.choice(&[0, 1, 2, 5, 20, 125, 126, 127]).unwrap();
        let mask_bit = if random.u8(..20) == 0 { 0 } else { 0x80 };
        bytes.extend([if random.u8(..30) == 0 { random.u8(..) } else { first }, mask_bit | len]);
        let tail_bytes = random.usize(..40);
        bytes.extend((0..tail_bytes).map(|_| random.u8(..)));
        bytes.extend(
            (4 + usize::from(len)).checked_sub(tail_bytes).map(|len| vec![0; len]).unwrap_or_default(),
        );
    }
    bytes
}

#[test]
fn noise_never_panics_and_means_the_same_however_it_is_cut() {
    let mut random = Rng::with_seed(3);
    let mut finished = 0;
    for _ in 0..50_000 {
        let bytes = noise(&mut random);
        let settings = Settings {
            role: if random.u8(..10) == 0 { Role::Client } else { Role::Server },
            message_bytes_max: random.usize(..300),
            deflate: random.bool(),
            kind: *random.choice(&[None, Some(MessageKind::Text)]).unwrap(),
            check_text: random.bool(),
        };
        let whole = decode_at_once(settings, &bytes);
        // Text may be found invalid a few bytes earlier when it comes in pieces, never with another result.
        assert_eq!(decode(settings, &bytes, || random.usize(1..30)), whole);
        for seen in &whole.0 {
            if let Seen::Text(payload) | Seen::Binary(payload) = seen {
                assert!(payload.len() <= settings.message_bytes_max);
            }
        }
        finished += usize::from(whole.1.is_none());
    }
    assert!((1000..49_000).contains(&finished), "the noise is neither all good nor all bad: {finished}");
}

#[test]
fn damaged_streams_give_no_message_that_the_oracle_does_not_give() {
    let mut random = Rng::with_seed(4);
    for _ in 0..2000 {
        let mut bytes = Vec::new();
        append_stream(&mut random, OracleRole::Client, &mut bytes);
        bytes.truncate(3000);
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u8(..8);
        }
        let (seen, _) = decode_at_once(SERVER, &bytes);
        let by_oracle = decode_by_oracle(OracleRole::Server, &bytes);
        assert!(by_oracle.starts_with(&seen), "we saw {seen:?}, the oracle {by_oracle:?}");
    }
}

#[test]
fn whole_message_is_a_slice_of_the_buffer_and_leaves_nothing_behind() {
    assert!(size_of::<Decoder>() <= 40);
    let mut bytes = [masked(Opcode::Text, true, b"one"), masked(Opcode::Binary, true, &[2; 70_000])].concat();
    let range = bytes.as_ptr_range();
    let mut input = &mut bytes[..];
    let (mut decoder, mut inflater) = (Decoder::new(SERVER), Inflater::default());
    for _ in 0..2 {
        match decoder.next(&mut input, &mut inflater) {
            Ok(Some(Event::Message { payload: Cow::Borrowed(payload), .. })) => {
                assert!(range.contains(&payload.as_ptr()));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(decoder.held_bytes(), 0);
    }
}

#[test]
fn message_in_pieces_is_freed_with_its_event() {
    let bytes = masked(Opcode::Binary, true, &[1; 1000]);
    let (mut decoder, mut inflater) = (Decoder::new(SERVER), Inflater::default());
    let (mut head, mut tail) = (bytes[..500].to_vec(), bytes[500..].to_vec());
    assert_eq!(decoder.next(&mut &mut head[..], &mut inflater), Ok(None));
    assert!(decoder.held_bytes() > 400);
    let event = decoder.next(&mut &mut tail[..], &mut inflater);
    assert_eq!(
        event,
        Ok(Some(Event::Message { kind: MessageKind::Binary, payload: Cow::Owned(vec![1; 1000]) }))
    );
    assert_eq!(decoder.held_bytes(), 0);
}

#[test]
fn message_over_the_limit_fails_before_its_bytes_arrive() {
    let settings = Settings { message_bytes_max: 100, ..SERVER };
    let too_big = Some(ProtocolError::MessageTooBig { bytes_max: 100 });
    let header = FrameHeader { mask: Some(KEY), ..FrameHeader::whole(Opcode::Binary, 101) }.encode();
    assert_eq!(decode_at_once(settings, header.as_bytes()), (vec![], too_big));

    let mut fragments = masked(Opcode::Binary, false, &[0; 60]);
    let header = FrameHeader { mask: Some(KEY), ..FrameHeader::whole(Opcode::Continuation, 41) }.encode();
    fragments.extend_from_slice(header.as_bytes());
    assert_eq!(decode_at_once(settings, &fragments), (vec![], too_big));

    let exact =
        [masked(Opcode::Binary, false, &[0; 60]), masked(Opcode::Continuation, true, &[0; 40])].concat();
    assert_eq!(decode_at_once(settings, &exact), (vec![Seen::Binary(vec![0; 100])], None));
    assert_eq!(too_big.map(ProtocolError::close_code), Some(CloseCode::MESSAGE_TOO_BIG));
}

#[test]
fn declared_length_reserves_no_memory() {
    let header = FrameHeader { mask: Some(KEY), ..FrameHeader::whole(Opcode::Binary, 16 << 20) }.encode();
    let mut bytes = [header.as_bytes(), &[0; 1000]].concat();
    let mut decoder = Decoder::new(SERVER);
    assert_eq!(decoder.next(&mut &mut bytes[..], &mut Inflater::default()), Ok(None));
    assert!((1000..2500).contains(&decoder.held_bytes()), "{}", decoder.held_bytes());
}

#[test]
fn order_of_frames_is_checked() {
    let begin = masked(Opcode::Text, false, b"a");
    let cases = [
        (masked(Opcode::Continuation, true, b""), ProtocolError::UnexpectedContinuation),
        ([begin.clone(), begin.clone()].concat(), ProtocolError::InterruptedMessage),
        ([begin, masked(Opcode::Binary, true, b"")].concat(), ProtocolError::InterruptedMessage),
    ];
    for (bytes, error) in cases {
        assert_eq!(decode_at_once(SERVER, &bytes), (vec![], Some(error)));
    }
}

#[test]
fn message_of_the_wrong_kind_is_refused_where_a_kind_is_expected() {
    let settings = Settings { kind: Some(MessageKind::Text), ..SERVER };
    let good = masked(Opcode::Text, true, b"a");
    let bytes = [good, masked(Opcode::Binary, true, b"b")].concat();
    let expected = (vec![Seen::Text(b"a".into())], Some(ProtocolError::UnexpectedKind));
    assert_eq!(decode_at_once(settings, &bytes), expected);
}

#[test]
fn invalid_text_fails_at_its_first_bad_byte() {
    let invalid = Some(ProtocolError::InvalidUtf8);
    let whole = masked(Opcode::Text, true, b"\xce\xba\xed\xa0\x80");
    assert_eq!(decode_at_once(SERVER, &whole), (vec![], invalid));
    // The frame is cut after the surrogate's second byte, which no third can mend.
    assert_eq!(decode_at_once(SERVER, &whole[..whole.len() - 1]), (vec![], invalid));
    assert_eq!(decode_at_once(SERVER, &whole[..whole.len() - 2]), (vec![], None));
    // A first fragment is judged before the second comes; half a character at its end is no error.
    assert_eq!(decode_at_once(SERVER, &masked(Opcode::Text, false, b"a\xff")), (vec![], invalid));
    let halves =
        [masked(Opcode::Text, false, b"\xe2\x82"), masked(Opcode::Continuation, true, b"\xac")].concat();
    assert_eq!(decode_at_once(SERVER, &halves), (vec![Seen::Text("€".into())], None));
    let half = [masked(Opcode::Text, false, b"\xe2\x82"), masked(Opcode::Continuation, true, b"")].concat();
    assert_eq!(decode_at_once(SERVER, &half), (vec![], invalid));
}

#[test]
fn text_is_left_to_the_reader_of_the_payload_on_request() {
    let settings = Settings { check_text: false, ..SERVER };
    let bytes = [
        masked(Opcode::Text, true, b"\xff"),
        masked(Opcode::Text, false, b"\xff"),
        masked(Opcode::Continuation, true, b""),
    ];
    let expected = vec![Seen::Text(vec![0xFF]), Seen::Text(vec![0xFF])];
    assert_eq!(decode_at_once(settings, &bytes.concat()), (expected, None));
}

#[test]
fn compressed_messages_are_joined_inflated_and_checked() {
    let settings = Settings { deflate: true, message_bytes_max: 10_000, ..SERVER };
    let mut deflater = Deflater::default();
    let mut compressed = |payload: &[u8], cut: usize| {
        let mut deflated = Vec::new();
        deflate_message(&mut deflater, payload, &mut deflated);
        let (head, tail) = deflated.split_at(cut.min(deflated.len()));
        let first = FrameHeader {
            fin: false,
            compressed: true,
            mask: Some(KEY),
            ..FrameHeader::whole(Opcode::Text, 0)
        };
        [frame(first, head), masked(Opcode::Ping, true, b""), masked(Opcode::Continuation, true, tail)]
            .concat()
    };
    let long = "grüße ".repeat(1000);
    for cut in [0, 1, 10, usize::MAX] {
        let expected = (vec![Seen::Ping(vec![]), Seen::Text(long.clone().into())], None);
        assert_eq!(decode_at_once(settings, &compressed(long.as_bytes(), cut)), expected);
    }
    let bomb = compressed(&[b'a'; 10_001], 3).clone();
    let too_big = Some(ProtocolError::MessageTooBig { bytes_max: 10_000 });
    assert_eq!(decode_at_once(settings, &bomb), (vec![Seen::Ping(vec![])], too_big));
    let invalid = Some(ProtocolError::InvalidUtf8);
    assert_eq!(decode_at_once(settings, &compressed(b"\xff", 1)), (vec![Seen::Ping(vec![])], invalid));
    let reserved = Some(ProtocolError::ReservedBits(0b100));
    assert_eq!(decode_at_once(SERVER, &compressed(b"a", 1)), (vec![], reserved));
}

#[test]
fn nothing_is_read_after_a_close() {
    let mut bytes = Vec::new();
    close::append_close(Some(CloseCode::NORMAL), "done", Some(KEY), &mut bytes);
    bytes.extend(masked(Opcode::Text, true, b"late"));
    bytes.extend([0xFF; 10]);
    for read_bytes in [1, usize::MAX] {
        let expected = (vec![Seen::Close(Some(1000), "done".to_owned())], None);
        assert_eq!(decode(SERVER, &bytes, || read_bytes), expected);
    }
}
