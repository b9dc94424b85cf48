//! `bondy call`: results in every form, errors, exit codes, repetition.

use serde_json::{Value, json};

use crate::shell::{Shell, command, run};

#[test]
fn a_result_is_shown_in_the_form_that_was_asked_for() {
    let shell = Shell::new();
    let _echo = shell.register(&["com.example.echo", "--echo"]);
    let call = [
        "call",
        "com.example.echo",
        "Hello, world!",
        "7",
        r#"{"a":[1,2.5,null]}"#,
        "-k",
        "k=true",
        "-k",
        "t=x=y",
    ];
    let shown = |output: &str| shell.run(&[&call[..], &["--output", output]].concat()).assert_code(0).stdout;
    let table = "Hello, world!\n7\n{\n  \"a\": [\n    1,\n    2.5,\n    null\n  ]\n}\nk: true\nt: x=y\n";
    assert_eq!(shell.run(&call).assert_code(0).stdout, table);
    assert_eq!(shown("table"), table);
    assert_eq!(shown("raw"), "Hello, world!\n7\n{\"a\":[1,2.5,null]}\n");
    let json = r#"{"args":["Hello, world!",7,{"a":[1,2.5,null]}],"kwargs":{"k":true,"t":"x=y"}}"#;
    assert_eq!(shown("json"), format!("{json}\n"));
    assert_eq!(shown("ndjson"), format!("{json}\n"));
    assert_eq!(shell.run(&["call", "com.example.echo"]).assert_code(0).stdout, "");
}

#[test]
fn every_transport_and_serializer_carries_the_same() {
    let shell = Shell::new();
    let _echo = shell.register(&["com.example.echo", "--echo", "--serializer", "cbor"]);
    let socket = format!("unix:{}", shell.node.folder.path("bondy.sock").display());
    let tcp = format!("rs://{}", shell.node.address("tcp"));
    let arguments = [r#"[1,-1,1.5,true,null,"text",{"deep":[[]]},18446744073709551615]"#, r#""\u0000AP8=""#];
    for url in [shell.url(), tcp, socket] {
        for serializer in ["json", "msgpack", "cbor"] {
            let call = ["call", "com.example.echo", arguments[0], arguments[1], "--output", "json"];
            let ran =
                shell.run(&[&call[..], &["--url", &url, "--serializer", serializer]].concat()).assert_code(0);
            let sent: Vec<Value> =
                arguments.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
            assert_eq!(ran.json(), json!({"args": sent, "kwargs": {}}), "{url} {serializer}");
        }
    }
}

#[test]
fn binary_is_its_octets_in_raw_output() {
    let shell = Shell::new();
    let _echo = shell.register(&["com.example.echo", "--echo"]);
    let mut raw = shell.command(&["call", "com.example.echo", r#""\u0000aGVsbG8=""#, "--output", "raw"]);
    assert_eq!(raw.output().expect("it runs").stdout, b"hello");
}

#[test]
fn an_error_says_its_uri_and_ends_with_1() {
    let shell = Shell::new();
    let ran = shell.run(&["call", "com.example.nobody"]).assert_code(1);
    assert_eq!(ran.stdout, "");
    let first = ran.stderr.lines().next();
    let expected = "error: wamp.error.no_such_procedure: no callee has registered \"com.example.nobody\"";
    assert_eq!(first, Some(expected));
    assert!(ran.stderr.contains("\n  help: "), "{}", ran.stderr);
    for output in ["json", "ndjson"] {
        let ran = shell.run(&["call", "com.example.nobody", "--output", output]).assert_code(1);
        assert_eq!(ran.json()["error"], "wamp.error.no_such_procedure");
        assert!(ran.json()["args"].is_array() && ran.json()["kwargs"].is_object());
        assert!(ran.stderr.starts_with(expected), "{}", ran.stderr);
    }
}

#[test]
fn progressive_results_are_shown_where_they_were_asked_for() {
    let shell = Shell::new();
    let command = r#"echo '{"progress": 1}'; echo '{"progress": {"kwargs": {"n": 2}}}'; echo done"#;
    let _callee = shell.register(&["com.example.count", "--exec", command]);
    let call = ["call", "com.example.count", "--progress", "--output"];
    let shown = |output: &str| shell.run(&[&call[..], &[output]].concat()).assert_code(0);
    let all = [
        json!({"args": [1], "kwargs": {}}),
        json!({"args": [], "kwargs": {"n": 2}}),
        json!({"args": ["done"], "kwargs": {}}),
    ];
    assert_eq!(shown("ndjson").json_lines(), all);
    assert_eq!(shown("json").json(), all[2]);
    assert_eq!(shown("table").stdout, "1\nn: 2\ndone\n");
    let without = shell.run(&["call", "com.example.count", "--output", "ndjson"]).assert_code(0);
    assert_eq!(without.json_lines(), all[2..]);
}

#[test]
fn progress_that_comes_fast_is_shown_whole() {
    let shell = Shell::new();
    let command = r#"i=0; while [ $i -lt 5000 ]; do echo "{\"progress\":$i}"; i=$((i+1)); done"#;
    let _callee = shell.register(&["com.example.many", "--exec", command]);
    let ran = shell.run(&["call", "com.example.many", "--progress", "--output", "raw"]);
    let expected: String = (0..5000).map(|number| format!("{number}\n")).collect();
    let count = ran.stdout.lines().count();
    assert!((ran.code, &ran.stdout) == (Some(0), &expected), "{count} lines, {}", ran.stderr);
}

#[test]
fn a_call_that_takes_too_long_ends_with_1() {
    let shell = Shell::new();
    let _callee = shell.register(&["com.example.slow", "--exec", "exec sleep 1000"]);
    let ran =
        shell.run(&["call", "com.example.slow", "--timeout", "200ms", "--output", "json"]).assert_code(1);
    assert_eq!(ran.json()["error"], "wamp.error.timeout");
}

#[test]
fn arguments_come_from_files_and_standard_input_too() {
    let shell = Shell::new();
    let _echo = shell.register(&["com.example.echo", "--echo"]);
    let input = r#"{"args": [1, "n{{count}}"], "kwargs": {"a": 1, "b": 2}}"#;
    shell.folder.write("in.json", input);
    let call = ["call", "com.example.echo", "last", "-k", "b=3", "--output", "json", "--args-file"];
    let expected = json!({"args": [1, "n1", "last"], "kwargs": {"a": 1, "b": 3}});
    assert_eq!(shell.run(&[&call[..], &["in.json"]].concat()).assert_code(0).json(), expected);
    assert_eq!(run(shell.command(&[&call[..], &["-"]].concat()), input).assert_code(0).json(), expected);
    let plain = shell.run(&[&call[..], &["in.json", "--no-template"]].concat()).assert_code(0);
    assert_eq!(plain.json()["args"][1], "n{{count}}");
    for (text, place) in [("{\n  \"args\": x}", "bad.json:2:11: "), ("[1]", "bad.json: expected")] {
        shell.folder.write("bad.json", text);
        let ran = shell.run(&[&call[..], &["bad.json"]].concat()).assert_code(2);
        assert!(ran.stderr.starts_with(&format!("error: {place}")), "{}", ran.stderr);
    }
}

#[test]
fn repeated_calls_are_numbered_and_each_is_made_once() {
    let shell = Shell::new();
    let _echo = shell.register(&["com.example.echo", "--echo"]);
    let call =
        ["call", "com.example.echo", "{{count}}", "--repeat", "200", "--parallel", "8", "--output", "ndjson"];
    let ran = shell.run(&call).assert_code(0);
    let mut numbers: Vec<u64> =
        ran.json_lines().iter().map(|line| line["args"][0].as_u64().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=200).collect::<Vec<u64>>());
    assert!(ran.stderr.starts_with("200 calls, 0 failed, in "), "{}", ran.stderr);
    let ran = shell.run(&["call", "com.example.nobody", "--repeat", "3"]).assert_code(1);
    assert!(ran.stderr.contains("3 calls, 3 failed, in "), "{}", ran.stderr);
}

#[test]
fn what_hinders_a_connection_is_said_with_what_to_do_and_ends_with_3() {
    let shell = Shell::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let ran = shell.run(&["call", "x", "--url", &format!("ws://{closed}/ws")]).assert_code(3);
    assert!(ran.stderr.contains("refused") && ran.stderr.contains("bondy start --dev"), "{}", ran.stderr);
    let ran = shell.run(&["call", "x", "--realm", "com.example.other"]).assert_code(3);
    assert!(
        ran.stderr.contains("wamp.error.no_such_realm") && ran.stderr.contains("--realm"),
        "{}",
        ran.stderr
    );
    let mut call = shell.command(&["call", "x", "--authmethod", "ticket", "--authid", "joe"]);
    call.env("BONDY_SECRET", "s");
    let ran = run(call, "").assert_code(3);
    assert!(ran.stderr.contains("leave `--authmethod` (BONDY_AUTHMETHOD) out"), "{}", ran.stderr);
    shell.folder.write("key.pem", "no certificate");
    let ran = shell.run(&["ping", "--ca-file", "key.pem"]).assert_code(2);
    assert!(ran.stderr.contains("holds no certificate"), "{}", ran.stderr);
    let ran = shell.run(&["ping", "--url", "unix:./nothing.sock"]).assert_code(3);
    assert!(ran.stderr.contains("there is no such socket"), "{}", ran.stderr);
    // Somebody who listens, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/ws", silent.local_addr().expect("an address"));
    let ran = shell.run(&["call", "x", "--url", &url, "--connect-timeout", "100ms"]).assert_code(3);
    assert!(ran.stderr.contains("100ms"), "{}", ran.stderr);
}

#[test]
fn a_router_that_goes_away_during_a_call_ends_it_with_3() {
    let mut shell = Shell::new();
    let _callee =
        shell.register(&["com.example.slow", "--exec", "echo '{\"progress\": 1}'; exec sleep 1000"]);
    let mut call = shell.start(&["call", "com.example.slow", "--progress"]);
    assert_eq!(call.next_line(), "1");
    shell.node.signal("KILL");
    shell.node.wait_for_exit(std::time::Duration::from_secs(10));
    let ran = call.end().assert_code(3);
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
}

#[test]
fn wrong_usage_ends_with_2_before_anything_is_sent() {
    let shell = Shell::new();
    for (arguments, part) in [
        (&["call", "x", "{{cuont}}"][..], "there is no placeholder `{{cuont}}`"),
        (&["call", "x", "-k", "novalue"], "KEY=VALUE"),
        (&["call", "x", "--url", "http://127.0.0.1"], "ws://"),
        (&["call", "x", "--authid", "a", "--authmethod", "ticket"], "--secret-file"),
        (&["call", "x", "--timeout", "5"], "unit"),
        (&["call", "x", "--args-file", "none.json"], "none.json"),
        (&["call", "x", "--parallel", "0"], "--parallel"),
        (
            &[
                "call",
                "x",
                "--authid",
                "a",
                "--authmethod",
                "ticket",
                "--secret-file",
                "-",
                "--args-file",
                "-",
            ],
            "standard input can be one thing only",
        ),
        (&["call", "x", "-o", "receive_progress=maybe"], "true or false"),
        (&["publish", "x", "--rate", "0"], "above 0"),
        (&["register", "x"], "--exec"),
        (&["register", "x", "--echo", "--result", "1"], "--result"),
        (&["subscribe"], "TOPIC"),
    ] {
        let ran = run(shell.command(arguments), "a line of input\n").assert_code(2);
        assert!(ran.stderr.contains(part), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn an_interrupted_call_ends_with_130_and_its_command_is_killed() {
    let shell = Shell::new();
    let command = "echo '{\"progress\": '$$'}'; exec sleep 1000";
    let _callee = shell.register(&["com.example.slow", "--exec", command]);
    let mut call = shell.start(&["call", "com.example.slow", "--progress", "--output", "raw"]);
    let process = call.next_line();
    call.interrupt().assert_code(130);
    let is_gone = || {
        let state = std::fs::read_to_string(format!("/proc/{process}/stat"));
        state.map_or(true, |state| state.contains(") Z "))
    };
    crate::peer::wait_for("the command to be killed", is_gone);
}

#[test]
fn who_is_not_let_in_hears_what_to_do() {
    let shell = Shell::new();
    for method in ["ticket", "wampcra", "scram", "cryptosign"] {
        let mut call = shell.command(&["call", "x", "--authid", "alice", "--authmethod", method]);
        call.env("BONDY_SECRET", "0".repeat(64));
        let ran = run(call, "").assert_code(3);
        assert!(ran.stderr.contains("wamp.error.no_matching_auth_method"), "{method}: {}", ran.stderr);
        assert!(ran.stderr.contains("--authmethod"), "{method}: {}", ran.stderr);
    }
    let mut call = shell.command(&["call", "x", "--authmethod", "cryptosign"]);
    call.env("BONDY_SECRET", "no key");
    let ran = run(call, "").assert_code(2);
    assert!(ran.stderr.starts_with("error: the private key: "), "{}", ran.stderr);
}

#[test]
fn a_secret_is_not_guessed_about() {
    let shell = Shell::new();
    let mut call = shell.command(&["call", "x"]);
    call.env("BONDY_SECRET", "s");
    let ran = run(call, "").assert_code(2);
    assert!(ran.stderr.contains("--authmethod"), "{}", ran.stderr);
    let ran = run(command(&shell.folder.0, &["call", "x", "--url", &shell.url()]), "").assert_code(1);
    assert!(ran.stderr.contains("no_such_procedure"), "{}", ran.stderr);
}

#[test]
fn a_certificate_is_believed_where_its_authority_is_given_or_everything_is() {
    let folder = crate::folder::Folder::new();
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    folder.write("cert.pem", &issued.cert.pem());
    folder.write("key.pem", &issued.signing_key.serialize_pem());
    let node = crate::process::Bondy::start_in(
        folder,
        "listeners: {secure: {bind: '127.0.0.1:0', serve: [websocket, rawsocket], tls: {cert: cert.pem, key: key.pem}}}",
    );
    let address = node.address("secure");
    let port = address.rsplit_once(':').expect("a port").1;
    for url in [format!("wss://localhost:{port}/ws"), format!("rss://localhost:{port}")] {
        let ping = |arguments: &[&str]| {
            let ping = ["ping", "--count", "1", "--output", "raw", "--url", &url];
            run(command(&node.folder.0, &[&ping[..], arguments].concat()), "")
        };
        ping(&["--insecure"]).assert_code(0);
        ping(&["--ca-file", "cert.pem"]).assert_code(0);
        let ran = ping(&[]).assert_code(3);
        assert!(ran.stderr.to_lowercase().contains("certificate"), "{}", ran.stderr);
        ping(&["--ca-file", "none.pem"]).assert_code(2);
    }
}
