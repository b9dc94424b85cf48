//! Bytes of a connection to WAMP messages, for either protocol.

use std::borrow::Cow;

use bondy_transport::rawsocket;
use bondy_transport::websocket::ProtocolError;
use bondy_transport::websocket::close::CloseCode;
use bondy_transport::websocket::decoder::{Decoder, Event};
use bondy_transport::websocket::deflate::Inflater;

/// What stands next on a connection.
pub(crate) enum Framed<'a> {
    /// One WAMP message.
    Message(Cow<'a, [u8]>),
    /// To be answered with the same payload.
    Ping(Cow<'a, [u8]>),
    /// A sign of life.
    Pong,
    /// The peer closes the transport.
    Close(Option<CloseCode>),
    /// Nothing complete: look again with this many bytes, or, where the framer keeps what it got, with any.
    NeedMore(usize),
}

/// Bytes that are no frames.
pub(crate) enum FramingError {
    WebSocket(ProtocolError),
    RawSocket(String),
}

/// Splits a connection's bytes into messages.
pub(crate) enum Framer {
    RawSocket(rawsocket::Decoder),
    WebSocket {
        decoder: Decoder,
        /// Holds memory only where compression was agreed and used.
        inflater: Option<Box<Inflater>>,
        is_text: bool,
        /// A close frame was sent or received.
        is_closed: bool,
    },
    /// As WebSocket, with several messages in one frame.
    Batched {
        decoder: Decoder,
        inflater: Option<Box<Inflater>>,
        is_closed: bool,
        batch: Box<Batch>,
    },
}

/// The messages of a batched frame that were not handed out yet.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) is_text: bool,
    pub(crate) bytes: Vec<u8>,
    pub(crate) taken: usize,
}

impl Batch {
    /// The next message: text ends with the octet 0x1E, binary begins with its length.
    fn next(&mut self) -> Result<Option<Vec<u8>>, ProtocolError> {
        let rest = &self.bytes[self.taken..];
        if rest.is_empty() {
            self.bytes = Vec::new();
            self.taken = 0;
            return Ok(None);
        }
        let (message, taken) = match self.is_text {
            true => {
                let end =
                    rest.iter().position(|octet| *octet == 0x1e).ok_or(ProtocolError::MalformedBatch)?;
                (&rest[..end], end + 1)
            }
            false => {
                let (length, behind) = rest.split_first_chunk::<4>().ok_or(ProtocolError::MalformedBatch)?;
                let length = u32::from_be_bytes(*length) as usize;
                (behind.get(..length).ok_or(ProtocolError::MalformedBatch)?, 4 + length)
            }
        };
        let message = message.to_vec();
        self.taken += taken;
        Ok(Some(message))
    }
}

impl Framer {
    /// What stands next in `bytes`, which is shortened by what was taken.
    pub(crate) fn next<'a>(&mut self, bytes: &mut &'a mut [u8]) -> Result<Framed<'a>, FramingError> {
        match self {
            Framer::RawSocket(decoder) => next_rawsocket(*decoder, bytes),
            Framer::WebSocket { decoder, inflater, .. } => {
                next_websocket(decoder, inflater, bytes).map_err(FramingError::WebSocket)
            }
            Framer::Batched { decoder, inflater, batch, .. } => {
                next_batched(decoder, inflater, batch, bytes).map_err(FramingError::WebSocket)
            }
        }
    }

    /// Was a message read that was not handed out yet?
    pub(crate) fn has_pending(&self) -> bool {
        match self {
            Framer::RawSocket(_) | Framer::WebSocket { .. } => false,
            Framer::Batched { batch, .. } => batch.taken < batch.bytes.len(),
        }
    }

    /// Do messages come as WebSocket text?
    pub(crate) fn is_text(&self) -> bool {
        match self {
            Framer::RawSocket(_) => false,
            Framer::WebSocket { is_text, .. } => *is_text,
            Framer::Batched { batch, .. } => batch.is_text,
        }
    }

    /// A close frame was sent.
    pub(crate) fn closed(&mut self) {
        match self {
            Framer::RawSocket(_) => {}
            Framer::WebSocket { is_closed, .. } | Framer::Batched { is_closed, .. } => *is_closed = true,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Framer::RawSocket(_) => false,
            Framer::WebSocket { is_closed, .. } | Framer::Batched { is_closed, .. } => *is_closed,
        }
    }
}

fn next_rawsocket<'a>(
    decoder: rawsocket::Decoder,
    bytes: &mut &'a mut [u8],
) -> Result<Framed<'a>, FramingError> {
    let event = decoder.next(bytes).map_err(|error| FramingError::RawSocket(error.to_string()))?;
    let (range, is_message) = match event {
        rawsocket::Event::Message(range) => (range, true),
        rawsocket::Event::Ping(range) => (range, false),
        rawsocket::Event::Pong(range) => {
            take(bytes, range.end);
            return Ok(Framed::Pong);
        }
        rawsocket::Event::NeedMore(wanted) => return Ok(Framed::NeedMore(wanted)),
    };
    let frame: &'a [u8] = take(bytes, range.end);
    let payload = Cow::Borrowed(&frame[range]);
    Ok(if is_message { Framed::Message(payload) } else { Framed::Ping(payload) })
}

fn take<'a>(bytes: &mut &'a mut [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = std::mem::take(bytes).split_at_mut(count);
    *bytes = rest;
    taken
}

fn next_websocket<'a>(
    decoder: &mut Decoder,
    inflater: &mut Option<Box<Inflater>>,
    bytes: &mut &'a mut [u8],
) -> Result<Framed<'a>, ProtocolError> {
    let mut none = Inflater::default();
    let inflater = inflater.as_deref_mut().unwrap_or(&mut none);
    Ok(match decoder.next(bytes, inflater)? {
        Some(Event::Message { payload, .. }) => Framed::Message(payload),
        Some(Event::Ping(payload)) => Framed::Ping(payload),
        Some(Event::Pong(_)) => Framed::Pong,
        Some(Event::Close(close)) => Framed::Close(close.code),
        None => Framed::NeedMore(0),
    })
}

fn next_batched<'a>(
    decoder: &mut Decoder,
    inflater: &mut Option<Box<Inflater>>,
    batch: &mut Batch,
    bytes: &mut &'a mut [u8],
) -> Result<Framed<'a>, ProtocolError> {
    loop {
        if let Some(message) = batch.next()? {
            return Ok(Framed::Message(Cow::Owned(message)));
        }
        match next_websocket(decoder, inflater, bytes)? {
            Framed::Message(payload) if payload.is_empty() => return Err(ProtocolError::MalformedBatch),
            Framed::Message(payload) => batch.bytes = payload.into_owned(),
            other => return Ok(other),
        }
    }
}
