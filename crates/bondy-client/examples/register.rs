//! Serves procedures with async functions, and calls them itself.
//!
//! `cargo run -p bondy-client --example register [URL]`, with a router at the URL, at `BONDY_URL`, or where `bondy start
//! --dev` listens.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "an example shows what it does")]

use std::error::Error;

use bondy_client::{Client, InvocationContext, WampError};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Order {
    item: String,
    amount: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("BONDY_URL").ok());
    run(&url.unwrap_or_else(|| "ws://127.0.0.1:18080/ws".to_owned())).await
}

/// The example.
pub(crate) async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::builder().url(url).realm("realm1").connect().await?;

    // A tuple is the positional arguments; the second parameter tells of the call.
    let add = client
        .register("com.example.add")
        .serve(|(a, b): (i64, i64), _| async move { Ok::<_, WampError>(a + b) })
        .await?;

    // A struct is one argument, or the keyword arguments. At most two run at once.
    let order = client
        .register("com.example.order")
        .concurrency(2)
        .serve(|order: Order, context: InvocationContext| async move {
            if order.amount == 0 {
                return Err(WampError::with_message("com.example.error.empty", "order at least one"));
            }
            Ok(format!("{} of {} ordered through {}", order.amount, order.item, context.procedure()))
        })
        .await?;

    let sum: i64 = client.call("com.example.add").args((2, 3)).await?;
    println!("2 + 3 = {sum}");
    let confirmation: String =
        client.call("com.example.order").kwarg("item", "tea").kwarg("amount", 2).await?;
    println!("{confirmation}");
    let nothing = Order { item: "tea".to_owned(), amount: 0 };
    if let Err(error) = client.call::<String>("com.example.order").arg(nothing).await {
        println!("{error}");
    }

    // Dropping a registration unregisters too; this waits for the router's answer.
    add.unregister().await?;
    order.unregister().await?;
    client.close().await;
    Ok(())
}
