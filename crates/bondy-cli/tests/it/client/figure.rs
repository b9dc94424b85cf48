//! `bondy ping`, `bondy latency` and `bondy top`: figures.

use serde_json::Value;

use crate::shell::{Ran, Shell};

const TIMES: [&str; 6] = ["min_us", "mean_us", "p50_us", "p90_us", "p99_us", "max_us"];

#[track_caller]
fn assert_times(ran: &Ran) -> Value {
    let json = ran.json();
    let times: Vec<f64> = TIMES.iter().map(|name| json[name].as_f64().unwrap_or(-1.0)).collect();
    assert!(times.iter().all(|time| *time > 0.0) && times[0] <= times[2] && times[2] <= times[5], "{json}");
    json
}

#[test]
fn a_ping_is_a_round_trip_to_the_router() {
    let shell = Shell::new();
    let json = assert_times(
        &shell.run(&["ping", "--count", "3", "--interval", "1ms", "--output", "json"]).assert_code(0),
    );
    assert_eq!((&json["count"], &json["answered"]), (&3.into(), &3.into()));
    let lines =
        shell.run(&["ping", "--count", "2", "--interval", "1ms", "--output", "ndjson"]).assert_code(0);
    let numbers: Vec<Value> = lines.json_lines().iter().map(|line| line["number"].clone()).collect();
    assert_eq!(numbers, [1, 2]);
    let table = shell.run(&["ping", "--count", "1"]).assert_code(0).stdout;
    assert!(table.starts_with("1: ") && table.contains("1 of 1 answered"), "{table}");
}

#[test]
fn latency_is_that_of_calls_through_the_router() {
    let shell = Shell::new();
    let latency = ["latency", "--duration", "200ms", "--output", "json"];
    let json = assert_times(&shell.run(&latency).assert_code(0));
    assert!(json["calls"].as_u64() > Some(0) && json["calls_per_s"].as_f64() > Some(0.0), "{json}");
    let json = assert_times(
        &shell.run(&[&latency[..], &["--rate", "50", "--payload", "1000"]].concat()).assert_code(0),
    );
    assert_eq!((&json["calls"], &json["payload_bytes"]), (&10.into(), &1000.into()));
    let json = assert_times(&shell.run(&["latency", "--count", "3", "--output", "json"]).assert_code(0));
    assert_eq!(json["calls"], 3);
    // More than any machine can do: what was not made in time is missed, and does not make it longer.
    let json = shell.run(&[&latency[..], &["--rate", "10000000"]].concat()).assert_code(0).json();
    assert!(json["missed"].as_u64() > Some(0), "{json}");
    let _echo = shell.register(&["com.example.echo", "--echo"]);
    assert_times(&shell.run(&[&latency[..], &["--procedure", "com.example.echo"]].concat()).assert_code(0));
    let ran = shell.run(&[&latency[..], &["--procedure", "com.example.nobody"]].concat()).assert_code(1);
    assert!(ran.stderr.contains("no_such_procedure"), "{}", ran.stderr);
}

#[test]
fn top_shows_sessions_procedures_and_topics() {
    let shell = Shell::new();
    let _callee = shell.register(&["com.example.echo", "--echo"]);
    let mut subscriber = shell.start(&["subscribe", "com.example.topic"]);
    subscriber.wait_for_message("subscribed");
    shell.run(&["call", "com.example.echo", "--repeat", "5"]).assert_code(0);
    shell.run(&["publish", "com.example.topic"]).assert_code(0);
    let top = ["top", "--once", "--interval", "100ms"];
    let json = shell.run(&[&top[..], &["--output", "json"]].concat()).assert_code(0).json();
    assert_eq!((&json["sessions"], &json["procedures"], &json["topics"]), (&3.into(), &1.into(), &1.into()));
    let (procedure, topic) = (&json["procedure_list"][0], &json["topic_list"][0]);
    assert_eq!((&procedure["uri"], &procedure["invocations"]), (&"com.example.echo".into(), &5.into()));
    assert_eq!(
        (&topic["uri"], &topic["events"], &topic["subscribers"]),
        (&"com.example.topic".into(), &1.into(), &1.into())
    );
    assert!(json["messages_received_per_s"].is_number(), "{json}");
    let text = shell.run(&top).assert_code(0).stdout;
    for part in [
        "realm1: 3 sessions, 1 procedure, 1 topic; in/s ",
        "SESSION",
        "this bondy top",
        "com.example.echo",
        "com.example.topic",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn top_goes_on_in_a_pipe_until_nobody_reads() {
    let shell = Shell::new();
    let mut top = shell.start(&["top", "--interval", "50ms", "--output", "ndjson"]);
    for _ in 0..2 {
        let line: Value = serde_json::from_str(&top.next_line()).expect("JSON");
        assert_eq!(line["sessions"], 1);
    }
    top.close_stdout();
    top.end().assert_code(0);
}
