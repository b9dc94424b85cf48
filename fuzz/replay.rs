//! Replays a committed corpus without a fuzzer. The ordinary tests of several crates use this file.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test reads its corpus from files")]

use std::path::{Path, PathBuf};

/// Checks every file of a fuzz target's corpus.
pub(crate) fn replay(target: &str, check: fn(&[u8])) {
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
