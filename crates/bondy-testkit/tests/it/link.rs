//! A link without faults, and what it counts and records.

use bondy_testkit::{Closer, Direction, Happening, MessageType, Peer, Recording};

use crate::{DEADLINE, callee, forms, joined, router_and_link};

#[tokio::test]
async fn a_link_passes_every_transport_and_serializer_and_counts_messages() {
    let (_router, link) = router_and_link().await;
    let mut connections = 0;
    for (url, options) in forms(&link.url(), &link.rawsocket_url()) {
        let mut peer = Peer::connect_with(&url, options).await.unwrap();
        peer.join("realm1").await.unwrap();
        peer.send("SUBSCRIBE 1 {} com.example.tick").await.unwrap();
        peer.expect("SUBSCRIBED 1 sub:1").await.unwrap();
        peer.send("PUBLISH 2 {\"exclude_me\": false} com.example.tick [\"\\u0000AQI=\", 1.5]").await.unwrap();
        peer.expect("EVENT sub:1 * {} [\"\\u0000AQI=\", 1.5]").await.unwrap();
        peer.close().await;
        connections += 1;
        let wanted = |counts: &bondy_testkit::Counts| counts.connections == connections && counts.open == 0;
        let counts = link.wait_until("the connection is over", DEADLINE, wanted).await.unwrap();
        assert_eq!(counts.to_router.messages, connections * 3);
        assert_eq!(counts.to_router.of(MessageType::Publish), connections);
        assert_eq!(counts.to_client.of(MessageType::Event), connections);
        assert_eq!((counts.to_router.dropped, counts.cut, counts.refused), (0, 0, 0));
    }
}

#[tokio::test]
async fn large_messages_pass_whole_and_in_order() {
    let (_router, link) = router_and_link().await;
    for url in [link.url(), link.rawsocket_url()] {
        let mut peer = joined(&url).await;
        peer.send("SUBSCRIBE 1 {} com.example.tick").await.unwrap();
        peer.expect("SUBSCRIBED 1 *").await.unwrap();
        for (request, bytes) in [(2, 70_000), (3, 1), (4, 900_000), (5, 300)] {
            let text = "x".repeat(bytes);
            let publish =
                format!("PUBLISH {request} {{\"exclude_me\": false}} com.example.tick [\"{text}\"]");
            peer.send(&publish).await.unwrap();
            peer.expect(&format!("EVENT * * {{}} [\"{text}\"]")).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_end_of_one_side_reaches_the_other() {
    let (mut router, link) = router_and_link().await;
    let mut peer = joined(&link.rawsocket_url()).await;
    router.stop().await;
    peer.expect("GOODBYE ...").await.unwrap();
    peer.expect_closed().await.unwrap();
    drop(peer);
    link.wait_until("nobody is there", DEADLINE, |counts| counts.open == 0).await.unwrap();
    // Nobody listens behind it: the client is let in by the link and thrown out at once.
    assert!(Peer::connect(&link.url()).await.is_err());
    router.restart().await.unwrap();
    joined(&link.url()).await;
}

#[tokio::test]
async fn what_is_not_wamp_passes_as_it_is() {
    let (router, _link) = router_and_link().await;
    let admin = router.admin_url().replace("http://", "");
    let link = bondy_testkit::Link::to(admin).unwrap();
    let mut stream = tokio::net::TcpStream::connect(link.address()).await.unwrap();
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    stream.write_all(b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let counts = link.counts();
    assert_eq!(counts.to_client.bytes, answer.len() as u64);
    assert_eq!(counts.to_client.messages, 0);
}

#[tokio::test]
async fn a_recording_has_every_message_and_who_closed() {
    let (_router, link) = router_and_link().await;
    link.record();
    let mut served = callee(&link.rawsocket_url()).await;
    let mut caller = joined(&link.url()).await;
    caller.send("CALL 1 {} com.example.echo [7]").await.unwrap();
    served.expect("INVOCATION 1 reg:echo {} [7]").await.unwrap();
    served.send("YIELD 1 {} [7]").await.unwrap();
    caller.expect("RESULT 1 {} [7]").await.unwrap();
    caller.close().await;
    link.wait_until("the caller is gone", DEADLINE, |counts| counts.open == 1).await.unwrap();
    let recording = link.recording();
    let types = |direction| {
        let codes = recording.messages(direction).map(|message| message[0].as_u64().unwrap());
        codes.collect::<Vec<u64>>()
    };
    assert_eq!(types(Direction::ToRouter), [1, 64, 1, 48, 70]);
    assert_eq!(types(Direction::ToClient), [2, 65, 2, 68, 50]);
    let closers: Vec<(u64, Closer)> = recording
        .entries
        .iter()
        .filter_map(|entry| match &entry.happening {
            Happening::Closed { by } => Some((entry.connection, *by)),
            Happening::Opened { .. } | Happening::Message { .. } => None,
        })
        .collect();
    assert_eq!(closers, [(2, Closer::Client)]);
    assert_eq!(Recording::parse(&recording.to_lines()), Ok(recording));
    assert!(link.recording().entries.is_empty());
}

#[tokio::test]
async fn what_does_not_come_is_said_with_what_was_seen() {
    let (_router, link) = router_and_link().await;
    let short = std::time::Duration::from_millis(20);
    let error = link.wait_until("somebody connects", short, |counts| counts.open > 0).await.unwrap_err();
    assert!(error.to_string().starts_with("somebody connects was not so within 20ms"), "{error}");
}
