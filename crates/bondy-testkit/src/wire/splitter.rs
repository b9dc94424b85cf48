//! The conversation of two others, cut into its parts while it passes.
//!
//! Both directions are looked at together, because each needs what the other has shown: the client's first octet tells
//! the transport, and the router's answer the serializer. What the link cannot read (TLS, plain HTTP, bytes that break
//! the framing) is [`Part::Opaque`] from there on, and passes as it is: a link repairs nothing and refuses nothing.
//!
//! Invariant: the bytes of the parts, one after the other, are the bytes that came, but for the client's offer of
//! compression and for batches, whose messages become batches of one.

use bondy_transport::rawsocket::MAGIC;
use bondy_transport::websocket::Role;
use bondy_transport::websocket::frame::{FrameHeader, Opcode, append_frame};
use bondy_wamp::serializer::Serializer;

use super::frame::{Frame, Frames, batch_of_one, unbatch};
use super::opening::{HEAD_BYTES_MAX, Head, head_length, without_compression};
use super::{Agreement, Transport};
use crate::link::Direction;

/// What a part of a conversation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A handshake.
    Opening,
    /// A message: its bytes without the framing.
    Message(Vec<u8>),
    /// A ping, a pong or a close frame.
    Control,
    /// Something that cannot be told apart.
    Opaque,
}

/// A part and the bytes that it is on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) wire: Vec<u8>,
    pub(crate) part: Part,
}

/// What one direction waits for.
#[derive(Debug)]
enum State {
    Opening,
    Frames(Frames),
    Opaque,
}

#[derive(Debug)]
struct Half {
    state: State,
    received: Vec<u8>,
    /// Bytes of fragments whose message has not ended.
    fragments: Vec<u8>,
}

/// A conversation between a client and a router.
#[derive(Debug)]
pub(crate) struct Conversation {
    transport: Option<Transport>,
    agreement: Option<Agreement>,
    to_router: Half,
    to_client: Half,
}

impl Conversation {
    pub(crate) fn new() -> Self {
        let half = || Half { state: State::Opening, received: Vec::new(), fragments: Vec::new() };
        Self { transport: None, agreement: None, to_router: half(), to_client: half() }
    }

    /// What was agreed in the openings, once both were seen.
    pub(crate) fn agreement(&self) -> Option<Agreement> {
        self.agreement
    }

    /// Takes bytes that came in this direction, and gives the parts that they complete.
    pub(crate) fn feed(&mut self, direction: Direction, bytes: &[u8]) -> Vec<Unit> {
        self.half(direction).received.extend_from_slice(bytes);
        let mut units = Vec::new();
        while self.next(direction, &mut units) {}
        units
    }

    /// What has come in this direction and completes nothing, at its end.
    pub(crate) fn rest(&mut self, direction: Direction) -> Vec<u8> {
        let half = self.half(direction);
        let mut rest = std::mem::take(&mut half.fragments);
        rest.append(&mut half.received);
        rest
    }

    fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::ToRouter => &mut self.to_router,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Takes one part; whether another may follow.
    fn next(&mut self, direction: Direction, units: &mut Vec<Unit>) -> bool {
        if self.half(direction).received.is_empty() {
            return false;
        }
        match (&self.half(direction).state, direction) {
            (State::Opening, Direction::ToRouter) => self.next_request(units),
            (State::Opening, Direction::ToClient) => self.next_answer(units),
            (State::Frames(_), _) => self.next_frame(direction, units),
            (State::Opaque, _) => {
                let wire = self.rest(direction);
                units.push(Unit { wire, part: Part::Opaque });
                false
            }
        }
    }

    /// The client's opening.
    fn next_request(&mut self, units: &mut Vec<Unit>) -> bool {
        let received = &mut self.to_router.received;
        let (transport, wire) = match received.first().copied() {
            Some(MAGIC) if received.len() < 4 => return false,
            Some(MAGIC) => (Transport::RawSocket, received.drain(..4).collect()),
            Some(b'G') => match head_length(received) {
                Some(length) => {
                    let head: Vec<u8> = received.drain(..length).collect();
                    if !asks_for_websocket(&head) {
                        received.splice(..0, head);
                        return self.give_up();
                    }
                    (Transport::WebSocket, without_compression(&head))
                }
                None if received.len() > HEAD_BYTES_MAX => return self.give_up(),
                None => return false,
            },
            Some(_) | None => return self.give_up(),
        };
        self.transport = Some(transport);
        self.to_router.state = State::Frames(Frames::new(transport, Role::Server));
        units.push(Unit { wire, part: Part::Opening });
        true
    }

    /// The router's opening.
    fn next_answer(&mut self, units: &mut Vec<Unit>) -> bool {
        let received = &mut self.to_client.received;
        let (transport, length) = match self.transport {
            None => return self.give_up(),
            Some(Transport::RawSocket) if received.len() < 4 => return false,
            Some(Transport::RawSocket) => (Transport::RawSocket, 4),
            Some(Transport::WebSocket) => match head_length(received) {
                Some(length) => (Transport::WebSocket, length),
                None if received.len() > HEAD_BYTES_MAX => return self.give_up(),
                None => return false,
            },
        };
        let wire: Vec<u8> = received.drain(..length).collect();
        self.agreement = agreed(transport, &wire);
        units.push(Unit { wire, part: Part::Opening });
        if self.agreement.is_none() {
            return self.give_up();
        }
        self.to_client.state = State::Frames(Frames::new(transport, Role::Client));
        true
    }

    /// Both directions pass unread from here on.
    fn give_up(&mut self) -> bool {
        self.to_router.state = State::Opaque;
        self.to_client.state = State::Opaque;
        true
    }

    fn next_frame(&mut self, direction: Direction, units: &mut Vec<Unit>) -> bool {
        let agreement = self.agreement;
        let half = self.half(direction);
        let State::Frames(frames) = &mut half.state else { return false };
        let (length, frame) = match frames.next(&half.received) {
            Ok(Some(taken)) => taken,
            Ok(None) => return false,
            // What breaks the framing is for the other side to judge.
            Err(_) => {
                half.state = State::Opaque;
                return true;
            }
        };
        let is_inside = frames.is_inside_message();
        let wire: Vec<u8> = half.received.drain(..length).collect();
        match frame {
            None => half.fragments.extend_from_slice(&wire),
            Some(Frame::Message(payload)) => {
                let wire = [std::mem::take(&mut half.fragments), wire].concat();
                units.append(&mut messages(agreement, direction, wire, payload));
            }
            Some(Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_)) => {
                debug_assert!(is_inside || half.fragments.is_empty(), "fragments belong to an open message");
                units.push(Unit { wire, part: Part::Control });
            }
        }
        true
    }
}

/// A message as a part, or the messages of a batch as one part each.
fn messages(
    agreement: Option<Agreement>,
    direction: Direction,
    wire: Vec<u8>,
    payload: Vec<u8>,
) -> Vec<Unit> {
    let Some(Agreement { batched: true, serializer, .. }) = agreement else {
        return vec![Unit { wire, part: Part::Message(payload) }];
    };
    let Some(messages) = unbatch(serializer.is_text(), &payload) else {
        return vec![Unit { wire, part: Part::Opaque }];
    };
    let unit = |message: &[u8]| Unit {
        wire: single(serializer, direction, message),
        part: Part::Message(message.to_vec()),
    };
    messages.into_iter().map(unit).collect()
}

/// A WebSocket message that is a batch of one.
fn single(serializer: Serializer, direction: Direction, message: &[u8]) -> Vec<u8> {
    let opcode = if serializer.is_text() { Opcode::Text } else { Opcode::Binary };
    let mask = match direction {
        Direction::ToRouter => Some([0; 4]),
        Direction::ToClient => None,
    };
    let mut wire = Vec::new();
    let header = FrameHeader { mask, ..FrameHeader::whole(opcode, 0) };
    append_frame(header, &batch_of_one(serializer.is_text(), message), &mut wire);
    wire
}

fn asks_for_websocket(head: &[u8]) -> bool {
    let head = Head::parse(head);
    head.is_some_and(|head| {
        head.value("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
    })
}

/// What a router's opening agrees to; `None` where it refuses or agrees to something unknown.
fn agreed(transport: Transport, wire: &[u8]) -> Option<Agreement> {
    match transport {
        Transport::RawSocket => {
            let serializer = Serializer::from_rawsocket_id(wire.get(1)? & 0x0f)?;
            Some(Agreement { transport, serializer, batched: false })
        }
        Transport::WebSocket => {
            let head = Head::parse(wire).filter(|head| head.first_line.starts_with("HTTP/1.1 101"))?;
            let (serializer, batched) = Serializer::from_subprotocol(head.value("sec-websocket-protocol")?)?;
            Some(Agreement { transport, serializer, batched })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Endpoint, frame, opening};

    /// What a client and a router say, in bytes, after an opening in this transport.
    fn conversation(transport: Transport) -> (Vec<u8>, Vec<u8>) {
        let endpoint = Endpoint { transport, address: "127.0.0.1:1".to_owned(), path: "/".to_owned() };
        let mut to_router = opening::request(&endpoint, Serializer::Json);
        let (mut to_client, agreed) = opening::answer(transport, &to_router);
        let agreement = agreed.unwrap();
        for (role, bytes) in [(Role::Client, &mut to_router), (Role::Server, &mut to_client)] {
            frame::append(agreement, role, &Frame::Message(b"[1,2]".to_vec()), bytes);
            frame::append(agreement, role, &Frame::Ping(b"x".to_vec()), bytes);
            frame::append(agreement, role, &Frame::Message(b"[3]".to_vec()), bytes);
        }
        (to_router, to_client)
    }

    const PARTS: [fn() -> Part; 4] = [
        || Part::Opening,
        || Part::Message(b"[1,2]".to_vec()),
        || Part::Control,
        || Part::Message(b"[3]".to_vec()),
    ];

    #[test]
    fn parts_are_found_wherever_the_bytes_are_cut_and_lose_nothing() {
        for transport in [Transport::RawSocket, Transport::WebSocket] {
            let (to_router, to_client) = conversation(transport);
            for chunk in [1, 2, 7, usize::MAX] {
                let mut conversation = Conversation::new();
                for (direction, bytes) in
                    [(Direction::ToRouter, &to_router), (Direction::ToClient, &to_client)]
                {
                    let chunks = bytes.chunks(chunk.min(bytes.len()));
                    let units: Vec<Unit> =
                        chunks.flat_map(|chunk| conversation.feed(direction, chunk)).collect();
                    let wire: Vec<u8> = units.iter().flat_map(|unit| unit.wire.clone()).collect();
                    assert_eq!(wire, *bytes);
                    let parts: Vec<Part> = units.into_iter().map(|unit| unit.part).collect();
                    assert_eq!(parts, PARTS.map(|part| part()));
                }
                assert_eq!(conversation.agreement().map(|agreed| agreed.serializer), Some(Serializer::Json));
            }
        }
    }

    #[test]
    fn what_is_not_wamp_passes_as_it_is() {
        let mut conversation = Conversation::new();
        let hello = [0x16, 3, 1, 0, 5];
        let opaque = |bytes: &[u8]| vec![Unit { wire: bytes.to_vec(), part: Part::Opaque }];
        assert_eq!(conversation.feed(Direction::ToRouter, &hello), opaque(&hello));
        assert_eq!(conversation.feed(Direction::ToClient, b"anything"), opaque(b"anything"));
        let mut conversation = Conversation::new();
        let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(conversation.feed(Direction::ToRouter, request), opaque(request));
    }

    #[test]
    fn a_violation_of_the_framing_passes_on_to_the_other_side() {
        let (to_router, _) = conversation(Transport::RawSocket);
        let mut conversation = Conversation::new();
        conversation.feed(Direction::ToRouter, &to_router);
        let units = conversation.feed(Direction::ToRouter, &[0xff, 1, 2]);
        assert_eq!(units, [Unit { wire: vec![0xff, 1, 2], part: Part::Opaque }]);
    }

    #[test]
    fn any_bytes_pass_and_none_is_lost() {
        for seed in 0..2_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let transport = if seed % 2 == 0 { Transport::RawSocket } else { Transport::WebSocket };
            let (mut to_router, mut to_client) = conversation(transport);
            for bytes in [&mut to_router, &mut to_client] {
                for _ in 0..random.usize(0..4) {
                    let at = random.usize(0..bytes.len());
                    bytes[at] = random.u8(..);
                }
            }
            let mut conversation = Conversation::new();
            for (direction, bytes) in [(Direction::ToRouter, &to_router), (Direction::ToClient, &to_client)] {
                let mut passed = Vec::new();
                for chunk in bytes.chunks(random.usize(1..40)) {
                    conversation
                        .feed(direction, chunk)
                        .iter()
                        .for_each(|unit| passed.extend_from_slice(&unit.wire));
                }
                passed.extend(conversation.rest(direction));
                assert_eq!(passed, *bytes, "seed {seed}");
            }
        }
    }

    #[test]
    fn messages_of_a_batch_become_batches_of_one() {
        let serializer = Serializer::MessagePack;
        let agreement = Agreement { transport: Transport::WebSocket, serializer, batched: true };
        let payload = [batch_of_one(false, b"a"), batch_of_one(false, b"bc")].concat();
        let units = messages(Some(agreement), Direction::ToRouter, Vec::new(), payload);
        let parts: Vec<&Part> = units.iter().map(|unit| &unit.part).collect();
        assert_eq!(parts, [&Part::Message(b"a".to_vec()), &Part::Message(b"bc".to_vec())]);
        let mut frames = Frames::new(Transport::WebSocket, Role::Server);
        let frame = frames.next(&units[1].wire).unwrap().unwrap().1;
        assert_eq!(frame, Some(Frame::Message(batch_of_one(false, b"bc"))));
    }
}
