//! `bondy bench`: that the benchmarks run as part of this program, which is its own worker.

use std::path::PathBuf;

use crate::folder::Folder;
use crate::peer::wait_for;
use crate::shell::{Job, Shell, command};

#[test]
fn a_benchmark_runs_with_workers_of_this_program_and_speaks_json() {
    let shell = Shell::new();
    let bench = ["bench", "rpc", "--quick", "--output", "json"];
    let json = shell.run(&bench).assert_code(0).json();
    assert!(json["calls_per_s"].as_f64() > Some(0.0) && json["p50_us"].as_f64() > Some(0.0), "{json}");
}

#[test]
fn a_context_says_where_to_measure() {
    let shell = Shell::new();
    let add = ["context", "add", "nowhere", "--url", "rs://127.0.0.1:1"];
    shell.run(&add).assert_code(0);
    let mut bench =
        crate::shell::command(&shell.folder.0, &["bench", "churn", "--quick", "--context", "nowhere"]);
    bench.env_remove("BONDY_URL");
    let ran = crate::shell::run(bench, "").assert_code(3);
    assert!(ran.stderr.contains("127.0.0.1:1"), "{}", ran.stderr);
    let ran = shell.run(&["bench", "churn", "--quick", "--context", "nothing"]).assert_code(2);
    assert!(ran.stderr.contains("known are nowhere"), "{}", ran.stderr);
}

/// The router that a process has started.
#[cfg(target_os = "linux")]
fn router_of(parent: u32) -> Option<PathBuf> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let folders = children.split_whitespace().map(|child| PathBuf::from(format!("/proc/{child}")));
    let is_router = |folder: &PathBuf| {
        let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        // Only when it has become the router.
        line.split(|octet| *octet == 0).nth(1) == Some(b"start")
    };
    folders.into_iter().find(is_router)
}

#[test]
#[cfg(target_os = "linux")]
fn a_router_that_a_benchmark_has_started_ends_with_it_however_it_ends() {
    for signal in ["INT", "KILL"] {
        let folder = Folder::new();
        let bench = Job::start(command(&folder.0, &["bench", "rpc", "--start", "--duration", "60s"]));
        let mut router = None;
        wait_for("a router", || {
            router = router_of(bench.pid());
            router.is_some()
        });
        bench.signal(signal);
        let router = router.expect("a router");
        wait_for("its end", || std::fs::read(router.join("cmdline")).unwrap_or_default().is_empty());
    }
}

#[test]
fn a_realm_that_is_not_there_and_a_router_that_is_not_are_told_apart() {
    let shell = Shell::new();
    let bench = |arguments: &[&str]| {
        shell.run(&[&["bench", "rpc", "--quick"], arguments].concat()).assert_code(3).stderr
    };
    let refused = bench(&["--realm", "com.example.gone"]);
    assert!(refused.contains("the router refused: wamp.error.no_such_realm (there is no realm"), "{refused}");
    assert!(refused.contains("--realm chooses another") && !refused.contains("--start"), "{refused}");
    let absent = bench(&["--url", "ws://127.0.0.1:1/ws"]);
    assert!(absent.contains("\n  help: is a router running there?"), "{absent}");
    let wrong = bench(&["--url", &shell.url().replace("ws://", "rs://").replace("/ws", "")]);
    assert!(wrong.contains("is this a WebSocket port"), "{wrong}");
}
