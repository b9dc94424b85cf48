//! A conversation recorded on a link, and played again from either side.

use bondy_testkit::{
    FakeRouter, Fault, Link, MessageType, Peer, PeerError, Recording, Replay, ReplayError, Router,
};
use serde_json::json;

use crate::{DEADLINE, callee, joined, router_and_link};

/// A call and an event between two sessions.
async fn conversation(url: &str, answer: u64) -> Result<(), PeerError> {
    let mut served = callee(url).await;
    let mut caller = joined(url).await;
    served.send("SUBSCRIBE 2 {} com.example.tick").await?;
    served.expect("SUBSCRIBED 2 sub:tick").await?;
    caller.send("CALL 1 {} com.example.echo [7]").await?;
    served.expect("INVOCATION inv:1 reg:echo {} [7]").await?;
    served.send(&format!("YIELD inv:1 {{}} [{answer}]")).await?;
    caller.expect(&format!("RESULT 1 {{}} [{answer}]")).await?;
    caller.send("PUBLISH 2 {\"acknowledge\": true} com.example.tick [1]").await?;
    caller.expect("PUBLISHED 2 *").await?;
    served.expect("EVENT sub:tick * {} [1]").await?;
    caller.send("GOODBYE {} wamp.close.close_realm").await?;
    caller.expect("GOODBYE {...} *").await?;
    caller.close().await;
    Ok(())
}

async fn recorded(link: &Link, url: &str) -> Recording {
    link.record();
    conversation(url, 8).await.unwrap();
    link.wait_until("all is over", DEADLINE, |counts| counts.open == 0).await.unwrap();
    link.recording()
}

#[tokio::test]
async fn clients_are_played_against_a_router_that_has_other_ids() {
    let (_router, link) = router_and_link().await;
    for url in [link.url(), link.rawsocket_url()] {
        let recording = recorded(&link, &url).await;
        let other = Router::start().await.unwrap();
        // So that registrations and subscriptions get other ids than in the recording.
        let mut guest = joined(&other.url()).await;
        guest.send("REGISTER 1 {} com.example.other").await.unwrap();
        guest.expect("REGISTERED 1 *").await.unwrap();
        guest.send("SUBSCRIBE 2 {} com.example.other").await.unwrap();
        guest.expect("SUBSCRIBED 2 *").await.unwrap();
        for url in [other.url(), other.rawsocket_url()] {
            let replayed = Replay::new(&recording).against_router(&url).await.unwrap();
            assert_eq!((replayed.sent, replayed.matched, replayed.connections), (8, 9, 2));
        }
    }
}

#[tokio::test]
async fn the_router_is_played_against_a_client() {
    let (_router, link) = router_and_link().await;
    link.record();
    let mut peer = joined(&link.url()).await;
    peer.send("SUBSCRIBE 1 {} com.example.tick").await.unwrap();
    peer.expect("SUBSCRIBED 1 sub:1").await.unwrap();
    peer.send("PUBLISH 2 {\"exclude_me\": false} com.example.tick [1]").await.unwrap();
    peer.expect("EVENT sub:1 * {} [1]").await.unwrap();
    peer.close().await;
    link.wait_until("all is over", DEADLINE, |counts| counts.open == 0).await.unwrap();
    let recording = link.recording();
    let fake = FakeRouter::start().await.unwrap();
    let client = async {
        let mut peer = Peer::connect(&fake.rawsocket_url()).await?;
        peer.join("realm1").await?;
        // Another client would number its requests in its own way.
        peer.send("SUBSCRIBE 41 {} com.example.tick").await?;
        peer.expect("SUBSCRIBED 41 sub:1").await?;
        peer.send("PUBLISH 42 {\"exclude_me\": false} com.example.tick [1]").await?;
        peer.expect("EVENT sub:1 * {} [1]").await?;
        peer.close().await;
        Ok::<(), PeerError>(())
    };
    let replay = Replay::new(&recording);
    let (client, replayed) = tokio::join!(client, replay.against_client(&fake));
    client.unwrap();
    assert_eq!(replayed.unwrap().matched, 3);
}

#[tokio::test]
async fn the_first_difference_is_named_and_may_be_ignored() {
    let (_router, link) = router_and_link().await;
    let mut recording = recorded(&link, &link.url()).await;
    for entry in &mut recording.entries {
        if let bondy_testkit::Happening::Message { message, .. } = &mut entry.happening
            && message[0] == json!(50)
        {
            message[3] = json!([9]);
        }
    }
    let router = Router::start().await.unwrap();
    let error = Replay::new(&recording).against_router(&router.url()).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ReplayError::Different { connection: 2, .. }), "{text}");
    assert!(text.contains("at /3/0: expected 9, found 8"), "{text}");
    let replay = Replay::new(&recording).ignore(MessageType::Result, "/3/0");
    replay.against_router(&router.url()).await.unwrap();
}

#[tokio::test]
async fn a_recording_that_began_too_late_is_refused() {
    let text = "{\"recording\": 1}\n{\"at_us\": 1, \"connection\": 1, \"direction\": \"to_router\", \"message\": [1]}";
    let recording = Recording::parse(text).unwrap();
    let router = Router::start().await.unwrap();
    let error = Replay::new(&recording).against_router(&router.url()).await.unwrap_err().to_string();
    assert!(error.contains("record from the beginning"), "{error}");
}

#[tokio::test]
async fn a_router_that_answers_nothing_ends_the_replay_in_time() {
    let (_router, link) = router_and_link().await;
    let recording = recorded(&link, &link.url()).await;
    let silent = FakeRouter::start().await.unwrap();
    let short = std::time::Duration::from_millis(50);
    let url = silent.url();
    let replay = Replay::new(&recording).deadline(short);
    let (played, _peer) = tokio::join!(replay.against_router(&url), silent.accept());
    let text = played.unwrap_err().to_string();
    assert!(text.contains("nothing came within"), "{text}");
}

#[tokio::test]
async fn what_a_fault_kept_from_the_router_is_not_sent_to_another() {
    let (_router, link) = router_and_link().await;
    link.record();
    link.add(Fault::drop().on(MessageType::Subscribe));
    link.add(Fault::drop().on(MessageType::Registered));
    let mut peer = joined(&link.url()).await;
    peer.send("SUBSCRIBE 1 {} com.example.tick").await.unwrap();
    peer.send("REGISTER 2 {} com.example.echo").await.unwrap();
    peer.send("CALL 3 {} com.example.none").await.unwrap();
    peer.expect("ERROR CALL 3 ...").await.unwrap();
    peer.close().await;
    link.wait_until("all is over", DEADLINE, |counts| counts.open == 0).await.unwrap();
    let recording = link.recording();
    assert_eq!(recording.to_lines().matches("\"dropped\":true").count(), 2);
    let other = Router::start().await.unwrap();
    let replayed = Replay::new(&recording).against_router(&other.url()).await.unwrap();
    // HELLO, REGISTER and CALL; WELCOME, REGISTERED and ERROR.
    assert_eq!((replayed.sent, replayed.matched), (3, 3));
}
