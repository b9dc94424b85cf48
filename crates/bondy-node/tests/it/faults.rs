//! Processes that die, hosts that vanish, callers and callees that go in the middle of a call.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bondy_wamp::serializer::Serializer;
use serde_json::json;

use crate::node::{REALM, Setup, TestNode};
use crate::peer::{Dial, INTERRUPT, INVOCATION, Peer, REGISTERED, Received};

/// Where the callee's process is to register, if this process is it.
const CALLEE_ADDRESS: &str = "BONDY_TEST_CALLEE_ADDRESS";

const PROCEDURE: &str = "com.example.echo";

/// Not a test of its own: what the other process of the test below runs. It registers and answers nothing.
#[test]
fn callee_process() {
    let Ok(address) = std::env::var(CALLEE_ADDRESS) else { return };
    let mut callee = Dial::rawsocket(&address).join(REALM);
    callee.register(PROCEDURE);
    loop {
        callee.receive();
    }
}

/// A process that holds the procedure.
fn spawn_callee(address: &str) -> Child {
    let this = std::env::current_exe().expect("this binary");
    Command::new(this)
        .args(["--exact", "faults::callee_process", "--nocapture"])
        .env(CALLEE_ADDRESS, address)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process of this binary")
}

/// Calls, and waits until the callee has the invocation.
#[track_caller]
fn call_and_wait(node: &TestNode, caller: &mut Peer) -> u64 {
    let request = caller.begin_call(PROCEDURE, &json!([]));
    node.wait_for_metric("bondy_invocations_pending", 1.0);
    request
}

#[test]
fn a_killed_callee_process_ends_its_calls_at_once_and_frees_its_procedure() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    let mut caller = node.rawsocket("tcp").join(REALM);
    let mut child = spawn_callee(&node.address("tcp"));
    node.wait_for_metric("bondy_registrations", 1.0);
    let request = call_and_wait(&node, &mut caller);
    let killed = Instant::now();
    // SIGKILL: the process says nothing more.
    child.kill().expect("a process to kill");
    child.wait().expect("a process that has ended");
    assert_eq!(caller.end_call(request), Err("wamp.error.canceled".to_owned()));
    // Far below any timeout that could have ended the call instead.
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    caller.register(PROCEDURE);
    node.wait_for_metric("bondy_sessions", 1.0);
}

type Departure = fn(Peer);

/// How a callee may go.
fn departures() -> Vec<(&'static str, Departure)> {
    vec![
        ("the connection is closed", drop::<Peer>),
        ("the stream ends", |mut peer| {
            peer.wire.stream.end();
            peer.until_end();
        }),
        ("a WebSocket is closed", |mut peer| {
            peer.wire.send_close();
            peer.until_end();
        }),
        ("GOODBYE", |mut peer| {
            peer.send(&json!([6, {}, "wamp.close.normal"]));
            let (messages, _) = peer.until_end();
            assert_eq!(messages.last().expect("GOODBYE")[2], "wamp.close.goodbye_and_out");
        }),
        ("ABORT", |mut peer| peer.send(&json!([3, {}, "com.example.reason"]))),
        ("a violation", |mut peer| peer.wire.send(b"nonsense")),
    ]
}

#[test]
fn a_callee_that_goes_in_any_way_ends_its_calls_and_frees_its_procedure() {
    let node = Setup::new().listener("ws", "serve: [websocket]").start();
    let mut caller = node.websocket("ws").join(REALM);
    for (name, depart) in departures() {
        let mut callee = node.websocket("ws").join(REALM);
        callee.register(PROCEDURE);
        let request = call_and_wait(&node, &mut caller);
        depart(callee);
        assert_eq!(caller.end_call(request), Err("wamp.error.canceled".to_owned()), "{name}");
        node.wait_for_metric("bondy_registrations", 0.0);
        assert_eq!(
            caller.call(PROCEDURE, &json!([])),
            Err("wamp.error.no_such_procedure".to_owned()),
            "{name}"
        );
    }
    node.wait_for_metric("bondy_sessions", 1.0);
}

#[test]
fn a_caller_that_goes_in_the_middle_of_a_call_interrupts_its_callee() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    let mut callee = node.rawsocket("tcp").join(REALM);
    callee.register(PROCEDURE);
    let mut caller = node.rawsocket("tcp").join(REALM);
    caller.begin_call(PROCEDURE, &json!([]));
    let invocation = callee.receive_type(INVOCATION);
    drop(caller);
    let interrupt = callee.receive_type(INTERRUPT);
    assert_eq!(interrupt[1], invocation[1]);
    assert_eq!(interrupt[2]["mode"], "killnowait");
    // The late answer is no violation.
    callee.send(&json!([70, invocation[1], {}, []]));
    let request = callee.begin_call(PROCEDURE, &json!([1]));
    callee.echo();
    assert_eq!(callee.end_call(request), Ok(json!([1])));
}

/// A listener that pings every second and waits a second for the answer.
const PINGING: &str = "serve: [rawsocket, websocket], ping_interval: 1s, ping_timeout: 1s";

#[test]
fn a_peer_that_answers_no_pings_is_gone_within_interval_and_timeout() {
    let node = Setup::new().listener("all", PINGING).listener("tcp", "serve: [rawsocket]").start();
    for dial in [node.websocket("all"), node.rawsocket("all")] {
        let mut caller = node.rawsocket("tcp").join(REALM);
        let mut silent = Dial { answers_pings: false, ..dial }.join(REALM);
        silent.register(PROCEDURE);
        let request = caller.begin_call(PROCEDURE, &json!([]));
        // It reads and says nothing, as a half-open connection would.
        assert_eq!(caller.end_call(request), Err("wamp.error.canceled".to_owned()));
        node.wait_for_metric("bondy_registrations", 0.0);
        drop(silent);
    }
}

#[test]
fn a_peer_that_answers_pings_stays() {
    let node = Setup::new().listener("all", PINGING).start();
    let peers = [node.websocket("all"), node.rawsocket("all")]
        .map(|dial| Dial { answers_pings: false, ..dial }.join(REALM));
    let threads = peers.map(|mut peer| {
        std::thread::spawn(move || {
            for _ in 0..3 {
                let Received::Ping(payload) = peer.wire.receive() else { panic!("a ping was expected") };
                peer.wire.send_pong(&payload);
            }
            peer.register(&format!("com.example.{}", peer.session));
        })
    });
    threads.into_iter().for_each(|thread| thread.join().expect("a peer that stays"));
}

#[test]
fn a_ping_is_answered_with_its_own_payload() {
    let node = Setup::new().listener("all", "serve: [rawsocket, websocket]").start();
    for dial in [node.rawsocket("all"), node.websocket("all")] {
        let mut peer = dial.join(REALM);
        for payload in [&b""[..], b"are you there?", &[0; 125]] {
            peer.wire.send_ping(payload);
            assert_eq!(peer.wire.receive(), Received::Pong(payload.to_vec()));
        }
    }
}

#[test]
fn a_ping_between_messages_does_not_break_their_order() {
    let node = Setup::new().listener("all", "serve: [rawsocket, websocket]").start();
    for dial in [node.rawsocket("all"), node.websocket("all")] {
        let mut peer = dial.join(REALM);
        for request in 1..=50 {
            // The names are its own: the peer before may still be leaving.
            let procedure = format!("a.s{}.p{request}", peer.session);
            peer.send(&json!([64, request, {}, procedure]));
            peer.wire.send_ping(&[request]);
        }
        let (mut registered, mut pongs) = (0, 0);
        while registered < 50 || pongs < 50 {
            match peer.wire.receive() {
                Received::Message(bytes) => {
                    registered += 1;
                    let message = crate::peer::decode(Serializer::Json, &bytes);
                    assert_eq!((&message[0], &message[1]), (&json!(REGISTERED), &json!(registered)));
                }
                Received::Pong(payload) => {
                    pongs += 1;
                    assert_eq!(payload, [pongs]);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_session_that_is_killed_is_free_at_once_and_closed() {
    let node = Setup::new().listener("all", "serve: [rawsocket, websocket]").start();
    let mut admin = node.rawsocket("all").join(REALM);
    for dial in [node.rawsocket("all"), node.websocket("all")] {
        let mut victim = dial.join(REALM);
        victim.register(PROCEDURE);
        let killed = admin.call("wamp.session.kill", &json!([victim.session]));
        assert!(killed.is_ok(), "{killed:?}");
        // Before the victim has read a byte.
        assert_eq!(admin.call(PROCEDURE, &json!([])), Err("wamp.error.no_such_procedure".to_owned()));
        let (messages, _) = victim.until_end();
        assert_eq!(messages.last().expect("GOODBYE")[2], "wamp.close.killed");
    }
    node.wait_for_metric("bondy_sessions", 1.0);
}
