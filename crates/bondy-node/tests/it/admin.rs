//! What the admin listener answers, and what a listener for applications does not.

use std::io::Write;
use std::time::Duration;

use serde_json::json;

use crate::node::{REALM, Setup};
use crate::openmetrics::Metrics;
use crate::peer::Dial;
use crate::peer::http::{ask, http, metrics};
use crate::peer::wire::read_head;

#[test]
fn ping_and_ready_have_no_content_and_need_no_credentials() {
    let node = Setup::new().start();
    for path in ["/ping", "/ready"] {
        let answer = http(&node.address("admin"), "GET", path);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{path}");
        assert_eq!(http(&node.address("admin"), "HEAD", path).status, 204, "{path}");
    }
}

#[test]
fn unknown_paths_are_404_and_other_methods_405() {
    let node = Setup::new().start();
    let address = node.address("admin");
    for path in ["/", "/pings", "/metrics/", "/ws"] {
        assert_eq!(http(&address, "GET", path).status, 404, "{path}");
    }
    for path in ["/ping", "/ready", "/metrics"] {
        let answer = http(&address, "POST", path);
        assert_eq!(answer.status, 405, "{path}");
        assert!(answer.head.to_ascii_lowercase().contains("allow: get, head\r\n"), "{}", answer.head);
    }
}

#[test]
fn a_listener_for_applications_serves_nothing_of_the_administration() {
    let node =
        Setup::new().listener("http", "serve: [http]").listener("public", "serve: [websocket, http]").start();
    for listener in ["http", "public"] {
        for path in ["/", "/ping", "/ready", "/metrics"] {
            assert_eq!(http(&node.address(listener), "GET", path).status, 404, "{listener} {path}");
        }
    }
    assert_eq!(http(&node.address("public"), "GET", "/ws").status, 426);
    assert!(node.websocket("http").try_open().is_err());
    assert!(node.rawsocket("http").try_open().is_err());
    assert!(node.websocket("admin").try_open().is_err());
    assert!(node.rawsocket("admin").try_open().is_err());
}

#[test]
fn several_requests_go_over_one_connection() {
    let node = Setup::new().start();
    let mut stream = node.rawsocket("admin").try_connect().expect("a connection");
    for _ in 0..3 {
        stream.write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
        assert!(read_head(&mut stream).expect("an answer").starts_with("HTTP/1.1 204 "));
    }
}

#[test]
fn metrics_are_openmetrics_and_follow_what_happens() {
    let node = Setup::new().listener("all", "serve: [rawsocket, websocket]").start();
    let answer = http(&node.address("admin"), "GET", "/metrics");
    let media_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(answer.head.to_ascii_lowercase().contains(media_type), "{}", answer.head);
    let metrics = Metrics::parse(&answer.body).expect("OpenMetrics");
    assert!(metrics.names().all(|name| name.starts_with("bondy_")));
    assert!(!answer.body.contains(REALM), "URIs are no labels");
    assert_eq!(metrics.value("bondy_realms"), 1.0);
    assert_eq!(metrics.value("bondy_sessions"), 0.0);

    let (mut first, mut second) = (node.rawsocket("all").join(REALM), node.websocket("all").join(REALM));
    first.register("com.example.echo");
    first.subscribe("com.example.topic");
    let request = second.begin_call("com.example.echo", &json!([]));
    first.echo();
    second.end_call(request).expect("a result");
    second.publish("com.example.topic", &json!([]));
    assert!(second.call("com.example.nobody", &json!([])).is_err());
    let expected = [
        ("bondy_sessions", 2.0),
        ("bondy_sessions_joined_total", 2.0),
        ("bondy_registrations", 1.0),
        ("bondy_subscriptions", 1.0),
        ("bondy_calls_total", 2.0),
        ("bondy_calls_succeeded_total", 1.0),
        ("bondy_calls_failed_total", 1.0),
        ("bondy_invocations_total", 1.0),
        ("bondy_publications_total", 1.0),
        ("bondy_events_delivered_total", 1.0),
        ("bondy_calls_pending", 0.0),
    ];
    for (name, value) in expected {
        node.wait_for_metric(name, value);
    }
    drop((first, second));
    node.wait_for_metric("bondy_sessions", 0.0);
    // Nothing happens any more, and still the last leave is counted.
    node.wait_for_metric("bondy_sessions_left_total", 2.0);
    let metrics = node.metrics();
    assert_eq!((metrics.value("bondy_registrations"), metrics.value("bondy_subscriptions")), (0.0, 0.0));
    assert!(metrics.value("bondy_uptime_seconds") > 0.0);
}

#[test]
fn ready_says_503_while_the_node_drains_and_the_administration_stays() {
    let node = Setup::new().listener("tcp", "serve: [rawsocket]").start();
    let (admin, tcp) = (node.address("admin"), node.address("tcp"));
    // A peer that does not close after GOODBYE: the drain waits for it until its time is up.
    let idle = node.rawsocket("tcp").join(REALM);
    let peer = node.rawsocket("tcp").join(REALM);
    let drain = std::thread::spawn(move || node.handle.drain(Duration::from_millis(1500)));
    let (messages, _) = peer.until_end();
    assert_eq!(messages.last().expect("GOODBYE")[2], "wamp.close.system_shutdown");
    assert_eq!(http(&admin, "GET", "/ready").status, 503);
    assert_eq!(http(&admin, "GET", "/ping").status, 204);
    assert_eq!(metrics(&admin).value("bondy_sessions"), 0.0);
    assert!(Dial::rawsocket(&tcp).try_connect().is_err(), "clients are not accepted any more");
    assert_eq!(drain.join().expect("a drain"), 1, "the idle one is cut off");
    assert!(Dial::rawsocket(&admin).try_connect().is_err(), "the node is gone");
    drop(idle);
}

#[test]
fn a_drain_waits_for_no_connection_without_session() {
    let node = Setup::new().listener("all", "serve: [rawsocket, websocket, http]").start();
    let nothing = node.rawsocket("all").try_connect().expect("a connection");
    let handshaken = (node.rawsocket("all").open(), node.websocket("all").open());
    let mut served = ask(&node.rawsocket("all"), "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(read_head(&mut served).expect("an answer").starts_with("HTTP/1.1 404 "));
    node.wait_for_metric("bondy_connections", 5.0);
    // Far below the deadlines of the handshake and of HELLO, far above what it takes.
    assert_eq!(node.handle.drain(Duration::from_secs(5)), 0, "nobody has to be cut off");
    drop((nothing, handshaken, served));
}
