//! Relative links in Markdown. Addresses elsewhere are not checked: a check must not need the network.

/// The targets of the relative links in `text`, without their anchors. Code is not looked at.
pub(super) fn relative_targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            targets.extend(line_targets(line));
        }
    }
    targets
}

fn line_targets(line: &str) -> Vec<String> {
    // Every second piece between backticks is code.
    let prose: String = line.split('`').step_by(2).collect();
    let ends = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let paths = ends.map(|target| target.split('#').next().unwrap_or(target));
    paths.filter(|path| !path.is_empty() && !path.contains(':')).map(str::to_owned).collect()
}

/// Where `target`, found in the file `from`, leads; both relative to the root. `None` when it leaves the workspace.
pub(super) fn resolve(from: &str, target: &str) -> Option<String> {
    let mut folders: Vec<&str> = from.split('/').collect();
    folders.pop();
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                folders.pop()?;
            }
            name => folders.push(name),
        }
    }
    Some(folders.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_prose_are_found_without_their_anchors() {
        let text = "See [a](docs/a.md#top), `[b](b.md)`, [c](https://example.com) and [d](#here).\n";
        assert_eq!(relative_targets(text), ["docs/a.md"]);
    }

    #[test]
    fn code_blocks_hold_no_links() {
        assert!(relative_targets("```\n[a](a.md)\n```\n").is_empty());
    }

    #[test]
    fn a_link_is_relative_to_its_file() {
        assert_eq!(resolve("docs/how/a.md", "../b.md").as_deref(), Some("docs/b.md"));
        assert_eq!(resolve("README.md", "../b.md"), None);
    }
}
