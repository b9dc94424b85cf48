//! The committed corpora of the fuzz targets, replayed without a fuzzer.

#[path = "../../../../fuzz/replay.rs"]
mod replay;

use crate::oracle;

use replay::replay;

#[test]
fn rawsocket_frame_holds_for_its_corpus() {
    replay("rawsocket_frame", oracle::rawsocket_frame);
}

#[test]
fn websocket_frame_holds_for_its_corpus() {
    replay("websocket_frame", oracle::websocket_frame);
}
