//! A client's framing in both directions, without I/O.

use super::mask::{MaskKeys, RandomError};
use crate::rawsocket::{self, FrameError, FrameKind, MaxLength, Negotiated};
use crate::websocket::close::{Close, CloseCode, append_close, append_error};
use crate::websocket::decoder::{Decoder, Event, MessageKind, Settings};
use crate::websocket::deflate::Inflater;
use crate::websocket::frame::{CONTROL_PAYLOAD_BYTES_MAX, FrameHeader, Opcode, append_frame};
use crate::websocket::{ProtocolError, Role};
use bondy_wamp::serializer::Serializer;
use std::borrow::Cow;

/// What stands next in the received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// One WAMP message, borrowed where it lay whole in the buffer.
    Message(Cow<'a, [u8]>),
    /// To be answered: [`Codec::append_pong`] with the same payload.
    Ping(Cow<'a, [u8]>),
    /// The answer to a ping, or a sign of life.
    Pong(Cow<'a, [u8]>),
    /// The router will send no more. To be answered by [`Codec::append_close`] with the same code. Nothing follows.
    Close(Close<'a>),
    /// Nothing complete. What was not taken must stand before the bytes that are read next; ask again with at least
    /// `wanted_bytes` in all.
    Incomplete {
        /// Counted from the first byte that was not taken; 1 where all were.
        wanted_bytes: usize,
    },
}

/// Received bytes that break the protocol. The connection is of no more use; tell why with [`Codec::append_error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A violation of the WebSocket protocol.
    #[error("the router broke the WebSocket protocol: {0}")]
    WebSocket(ProtocolError),
    /// A violation of rawsocket's framing.
    #[error("the router broke the rawsocket protocol: {0}")]
    RawSocket(FrameError),
}

/// A message that the other side would not take, so that it was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of {message_bytes} bytes is over the router's maximum of {message_bytes_max} bytes")]
pub struct MessageTooLarge {
    /// The length of the message.
    pub message_bytes: usize,
    /// What the other side takes.
    pub message_bytes_max: usize,
}

/// Splits what the router sends into messages, and frames what is sent to it.
///
/// A WebSocket's codec keeps the beginning of a message itself and always takes all bytes; rawsocket's keeps nothing.
#[derive(Debug)]
pub struct Codec {
    serializer: Serializer,
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    WebSocket { decoder: Decoder, keys: Box<MaskKeys>, is_closed: bool },
    RawSocket { decoder: rawsocket::Decoder, send_max: MaxLength },
}

impl Codec {
    /// For a WebSocket without extensions whose messages are `serializer`'s and at most `message_bytes_max` long.
    ///
    /// # Errors
    /// If the system gives no random numbers for masking keys.
    pub fn websocket(serializer: Serializer, message_bytes_max: usize) -> Result<Codec, RandomError> {
        let decoder = Decoder::new(Settings {
            role: Role::Client,
            message_bytes_max,
            deflate: false,
            kind: Some(message_kind(serializer)),
            // Whoever parses the message checks.
            check_text: false,
        });
        let keys = Box::new(MaskKeys::new()?);
        Ok(Codec { serializer, framing: Framing::WebSocket { decoder, keys, is_closed: false } })
    }

    /// For what a rawsocket handshake has agreed.
    pub fn rawsocket(negotiated: Negotiated) -> Codec {
        let decoder = rawsocket::Decoder::new(negotiated.receive_max);
        let framing = Framing::RawSocket { decoder, send_max: negotiated.send_max };
        Codec { serializer: negotiated.serializer, framing }
    }

    /// How messages are written on this connection.
    pub fn serializer(&self) -> Serializer {
        self.serializer
    }

    /// The longest message that the router takes; no limit is known for a WebSocket.
    pub fn message_bytes_max(&self) -> usize {
        match self.framing {
            Framing::WebSocket { .. } => usize::MAX,
            Framing::RawSocket { send_max, .. } => send_max.bytes_max(),
        }
    }

    /// What stands next in `received`, which is shortened by what was taken from it. Call it until it says
    /// [`Received::Incomplete`], then read more.
    ///
    /// # Errors
    /// If the bytes are no frames, or announce a message over the limit; the connection is of no more use then.
    pub fn next<'a>(&mut self, received: &mut &'a mut [u8]) -> Result<Received<'a>, CodecError> {
        match &mut self.framing {
            Framing::WebSocket { decoder, .. } => {
                next_websocket(decoder, received).map_err(CodecError::WebSocket)
            }
            Framing::RawSocket { decoder, .. } => {
                next_rawsocket(*decoder, received).map_err(CodecError::RawSocket)
            }
        }
    }

    /// Appends a message, which must not be empty, as one frame.
    ///
    /// # Errors
    /// If it is longer than the router takes; `out` is as before.
    pub fn append_message(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), MessageTooLarge> {
        self.check_length(message.len())?;
        match &mut self.framing {
            Framing::WebSocket { keys, .. } => {
                let opcode = match message_kind(self.serializer) {
                    MessageKind::Text => Opcode::Text,
                    MessageKind::Binary => Opcode::Binary,
                };
                append_frame(masked(opcode, keys), message, out);
            }
            Framing::RawSocket { .. } => {
                rawsocket::append_frame(out, FrameKind::Message, message);
            }
        }
        Ok(())
    }

    /// Appends a ping. The router answers it with the same payload.
    ///
    /// # Errors
    /// If the payload is longer than the router takes, 125 bytes over a WebSocket; `out` is as before.
    pub fn append_ping(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), MessageTooLarge> {
        self.append_control(Opcode::Ping, FrameKind::Ping, payload, out)
    }

    /// Appends the answer to a ping.
    ///
    /// # Errors
    /// As for [`Codec::append_ping`]: the answer to a rawsocket ping may be longer than what the router takes.
    pub fn append_pong(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), MessageTooLarge> {
        self.append_control(Opcode::Pong, FrameKind::Pong, payload, out)
    }

    /// Appends a WebSocket's close frame, after which nothing may be sent: to begin closing, or to answer. Only the
    /// first is appended, and none over rawsocket, which ends with the stream.
    pub fn append_close(&mut self, code: Option<CloseCode>, reason: &str, out: &mut Vec<u8>) {
        if let Some(key) = self.closing_key() {
            append_close(code, reason, Some(key), out);
        }
    }

    /// Appends the close frame that says what was wrong with the received bytes, like [`Codec::append_close`].
    pub fn append_error(&mut self, error: CodecError, out: &mut Vec<u8>) {
        match error {
            CodecError::WebSocket(error) => {
                if let Some(key) = self.closing_key() {
                    append_error(error, Some(key), out);
                }
            }
            // There is nothing to say it with.
            CodecError::RawSocket(_) => {}
        }
    }

    fn append_control(
        &mut self,
        opcode: Opcode,
        kind: FrameKind,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), MessageTooLarge> {
        match &mut self.framing {
            Framing::WebSocket { keys, .. } => {
                if payload.len() > CONTROL_PAYLOAD_BYTES_MAX {
                    return Err(MessageTooLarge {
                        message_bytes: payload.len(),
                        message_bytes_max: CONTROL_PAYLOAD_BYTES_MAX,
                    });
                }
                append_frame(masked(opcode, keys), payload, out);
            }
            Framing::RawSocket { .. } => {
                self.check_length(payload.len())?;
                rawsocket::append_frame(out, kind, payload);
            }
        }
        Ok(())
    }

    fn check_length(&self, message_bytes: usize) -> Result<(), MessageTooLarge> {
        let message_bytes_max = self.message_bytes_max();
        match message_bytes <= message_bytes_max {
            true => Ok(()),
            false => Err(MessageTooLarge { message_bytes, message_bytes_max }),
        }
    }

    /// A key for the one close frame; none if it was sent or there is none.
    fn closing_key(&mut self) -> Option<[u8; 4]> {
        match &mut self.framing {
            Framing::WebSocket { keys, is_closed, .. } if !*is_closed => {
                *is_closed = true;
                Some(keys.next())
            }
            Framing::WebSocket { .. } | Framing::RawSocket { .. } => None,
        }
    }
}

fn masked(opcode: Opcode, keys: &mut MaskKeys) -> FrameHeader {
    FrameHeader { mask: Some(keys.next()), ..FrameHeader::whole(opcode, 0) }
}

/// Basic Profile, "WebSocket Transport": JSON as text, the others as binary.
fn message_kind(serializer: Serializer) -> MessageKind {
    match serializer {
        Serializer::Json => MessageKind::Text,
        Serializer::MessagePack | Serializer::Cbor => MessageKind::Binary,
    }
}

fn next_websocket<'a>(
    decoder: &mut Decoder,
    received: &mut &'a mut [u8],
) -> Result<Received<'a>, ProtocolError> {
    // Without the extension nothing is compressed, and an inflater that is not used owns no memory.
    Ok(match decoder.next(received, &mut Inflater::default())? {
        Some(Event::Message { payload, .. }) => Received::Message(payload),
        Some(Event::Ping(payload)) => Received::Ping(payload),
        Some(Event::Pong(payload)) => Received::Pong(payload),
        Some(Event::Close(close)) => Received::Close(close),
        None => Received::Incomplete { wanted_bytes: 1 },
    })
}

fn next_rawsocket<'a>(
    decoder: rawsocket::Decoder,
    received: &mut &'a mut [u8],
) -> Result<Received<'a>, FrameError> {
    use rawsocket::Event::{Message, NeedMore, Ping, Pong};
    let event = decoder.next(received)?;
    let end = match &event {
        Message(range) | Ping(range) | Pong(range) => range.end,
        NeedMore(_) => 0,
    };
    let (frame, rest) = std::mem::take(received).split_at_mut(end);
    *received = rest;
    let frame: &'a [u8] = frame;
    Ok(match event {
        Message(range) => Received::Message(Cow::Borrowed(&frame[range])),
        Ping(range) => Received::Ping(Cow::Borrowed(&frame[range])),
        Pong(range) => Received::Pong(Cow::Borrowed(&frame[range])),
        NeedMore(wanted_bytes) => Received::Incomplete { wanted_bytes },
    })
}
