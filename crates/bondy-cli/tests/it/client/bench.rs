//! `bondy bench`: that the benchmarks run as part of this program, which is its own worker.

use crate::shell::Shell;

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
