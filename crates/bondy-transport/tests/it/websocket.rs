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

const SERVER: Settings =
    Settings { role: Role::Server, message_bytes_max: 16 << 20, deflate: false, kind: None, check_text: true };
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
    mut next_len: impl FnMut() -> usize,
) -> (Vec<Seen>, Option<ProtocolError>) {
    let (mut decoder, mut inflater) = (Decoder::new(settings), Inflater::default());
    let mut seen = Vec::new();
    let mut bytes = bytes.to_vec();
    let mut rest = &mut bytes[..];
    while !rest.is_empty() {
        let len = next_len().clamp(1, rest.len());
        let (mut input, later) = rest.split_at_mut(len);
        rest = later;
        loop {
            match decoder.next(&mut input, &mut inflater) {
                Ok(Some(event)) => seen.push(event.into()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.held_bytes(), 0, "a failed decoder holds nothing");
                    return (seen, Some(error));
                }
            }
        }
        assert!(input.is_empty(), "every byte is taken");
    }
    (seen, None)
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

/// Appends a valid stream of messages, some fragmented with control frames between, and gives the events.
fn append_stream(random: &mut Rng, mask: bool, out: &mut Vec<u8>) -> Vec<Seen> {
    let mut seen = Vec::new();
    for _ in 0..random.usize(1..6) {
        let is_text = random.bool();
        let len = *random.choice(&[0, 1, 30, 125, 126, 500, 70_000]).unwrap();
        let payload = match is_text {
            true => text(random, len).into_bytes(),
            false => (0..len).map(|_| random.u8(..)).collect(),
        };
        let mut opcode = if is_text { Opcode::Text } else { Opcode::Binary };
        let mut rest = &payload[..];
        for fragment in (0..random.usize(1..5)).rev() {
            let mask = mask.then(|| random.u32(..).to_ne_bytes());
            let len = if fragment == 0 { rest.len() } else { random.usize(..=rest.len()) };
            let (head, tail) = rest.split_at(len);
            append_frame(FrameHeader { fin: fragment == 0, mask, ..FrameHeader::whole(opcode, 0) }, head, out);
            (opcode, rest) = (Opcode::Continuation, tail);
            if random.u8(..4) == 0 {
                let payload: Vec<u8> = (0..random.usize(..=125)).map(|_| random.u8(..)).collect();
                let (control, event) = match random.bool() {
                    true => (Opcode::Ping, Seen::Ping(payload.clone())),
                    false => (Opcode::Pong, Seen::Pong(payload.clone())),
                };
                append_frame(FrameHeader { mask, ..FrameHeader::whole(control, 0) }, &payload, out);
                // A control frame after the last fragment comes after the message.
                if fragment == 0 {
                    seen.push(message(is_text, &payload_of(&[])));
                    seen.pop();
                }
                if fragment == 0 {
                    seen.push(message(is_text, &payload));
                }
                seen.push(event);
            }
        }
    }
    seen
}
