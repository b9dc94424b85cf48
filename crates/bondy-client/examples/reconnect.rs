//! Shows what happens to a connection. Stop the router meanwhile, and start it again.
//!
//! `cargo run -p bondy-client --example reconnect [URL [SECONDS]]`, with a router at the URL, at `BONDY_URL`, or where
//! `bondy start --dev` listens. It ends after so many seconds, 5 unless they are given.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use bondy_client::{Client, ConnectionEvent, ReconnectPolicy, WampError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().or_else(|| std::env::var("BONDY_URL").ok());
    let seconds = args.next().map_or(Ok(5), |seconds| seconds.parse())?;
    run(&url.unwrap_or_else(|| "ws://127.0.0.1:18080/ws".to_owned()), Duration::from_secs(seconds)).await
}

/// The example.
pub(crate) async fn run(url: &str, time: Duration) -> Result<(), Box<dyn Error>> {
    let policy = ReconnectPolicy { pause_max: Duration::from_secs(1), ..ReconnectPolicy::default() };
    let client = Client::builder().url(url).realm("realm1").reconnect(policy).connect().await?;
    let mut happenings = client.events();

    let _registration = client
        .register("com.example.here")
        .serve(|(): (), _| async { Ok::<_, WampError>("still here") })
        .await?;
    let _subscription = client.subscribe("com.example.tick").await?;

    let watching = async {
        while let Some(happening) = happenings.next().await {
            match happening {
                ConnectionEvent::Disconnected { reason, calls_failed } => {
                    println!("{reason}; {calls_failed} calls were in flight");
                }
                ConnectionEvent::Reconnecting { attempt, after, url } => {
                    println!("attempt {attempt} at {url} in {after:?}");
                }
                ConnectionEvent::Connected(session) => println!("joined as session {}", session.id),
                ConnectionEvent::Restored(restored) => {
                    println!("registered again: {:?}", restored.registrations);
                    for subscription in restored.subscriptions {
                        println!("{} was not there for {:?}", subscription.topic, subscription.gap);
                    }
                }
                other => println!("{other:?}"),
            }
        }
    };
    // The time is up, or the client is closed for good.
    let _ = tokio::time::timeout(time, watching).await;
    client.close().await;
    Ok(())
}
