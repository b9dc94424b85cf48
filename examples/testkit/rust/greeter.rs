//! A test of your own application: a router and a link in the test's process, and a peer that speaks raw WAMP.

use std::time::Duration;

use bondy_client::{Client, Registration, WampError};
use bondy_testkit::{Direction, Ending, Fault, Link, MessageType, Peer, Router};

/// The application under test: it greets, and goes on when the connection was lost.
async fn start_greeter(url: &str) -> (Client, Registration) {
    let client = Client::builder().url(url).connect().await.unwrap();
    let greet = |name: String, _| async move { Ok::<_, WampError>(format!("Hello, {name}!")) };
    let registration = client.register("com.example.greet").serve(greet).await.unwrap();
    (client, registration)
}

/// A router, a link to it on which things can go wrong, the application behind that, and a caller.
async fn set_up() -> (Router, Link, (Client, Registration), Peer) {
    let router = Router::start().await.unwrap();
    let link = router.link().unwrap();
    let greeter = start_greeter(&link.url()).await;
    let mut caller = Peer::connect(&router.url()).await.unwrap();
    caller.join("realm1").await.unwrap();
    (router, link, greeter, caller)
}

#[tokio::test]
async fn it_greets_over_a_slow_line() {
    let (_router, link, _greeter, mut caller) = set_up().await;
    link.add(Fault::delay(Duration::from_millis(20)));
    caller.send("CALL 1 {} com.example.greet [\"world\"]").await.unwrap();
    caller.expect("RESULT 1 {} [\"Hello, world!\"]").await.unwrap();
}

#[tokio::test]
async fn it_is_back_after_its_connection_was_cut() {
    let (_router, link, _greeter, mut caller) = set_up().await;
    link.cut(Ending::Reset);
    let is_back = |counts: &bondy_testkit::Counts| counts.to_client.of(MessageType::Registered) == 2;
    link.wait_until("it is registered again", Duration::from_secs(5), is_back).await.unwrap();
    caller.send("CALL 1 {} com.example.greet [\"world\"]").await.unwrap();
    caller.expect("RESULT 1 {} [\"Hello, world!\"]").await.unwrap();
}

#[tokio::test]
async fn a_caller_is_told_when_it_fell_silent() {
    let (_router, link, _greeter, mut caller) = set_up().await;
    link.add(Fault::freeze().on(MessageType::Invocation).going(Direction::ToClient));
    caller.send("CALL 1 {\"timeout\": 100} com.example.greet [\"world\"]").await.unwrap();
    caller.expect("ERROR CALL 1 {} wamp.error.timeout ...").await.unwrap();
}
