//! Where the workspace is, which files belong to it and how its crates depend on each other.
//!
//! Files are those that git tracks or would track, so build output and downloads are never looked at.

use crate::shell::{Shell, command};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The workspace's root folder and questions about it.
pub(crate) struct Workspace {
    /// Absolute path of the folder with the root `Cargo.toml`.
    pub(crate) root: PathBuf,
}

impl Workspace {
    /// The workspace that this program was built in.
    pub(crate) fn locate() -> Workspace {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        Workspace { root: own.parent().expect("xtask is a folder of the workspace").to_path_buf() }
    }

    /// `cargo` with `args`, run in the root folder.
    pub(crate) fn cargo(&self, args: &[&str]) -> Shell {
        command(&self.root, "cargo", args)
    }

    /// Whether `path`, relative to the root, exists.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// The text of a file, by its path relative to the root.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        std::fs::read_to_string(self.root.join(path)).with_context(|| format!("cannot read {path}"))
    }

    /// Writes a file, by its path relative to the root.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<()> {
        std::fs::write(self.root.join(path), text).with_context(|| format!("cannot write {path}"))
    }

    /// Every file that git tracks or would track and that exists, relative to the root, sorted.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listing = command(&self.root, "git", &args).read()?;
        let mut files: Vec<String> = listing
            .split('\0')
            .filter(|path| !path.is_empty() && self.has(path))
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The crates of the workspace at `manifest` (relative to the root), as cargo describes them.
    pub(crate) fn packages(&self, manifest: &str) -> Result<Vec<Value>> {
        let args = ["metadata", "--no-deps", "--format-version", "1", "--manifest-path", manifest];
        let mut metadata: Value = serde_json::from_str(&self.cargo(&args).read()?)?;
        match metadata["packages"].take() {
            Value::Array(packages) => Ok(packages),
            other => anyhow::bail!("cargo metadata lists packages as {other}"),
        }
    }

    /// Each crate of this workspace with all its direct dependencies, test and build ones included.
    pub(crate) fn dependencies(&self) -> Result<BTreeMap<String, Vec<Dependency>>> {
        let crates = self.packages("Cargo.toml")?;
        let dependency =
            |one: &Value| Dependency { name: text(&one["name"]), is_for_tests: one["kind"] == "dev" };
        let of = |one: &Value| {
            one["dependencies"].as_array().into_iter().flatten().map(dependency).collect::<Vec<_>>()
        };
        Ok(crates.iter().map(|one| (text(&one["name"]), of(one))).collect())
    }

    /// Whether `crate_name` exists and declares `feature`.
    pub(crate) fn has_feature(&self, crate_name: &str, feature: &str) -> Result<bool> {
        let crates = self.packages("Cargo.toml")?;
        Ok(crates.iter().any(|one| one["name"] == crate_name && !one["features"][feature].is_null()))
    }
}

/// What a crate depends on.
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Its tests alone depend on it.
    pub(crate) is_for_tests: bool,
}

/// The text of a JSON string; empty for anything else.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
