//! The examples of `docs/cli.md`, run as they stand there.
//!
//! A block `console` is what a shell prints: lines that begin with `$ ` are commands, what follows is what they print.
//! With `background` a command goes on while the blocks behind it are run, with `shape` numbers may differ; long numbers
//! (ids) and rates may always.

use std::path::Path;
use std::process::Command;

use crate::folder::Folder;
use crate::process::Bondy;
use crate::shell::{Job, run};

struct Block {
    kind: String,
    /// Each command with what it prints.
    commands: Vec<(String, String)>,
}

fn blocks() -> Vec<Block> {
    let page = include_str!("../../../../../docs/cli.md");
    let block = |text: &str| {
        let (kind, rest) = text.split_once('\n').expect("a fence");
        let body = rest.split_once("```").expect("its end").0;
        let commands = format!("\n{body}");
        let command = |text: &str| {
            let (command, printed) = text.split_once('\n').unwrap_or((text, ""));
            let printed = if printed.is_empty() || printed.ends_with('\n') {
                printed.to_owned()
            } else {
                format!("{printed}\n")
            };
            (command.to_owned(), printed)
        };
        Block {
            kind: kind.trim().to_owned(),
            commands: commands.split("\n$ ").skip(1).map(command).collect(),
        }
    };
    page.split("```console").skip(1).map(block).collect()
}

/// Every run of digits and points that is long, or every one of them, replaced by one digit, and columns by one space.
fn normalized(text: &str, is_shape: bool) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        let is_rate = line.contains(" a second)");
        let words = line.split(' ').filter(|word| !(is_shape && word.is_empty())).map(|word| {
            let mut word = word.to_owned();
            let runs: Vec<String> = word
                .split(|letter: char| !letter.is_ascii_digit() && letter != '.')
                .filter(|run| run.starts_with(|letter: char| letter.is_ascii_digit()))
                .filter(|run| is_shape || is_rate || run.len() > 12)
                .map(str::to_owned)
                .collect();
            runs.iter().for_each(|run| word = word.replacen(run, "0", 1));
            // The unit is the one that fits.
            if is_shape && ["us", "ms", "s"].contains(&word.as_str()) { "UNIT".to_owned() } else { word }
        });
        shown.push_str(&words.collect::<Vec<_>>().join(" "));
        shown.push('\n');
    }
    shown
}

fn shell(folder: &Path, url: &str, script: &str) -> Command {
    let bin = Path::new(env!("CARGO_BIN_EXE_bondy")).parent().expect("a folder").display().to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
    let mut bash = Command::new("bash");
    bash.args(["-c", script])
        .current_dir(folder)
        .env("PATH", path)
        .env("BONDY_CONFIG_HOME", folder)
        .env("BONDY_URL", url);
    bash
}

#[test]
fn the_examples_of_the_guide_are_true() {
    let node = Bondy::start("listeners: {public: {bind: '127.0.0.1:0', serve: [websocket]}}");
    let url = format!("ws://{}/ws", node.address("public"));
    let (folder, mut background) = (Folder::new(), Vec::new());
    for block in blocks() {
        for (command, printed) in block.commands {
            if block.kind == "background" {
                let mut job = Job::start(shell(&folder.0, &url, &format!("exec {command}")));
                let (message, rest) = printed.split_once('\n').expect("what it says");
                job.wait_for_message(message);
                background.push((job, rest.to_owned()));
                continue;
            }
            let is_shape = block.kind == "shape";
            let ran = run(shell(&folder.0, &url, &format!("({command}) 2>&1")), "");
            assert_eq!(normalized(&ran.stdout, is_shape), normalized(&printed, is_shape), "{command}");
        }
    }
    for (mut job, printed) in background {
        printed.lines().for_each(|line| assert_eq!(job.next_line(), line));
    }
}
