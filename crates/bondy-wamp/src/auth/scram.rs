//! WAMP-SCRAM: both sides prove that they know the password (or what was stored of it) without sending it.
//!
//! [`Client`] is the client's half of one exchange; [`Credential`] is what a router stores of a password, and
//! [`Exchange`] its half of one exchange. User names and passwords are prepared with SASLprep (RFC 4013), Unicode 3.2
//! as that profile says: a text with characters that were not assigned then is refused, not altered.
//!
//! Accepted besides the specification's names, because deployed peers write them: the function `argon2id-13`, the
//! verifier under `scram_server_signature`, and a verifier that begins with `v=`, as in the specification's example.
//! The method that those peers call `scram` has other mathematics and is not this one.
//!
//! What it does not do: channel binding (`tls-unique` does not exist in TLS 1.3, and the chapter names no other of the
//! kind). A client that asks for it is refused.
//!
//! Specification: Advanced Profile, "Salted Challenge Response Authentication"; RFC 5802, RFC 7677.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use super::{ChallengeError, HASH_BYTES, Kdf, base64_entry, hmac_sha256, is_same_secret, text_entry};
use crate::message::Authenticate;
use crate::value::Value;

/// The name of the method.
pub const METHOD: &str = "wamp-scram";

/// `c=`: the base64 of "n,,", which says that there is no channel binding.
const NO_CHANNEL_BINDING: &str = "biws";

/// Bytes of the salt that a router invents for a user that does not exist.
const MOCK_SALT_BYTES: usize = 16;

type Key = [u8; HASH_BYTES];

/// The client's half of one exchange.
#[derive(Clone)]
pub struct Client {
    authid: String,
    password: String,
    nonce: String,
    /// `ServerSignature`, once the challenge is answered.
    expected: Option<Key>,
}

impl Client {
    /// With the password as the person knows it, and a nonce: base64 of at least 16 random bytes, for this exchange
    /// alone.
    pub fn new(authid: impl Into<String>, password: impl Into<String>, nonce: String) -> Self {
        Self { authid: authid.into(), password: password.into(), nonce, expected: None }
    }

    /// `HELLO.Details.authextra`.
    pub fn authextra(&self) -> Value {
        Value::from([("nonce", Value::from(self.nonce.as_str())), ("channel_binding", Value::Null)])
    }

    /// The answer to CHALLENGE. Takes as long as the router asks for, within the limits of [`crate::auth`].
    ///
    /// # Errors
    /// The challenge is not one, is for another nonce, or asks for too much or too little work.
    pub fn answer(&mut self, extra: &Value) -> Result<Authenticate, ChallengeError> {
        let nonce = text_entry(extra, "nonce")?;
        check_continuation(&self.nonce, nonce)?;
        let kdf = Kdf::of_challenge(extra)?;
        let salt = base64_entry(extra, "salt")?;
        let password = prepared(&self.password, "password")?;
        let auth_message = AuthMessage {
            authid: &prepared(&self.authid, "authid")?,
            client_nonce: &self.nonce,
            nonce,
            salt: text_entry(extra, "salt")?,
            iterations: kdf.iterations(),
        }
        .to_text();
        let keys = Keys::of(&kdf.salted_password(&password, &salt)?);
        self.expected = Some(hmac_sha256(&keys.server_key, auth_message.as_bytes()));
        let proof = xor(&keys.client_key, &hmac_sha256(&keys.stored_key(), auth_message.as_bytes()));
        let extra = Value::from([
            ("nonce", Value::from(nonce)),
            ("channel_binding", Value::Null),
            ("cbind_data", Value::Null),
        ]);
        Ok(Authenticate { signature: BASE64.encode(proof), extra })
    }

    /// Checks the details of WELCOME: does the router know the password, too? If not, the session must be left.
    ///
    /// # Errors
    /// There is no proof, or a wrong one, or no challenge was answered.
    pub fn verify(&self, welcome_details: &Value) -> Result<(), ChallengeError> {
        let expected = self.expected.as_ref().ok_or(ChallengeError::Unanswered)?;
        let key = "authextra.verifier";
        let verifier = welcome_details.entry("authextra").and_then(|authextra| {
            authextra.entry("verifier").or_else(|| authextra.entry("scram_server_signature"))
        });
        let verifier =
            verifier.and_then(Value::as_str).ok_or(ChallengeError::Entry { key, expected: "text" })?;
        let signature = BASE64.decode(verifier.strip_prefix("v=").unwrap_or(verifier));
        let signature = signature.map_err(|_| ChallengeError::Entry { key, expected: "base64" })?;
        if is_same_secret(expected, &signature) {
            Ok(())
        } else {
            Err(ChallengeError::Proof("router's verifier"))
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("authid", &self.authid).finish_non_exhaustive()
    }
}

/// What a router stores of a password. Nobody can log in with it, but it is enough to try passwords: keep it secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Random bytes, different for each user.
    pub salt: Vec<u8>,
    /// The function, and its costs.
    pub kdf: Kdf,
    /// `StoredKey`: checks the client's proof.
    pub stored_key: Key,
    /// `ServerKey`: makes the router's.
    pub server_key: Key,
}

impl Credential {
    /// Derives what is stored of a password. Slow on purpose.
    ///
    /// # Errors
    /// The password cannot be prepared, the salt is shorter than the function takes, or the costs are beyond what
    /// clients would accept.
    pub fn derive(password: &str, salt: &[u8], kdf: Kdf) -> Result<Self, ChallengeError> {
        let keys = Keys::of(&kdf.salted_password(&prepared(password, "password")?, salt)?);
        Ok(Self { salt: salt.to_vec(), kdf, stored_key: keys.stored_key(), server_key: keys.server_key })
    }

    /// What to challenge a user with who does not exist, so that nobody learns that. No password fits; the salt is
    /// always the same for one `authid`, as the specification asks. The secret is the router's own.
    pub fn mock(secret: &[u8], authid: &str, kdf: Kdf) -> Self {
        let derived = |purpose: &str| hmac_sha256(secret, format!("{purpose}\0{authid}").as_bytes());
        let mut salt = derived("salt").to_vec();
        salt.truncate(MOCK_SALT_BYTES);
        Self { salt, kdf, stored_key: derived("stored key"), server_key: derived("server key") }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credential").field("kdf", &self.kdf).finish_non_exhaustive()
    }
}

/// The router's half of one exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    credential: Credential,
    authid: String,
    client_nonce: String,
    nonce: String,
}

impl Exchange {
    /// For the `authid` and the `authextra` of HELLO, and a nonce: base64 of at least 16 random bytes, for this
    /// exchange alone.
    ///
    /// # Errors
    /// The client sent no nonce, wants channel binding, or has a name that cannot be prepared.
    pub fn new(
        credential: Credential,
        authid: &str,
        authextra: &Value,
        nonce: &str,
    ) -> Result<Self, ChallengeError> {
        let client_nonce = text_entry(authextra, "nonce")?.to_owned();
        if !is_nonce(&client_nonce) {
            return Err(ChallengeError::Entry { key: "nonce", expected: "base64" });
        }
        if authextra.entry("channel_binding").is_some() {
            return Err(ChallengeError::ChannelBinding("it is not supported with wamp-scram"));
        }
        let authid = prepared(authid, "authid")?.into_owned();
        let nonce = format!("{client_nonce}{nonce}");
        Ok(Self { credential, authid, client_nonce, nonce })
    }

    /// The extra dictionary of CHALLENGE.
    pub fn challenge_extra(&self) -> Value {
        let kdf = self.credential.kdf;
        let memory = kdf.memory().map_or(Value::Null, |memory| Value::from(u64::from(memory)));
        Value::from([
            ("nonce", Value::from(self.nonce.as_str())),
            ("salt", Value::from(BASE64.encode(&self.credential.salt).as_str())),
            ("kdf", Value::from(kdf.as_str())),
            ("iterations", Value::from(u64::from(kdf.iterations()))),
            ("memory", memory),
        ])
    }

    /// Checks AUTHENTICATE and returns `authextra` for WELCOME, in which the router proves what it knows.
    ///
    /// # Errors
    /// The client did not prove that it knows the password. Whoever is told should not learn more than that.
    pub fn verify(&self, authenticate: &Authenticate) -> Result<Value, ChallengeError> {
        if text_entry(&authenticate.extra, "nonce")? != self.nonce {
            return Err(ChallengeError::Nonce);
        }
        if ["channel_binding", "cbind_data"].iter().any(|key| authenticate.extra.entry(key).is_some()) {
            return Err(ChallengeError::ChannelBinding("the client did not ask for it in HELLO"));
        }
        let proof = BASE64.decode(&authenticate.signature).ok().and_then(|proof| Key::try_from(proof).ok());
        let proof =
            proof.ok_or(ChallengeError::Entry { key: "signature", expected: "32 bytes in base64" })?;
        let auth_message = AuthMessage {
            authid: &self.authid,
            client_nonce: &self.client_nonce,
            nonce: &self.nonce,
            salt: &BASE64.encode(&self.credential.salt),
            iterations: self.credential.kdf.iterations(),
        }
        .to_text();
        let client_signature = hmac_sha256(&self.credential.stored_key, auth_message.as_bytes());
        let recovered: Key = Sha256::digest(xor(&client_signature, &proof)).into();
        if !is_same_secret(&recovered, &self.credential.stored_key) {
            return Err(ChallengeError::Proof("client's proof"));
        }
        let verifier = BASE64.encode(hmac_sha256(&self.credential.server_key, auth_message.as_bytes()));
        Ok(Value::from([("verifier", Value::from(verifier.as_str()))]))
    }
}

/// The keys that come from a salted password.
struct Keys {
    client_key: Key,
    server_key: Key,
}

impl Keys {
    fn of(salted_password: &Key) -> Self {
        Self {
            client_key: hmac_sha256(salted_password, b"Client Key"),
            server_key: hmac_sha256(salted_password, b"Server Key"),
        }
    }

    fn stored_key(&self) -> Key {
        Sha256::digest(self.client_key).into()
    }
}

/// What both sides sign: the exchange so far, in the syntax of RFC 5802.
struct AuthMessage<'a> {
    /// Prepared.
    authid: &'a str,
    client_nonce: &'a str,
    /// The client's and the router's, in one.
    nonce: &'a str,
    /// Base64, as it was sent.
    salt: &'a str,
    iterations: u32,
}

impl AuthMessage<'_> {
    fn to_text(&self) -> String {
        let Self { client_nonce, nonce, salt, iterations, .. } = self;
        let name = self.authid.replace('=', "=3D").replace(',', "=2C");
        format!(
            "n={name},r={client_nonce},r={nonce},s={salt},i={iterations},c={NO_CHANNEL_BINDING},r={nonce}"
        )
    }
}

fn prepared<'t>(text: &'t str, what: &'static str) -> Result<Cow<'t, str>, ChallengeError> {
    stringprep::saslprep(text).map_err(|error| ChallengeError::Text { what, reason: error.to_string() })
}

/// The router must have appended something to the client's nonce, or an old exchange could be replayed to the client.
fn check_continuation(begun: &str, nonce: &str) -> Result<(), ChallengeError> {
    match nonce.strip_prefix(begun) {
        Some(rest) if is_nonce(rest) => Ok(()),
        Some(_) | None => Err(ChallengeError::Nonce),
    }
}

/// Printable and without a comma, which would end it in the text that is signed (RFC 5802, section 7). WAMP-SCRAM has
/// base64 only, a part of that; no peer gains anything by more.
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

fn xor(one: &Key, other: &Key) -> Key {
    std::array::from_fn(|index| one[index] ^ other[index])
}
