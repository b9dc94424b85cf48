//! `bondy_fuzz::client_oracle::client_codec` on any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bondy_fuzz::client_oracle::client_codec(bytes));
