//! What goes wrong is said with its reason, and the exit code tells whose turn it is.

use super::peer::{self, Behaviour};
use super::{TINY, as_text, run, write_scratch};
use std::net::TcpListener;

/// Runs and gives exit code and message.
fn fail(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(&[arguments, &TINY].concat());
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn fail_on(behaviour: Behaviour, arguments: &[&str]) -> (Option<i32>, String) {
    let url = format!("rs://{}", peer::start(behaviour));
    fail(&[arguments, &["--url", &url, "--serializer", "json"]].concat())
}

#[test]
fn refusing_router_is_quoted() {
    for load in ["rpc", "pubsub"] {
        let (code, message) = fail_on(Behaviour::Refuses, &[load]);
        assert_eq!(code, Some(1), "{message}");
        assert!(message.contains("wamp.error.not_authorized"), "{message}");
    }
}

#[test]
fn realm_that_is_not_there_is_named_with_the_router_s_reason() {
    for load in ["rpc", "pubsub", "connections", "churn"] {
        let (code, message) = fail_on(Behaviour::HasNoRealm, &[load, "--realm", "com.example.gone"]);
        assert_eq!(code, Some(3), "{message}");
        assert!(message.contains("com.example.gone"), "{message}");
        assert!(message.contains("wamp.error.no_such_realm"), "{message}");
    }
}

#[test]
fn serializer_that_the_router_does_not_speak_is_named() {
    let (code, message) = fail_on(Behaviour::SpeaksNothing, &["rpc"]);
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("does not speak json") && message.contains("--serializer"), "{message}");
}

#[test]
fn connection_lost_in_the_middle_ends_the_run() {
    let (code, message) = fail_on(Behaviour::ClosesAfter(20), &["rpc"]);
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("closed the connection"), "{message}");
}

#[test]
fn router_that_is_not_there_is_an_error_that_names_it() {
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/ws", listener.local_addr().expect("an address"));
    drop(listener);
    let (code, message) = fail(&["rpc", "--url", &url]);
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains(&url) && message.contains("refused"), "{message}");
}

#[test]
fn router_command_that_does_not_start_is_named() {
    let (code, message) = fail(&["rpc", "--router-command", "/nonexistent/router"]);
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("/nonexistent/router"), "{message}");
}

#[test]
fn port_of_another_protocol_is_recognised() {
    let url = format!("rs://{}", peer::start_nats());
    let (code, message) = fail(&["rpc", "--url", &url]);
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("no answer of a rawsocket"), "{message}");
}

#[test]
fn wrong_usage_says_what_is_wrong_with_which_value() {
    let no_result = write_scratch("no-result.json", "[]");
    let other_result = write_scratch("other-result.json", r#"{"benchmark": "churn"}"#);
    for (arguments, reason) in [
        (&["rpc", "--url", "http://127.0.0.1:1"][..], "`http`"),
        (&["rpc", "--url", "rs://127.0.0.1"], "no port"),
        (&["rpc", "--serializer", "xml"], "xml"),
        (&["rpc", "--pairs", "0"], "0 is not in"),
        (&["rpc", "--rate", "-5"], "-5"),
        (&["rpc", "--duration", "5"], "5s"),
        (&["rpc", "--start", "--url", "ws://127.0.0.1:1/ws"], "cannot be used with"),
        (&["rpc", "--transport", "rawsocket", "--url", "ws://127.0.0.1:1/ws"], "--transport"),
        (&["pubsub", "--rate", "5", "--payload", "8"], "16 octets"),
        (&["pubsub", "--rate", "5", "--window", "2"], "cannot be used with"),
        (&["pubsub", "--subscribers", "3", "--stalled", "3"], "--stalled must leave one"),
        (&["rpc", "--compare", "/nonexistent/file"], "/nonexistent/file"),
        (&["rpc", "--compare", as_text(&no_result)], "no result of `rpc`"),
        (&["rpc", "--compare", as_text(&other_result)], "no result of `rpc`"),
        (&["rpc", "--router-command", " "], "empty"),
        (&["nothing"], "nothing"),
    ] {
        // Given twice, an option is wrong by itself, so that these come without the usual ones.
        let output = run(arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(reason), "{arguments:?}: {message}");
    }
    for file in [no_result, other_result] {
        std::fs::remove_file(file).expect("the file");
    }
}
