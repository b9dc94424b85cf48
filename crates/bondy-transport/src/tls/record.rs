//! The TLS protocol of one connection, as bytes: no socket, no waiting.
//!
//! It is built on rustls' connection *without* buffers. A buffered one keeps about 6 KiB per idle connection; here
//! the three buffers exist only while they hold something.

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, ServerConfig};
use std::io;
use std::sync::Arc;

/// Ciphertext that may be held without being understood. The longest handshake message is 64 KiB.
const INCOMING_BYTES_MAX: usize = 128 * 1024;

/// What a record adds to its plaintext, generously.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// The longest plaintext of a record (RFC 8446, section 5.1).
pub(super) const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Ciphertext in, plaintext out, and the other way round.
pub(super) struct Records {
    connection: Box<UnbufferedServerConnection>,
    /// Ciphertext that was received and not yet understood: at most a part of a record between calls.
    pub(super) incoming: Vec<u8>,
    /// Plaintext that did not fit the reader's buffer.
    pub(super) plain: Backlog,
    /// Ciphertext that is to be sent.
    pub(super) outgoing: Backlog,
    /// The peer has said that nothing more will come.
    pub(super) peer_closed: bool,
    /// What ended the connection; every later attempt ends with it too.
    failed: Option<RecordError>,
}

/// Bytes that are taken from the front; nothing is allocated while it is empty.
#[derive(Default)]
pub(super) struct Backlog {
    bytes: Vec<u8>,
    taken: usize,
}

impl Backlog {
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.taken += count;
        if self.taken == self.bytes.len() {
            *self = Backlog::default();
        }
    }

    /// What the memory allocator was asked for.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// What was taken is forgotten once it is the larger part, so that a backlog which never empties stays bounded.
    pub(super) fn compact(&mut self) {
        if self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }
}

/// What a pass over the connection is for, once it can carry application data.
pub(super) enum Intent<'a> {
    /// Only to receive.
    Receive,
    /// To encrypt this plaintext.
    Encrypt(&'a [u8]),
    /// To say that nothing more will be sent.
    Close,
}

/// Where decrypted bytes go: first into the reader's buffer.
pub(super) struct Sink<'a> {
    buffer: &'a mut [u8],
    filled: usize,
}

impl<'a> Sink<'a> {
    /// Into `buffer`, and the rest into the backlog.
    pub(super) fn new(buffer: &'a mut [u8]) -> Sink<'a> {
        Sink { buffer, filled: 0 }
    }

    /// Into the backlog alone.
    pub(super) fn backlog() -> Sink<'static> {
        Sink { buffer: &mut [], filled: 0 }
    }

    /// How much of the buffer was used.
    pub(super) fn filled_bytes(&self) -> usize {
        self.filled
    }

    fn push(&mut self, payload: &[u8], backlog: &mut Backlog) {
        let free = &mut self.buffer[self.filled..];
        let count = if backlog.bytes.is_empty() { free.len().min(payload.len()) } else { 0 };
        free[..count].copy_from_slice(&payload[..count]);
        self.filled += count;
        backlog.bytes.extend_from_slice(&payload[count..]);
    }
}

impl Records {
    /// The server's side; `incoming` is what has already arrived.
    pub(super) fn new(config: Arc<ServerConfig>, incoming: Vec<u8>) -> Result<Records, rustls::Error> {
        let connection = Box::new(UnbufferedServerConnection::new(config)?);
        let (plain, outgoing) = (Backlog::default(), Backlog::default());
        Ok(Records { connection, incoming, plain, outgoing, peer_closed: false, failed: None })
    }

    /// What was negotiated.
    pub(super) fn state(&self) -> &CommonState {
        &self.connection
    }

    /// The error that ended the connection, if one did.
    pub(super) fn check(&self) -> io::Result<()> {
        match &self.failed {
            Some(error) => Err(error.clone().into()),
            None => Ok(()),
        }
    }

    /// Runs the state machine over `incoming` until it needs more. Returns whether the intent was carried out; it
    /// is not before the handshake is complete.
    pub(super) fn pass(&mut self, intent: Intent<'_>, sink: &mut Sink<'_>) -> io::Result<bool> {
        self.check()?;
        let mut start = 0;
        let mut outcome = self.steps(&mut start, &intent, sink);
        if start == self.incoming.len() {
            self.incoming = Vec::new();
        } else {
            self.incoming.drain(..start);
        }
        if outcome.is_ok() && self.incoming.len() > INCOMING_BYTES_MAX {
            outcome = Err(RecordError::TooLong);
        }
        outcome.map_err(|error| {
            self.encode_alert();
            self.failed = Some(error.clone());
            error.into()
        })
    }

    fn steps(
        &mut self,
        start: &mut usize,
        intent: &Intent<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<bool, RecordError> {
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut self.incoming[*start..]);
            let done = match state {
                Err(error) => Some(Err(RecordError::Tls(error))),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(RecordError::Tls)?;
                        discard += record.discard;
                        sink.push(record.payload, &mut self.plain);
                    }
                    None
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.outgoing.bytes, 0, |out| data.encode(out))?;
                    None
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // `outgoing` keeps the order, so encoded counts as sent.
                    data.done();
                    None
                }
                Ok(ConnectionState::WriteTraffic(traffic)) => {
                    Some(carry_out(intent, traffic, &mut self.outgoing.bytes))
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.peer_closed = true;
                    None
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Some(Ok(false)),
                // Early data is never accepted, and nothing else exists yet.
                Ok(_) => Some(Ok(false)),
            };
            *start += discard;
            if let Some(outcome) = done {
                return outcome;
            }
        }
    }

    /// After an error rustls has an alert that tells the peer.
    fn encode_alert(&mut self) {
        while self.state().wants_write() {
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut self.incoming);
            match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    if append(&mut self.outgoing.bytes, 0, |out| data.encode(out)).is_err() {
                        return;
                    }
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => while traffic.next_record().is_some() {},
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// Why a connection fails.
#[derive(Clone)]
enum RecordError {
    Tls(rustls::Error),
    TooLong,
    Exhausted,
}

impl From<RecordError> for io::Error {
    fn from(error: RecordError) -> io::Error {
        match error {
            RecordError::Tls(error) => io::Error::new(io::ErrorKind::InvalidData, error),
            RecordError::TooLong => io::Error::new(io::ErrorKind::InvalidData, "a TLS message is too long"),
            RecordError::Exhausted => io::Error::other("the TLS keys are used up"),
        }
    }
}

impl From<EncodeError> for RecordError {
    fn from(_: EncodeError) -> RecordError {
        // Room is made, and each piece is encoded once; so this does not happen.
        RecordError::Exhausted
    }
}

impl From<EncryptError> for RecordError {
    fn from(_: EncryptError) -> RecordError {
        RecordError::Exhausted
    }
}

fn carry_out(
    intent: &Intent<'_>,
    mut traffic: WriteTraffic<'_, ServerConnectionData>,
    out: &mut Vec<u8>,
) -> Result<bool, RecordError> {
    match intent {
        Intent::Receive => {}
        Intent::Encrypt(plain) => {
            let records = plain.len() / RECORD_BYTES_MAX + 1;
            append(out, plain.len() + records * RECORD_OVERHEAD_BYTES, |out| traffic.encrypt(plain, out))?;
        }
        Intent::Close => append(out, RECORD_OVERHEAD_BYTES, |out| traffic.queue_close_notify(out))?,
    }
    Ok(true)
}

/// An encoder's error, which may only ask for more room.
trait AskForRoom {
    fn required_bytes(&self) -> Option<usize>;
}

impl AskForRoom for EncodeError {
    fn required_bytes(&self) -> Option<usize> {
        match self {
            EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            EncodeError::AlreadyEncoded => None,
        }
    }
}

impl AskForRoom for EncryptError {
    fn required_bytes(&self) -> Option<usize> {
        match self {
            EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            EncryptError::EncryptExhausted => None,
        }
    }
}

/// Lets `encode` write behind the end of `out`, with the room that it asks for.
fn append<E: AskForRoom>(
    out: &mut Vec<u8>,
    expected_bytes: usize,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), E> {
    let start = out.len();
    out.resize(start + expected_bytes, 0);
    let mut outcome = encode(&mut out[start..]);
    if let Some(required_bytes) = outcome.as_ref().err().and_then(AskForRoom::required_bytes) {
        out.resize(start + required_bytes, 0);
        outcome = encode(&mut out[start..]);
    }
    out.truncate(start + *outcome.as_ref().unwrap_or(&0));
    outcome.map(drop)
}
