//! The parts of the continuous check, in one table: what runs, in which order, and what must be there.
//!
//! Cheap parts come first. All parts of the first group run even when one fails, so that one look shows everything;
//! after a group with a failure no further group starts. A part whose tool is missing is *named* as skipped; a part
//! of the project that is missing is a failure once the table says it is required.

use crate::shell::command;
use crate::workspace::Workspace;
use crate::{fuzz, tidy};
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How much of a suite runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What fits into every change.
    Quick,
    /// Larger models, long fuzzing, whole suites.
    Full,
}

/// The commands that the parts belong to; `ci` runs all three in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    /// Gates that build little and run nothing of the product.
    Check,
    /// All tests: what the README's test command runs.
    Test,
    /// Searches for what the tests did not think of, and the benchmarks.
    Probe,
}

/// How a part ended, when it did not fail.
pub(crate) enum Outcome {
    /// It ran and found nothing wrong.
    Passed,
    /// It did not run, for this reason.
    Skipped(String),
}

struct Part {
    group: Group,
    name: &'static str,
    /// A path of the project that the part needs.
    needs: &'static str,
    /// Whether a missing `needs` is a failure instead of a skip.
    required: bool,
    run: fn(&Workspace, Scope) -> Result<Outcome>,
}

const PARTS: [Part; 12] = [
    Part { group: Group::Check, name: "format", needs: "rustfmt.toml", required: true, run: format },
    Part { group: Group::Check, name: "tidy", needs: "xtask", required: true, run: house_rules },
    Part { group: Group::Check, name: "clippy", needs: "clippy.toml", required: true, run: clippy },
    Part { group: Group::Check, name: "docs", needs: "Cargo.toml", required: true, run: docs },
    Part { group: Group::Check, name: "dependencies", needs: "deny.toml", required: true, run: dependencies },
    Part {
        group: Group::Test,
        name: "workspace tests",
        needs: "Cargo.lock",
        required: true,
        run: workspace_tests,
    },
    Part {
        group: Group::Test,
        name: "release build",
        needs: "crates/bondy-cli",
        required: true,
        run: release_build,
    },
    Part { group: Group::Test, name: "interop", needs: "interop/run.py", required: true, run: interop },
    Part { group: Group::Test, name: "examples", needs: "examples/check.py", required: true, run: examples },
    Part {
        group: Group::Probe,
        name: "interleavings",
        needs: "crates/bondy-router",
        required: true,
        run: shuttle,
    },
    Part { group: Group::Probe, name: "fuzzing", needs: "fuzz/Cargo.toml", required: true, run: fuzzing },
    Part {
        group: Group::Probe,
        name: "benchmarks",
        needs: "crates/bondy-bench",
        required: true,
        run: benchmarks,
    },
];

/// Runs the parts of `groups` in order, prints each part's time as it ends and all of them at the end.
pub(crate) fn run(workspace: &Workspace, scope: Scope, groups: &[Group]) -> Result<()> {
    let began = Instant::now();
    let mut table = Vec::new();
    let mut failures = Vec::new();
    for &group in groups {
        for part in PARTS.iter().filter(|part| part.group == group) {
            println!("\n=== {}", part.name);
            let part_began = Instant::now();
            let result = attempt(workspace, scope, part);
            let line = table_line(part.name, &result, part_began.elapsed());
            println!("=== {line}");
            table.push(line);
            if result.is_err() {
                failures.push(part.name);
            }
        }
        if !failures.is_empty() {
            break;
        }
    }
    println!("\n{}\n{:>7.1} s  in all", table.join("\n"), began.elapsed().as_secs_f64());
    if !failures.is_empty() {
        bail!("failed: {}", failures.join(", "));
    }
    Ok(())
}

/// Says how a part that was called alone ended.
pub(crate) fn report(result: Result<Outcome>) -> Result<()> {
    match result? {
        Outcome::Passed => println!("passed"),
        Outcome::Skipped(reason) => println!("skipped: {reason}"),
    }
    Ok(())
}

fn attempt(workspace: &Workspace, scope: Scope, part: &Part) -> Result<Outcome> {
    if workspace.has(part.needs) {
        return (part.run)(workspace, scope);
    }
    if part.required {
        bail!("{} is missing and the part is required", part.needs);
    }
    Ok(Outcome::Skipped(format!("{} does not exist yet", part.needs)))
}

fn table_line(name: &str, result: &Result<Outcome>, elapsed: Duration) -> String {
    let verdict = match result {
        Ok(Outcome::Passed) => "passed".to_owned(),
        Ok(Outcome::Skipped(reason)) => format!("skipped: {reason}"),
        Err(error) => format!("FAILED: {error:#}"),
    };
    format!("{:>7.1} s  {name:<16} {verdict}", elapsed.as_secs_f64())
}

fn format(workspace: &Workspace, _: Scope) -> Result<Outcome> {
    workspace.cargo(&["fmt", "--all", "--", "--check"]).run()?;
    Ok(Outcome::Passed)
}

fn house_rules(workspace: &Workspace, _: Scope) -> Result<Outcome> {
    tidy::run(workspace)?;
    Ok(Outcome::Passed)
}

fn clippy(workspace: &Workspace, _: Scope) -> Result<Outcome> {
    let deny = ["--all-targets", "--", "-D", "warnings"];
    workspace.cargo(&[&["clippy", "--locked", "--workspace"], &deny[..]].concat()).run()?;
    // The feature swaps the locks of the router, so its code is other code.
    let router = ["clippy", "--locked", "-p", "bondy-router", "--features", "shuttle"];
    workspace.cargo(&[&router[..], &deny[..]].concat()).run()?;
    Ok(Outcome::Passed)
}

fn docs(workspace: &Workspace, _: Scope) -> Result<Outcome> {
    let doc = workspace.cargo(&["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"]);
    doc.env("RUSTDOCFLAGS", "-D warnings").run()?;
    Ok(Outcome::Passed)
}

/// The version and the folder are ours, so that what a machine has installed does not decide the verdict. A debug
/// build costs about 90 seconds of CPU time once; a check takes a second either way.
const CARGO_DENY: [&str; 9] = [
    "install",
    "cargo-deny",
    "--version",
    "0.20.2",
    "--locked",
    "--debug",
    "--quiet",
    "--root",
    "target/tools",
];

fn cargo_deny(workspace: &Workspace, checks: &[&str]) -> Result<Outcome> {
    let own = "target/tools/bin/cargo-deny";
    let installed = workspace.cargo(&CARGO_DENY).run();
    if let (Err(error), false) = (installed, workspace.has(own)) {
        return Ok(Outcome::Skipped(format!("cargo-deny is not installed: {error:#}")));
    }
    command(&workspace.root, own, &[&["check"], checks].concat()).run()?;
    Ok(Outcome::Passed)
}

fn dependencies(workspace: &Workspace, _: Scope) -> Result<Outcome> {
    cargo_deny(workspace, &["bans", "licenses", "sources"])
}

/// Asks for known vulnerabilities. Apart from the other gates, because its answer changes without a change of ours.
pub(crate) fn advisories(workspace: &Workspace) -> Result<Outcome> {
    cargo_deny(workspace, &["advisories"])
}

fn workspace_tests(workspace: &Workspace, scope: Scope) -> Result<Outcome> {
    let tests = workspace.cargo(&["test", "--locked", "--workspace"]);
    match scope {
        Scope::Quick => tests.run()?,
        Scope::Full => tests.env("BONDY_TEST_FULL", "1").run()?,
    }
    Ok(Outcome::Passed)
}

fn release_build(workspace: &Workspace, _: Scope) -> Result<Outcome> {
    workspace.cargo(&["build", "--locked", "--release", "-p", "bondy-cli", "-p", "bondy-bench"]).run()?;
    Ok(Outcome::Passed)
}

fn interop(workspace: &Workspace, scope: Scope) -> Result<Outcome> {
    command(&workspace.root, "bash", &["interop/setup.sh"]).run()?;
    let quick: &[&str] = if scope == Scope::Quick { &["--quick"] } else { &[] };
    command(&workspace.root, "python3", &[&["interop/run.py"], quick].concat()).run()?;
    Ok(Outcome::Passed)
}

/// Runs with what the part before has installed.
fn examples(workspace: &Workspace, _: Scope) -> Result<Outcome> {
    let python = "interop/.venv/bin/python";
    if !workspace.has(python) {
        return Ok(Outcome::Skipped("the Python clients are not installed".to_owned()));
    }
    command(&workspace.root, python, &["examples/check.py"]).run()?;
    Ok(Outcome::Passed)
}

fn shuttle(workspace: &Workspace, scope: Scope) -> Result<Outcome> {
    if !workspace.has_feature("bondy-router", "shuttle")? {
        bail!("bondy-router has no feature `shuttle`");
    }
    let args = ["test", "--locked", "--release", "-p", "bondy-router", "--features", "shuttle"];
    let tests = workspace.cargo(&args);
    match scope {
        Scope::Quick => tests.run()?,
        Scope::Full => tests.env("BONDY_TEST_FULL", "1").run()?,
    }
    Ok(Outcome::Passed)
}

fn fuzzing(workspace: &Workspace, scope: Scope) -> Result<Outcome> {
    fuzz::run(workspace, scope, None)
}

fn benchmarks(workspace: &Workspace, scope: Scope) -> Result<Outcome> {
    let quick: &[&str] = if scope == Scope::Quick { &["--quick"] } else { &[] };
    let in_memory = ["bench", "--locked", "-p", "bondy-router", "--bench", "in_memory", "--"];
    workspace.cargo(&[&in_memory[..], quick].concat()).run()?;
    command(&workspace.root, "target/release/bondy-bench", &[&["all", "--start"], quick].concat()).run()?;
    Ok(Outcome::Passed)
}
