//! The node inside a test.

use bondy_testkit::{Peer, PeerOptions, Router, Serializer};

use crate::{DEADLINE, joined};

#[tokio::test]
async fn a_router_serves_realm1_on_ports_of_its_own() {
    let (one, other) = (Router::start().await.unwrap(), Router::start().await.unwrap());
    assert_ne!(one.address(), other.address());
    for url in [one.url(), one.rawsocket_url(), other.url()] {
        joined(&url).await;
    }
    assert!(one.bound().contains_key("admin") && one.admin_url().starts_with("http://127.0.0.1:"));
}

#[tokio::test]
async fn realms_and_settings_are_those_that_were_asked_for() {
    let builder = Router::builder().realm("com.example.app").set("listeners.main.message_bytes_max", "1KiB");
    let router = builder.start().await.unwrap();
    let mut peer = Peer::connect(&router.rawsocket_url()).await.unwrap();
    peer.join("com.example.app").await.unwrap();
    let mut other = Peer::connect(&router.url()).await.unwrap();
    other.send("HELLO realm1 {\"roles\": {\"caller\": {}}}").await.unwrap();
    other.expect("ABORT {...} wamp.error.no_such_realm ...").await.unwrap();
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let cases = [
        ("listners", "1", "listners"),
        ("node.drain_timeout", "soon", "drain_timeout"),
        ("", "", "not the path"),
    ];
    for (key, value, part) in cases {
        let error = Router::builder().set(key, value).start().await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let error = Router::builder().realm("not a realm\"").start().await.unwrap_err().to_string();
    assert!(error.contains("realm"), "{error}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_said() {
    let router = Router::start().await.unwrap();
    let again = Router::builder().set("listeners.main.bind", format!("'{}'", router.address()));
    let error = again.start().await.unwrap_err();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    assert!(cause.to_string().contains("in use"), "{cause}");
}

#[tokio::test]
async fn a_stopped_router_says_goodbye_and_a_restarted_one_has_its_ports_and_nothing_else() {
    let mut router = Router::start().await.unwrap();
    let url = router.url();
    let mut peer = crate::callee(&url).await;
    router.stop().await;
    assert!(!router.is_running());
    peer.expect("GOODBYE {...} wamp.close.system_shutdown").await.unwrap();
    peer.expect_closed().await.unwrap();
    assert!(Peer::connect(&url).await.is_err());
    for _ in 0..3 {
        router.restart().await.unwrap();
        assert_eq!(router.url(), url);
        let mut peer = joined(&url).await;
        peer.send("CALL 1 {} com.example.echo").await.unwrap();
        peer.expect("ERROR CALL 1 {} wamp.error.no_such_procedure ...").await.unwrap();
    }
    router.kill().await;
    assert!(Peer::connect(&url).await.is_err());
}

#[test]
fn a_router_needs_no_runtime() {
    let router = Router::builder().start_blocking().unwrap();
    assert!(std::net::TcpStream::connect(router.address()).is_ok());
}

#[tokio::test]
async fn a_router_is_reached_without_an_address() {
    let mut router = Router::start().await.unwrap();
    for serializer in Serializer::ALL {
        let options = PeerOptions { serializer, ..PeerOptions::default() };
        let mut peer = Peer::over(router.connect().unwrap(), options).await.unwrap();
        peer.join("realm1").await.unwrap();
        peer.send("CALL 1 {} wamp.session.count").await.unwrap();
        peer.expect("RESULT 1 {} [1]").await.unwrap();
        peer.send("GOODBYE {} wamp.close.close_realm").await.unwrap();
        peer.expect("GOODBYE ...").await.unwrap();
    }
    router.stop().await;
    assert!(router.connect().unwrap_err().to_string().contains("stopped"));
    router.restart().await.unwrap();
    Peer::over(router.connect().unwrap(), PeerOptions::default()).await.unwrap();
}

#[tokio::test]
async fn clients_of_the_library_join_in_memory_and_find_the_router_again() {
    let mut router = Router::builder().realm("com.example.app").start().await.unwrap();
    let (callee, caller) = (router.client().await.unwrap(), router.client().await.unwrap());
    let echo = |text: String, _| async move { Ok::<_, bondy_client::WampError>(text) };
    let registration = callee.register("com.example.echo").serve(echo).await.unwrap();
    let answer: String = caller.call("com.example.echo").arg("a").await.unwrap();
    assert_eq!(answer, "a");
    router.restart().await.unwrap();
    let until = std::time::Instant::now() + DEADLINE;
    // Both reconnect by themselves; the callee may be later.
    let answer: String = loop {
        match caller.call("com.example.echo").arg("b").await {
            Ok(answer) => break answer,
            Err(error) => assert!(std::time::Instant::now() < until, "{error}"),
        }
    };
    assert_eq!(answer, "b");
    drop(registration);
    router.stop().await;
    assert!(router.client().await.is_err());
}
