//! Every floor and every load runs, tiny: nothing here asserts a time.

use serde_json::Value;
use std::process::Command;

fn bench(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_bondy-bench"))
        .args(arguments)
        .args(["--quick", "--rounds", "1", "--duration", "20ms", "--output", "json"])
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[test]
fn every_floor_moves_messages() {
    let report = bench(&["floor", "--subscribers", "5", "--window", "4"]);
    let figures = report["figures"].as_array().expect("figures");
    assert_eq!(figures.len(), 9);
    for figure in figures {
        let floor = &figure["floor"];
        let count = ["copy_ns", "calls_per_s", "events_per_s"].iter().find_map(|name| floor[name].as_f64());
        assert!(count.expect("a number") > 0.0, "{figure}");
    }
}

#[test]
fn router_that_is_not_there_is_an_error_that_names_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_bondy-bench"))
        .args(["rpc", "--quick", "--no-floor", "--router-command", "/nonexistent/router"])
        .output()
        .expect("the program starts");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/router"));
}
