//! Masking keys for the frames that a client sends (RFC 6455, section 5.3).

/// The system is asked for this many bytes at once: for four at a time it would cost more than the frame.
const POOL_BYTES: usize = 256;

/// The system has no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct RandomError;

/// Fills `bytes` with what nobody can foresee, straight from the system: a generator of our own would gather entropy
/// for some 40 ms before its first number, which is most of the time of a short command.
pub(super) fn fill_random(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(|_| RandomError)
}

/// Keys that nobody can foresee, each used once.
pub(super) struct MaskKeys {
    pool: [u8; POOL_BYTES],
    used_bytes: usize,
}

impl MaskKeys {
    pub(super) fn new() -> Result<MaskKeys, RandomError> {
        let mut pool = [0; POOL_BYTES];
        fill_random(&mut pool)?;
        Ok(MaskKeys { pool, used_bytes: 0 })
    }

    pub(super) fn next(&mut self) -> [u8; 4] {
        let key = match self.pool[self.used_bytes..].first_chunk() {
            Some(key) => *key,
            None => {
                // A system that gave randomness and then has none left: the last keys again, which are still valid
                // frames. Masks protect proxies on the way, not what is sent.
                let _ = fill_random(&mut self.pool);
                self.used_bytes = 0;
                [self.pool[0], self.pool[1], self.pool[2], self.pool[3]]
            }
        };
        self.used_bytes += key.len();
        key
    }
}

impl std::fmt::Debug for MaskKeys {
    /// Keys to come are nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MaskKeys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn keys_do_not_repeat_within_or_after_a_pool() {
        let mut keys = MaskKeys::new().unwrap();
        let drawn: BTreeSet<[u8; 4]> = (0..1000).map(|_| keys.next()).collect();
        // Two of a thousand are equal once in ten thousand runs; a pool that repeats gives 64 of them.
        assert!(drawn.len() > 990, "{} different keys", drawn.len());
    }
}
