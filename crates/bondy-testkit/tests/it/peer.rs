//! The scripted peer on both sides of a connection.

use std::time::Duration;

use bondy_testkit::{FakeRouter, Peer, PeerError, PeerOptions, Router};
use serde_json::json;

use crate::{forms, joined};

#[tokio::test]
async fn a_peer_speaks_json_lists_and_notation_in_every_form() {
    let router = Router::start().await.unwrap();
    for (url, options) in forms(&router.url(), &router.rawsocket_url()) {
        let mut peer = Peer::connect_with(&url, options).await.unwrap();
        assert_eq!(peer.serializer(), options.serializer);
        peer.send(json!([1, "realm1", {"roles": {"callee": {}, "caller": {}}}])).await.unwrap();
        let welcome = peer.expect(json!([2, "*", {"realm": "realm1", "...": 0}])).await.unwrap();
        assert!(welcome[2]["roles"]["dealer"].is_object());
        peer.send("REGISTER 1 {} com.example.echo").await.unwrap();
        peer.expect("REGISTERED 1 reg:echo").await.unwrap();
        peer.send(
            json!([48, 2, {}, "com.example.echo", [1, 2.5, "\u{0}AQI=", "ä"], {"k": {"deep": [true]}}]),
        )
        .await
        .unwrap();
        let invocation = peer.expect("INVOCATION inv:1 reg:echo {} ...").await.unwrap();
        assert_eq!(invocation[4], json!([1, 2.5, "\u{0}AQI=", "ä"]));
        peer.send("YIELD inv:1 {} [3]").await.unwrap();
        peer.expect(json!([50, 2, {}, [3]])).await.unwrap();
        peer.close().await;
        peer.expect_closed().await.unwrap();
    }
}

#[tokio::test]
async fn what_came_instead_is_said_with_what_came_before() {
    let router = Router::start().await.unwrap();
    let mut peer = joined(&router.url()).await;
    peer.send("CALL 1 {} com.example.none").await.unwrap();
    let error = peer.expect("RESULT 1 {} [3]").await.unwrap_err().to_string();
    assert!(error.starts_with("expected [50,1,{},[3]], but ERROR 48 1 {} "), "{error}");
    assert!(error.contains("at /0: expected 50, found 8"), "{error}");
    assert!(error.contains("> CALL 1 {} \"com.example.none\""), "{error}");

    peer.set_deadline(Duration::from_millis(20));
    let error = peer.expect("RESULT 1 ...").await.unwrap_err();
    assert!(matches!(error, PeerError::Silence { .. }), "{error}");
    assert!(error.to_string().contains("nothing came within 20ms"), "{error}");

    let error = peer.send("RESULT reg:unknown").await.unwrap_err().to_string();
    assert!(error.contains("`reg:unknown` stands for nothing yet"), "{error}");
    let error = peer.send("CALLS 1").await.unwrap_err().to_string();
    assert!(error.contains("no type of message"), "{error}");
}

#[tokio::test]
async fn a_peer_may_break_the_protocol_in_messages_and_in_bytes() {
    let router = Router::start().await.unwrap();
    let mut peer = joined(&router.url()).await;
    peer.send(json!([99, 1])).await.unwrap();
    peer.expect("ABORT {...} wamp.error.protocol_violation ...").await.unwrap();
    peer.expect_closed().await.unwrap();

    let mut peer = joined(&router.rawsocket_url()).await;
    peer.send_payload(b"[48,").await.unwrap();
    peer.expect("ABORT ...").await.unwrap();
    let error = peer.expect("RESULT 1 {}").await.unwrap_err();
    assert!(matches!(error, PeerError::Closed { .. }), "{error}");

    let mut peer = joined(&router.rawsocket_url()).await;
    peer.send_bytes(&[0xff; 8]).await.unwrap();
    let error = loop {
        if let Err(error) = peer.receive().await {
            break error;
        }
    };
    assert!(matches!(error, PeerError::Closed { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_is_an_error_that_says_where() {
    let fake = FakeRouter::start().await.unwrap();
    let url = fake.url();
    drop(fake);
    let error = Peer::connect(&url).await.unwrap_err().to_string();
    assert!(error.contains("cannot connect to 127.0.0.1:"), "{error}");
    let error = Peer::connect("http://127.0.0.1:1/").await.unwrap_err().to_string();
    assert!(error.contains("`http://127.0.0.1:1/`"), "{error}");
}

#[tokio::test]
async fn a_fake_router_leads_a_client_as_its_script_says() {
    let fake = FakeRouter::start().await.unwrap();
    for (url, options) in forms(&fake.url(), &fake.rawsocket_url()) {
        let client = async {
            let mut peer = Peer::connect_with(&url, options).await?;
            peer.play(
                "# The client's side.
                 > HELLO realm1 {\"roles\": {\"caller\": {}}}
                 < WELCOME 7 {...}
                 > CALL 1 {} com.example.add [1, 2]        # a remark
                 < ERROR CALL 1 {} com.example.broken
                 < CLOSED",
            )
            .await
        };
        let router = async {
            let mut peer = fake.accept().await?;
            assert_eq!(peer.serializer(), options.serializer);
            peer.play(
                "< HELLO realm1 {...}
                 > WELCOME 7 {\"roles\": {\"dealer\": {}}}
                 < CALL req:1 {} com.example.add [1, 2]
                 > ERROR CALL req:1 {} com.example.broken
                 > CLOSE",
            )
            .await
        };
        let (client, router) = tokio::join!(client, router);
        client.unwrap();
        router.unwrap();
    }
}

#[tokio::test]
async fn a_script_that_fails_names_its_line() {
    let router = Router::start().await.unwrap();
    let cases = [
        (
            "\n> HELLO realm1 {\"roles\": {\"caller\": {}}}\n< CHALLENGE ...",
            "line 3 of the script: expected [4,...]",
        ),
        ("CALL 1", "line 1 of the script: `CALL 1` is no step"),
        ("> HEX 0", "line 1 of the script: `> HEX 0` is no step"),
        ("> HELLO realm1 {\"roles\": {\"caller\": {}}}\n< WELCOME ...\n< CLOSED", "line 3 of the script"),
    ];
    for (script, part) in cases {
        let mut peer = Peer::connect(&router.url()).await.unwrap();
        peer.set_deadline(Duration::from_millis(300));
        let error = peer.play(script).await.unwrap_err();
        let text = match std::error::Error::source(&error) {
            Some(_) | None => error.to_string(),
        };
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_stranger_is_no_client_of_a_fake_router() {
    let fake = FakeRouter::start().await.unwrap();
    let stranger = async {
        let mut stream = tokio::net::TcpStream::connect(fake.address()).await.unwrap();
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (answer, accepted) = tokio::join!(stranger, fake.accept());
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(accepted.unwrap_err().to_string().contains("Upgrade"));
    let options = PeerOptions::default();
    assert_eq!(options.serializer, bondy_testkit::Serializer::Json);
}
