//! Help, manual pages and the reference.

use crate::folder::Folder;
use crate::shell::{command, run};

/// The reference, which `cargo xtask fix` writes.
fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/commands.md");
    std::fs::read_to_string(path).expect("the reference")
}

/// Each command with its help, as the reference has them.
fn commands() -> Vec<(Vec<String>, String)> {
    let page = page();
    let sections = page.split("\n## bondy").skip(1);
    let command = |section: &str| {
        let (name, help) = section.split_once("\n\n```text\n").expect("a section");
        let words = name.split_whitespace().map(str::to_owned).collect();
        (words, help.split_once("```").expect("its end").0.to_owned())
    };
    sections.map(command).collect()
}

#[test]
fn the_reference_is_current() {
    let folder = Folder::new();
    let printed = run(command(&folder.0, &["config", "reference", "commands"]), "").assert_code(0).stdout;
    assert!(
        printed == page(),
        "docs/reference/commands.md is not current; `cargo xtask fix` writes it again"
    );
}

#[test]
fn every_command_has_help_with_examples() {
    let (folder, commands) = (Folder::new(), commands());
    assert!(commands.len() > 20, "{commands:?}");
    for (words, help) in commands {
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push("-h");
        let mut asking = command(&folder.0, &words);
        asking.env("COLUMNS", "100");
        let shown = run(asking, "").assert_code(0).stdout;
        let shown: Vec<&str> = shown.lines().map(str::trim_end).collect();
        assert_eq!(shown, help.lines().collect::<Vec<_>>(), "{words:?}");
        assert!(help.contains("Examples:\n  "), "{words:?} has no examples");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = Folder::new();
    run(command(&folder.0, &["man", "pages"]), "").assert_code(0);
    for (words, _) in commands() {
        let name = [&["bondy".to_owned()], &words[..]].concat().join("-");
        let page = std::fs::read_to_string(folder.path(&format!("pages/{name}.1"))).expect(&name);
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}");
    }
    let page = std::fs::read_to_string(folder.path("pages/bondy-register.1")).expect("a page");
    for part in [
        ".SH SYNOPSIS\n.nf\nbondy register [OPTIONS]",
        ".SH ENVIRONMENT\n.TP\nBONDY_URL\nstands for \\-\\-url\n",
        ".SH EXAMPLES\n.nf\nbondy register com.example.echo \\-\\-echo\n",
        "\\(aqjq \\-r \"\\e\"Hello, \\e(.args[0])!\\e\"\"\\(aq\n",
        ".SH NOTES\n",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let printed = run(command(&folder.0, &["man"]), "").assert_code(0).stdout;
    assert!(printed.contains(".TH bondy 1") && !printed.contains("bondy\\-help"), "{printed}");
    folder.write("file", "");
    run(command(&folder.0, &["man", "file"]), "").assert_code(2);
}
