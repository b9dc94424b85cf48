//! WAMP-CRA: a challenge, signed with a shared secret.
//!
//! The secret is a text, or, where the router keeps it salted, a key that both sides derive from it with PBKDF2. The
//! derived key is used as the base64 text that it is written as, not as the bytes: the specification leaves that open,
//! its example and every deployed peer do it so.
//!
//! Specification: Advanced Profile, "Challenge Response Authentication".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::Sha256;

use super::kdf::{KEYLEN_MAX, PBKDF2_ITERATIONS_MAX, check_at_most};
use super::{ChallengeError, HASH_BYTES, count_entry, hmac_sha256, is_same_secret, text_entry};
use crate::id::SessionId;
use crate::message::Authenticate;
use crate::serializer::Serializer;
use crate::value::Value;

/// The name of the method.
pub const METHOD: &str = "wampcra";

/// Rounds of PBKDF2 where a salted challenge does not say: what deployed clients take.
pub const ITERATIONS_DEFAULT: u32 = 1000;

/// Bytes of the derived key where a salted challenge does not say: what deployed clients take.
pub const KEYLEN_DEFAULT: usize = 32;

/// How a router keeps a secret that is not kept as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salting {
    /// The salt, a text.
    pub salt: String,
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// Bytes of the derived key.
    pub keylen: usize,
}

/// What a challenge says, to be signed: who will be authenticated, and what makes the challenge unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The principal.
    pub authid: &'a str,
    /// The role that it will have.
    pub authrole: &'a str,
    /// Where principals are kept.
    pub authprovider: &'a str,
    /// Random text.
    pub nonce: &'a str,
    /// When authentication began: UTC, as in ISO 8601.
    pub timestamp: &'a str,
    /// The session that will be opened.
    pub session: SessionId,
}

impl Claim<'_> {
    /// The text to be signed: `CHALLENGE.Details.challenge`.
    pub fn to_text(&self) -> String {
        let claim = Value::from([
            ("authid", Value::from(self.authid)),
            ("authrole", Value::from(self.authrole)),
            ("authmethod", Value::from(METHOD)),
            ("authprovider", Value::from(self.authprovider)),
            ("nonce", Value::from(self.nonce)),
            ("timestamp", Value::from(self.timestamp)),
            ("session", Value::from(self.session.0)),
        ]);
        String::from_utf8_lossy(&claim.to_bytes(Serializer::Json)).into_owned()
    }
}

/// The extra dictionary of CHALLENGE for this text, with how the secret is salted, if it is.
pub fn challenge_extra(challenge: &str, salting: Option<&Salting>) -> Value {
    let challenge = Value::from(challenge);
    match salting {
        None => Value::from([("challenge", challenge)]),
        Some(salting) => Value::from([
            ("challenge", challenge),
            ("salt", Value::from(salting.salt.as_str())),
            ("iterations", Value::from(u64::from(salting.iterations))),
            ("keylen", Value::from(salting.keylen as u64)),
        ]),
    }
}

/// The key for a salted secret: PBKDF2 with HMAC-SHA256, in base64. The key of [`sign`] is the bytes of this text.
///
/// The costs are the caller's: those of a peer are limited by [`answer`].
pub fn derive_key(secret: &str, salt: &str, iterations: u32, keylen: usize) -> String {
    let mut key = vec![0; keylen];
    pbkdf2::pbkdf2_hmac::<Sha256>(secret.as_bytes(), salt.as_bytes(), iterations, &mut key);
    BASE64.encode(key)
}

/// The signature of a challenge under a key: HMAC-SHA256, in base64.
pub fn sign(key: &[u8], challenge: &str) -> String {
    BASE64.encode(hmac_sha256(key, challenge.as_bytes()))
}

/// Is this the signature of the challenge? In constant time.
pub fn verify(key: &[u8], challenge: &str, signature: &str) -> bool {
    is_same_secret(sign(key, challenge).as_bytes(), signature.as_bytes())
}

/// The client's answer to CHALLENGE, with the secret as the person knows it.
///
/// # Errors
/// The challenge is not one, or asks for more work than [`PBKDF2_ITERATIONS_MAX`] or [`KEYLEN_MAX`] allow.
pub fn answer(secret: &str, extra: &Value) -> Result<Authenticate, ChallengeError> {
    let challenge = text_entry(extra, "challenge")?;
    let signature = match extra.entry("salt") {
        None => sign(secret.as_bytes(), challenge),
        Some(_) => sign(salted_key(secret, extra)?.as_bytes(), challenge),
    };
    Ok(Authenticate { signature, extra: Value::from([]) })
}

fn salted_key(secret: &str, extra: &Value) -> Result<String, ChallengeError> {
    let salt = text_entry(extra, "salt")?;
    let iterations = count_entry(extra, "iterations")?.unwrap_or(ITERATIONS_DEFAULT.into());
    let keylen = count_entry(extra, "keylen")?.unwrap_or(KEYLEN_DEFAULT as u64);
    for (what, value) in [("iterations", iterations), ("keylen", keylen)] {
        if value == 0 {
            return Err(ChallengeError::TooCheap { what, value, min: 1 });
        }
    }
    check_at_most("keylen", keylen, KEYLEN_MAX)?;
    check_at_most("iterations", iterations, PBKDF2_ITERATIONS_MAX)?;
    let blocks = keylen.div_ceil(HASH_BYTES as u64);
    check_at_most("iterations for keylen", iterations * blocks, PBKDF2_ITERATIONS_MAX)?;
    let too_costly = |value| ChallengeError::TooCostly { what: "iterations", value, max: u32::MAX.into() };
    let iterations = u32::try_from(iterations).map_err(|_| too_costly(iterations))?;
    let keylen = usize::try_from(keylen).map_err(|_| too_costly(keylen))?;
    Ok(derive_key(secret, salt, iterations, keylen))
}
