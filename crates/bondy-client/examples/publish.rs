//! Publishes events: at once, acknowledged, to some sessions only, and one that the router keeps.
//!
//! `cargo run -p bondy-client --example publish [URL]`, with a router at the URL, at `BONDY_URL`, or where `bondy start
//! --dev` listens.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "an example shows what it does")]

use std::error::Error;

use bondy_client::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("BONDY_URL").ok());
    run(&url.unwrap_or_else(|| "ws://127.0.0.1:18080/ws".to_owned())).await
}

/// The example.
pub(crate) async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::builder().url(url).realm("realm1").connect().await?;

    // Done once it is on its way; nobody says whether it arrived.
    client.publish("com.example.tick").arg(1).await?;

    // Done once the router has taken it.
    let publication = client.publish("com.example.tick").arg(2).kwarg("unit", "s").acknowledge().await?;
    println!("published as {publication:?}");

    // For staff alone, and with the publisher's name on it.
    client
        .publish("com.example.tick")
        .arg(3)
        .eligible_authrole(["staff"])
        .disclose_me()
        .acknowledge()
        .await?;

    // Whoever subscribes later and asks for it gets the newest of these.
    client.publish("com.example.state").kwarg("temperature", 21.5).retain().acknowledge().await?;

    client.close().await;
    Ok(())
}
