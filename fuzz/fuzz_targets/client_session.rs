//! `bondy_client::oracle::client_session` on any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bondy_client::oracle::client_session(bytes));
