//! The committed corpora of the fuzz targets, replayed without a fuzzer.

use std::path::{Path, PathBuf};

use crate::oracle;

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
fn uri_pattern_holds_for_its_corpus() {
    replay("uri_pattern", oracle::uri_pattern);
}

#[expect(clippy::disallowed_methods, reason = "a test reads its corpus from files")]
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has a corpus");
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let outcome = std::panic::catch_unwind(|| check(&bytes));
        assert!(outcome.is_ok(), "{} does not hold", file.display());
    }
}
