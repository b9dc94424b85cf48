//! Every floor and every load runs, tiny: nothing here asserts a time.

#![allow(clippy::disallowed_methods, reason = "the peers of these tests run on threads")]

mod authentication;
mod failure;
mod guard;
mod peer;

use peer::Behaviour;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TINY: [&str; 7] = ["--quick", "--rounds", "1", "--duration", "100ms", "--output", "json"];

/// Runs the program with nothing in its environment that it could read.
fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bondy-bench"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BONDY_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().expect("the program starts")
}

fn report(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &TINY].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "it is silent in a pipe: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// Runs against a router in this very process, which listens there and so is found.
fn report_on(behaviour: Behaviour, arguments: &[&str]) -> Value {
    let url = format!("rs://{}", peer::start(behaviour));
    report(&[arguments, &["--url", &url, "--serializer", "json"]].concat())
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// A file name that nobody else uses.
fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("bondy-bench-{}-{name}", std::process::id()))
}

fn assert_positive(object: &Value, names: &[&str]) {
    for name in names {
        assert!(object[name].as_f64() > Some(0.0), "{name} in {object}");
    }
}

const SETTING: [&str; 10] = [
    "bench_version",
    "benchmark",
    "load_cores",
    "realtime",
    "round_ms",
    "rounds",
    "router_cores",
    "serializer",
    "transport",
    "url",
];
const LATENCIES: [&str; 5] = ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"];

fn assert_keys(object: &Value, expected: &[&[&str]]) {
    let mut expected = expected.concat();
    expected.sort_unstable();
    assert_eq!(keys(object), expected);
}

#[test]
fn every_floor_moves_messages() {
    let report = report(&["floor", "--subscribers", "5", "--window", "4", "--with-floor"]);
    let figures = report["figures"].as_array().expect("figures");
    let names: Vec<_> = figures.iter().map(|figure| figure["name"].as_str().expect("a name")).collect();
    assert_eq!(
        names,
        [
            "memory",
            "direct",
            "direct_split",
            "echo",
            "forwarder",
            "forwarder_split",
            "forwarder_window",
            "fan_out",
            "fan_out_window"
        ]
    );
    for figure in figures {
        let count = ["copy_ns", "calls_per_s", "events_per_s"].iter().find_map(|name| figure[name].as_f64());
        assert!(count.expect("a number") > 0.0, "{figure}");
    }
    assert_positive(&report, &["p50_us", "calls_per_s", "copy_ns"]);
}

#[test]
fn calls_are_reported_under_these_names() {
    let report = report_on(Behaviour::Routes, &["rpc", "--pairs", "2", "--window", "3", "--with-floor"]);
    let own = ["pairs", "payload_bytes", "shape", "window", "floor", "ratio"];
    let rates = ["calls", "calls_per_core_s", "calls_per_s", "load_cpu_ns_per_call"];
    let router = ["router_cores_busy", "router_cpu_ns_per_call", "router_cpu_ns_per_message"];
    assert_keys(&report, &[&SETTING, &LATENCIES, &own, &rates, &router]);
    assert_keys(&report["floor"], &[&LATENCIES, &rates, &router, &["name"]]);
    assert_keys(&report["ratio"], &[&LATENCIES, &rates[1..], &router]);
    assert_positive(&report, &["p50_us", "calls", "calls_per_s", "router_cpu_ns_per_call"]);
    assert_eq!((&report["pairs"], &report["window"]), (&Value::from(2), &Value::from(3)));
}

#[test]
fn calls_at_a_rate_are_all_made() {
    let report = report_on(Behaviour::Routes, &["rpc", "--rate", "500", "--pairs", "2", "--with-floor"]);
    assert_eq!((&report["rate_per_s"], &report["calls_missed"]), (&Value::from(500), &Value::from(0)));
    assert_eq!(report["floor"]["calls_missed"], 0);
    assert_positive(&report, &["p50_us", "calls", "load_cpu_ns_per_call"]);
}

#[test]
fn calls_that_found_the_window_full_are_missed() {
    let rate = ["rpc", "--rate", "5000000", "--window", "1"];
    let report = report_on(Behaviour::Routes, &rate);
    assert_positive(&report, &["calls_missed", "p50_us"]);
}

#[test]
fn events_are_reported_under_these_names() {
    let load = ["pubsub", "--publishers", "2", "--subscribers", "3", "--window", "4", "--with-floor"];
    let report = report_on(Behaviour::Routes, &load);
    let own = ["payload_bytes", "publishers", "shape", "stalled", "subscribers", "window", "floor", "ratio"];
    let rates = ["events", "events_per_core_s", "events_per_s", "load_cpu_ns_per_event"];
    let router = ["router_cores_busy", "router_cpu_ns_per_event"];
    assert_keys(&report, &[&SETTING, &LATENCIES, &own, &rates, &router]);
    assert_positive(&report, &["p50_us", "events", "events_per_s"]);
}

#[test]
fn stalled_subscribers_are_held_against_none() {
    let load = ["pubsub", "--subscribers", "3", "--stalled", "1", "--window", "2"];
    let report = report_on(Behaviour::Routes, &load);
    assert_eq!(
        (&report["stalled"], &report["floor"]["name"]),
        (&Value::from(1), &Value::from("none-stalled"))
    );
    assert_positive(&report["floor"], &["p99_us", "events"]);
    assert_positive(&report["ratio"], &["p99_us"]);
}

#[test]
fn events_at_a_rate_that_are_dropped_are_counted_and_make_no_other_late() {
    let load = ["pubsub", "--subscribers", "2", "--publishers", "2", "--rate", "500"];
    let complete = report_on(Behaviour::Routes, &load);
    assert_eq!(complete["events_missed"], 0, "{complete}");
    let report = report_on(Behaviour::DropsEvents, &load);
    assert_positive(&report, &["events_missed", "events", "p50_us"]);
}

#[test]
fn mixed_payloads_are_carried_too() {
    // What the peer passes on of a payload is its args, which are empty here.
    let report = report_on(Behaviour::Routes, &["rpc", "--shape", "mixed", "--payload", "256"]);
    assert_eq!((&report["shape"], &report["payload_bytes"]), (&Value::from("mixed"), &Value::from(256)));
    assert_positive(&report, &["calls"]);
}

#[test]
fn churn_counts_joins_of_router_and_floor() {
    let report = report_on(Behaviour::Refuses, &["churn", "--workers", "2", "--with-floor"]);
    assert_positive(&report, &["joins_per_s", "joins", "p50_us", "load_cpu_ns_per_join"]);
    assert_positive(&report["floor"], &["joins_per_s"]);
    assert_positive(&report["ratio"], &["p50_us"]);
}

#[test]
fn connections_reports_memory_of_each_session() {
    let report = report_on(Behaviour::Refuses, &["connections", "--sessions", "20"]);
    assert_eq!((&report["sessions"], &report["joins"]), (&Value::from(20), &Value::from(20)));
    assert!(report["resident_bytes_per_session"].is_number(), "{report}");
    assert_positive(&report, &["p50_us", "joins_per_s"]);
}

#[test]
fn rawsocket_over_a_unix_socket_is_measured() {
    let path = scratch("router.sock");
    peer::start_unix(&path);
    let url = format!("unix:{}", path.display());
    let report = report(&["rpc", "--url", &url, "--serializer", "json"]);
    std::fs::remove_file(path).expect("the socket's file");
    assert_positive(&report, &["calls"]);
    // The router's process is that of all these tests: threads that end take their time with them.
    assert!(report["router_cpu_ns_per_call"].is_number(), "{report}");
}

#[test]
fn nats_is_measured_by_the_same_load() {
    let url = format!("nats://{}", peer::start_nats());
    for load in [
        &["rpc", "--pairs", "2", "--window", "3"][..],
        &["rpc", "--rate", "500"],
        &["pubsub", "--subscribers", "3", "--window", "2"],
        &["pubsub", "--subscribers", "3", "--rate", "500"],
        &["churn", "--workers", "2"],
        &["connections", "--sessions", "5"],
    ] {
        let report = report(&[load, &["--url", &url]].concat());
        assert_eq!((&report["transport"], &report["serializer"]), (&Value::from("nats"), &Value::Null));
        assert_positive(&report, &["p50_us"]);
    }
}

#[test]
fn environment_names_the_router_and_a_flag_beats_it() {
    let address = peer::start(Behaviour::Routes);
    let run = |flags: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_bondy-bench"))
            .args([&["rpc"], flags, &TINY].concat())
            .env("BONDY_URL", format!("rs://{address}"))
            .env("BONDY_SERIALIZER", "json")
            .output()
            .expect("the program starts")
    };
    assert!(run(&[]).status.success());
    assert_eq!(run(&["--url", "http://127.0.0.1:1"]).status.code(), Some(2));
}

#[test]
fn saved_result_stands_beside_the_new_one() {
    let file = scratch("saved.json");
    let before = report_on(Behaviour::Routes, &["rpc"]);
    std::fs::write(&file, before.to_string()).expect("a file");
    let name = file.to_str().expect("a name");
    let now = report_on(Behaviour::Routes, &["rpc", "--window", "2", "--compare", name]);
    let compared = &now["compared"];
    assert_eq!(compared["saved"]["p50_us"], before["p50_us"]);
    assert_positive(&compared["ratio"], &["p50_us", "calls_per_s"]);
    assert_eq!(compared["differs"]["window"]["saved"], 1);

    let url = format!("rs://{}", peer::start(Behaviour::Routes));
    let text = ["--url", &url, "--serializer", "json", "--duration", "100ms", "--quick", "--rounds", "1"];
    let table = run(&[&["rpc", "--compare", name], &text[..]].concat());
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("now/saved") && table.contains(name), "{table}");
    std::fs::remove_file(file).expect("the file");
}

#[test]
fn table_names_router_load_and_every_figure() {
    let url = format!("rs://{}", peer::start(Behaviour::Routes));
    let text = ["--url", &url, "--serializer", "json", "--duration", "100ms", "--quick", "--rounds", "1"];
    let output = run(&[&["rpc", "--with-floor"], &text[..]].concat());
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        &url,
        "blind forwarder",
        "router/floor",
        "p999_us",
        "router_cpu_ns_per_message",
        "load_cpu_ns_per_call",
    ] {
        assert!(table.contains(part), "{part} in {table}");
    }
}

#[test]
fn reader_that_has_seen_enough_is_no_failure() {
    use std::io::Read;
    let mut child = Command::new(env!("CARGO_BIN_EXE_bondy-bench"))
        .args(["floor", "--quick", "--rounds", "1", "--duration", "20ms", "--subscribers", "3"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut first = [0; 1];
    child.stdout.take().expect("its output").read_exact(&mut first).expect("something");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn help_of_every_benchmark_has_examples() {
    for name in ["rpc", "pubsub", "connections", "churn", "floor", "all"] {
        let output = run(&[name, "--help"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(&format!("bondy bench {name}")), "{text}");
    }
}

/// A saved result that is none.
fn write_scratch(name: &str, text: &str) -> PathBuf {
    let file = scratch(name);
    std::fs::write(&file, text).expect("a file");
    file
}

fn as_text(path: &Path) -> &str {
    path.to_str().expect("a name in UTF-8")
}
