//! Results that come bit by bit, and input that is sent bit by bit.
//!
//! `cargo run -p bondy-client --example progressive [URL]`, with a router at the URL, at `BONDY_URL`, or where `bondy start
//! --dev` listens.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "an example shows what it does")]

use std::error::Error;

use bondy_client::{Client, InvocationContext, Progress, WampError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("BONDY_URL").ok());
    run(&url.unwrap_or_else(|| "ws://127.0.0.1:18080/ws".to_owned())).await
}

/// The example.
pub(crate) async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::builder().url(url).realm("realm1").connect().await?;

    let _count = client
        .register("com.example.count")
        .serve(|to: u32, context: InvocationContext| async move {
            for number in 1..to {
                // False where the caller wants none, or waits no more.
                if !context.progress(number).await.map_err(WampError::runtime)? {
                    break;
                }
            }
            Ok::<_, WampError>(to)
        })
        .await?;
    let mut results = client.call::<u32>("com.example.count").arg(3).progressive();
    while let Some(result) = results.next().await {
        match result? {
            Progress::Partial(number) => println!("so far {number}"),
            Progress::Final(number) => println!("at last {number}"),
        }
    }

    let _sum = client
        .register("com.example.sum")
        .serve(|first: u32, context: InvocationContext| async move {
            let (mut sum, mut inputs) = (first, context.input::<u32>());
            while let Some(input) = inputs.next().await {
                sum += input?;
            }
            Ok::<_, WampError>(sum)
        })
        .await?;
    let mut call = client.call::<u32>("com.example.sum").arg(1).open().await?;
    call.send(2).await?;
    println!("1 + 2 + 3 = {}", call.finish(3).await?);

    client.close().await;
    Ok(())
}
