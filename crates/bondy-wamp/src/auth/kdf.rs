//! From a password to a key, within limits.

use argon2::{Algorithm, Argon2, Params, Version};
use sha2::Sha256;

use super::{ChallengeError, HASH_BYTES, count_entry, text_entry};
use crate::value::Value;

/// The most rounds of PBKDF2 that a challenge may ask for, over all blocks of the key. More than three times what is
/// recommended for PBKDF2 with SHA-256 today (600,000): half a second of work where the processor has instructions for
/// SHA-256, some seconds elsewhere.
pub const PBKDF2_ITERATIONS_MAX: u64 = 2_000_000;

/// The longest key that a WAMP-CRA challenge may ask for, in bytes. Deployed routers use 32, which is as strong as the
/// hash is.
pub const KEYLEN_MAX: u64 = 256;

/// The most memory that a challenge may ask for, in KiB: 256 MiB, the largest of the usual profiles for a login.
pub const ARGON2_MEMORY_KIB_MAX: u64 = 256 * 1024;

/// The most work of Argon2 that a challenge may ask for, as memory in KiB times iterations: sixteen passes over
/// [`ARGON2_MEMORY_KIB_MAX`], some seconds of work.
pub const ARGON2_KIB_PASSES_MAX: u64 = 16 * ARGON2_MEMORY_KIB_MAX;

/// The least work of Argon2 that a WAMP-SCRAM client accepts, as memory in KiB times iterations: 4 MiB in one pass. A
/// rogue router that asks for less wants to try passwords ("Final Client Authentication Message").
pub const ARGON2_KIB_PASSES_MIN: u64 = 4 * 1024;

/// The fewest rounds of PBKDF2 that a WAMP-SCRAM client accepts, for the same reason (RFC 7677, section 4).
pub const SCRAM_ITERATIONS_MIN: u64 = 4096;

/// How much of an unknown name an error repeats.
const KDF_NAME_CHARS_MAX: usize = 32;

/// The shortest salt that Argon2 takes, in bytes.
const ARGON2_SALT_BYTES_MIN: usize = argon2::MIN_SALT_LEN;

/// The key derivation functions of WAMP-SCRAM, with their costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kdf {
    /// PBKDF2 with HMAC-SHA256.
    Pbkdf2 {
        /// Rounds.
        iterations: u32,
    },
    /// Argon2id, version 1.3, with a parallelism of 1.
    Argon2id13 {
        /// Passes over the memory.
        iterations: u32,
        /// Memory, in KiB.
        memory: u32,
    },
}

impl Kdf {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kdf::Pbkdf2 { .. } => "pbkdf2",
            Kdf::Argon2id13 { .. } => "argon2id13",
        }
    }

    /// Iterations of the function.
    pub const fn iterations(self) -> u32 {
        match self {
            Kdf::Pbkdf2 { iterations } | Kdf::Argon2id13 { iterations, .. } => iterations,
        }
    }

    /// Memory in KiB, where the function has such a cost.
    pub const fn memory(self) -> Option<u32> {
        match self {
            Kdf::Pbkdf2 { .. } => None,
            Kdf::Argon2id13 { memory, .. } => Some(memory),
        }
    }

    /// What a challenge asks for, which [`Kdf::salted_password`] may still refuse.
    pub(super) fn of_challenge(extra: &Value) -> Result<Self, ChallengeError> {
        match text_entry(extra, "kdf")? {
            "pbkdf2" => {
                Ok(Kdf::Pbkdf2 { iterations: cost_entry(extra, "iterations", PBKDF2_ITERATIONS_MAX)? })
            }
            // The second name is what some deployed peers write.
            "argon2id13" | "argon2id-13" => Ok(Kdf::Argon2id13 {
                iterations: cost_entry(extra, "iterations", ARGON2_KIB_PASSES_MAX)?,
                memory: cost_entry(extra, "memory", ARGON2_MEMORY_KIB_MAX)?,
            }),
            other => Err(ChallengeError::UnknownKdf(other.chars().take(KDF_NAME_CHARS_MAX).collect())),
        }
    }

    fn check_minimum(self) -> Result<(), ChallengeError> {
        let (what, value, min) = match self {
            Kdf::Pbkdf2 { iterations } => ("iterations", u64::from(iterations), SCRAM_ITERATIONS_MIN),
            Kdf::Argon2id13 { .. } => (WORK, self.work(), ARGON2_KIB_PASSES_MIN),
        };
        if value < min { Err(ChallengeError::TooCheap { what, value, min }) } else { Ok(()) }
    }

    fn check_maximum(self) -> Result<(), ChallengeError> {
        match self {
            Kdf::Pbkdf2 { iterations } => {
                check_at_most("iterations", iterations.into(), PBKDF2_ITERATIONS_MAX)
            }
            Kdf::Argon2id13 { memory, .. } => {
                check_at_most("memory", memory.into(), ARGON2_MEMORY_KIB_MAX)?;
                check_at_most(WORK, self.work(), ARGON2_KIB_PASSES_MAX)
            }
        }
    }

    fn work(self) -> u64 {
        u64::from(self.iterations()) * u64::from(self.memory().unwrap_or(1))
    }

    /// `SaltedPassword`, from a prepared password. Refuses what is too much or too little work before it begins, also
    /// to a router: its clients would refuse it.
    pub(super) fn salted_password(
        self,
        password: &str,
        salt: &[u8],
    ) -> Result<[u8; HASH_BYTES], ChallengeError> {
        self.check_minimum()?;
        self.check_maximum()?;
        let mut key = [0; HASH_BYTES];
        match self {
            Kdf::Pbkdf2 { iterations } => {
                pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut key);
            }
            Kdf::Argon2id13 { iterations, memory } => {
                argon2id(password, salt, iterations, memory, &mut key)?;
            }
        }
        Ok(key)
    }
}

/// How the work of Argon2 is called in an error.
const WORK: &str = "memory times iterations";

fn argon2id(
    password: &str,
    salt: &[u8],
    iterations: u32,
    memory: u32,
    key: &mut [u8; HASH_BYTES],
) -> Result<(), ChallengeError> {
    if salt.len() < ARGON2_SALT_BYTES_MIN {
        return Err(ChallengeError::Entry { key: "salt", expected: "at least 8 bytes in base64" });
    }
    let expected = "at least 8, with iterations of at least 1, and memory that can be had";
    let refused = |_: argon2::Error| ChallengeError::Entry { key: "memory", expected };
    let params = Params::new(memory, iterations, 1, Some(HASH_BYTES)).map_err(refused)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(password.as_bytes(), salt, key).map_err(refused)
}

/// A cost that must be there, and at most this.
fn cost_entry(extra: &Value, key: &'static str, max: u64) -> Result<u32, ChallengeError> {
    let expected = "an unsigned integer";
    let value = count_entry(extra, key)?.ok_or(ChallengeError::Entry { key, expected })?;
    check_at_most(key, value, max)?;
    u32::try_from(value).map_err(|_| ChallengeError::TooCostly { what: key, value, max })
}

/// Refuses a cost above its limit.
pub(super) fn check_at_most(what: &'static str, value: u64, max: u64) -> Result<(), ChallengeError> {
    if value > max { Err(ChallengeError::TooCostly { what, value, max }) } else { Ok(()) }
}
