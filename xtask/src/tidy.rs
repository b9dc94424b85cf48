//! The rules of the house as checks: every finding is one line that names the place and what to do.
//!
//! The rules themselves live in the modules below, each a function from text to findings, so that a rule is tested
//! on a sample and not on the workspace. This module only collects the material and prints the verdict. It does not
//! format, compile or run the product, and it writes nothing except in [`shrink_ratchet`].

mod layer;
mod link;
mod ratchet;
mod source;

use crate::generated;
use crate::workspace::Workspace;
use anyhow::{Result, bail};

const RATCHET: &str = "xtask/ratchet.txt";

/// Checks everything and prints all findings.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let files = workspace.files()?;
    let mut findings = layer_findings(workspace)?;
    findings.extend(source_findings(workspace, &files)?);
    findings.extend(ratchet::check(&workspace.read(RATCHET)?, &line_counts(workspace, &files)?));
    findings.extend(link_findings(workspace, &files)?);
    findings.extend(generated::check(workspace)?);
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings in {} files", findings.len(), files.len());
    }
    Ok(())
}

/// Writes the list of long files again: entries only shrink, and files that became short leave it.
pub(crate) fn shrink_ratchet(workspace: &Workspace) -> Result<()> {
    let counts = line_counts(workspace, &workspace.files()?)?;
    workspace.write(RATCHET, &ratchet::shrink(&workspace.read(RATCHET)?, &counts))
}

fn layer_findings(workspace: &Workspace) -> Result<Vec<String>> {
    let dependencies = workspace.dependencies()?;
    let mut findings = layer::check_arrows(&dependencies);
    for pure in layer::PURE.iter().filter(|name| dependencies.contains_key(**name)) {
        let args =
            ["tree", "--package", pure, "--edges", "normal,build", "--prefix", "none", "--format", "{lib}"];
        findings.extend(layer::check_pure(pure, &workspace.cargo(&args).read()?));
    }
    Ok(findings)
}

/// Files whose bytes are data: vectors, corpora, certificates. No rule about words applies to them.
fn is_data(path: &str) -> bool {
    path.starts_with("fuzz/corpus/") || path.contains("/vectors/") || path.contains("/testdata/")
}

/// Files that have to spell out what the rules forbid.
const SPELLING_RULES: [&str; 2] = ["xtask/src/tidy/source.rs", "Cargo.lock"];

fn source_findings(workspace: &Workspace, files: &[String]) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in files {
        findings.extend(source::check_path(path));
        if is_data(path) || SPELLING_RULES.contains(&path.as_str()) {
            continue;
        }
        // A file that is not UTF-8 text, such as an image, has no words to check.
        let Ok(text) = workspace.read(path) else { continue };
        findings.extend(source::check_words(path, &text));
        if path.ends_with(".rs") {
            findings.extend(source::check_rust(path, &text));
        }
    }
    Ok(findings)
}

fn line_counts(workspace: &Workspace, files: &[String]) -> Result<Vec<(String, usize)>> {
    let rust = files.iter().filter(|path| path.ends_with(".rs"));
    rust.map(|path| Ok((path.clone(), workspace.read(path)?.lines().count()))).collect()
}

fn link_findings(workspace: &Workspace, files: &[String]) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in files.iter().filter(|path| path.ends_with(".md") && !is_data(path)) {
        for target in link::relative_targets(&workspace.read(path)?) {
            let resolved = link::resolve(path, &target);
            if !resolved.as_ref().is_some_and(|resolved| workspace.has(resolved)) {
                findings.push(format!("{path}: the link to `{target}` leads nowhere"));
            }
        }
    }
    Ok(findings)
}
