//! `bondy_fuzz::oracle::uri_pattern` on any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bondy_fuzz::oracle::uri_pattern(bytes));
