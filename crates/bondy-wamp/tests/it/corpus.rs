//! The committed corpora of the fuzz targets, replayed without a fuzzer.

#[path = "../../../../fuzz/replay.rs"]
mod replay;

use crate::oracle;

use replay::replay;

#[test]
fn parse_json_holds_for_its_corpus() {
    replay("parse_json", oracle::parse_json);
}

#[test]
fn parse_msgpack_holds_for_its_corpus() {
    replay("parse_msgpack", oracle::parse_msgpack);
}

#[test]
fn parse_cbor_holds_for_its_corpus() {
    replay("parse_cbor", oracle::parse_cbor);
}

#[test]
fn transcode_holds_for_its_corpus() {
    replay("transcode", oracle::transcode);
}

#[test]
fn value_holds_for_its_corpus() {
    replay("value", oracle::value);
}

#[test]
fn serde_holds_for_its_corpus() {
    replay("serde", oracle::serde);
}

#[test]
fn challenge_holds_for_its_corpus() {
    replay("challenge", oracle::challenge);
}

#[test]
fn uri_pattern_holds_for_its_corpus() {
    replay("uri_pattern", oracle::uri_pattern);
}
