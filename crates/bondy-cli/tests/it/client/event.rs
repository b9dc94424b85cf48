//! `bondy publish` and `bondy subscribe`.

use serde_json::json;

use crate::folder::Folder;
use crate::process::Bondy;
use crate::shell::{Job, Shell, command, run};

/// Subscribes in the background.
#[track_caller]
fn subscribe(shell: &Shell, arguments: &[&str]) -> Job {
    let mut job = shell.start(&[&["subscribe"], arguments].concat());
    job.wait_for_message("subscribed");
    job
}

#[test]
fn events_are_shown_one_a_line_until_there_were_enough() {
    let shell = Shell::new();
    let forms = ["table", "raw", "json", "ndjson"];
    let jobs = forms.map(|form| subscribe(&shell, &["com.example.tick", "--count", "2", "--output", form]));
    let publish = [
        "publish",
        "com.example.tick",
        "n{{count}}",
        "[1]",
        "-k",
        "a=x",
        "--count",
        "2",
        "--output",
        "ndjson",
    ];
    let published = shell.run(&publish).assert_code(0).json_lines();
    let [table, raw, json, ndjson] = jobs.map(|job| job.end().assert_code(0).stdout);
    assert_eq!(table, "com.example.tick  \"n1\" [1] a=\"x\"\ncom.example.tick  \"n2\" [1] a=\"x\"\n");
    assert_eq!(raw, "n1\n[1]\nn2\n[1]\n");
    let expected: String = published
        .iter()
        .zip(["n1", "n2"])
        .map(|(published, text)| {
            let publication = &published["publication"];
            format!(
                r#"{{"topic":"com.example.tick","publication":{publication},"args":["{text}",[1]],"kwargs":{{"a":"x"}},"details":{{}}}}"#
            ) + "\n"
        })
        .collect();
    assert_eq!(ndjson, expected);
    assert_eq!(json, expected);
}

#[test]
fn a_publication_says_its_id_where_it_is_acknowledged() {
    let shell = Shell::new();
    let publish = |arguments: &[&str]| {
        shell.run(&[&["publish", "com.example.topic"], arguments].concat()).assert_code(0)
    };
    assert!(publish(&["--output", "json"]).json()["publication"].is_u64());
    assert!(publish(&["--output", "raw"]).stdout.trim_end().parse::<u64>().is_ok());
    assert!(publish(&[]).stdout.starts_with("published "));
    assert_eq!(publish(&["--no-acknowledge"]).stdout, "");
    assert_eq!(publish(&["--no-acknowledge", "--output", "json"]).json(), json!({"publication": null}));
    let refused = shell.run(&["publish", "wamp.session.on_join", "--output", "json"]).assert_code(1);
    assert!(refused.json()["error"].as_str().expect("a URI").starts_with("wamp.error."));
}

#[test]
fn an_unacknowledged_event_is_sent_before_the_command_ends() {
    let shell = Shell::new();
    let job = subscribe(&shell, &["com.example.topic", "--count", "100", "--output", "raw"]);
    let publish = ["publish", "com.example.topic", "{{count}}", "--count", "100", "--no-acknowledge"];
    shell.run(&publish).assert_code(0);
    assert_eq!(job.end().assert_code(0).stdout.lines().count(), 100);
}

#[test]
fn patterns_and_several_topics_say_which_topic_it_was() {
    let shell = Shell::new();
    let prefix =
        subscribe(&shell, &["com.example.", "--match", "prefix", "--count", "2", "--output", "ndjson"]);
    let wildcard =
        subscribe(&shell, &["com..b", "-o", "match=wildcard", "--count", "1", "--output", "ndjson"]);
    let several =
        subscribe(&shell, &["com.example.a", "com.example.b", "--count", "2", "--output", "ndjson"]);
    shell.run(&["publish", "com.example.a", "1"]).assert_code(0);
    shell.run(&["publish", "com.example.b", "2"]).assert_code(0);
    for (job, topics) in [
        (prefix, &["com.example.a", "com.example.b"][..]),
        (wildcard, &["com.example.b"]),
        (several, &["com.example.a", "com.example.b"]),
    ] {
        let seen: Vec<String> = job
            .end()
            .json_lines()
            .iter()
            .map(|line| line["topic"].as_str().expect("a topic").to_owned())
            .collect();
        assert_eq!(seen, topics);
    }
}

#[test]
fn retained_events_are_shown_where_they_were_asked_for() {
    let shell = Shell::new();
    shell.run(&["publish", "com.example.state", "21.5", "--retain"]).assert_code(0);
    let job =
        subscribe(&shell, &["com.example.state", "--get-retained", "--count", "1", "--output", "ndjson"]);
    let events = job.end().assert_code(0).json_lines();
    assert_eq!((&events[0]["args"], &events[0]["details"]["retained"]), (&json!([21.5]), &json!(true)));
}

#[test]
fn a_publisher_is_disclosed_under_the_names_of_the_specification() {
    let shell = Shell::new();
    let job = subscribe(&shell, &["com.example.topic", "--count", "1", "--output", "ndjson"]);
    shell.run(&["publish", "com.example.topic", "-o", "disclose_me=true", "-o", "x_mine=[1]"]).assert_code(0);
    let details = job.end().json_lines()[0]["details"].clone();
    assert!(details["publisher"].is_u64(), "{details}");
    assert_eq!(details["publisher_authrole"], "anonymous");
    assert_eq!(details["x_mine"], json!([1]));
}

#[test]
fn an_interrupted_subscription_says_goodbye_and_ends_with_0() {
    let shell = Shell::new();
    let leaves = subscribe(&shell, &["wamp.session.on_leave", "--count", "1", "--output", "ndjson"]);
    let job = subscribe(&shell, &["com.example.topic"]);
    assert_eq!(job.interrupt().assert_code(0).stderr, "subscribed");
    leaves.end().assert_code(0);
}

#[test]
fn an_interrupt_before_the_session_is_there_ends_with_0_too() {
    let shell = Shell::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/ws", silent.local_addr().expect("an address"));
    for arguments in [&["subscribe", "com.example.topic"][..], &["register", "com.example.echo", "--echo"]] {
        let job = shell.start(&[arguments, &["--url", &url]].concat());
        // It has connected, and waits for an answer.
        let _connection = silent.accept().expect("a connection");
        job.interrupt().assert_code(0);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let shell = Shell::new();
    let mut job = subscribe(&shell, &["com.example.topic", "--output", "raw"]);
    shell.run(&["publish", "com.example.topic", "1"]).assert_code(0);
    assert_eq!(job.next_line(), "1");
    // No further event is needed to notice.
    job.close_stdout();
    assert_eq!(job.end().assert_code(0).stderr, "subscribed");
}

#[test]
fn options_that_mean_nothing_to_a_subscription_are_named() {
    let shell = Shell::new();
    let ran = shell.run(&["subscribe", "x", "-o", "matsch=prefix"]).assert_code(2);
    assert!(ran.stderr.contains("-o matsch: unknown option"), "{}", ran.stderr);
}

/// A node on this port, in a folder of its own.
fn node_on(port: u16) -> Bondy {
    let yaml = format!("listeners: {{public: {{bind: '127.0.0.1:{port}', serve: [websocket]}}}}");
    Bondy::start_in(Folder::new(), &yaml)
}

#[test]
fn a_subscription_outlives_its_router_and_says_so_unless_it_must_not() {
    let mut node = node_on(0);
    let address = node.address("public");
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let url = format!("ws://{address}/ws");
    let folder = Folder::new();
    let subscribe = ["subscribe", "com.example.topic", "--count", "1", "--output", "raw", "--url", &url];
    let mut stays = Job::start(command(&folder.0, &subscribe));
    let mut ends = Job::start(command(&folder.0, &[&subscribe[..], &["--no-reconnect"]].concat()));
    let mut callee =
        Job::start(command(&folder.0, &["register", "com.example.echo", "--echo", "--url", &url]));
    stays.wait_for_message("subscribed");
    ends.wait_for_message("subscribed");
    callee.wait_for_message("registered");
    node.signal("KILL");
    node.wait_for_exit(std::time::Duration::from_secs(10));
    let ended = ends.end().assert_code(3);
    assert!(ended.stderr.contains("error: "), "{}", ended.stderr);
    stays.wait_for_message("disconnected: ");
    let _again = node_on(port);
    stays.wait_for_message("connected again");
    stays.wait_for_message("subscribed again");
    callee.wait_for_message("registered again");
    run(command(&folder.0, &["publish", "com.example.topic", "here", "--url", &url]), "").assert_code(0);
    assert_eq!(stays.end().assert_code(0).stdout, "here\n");
}

#[test]
fn a_subscriber_that_was_killed_stays_away_and_ends_with_3() {
    let shell = Shell::new();
    let mut job = subscribe(&shell, &["com.example.topic"]);
    shell.run(&["call", "wamp.session.kill_all", "-k", "reason=com.example.error.banned"]).assert_code(0);
    job.wait_for_message("error: ");
    let ran = job.end().assert_code(3);
    assert!(ran.stderr.contains("com.example.error.banned"), "{}", ran.stderr);
}

#[test]
fn a_router_that_does_not_answer_keeps_nobody_from_ending() {
    let shell = Shell::new();
    let subscriber = subscribe(&shell, &["com.example.topic"]);
    let callee = shell.register(&["com.example.echo", "--echo"]);
    shell.node.signal("STOP");
    subscriber.interrupt().assert_code(0);
    callee.interrupt().assert_code(0);
}

#[test]
fn a_topic_that_is_named_twice_shows_each_event_once() {
    let shell = Shell::new();
    let mut job = subscribe(&shell, &["com.example.topic", "com.example.topic", "com.example.end"]);
    shell.run(&["publish", "com.example.topic", "1"]).assert_code(0);
    shell.run(&["publish", "com.example.end"]).assert_code(0);
    assert_eq!(job.next_line(), "com.example.topic  1");
    assert_eq!(job.next_line(), "com.example.end");
}
