//! The four octets that each side sends once.

use super::MaxLength;
use bondy_wamp::serializer::Serializer;

/// The first octet of either side's handshake.
pub const MAGIC: u8 = 0x7f;

/// The length of either side's handshake.
pub const HANDSHAKE_BYTES: usize = 4;

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// How messages are written.
    pub serializer: Serializer,
    /// The longest message that this side may send.
    pub send_max: MaxLength,
    /// The longest message that this side accepts.
    pub receive_max: MaxLength,
}

/// Why a server refuses a client, as the four bits on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// 1: the serializer is unknown here, or 0, which is illegal.
    SerializerUnsupported,
    /// 2: the announced length does not suit the server.
    LengthUnacceptable,
    /// 3: an octet that is reserved was not zero.
    ReservedBitsUsed,
    /// 4: the server is full.
    TooManyConnections,
    /// Any other number, which the specification does not define.
    Other(u8),
}

impl RefusalCode {
    const fn from_nibble(nibble: u8) -> RefusalCode {
        match nibble {
            1 => RefusalCode::SerializerUnsupported,
            2 => RefusalCode::LengthUnacceptable,
            3 => RefusalCode::ReservedBitsUsed,
            4 => RefusalCode::TooManyConnections,
            other => RefusalCode::Other(other),
        }
    }

    const fn nibble(self) -> u8 {
        match self {
            RefusalCode::SerializerUnsupported => 1,
            RefusalCode::LengthUnacceptable => 2,
            RefusalCode::ReservedBitsUsed => 3,
            RefusalCode::TooManyConnections => 4,
            RefusalCode::Other(other) => other & 0x0f,
        }
    }

    /// The four octets that tell the client, after which the server closes.
    pub const fn reply(self) -> [u8; HANDSHAKE_BYTES] {
        [MAGIC, self.nibble() << 4, 0, 0]
    }
}

impl std::fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RefusalCode::SerializerUnsupported => f.write_str("serializer unsupported"),
            RefusalCode::LengthUnacceptable => f.write_str("maximum message length unacceptable"),
            RefusalCode::ReservedBitsUsed => f.write_str("reserved bits used"),
            RefusalCode::TooManyConnections => f.write_str("maximum connection count reached"),
            RefusalCode::Other(code) => write!(f, "undefined error {code}"),
        }
    }
}

/// A client that was not let in: send `reply`, if there is one, then close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rawsocket handshake refused: {error}")]
pub struct Refusal {
    /// What to answer; nothing where the peer does not speak rawsocket.
    pub reply: Option<[u8; HANDSHAKE_BYTES]>,
    /// Why.
    #[source]
    pub error: HandshakeError,
}

/// What is wrong with the other side's handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Not a rawsocket handshake.
    #[error("the first octet is {0:#04x}, not 0x7f")]
    Magic(u8),
    /// A reserved octet was not zero.
    #[error("the last two octets are {0:#06x}, but must be zero")]
    Reserved(u16),
    /// The client asked for a serializer that is not served.
    #[error("serializer {0} is not supported")]
    Serializer(u8),
    /// The server answered with an error.
    #[error("the server refused: {0}")]
    Refused(RefusalCode),
    /// The server did not repeat the serializer that was asked for.
    #[error("the server answered with serializer {0}, which was not asked for")]
    SerializerChanged(u8),
}

/// The server's side.
#[derive(Clone, Copy, Debug)]
pub struct ServerHandshake<'a> {
    /// The longest message that the server accepts.
    pub receive_max: MaxLength,
    /// The serializers that the listener serves.
    pub serializers: &'a [Serializer],
}

impl ServerHandshake<'_> {
    /// Judges a client's four octets: the reply and what was agreed, or how to refuse.
    pub fn answer(
        &self,
        request: [u8; HANDSHAKE_BYTES],
    ) -> Result<([u8; HANDSHAKE_BYTES], Negotiated), Refusal> {
        let [magic, lengths, high, low] = request;
        if magic != MAGIC {
            return Err(Refusal { reply: None, error: HandshakeError::Magic(magic) });
        }
        if high != 0 || low != 0 {
            let error = HandshakeError::Reserved(u16::from_be_bytes([high, low]));
            return Err(refuse(RefusalCode::ReservedBitsUsed, error));
        }
        let id = lengths & 0x0f;
        let Some(serializer) = serializer_of(id).filter(|one| self.serializers.contains(one)) else {
            return Err(refuse(RefusalCode::SerializerUnsupported, HandshakeError::Serializer(id)));
        };
        let send_max = MaxLength::from_nibble(lengths >> 4);
        let negotiated = Negotiated { serializer, send_max, receive_max: self.receive_max };
        Ok((hello(self.receive_max, serializer), negotiated))
    }
}

/// The client's side.
#[derive(Clone, Copy, Debug)]
pub struct ClientHandshake {
    /// The longest message that the client accepts.
    pub receive_max: MaxLength,
    /// The serializer that it wants.
    pub serializer: Serializer,
}

impl ClientHandshake {
    /// The four octets that the client sends first.
    pub fn request(&self) -> [u8; HANDSHAKE_BYTES] {
        hello(self.receive_max, self.serializer)
    }

    /// Judges the server's reply.
    pub fn conclude(&self, reply: [u8; HANDSHAKE_BYTES]) -> Result<Negotiated, HandshakeError> {
        let [magic, lengths, high, low] = reply;
        if magic != MAGIC {
            return Err(HandshakeError::Magic(magic));
        }
        if lengths & 0x0f == 0 {
            return Err(HandshakeError::Refused(RefusalCode::from_nibble(lengths >> 4)));
        }
        if high != 0 || low != 0 {
            return Err(HandshakeError::Reserved(u16::from_be_bytes([high, low])));
        }
        if lengths & 0x0f != id_of(self.serializer) {
            return Err(HandshakeError::SerializerChanged(lengths & 0x0f));
        }
        let send_max = MaxLength::from_nibble(lengths >> 4);
        Ok(Negotiated { serializer: self.serializer, send_max, receive_max: self.receive_max })
    }
}

fn refuse(code: RefusalCode, error: HandshakeError) -> Refusal {
    Refusal { reply: Some(code.reply()), error }
}

fn hello(receive_max: MaxLength, serializer: Serializer) -> [u8; HANDSHAKE_BYTES] {
    [MAGIC, receive_max.nibble() << 4 | id_of(serializer), 0, 0]
}

const fn id_of(serializer: Serializer) -> u8 {
    match serializer {
        Serializer::Json => 1,
        Serializer::MessagePack => 2,
        Serializer::Cbor => 3,
    }
}

const fn serializer_of(id: u8) -> Option<Serializer> {
    match id {
        1 => Some(Serializer::Json),
        2 => Some(Serializer::MessagePack),
        3 => Some(Serializer::Cbor),
        _ => None,
    }
}
