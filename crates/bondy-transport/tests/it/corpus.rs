//! The committed corpora of the fuzz targets, replayed without a fuzzer.

use std::path::{Path, PathBuf};

use crate::oracle;

#[test]
fn rawsocket_frame_holds_for_its_corpus() {
    replay("rawsocket_frame", oracle::rawsocket_frame);
}

#[test]
fn websocket_frame_holds_for_its_corpus() {
    replay("websocket_frame", oracle::websocket_frame);
}

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
