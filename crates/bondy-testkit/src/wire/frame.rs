//! Messages to frames and back, for one side of a connection that the test leads itself.

use bondy_transport::rawsocket::{self, FrameKind, MaxLength};
use bondy_transport::websocket::frame::{FrameHeader, Opcode, append_frame, apply_mask};
use bondy_transport::websocket::{ProtocolError, Role};

use super::{Agreement, Transport};

/// The longest message that a peer or a link keeps in memory, four times what a router takes by default. A peer fails
/// above it; a link stops looking and passes everything on.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The masking key of every frame that a test sends: any will do, and the same one makes runs alike.
const MASK: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];

/// A frame, without the ones that only continue it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A whole WebSocket message or a rawsocket message.
    Message(Vec<u8>),
    /// To be answered with the same payload.
    Ping(Vec<u8>),
    /// The answer.
    Pong(Vec<u8>),
    /// The end of a WebSocket.
    Close(Vec<u8>),
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error(transparent)]
    RawSocket(#[from] rawsocket::FrameError),
    #[error(transparent)]
    WebSocket(#[from] ProtocolError),
    #[error("the message is longer than {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
}

/// Takes the frames of one direction out of a buffer.
#[derive(Debug)]
pub(crate) struct Frames {
    transport: Transport,
    /// Who reads here: a server reads masked frames.
    role: Role,
    /// The fragments of a WebSocket message so far.
    message: Option<Vec<u8>>,
}

/// A frame, and how many bytes of the buffer it and its fragments took since the last one.
pub(crate) type Taken = Option<(usize, Option<Frame>)>;

impl Frames {
    pub(crate) fn new(transport: Transport, role: Role) -> Self {
        Self { transport, role, message: None }
    }

    /// The frame at the start of `received`: how many bytes it takes, and what it is; nothing where it is one of the
    /// fragments of a message whose end is to come. `None` while bytes are missing.
    pub(crate) fn next(&mut self, received: &[u8]) -> Result<Taken, FrameError> {
        match self.transport {
            Transport::RawSocket => next_rawsocket(received),
            Transport::WebSocket => self.next_websocket(received),
        }
    }

    /// Whether a message has begun and not ended.
    pub(crate) fn is_inside_message(&self) -> bool {
        self.message.is_some()
    }

    fn next_websocket(&mut self, received: &[u8]) -> Result<Taken, FrameError> {
        let Some((header, header_bytes)) = FrameHeader::parse(received, self.role, false)? else {
            return Ok(None);
        };
        let length = usize::try_from(header.payload_bytes).unwrap_or(usize::MAX);
        let so_far = self.message.as_ref().map_or(0, Vec::len);
        if length > MESSAGE_BYTES_MAX - so_far.min(MESSAGE_BYTES_MAX) {
            return Err(FrameError::TooLong);
        }
        let end = header_bytes + length;
        let Some(payload) = received.get(header_bytes..end) else { return Ok(None) };
        let mut payload = payload.to_vec();
        if let Some(key) = header.mask {
            apply_mask(&mut payload, key);
        }
        self.join(header, payload).map(|frame| Some((end, frame)))
    }

    fn join(&mut self, header: FrameHeader, payload: Vec<u8>) -> Result<Option<Frame>, FrameError> {
        let message = match (header.opcode, self.message.take()) {
            (Opcode::Ping, open) => return Ok(self.reopen(open, Frame::Ping(payload))),
            (Opcode::Pong, open) => return Ok(self.reopen(open, Frame::Pong(payload))),
            (Opcode::Close, open) => return Ok(self.reopen(open, Frame::Close(payload))),
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation.into()),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(ProtocolError::InterruptedMessage.into()),
            (Opcode::Text | Opcode::Binary, None) => payload,
            (Opcode::Continuation, Some(mut open)) => {
                open.extend_from_slice(&payload);
                open
            }
        };
        if header.fin {
            return Ok(Some(Frame::Message(message)));
        }
        self.message = Some(message);
        Ok(None)
    }

    /// A control frame between the fragments of a message leaves that open.
    fn reopen(&mut self, open: Option<Vec<u8>>, frame: Frame) -> Option<Frame> {
        self.message = open;
        Some(frame)
    }
}

fn next_rawsocket(received: &[u8]) -> Result<Taken, FrameError> {
    let decoder = rawsocket::Decoder::new(MaxLength::LARGEST);
    Ok(match decoder.next(received)? {
        rawsocket::Event::NeedMore(_) => None,
        rawsocket::Event::Message(range) => Some((range.end, Some(Frame::Message(received[range].to_vec())))),
        rawsocket::Event::Ping(range) => Some((range.end, Some(Frame::Ping(received[range].to_vec())))),
        rawsocket::Event::Pong(range) => Some((range.end, Some(Frame::Pong(received[range].to_vec())))),
    })
}

/// Appends a frame as `role` writes it; `false` where the transport has no such frame or none so long.
pub(crate) fn append(agreement: Agreement, role: Role, frame: &Frame, out: &mut Vec<u8>) -> bool {
    match agreement.transport {
        Transport::RawSocket => match frame {
            Frame::Message(payload) => rawsocket::append_frame(out, FrameKind::Message, payload),
            Frame::Ping(payload) => rawsocket::append_frame(out, FrameKind::Ping, payload),
            Frame::Pong(payload) => rawsocket::append_frame(out, FrameKind::Pong, payload),
            Frame::Close(_) => false,
        },
        Transport::WebSocket => {
            let (opcode, payload) = match frame {
                Frame::Message(payload) if agreement.serializer.is_text() => (Opcode::Text, payload),
                Frame::Message(payload) => (Opcode::Binary, payload),
                Frame::Ping(payload) => (Opcode::Ping, payload),
                Frame::Pong(payload) => (Opcode::Pong, payload),
                Frame::Close(payload) => (Opcode::Close, payload),
            };
            let mask = match role {
                Role::Client => Some(MASK),
                Role::Server => None,
            };
            append_frame(FrameHeader { mask, ..FrameHeader::whole(opcode, 0) }, payload, out);
            true
        }
    }
}

/// The messages of one WebSocket message, delimited or counted as its subprotocol says; `None` where they are not.
pub(crate) fn unbatch(is_text: bool, payload: &[u8]) -> Option<Vec<&[u8]>> {
    let mut messages = Vec::new();
    let mut rest = payload;
    while !rest.is_empty() {
        let (message, behind) = if is_text {
            let end = rest.iter().position(|byte| *byte == DELIMITER)?;
            (&rest[..end], &rest[end + 1..])
        } else {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            behind.split_at_checked(u32::from_be_bytes(*length) as usize)?
        };
        messages.push(message);
        rest = behind;
    }
    (!messages.is_empty()).then_some(messages)
}

/// One message as a batch of its own.
pub(crate) fn batch_of_one(is_text: bool, message: &[u8]) -> Vec<u8> {
    if is_text {
        return [message, &[DELIMITER]].concat();
    }
    // Within the limit for messages, far below four octets.
    [&(message.len() as u32).to_be_bytes(), message].concat()
}

/// Behind each message of a batch in JSON.
const DELIMITER: u8 = 0x1e;

#[cfg(test)]
mod tests {
    use super::*;
    use bondy_wamp::serializer::Serializer;

    fn agreement(transport: Transport) -> Agreement {
        Agreement { transport, serializer: Serializer::Json, batched: false }
    }

    #[test]
    fn frames_come_back_whatever_the_transport_and_the_side() {
        let frames = [Frame::Message(b"[1]".to_vec()), Frame::Ping(b"p".to_vec()), Frame::Pong(Vec::new())];
        for transport in [Transport::RawSocket, Transport::WebSocket] {
            for (writer, reader) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
                let mut bytes = Vec::new();
                for frame in &frames {
                    assert!(append(agreement(transport), writer, frame, &mut bytes));
                }
                let mut decoder = Frames::new(transport, reader);
                let mut taken = 0;
                for frame in &frames {
                    let (length, found) = decoder.next(&bytes[taken..]).unwrap().unwrap();
                    assert_eq!(found.as_ref(), Some(frame));
                    taken += length;
                }
                assert_eq!(decoder.next(&bytes[taken..]), Ok(None));
            }
        }
    }

    #[test]
    fn a_frame_cut_anywhere_waits_for_its_rest() {
        for transport in [Transport::RawSocket, Transport::WebSocket] {
            let mut bytes = Vec::new();
            append(agreement(transport), Role::Client, &Frame::Message(vec![7; 200]), &mut bytes);
            for end in 0..bytes.len() {
                assert_eq!(Frames::new(transport, Role::Server).next(&bytes[..end]), Ok(None), "{end}");
            }
        }
    }

    #[test]
    fn fragments_are_joined_around_a_control_frame() {
        let mut decoder = Frames::new(Transport::WebSocket, Role::Client);
        assert_eq!(decoder.next(&[0x01, 1, b'a']), Ok(Some((3, None))));
        assert_eq!(decoder.next(&[0x89, 0]), Ok(Some((2, Some(Frame::Ping(Vec::new()))))));
        assert!(decoder.is_inside_message());
        assert_eq!(decoder.next(&[0x80, 1, b'b']), Ok(Some((3, Some(Frame::Message(b"ab".to_vec()))))));
        assert!(decoder.next(&[0x80, 0]).is_err());
    }

    #[test]
    fn batches_are_taken_apart_and_damaged_ones_are_none() {
        for is_text in [true, false] {
            let batch = [batch_of_one(is_text, b"[1]"), batch_of_one(is_text, b"[22]")].concat();
            assert_eq!(unbatch(is_text, &batch), Some(vec![&b"[1]"[..], b"[22]"]));
            assert_eq!(unbatch(is_text, &batch[..batch.len() - 1]), None);
            assert_eq!(unbatch(is_text, b""), None);
        }
    }

    #[test]
    fn a_message_over_the_limit_is_an_error_before_it_is_there() {
        let header = FrameHeader { payload_bytes: 1 << 30, ..FrameHeader::whole(Opcode::Binary, 0) };
        let mut decoder = Frames::new(Transport::WebSocket, Role::Client);
        assert_eq!(decoder.next(header.encode().as_bytes()), Err(FrameError::TooLong));
    }
}
