//! Every floor and every load runs, tiny: nothing here asserts a time.

#![allow(clippy::disallowed_methods, reason = "the peer of these tests runs on threads")]

mod peer;

use serde_json::Value;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bondy-bench"))
        .args(arguments)
        .args(["--quick", "--rounds", "1", "--duration", "20ms", "--output", "json"])
        .output()
        .expect("the program starts")
}

fn report(arguments: &[&str]) -> Value {
    let output = bench(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// Runs against a router that only lets sessions in and out, in this very process.
fn report_on_peer(arguments: &[&str]) -> Value {
    let (url, pid) = (format!("tcp://{}", peer::start()), std::process::id().to_string());
    report(&[arguments, &["--url", &url, "--pid", &pid, "--serializer", "json"]].concat())
}

#[test]
fn every_floor_moves_messages() {
    let report = report(&["floor", "--subscribers", "5", "--window", "4"]);
    let figures = report["figures"].as_array().expect("figures");
    assert_eq!(figures.len(), 9);
    for figure in figures {
        let floor = &figure["floor"];
        let count = ["copy_ns", "calls_per_s", "events_per_s"].iter().find_map(|name| floor[name].as_f64());
        assert!(count.expect("a number") > 0.0, "{figure}");
    }
}

#[test]
fn churn_counts_joins_of_router_and_floor() {
    let report = report_on_peer(&["churn", "--workers", "2"]);
    assert!(report["joins_per_s"].as_f64() > Some(0.0), "{report}");
    assert!(report["floor"]["joins_per_s"].as_f64() > Some(0.0), "{report}");
    assert!(report["ratio"]["p50_us"].as_f64() > Some(0.0), "{report}");
}

#[test]
fn connections_reports_memory_of_each_session() {
    let report = report_on_peer(&["connections", "--sessions", "20"]);
    assert_eq!(report["sessions"], 20);
    assert!(report["resident_bytes_per_session"].is_number(), "{report}");
}

#[test]
fn answer_that_is_no_result_fails_the_run_and_is_shown() {
    let url = format!("tcp://{}", peer::start());
    let output = bench(&["rpc", "--no-floor", "--serializer", "json", "--url", &url]);
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("wamp.error.not_authorized"), "{message}");
}

#[test]
fn router_that_is_not_there_is_an_error_that_names_it() {
    let output = bench(&["rpc", "--no-floor", "--router-command", "/nonexistent/router"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/router"));
}
