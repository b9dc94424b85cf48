//! The list of files that are too long. It may only shrink: a new long file is a finding, and so is a growing one.

use std::collections::BTreeMap;

/// The longest a file may be, in lines, unless the list froze it.
const LINES_MAX: usize = 700;

/// Findings about the files with their numbers of lines, against the list in `ratchet`.
pub(super) fn check(ratchet: &str, counts: &[(String, usize)]) -> Vec<String> {
    let frozen = parse(ratchet);
    let mut findings = Vec::new();
    for (path, lines) in counts {
        let limit = frozen.get(path.as_str()).copied().unwrap_or(LINES_MAX).max(LINES_MAX);
        if *lines > limit {
            findings.push(format!("{path}: {lines} lines, at most {limit}; split it by subject"));
        }
    }
    if shrink(ratchet, counts) != ratchet {
        findings
            .push("xtask/ratchet.txt: files became shorter; `cargo xtask fix` writes it again".to_owned());
    }
    findings
}

/// The list with its entries lowered to today's lengths, without the files that are short enough or gone.
pub(super) fn shrink(ratchet: &str, counts: &[(String, usize)]) -> String {
    let mut text = String::new();
    for (path, limit) in parse(ratchet) {
        let lines = counts.iter().find(|(known, _)| known == path).map_or(0, |(_, lines)| *lines);
        if lines > LINES_MAX {
            text.push_str(&format!("{} {path}\n", lines.min(limit)));
        }
    }
    text
}

fn parse(ratchet: &str) -> BTreeMap<&str, usize> {
    let entries = ratchet.lines().filter_map(|line| line.split_once(' '));
    entries.filter_map(|(lines, path)| Some((path, lines.parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(lines: usize) -> Vec<(String, usize)> {
        vec![("a.rs".to_owned(), lines)]
    }

    #[test]
    fn a_new_long_file_is_found() {
        assert_eq!(check("", &counts(701)).len(), 1);
        assert!(check("", &counts(700)).is_empty());
    }

    #[test]
    fn a_frozen_file_may_not_grow() {
        assert!(check("900 a.rs\n", &counts(900)).is_empty());
        assert_eq!(check("900 a.rs\n", &counts(901)).len(), 1);
    }

    #[test]
    fn the_list_only_shrinks() {
        assert_eq!(shrink("900 a.rs\n", &counts(800)), "800 a.rs\n");
        assert_eq!(shrink("900 a.rs\n", &counts(1000)), "900 a.rs\n");
        assert_eq!(shrink("900 a.rs\n", &counts(100)), "");
        assert_eq!(check("900 a.rs\n", &counts(800)).len(), 1);
    }
}
