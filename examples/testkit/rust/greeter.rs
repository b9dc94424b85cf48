//! A test of your own application: a router and a link in the test's process, and peers that speak raw WAMP.

use std::time::Duration;

use bondy_testkit::{Direction, Fault, MessageType, Peer, PeerError, Router};

/// The application under test; here a few lines of raw WAMP stand for it.
async fn serve_greetings(url: &str) -> Result<(), PeerError> {
    let mut greeter = Peer::connect(url).await?;
    greeter.join("realm1").await?;
    greeter.send("REGISTER 1 {} com.example.greet").await?;
    greeter.expect("REGISTERED 1 *").await?;
    greeter.expect("INVOCATION inv:1 * {} [\"world\"]").await?;
    greeter.send("YIELD inv:1 {} [\"Hello, world!\"]").await
}

#[tokio::test]
async fn a_greeting_comes_late_over_a_slow_link_and_is_right() {
    let router = Router::start().await.unwrap();
    let link = router.link().unwrap();
    link.add(Fault::delay(Duration::from_millis(20)).on(MessageType::Yield).going(Direction::ToRouter));
    let greeter = tokio::spawn(async move { serve_greetings(&link.url()).await.map(|()| link) });

    let mut caller = Peer::connect(&router.rawsocket_url()).await.unwrap();
    caller.join("realm1").await.unwrap();
    let mut request = 0;
    let result = loop {
        request += 1;
        caller.send(&format!("CALL {request} {{}} com.example.greet [\"world\"]")).await.unwrap();
        let answer = caller.receive().await.unwrap();
        if answer[0] == MessageType::Result.code() {
            break answer;
        }
        // Not registered yet.
        assert_eq!(answer[4], "wamp.error.no_such_procedure");
    };
    assert_eq!(result[3][0], "Hello, world!");
    let link = greeter.await.unwrap().unwrap();
    assert_eq!(link.counts().to_router.of(MessageType::Yield), 1);
}

#[tokio::test]
async fn a_caller_is_told_when_the_greeter_is_gone() {
    let router = Router::start().await.unwrap();
    let link = router.link().unwrap();
    link.add(Fault::reset().on(MessageType::Yield));
    let url = link.url();
    tokio::spawn(async move { serve_greetings(&url).await });
    link.wait_until("the greeter is there", Duration::from_secs(5), |counts| {
        counts.to_client.of(MessageType::Registered) == 1
    })
    .await
    .unwrap();

    let mut caller = Peer::connect(&router.url()).await.unwrap();
    caller.join("realm1").await.unwrap();
    caller.send("CALL 1 {} com.example.greet [\"world\"]").await.unwrap();
    caller.expect("ERROR CALL 1 {} wamp.error.canceled ...").await.unwrap();
}
