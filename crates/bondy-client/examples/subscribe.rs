//! Receives events as a stream, of a topic and of all topics below a prefix.
//!
//! `cargo run -p bondy-client --example subscribe [URL]`, with a router at the URL, at `BONDY_URL`, or where `bondy start
//! --dev` listens.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "an example shows what it does")]

use std::error::Error;

use bondy_client::{Client, MatchPolicy};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("BONDY_URL").ok());
    run(&url.unwrap_or_else(|| "ws://127.0.0.1:18080/ws".to_owned())).await
}

/// The example.
pub(crate) async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::builder().url(url).realm("realm1").connect().await?;

    let mut ticks = client.subscribe("com.example.tick").queue(100).await?;
    let mut all = client.subscribe("com.example.").match_policy(MatchPolicy::Prefix).await?;

    // So that there is something to receive. A publisher does not get its own events unless it wants them.
    for number in 1..=3 {
        client.publish("com.example.tick").arg(number).exclude_me(false).await?;
    }

    for _ in 0..3 {
        let Some(event) = ticks.next().await else { break };
        println!("{}: {} (lost before: {})", event.topic(), event.decode::<u32>()?, event.dropped());
    }
    if let Some(event) = all.next().await {
        println!("also through the prefix {}: {}", all.topic(), event.topic());
    }

    // Dropping a stream unsubscribes.
    drop((ticks, all));
    client.close().await;
    Ok(())
}
