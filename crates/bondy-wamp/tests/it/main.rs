//! Integration tests of the vocabulary and its bytes.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod auth;
mod corpus;
mod differential;
mod grammar;
#[expect(unreachable_pub, reason = "the fuzz targets, another crate, call these functions too")]
mod oracle;
mod sample;
mod strictness;
mod transcoding;
mod typed;
mod wire;
