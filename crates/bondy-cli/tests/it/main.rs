//! The binary, as a shell sees it: output, errors and exit codes.
#![allow(clippy::disallowed_methods, reason = "these tests write files for the binary to read")]
#![allow(clippy::print_stdout, reason = "tests say what they measured and what they skip")]

#[path = "../../../bondy-node/tests/it/authority.rs"]
mod authority;
mod churn;
mod client;
mod fan_out;
#[path = "../../../bondy-transport/tests/it/folder.rs"]
mod folder;
mod half_open;
#[path = "../../../bondy-node/tests/it/openmetrics.rs"]
mod openmetrics;
#[path = "../../../bondy-node/tests/it/peer/mod.rs"]
mod peer;
mod process;
mod shell;
mod signals;
mod slow;

use std::path::Path;
use std::process::{Command, Output};

use folder::Folder;

fn bondy(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bondy"));
    command.args(arguments).current_dir(folder).envs(environment.iter().copied());
    command.output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

const FINE: &str = "listeners: {a: {bind: '127.0.0.1:0', serve: [websocket]}}\n";

#[test]
fn a_fine_configuration_is_said_to_be_so() {
    let folder = Folder::new();
    folder.write("bondy.yaml", FINE);
    for arguments in [&["config", "check"][..], &["config", "check", "bondy.yaml"]] {
        let output = bondy(&folder.0, arguments, &[]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stdout), "bondy.yaml: fine (1 listener, 0 realms)\n");
    }
    let output = bondy(&folder.0, &["config", "check", "--dev"], &[]);
    assert_eq!(text(&output.stdout), "--dev: fine (3 listeners, 1 realm)\n");
}

#[test]
fn every_problem_of_a_configuration_is_on_standard_error_and_the_exit_code_is_2() {
    let folder = Folder::new();
    folder.write("b.yaml", &format!("{FINE}node: {{nam: x}}\n"));
    let expected = "\
error: b.yaml:2:8: node.nam: unknown key
  help: did you mean `name`?
error: environment BONDY__LOG__LEVEL: log.level: expected `off`, `error`, `warn`, `info`, `debug` or `trace`, found the text `x`
error: --set workers: workers: expected a whole number from 0 to 1024, found the text `many`
3 problems in the configuration
";
    for command in
        [&["config", "check", "b.yaml"][..], &["config", "show", "b.yaml"], &["start", "--config", "b.yaml"]]
    {
        let arguments = [command, &["--set", "workers=many"]].concat();
        let output = bondy(&folder.0, &arguments, &[("BONDY__LOG__LEVEL", "x")]);
        assert_eq!(text(&output.stderr), expected);
        assert_eq!(text(&output.stdout), "");
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn start_without_a_file_names_both_ways_out() {
    let folder = Folder::new();
    let output = bondy(&folder.0, &["start"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let expected = "error: no configuration: there is no `bondy.yaml` here\n  \
                    help: give `--config FILE`, or try `--dev`, which needs no file and is for development only\n";
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn the_flags_for_the_log_are_keys_too() {
    let folder = Folder::new();
    let output = bondy(&folder.0, &["start", "--dev", "--log-level", "loud", "--log-format", "xml"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let expected = "\
error: --log-format: log.format: expected `auto`, `text` or `json`, found the text `xml`
error: --log-level: log.level: expected `off`, `error`, `warn`, `info`, `debug` or `trace`, found the text `loud`
2 problems in the configuration
";
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn wrong_usage_has_exit_code_2_and_help_has_examples() {
    let folder = Folder::new();
    for arguments in
        [&["strat"][..], &["start", "--set", "novalue"], &["start", "--port", "1"], &[], &["config"]]
    {
        assert_eq!(bondy(&folder.0, arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
    let commands =
        [&[][..], &["start"], &["config"], &["config", "check"], &["config", "show"], &["config", "schema"]];
    for command in commands {
        let output = bondy(&folder.0, &[command, &["--help"]].concat(), &[]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("Examples:\n  "), "{command:?}");
    }
    let output = bondy(&folder.0, &["--version"], &[]);
    assert_eq!(text(&output.stdout), concat!("bondy ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn the_effective_configuration_reads_back_and_can_say_where_from() {
    let folder = Folder::new();
    let shown =
        bondy(&folder.0, &["config", "show", "--dev", "--set", "listeners.public.bind=127.0.0.1:0"], &[]);
    assert_eq!(shown.status.code(), Some(0));
    folder.write("shown.yaml", text(&shown.stdout));
    let again = bondy(&folder.0, &["config", "show", "shown.yaml"], &[]);
    assert_eq!(text(&again.stdout), text(&shown.stdout));
    let origins =
        bondy(&folder.0, &["config", "show", "--origin", "shown.yaml"], &[("BONDY__NODE__NAME", "n2")]);
    assert!(text(&origins.stdout).contains("  name: n2  # environment BONDY__NODE__NAME\n"));
}

#[test]
fn the_schema_is_json() {
    let folder = Folder::new();
    let output = bondy(&folder.0, &["config", "schema"], &[]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(schema["title"], "Bondy configuration");
}

#[test]
fn a_certificate_that_is_none_is_a_mistake_of_the_configuration() {
    let folder = Folder::new();
    folder.write("cert.pem", "no certificate");
    let text =
        "listeners: {a: {bind: '127.0.0.1:0', serve: [websocket], tls: {cert: cert.pem, key: cert.pem}}}";
    folder.write("bondy.yaml", text);
    let output = bondy(&folder.0, &["start"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let error = std::str::from_utf8(&output.stderr).expect("text");
    assert!(
        error.starts_with("error: the node cannot run: listener `a`: cert.pem holds no certificate"),
        "{error}"
    );
}

#[test]
fn every_address_in_use_is_named_with_the_flag_that_chooses_another() {
    let taken: Vec<_> =
        (0..2).map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    let [admin, tcp] = [0, 1].map(|index: usize| taken[index].local_addr().expect("an address").to_string());
    let settings = [
        "listeners.public.bind=127.0.0.1:0".to_owned(),
        format!("listeners.admin.bind={admin}"),
        format!("listeners.tcp.bind={tcp}"),
    ];
    let folder = Folder::new();
    let flags = settings.iter().flat_map(|setting| ["--set", setting.as_str()]);
    let arguments: Vec<&str> = ["start", "--dev"].into_iter().chain(flags).collect();
    let output = bondy(&folder.0, &arguments, &[]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    let said =
        format!("address already in use: {admin} of listener `admin`, {tcp} of listener `tcp`\n  help: ");
    assert!(error.contains(&said), "{error}");
    let flags = "--set listeners.admin.bind=127.0.0.1:0 --set listeners.tcp.bind=127.0.0.1:0\n";
    assert!(error.ends_with(flags), "{error}");
}
