//! A connection as a peer has it: the handshake of either protocol, frames out, frames in.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bondy_transport::rawsocket::{self, ClientHandshake, FrameKind, HANDSHAKE_BYTES, MaxLength};
use bondy_transport::websocket::Role;
use bondy_transport::websocket::close::append_close;
use bondy_transport::websocket::decoder::{Decoder, Event, Settings};
use bondy_transport::websocket::deflate::{Deflater, Inflater, deflate_message};
use bondy_transport::websocket::frame::{FrameHeader, Opcode, append_frame};
use bondy_transport::websocket::handshake::accept_key;
use bondy_wamp::serializer::Serializer;
use serde_json::Value;

use super::encode;
use super::stream::Stream;

/// How long a peer waits for anything before its test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Every frame of these peers is masked with the same key: nobody is attacked here.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    RawSocket,
    WebSocket,
}

/// How to connect. Made by [`Dial::rawsocket`] or [`Dial::websocket`], then adjusted.
#[derive(Clone)]
pub(crate) struct Dial {
    pub(crate) address: String,
    pub(crate) protocol: Protocol,
    pub(crate) serializer: Serializer,
    pub(crate) batched: bool,
    pub(crate) compression: bool,
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    /// Bytes before everything else: a PROXY protocol header.
    pub(crate) preface: Vec<u8>,
    /// Lines of the HTTP request, each with its line end.
    pub(crate) headers: String,
    /// What a rawsocket peer announces that it takes.
    pub(crate) receive_bytes_max: usize,
    pub(crate) answers_pings: bool,
}

impl Dial {
    pub(crate) fn rawsocket(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            protocol: Protocol::RawSocket,
            serializer: Serializer::Json,
            batched: false,
            compression: false,
            tls: None,
            preface: Vec::new(),
            headers: String::new(),
            receive_bytes_max: 1 << 24,
            answers_pings: true,
        }
    }

    pub(crate) fn websocket(address: &str) -> Self {
        Self { protocol: Protocol::WebSocket, ..Self::rawsocket(address) }
    }

    pub(crate) fn serializer(self, serializer: Serializer) -> Self {
        Self { serializer, ..self }
    }

    pub(crate) fn tls(self, config: &Arc<rustls::ClientConfig>) -> Self {
        Self { tls: Some(Arc::clone(config)), ..self }
    }

    /// Connects and shakes hands.
    #[track_caller]
    pub(crate) fn open(&self) -> Wire {
        self.try_open().unwrap_or_else(|error| panic!("{}: {error}", self.address))
    }

    pub(crate) fn try_open(&self) -> io::Result<Wire> {
        self.open_over(self.try_connect()?)
    }

    /// Shakes hands over a stream that is open already.
    pub(crate) fn open_over(&self, mut stream: Stream) -> io::Result<Wire> {
        let receive = match self.protocol {
            Protocol::RawSocket => self.shake_rawsocket(&mut stream)?,
            Protocol::WebSocket => self.shake_websocket(&mut stream)?,
        };
        Ok(Wire {
            stream,
            dial: self.clone(),
            receive,
            deflater: Deflater::default(),
            received: VecDeque::new(),
            compressed_frames: 0,
            received_bytes: 0,
            is_over: false,
        })
    }

    /// Connects, sends the preface and sets up TLS, but shakes no hands.
    pub(crate) fn try_connect(&self) -> io::Result<Stream> {
        let mut stream = Stream::connect(&self.address)?;
        stream.set_read_timeout(DEADLINE);
        stream.set_write_timeout(DEADLINE);
        stream.write_all(&self.preface)?;
        Ok(match &self.tls {
            Some(config) => stream.encrypt(Arc::clone(config)),
            None => stream,
        })
    }

    fn shake_rawsocket(&self, stream: &mut Stream) -> io::Result<Receive> {
        let receive_max = MaxLength::announcing(self.receive_bytes_max);
        let handshake = ClientHandshake { receive_max, serializer: self.serializer };
        stream.write_all(&handshake.request())?;
        stream.flush()?;
        let mut reply = [0; HANDSHAKE_BYTES];
        stream.read_exact(&mut reply)?;
        let agreed = handshake.conclude(reply).map_err(io::Error::other)?;
        Ok(Receive::RawSocket(rawsocket::Decoder::new(agreed.receive_max), Vec::new()))
    }

    /// The head of the HTTP request.
    pub(crate) fn request(&self) -> String {
        let subprotocol = self.serializer.subprotocol(self.batched);
        let extension = match self.compression {
            true => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            false => "",
        };
        format!(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
             Sec-WebSocket-Protocol: {subprotocol}\r\n{extension}{}\r\n",
            self.headers
        )
    }

    fn shake_websocket(&self, stream: &mut Stream) -> io::Result<Receive> {
        stream.write_all(self.request().as_bytes())?;
        stream.flush()?;
        let head = read_head(stream)?;
        let has = |text: &str| head.to_ascii_lowercase().contains(&text.to_ascii_lowercase());
        let is_upgraded = head.starts_with("HTTP/1.1 101 ")
            && has(&format!("sec-websocket-accept: {}\r\n", accept_key(KEY)))
            && has(&format!("sec-websocket-protocol: {}\r\n", self.serializer.subprotocol(self.batched)));
        if !is_upgraded {
            return Err(io::Error::other(head));
        }
        let deflate = has("sec-websocket-extensions: permessage-deflate");
        let settings = Settings {
            role: Role::Client,
            message_bytes_max: 1 << 26,
            deflate,
            kind: None,
            check_text: true,
        };
        Ok(Receive::WebSocket(Box::new(Decoder::new(settings)), Box::default(), deflate))
    }
}

/// The head of an HTTP message, with its last empty line.
pub(crate) fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet)?;
        head.push(octet[0]);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Message(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A WebSocket close frame.
    Close(Option<u16>),
    /// The stream has ended, or was reset.
    End,
}

enum Receive {
    RawSocket(rawsocket::Decoder, Vec<u8>),
    WebSocket(Box<Decoder>, Box<Inflater>, bool),
}

pub(crate) struct Wire {
    pub(crate) stream: Stream,
    pub(crate) dial: Dial,
    receive: Receive,
    deflater: Deflater,
    received: VecDeque<Received>,
    /// Compressed messages sent.
    pub(crate) compressed_frames: usize,
    /// Bytes read behind the handshake.
    pub(crate) received_bytes: usize,
    is_over: bool,
}

impl Wire {
    /// Sends one message in a frame.
    pub(crate) fn send(&mut self, message: &[u8]) {
        let frame = self.frame(message);
        self.send_bytes(&frame);
    }

    /// Sends one message in a frame, in the serializer of the connection.
    pub(crate) fn send_value(&mut self, message: &Value) {
        let bytes = encode(self.dial.serializer, message);
        self.send(&bytes);
    }

    /// Sends bytes as they are. That the other side has closed shows when reading.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// One message as the bytes of its frame.
    pub(crate) fn frame(&mut self, message: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let Receive::WebSocket(_, _, deflate) = self.receive else {
            assert!(rawsocket::append_frame(&mut frame, FrameKind::Message, message), "at most 2^24 bytes");
            return frame;
        };
        let mut payload = match self.dial.batched {
            false => message.to_vec(),
            true => batched(self.dial.serializer, message),
        };
        if deflate {
            let plain = std::mem::take(&mut payload);
            deflate_message(&mut self.deflater, &plain, &mut payload);
            self.compressed_frames += 1;
        }
        let header = FrameHeader {
            compressed: deflate,
            mask: Some(MASK),
            ..FrameHeader::whole(opcode_of(self.dial.serializer), 0)
        };
        append_frame(header, &payload, &mut frame);
        frame
    }

    /// Sends a WebSocket frame with this opcode.
    pub(crate) fn send_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut frame = Vec::new();
        append_frame(FrameHeader { mask: Some(MASK), ..FrameHeader::whole(opcode, 0) }, payload, &mut frame);
        self.send_bytes(&frame);
    }

    pub(crate) fn send_close(&mut self) {
        let mut frame = Vec::new();
        append_close(None, "", Some(MASK), &mut frame);
        self.send_bytes(&frame);
    }

    pub(crate) fn send_ping(&mut self, payload: &[u8]) {
        match self.dial.protocol {
            Protocol::WebSocket => self.send_frame(Opcode::Ping, payload),
            Protocol::RawSocket => self.send_rawsocket(FrameKind::Ping, payload),
        }
    }

    pub(crate) fn send_pong(&mut self, payload: &[u8]) {
        match self.dial.protocol {
            Protocol::WebSocket => self.send_frame(Opcode::Pong, payload),
            Protocol::RawSocket => self.send_rawsocket(FrameKind::Pong, payload),
        }
    }

    fn send_rawsocket(&mut self, kind: FrameKind, payload: &[u8]) {
        let mut frame = Vec::new();
        rawsocket::append_frame(&mut frame, kind, payload);
        self.send_bytes(&frame);
    }

    /// What comes next; fails the test where nothing does.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Received {
        self.try_receive(DEADLINE).expect("something from the router before the deadline")
    }

    /// What comes within `time`.
    pub(crate) fn try_receive(&mut self, time: Duration) -> Option<Received> {
        let until = Instant::now() + time;
        loop {
            if let Some(received) = self.received.pop_front() {
                match received {
                    Received::Ping(payload) if self.dial.answers_pings => self.send_pong(&payload),
                    other => return Some(other),
                }
                continue;
            }
            if self.is_over {
                return Some(Received::End);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.stream.set_read_timeout(left.max(Duration::from_millis(1)));
            self.read_some();
        }
    }

    fn read_some(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.is_over = true,
            Ok(count) => {
                self.received_bytes += count;
                self.split(&mut buffer[..count]);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => self.is_over = true,
        }
    }

    fn split(&mut self, bytes: &mut [u8]) {
        match &mut self.receive {
            Receive::RawSocket(decoder, held) => {
                held.extend_from_slice(bytes);
                let mut taken = 0;
                loop {
                    let rest = &held[taken..];
                    let (received, end) = match decoder.next(rest).expect("frames of the router") {
                        rawsocket::Event::Message(range) => {
                            (Received::Message(rest[range.clone()].to_vec()), range.end)
                        }
                        rawsocket::Event::Ping(range) => {
                            (Received::Ping(rest[range.clone()].to_vec()), range.end)
                        }
                        rawsocket::Event::Pong(range) => {
                            (Received::Pong(rest[range.clone()].to_vec()), range.end)
                        }
                        rawsocket::Event::NeedMore(_) => break,
                    };
                    self.received.push_back(received);
                    taken += end;
                }
                held.drain(..taken);
            }
            Receive::WebSocket(decoder, inflater, _) => {
                let mut rest = bytes;
                while let Some(event) = decoder.next(&mut rest, inflater).expect("frames of the router") {
                    match event {
                        Event::Message { payload, .. } => {
                            let messages = unbatch(&self.dial, payload.into_owned());
                            self.received.extend(messages.into_iter().map(Received::Message));
                        }
                        Event::Ping(payload) => self.received.push_back(Received::Ping(payload.into_owned())),
                        Event::Pong(payload) => self.received.push_back(Received::Pong(payload.into_owned())),
                        Event::Close(close) => {
                            self.received.push_back(Received::Close(close.code.map(|code| code.get())));
                        }
                    }
                }
            }
        }
    }
}

/// The opcode of the messages of a serializer.
pub(crate) fn opcode_of(serializer: Serializer) -> Opcode {
    if serializer.is_text() { Opcode::Text } else { Opcode::Binary }
}

/// A message as it stands in a batch.
pub(crate) fn batched(serializer: Serializer, message: &[u8]) -> Vec<u8> {
    match serializer.is_text() {
        true => [message, &[0x1e]].concat(),
        false => [&(message.len() as u32).to_be_bytes(), message].concat(),
    }
}

/// The messages of one WebSocket message.
fn unbatch(dial: &Dial, payload: Vec<u8>) -> Vec<Vec<u8>> {
    if !dial.batched {
        return vec![payload];
    }
    if dial.serializer.is_text() {
        let batch = payload.strip_suffix(&[0x1e]).expect("each message of a batch ends with 0x1E");
        return batch.split(|octet| *octet == 0x1e).map(<[u8]>::to_vec).collect();
    }
    let (mut messages, mut rest) = (Vec::new(), &payload[..]);
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (message, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        messages.push(message.to_vec());
        rest = behind;
    }
    assert!(rest.is_empty(), "a batch of whole messages");
    messages
}
