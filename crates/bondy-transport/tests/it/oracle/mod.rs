//! What must hold for any bytes that a peer may send. Each function panics if it does not.
//!
//! The fuzz targets are thin calls of these, and `corpus.rs` replays their corpora.

use std::borrow::Cow;

use bondy_transport::rawsocket::{self, MaxLength};
use bondy_transport::websocket::decoder::{Decoder, Event, MessageKind, Settings};
use bondy_transport::websocket::deflate::Inflater;
use bondy_transport::websocket::frame::FrameHeader;
use bondy_transport::websocket::{ProtocolError, Role};

/// Any bytes as rawsocket frames: what stands at the start does not depend on how much follows, a decoder that needs
/// more bytes says so truthfully, and what it takes is what would be written for it.
pub fn rawsocket_frame(bytes: &[u8]) {
    let decoder = rawsocket::Decoder::new(MaxLength::SMALLEST);
    let mut rest = bytes;
    loop {
        let whole = decoder.next(rest);
        for len in 0..rest.len().min(64) {
            match decoder.next(&rest[..len]) {
                Ok(rawsocket::Event::NeedMore(needed)) => assert!(needed > len),
                event => assert_eq!(event, whole, "{len} bytes decide as much as all"),
            }
        }
        let Ok(event) = whole else { return };
        let (kind, range) = match event {
            rawsocket::Event::Message(range) => (rawsocket::FrameKind::Message, range),
            rawsocket::Event::Ping(range) => (rawsocket::FrameKind::Ping, range),
            rawsocket::Event::Pong(range) => (rawsocket::FrameKind::Pong, range),
            rawsocket::Event::NeedMore(needed) => {
                assert!(needed > rest.len());
                return;
            }
        };
        let mut written = Vec::new();
        assert!(rawsocket::append_frame(&mut written, kind, &rest[range.clone()]));
        assert_eq!(written, rest[..range.end]);
        rest = &rest[range.end..];
    }
}

/// The longest message of the WebSocket target, in bytes.
const MESSAGE_BYTES_MAX: usize = 2048;

/// Two bytes of settings, then any bytes as WebSocket frames: the events do not depend on how the bytes are cut into
/// reads, no message is over the limit, and what is held for later stays bounded.
pub fn websocket_frame(bytes: &[u8]) {
    let [flags, read_bytes, input @ ..] = bytes else { return };
    let role = if flags & 1 == 0 { Role::Server } else { Role::Client };
    let settings = Settings {
        role,
        message_bytes_max: MESSAGE_BYTES_MAX,
        deflate: flags & 2 != 0,
        kind: match flags & 12 {
            4 => Some(MessageKind::Text),
            8 => Some(MessageKind::Binary),
            _ => None,
        },
        check_text: flags & 16 != 0,
    };
    header_survives(input, role, settings.deflate);
    let whole = events(settings, input, || usize::MAX);
    let cut = events(settings, input, || usize::from(*read_bytes));
    assert_eq!(whole, cut, "reads of {read_bytes} bytes");
    for event in whole.0 {
        match event {
            Event::Message { payload, .. } => assert!(payload.len() <= MESSAGE_BYTES_MAX),
            Event::Ping(payload) | Event::Pong(payload) => assert!(payload.len() <= 125),
            Event::Close(_) => {}
        }
    }
}

fn header_survives(bytes: &[u8], role: Role, deflate: bool) {
    if let Ok(Some((header, len))) = FrameHeader::parse(bytes, role, deflate) {
        assert_eq!(header.encode().as_bytes(), &bytes[..len], "lengths have one form only");
    }
}

/// All events of the input, in reads of the lengths that `next_len` gives, and the error that ends them.
pub fn events(
    settings: Settings,
    input: &[u8],
    mut next_len: impl FnMut() -> usize,
) -> (Vec<Event<'static>>, Option<ProtocolError>) {
    let (mut decoder, mut inflater) = (Decoder::new(settings), Inflater::default());
    let mut events = Vec::new();
    let mut bytes = input.to_vec();
    let mut rest = &mut bytes[..];
    while !rest.is_empty() {
        let len = next_len().clamp(1, rest.len());
        let (mut read, later) = rest.split_at_mut(len);
        rest = later;
        loop {
            match decoder.next(&mut read, &mut inflater) {
                Ok(Some(event)) => events.push(owned(event)),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.held_bytes(), 0, "a failed decoder holds nothing");
                    return (events, Some(error));
                }
            }
        }
        assert!(read.is_empty(), "every byte is taken");
        // A buffer that grows by doubling, of a compressed message a little over the limit.
        let held_max = 4 * settings.message_bytes_max.max(MESSAGE_BYTES_MAX);
        assert!(decoder.held_bytes() <= held_max, "{} bytes are held", decoder.held_bytes());
    }
    (events, None)
}

fn owned(event: Event<'_>) -> Event<'static> {
    let own = |payload: Cow<'_, [u8]>| Cow::Owned(payload.into_owned());
    match event {
        Event::Message { kind, payload } => Event::Message { kind, payload: own(payload) },
        Event::Ping(payload) => Event::Ping(own(payload)),
        Event::Pong(payload) => Event::Pong(own(payload)),
        Event::Close(close) => Event::Close(close.into_owned()),
    }
}
