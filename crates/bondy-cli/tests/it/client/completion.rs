//! Shell completion: scripts, and the candidates that they ask for.

use std::process::Command;

use crate::folder::Folder;
use crate::peer::wait_for;
use crate::shell::{Shell, command, run};

#[test]
fn there_is_a_script_for_each_shell() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(command(&folder.0, &["completion", shell]), "").assert_code(0);
        assert!(
            ran.stdout.contains("bondy") && ran.stdout.contains("BONDY_COMPLETE"),
            "{shell}: {}",
            ran.stdout
        );
    }
}

/// What the script asks for: the candidates for the last of these words.
fn candidates(mut asking: Command, words: &[&str]) -> Vec<String> {
    asking.env("BONDY_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    asking.env("_CLAP_IFS", "\n").arg("--").args(words);
    let ran = run(asking, "").assert_code(0);
    assert_eq!(ran.stderr, "", "a shell has no place for errors");
    ran.stdout.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn uris_known_to_the_router_are_candidates() {
    let shell = Shell::new();
    let _a = shell.register(&["com.example.alpha", "--echo"]);
    let _b = shell.register(&["com.example.beta", "--echo"]);
    let mut subscriber = shell.start(&["subscribe", "com.example.topic"]);
    subscriber.wait_for_message("subscribed");
    // Who types waits a second at most; a busy machine may need another try.
    let wait_for_candidates = |words: &[&str], asking: &dyn Fn() -> Command, expected: &[&str]| {
        wait_for(&format!("{expected:?} for {words:?}"), || candidates(asking(), words) == expected);
    };
    let here = || shell.command(&[]);
    wait_for_candidates(&["bondy", "call", "com."], &here, &["com.example.alpha", "com.example.beta"]);
    wait_for_candidates(&["bondy", "call", "com.example.a"], &here, &["com.example.alpha"]);
    wait_for_candidates(&["bondy", "publish", "com."], &here, &["com.example.topic"]);
    // The flags that were typed already say where to ask.
    let elsewhere = || command(&shell.folder.0, &[]);
    let words = ["bondy", "call", "--url", &shell.url(), "com.example.b"];
    wait_for_candidates(&words, &elsewhere, &["com.example.beta"]);
}

#[test]
fn contexts_and_commands_are_candidates_and_a_missing_router_is_silent() {
    let folder = Folder::new();
    run(command(&folder.0, &["context", "add", "staging", "--url", "ws://127.0.0.1:1/ws", "--select"]), "")
        .assert_code(0);
    let known = |words: &[&str]| candidates(command(&folder.0, &[]), words);
    assert_eq!(known(&["bondy", "context", "select", "st"]), ["staging"]);
    assert_eq!(known(&["bondy", "call", "--context", "st"]), ["staging"]);
    assert_eq!(known(&["bondy", "bench", "rpc", "--context", "st"]), ["staging"]);
    assert_eq!(known(&["bondy", "register", "x", "--invoke", "ro"]), ["roundrobin"]);
    assert_eq!(known(&["bondy", "subs"]), ["subscribe"]);
    assert!(known(&["bondy", "call", "com."]).is_empty());
}

#[test]
fn bash_completes_with_the_script() {
    let folder = Folder::new();
    let bin =
        std::path::Path::new(env!("CARGO_BIN_EXE_bondy")).parent().expect("a folder").display().to_string();
    let script = r#"PATH="$1:$PATH"; source <(bondy completion bash)
        COMP_WORDS=(bondy laten) COMP_CWORD=1 COMP_TYPE=9; _clap_complete_bondy bondy laten bondy
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    bash.args(["-c", script, "bash", &bin]).current_dir(&folder.0);
    assert_eq!(run(bash, "").assert_code(0).stdout.trim(), "latency");
}
