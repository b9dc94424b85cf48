//! The committed corpora of the fuzz targets, replayed without a fuzzer.

#[path = "../../../../fuzz/replay.rs"]
mod replay;

#[cfg(feature = "client")]
use crate::client_oracle;
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

#[cfg(feature = "client")]
#[test]
fn client_codec_holds_for_its_corpus() {
    replay("client_codec", client_oracle::client_codec);
}

#[cfg(feature = "client")]
#[test]
fn client_upgrade_holds_for_its_corpus() {
    replay("client_upgrade", client_oracle::client_upgrade);
}
