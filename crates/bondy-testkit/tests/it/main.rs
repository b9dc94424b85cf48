//! The testkit as a test uses it: a real router, real sockets, every fault by what it does to a conversation.
#![allow(clippy::disallowed_methods, reason = "these tests use sockets, files and processes")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod command;
#[path = "../../../../examples/testkit/rust/greeter.rs"]
mod example;
mod fault;
mod link;
mod peer;
mod replay;
mod router;

use std::time::Duration;

use bondy_testkit::{Link, Peer, PeerOptions, Router, Serializer};

/// Far longer than anything takes here.
const DEADLINE: Duration = Duration::from_secs(10);

/// A router and a way to it.
async fn router_and_link() -> (Router, Link) {
    let router = Router::start().await.unwrap();
    let link = router.link().unwrap();
    (router, link)
}

/// A peer that has joined `realm1`.
async fn joined(url: &str) -> Peer {
    let mut peer = Peer::connect(url).await.unwrap();
    peer.join("realm1").await.unwrap();
    peer
}

/// A peer that has joined and serves `com.example.echo`, answering nothing by itself.
async fn callee(url: &str) -> Peer {
    let mut peer = joined(url).await;
    peer.send("REGISTER 1 {} com.example.echo").await.unwrap();
    peer.expect("REGISTERED 1 reg:echo").await.unwrap();
    peer
}

/// Every serializer over both transports.
fn forms(websocket: &str, rawsocket: &str) -> Vec<(String, PeerOptions)> {
    let form = |url: &str, serializer| (url.to_owned(), PeerOptions { serializer, ..PeerOptions::default() });
    let urls = [websocket, rawsocket];
    urls.iter().flat_map(|url| Serializer::ALL.map(|serializer| form(url, serializer))).collect()
}
