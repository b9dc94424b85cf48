//! WAMP-Cryptosign: a random challenge, signed with the private key of the client (Ed25519).
//!
//! What is signed is the challenge, or, with channel binding, the challenge XOR the channel id, so that the signature
//! is worth nothing on another connection. The one channel binding supported is `tls-exporter` (RFC 9266): the other
//! of the specification, `tls-unique`, does not exist in TLS 1.3. A router may prove its own key by signing a challenge
//! of the client in the same way.
//!
//! Specification: Advanced Profile, "Cryptosign-based Authentication"; RFC 8032 (Ed25519).

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, VerifyingKey};

use super::{ChallengeError, hex, text_entry};
use crate::message::Authenticate;
use crate::value::Value;

/// The name of the method.
pub const METHOD: &str = "cryptosign";

/// The channel binding that a client can ask for.
pub const CHANNEL_BINDING: &str = "tls-exporter";

/// The bytes of a key, of a challenge and of a channel id.
pub const KEY_BYTES: usize = 32;

const SIGNATURE_BYTES: usize = 64;

/// A private key. Its memory is overwritten when it is dropped, and `Debug` does not show it.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

/// Text that is no private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a private key must be 32 bytes in hexadecimal: 64 digits")]
pub struct KeyError;

impl SigningKey {
    /// The key from its 32 bytes in hexadecimal, which is how private keys are kept in files.
    ///
    /// # Errors
    /// Anything else; the text is not repeated in the error.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        hex::decode(text.trim()).map(Self::from_seed).ok_or(KeyError)
    }

    /// The key from its 32 bytes ("seed" in RFC 8032).
    pub fn from_seed(seed: [u8; KEY_BYTES]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// The public key, as peers know it.
    pub fn public_key_hex(&self) -> String {
        hex::encode(self.0.verifying_key().as_bytes())
    }

    /// `HELLO.Details.authextra`, without channel binding.
    pub fn authextra(&self) -> Value {
        Value::from([("pubkey", Value::from(self.public_key_hex().as_str()))])
    }

    /// `HELLO.Details.authextra`, asking for [`CHANNEL_BINDING`].
    pub fn authextra_with_binding(&self) -> Value {
        Value::from([
            ("pubkey", Value::from(self.public_key_hex().as_str())),
            ("channel_binding", Value::from(CHANNEL_BINDING)),
        ])
    }

    /// The client's answer to CHALLENGE. The channel id is given if, and only if, HELLO asked for channel binding.
    ///
    /// # Errors
    /// The challenge is not one, or the router binds to the channel where the client does not, or the other way round:
    /// then somebody may stand between the two ("TLS Channel Binding": the client must verify it).
    pub fn answer(
        &self,
        extra: &Value,
        channel_id: Option<&[u8; KEY_BYTES]>,
    ) -> Result<Authenticate, ChallengeError> {
        check_binding(extra, channel_id.is_some())?;
        let challenge = challenge_entry(extra)?;
        Ok(Authenticate { signature: self.sign_challenge(&challenge, channel_id), extra: Value::from([]) })
    }

    /// The signature of a challenge, bound to the channel where its id is given: signature and message, 96 bytes in
    /// hexadecimal. For a router that proves its own key; [`SigningKey::answer`] is for clients.
    pub fn sign_challenge(
        &self,
        challenge: &[u8; KEY_BYTES],
        channel_id: Option<&[u8; KEY_BYTES]>,
    ) -> String {
        let message = bound(challenge, channel_id);
        let signature = self.0.sign(&message);
        hex::encode(&[&signature.to_bytes()[..], &message[..]].concat())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey(public {})", self.public_key_hex())
    }
}

/// The extra dictionary of CHALLENGE, for 32 random bytes.
pub fn challenge_extra(challenge: &[u8; KEY_BYTES], with_binding: bool) -> Value {
    let binding = if with_binding { Value::from(CHANNEL_BINDING) } else { Value::Null };
    Value::from([("challenge", Value::from(hex::encode(challenge).as_str())), ("channel_binding", binding)])
}

/// The router checks what a client answered to its challenge, under the public key that the client announced.
///
/// # Errors
/// The key is none, the message signed is not the challenge (bound to this channel), or the signature is wrong.
pub fn verify(
    public_key_hex: &str,
    challenge: &[u8; KEY_BYTES],
    channel_id: Option<&[u8; KEY_BYTES]>,
    signature: &str,
) -> Result<(), ChallengeError> {
    let expected = "an Ed25519 public key, 32 bytes in hexadecimal";
    let no_key = ChallengeError::Entry { key: "pubkey", expected };
    let key = hex::decode(public_key_hex).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    let key = key.ok_or(no_key)?;
    let expected = "signature and message, 96 bytes in hexadecimal";
    let signed: [u8; SIGNATURE_BYTES + KEY_BYTES] =
        hex::decode(signature).ok_or(ChallengeError::Entry { key: "signature", expected })?;
    let (signature, message) = signed.split_at(SIGNATURE_BYTES);
    // Neither is a secret: both have been on the wire.
    if message != bound(challenge, channel_id) {
        return Err(ChallengeError::Proof("message that was signed"));
    }
    let signature = Signature::from_slice(signature).map_err(|_| ChallengeError::Proof("signature"))?;
    key.verify_strict(message, &signature).map_err(|_| ChallengeError::Proof("signature"))
}

/// The client checks the router's answer, which is in CHALLENGE, to the challenge that it sent in HELLO ("Router
/// Authentication"): the router must have the key that the client trusts.
///
/// # Errors
/// The router proves no key, or another, or its signature is wrong.
pub fn verify_router(
    extra: &Value,
    trusted_key_hex: &str,
    challenge: &[u8; KEY_BYTES],
    channel_id: Option<&[u8; KEY_BYTES]>,
) -> Result<(), ChallengeError> {
    let pubkey = text_entry(extra, "pubkey")?;
    if !pubkey.eq_ignore_ascii_case(trusted_key_hex) {
        return Err(ChallengeError::Proof("router's public key"));
    }
    verify(pubkey, challenge, channel_id, text_entry(extra, "signature")?)
}

fn challenge_entry(extra: &Value) -> Result<[u8; KEY_BYTES], ChallengeError> {
    let expected = "32 bytes in hexadecimal";
    let challenge = hex::decode(text_entry(extra, "challenge")?);
    challenge.ok_or(ChallengeError::Entry { key: "challenge", expected })
}

fn check_binding(extra: &Value, wanted: bool) -> Result<(), ChallengeError> {
    match (extra.entry("channel_binding"), wanted) {
        (None, false) => Ok(()),
        (Some(binding), true) if binding.as_str() == Some(CHANNEL_BINDING) => Ok(()),
        (None, true) => {
            Err(ChallengeError::ChannelBinding("the router does not do it, though it was asked for"))
        }
        (Some(_), true) => Err(ChallengeError::ChannelBinding("the router does another one than asked for")),
        (Some(_), false) => Err(ChallengeError::ChannelBinding("the router does it, though nobody asked")),
    }
}

/// What is signed.
fn bound(challenge: &[u8; KEY_BYTES], channel_id: Option<&[u8; KEY_BYTES]>) -> [u8; KEY_BYTES] {
    match channel_id {
        None => *challenge,
        Some(id) => std::array::from_fn(|index| challenge[index] ^ id[index]),
    }
}
