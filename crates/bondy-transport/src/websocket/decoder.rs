//! Received bytes to messages and control frames (RFC 6455, sections 5 and 6.2).
//!
//! The caller reads into any buffer, as large or small as it likes, and asks [`Decoder::next`] for events until there
//! are none; every byte is taken then, so nothing needs to be kept in front of the next read. A message that lies
//! whole in the buffer, in one uncompressed frame, comes out as a slice of it; anything else is collected here,
//! grown as bytes arrive and never by what a header merely declares. Between messages the decoder owns no memory.
//!
//! The decoder answers nothing: pongs and close frames are sent by its caller, who also bounds how many it queues.

use std::borrow::Cow;

use super::close::Close;
use super::deflate::{Inflater, compressed_bytes_max, inflate_message};
use super::frame::{FrameHeader, HEADER_BYTES_MAX, Opcode, apply_mask};
use super::{ProtocolError, Role};

/// What a message is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

/// What the peer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message, unmasked, joined and inflated; borrowed where it lay whole in the buffer.
    Message {
        /// Text or binary.
        kind: MessageKind,
        /// The application's bytes.
        payload: Cow<'a, [u8]>,
    },
    /// To be answered by a pong with the same payload, at most 125 bytes.
    Ping(Cow<'a, [u8]>),
    /// The answer to a ping, or a sign of life.
    Pong(Cow<'a, [u8]>),
    /// The peer will send no more. To be answered unless we closed first; the last event.
    Close(Close<'a>),
}

/// What a connection accepts.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Our end of the connection.
    pub role: Role,
    /// The longest message, in bytes, counted after joining and inflating.
    pub message_bytes_max: usize,
    /// Whether permessage-deflate was negotiated.
    pub deflate: bool,
    /// The only kind of message that the subprotocol uses; `None` accepts both.
    pub kind: Option<MessageKind>,
    /// Whether text is checked to be UTF-8 here. `false` leaves that to whoever reads the payload: for example, a
    /// JSON parser that checks anyway.
    pub check_text: bool,
}

/// The receiving half of one connection.
// Inlining everything from `next` down to the header halves the cost of a small frame, to about 25 ns.
#[derive(Debug)]
pub struct Decoder {
    settings: Settings,
    /// Set after a close frame or an error: whatever follows is dropped (RFC 6455, 1.4 and 7.1.7).
    ended: bool,
    /// Boxed, because nearly always there is none.
    pending: Option<Box<Pending>>,
}

/// What is left between two calls of [`Decoder::next`], or between two frames of a message.
#[derive(Debug, Default)]
struct Pending {
    /// The first bytes of a frame whose header is incomplete.
    head: [u8; HEADER_BYTES_MAX],
    head_len: usize,
    /// The frame whose payload is incomplete.
    frame: Option<OpenFrame>,
    /// The payload so far of an incomplete control frame.
    control: Vec<u8>,
    /// The message whose frames are incomplete.
    message: Option<OpenMessage>,
}

#[derive(Debug)]
struct OpenFrame {
    /// The header, with the mask turned to where the rest of the payload begins.
    header: FrameHeader,
    rest_bytes: usize,
}

#[derive(Debug)]
struct OpenMessage {
    kind: MessageKind,
    compressed: bool,
    payload: Vec<u8>,
    /// So much of `payload` is known to be UTF-8. At most three bytes more may be the start of a character.
    checked: usize,
}

/// The part of one frame that is present, unmasked.
struct Piece<'a> {
    header: FrameHeader,
    bytes: &'a mut [u8],
    /// Whether it begins at the frame's first byte.
    first: bool,
    /// How much of the frame is still to come.
    rest_bytes: usize,
}

impl Decoder {
    /// A decoder for a connection whose handshake is done.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ended: false, pending: None }
    }

    /// The next event in `input`, which is unmasked in place and shortened by what was taken from it. `None` once
    /// all of it is taken. After an error or a close frame there are no more events.
    #[inline]
    pub fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        inflater: &mut Inflater,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        if self.ended {
            *input = &mut [];
            return Ok(None);
        }
        let event = self.next_event(input, inflater);
        if matches!(event, Err(_) | Ok(Some(Event::Close(_)))) {
            self.ended = true;
            self.pending = None;
        } else if self.pending.as_ref().is_some_and(|pending| pending.is_empty()) {
            self.pending = None;
        }
        event
    }

    /// How many bytes of unfinished frames and messages are held; 0 at rest.
    pub fn held_bytes(&self) -> usize {
        let Some(pending) = &self.pending else { return 0 };
        let message = pending.message.as_ref().map_or(0, |message| message.payload.capacity());
        size_of::<Pending>() + pending.control.capacity() + message
    }

    #[inline]
    fn next_event<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        inflater: &mut Inflater,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        while let Some(piece) = self.next_piece(input)? {
            let event = match piece.header.opcode {
                Opcode::Ping => self.take_control(piece).map(Event::Ping),
                Opcode::Pong => self.take_control(piece).map(Event::Pong),
                Opcode::Close => self.take_control(piece).map(Close::parse).transpose()?.map(Event::Close),
                Opcode::Continuation | Opcode::Text | Opcode::Binary => self.take_data(piece, inflater)?,
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Cuts the next piece of a frame from `input`; `None` if that takes bytes that are not there.
    #[inline]
    fn next_piece<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Piece<'a>>, ProtocolError> {
        if input.is_empty() {
            return Ok(None);
        }
        let open = match &mut self.pending {
            Some(pending) => pending.frame.take(),
            None => None,
        };
        let (mut header, frame_bytes, first) = match open {
            Some(open) => (open.header, open.rest_bytes, false),
            None => match self.next_header(input)? {
                // The limits were checked, so the length fits.
                Some(header) => (header, header.payload_bytes as usize, true),
                None => return Ok(None),
            },
        };
        let bytes = split_front(input, frame_bytes);
        let rest_bytes = frame_bytes - bytes.len();
        if let Some(key) = &mut header.mask {
            apply_mask(bytes, *key);
            key.rotate_left(bytes.len() % 4);
        }
        if rest_bytes > 0 {
            self.pending().frame = Some(OpenFrame { header, rest_bytes });
        }
        Ok(Some(Piece { header, bytes, first, rest_bytes }))
    }

    /// Cuts the next header from `input` and checks that its frame may come now.
    #[inline]
    fn next_header(&mut self, input: &mut &mut [u8]) -> Result<Option<FrameHeader>, ProtocolError> {
        let Settings { role, deflate, .. } = self.settings;
        if let Some(pending) = self.pending.as_mut().filter(|pending| pending.head_len > 0) {
            loop {
                let [byte] = *split_front(input, 1) else { return Ok(None) };
                // In range: a header is complete at `HEADER_BYTES_MAX` at the latest.
                pending.head[pending.head_len] = byte;
                pending.head_len += 1;
                if let Some((header, _)) =
                    FrameHeader::parse(&pending.head[..pending.head_len], role, deflate)?
                {
                    pending.head_len = 0;
                    self.check_frame(&header)?;
                    return Ok(Some(header));
                }
            }
        }
        if let Some((header, header_bytes)) = FrameHeader::parse(input, role, deflate)? {
            split_front(input, header_bytes);
            self.check_frame(&header)?;
            return Ok(Some(header));
        }
        let head = split_front(input, HEADER_BYTES_MAX);
        let pending = self.pending();
        pending.head[..head.len()].copy_from_slice(head);
        pending.head_len = head.len();
        Ok(None)
    }

    /// What the header declares, against the message it belongs to and the limits of this connection.
    #[inline]
    fn check_frame(&self, header: &FrameHeader) -> Result<(), ProtocolError> {
        let message = self.pending.as_ref().and_then(|pending| pending.message.as_ref());
        let (compressed, so_far) = match (header.opcode, message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => return Ok(()),
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(ProtocolError::InterruptedMessage),
            (Opcode::Continuation, Some(message)) => (message.compressed, message.payload.len()),
            (Opcode::Text | Opcode::Binary, None) => (header.compressed, 0),
        };
        if let (Some(kind), Some(expected)) = (message_kind(header.opcode), self.settings.kind)
            && kind != expected
        {
            return Err(ProtocolError::UnexpectedKind);
        }
        let bytes_max = self.settings.message_bytes_max;
        let payload_bytes_max = if compressed { compressed_bytes_max(bytes_max) } else { bytes_max };
        if header.payload_bytes > (payload_bytes_max - so_far) as u64 {
            return Err(ProtocolError::MessageTooBig { bytes_max });
        }
        Ok(())
    }

    /// The payload of a control frame, once all of it is there.
    fn take_control<'a>(&mut self, piece: Piece<'a>) -> Option<Cow<'a, [u8]>> {
        if piece.first && piece.rest_bytes == 0 {
            return Some(Cow::Borrowed(piece.bytes));
        }
        let control = &mut self.pending().control;
        control.extend_from_slice(piece.bytes);
        (piece.rest_bytes == 0).then(|| Cow::Owned(std::mem::take(control)))
    }

    #[inline]
    fn take_data<'a>(
        &mut self,
        piece: Piece<'a>,
        inflater: &mut Inflater,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        let FrameHeader { fin, compressed, opcode, .. } = piece.header;
        if let Some(kind) = message_kind(opcode)
            && piece.first
            && fin
            && piece.rest_bytes == 0
        {
            return self.finish(kind, compressed, Cow::Borrowed(piece.bytes), 0, inflater).map(Some);
        }
        let check_text = self.settings.check_text;
        let pending = self.pending();
        let message = match (&mut pending.message, message_kind(opcode)) {
            (Some(message), _) => message,
            (none, Some(kind)) => {
                none.insert(OpenMessage { kind, compressed, payload: Vec::new(), checked: 0 })
            }
            (None, None) => return Err(ProtocolError::UnexpectedContinuation),
        };
        message.append(&piece);
        if check_text && message.kind == MessageKind::Text && !message.compressed {
            message.check_text()?;
        }
        if !fin || piece.rest_bytes > 0 {
            return Ok(None);
        }
        match pending.message.take() {
            Some(OpenMessage { kind, compressed, payload, checked }) => {
                self.finish(kind, compressed, Cow::Owned(payload), checked, inflater).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Makes the event of a message whose frames are complete, of which `checked` bytes are known to be UTF-8.
    #[inline]
    fn finish<'a>(
        &self,
        kind: MessageKind,
        compressed: bool,
        payload: Cow<'a, [u8]>,
        checked: usize,
        inflater: &mut Inflater,
    ) -> Result<Event<'a>, ProtocolError> {
        let payload = match compressed {
            true => Cow::Owned(inflate_message(inflater, &payload, self.settings.message_bytes_max)?),
            false => payload,
        };
        if self.settings.check_text && kind == MessageKind::Text {
            simdutf8::basic::from_utf8(&payload[checked..]).map_err(|_| ProtocolError::InvalidUtf8)?;
        }
        Ok(Event::Message { kind, payload })
    }

    fn pending(&mut self) -> &mut Pending {
        self.pending.get_or_insert_default()
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.head_len == 0 && self.frame.is_none() && self.message.is_none()
    }
}

impl OpenMessage {
    fn append(&mut self, piece: &Piece<'_>) {
        let len = piece.bytes.len();
        // Doubling, but not beyond the end of the frame: most often that is the end of the message.
        if self.payload.capacity() - self.payload.len() < len {
            self.payload.reserve_exact(len.max(self.payload.len()).min(len + piece.rest_bytes));
        }
        self.payload.extend_from_slice(piece.bytes);
    }

    /// Fails as soon as no further bytes could make the text valid.
    fn check_text(&mut self) -> Result<(), ProtocolError> {
        match simdutf8::compat::from_utf8(&self.payload[self.checked..]) {
            Ok(_) => self.checked = self.payload.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(ProtocolError::InvalidUtf8),
        }
        Ok(())
    }
}

/// The kind of message that a frame begins; `None` if it begins none.
fn message_kind(opcode: Opcode) -> Option<MessageKind> {
    match opcode {
        Opcode::Text => Some(MessageKind::Text),
        Opcode::Binary => Some(MessageKind::Binary),
        Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => None,
    }
}

/// Takes `len` bytes, or all there are, off the front of `input`.
fn split_front<'a>(input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let whole = std::mem::take(input);
    let len = len.min(whole.len());
    let (front, rest) = whole.split_at_mut(len);
    *input = rest;
    front
}
