//! Integration tests of the vocabulary and its bytes.

mod corpus;
mod differential;
mod grammar;
mod oracle;
mod sample;
mod strictness;
mod transcoding;
mod wire;
