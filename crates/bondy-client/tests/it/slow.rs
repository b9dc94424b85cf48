//! A router that reads slowly, or not at all, and a client that has one thread for everything.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bondy_client::{
    Authenticate, AuthenticationError, Authenticator, Builder, Challenge, Client, ConnectError,
    ConnectionEvent, EndReason, PublishError, ReconnectPolicy, Serializer, Value, WampError,
};
use serde_json::json;

use crate::node::{DEADLINE, in_time};
use crate::script::{Script, join_memory, memory, settle};

/// What a connection holds: every message is larger, so that the client waits for each.
const PIPE_BYTES: usize = 1024;

/// Runs an async test on one thread of its own, which is given up should it spin for ever.
#[track_caller]
fn run_alone<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let (sender, done) = channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
        let _ = sender.send(());
    });
    match done.recv_timeout(DEADLINE * 2) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("the only thread is stuck"),
        Ok(()) | Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => thread.join().unwrap(),
    }
}

fn builder() -> Builder {
    let builder = Client::builder().serializers([Serializer::Json]);
    builder.reconnect(ReconnectPolicy::never()).outgoing_bytes_max(16 * 1024)
}

/// Publishes 200 messages of 2 KiB in the background, letting others work in between.
fn publish_much(client: &Client) -> tokio::task::JoinHandle<Result<(), PublishError>> {
    let client = client.clone();
    tokio::spawn(async move {
        for _ in 0..200 {
            client.publish("com.example.tick").arg("x".repeat(2048)).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    })
}

#[test]
fn a_router_that_reads_late_holds_nobody_up_for_good() {
    run_alone(|| async {
        let (connector, mut ends) = memory(PIPE_BYTES);
        let connecting = tokio::spawn(builder().connect_over(connector));
        let mut peer = join_memory(&mut ends).await;
        let client = in_time("the client", connecting).await.unwrap().unwrap();
        let published = publish_much(&client);
        // All that can be appended without a reader is appended by then.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        for _ in 0..200 {
            assert_eq!(peer.receive().await[0], 16);
        }
        in_time("the last one", published).await.unwrap().unwrap();
    });
}

#[test]
fn a_router_that_never_reads_is_found_silent() {
    run_alone(|| async {
        let (connector, mut ends) = memory(PIPE_BYTES);
        let builder = builder().ping(Duration::from_millis(20), Duration::from_millis(20));
        let connecting = tokio::spawn(builder.connect_over(connector));
        let _peer = join_memory(&mut ends).await;
        let client = in_time("the client", connecting).await.unwrap().unwrap();
        let mut events = client.events();
        let _published = publish_much(&client);
        let reason = loop {
            if let ConnectionEvent::Disconnected { reason, .. } =
                in_time("the end", events.next()).await.unwrap()
            {
                break reason;
            }
        };
        assert!(matches!(reason, EndReason::Silent(_)), "{reason}");
    });
}

#[test]
fn a_client_whose_router_never_reads_can_be_closed() {
    run_alone(|| async {
        let (connector, mut ends) = memory(PIPE_BYTES);
        let builder = builder().close_timeout(Duration::from_millis(20));
        let connecting = tokio::spawn(builder.connect_over(connector));
        let _peer = join_memory(&mut ends).await;
        let client = in_time("the client", connecting).await.unwrap().unwrap();
        let mut events = client.events();
        let _published = publish_much(&client);
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        in_time("closing", client.close()).await;
        let mut last = None;
        while let Some(event) = in_time("the end", events.next()).await {
            last = Some(event);
        }
        assert_eq!(last, Some(ConnectionEvent::Closed(EndReason::Closed)));
    });
}

#[test]
fn answers_of_handlers_wait_for_room_too() {
    run_alone(|| async {
        let (connector, mut ends) = memory(PIPE_BYTES);
        let connecting = tokio::spawn(builder().connect_over(connector));
        let mut peer = join_memory(&mut ends).await;
        let client = in_time("the client", connecting).await.unwrap().unwrap();
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&begun);
        let serving = client.register("com.example.large").concurrency(1).serve(move |(): (), _| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, WampError>("x".repeat(8 * 1024)) }
        });
        let registering = tokio::spawn(serving.into_future());
        let request = peer.receive_type(64).await[1].clone();
        peer.send(json!([65, request, 5])).await;
        in_time("the registration", registering).await.unwrap().unwrap().detach();
        for number in 1..101 {
            peer.send(json!([68, number, 5, {}])).await;
        }
        // All that can happen without a reader happens by then.
        for _ in 0..2000 {
            tokio::task::yield_now().await;
        }
        // What is being written, and 16 KiB, and the one that waits.
        assert!(begun.load(Ordering::Relaxed) < 8, "{begun:?}");
        for number in 1..101 {
            assert_eq!(peer.receive_type(70).await[1], number);
        }
    });
}

#[test]
fn pings_of_a_router_that_does_not_read_are_not_all_answered() {
    run_alone(|| async {
        let (connector, mut ends) = memory(PIPE_BYTES);
        let connecting = tokio::spawn(builder().connect_over(connector));
        let mut peer = join_memory(&mut ends).await;
        let client = in_time("the client", connecting).await.unwrap().unwrap();
        for _ in 0..300 {
            peer.ping(&[0; 1024]).await;
        }
        // Longer ones serve no purpose.
        peer.ping(&[0; 100_000]).await;
        settle(&mut peer).await;
        assert!((1..100).contains(&peer.pongs), "{}", peer.pongs);
        // Once it reads again, it is answered again.
        let before = peer.pongs;
        peer.ping(b"again").await;
        settle(&mut peer).await;
        assert_eq!(peer.pongs, before + 1);
        drop(client);
    });
}

/// Answers when it is told to, which is never in time.
struct Hesitant(Arc<Mutex<Receiver<()>>>);

impl Authenticator for Hesitant {
    fn authmethod(&self) -> &str {
        "ticket"
    }

    fn authid(&self) -> Option<&str> {
        None
    }

    fn answer(&mut self, _: &Challenge, _: Option<&[u8; 32]>) -> Result<Authenticate, AuthenticationError> {
        let _ = self.0.lock().unwrap().recv();
        Ok(Authenticate { signature: "late".to_owned(), extra: Value::from([]) })
    }
}

#[test]
fn an_authenticator_that_takes_too_long_blocks_nothing() {
    run_alone(|| async {
        let script = Script::start().await;
        let (answer, asked) = channel();
        let builder = script.builder().url(script.url()).connect_timeout(Duration::from_millis(200));
        let builder = builder.authentication(Hesitant(Arc::new(Mutex::new(asked))));
        let connecting = tokio::spawn(in_time("an error", builder.connect()));
        let mut peer = script.accept().await;
        peer.receive().await;
        peer.send(json!([4, "ticket", {}])).await;
        let _second = script.accept().await;
        let error = connecting.await.unwrap().unwrap_err();
        let ConnectError::All(errors) = error else { panic!("{error}") };
        assert!(errors.iter().all(|(_, error)| matches!(error, ConnectError::Timeout(_))), "{errors:?}");
        drop(answer);
    });
}
