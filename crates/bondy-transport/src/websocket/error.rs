//! What a peer can do wrong on a WebSocket, and the close code that each earns.

use thiserror::Error;

use super::close::CloseCode;

/// A violation of RFC 6455 or RFC 7692, or of this connection's limits. The connection must be failed: send a close
/// frame with [`close_code`](Self::close_code) and this error's text, then close the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// RSV2 or RSV3 is set, or RSV1 where no compressed message may begin (RFC 6455, 5.2; RFC 7692, 6).
    #[error("reserved bits {0:#05b} are set without an extension that allows them")]
    ReservedBits(u8),
    /// Opcodes 3 to 7 and 11 to 15 mean nothing yet (RFC 6455, 5.2).
    #[error("opcode {0} is reserved")]
    ReservedOpcode(u8),
    /// Every frame from a client is masked (RFC 6455, 5.1).
    #[error("a frame from the client is not masked")]
    Unmasked,
    /// No frame from a server is masked (RFC 6455, 5.1).
    #[error("a frame from the server is masked")]
    Masked,
    /// A control frame came in fragments (RFC 6455, 5.5).
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A control frame carries at most 125 bytes (RFC 6455, 5.5).
    #[error("a control frame declares more than 125 bytes")]
    LongControl,
    /// A length must use the shortest of its three encodings (RFC 6455, 5.2).
    #[error("the length {0} is not encoded in the shortest form")]
    LengthEncoding(u64),
    /// The most significant bit of a 64-bit length must be zero (RFC 6455, 5.2).
    #[error("the frame length has its most significant bit set")]
    LengthRange,
    /// A continuation frame came while no fragmented message was open (RFC 6455, 5.4).
    #[error("a continuation frame continues nothing")]
    UnexpectedContinuation,
    /// A text or binary frame came inside a fragmented message (RFC 6455, 5.4).
    #[error("a new message begins inside a fragmented one")]
    InterruptedMessage,
    /// The subprotocol of this connection uses messages of the other kind only.
    #[error("this connection does not take messages of this kind")]
    UnexpectedKind,
    /// The message, as declared by its frame headers or after inflation, is over the limit.
    #[error("the message is longer than the {bytes_max} bytes allowed")]
    MessageTooBig {
        /// The limit of this connection, in bytes.
        bytes_max: usize,
    },
    /// A text message or a close reason is not UTF-8 (RFC 6455, 8.1).
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// A close frame's body is either empty or at least two bytes (RFC 6455, 5.5.1).
    #[error("a close frame carries half a code")]
    TruncatedCloseCode,
    /// This code must not be sent in a close frame (RFC 6455, 7.4).
    #[error("{0} is not a close code that may be sent")]
    InvalidCloseCode(u16),
    /// The messages of a batch are not delimited as the subprotocol says, or there is none.
    #[error("a batched message is not delimited as its subprotocol says")]
    MalformedBatch,
    /// The payload of a compressed message is not DEFLATE data (RFC 7692, 7.2.2).
    #[error("a compressed message cannot be inflated")]
    InvalidDeflate,
}

impl ProtocolError {
    /// The code to close the connection with.
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::ReservedBits(_)
            | Self::ReservedOpcode(_)
            | Self::Unmasked
            | Self::Masked
            | Self::FragmentedControl
            | Self::LongControl
            | Self::LengthEncoding(_)
            | Self::LengthRange
            | Self::UnexpectedContinuation
            | Self::InterruptedMessage
            | Self::TruncatedCloseCode
            | Self::MalformedBatch
            | Self::InvalidCloseCode(_) => CloseCode::PROTOCOL_ERROR,
            Self::UnexpectedKind => CloseCode::UNSUPPORTED_DATA,
            Self::InvalidUtf8 | Self::InvalidDeflate => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
        }
    }
}
