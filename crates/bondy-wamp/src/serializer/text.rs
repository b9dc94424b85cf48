//! Is this UTF-8? Fast for the short ASCII texts that messages are made of, exact for all others.

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// From this length on, vector instructions chosen at run time win over eight bytes at a time.
const VECTOR_BYTES_MIN: usize = 64;

/// Are the bytes exact UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF)?
#[inline]
pub(super) fn is_utf8(bytes: &[u8]) -> bool {
    if bytes.len() >= VECTOR_BYTES_MIN {
        return simdutf8::basic::from_utf8(bytes).is_ok();
    }
    is_short_ascii(bytes) || std::str::from_utf8(bytes).is_ok()
}

/// ASCII by eight bytes at a time; the last eight may overlap those before.
#[inline]
fn is_short_ascii(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<8>() else {
        return bytes.iter().fold(0, |bits, byte| bits | byte) < 0x80;
    };
    let (chunks, _) = bytes.as_chunks::<8>();
    let bits = chunks.iter().fold(u64::from_ne_bytes(*last), |bits, chunk| bits | u64::from_ne_bytes(*chunk));
    bits & HIGH_BITS == 0
}

/// Where the first byte that is not part of a whole character stands.
#[cold]
pub(super) fn invalid_utf8_offset(bytes: &[u8]) -> usize {
    std::str::from_utf8(bytes).err().map_or(bytes.len(), |error| error.valid_up_to())
}
