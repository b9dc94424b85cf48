//! What must hold for any bytes that a server may send to a client. Each function panics if it does not.
//!
//! The fuzz targets are thin calls of these, and `client.rs` replays their corpora.

use std::borrow::Cow;

use bondy_transport::client::{Answer, Codec, CodecError, Received, Upgrade};
use bondy_transport::rawsocket::{MaxLength, Negotiated};
use bondy_wamp::serializer::Serializer;

/// The longest message of the target, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024;

/// The key of the handshake in RFC 6455, section 1.3.
pub const NONCE: &[u8; 16] = b"the sample nonce";

/// Two bytes of settings, then any bytes as what a router sends: what comes out does not depend on how the bytes are
/// cut, nothing is over the limit, and every ping and close can be answered.
pub fn client_codec(bytes: &[u8]) {
    let [flags, piece_bytes, wire @ ..] = bytes else { return };
    let whole = received_in_pieces(&mut codec(*flags), wire, usize::MAX);
    let cut = received_in_pieces(&mut codec(*flags), wire, usize::from(*piece_bytes));
    assert_eq!(whole, cut, "pieces of {piece_bytes} bytes");
    let mut codec = codec(*flags);
    let mut out = Vec::new();
    for received in whole.0 {
        match received {
            Received::Message(message) => {
                assert!(message.len() <= MESSAGE_BYTES_MAX);
                assert_eq!(codec.append_message(&message, &mut out), Ok(()));
            }
            Received::Ping(payload) => assert_eq!(codec.append_pong(&payload, &mut out), Ok(())),
            Received::Pong(_) => {}
            Received::Close(close) => codec.append_close(close.code, "", &mut out),
            Received::Incomplete { .. } => unreachable!("it is not collected"),
        }
    }
    if let Some(error) = whole.1 {
        codec.append_error(error, &mut out);
    }
}

fn codec(flags: u8) -> Codec {
    let serializer = if flags & 2 == 0 { Serializer::Json } else { Serializer::Cbor };
    match flags & 1 {
        0 => Codec::websocket(serializer, MESSAGE_BYTES_MAX).expect("the system has randomness"),
        _ => {
            let length_max = MaxLength::announcing(MESSAGE_BYTES_MAX);
            Codec::rawsocket(Negotiated { serializer, send_max: length_max, receive_max: length_max })
        }
    }
}

/// All that comes out of `wire` if it arrives in pieces of this length, and the error that ends it.
pub fn received_in_pieces(
    codec: &mut Codec,
    wire: &[u8],
    piece_bytes: usize,
) -> (Vec<Received<'static>>, Option<CodecError>) {
    let (mut all, mut held) = (Vec::new(), Vec::new());
    for piece in wire.chunks(piece_bytes.max(1)) {
        held.extend_from_slice(piece);
        let mut rest = &mut held[..];
        loop {
            let before = rest.len();
            match codec.next(&mut rest) {
                Ok(Received::Incomplete { wanted_bytes }) => {
                    assert!(wanted_bytes > rest.len(), "more is wanted than is there");
                    break;
                }
                Ok(received) => all.push(owned(received)),
                Err(error) => return (all, Some(error)),
            }
            assert!(rest.len() < before, "what comes out was taken");
            if let Some(Received::Close(_)) = all.last() {
                return (all, None);
            }
        }
        let left = rest.len();
        held.drain(..held.len() - left);
        assert!(held.len() < MESSAGE_BYTES_MAX + 4, "what is left is bounded");
    }
    (all, None)
}

fn owned(received: Received<'_>) -> Received<'static> {
    let own = |payload: Cow<'_, [u8]>| Cow::Owned(payload.into_owned());
    match received {
        Received::Message(message) => Received::Message(own(message)),
        Received::Ping(payload) => Received::Ping(own(payload)),
        Received::Pong(payload) => Received::Pong(own(payload)),
        Received::Close(close) => Received::Close(close.into_owned()),
        Received::Incomplete { wanted_bytes } => Received::Incomplete { wanted_bytes },
    }
}

/// Any bytes as the answer to the request for a WebSocket: the judgement comes at some byte and then stays, whatever
/// follows; what it says of the head's length is true; and only a chosen subprotocol that was offered opens.
pub fn client_upgrade(bytes: &[u8]) {
    let offered = [Serializer::Cbor, Serializer::Json];
    let upgrade = Upgrade::new("localhost", "/ws", &offered, &[], *NONCE).expect("it has no headers");
    let whole = upgrade.conclude(bytes);
    let mut decided = None;
    for end in 0..bytes.len().min(2048) {
        let judged = upgrade.conclude(&bytes[..end]);
        match (&decided, &judged) {
            (None, Ok(Answer::Incomplete)) => {}
            (None, _) => decided = Some(judged.is_ok()),
            // An error may show more of the bytes as they come.
            (Some(is_ok), _) => assert_eq!(*is_ok, judged.is_ok()),
        }
    }
    if let Some(is_ok) = decided {
        assert_eq!(is_ok, whole.is_ok(), "what was decided stays");
    }
    match whole {
        Ok(Answer::Upgraded { serializer, head_bytes }) => {
            assert!(offered.contains(&serializer));
            assert!(bytes[..head_bytes].ends_with(b"\r\n\r\n"));
        }
        Ok(Answer::Refused { refusal, head_bytes }) => {
            assert!(refusal.status != 101 && bytes[..head_bytes].ends_with(b"\r\n"));
        }
        Ok(Answer::Incomplete) => assert!(bytes.len() < 16 * 1024),
        Err(_) => {}
    }
}
