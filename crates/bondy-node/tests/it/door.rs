//! A node in this process is reached without an address, and is the same node.

use std::io::{self, Read, Write};
use std::time::Duration;

use bondy_wamp::serializer::Serializer;
use serde_json::json;

use crate::node::{REALM, Setup, TestNode};
use crate::peer::stream::Stream;
use crate::peer::{DEADLINE, Dial, Peer, hello};
use crate::sources::REALMS;

/// A session of the node that was joined through its door.
#[track_caller]
fn join(
    node: &TestNode,
    listener: &str,
    serializer: Serializer,
    realm: &str,
) -> Result<Peer, serde_json::Value> {
    let stream = Stream::Unix(node.handle.connect(listener).expect("a connection"));
    stream.set_read_timeout(DEADLINE);
    stream.set_write_timeout(DEADLINE);
    let mut wire = Dial::rawsocket("the door").serializer(serializer).open_over(stream).expect("a handshake");
    wire.send_value(&hello(realm));
    Peer::welcomed(wire)
}

#[test]
fn sessions_through_the_door_and_over_sockets_meet() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket, websocket]").start();
    let mut callee = node.rawsocket("tcp").join(REALM);
    callee.register("com.example.echo");
    for serializer in Serializer::ALL {
        let mut caller = join(&node, "tcp", serializer, REALM).unwrap();
        let request = caller.begin_call("com.example.echo", &json!(["over memory", 7]));
        callee.echo();
        assert_eq!(caller.end_call(request), Ok(json!(["over memory", 7])));
    }
}

#[test]
fn a_session_through_the_door_counts_as_one_from_127_0_0_1() {
    let node = Setup::new().realms(REALMS).listener_at("tcp", "[::1]:0", "serve: [rawsocket]").start();
    assert!(join(&node, "tcp", Serializer::Json, "v4").is_ok());
    let refused = join(&node, "tcp", Serializer::Json, "v6").err().unwrap();
    assert_eq!(refused[2], "wamp.error.authentication_denied");
}

#[test]
fn only_a_listener_that_serves_rawsocket_is_a_door() {
    let node =
        Setup::new().listener("tcp", "serve: [rawsocket]").listener("web", "serve: [websocket]").start();
    for name in ["web", "admin", "nowhere"] {
        let error = node.handle.connect(name).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let text = format!("no listener `{name}` serves rawsocket; these do: tcp");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn the_limits_of_the_listener_hold_at_the_door() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket], connections_max: 1").start();
    let _first = join(&node, "tcp", Serializer::Json, REALM).unwrap();
    let mut second = node.handle.connect("tcp").unwrap();
    second.set_read_timeout(Some(DEADLINE)).unwrap();
    second.write_all(&[0x7f, 0xf1, 0, 0]).unwrap();
    let mut reply = [0; 4];
    second.read_exact(&mut reply).unwrap();
    assert_eq!(reply, [0x7f, 0x40, 0, 0], "maximum connection count reached");
}

#[test]
fn a_draining_node_says_goodbye_at_the_door_too() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    let peer = join(&node, "tcp", Serializer::Json, REALM).unwrap();
    let waiting = std::thread::spawn(move || peer.until_end());
    assert_eq!(node.handle.drain(Duration::from_secs(10)), 0);
    let (messages, _) = waiting.join().unwrap();
    assert_eq!(messages.last().map(|message| &message[2]), Some(&json!("wamp.close.system_shutdown")));
}
