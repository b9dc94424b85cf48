//! The testkit through its lines of JSON, as another language uses it.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::thread::JoinHandle;

use bondy_testkit::command::{COMMANDS, run};
use serde_json::{Value, json};

/// A testkit on a thread, with the two ends of its lines.
struct Testkit {
    input: Option<PipeWriter>,
    output: BufReader<PipeReader>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    sent: u64,
}

impl Testkit {
    fn start() -> Self {
        let (reader, input) = std::io::pipe().unwrap();
        let (output, writer) = std::io::pipe().unwrap();
        let thread = std::thread::spawn(move || run(BufReader::new(reader), writer));
        Self { input: Some(input), output: BufReader::new(output), thread: Some(thread), sent: 0 }
    }

    /// Writes a line as it is.
    fn write(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Sends a command without waiting for its answer; its id.
    fn send(&mut self, mut command: Value) -> u64 {
        self.sent += 1;
        command["id"] = self.sent.into();
        self.write(&command.to_string());
        self.sent
    }

    fn outcome(&mut self, command: Value) -> Result<Value, String> {
        let id = self.send(command);
        let mut answer = self.read();
        assert_eq!(answer["id"], id);
        match answer.get("error") {
            Some(error) => Err(error.as_str().unwrap().to_owned()),
            None => Ok(answer["ok"].take()),
        }
    }

    #[track_caller]
    fn ok(&mut self, command: Value) -> Value {
        self.outcome(command.clone()).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    #[track_caller]
    fn error(&mut self, command: Value) -> String {
        match self.outcome(command.clone()) {
            Ok(answer) => panic!("{command}: {answer}"),
            Err(error) => error,
        }
    }

    /// Closes the input and waits for the end.
    fn end(mut self) -> std::io::Result<()> {
        drop(self.input.take());
        self.thread.take().unwrap().join().unwrap()
    }
}

#[test]
fn a_test_in_another_language_drives_router_link_and_peers() {
    let mut testkit = Testkit::start();
    assert_eq!(testkit.ok(json!({"do": "version"}))["protocol"], 1);
    let router = testkit.ok(json!({"do": "start"}));
    assert!(router["url"].as_str().unwrap().starts_with("ws://127.0.0.1:"), "{router}");
    let link = testkit.ok(json!({"do": "link"}));
    testkit.ok(json!({"do": "record"}));
    let callee =
        testkit.ok(json!({"do": "peer", "url": router["rawsocket_url"], "serializer": "cbor"}))["peer"]
            .clone();
    let caller = testkit.ok(json!({"do": "peer", "url": link["url"]}))["peer"].clone();
    for peer in [&callee, &caller] {
        assert!(testkit.ok(json!({"do": "join", "peer": peer}))["session"].is_u64());
    }
    testkit.ok(json!({"do": "send", "peer": callee, "message": "REGISTER 1 {} com.example.add"}));
    testkit.ok(json!({"do": "expect", "peer": callee, "message": "REGISTERED 1 reg:add"}));
    let fault = testkit.ok(json!({"do": "fault", "action": "drop", "on": "CALL", "nth": 2}))["fault"].clone();
    for request in 1..=3 {
        let call = json!([48, request, {}, "com.example.add", [request]]);
        testkit.ok(json!({"do": "send", "peer": caller, "message": call}));
        if request != 2 {
            let invocation = json!([68, "*", "*", {}, [request]]);
            let came = testkit.ok(json!({"do": "expect", "peer": callee, "message": invocation}));
            assert_eq!(came["message"][4], json!([request]));
        }
    }
    assert_eq!(testkit.ok(json!({"do": "acted", "fault": fault})), json!({"acted": 1}));
    let counts =
        testkit.ok(json!({"do": "wait", "until": {"to_router.messages": {"at_least": 3}, "open": 1}}));
    assert_eq!(counts["to_router"]["by_type"], json!({"HELLO": 1, "CALL": 2}));
    testkit.ok(json!({"do": "unfault", "fault": fault}));
    testkit.ok(json!({"do": "cut", "ending": "reset"}));
    testkit.ok(json!({"do": "expect_closed", "peer": caller}));
    let recording = testkit.ok(json!({"do": "recording"}));
    assert!(recording["recording"].as_str().unwrap().starts_with("{\"recording\":1}\n"), "{recording}");
    assert!(recording["entries"].as_u64() >= Some(5));
    testkit.ok(json!({"do": "end", "link": 1}));
    testkit.ok(json!({"do": "restart"}));
    testkit.ok(json!({"do": "stop"}));
    let error = testkit.error(json!({"do": "peer"}));
    assert!(error.contains("cannot connect"), "{error}");
    testkit.end().unwrap();
}

#[test]
fn a_fake_router_meets_the_client_while_it_waits() {
    let mut testkit = Testkit::start();
    let fake = testkit.ok(json!({"do": "fake_router"}));
    let accepting = testkit.send(json!({"do": "accept"}));
    let connecting =
        testkit.send(json!({"do": "peer", "url": fake["rawsocket_url"], "serializer": "msgpack"}));
    let mut answers = [testkit.read(), testkit.read()];
    answers.sort_by_key(|answer| answer["id"].as_u64());
    assert_eq!((&answers[0]["id"], &answers[1]["id"]), (&json!(accepting), &json!(connecting)));
    assert_eq!(
        (&answers[0]["ok"]["transport"], &answers[0]["ok"]["serializer"]),
        (&json!("rawsocket"), &json!("msgpack"))
    );
    let (router, client) = (answers[0]["ok"]["peer"].clone(), answers[1]["ok"]["peer"].clone());
    testkit.ok(json!({"do": "play", "peer": client, "script": "> HELLO realm1 {}"}));
    testkit.ok(json!({"do": "play", "peer": router, "script": "< HELLO realm1 {}\n> HEX 00000000"}));
    let error = testkit.error(json!({"do": "receive", "peer": client}));
    assert!(error.contains("broke the framing"), "{error}");
    testkit.ok(json!({"do": "reset", "peer": client}));
    testkit.ok(json!({"do": "expect_closed", "peer": router}));
    assert_eq!(testkit.error(json!({"do": "send", "peer": client, "message": [1]})), "the peer was reset");
    testkit.end().unwrap();
}

#[test]
fn a_recording_is_played_from_a_file_or_from_a_text() {
    let folder = std::env::temp_dir().join(format!("bondy-testkit-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("recording.jsonl");
    let mut testkit = Testkit::start();
    let router = testkit.ok(json!({"do": "start"}));
    testkit.ok(json!({"do": "link"}));
    testkit.ok(json!({"do": "record"}));
    let peer = testkit.ok(json!({"do": "peer", "link": 1}))["peer"].clone();
    testkit.ok(json!({"do": "join", "peer": peer}));
    testkit.ok(json!({"do": "send", "peer": peer, "message": "CALL 1 {} wamp.session.count"}));
    testkit.ok(json!({"do": "expect", "peer": peer, "message": "RESULT 1 {} [1]"}));
    testkit.ok(json!({"do": "close", "peer": peer}));
    testkit.ok(json!({"do": "wait", "until": {"open": 0}}));
    let written = testkit.ok(json!({"do": "recording", "file": file}));
    assert!(written.get("recording").is_none());
    let played = testkit.ok(json!({"do": "replay", "file": file, "url": router["rawsocket_url"]}));
    assert_eq!(played, json!({"sent": 2, "matched": 2, "connections": 1}));
    let text = std::fs::read_to_string(&file).unwrap().replace("[50,1,{},[1]]", "[50,1,{},[2]]");
    let error = testkit.error(json!({"do": "replay", "recording": text}));
    assert!(error.contains("at /3/0: expected 2, found 1"), "{error}");
    testkit.ok(json!({"do": "replay", "recording": text, "ignore": [["RESULT", "/3/0"]]}));
    testkit.end().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn bad_lines_get_an_error_and_change_nothing() {
    let mut testkit = Testkit::start();
    for (line, part) in [
        ("{", "no JSON"),
        ("[]", "a command is an object"),
        ("7", "a command is an object"),
        ("\u{0}", "no JSON"),
    ] {
        testkit.write(line);
        let answer = testkit.read();
        assert_eq!(answer["id"], Value::Null);
        assert!(answer["error"].as_str().unwrap().contains(part), "{answer}");
    }
    testkit.write("");
    let cases = [
        (json!({}), "`do` says what to do"),
        (json!({"do": "dance"}), "`dance` is no command; there are version, start"),
        (json!({"do": "start", "realm": "a"}), "`start` does not know `realm`; it takes realms, set"),
        (json!({"do": "start", "set": {"x": 1}}), "unknown key"),
        (json!({"do": "start", "set": 1}), "`set` of `start` is 1, but an object was expected"),
        (json!({"do": "link"}), "there is no router yet"),
        (json!({"do": "link", "router": 7}), "there is no router 7"),
        (json!({"do": "send"}), "there is no peer yet"),
        (json!({"do": "version", "x": 1}), "takes no fields"),
        (json!({"do": "end"}), "`end` needs `router`"),
        (json!({"do": "peer", "url": "nowhere"}), "`nowhere` is no address"),
        (json!({"do": "peer", "serializer": "xml", "url": ""}), "json, msgpack or cbor"),
        (json!({"do": "replay", "recording": "x"}), "line 1 of the recording"),
        (json!({"do": "replay"}), "either `recording` or `file`"),
    ];
    for (command, part) in cases {
        let error = testkit.error(command.clone());
        assert!(error.contains(part), "{command}: {error}");
    }
    testkit.ok(json!({"do": "start"}));
    testkit.ok(json!({"do": "link"}));
    testkit.ok(json!({"do": "peer"}));
    let cases = [
        (json!({"do": "fault"}), "`fault` needs `action`"),
        (json!({"do": "fault", "action": "explode"}), "`action` is `explode`"),
        (json!({"do": "fault", "action": "delay"}), "`fault` needs `delay_ms`"),
        (json!({"do": "fault", "action": "drop", "on": "CALLS"}), "`CALLS` is no type of message"),
        (json!({"do": "fault", "action": "drop", "direction": "up"}), "to_router or to_client"),
        (json!({"do": "fault", "action": "drop", "chance": 0.5}), "needs a `seed`"),
        (json!({"do": "fault", "action": "drop", "nth": -1}), "a whole number from 0"),
        (json!({"do": "unfault", "fault": 9}), "there is no fault 9"),
        (json!({"do": "wait", "until": {"opened": 1}}), "`opened` is no count"),
        (json!({"do": "wait", "until": {"open": "1"}}), "a number or"),
        (json!({"do": "wait", "until": {"open": 5}, "timeout_ms": 10}), "was not so within 10ms"),
        (json!({"do": "send", "message": "CALLS"}), "no type of message"),
        (json!({"do": "send_bytes", "hex": "0"}), "pairs of hexadecimal digits"),
        (json!({"do": "expect", "message": [2], "timeout_ms": 10}), "nothing came within 10ms"),
        (json!({"do": "cut", "ending": "soft"}), "close or reset"),
    ];
    for (command, part) in cases {
        let error = testkit.error(command.clone());
        assert!(error.contains(part), "{command}: {error}");
    }
    testkit.end().unwrap();
}

#[test]
fn lines_through_a_pipe_are_answered_before_the_end() {
    let mut testkit = Testkit::start();
    testkit.write("{\"id\": \"a\", \"do\": \"start\"}");
    drop(testkit.input.take());
    let answer = testkit.read();
    assert!(answer["id"] == "a" && answer["ok"]["router"] == 1, "{answer}");
    testkit.end().unwrap();
}

#[test]
fn every_command_and_field_is_in_the_reference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/testkit.md");
    let page = std::fs::read_to_string(path).unwrap();
    let reference = page.split("## `bondy testkit`").nth(1).unwrap();
    let rows: Vec<&str> = reference.lines().filter(|line| line.starts_with("| `")).collect();
    for (name, fields) in COMMANDS {
        let row = rows.iter().find(|row| row.starts_with(&format!("| `{name}` ")));
        let row = row.unwrap_or_else(|| panic!("docs/testkit.md has no row for `{name}`"));
        for field in *fields {
            assert!(row.contains(&format!("`{field}`")), "docs/testkit.md: `{name}` without `{field}`");
        }
    }
}
