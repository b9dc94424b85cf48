//! Rules about single files: names, headers, forbidden attributes and words that give away a machine.

use super::layer::PURE;

const FORBIDDEN_NAMES: [&str; 9] =
    ["util", "utils", "common", "helper", "misc", "manager", "base", "impl", "types"];

const LOCK_FILES_OF_NPM: [&str; 3] = ["package-lock.json", "yarn.lock", "pnpm-lock.yaml"];

/// Home folders and mounts of one machine.
const MACHINE_FOLDERS: [&str; 4] = ["/root/", "/work/", "/home/", "/Users/"];

/// Settings that choose a package registry. A file of ours never does: each client's own settings decide.
const REGISTRY_SETTINGS: [&str; 10] = [
    "registry.npmjs.org",
    "pypi.org/simple",
    "proxy.golang.org",
    "static.crates.io",
    "index.crates.io",
    "index-url",
    "INDEX_URL",
    "GOPROXY=",
    "npm_config_registry",
    "--registry",
];

/// Findings about the name of a file.
pub(super) fn check_path(path: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if path.rsplit('/').next().is_some_and(|name| LOCK_FILES_OF_NPM.contains(&name)) {
        findings.push(format!("{path}: versions are pinned in package.json; no npm lock file is committed"));
    }
    if let Some(stem) = path.strip_suffix(".rs") {
        for name in stem.split('/').filter(|name| FORBIDDEN_NAMES.contains(name)) {
            findings.push(format!("{path}: `{name}` says nothing as a name; name what is in it"));
        }
    }
    findings
}

/// Findings about the words of any text file.
pub(super) fn check_words(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if MACHINE_FOLDERS.iter().any(|folder| holds_path(line, folder)) {
            findings.push(format!("{path}:{number}: a path of one machine"));
        }
        if REGISTRY_SETTINGS.iter().any(|setting| line.contains(setting)) {
            findings.push(format!("{path}:{number}: package registries are the machine's own business"));
        }
    }
    findings
}

/// Whether `folder` begins a path in `line`, rather than continuing one.
fn holds_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !"/.-_~}".contains(c))
    })
}

/// Findings about a Rust file.
pub(super) fn check_rust(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if !text.starts_with("//!") {
        findings.push(format!("{path}:1: opens without a `//!` that says what it is for"));
    }
    let pure = PURE.iter().any(|name| path.starts_with(&format!("crates/{name}/src/")));
    let mut in_tests = path.contains("/tests/");
    let mut before = "";
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        // Polling a condition is no wait for a time, as long as the loop fails at its deadline.
        let polls = std::mem::replace(&mut before, line).contains("Instant::now() <");
        in_tests |= line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
        if let Some(problem) = problem_of(line, pure, in_tests && !polls) {
            findings.push(format!("{path}:{number}: {problem}"));
        }
    }
    findings
}

fn problem_of(line: &str, pure: bool, in_tests: bool) -> Option<String> {
    if line.starts_with("#[ignore") {
        return Some("a test that does not run is no test; move it under a feature or delete it".to_owned());
    }
    if line.starts_with("#[should_panic") {
        return Some("`should_panic` accepts any panic; assert the error instead".to_owned());
    }
    if in_tests && line.contains("thread::sleep") && !line.starts_with("//") {
        return Some("wait for a condition with a deadline instead of sleeping".to_owned());
    }
    if pure && line.starts_with("#![") && line.contains("clippy::disallowed_methods") {
        return Some("a pure crate may not touch the outside world".to_owned());
    }
    let module = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ")?;
    let name = module.split([' ', ';', '{']).next()?;
    FORBIDDEN_NAMES.contains(&name).then(|| format!("`{name}` says nothing as a name; name what is in it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_opens_with_what_it_is_for() {
        assert!(check_rust("crates/a/src/lib.rs", "//! What it is for.\n").is_empty());
        assert_eq!(check_rust("crates/a/src/lib.rs", "use std::fmt;\n").len(), 1);
    }

    #[test]
    fn empty_names_are_found_in_paths_and_in_declarations() {
        assert_eq!(check_path("crates/a/src/utils.rs").len(), 1);
        assert_eq!(check_path("crates/a/tests/common/clock.rs").len(), 1);
        assert!(check_path("crates/a/src/common_name.rs").is_empty());
        assert_eq!(check_rust("a.rs", "//! a\npub mod helper;\nmod types {\n").len(), 2);
    }

    #[test]
    fn tests_are_neither_ignored_nor_asleep() {
        let text = "//! a\n#[ignore = \"slow\"]\n#[should_panic]\nstd::thread::sleep(pause);\n";
        assert_eq!(check_rust("crates/a/tests/it/main.rs", text).len(), 3);
        assert!(check_rust("crates/a/src/lib.rs", "//! a\nstd::thread::sleep(pause);\n").is_empty());
        let polling = "//! a\nassert!(Instant::now() < until);\nstd::thread::sleep(pause);\n";
        assert!(check_rust("crates/a/tests/it/main.rs", polling).is_empty());
        assert_eq!(check_rust("a.rs", "//! a\n#[cfg(test)]\nmod tests {\nthread::sleep(pause);\n").len(), 1);
    }

    #[test]
    fn only_io_crates_may_allow_io() {
        let text = "//! a\n#![expect(clippy::disallowed_methods, reason = \"io\")]\n";
        assert_eq!(check_rust("crates/bondy-router/src/lib.rs", text).len(), 1);
        assert!(check_rust("crates/bondy-node/src/lib.rs", text).is_empty());
    }

    #[test]
    fn a_machine_is_recognised_by_its_folders() {
        assert_eq!(check_words("a.md", "see /home/alice/x\n(/work/x)\n").len(), 2);
        assert!(check_words("a.md", "frame/work/x and https://example.com/home/x\n").is_empty());
    }

    #[test]
    fn no_file_chooses_a_registry() {
        assert_eq!(check_words("setup.sh", "pip install --index-url https://example.com x\n").len(), 1);
    }
}
