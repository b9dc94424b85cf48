//! Fuzz targets for a stated time each, on a nightly toolchain, without a further tool.
//!
//! The targets are the binaries of `fuzz/`, a workspace of its own. New inputs go to `fuzz/corpus-work/`; only the
//! committed corpus in `fuzz/corpus/` is replayed by the ordinary tests. The decision record 0002 says why the
//! instrumentation is spelled out here.

use crate::part::{Outcome, Scope};
use crate::shell::command;
use crate::workspace::{Workspace, text};
use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Coverage counters and comparison tracing for libFuzzer, and the address sanitizer.
const INSTRUMENT: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1 \
    -Cdebug-assertions -Coverflow-checks";

/// Builds every target and runs each, or `only` the named one. The first finding is an error.
pub(crate) fn run(workspace: &Workspace, scope: Scope, only: Option<&str>) -> Result<Outcome> {
    if let Some(reason) = missing_tool(workspace) {
        return Ok(Outcome::Skipped(reason));
    }
    let mut targets = targets(&workspace.packages("fuzz/Cargo.toml")?);
    targets.retain(|target| only.is_none_or(|name| name == target));
    if targets.is_empty() {
        bail!("fuzz/ has no such target: {}", only.unwrap_or("none at all"));
    }
    let triple = host_triple(workspace)?;
    build(workspace, &triple)?;
    for target in &targets {
        run_one(workspace, &triple, target, seconds(scope))?;
    }
    Ok(Outcome::Passed)
}

fn seconds(scope: Scope) -> u32 {
    match scope {
        Scope::Quick => 5,
        Scope::Full => 600,
    }
}

fn missing_tool(workspace: &Workspace) -> Option<String> {
    if !workspace.cargo(&["+nightly", "--version"]).succeeds() {
        return Some("no nightly toolchain".to_owned());
    }
    // The fuzzing engine is built from C++.
    if !command(&workspace.root, "c++", &["--version"]).succeeds() {
        return Some("no C++ compiler".to_owned());
    }
    None
}

fn targets(packages: &[Value]) -> Vec<String> {
    let all = packages.iter().filter_map(|one| one["targets"].as_array()).flatten();
    all.filter(|target| target["kind"] == serde_json::json!(["bin"]))
        .map(|target| text(&target["name"]))
        .collect()
}

/// A sanitizer needs the target named, or it would instrument build scripts too.
fn host_triple(workspace: &Workspace) -> Result<String> {
    let version = command(&workspace.root, "rustc", &["-vV"]).read()?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc -vV names no host")?.to_owned())
}

fn build(workspace: &Workspace, triple: &str) -> Result<()> {
    let args = [
        "+nightly",
        "build",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--release",
        "--bins",
        "--target",
        triple,
    ];
    let cargo = workspace.cargo(&[&args[..], &["--target-dir", "fuzz/target"]].concat());
    cargo.env("RUSTFLAGS", INSTRUMENT).run().context("the fuzz targets do not build")
}

fn run_one(workspace: &Workspace, triple: &str, target: &str, seconds: u32) -> Result<()> {
    let fresh = format!("fuzz/corpus-work/{target}");
    let artifacts = format!("fuzz/artifacts/{target}/");
    for folder in [&fresh, &artifacts] {
        std::fs::create_dir_all(workspace.root.join(folder))
            .with_context(|| format!("cannot create {folder}"))?;
    }
    let committed = format!("fuzz/corpus/{target}");
    let time = format!("-max_total_time={seconds}");
    let prefix = format!("-artifact_prefix={artifacts}");
    // A stack of 64 levels is allowed, megabytes for one small input are not.
    let mut args = vec![time.as_str(), prefix.as_str(), "-rss_limit_mb=1024", "-timeout=10", "-verbosity=0"];
    args.push("-print_final_stats=1");
    args.push(&fresh);
    if workspace.has(&committed) {
        args.push(&committed);
    }
    let program = format!("fuzz/target/{triple}/release/{target}");
    command(&workspace.root, &program, &args).env("ASAN_OPTIONS", "detect_leaks=0").run()
}

#[cfg(test)]
mod tests {
    use super::targets;
    use serde_json::json;

    #[test]
    fn only_binaries_are_fuzz_targets() {
        let package = json!({ "targets": [
            { "name": "json_message", "kind": ["bin"] },
            { "name": "oracle", "kind": ["lib"] },
        ] });
        assert_eq!(targets(&[package]), ["json_message"]);
    }
}
