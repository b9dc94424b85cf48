//! `bondy context`, and what beats what.

use std::os::unix::fs::PermissionsExt;

use crate::folder::Folder;
use crate::shell::{Ran, Shell, command, run};

#[track_caller]
fn bondy(folder: &Folder, arguments: &[&str]) -> Ran {
    run(command(&folder.0, arguments), "")
}

#[test]
fn contexts_are_added_selected_listed_shown_edited_and_removed() {
    let folder = Folder::new();
    let fine = |arguments: &[&str]| bondy(&folder, arguments).assert_code(0).stdout;
    assert_eq!(fine(&["context", "list"]), "");
    fine(&["context", "add", "dev", "--url", "ws://127.0.0.1:1/ws", "--select"]);
    fine(&[
        "context",
        "add",
        "prod",
        "--url",
        "wss://router.example.com/ws",
        "--realm",
        "com.example.app",
        "--authid",
        "ops",
    ]);
    let list = "   NAME  URL                          REALM            AUTHID
*  dev   ws://127.0.0.1:1/ws
   prod  wss://router.example.com/ws  com.example.app  ops
";
    assert_eq!(fine(&["context", "list"]), list);
    assert_eq!(fine(&["context", "list", "--output", "raw"]), "dev\nprod\n");
    assert_eq!(fine(&["context", "select", "prod"]), "prod\n");
    assert_eq!(fine(&["context", "select", "-"]), "dev\n");
    assert_eq!(fine(&["context", "select", "-"]), "prod\n");
    fine(&[
        "context",
        "edit",
        "prod",
        "--realm",
        "com.example.other",
        "--serializer",
        "cbor",
        "--unset",
        "authid",
    ]);
    let shown = "name        prod\nrealm       com.example.other\nserializer  cbor\nurl         wss://router.example.com/ws\n";
    assert_eq!(fine(&["context", "show"]), shown);
    let ran = bondy(&folder, &["context", "remove", "prod"]).assert_code(0);
    assert_eq!(ran.stderr, "no context is selected now\n");
    let ran = bondy(&folder, &["context", "show"]).assert_code(2);
    assert!(ran.stderr.contains("no context is selected"), "{}", ran.stderr);
}

#[test]
fn a_secret_is_kept_for_its_owner_and_not_shown_unless_asked_for() {
    let folder = Folder::new();
    let add = ["context", "add", "prod", "--authid", "ops", "--authmethod", "ticket", "--secret-file", "-"];
    run(command(&folder.0, &add), "hush\n").assert_code(0);
    let mode = std::fs::metadata(folder.path("contexts.json")).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let shown = bondy(&folder, &["context", "show", "prod"]).assert_code(0).stdout;
    assert!(!shown.contains("hush") && shown.contains("(hidden, see --secrets)"), "{shown}");
    let shown = bondy(&folder, &["context", "show", "prod", "--secrets", "--output", "json"]).assert_code(0);
    assert_eq!(shown.json()["secret"], "hush");
}

#[test]
fn a_flag_beats_the_environment_and_that_beats_the_context() {
    let shell = Shell::new();
    let fine = |arguments: &[&str]| bondy(&shell.folder, arguments).assert_code(0);
    fine(&["context", "add", "here", "--url", &shell.url(), "--select"]);
    fine(&["context", "add", "wrong", "--url", &shell.url(), "--realm", "com.example.from_context"]);
    fine(&["ping", "--count", "1"]);
    let realm = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut ping = command(&shell.folder.0, &[&["ping", "--count", "1"], arguments].concat());
        ping.envs(environment.iter().copied());
        let ran = run(ping, "");
        if ran.code == Some(0) { "fine".to_owned() } else { ran.assert_code(3).stderr }
    };
    assert!(realm(&["--context", "wrong"], &[]).contains("com.example.from_context"));
    assert!(realm(&[], &[("BONDY_CONTEXT", "wrong")]).contains("com.example.from_context"));
    let environment = [("BONDY_CONTEXT", "wrong"), ("BONDY_REALM", "com.example.from_environment")];
    assert!(realm(&[], &environment).contains("com.example.from_environment"));
    assert!(realm(&["--realm", "com.example.from_flag"], &environment).contains("com.example.from_flag"));
    assert_eq!(realm(&["--realm", "realm1"], &environment), "fine");
}

#[test]
fn what_is_wrong_with_the_file_or_a_name_is_said_with_its_place() {
    let folder = Folder::new();
    folder.write("contexts.json", "{\n  \"contexts\": {\"a\": {\"ulr\": 1}}}\n");
    let ran = bondy(&folder, &["context", "list"]).assert_code(2);
    let start = format!("error: {}:2:", folder.path("contexts.json").display());
    assert!(ran.stderr.starts_with(&start) && ran.stderr.contains("unknown field `ulr`"), "{}", ran.stderr);
    bondy(&folder, &["ping"]).assert_code(2);
    folder.write("contexts.json", "{\"contexts\": {\"a\": {}}}");
    for (arguments, part) in [
        (&["context", "add", "a"][..], "context edit a"),
        (&["context", "add", "a/b"], "no name for a context"),
        (&["context", "show", "b"], "known are a"),
        (&["context", "select", "-"], "no context was selected before"),
        (&["context", "edit", "a", "--unset", "port"], "no field \"port\""),
        (&["ping", "--context", "b"], "known are a"),
    ] {
        let ran = bondy(&folder, arguments).assert_code(2);
        assert!(ran.stderr.contains(part), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn contexts_that_are_added_at_once_are_all_kept() {
    let folder = Folder::new();
    let adding: Vec<_> = (0..8)
        .map(|number| command(&folder.0, &["context", "add", &format!("c{number}")]).spawn().expect("bondy"))
        .collect();
    for mut add in adding {
        assert!(add.wait().expect("its end").success());
    }
    let listed = bondy(&folder, &["context", "list", "--output", "raw"]).assert_code(0).stdout;
    assert_eq!(listed.lines().count(), 8, "{listed}");
}

#[test]
fn a_context_that_has_a_part_in_a_failure_is_named() {
    let folder = Folder::new();
    let ran = bondy(&folder, &["context", "list"]).assert_code(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.contains("no contexts yet")), ("", true));
    bondy(&folder, &["context", "add", "prod", "--url", "ws://127.0.0.1:1/ws", "--select"]).assert_code(0);
    let ran = bondy(&folder, &["call", "x"]).assert_code(3);
    assert!(ran.stderr.contains("the context `prod`"), "{}", ran.stderr);
}

#[test]
fn an_editor_changes_a_context_or_nothing() {
    let folder = Folder::new();
    bondy(&folder, &["context", "add", "a", "--realm", "one"]).assert_code(0);
    let edit = |editor: &str| {
        let mut edit = command(&folder.0, &["context", "edit", "a"]);
        edit.env_remove("VISUAL").env("EDITOR", editor);
        run(edit, "")
    };
    edit("sed -i s/one/two/").assert_code(0);
    assert_eq!(bondy(&folder, &["context", "show", "a"]).stdout, "name   a\nrealm  two\n");
    let ran = edit("sed -i s/realm/raelm/").assert_code(2);
    assert!(
        ran.stderr.contains("unknown field `raelm`") && ran.stderr.contains("nothing was changed"),
        "{}",
        ran.stderr
    );
    edit("false").assert_code(2);
    assert_eq!(bondy(&folder, &["context", "show", "a"]).stdout, "name   a\nrealm  two\n");
    let left: Vec<_> = std::fs::read_dir(&folder.0).expect("the folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
