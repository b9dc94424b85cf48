//! permessage-deflate without context takeover (RFC 7692).
//!
//! Every message is compressed by itself, so a connection keeps no window (256 KiB for zlib) and one compressed form
//! of an event serves all its subscribers. One [`Deflater`] and one [`Inflater`] serve all connections of a worker.
//!
//! A peer that asks for a smaller window is honoured without a second compressor: a message that fits the window
//! cannot refer back beyond it, and longer ones are sent plain ([`Extension::may_deflate`]).

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::ProtocolError;

/// The end of a flushed DEFLATE stream, which is cut from each message and put back (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

const NAME: &str = "permessage-deflate";
const WINDOW_BITS_MAX: u8 = 15;

/// The agreed form of permessage-deflate on one connection. Neither side keeps context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    server_window_bits: u8,
}

impl Extension {
    /// Picks the first offer of a client that can be honoured from the values of its `Sec-WebSocket-Extensions`
    /// headers (RFC 7692, section 5). Unknown parameters, repeated ones and bad values decline the offer they are in.
    pub fn negotiate<'h>(header_values: impl IntoIterator<Item = &'h str>) -> Option<Self> {
        header_values.into_iter().flat_map(|value| split_unquoted(value, ',')).find_map(parse_offer)
    }

    /// The value of the server's `Sec-WebSocket-Extensions` header.
    pub fn response(self) -> String {
        let mut response = format!("{NAME}; server_no_context_takeover; client_no_context_takeover");
        // An offer with a window is accepted only by naming the window (RFC 7692, 7.1.2.1).
        if self.server_window_bits < WINDOW_BITS_MAX {
            response.push_str(&format!("; server_max_window_bits={}", self.server_window_bits));
        }
        response
    }

    /// Whether a message of this length, in bytes, may be sent to the client compressed.
    pub fn may_deflate(self, payload_bytes: usize) -> bool {
        self.server_window_bits == WINDOW_BITS_MAX || payload_bytes <= 1 << self.server_window_bits
    }
}

fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let parts = text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    });
    parts.map(str::trim)
}

fn parse_offer(offer: &str) -> Option<Extension> {
    let mut parts = split_unquoted(offer, ';');
    if parts.next() != Some(NAME) {
        return None;
    }
    let mut extension = Extension { server_window_bits: WINDOW_BITS_MAX };
    let mut seen = Vec::new();
    for parameter in parts {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquote(value.trim_start()))),
            None => (parameter, None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
            ("server_max_window_bits", Some(bits)) => extension.server_window_bits = parse_window_bits(bits)?,
            // Our inflater has the largest window, so the client may use what it likes.
            ("client_max_window_bits", None) => {}
            ("client_max_window_bits", Some(bits)) => drop(parse_window_bits(bits)?),
            _ => return None,
        }
    }
    Some(extension)
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// 8 to 15, in decimal without leading zeros (RFC 7692, 7.1.2.1).
fn parse_window_bits(text: &str) -> Option<u8> {
    (8..=WINDOW_BITS_MAX).find(|bits| bits.to_string() == text)
}

/// Compresses messages, one at a time. Holds no memory before its first message, and zlib's 256 KiB from then on.
#[derive(Debug, Default)]
pub struct Deflater(Option<Compress>);

/// Appends to `out` the compressed form of `payload`, ready to be sent in frames whose first has RSV1 set.
pub fn deflate_message(deflater: &mut Deflater, payload: &[u8], out: &mut Vec<u8>) {
    let compress = deflater.0.get_or_insert_with(|| Compress::new(Compression::fast(), false));
    compress.reset();
    loop {
        let rest = &payload[compress.total_in() as usize..];
        out.reserve(rest.len() / 4 + 64);
        compress
            .compress_vec(rest, out, FlushCompress::Sync)
            .expect("an unfinished compressor takes any input");
        // Room left over means that everything has been flushed.
        if compress.total_in() as usize == payload.len() && out.len() < out.capacity() {
            break;
        }
    }
    debug_assert!(out.ends_with(&TAIL), "a flush ends with an empty stored block");
    out.truncate(out.len() - TAIL.len());
}

/// Inflates messages, one at a time. Holds no memory before its first message, and zlib's 44 KiB from then on.
#[derive(Debug, Default)]
pub struct Inflater(Option<Decompress>);

/// The longest compressed form that a message of `bytes_max` bytes may take, in bytes: what zlib's own bound allows
/// for data that do not compress.
pub fn compressed_bytes_max(bytes_max: usize) -> usize {
    bytes_max.saturating_add(bytes_max / 8 + 64)
}

/// Inflates the payload of a compressed message, the joined payloads of its frames. Stops as soon as the result is
/// longer than `bytes_max`, so that a small message cannot blow up.
pub fn inflate_message(
    inflater: &mut Inflater,
    payload: &[u8],
    bytes_max: usize,
) -> Result<Vec<u8>, ProtocolError> {
    let state = inflater.0.get_or_insert_with(|| Decompress::new(false));
    state.reset(false);
    let guess = payload.len().saturating_mul(4).max(64);
    let mut out = Vec::with_capacity(guess.min(bytes_max.saturating_add(1)));
    inflate_part(state, payload, bytes_max, &mut out)?;
    inflate_part(state, &TAIL, bytes_max, &mut out)?;
    Ok(out)
}

fn inflate_part(
    state: &mut Decompress,
    mut input: &[u8],
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), ProtocolError> {
    loop {
        if out.len() == out.capacity() {
            // One byte over the limit is enough to see that the limit is passed.
            out.reserve_exact(out.len().max(64).min(bytes_max.saturating_add(1) - out.len()));
        }
        let (read_before, len_before) = (state.total_in(), out.len());
        let status = state
            .decompress_vec(input, out, FlushDecompress::None)
            .map_err(|_| ProtocolError::InvalidDeflate)?;
        let read = (state.total_in() - read_before) as usize;
        input = &input[read..];
        if out.len() > bytes_max {
            return Err(ProtocolError::MessageTooBig { bytes_max });
        }
        // A sender may end the stream inside a message, after which the next block begins a new one (RFC 7692,
        // 7.2.3.4 shows such a message).
        if status == Status::StreamEnd {
            state.reset(false);
        }
        if input.is_empty() && out.len() < out.capacity() {
            return Ok(());
        }
        if read == 0 && out.len() == len_before && status != Status::StreamEnd {
            return Err(ProtocolError::InvalidDeflate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(value: &str) -> Option<String> {
        Extension::negotiate([value]).map(Extension::response)
    }

    fn inflate(payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, ProtocolError> {
        inflate_message(&mut Inflater::default(), payload, bytes_max)
    }

    #[test]
    fn offers_that_can_be_honoured_are_accepted_without_context() {
        let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=10; server_no_context_takeover",
            "permessage-deflate;server_max_window_bits=15",
            "x-unknown; a=\",\", permessage-deflate; mystery, permessage-deflate",
        ] {
            assert_eq!(negotiate(offer).as_deref(), Some(plain), "{offer}");
        }
        let narrow = negotiate("permessage-deflate; server_max_window_bits=\"9\"");
        assert_eq!(narrow, Some(format!("{plain}; server_max_window_bits=9")));
    }

    #[test]
    fn offers_that_break_the_rules_are_declined() {
        for offer in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; mystery",
        ] {
            assert_eq!(negotiate(offer), None, "{offer}");
        }
    }

    #[test]
    fn narrow_window_takes_only_messages_that_fit_it() {
        let extension = parse_offer("permessage-deflate; server_max_window_bits=9").unwrap();
        assert!(extension.may_deflate(512));
        assert!(!extension.may_deflate(513));
        assert!(parse_offer("permessage-deflate").unwrap().may_deflate(usize::MAX));
    }

    #[test]
    fn messages_survive_compression_one_by_one() {
        let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
        let mut random = fastrand::Rng::with_seed(1);
        for len in [0, 1, 5, 100, 4096, 65_536, 1_000_000] {
            let noise: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
            for payload in [vec![b'a'; len], noise] {
                let mut compressed = Vec::new();
                deflate_message(&mut deflater, &payload, &mut compressed);
                assert!(compressed.len() <= compressed_bytes_max(len));
                let inflated = inflate_message(&mut inflater, &compressed, len);
                assert_eq!(inflated, Ok(payload), "{len} bytes");
            }
        }
    }

    #[test]
    fn empty_message_is_one_byte() {
        let mut compressed = Vec::new();
        deflate_message(&mut Deflater::default(), b"", &mut compressed);
        assert_eq!(compressed, [0]);
    }

    #[test]
    fn examples_of_the_rfc_inflate_to_hello() {
        let examples: [&[u8]; 4] = [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ];
        for example in examples {
            assert_eq!(inflate(example, 5).as_deref(), Ok(b"Hello".as_slice()), "{example:x?}");
        }
    }

    #[test]
    fn inflation_stops_at_the_limit() {
        let mut bomb = Vec::new();
        deflate_message(&mut Deflater::default(), &vec![0; 10_000_000], &mut bomb);
        assert_eq!(inflate(&bomb, 1000), Err(ProtocolError::MessageTooBig { bytes_max: 1000 }));
        assert_eq!(inflate(&bomb, 9_999_999), Err(ProtocolError::MessageTooBig { bytes_max: 9_999_999 }));
        assert_eq!(inflate(&bomb, 0), Err(ProtocolError::MessageTooBig { bytes_max: 0 }));
        assert!(inflate(&bomb, 10_000_000).is_ok());
    }

    #[test]
    fn noise_never_hangs_the_inflater() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut inflater = Inflater::default();
        for _ in 0..20_000 {
            let noise: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
            drop(inflate_message(&mut inflater, &noise, 10_000));
        }
    }
}
