//! Every fault, by what the two sides see of it.

use std::time::{Duration, Instant};

use bondy_testkit::{Direction, Ending, Fault, MessageType, Peer, Step};

use crate::{DEADLINE, callee, joined, router_and_link};

/// How long a peer waits for what must not come.
const SHORT: Duration = Duration::from_millis(50);

/// Subscribes to a topic and is ready to publish to itself.
async fn subscriber(url: &str) -> Peer {
    let mut peer = joined(url).await;
    peer.send("SUBSCRIBE 1 {} com.example.tick").await.unwrap();
    peer.expect("SUBSCRIBED 1 sub:tick").await.unwrap();
    peer
}

async fn publish(peer: &mut Peer, number: u64) -> Result<(), bondy_testkit::PeerError> {
    peer.send(&format!("PUBLISH {number} {{\"exclude_me\": false}} com.example.tick [{number}]")).await
}

async fn is_silent(peer: &mut Peer) -> bool {
    peer.set_deadline(SHORT);
    let outcome = peer.receive().await;
    peer.set_deadline(DEADLINE);
    matches!(outcome, Err(bondy_testkit::PeerError::Silence { .. }))
}

#[tokio::test]
async fn a_dropped_event_is_missing_and_the_others_come() {
    let (_router, link) = router_and_link().await;
    for url in [link.url(), link.rawsocket_url()] {
        let mut peer = subscriber(&url).await;
        let fault = link.add(Fault::drop().on(MessageType::Event).nth(2));
        for number in 2..=4 {
            publish(&mut peer, number).await.unwrap();
        }
        peer.expect("EVENT sub:tick * {} [2]").await.unwrap();
        peer.expect("EVENT sub:tick * {} [4]").await.unwrap();
        assert_eq!(link.acted(fault), Some(1));
        assert!(link.remove(fault) && !link.remove(fault));
        publish(&mut peer, 5).await.unwrap();
        peer.expect("EVENT sub:tick * {} [5]").await.unwrap();
    }
    assert_eq!(link.counts().to_client.dropped, 2);
}

#[tokio::test]
async fn a_fault_may_name_a_uri() {
    let (_router, link) = router_and_link().await;
    link.add(Fault::drop().on(MessageType::Call).uri("com.example.lost"));
    let mut peer = joined(&link.url()).await;
    peer.send("CALL 1 {} com.example.lost").await.unwrap();
    peer.send("CALL 2 {} com.example.found").await.unwrap();
    peer.expect("ERROR CALL 2 {} wamp.error.no_such_procedure ...").await.unwrap();
}

#[tokio::test]
async fn a_delay_holds_back_and_keeps_the_order() {
    let (_router, link) = router_and_link().await;
    let mut peer = subscriber(&link.url()).await;
    let delay = Duration::from_millis(200);
    link.add(Fault::delay(delay).going(Direction::ToClient));
    let begun = Instant::now();
    for number in 2..12 {
        publish(&mut peer, number).await.unwrap();
    }
    for number in 2..12 {
        peer.expect(&format!("EVENT sub:tick * {{}} [{number}]")).await.unwrap();
    }
    // The delays are not one after the other; a lower bound is no matter of how fast the machine is.
    assert!(begun.elapsed() >= delay);
}

#[tokio::test]
async fn the_third_call_is_cut_off_before_or_after_it_was_delivered() {
    let (router, link) = router_and_link().await;
    for is_delivered in [false, true] {
        let mut served = callee(&router.url()).await;
        let mut caller = joined(&link.url()).await;
        let cut = Fault::cut().on(MessageType::Call).nth(3);
        link.add(if is_delivered { cut.delivered() } else { cut });
        for number in 1..=3 {
            caller.send(&format!("CALL {number} {{}} com.example.echo [{number}]")).await.unwrap();
            if number < 3 || is_delivered {
                served.expect(&format!("INVOCATION * * {{}} [{number}]")).await.unwrap();
            }
        }
        caller.expect_closed().await.unwrap();
        // The caller is gone: what it had called is interrupted, and that tells how much had been delivered.
        for _ in 0..if is_delivered { 3 } else { 2 } {
            served.expect("INTERRUPT * {...}").await.unwrap();
        }
        assert!(is_silent(&mut served).await);
        link.clear();
    }
    assert_eq!(link.counts().cut, 2);
}

#[tokio::test]
async fn a_connection_is_cut_at_every_step_of_the_protocol() {
    let (_router, link) = router_and_link().await;
    let steps = [
        Fault::cut().at(Step::Opening).going(Direction::ToRouter),
        Fault::cut().at(Step::Opening).going(Direction::ToClient),
        Fault::cut().on(MessageType::Hello),
        Fault::cut().on(MessageType::Welcome),
        Fault::cut().on(MessageType::Subscribe),
        Fault::cut().on(MessageType::Subscribed),
        Fault::cut_inside(5).on(MessageType::Subscribed),
        Fault::reset().on(MessageType::Publish),
        Fault::reset().on(MessageType::Event),
        Fault::cut().after_bytes(0).going(Direction::ToRouter),
        Fault::cut().after_bytes(3).going(Direction::ToRouter),
    ];
    for url in [link.url(), link.rawsocket_url()] {
        for step in &steps {
            let fault = link.add(step.clone().times(1));
            let outcome = whole_conversation(&url).await;
            assert!(outcome.is_err(), "{step:?}");
            assert_eq!(link.acted(fault), Some(1), "{step:?}");
            link.wait_until("all is over", DEADLINE, |counts| counts.open == 0).await.unwrap();
            link.clear();
            whole_conversation(&url).await.unwrap();
        }
    }
    assert_eq!(link.counts().cut, 2 * steps.len() as u64);
}

async fn whole_conversation(url: &str) -> Result<(), bondy_testkit::PeerError> {
    let mut peer = Peer::connect(url).await?;
    peer.join("realm1").await?;
    peer.send("SUBSCRIBE 1 {} com.example.tick").await?;
    peer.expect("SUBSCRIBED 1 sub:tick").await?;
    publish(&mut peer, 2).await?;
    peer.expect("EVENT sub:tick * {} [2]").await?;
    peer.close().await;
    Ok(())
}

#[tokio::test]
async fn exactly_so_many_bytes_pass_before_a_cut() {
    let (_router, link) = router_and_link().await;
    for bytes in [1, 4, 5, 17] {
        link.add(Fault::cut().after_bytes(bytes).going(Direction::ToClient));
        let before = link.counts().to_client.bytes;
        let outcome = whole_conversation(&link.rawsocket_url()).await;
        assert!(outcome.is_err());
        link.wait_until("all is over", DEADLINE, |counts| counts.open == 0).await.unwrap();
        assert_eq!(link.counts().to_client.bytes - before, bytes);
        link.clear();
    }
}

#[tokio::test]
async fn a_frozen_connection_is_silent_and_goes_on_when_it_thaws() {
    let (_router, link) = router_and_link().await;
    let mut peer = subscriber(&link.url()).await;
    link.freeze(Direction::ToClient);
    publish(&mut peer, 2).await.unwrap();
    assert!(is_silent(&mut peer).await);
    link.thaw();
    peer.expect("EVENT sub:tick * {} [2]").await.unwrap();
    link.add(Fault::freeze_both().on(MessageType::Publish).delivered().nth(1));
    publish(&mut peer, 3).await.unwrap();
    assert!(is_silent(&mut peer).await);
    assert_eq!(link.counts().open, 1);
    link.thaw();
    peer.expect("EVENT sub:tick * {} [3]").await.unwrap();
}

#[tokio::test]
async fn a_half_open_connection_hides_that_the_other_side_has_gone() {
    let (mut router, link) = router_and_link().await;
    let mut peer = subscriber(&link.rawsocket_url()).await;
    link.freeze(Direction::ToRouter);
    link.freeze(Direction::ToClient);
    router.kill().await;
    assert!(is_silent(&mut peer).await);
    link.thaw();
    peer.expect("GOODBYE ...").await.unwrap();
    peer.expect_closed().await.unwrap();
}

#[tokio::test]
async fn a_freeze_inside_a_message_holds_the_rest_of_it_back() {
    let (_router, link) = router_and_link().await;
    let mut peer = Peer::connect(&link.rawsocket_url()).await.unwrap();
    link.add(Fault::freeze().after_bytes(20).going(Direction::ToClient).connection(1));
    peer.send("HELLO realm1 {\"roles\": {\"caller\": {}}}").await.unwrap();
    link.wait_until("20 bytes pass", DEADLINE, |counts| counts.to_client.bytes == 20).await.unwrap();
    assert!(is_silent(&mut peer).await);
    assert_eq!(link.counts().to_client.messages, 0);
    link.thaw();
    peer.expect("WELCOME * {...}").await.unwrap();
}

#[tokio::test]
async fn open_connections_are_cut_and_new_ones_refused_when_the_test_says_so() {
    let (_router, link) = router_and_link().await;
    for ending in [Ending::Close, Ending::Reset] {
        let mut peers = [joined(&link.url()).await, joined(&link.rawsocket_url()).await];
        link.refuse(true);
        link.cut(ending);
        for peer in &mut peers {
            peer.expect_closed().await.unwrap();
        }
        assert!(Peer::connect(&link.url()).await.is_err());
        link.refuse(false);
        joined(&link.url()).await;
    }
    let counts = link.wait_until("all is over", DEADLINE, |counts| counts.open == 0).await.unwrap();
    assert_eq!((counts.connections, counts.refused, counts.cut), (6, 2, 4));
}

#[tokio::test]
async fn a_side_that_is_not_read_pushes_back() {
    let (_router, link) = router_and_link().await;
    let mut peer = joined(&link.rawsocket_url()).await;
    link.freeze(Direction::ToRouter);
    peer.set_deadline(SHORT);
    let message = format!("PUBLISH 1 {{}} com.example.tick [\"{}\"]", "x".repeat(1 << 20));
    let mut sent = 0;
    // The kernel's buffers on both sides are some megabytes at most.
    while sent < 64 && peer.send(&message).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 64, "{sent} MiB went into a frozen link");
}
