//! Calls procedures: with types, with a timeout, and with an error that is looked at.
//!
//! `cargo run -p bondy-client --example call [URL]`, with a router at the URL, at `BONDY_URL`, or where `bondy start --dev`
//! listens.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use bondy_client::{CallError, Client};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("BONDY_URL").ok());
    run(&url.unwrap_or_else(|| "ws://127.0.0.1:18080/ws".to_owned())).await
}

/// The example.
pub(crate) async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::builder().url(url).realm("realm1").connect().await?;

    // The type of the result is whatever the answer is wanted as.
    let sessions: u64 = client.call("wamp.session.count").timeout(Duration::from_secs(5)).await?;
    println!("{sessions} sessions");

    // An ERROR keeps its URI and its arguments.
    match client.call::<i64>("com.example.add").arg(2).arg(3).await {
        Ok(sum) => println!("2 + 3 = {sum}"),
        Err(CallError::Wamp(error)) => println!("the router says {}", error.uri()),
        Err(error) => return Err(error.into()),
    }

    client.close().await;
    Ok(())
}
