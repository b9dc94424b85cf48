//! `bondy register`: what calls are answered with.

use serde_json::json;

use crate::shell::Shell;

#[test]
fn a_fixed_result_is_json_where_it_parses_as_json() {
    let shell = Shell::new();
    let _json = shell.register(&["com.example.json", "--result", r#"{"version": [1, 2]}"#]);
    let _text = shell.register(&["com.example.text", "--result", "-5 degrees"]);
    let result = |procedure: &str| {
        shell.run(&["call", procedure, "--output", "json"]).assert_code(0).json()["args"].clone()
    };
    assert_eq!(result("com.example.json"), json!([{"version": [1, 2]}]));
    assert_eq!(result("com.example.text"), json!(["-5 degrees"]));
}

#[test]
fn a_command_finds_the_call_on_standard_input_and_prints_the_result() {
    let shell = Shell::new();
    let _callee = shell.register(&["com.example.", "--match", "prefix", "--exec", "cat"]);
    let call = [
        "call",
        "com.example.x",
        "1",
        "-k",
        "a=b",
        "-o",
        "disclose_me=true",
        "-o",
        "x_mine=2",
        "--output",
        "json",
    ];
    let seen = shell.run(&call).assert_code(0).json()["args"][0].clone();
    assert_eq!(
        (&seen["procedure"], &seen["args"], &seen["kwargs"]),
        (&json!("com.example.x"), &json!([1]), &json!({"a": "b"}))
    );
    let details = &seen["details"];
    assert!(details["caller"].is_u64(), "{details}");
    assert_eq!((&details["caller_authrole"], &details["x_mine"]), (&json!("anonymous"), &json!(2)));
}

#[test]
fn a_command_that_fails_is_an_error_with_its_exit_code_and_what_it_complained_about() {
    let shell = Shell::new();
    let mut callee = shell.register(&["com.example.fails", "--exec", "echo oops >&2; exit 3"]);
    let ran = shell.run(&["call", "com.example.fails", "--output", "json"]).assert_code(1);
    let expected = json!({
        "error": "bondy.error.exec_failed",
        "args": ["the command exited with 3"],
        "kwargs": {"exit_code": 3, "stderr": "oops\n"},
    });
    assert_eq!(ran.json(), expected);
    let line = r#"error: bondy.error.exec_failed: the command exited with 3 (exit_code=3 stderr="oops\n")"#;
    assert_eq!(ran.stderr, format!("{line}\n"));
    callee.wait_for_message("error: com.example.fails: the command exited with 3");
}

#[test]
fn a_thousand_calls_at_once_are_served_by_a_command() {
    let shell = Shell::new();
    let callee =
        shell.register(&["com.example.work", "--exec", r#"read -r line; echo "$line""#, "--count", "1000"]);
    let call = [
        "call",
        "com.example.work",
        "{{count}}",
        "--repeat",
        "1000",
        "--parallel",
        "64",
        "--output",
        "ndjson",
    ];
    let ran = shell.run(&call).assert_code(0);
    let number = |line: &serde_json::Value| line["args"][0]["args"][0].as_u64().expect("a number");
    let mut numbers: Vec<u64> = ran.json_lines().iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=1000).collect::<Vec<u64>>());
    assert_eq!(callee.end().assert_code(0).stderr, "registered");
}

#[test]
fn the_last_call_is_answered_before_the_command_ends() {
    let shell = Shell::new();
    for _ in 0..20 {
        let callee = shell.register(&["com.example.once", "--echo", "--count", "1"]);
        assert_eq!(shell.run(&["call", "com.example.once", "x"]).assert_code(0).stdout, "x\n");
        callee.end().assert_code(0);
    }
}

#[test]
fn a_procedure_that_is_taken_ends_with_1_and_a_shared_one_does_not() {
    let shell = Shell::new();
    let _first = shell.register(&["com.example.taken", "--echo"]);
    let ran = shell.run(&["register", "com.example.taken", "--echo"]).assert_code(1);
    assert!(ran.stderr.starts_with("error: wamp.error.procedure_already_exists"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--invoke roundrobin"), "{}", ran.stderr);
    let _shared = ["a", "b"]
        .map(|name| shell.register(&["com.example.shared", "--invoke", "roundrobin", "--result", name]));
    let answers = [(); 2].map(|()| shell.run(&["call", "com.example.shared"]).assert_code(0).stdout);
    assert_ne!(answers[0], answers[1]);
}

#[test]
fn no_more_calls_are_answered_at_once_than_the_concurrency() {
    let shell = Shell::new();
    let command = "echo '{\"progress\": 1}'; exec sleep 1000";
    let _callee = shell.register(&["com.example.slow", "--exec", command, "--concurrency", "1"]);
    let mut first = shell.start(&["call", "com.example.slow", "--progress"]);
    assert_eq!(first.next_line(), "1");
    let second = shell.run(&["call", "com.example.slow"]).assert_code(1);
    assert!(second.stderr.starts_with("error: wamp.error.unavailable"), "{}", second.stderr);
}

#[test]
fn an_interrupted_registration_says_goodbye_and_ends_with_0() {
    let shell = Shell::new();
    for signal in ["INT", "TERM"] {
        let callee = shell.register(&["com.example.echo", "--echo"]);
        callee.signal(signal);
        assert_eq!(callee.end().assert_code(0).stderr, "registered");
        let ran = shell.run(&["call", "com.example.echo"]).assert_code(1);
        assert!(ran.stderr.contains("no_such_procedure"), "{}", ran.stderr);
    }
}

#[test]
fn a_command_does_not_inherit_the_secret() {
    let shell = Shell::new();
    let command = r#"echo "secret: $BONDY_SECRET.""#;
    let mut register = shell.command(&["register", "com.example.tell", "--exec", command]);
    register.env("BONDY_SECRET", "hush").env("BONDY_AUTHMETHOD", "anonymous");
    let mut callee = crate::shell::Job::start(register);
    callee.wait_for_message("registered");
    assert_eq!(shell.run(&["call", "com.example.tell"]).assert_code(0).stdout, "secret: .\n");
}
