//! Copying memory: what moving a small message costs when nothing else is done.

use std::hint::black_box;
use std::time::Instant;

/// Nanoseconds to copy `length` octets, on average over `rounds`; source and destination stay in the cache.
pub fn copy_ns(length: usize, rounds: u32) -> f64 {
    let source = vec![7_u8; length];
    let mut destination = vec![0_u8; length];
    let started = Instant::now();
    for _ in 0..rounds {
        black_box(&mut destination[..]).copy_from_slice(black_box(&source[..]));
    }
    started.elapsed().as_nanos() as f64 / f64::from(rounds.max(1))
}
