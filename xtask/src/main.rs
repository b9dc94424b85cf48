//! The workspace's own commands, run as `cargo xtask COMMAND`.
//!
//! They exist so that a rule of the house is a check instead of a habit, and so that a person, `.ci/run` and the
//! README run the same thing. Only `fix` writes into the sources. Nothing here is part of the product: no crate
//! depends on this one, and it depends on none.
#![expect(clippy::disallowed_methods, reason = "a command that reads files and measures time")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command reports on standard output")]

mod fuzz;
mod generated;
mod part;
mod shell;
mod tidy;
mod workspace;

use anyhow::{Result, bail};
use part::{Group, Scope};
use std::process::ExitCode;
use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask COMMAND [--full]

  tidy              the rules of the house: arrows between crates, names, headers, links, generated files
  check             the cheap gates: formatting, tidy, clippy, docs, dependencies
  test              all tests: the workspace's own, then every other WAMP client; prepares what they need
  ci                check, test, then fuzzing, interleavings and benchmarks, each shortly
  fuzz [TARGET]     every fuzz target, or one
  fix               format the code and write the generated files again
  advisories        known vulnerabilities of the dependencies; fetches a database

  --full            the long form: larger models, long fuzzing, the whole of every suite

`check` and `ci` install cargo-deny below target/tools where it is missing there.
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let words_before = words.len();
    words.retain(|word| word != "--full");
    let scope = if words.len() < words_before { Scope::Full } else { Scope::Quick };
    let workspace = Workspace::locate();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["tidy"] => tidy::run(&workspace),
        ["check"] => part::run(&workspace, scope, &[Group::Check]),
        ["test"] => part::run(&workspace, scope, &[Group::Test]),
        ["ci"] => part::run(&workspace, scope, &[Group::Check, Group::Test, Group::Probe]),
        ["fuzz"] => part::report(fuzz::run(&workspace, scope, None)),
        ["fuzz", target] => part::report(fuzz::run(&workspace, scope, Some(target))),
        ["fix"] => fix(&workspace),
        ["advisories"] => part::report(part::advisories(&workspace)),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("unknown command `{}`\n\n{USAGE}", words.join(" ")),
    }
}

fn fix(workspace: &Workspace) -> Result<()> {
    generated::write(workspace)?;
    tidy::shrink_ratchet(workspace)?;
    workspace.cargo(&["fmt", "--all"]).run()
}
