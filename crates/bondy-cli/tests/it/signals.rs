//! A node and its operator: readiness, signals, exit codes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::authority::Authority;
use crate::folder::Folder;
use crate::peer::{Dial, ERROR, INVOCATION, wait_for};
use crate::process::{Bondy, REALM, configure, message};

/// Long before a drain with a long timeout would have ended.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn the_readiness_line_names_every_listener_with_its_address() {
    let bondy = Bondy::start(
        "listeners:
  public: {bind: '127.0.0.1:0', serve: [websocket, http]}
  tcp: {bind: '127.0.0.1:0', serve: [rawsocket]}
  local: {bind: 'unix:./bondy.sock', serve: [rawsocket]}
  admin: {bind: '127.0.0.1:0', serve: [admin]}",
    );
    let names: BTreeSet<&str> = bondy.bound().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["admin", "local", "public", "tcp"]));
    let ready: Vec<_> =
        bondy.lines().into_iter().filter(|line| message(line).starts_with("ready ")).collect();
    assert_eq!(ready.len(), 1, "one line says it");
    bondy.websocket("public").join(REALM);
    bondy.rawsocket("tcp").join(REALM);
    // The path is as the file has it, seen from the node's folder.
    let path = bondy.address("local").replace("./", &format!("{}/", bondy.folder.0.display()));
    Dial::rawsocket(&path).join(REALM);
    assert_eq!(bondy.metrics().value("bondy_realms"), 1.0);
}

const TWO_LISTENERS: &str = "listeners:
  tcp: {bind: '127.0.0.1:0', serve: [rawsocket, websocket]}
  admin: {bind: '127.0.0.1:0', serve: [admin]}";

#[test]
fn sigterm_answers_pending_calls_then_says_goodbye_then_ends_with_0() {
    for signal in ["TERM", "INT"] {
        let mut bondy = Bondy::start(TWO_LISTENERS);
        let (mut callee, mut caller) =
            (bondy.rawsocket("tcp").join(REALM), bondy.websocket("tcp").join(REALM));
        let idle = bondy.rawsocket("tcp").join(REALM);
        callee.register("com.example.slow");
        let requests = [(); 3].map(|()| caller.begin_call("com.example.slow", &json!([])));
        (0..3).for_each(|_| drop(callee.receive_type(INVOCATION)));
        bondy.signal(signal);
        let (messages, code) = caller.until_end();
        assert_eq!(messages.len(), 4, "{messages:?}");
        for (message, request) in messages.iter().zip(requests) {
            let answer = (&message[0], &message[2], &message[4]);
            assert_eq!(answer, (&json!(ERROR), &json!(request), &json!("wamp.error.canceled")));
        }
        assert_eq!(messages[3][2], "wamp.close.system_shutdown");
        assert!(code.is_some(), "the WebSocket is closed in its own way");
        for peer in [callee, idle] {
            let (messages, _) = peer.until_end();
            assert_eq!(messages.last().expect("GOODBYE")[2], "wamp.close.system_shutdown");
        }
        assert_eq!(bondy.wait_for_exit(SOON).code(), Some(0));
        let stopped = bondy.wait_for_line("the last line", |line| message(line) == "stopped");
        assert_eq!(stopped["cut_off"], 0);
    }
}

#[test]
fn sigterm_ends_in_time_with_peers_that_never_read_and_never_join() {
    let mut bondy = Bondy::start(&format!("node: {{drain_timeout: 1s}}\n{TWO_LISTENERS}"));
    let mut publisher = bondy.rawsocket("tcp").join(REALM);
    let mut stuck = bondy.rawsocket("tcp").join(REALM);
    let _silent = bondy.rawsocket("tcp").open();
    let _nothing = bondy.rawsocket("tcp").try_connect().expect("a connection");
    stuck.subscribe("com.example.topic");
    let letters = "a".repeat(100_000);
    // Until its socket and its outbox are full.
    wait_for("an event to be dropped", || {
        publisher.publish("com.example.topic", &json!([letters]));
        bondy.metrics().value("bondy_events_dropped_outbox_total") > 0.0
    });
    let begun = Instant::now();
    bondy.signal("TERM");
    assert_eq!(bondy.wait_for_exit(SOON).code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?} with a timeout of 1 s", begun.elapsed());
    let stopped = bondy.wait_for_line("the last line", |line| message(line) == "stopped");
    assert!(stopped["cut_off"].as_u64() >= Some(1), "{stopped}");
}

#[test]
fn a_second_sigterm_ends_the_process_at_once() {
    let mut bondy = Bondy::start(
        "node: {drain_timeout: 5m}
listeners:
  tcp: {bind: '127.0.0.1:0', serve: [rawsocket]}",
    );
    // A peer that does not close after GOODBYE keeps the drain waiting.
    let _idle = bondy.rawsocket("tcp").join(REALM);
    bondy.signal("TERM");
    bondy.wait_for_line("the drain", |line| message(line) == "draining");
    bondy.signal("TERM");
    bondy.wait_for_line("the end", |line| message(line) == "stopped at once");
    let status = bondy.wait_for_exit(SOON);
    assert!(status.code().is_some(), "it ends by itself: {status}");
}

fn with_tls(level: &str) -> String {
    format!(
        "log: {{level: {level}}}
listeners:
  tls: {{bind: '127.0.0.1:0', serve: [rawsocket], tls: {{cert: cert.pem, key: key.pem}}}}"
    )
}

#[test]
fn sighup_reloads_certificates_and_log_level_and_no_session_notices() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let files = (folder.path("cert.pem"), folder.path("key.pem"));
    let first = authority.issue(&files.0, &files.1);
    let bondy = Bondy::start_in(folder, &with_tls("info"));
    let dial = bondy.rawsocket("tls").tls(&authority.client());
    let mut peer = dial.join(REALM);
    assert_eq!(peer.wire.stream.certificate(), Some(first.clone()));
    assert!(bondy.lines().iter().all(|line| message(line) != "joined"), "that is for the level debug");

    let second = authority.issue(&files.0, &files.1);
    assert_ne!(first, second);
    configure(&bondy.folder, &with_tls("debug"));
    bondy.signal("HUP");
    bondy.wait_for_line("the level", |line| message(line) == "log level reloaded");
    bondy.wait_for_line("the certificates", |line| message(line) == "certificates reloaded");
    let new = dial.join(REALM);
    assert_eq!(new.wire.stream.certificate(), Some(second.clone()));
    bondy.wait_for_line("a line of the level debug", |line| {
        message(line) == "joined" && line["session"] == new.session
    });
    peer.register("com.example.still_here");

    // What cannot be used is said, and nothing changes.
    std::fs::write(&files.0, "no certificate").expect("a file");
    configure(&bondy.folder, "log: {level: loud}");
    bondy.signal("HUP");
    bondy.wait_for_line("the refusal", |line| {
        line["level"] == "ERROR" && message(line).contains("certificates kept as they were")
    });
    bondy.wait_for_line("the problem", |line| line["level"] == "ERROR" && line.to_string().contains("loud"));
    assert_eq!(dial.join(REALM).wire.stream.certificate(), Some(second));
    peer.register("com.example.still_here_too");
}

#[test]
fn an_address_in_use_is_a_failure_that_names_the_listener() {
    let first = Bondy::start(TWO_LISTENERS);
    let address = first.address("tcp");
    let yaml = format!("listeners: {{mine: {{bind: '{address}', serve: [rawsocket]}}}}");
    let mut second = Bondy::spawn(Folder::new(), &yaml);
    assert_eq!(second.wait_for_exit(SOON).code(), Some(1));
    let line = second.wait_for_line("the error", |line| line.to_string().contains("error:")).to_string();
    assert!(line.contains("listener `mine`") && line.contains(&address), "{line}");
    assert!(line.to_lowercase().contains("address already in use"), "{line}");
    first.rawsocket("tcp").join(REALM);
}

#[test]
fn a_unix_socket_that_was_left_behind_is_taken_over_and_one_in_use_is_not() {
    let yaml = "listeners: {local: {bind: 'unix:./bondy.sock', serve: [rawsocket]}}";
    let folder = Folder::new();
    let path = folder.path("bondy.sock");
    // As a process that was killed leaves it.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let bondy = Bondy::start_in(folder, yaml);
    let dial = Dial::rawsocket(&format!("unix:{}", path.display()));
    dial.join(REALM);
    let other = Folder::new();
    let yaml = format!("listeners: {{local: {{bind: 'unix:{}', serve: [rawsocket]}}}}", path.display());
    let mut second = Bondy::spawn(other, &yaml);
    assert_eq!(second.wait_for_exit(SOON).code(), Some(1));
    dial.join(REALM);
    drop(bondy);
}

#[test]
fn certificates_that_cannot_be_used_are_a_mistake_of_the_configuration() {
    let folder = Folder::new();
    folder.write("cert.pem", "no certificate");
    folder.write("key.pem", "no key");
    let mut bondy = Bondy::spawn(folder, &with_tls("info"));
    assert_eq!(bondy.wait_for_exit(SOON).code(), Some(2));
    let line = bondy.wait_for_line("the error", |line| line.to_string().contains("error:")).to_string();
    assert!(line.contains("listener `tls`") && line.contains("cert.pem"), "{line}");
}
