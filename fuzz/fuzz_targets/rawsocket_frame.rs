//! `bondy_fuzz::transport_oracle::rawsocket_frame` on any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bondy_fuzz::transport_oracle::rawsocket_frame(bytes));
