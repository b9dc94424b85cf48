//! `bondy_fuzz::oracle::challenge` on any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bondy_fuzz::oracle::challenge(bytes));
