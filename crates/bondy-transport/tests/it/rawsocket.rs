//! Advanced Profile, "RawSocket Transport": handshake and frames, as bytes.

use bondy_transport::rawsocket::{
    ClientHandshake, Decoder, Event, FrameError, FrameKind, HandshakeError, MaxLength, Negotiated,
    RefusalCode, ServerHandshake, append_frame, frame_header,
};
use bondy_wamp::serializer::Serializer;

const ALL: [Serializer; 3] = [Serializer::Json, Serializer::MessagePack, Serializer::Cbor];

fn server() -> ServerHandshake<'static> {
    ServerHandshake { receive_max: MaxLength::LARGEST, serializers: &ALL }
}

#[test]
fn lengths_are_powers_of_two_from_512_bytes_to_16_mib() {
    assert_eq!(MaxLength::SMALLEST.bytes_max(), 512);
    assert_eq!(MaxLength::LARGEST.bytes_max(), 16 * 1024 * 1024);
    let announced = [(0, 512), (511, 512), (512, 512), (1023, 512), (1024, 1024), (1_000_000, 524_288)];
    for (limit, bytes_max) in announced {
        assert_eq!(MaxLength::announcing(limit).bytes_max(), bytes_max, "for {limit}");
    }
    assert_eq!(MaxLength::announcing(1 << 24), MaxLength::LARGEST);
    assert_eq!(MaxLength::announcing(usize::MAX), MaxLength::LARGEST);
}

#[test]
fn server_echoes_the_serializer_and_announces_its_own_length() {
    for (id, serializer) in (1..).zip(ALL) {
        let (reply, negotiated) = server().answer([0x7f, 0x50 | id, 0, 0]).unwrap();
        assert_eq!(reply, [0x7f, 0xf0 | id, 0, 0]);
        let send_max = MaxLength::announcing(1 << 14);
        assert_eq!(negotiated, Negotiated { serializer, send_max, receive_max: MaxLength::LARGEST });
    }
}

#[test]
fn server_refuses_with_the_specified_codes() {
    let refusal = server().answer([0x7f, 0xf0, 0, 0]).unwrap_err();
    assert_eq!(refusal.reply, Some([0x7f, 0x10, 0, 0]));
    assert_eq!(refusal.error, HandshakeError::Serializer(0));
    let refusal = server().answer([0x7f, 0xf4, 0, 0]).unwrap_err();
    assert_eq!(refusal.reply, Some([0x7f, 0x10, 0, 0]));
    for reserved in [[1, 0], [0, 1], [0xff, 0xff]] {
        let refusal = server().answer([0x7f, 0xf1, reserved[0], reserved[1]]).unwrap_err();
        assert_eq!(refusal.reply, Some([0x7f, 0x30, 0, 0]));
    }
    let refusal = server().answer(*b"GET ").unwrap_err();
    assert_eq!((refusal.reply, refusal.error), (None, HandshakeError::Magic(b'G')));
    assert_eq!(RefusalCode::LengthUnacceptable.reply(), [0x7f, 0x20, 0, 0]);
    assert_eq!(RefusalCode::TooManyConnections.reply(), [0x7f, 0x40, 0, 0]);
}

#[test]
fn server_refuses_a_serializer_that_the_listener_does_not_serve() {
    let only_cbor = ServerHandshake { receive_max: MaxLength::SMALLEST, serializers: &[Serializer::Cbor] };
    assert!(only_cbor.answer([0x7f, 0x03, 0, 0]).is_ok());
    assert_eq!(only_cbor.answer([0x7f, 0x01, 0, 0]).unwrap_err().reply, Some([0x7f, 0x10, 0, 0]));
}

#[test]
fn client_and_server_agree() {
    for serializer in ALL {
        let client = ClientHandshake { receive_max: MaxLength::announcing(4096), serializer };
        let (reply, at_server) = server().answer(client.request()).unwrap();
        let at_client = client.conclude(reply).unwrap();
        assert_eq!(at_client.serializer, at_server.serializer);
        assert_eq!(at_client.send_max, at_server.receive_max);
        assert_eq!(at_client.receive_max, at_server.send_max);
    }
}

#[test]
fn client_understands_every_refusal_and_distrusts_everything_else() {
    let client = ClientHandshake { receive_max: MaxLength::LARGEST, serializer: Serializer::Json };
    let codes = [
        RefusalCode::Other(0),
        RefusalCode::SerializerUnsupported,
        RefusalCode::LengthUnacceptable,
        RefusalCode::ReservedBitsUsed,
        RefusalCode::TooManyConnections,
        RefusalCode::Other(5),
    ];
    for (nibble, code) in (0u8..).zip(codes) {
        assert_eq!(client.conclude([0x7f, nibble << 4, 0, 0]), Err(HandshakeError::Refused(code)));
        assert_eq!(code.reply(), [0x7f, nibble << 4, 0, 0]);
    }
    assert_eq!(client.conclude([0x7f, 0xf2, 0, 0]), Err(HandshakeError::SerializerChanged(2)));
    assert_eq!(client.conclude([0x7f, 0xf1, 0, 7]), Err(HandshakeError::Reserved(7)));
    assert_eq!(client.conclude([0x48, 0xf1, 0, 0]), Err(HandshakeError::Magic(0x48)));
}

#[test]
fn frames_are_ranges_of_the_callers_buffer() {
    let decoder = Decoder::new(MaxLength::LARGEST);
    let mut wire = Vec::new();
    assert!(append_frame(&mut wire, FrameKind::Message, b"[1]"));
    assert!(append_frame(&mut wire, FrameKind::Ping, b""));
    assert!(append_frame(&mut wire, FrameKind::Pong, b"abc"));
    assert_eq!(decoder.next(&wire), Ok(Event::Message(4..7)));
    assert_eq!(decoder.next(&wire[7..]), Ok(Event::Ping(4..4)));
    assert_eq!(decoder.next(&wire[11..]), Ok(Event::Pong(4..7)));
    assert_eq!(decoder.next(&wire[18..]), Ok(Event::NeedMore(4)));
}

#[test]
fn an_incomplete_frame_says_how_many_bytes_it_needs() {
    let decoder = Decoder::new(MaxLength::LARGEST);
    let frame = [0, 0, 0, 2, b'[', b']'];
    for end in 0..4 {
        assert_eq!(decoder.next(&frame[..end]), Ok(Event::NeedMore(4)));
    }
    assert_eq!(decoder.next(&frame[..4]), Ok(Event::NeedMore(6)));
    assert_eq!(decoder.next(&frame[..5]), Ok(Event::NeedMore(6)));
}

#[test]
fn the_x_bit_means_exactly_16_mib() {
    let decoder = Decoder::new(MaxLength::LARGEST);
    assert_eq!(frame_header(FrameKind::Message, 1 << 24), Some([0x08, 0, 0, 0]));
    assert_eq!(decoder.next(&[0x08, 0, 0, 0]), Ok(Event::NeedMore(4 + (1 << 24))));
    assert_eq!(decoder.next(&[0x09, 0, 0, 0]), Ok(Event::NeedMore(4 + (1 << 24))));
    assert_eq!(decoder.next(&[0x08, 0, 0, 1]), Err(FrameError::ExtendedLength(1)));
    assert_eq!(frame_header(FrameKind::Message, (1 << 24) + 1), None);
    let mut whole = Vec::new();
    assert!(append_frame(&mut whole, FrameKind::Message, &vec![b' '; 1 << 24]));
    assert_eq!(decoder.next(&whole), Ok(Event::Message(4..4 + (1 << 24))));
    let small = Decoder::new(MaxLength::announcing(1 << 23));
    let too_long = FrameError::TooLong { length_bytes: 1 << 24, length_bytes_max: 1 << 23 };
    assert_eq!(small.next(&[0x08, 0, 0, 0]), Err(too_long));
}

#[test]
fn every_violation_fails_the_connection_before_its_payload_arrives() {
    let decoder = Decoder::new(MaxLength::SMALLEST);
    for bit in 4..8 {
        assert_eq!(decoder.next(&[1 << bit]), Err(FrameError::ReservedBits(1 << bit)));
    }
    for kind in 3..8 {
        assert_eq!(decoder.next(&[kind]), Err(FrameError::UnknownType(kind)));
    }
    assert_eq!(decoder.next(&[0, 0, 0, 0]), Err(FrameError::EmptyMessage));
    let too_long = FrameError::TooLong { length_bytes: 513, length_bytes_max: 512 };
    for kind in 0..3 {
        assert_eq!(decoder.next(&[kind, 0, 2, 1]), Err(too_long), "type {kind}");
        assert_eq!(decoder.next(&[kind, 0, 2, 0]), Ok(Event::NeedMore(516)), "type {kind}");
    }
}

/// What a receiver makes of `wire` if it arrives in pieces that end at `cuts`.
fn split(decoder: Decoder, wire: &[u8], cuts: &[usize]) -> (Vec<(FrameKind, Vec<u8>)>, Option<FrameError>) {
    let (mut frames, mut held, mut sent) = (Vec::new(), Vec::new(), 0);
    for cut in cuts.iter().copied().chain([wire.len()]) {
        held.extend_from_slice(&wire[sent..cut]);
        sent = cut;
        loop {
            let (kind, range) = match decoder.next(&held) {
                Ok(Event::Message(range)) => (FrameKind::Message, range),
                Ok(Event::Ping(range)) => (FrameKind::Ping, range),
                Ok(Event::Pong(range)) => (FrameKind::Pong, range),
                Ok(Event::NeedMore(total)) => {
                    assert!(total > held.len());
                    break;
                }
                Err(error) => return (frames, Some(error)),
            };
            frames.push((kind, held[range.clone()].to_vec()));
            held.drain(..range.end);
        }
    }
    (frames, None)
}

#[test]
fn any_split_gives_the_same_frames() {
    let mut random = fastrand::Rng::with_seed(7);
    let decoder = Decoder::new(MaxLength::announcing(1024));
    for round in 0..2000 {
        let mut wire = Vec::new();
        for _ in 0..random.usize(0..6) {
            let kind = [FrameKind::Message, FrameKind::Ping, FrameKind::Pong][random.usize(0..3)];
            let payload: Vec<u8> = (0..random.usize(1..40)).map(|_| random.u8(..)).collect();
            assert!(append_frame(&mut wire, kind, &payload));
        }
        // Every other round ends in garbage.
        if round % 2 == 1 {
            wire.extend((0..random.usize(1..12)).map(|_| random.u8(..)));
        }
        let mut cuts: Vec<usize> = (0..random.usize(0..8)).map(|_| random.usize(0..=wire.len())).collect();
        cuts.sort_unstable();
        assert_eq!(split(decoder, &wire, &cuts), split(decoder, &wire, &[]), "round {round}");
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..random.usize(0..16)).map(|_| random.u8(..) & random.u8(..)).collect();
        if let Ok(Event::Message(range) | Event::Ping(range) | Event::Pong(range)) =
            Decoder::new(MaxLength::announcing(random.usize(..))).next(&bytes)
        {
            assert!(range.end <= bytes.len());
        }
        if let Some(request) = bytes.first_chunk() {
            let _ = server().answer(*request);
            let _ = ClientHandshake { receive_max: MaxLength::SMALLEST, serializer: Serializer::Cbor }
                .conclude(*request);
        }
    }
}
