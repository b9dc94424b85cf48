//! The mathematics of the authentication methods: both halves of WAMP-CRA ([`cra`]), WAMP-SCRAM ([`scram`]) and
//! WAMP-Cryptosign ([`cryptosign`]).
//!
//! Pure: nonces, random bytes, the time and every secret are arguments. What is compared with a secret, or made from
//! one, is compared in constant time.
//!
//! A CHALLENGE comes from a peer that is not trusted yet, perhaps over a connection that anybody can write to. What
//! it may cost to answer is limited by [`PBKDF2_ITERATIONS_MAX`], [`KEYLEN_MAX`], [`ARGON2_MEMORY_KIB_MAX`] and
//! [`ARGON2_KIB_PASSES_MAX`]; above, it is refused before any work is done.
//!
//! What it does not do: know principals, choose a method, keep the time that an answer may take. And the certificates
//! and attestations of Cryptosign.
//!
//! Specification: Advanced Profile, "Authentication Methods". Where it is silent, the habits of deployed peers count,
//! and the item concerned says so.

pub mod cra;
pub mod cryptosign;
mod hex;
mod kdf;
pub mod scram;

pub use kdf::{
    ARGON2_KIB_PASSES_MAX, ARGON2_KIB_PASSES_MIN, ARGON2_MEMORY_KIB_MAX, KEYLEN_MAX, Kdf,
    PBKDF2_ITERATIONS_MAX, SCRAM_ITERATIONS_MIN,
};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::value::Value;

/// The bytes of a SHA-256 hash.
const HASH_BYTES: usize = 32;

/// Why a challenge is not answered, or an answer is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Something that the method needs was not sent, or is of another type.
    #[error("`{key}` must be {expected}")]
    Entry {
        /// Which entry of the extra dictionary.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A secret that a person chose cannot be prepared: it has characters that SASLprep forbids.
    #[error("the {what} has characters that SASLprep does not allow: {reason}")]
    Text {
        /// Which text.
        what: &'static str,
        /// Why, without the text.
        reason: String,
    },
    /// Answering would cost too much.
    #[error("{what} is {value}, more than the limit of {max}")]
    TooCostly {
        /// What is too much.
        what: &'static str,
        /// How much it is.
        value: u64,
        /// How much it may be.
        max: u64,
    },
    /// Answering would give the password away to somebody who tries passwords: the router asks for too little work.
    #[error("{what} is {value}, less than the minimum of {min}: the answer would not protect the password")]
    TooCheap {
        /// What is too little.
        what: &'static str,
        /// How much it is.
        value: u64,
        /// How much it must be.
        min: u64,
    },
    /// The key derivation function is none that we know.
    #[error("unknown key derivation function `{0}`; argon2id13 and pbkdf2 are known")]
    UnknownKdf(String),
    /// The nonce does not go on with what the other side began.
    #[error("the nonce does not continue the one that was sent")]
    Nonce,
    /// The channel binding is not the one that was asked for, or that can be had.
    #[error("channel binding: {0}")]
    ChannelBinding(&'static str),
    /// The proof is wrong: the other side does not know the secret.
    #[error("the {0} is wrong")]
    Proof(&'static str),
    /// The router's proof is to be checked before a challenge was answered.
    #[error("no challenge was answered yet")]
    Unanswered,
}

/// HMAC-SHA256.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; HASH_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Equal, in a time that depends on the lengths alone?
fn is_same_secret(one: &[u8], other: &[u8]) -> bool {
    subtle::ConstantTimeEq::ct_eq(one, other).into()
}

/// The text under this key.
fn text_entry<'v>(extra: &'v Value, key: &'static str) -> Result<&'v str, ChallengeError> {
    extra.entry(key).and_then(Value::as_str).ok_or(ChallengeError::Entry { key, expected: "text" })
}

/// The number under this key, or nothing where the key is absent or null.
fn count_entry(extra: &Value, key: &'static str) -> Result<Option<u64>, ChallengeError> {
    let expected = "an unsigned integer";
    let value = extra.entry(key);
    value.map(|value| value.as_u64().ok_or(ChallengeError::Entry { key, expected })).transpose()
}

/// The bytes of which there is base64 under this key.
fn base64_entry(extra: &Value, key: &'static str) -> Result<Vec<u8>, ChallengeError> {
    let bytes = BASE64.decode(text_entry(extra, key)?);
    bytes.map_err(|_| ChallengeError::Entry { key, expected: "base64" })
}
