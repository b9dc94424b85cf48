//! Every session of a load proves who it is, where the realm wants that.

use super::guard::{KEY, SECRET};
use super::peer::{self, Behaviour};
use super::{TINY, as_text, assert_positive, report, run, write_scratch};
use std::process::Command;

#[test]
fn every_method_lets_a_load_in() {
    for (method, authid, secret) in [
        ("ticket", &["--authid", "joe"][..], SECRET),
        ("wampcra", &["--authid", "joe"], SECRET),
        ("scram", &["--authid", "joe"], SECRET),
        ("cryptosign", &[], KEY),
    ] {
        let file = write_scratch(&format!("{method}.secret"), &format!("{secret}\n"));
        let url = format!("rs://{}", peer::start(Behaviour::Asks));
        let flags = ["--authmethod", method, "--secret-file", as_text(&file), "--serializer", "json"];
        let report = report(&[&["rpc", "--url", &url], authid, &flags].concat());
        assert_positive(&report, &["calls"]);
        std::fs::remove_file(file).expect("the file");
    }
}

#[test]
fn secret_comes_from_the_environment_too() {
    let url = format!("rs://{}", peer::start(Behaviour::Asks));
    let output = Command::new(env!("CARGO_BIN_EXE_bondy-bench"))
        .args([&["churn"], &TINY[..]].concat())
        .envs([("BONDY_URL", url.as_str()), ("BONDY_SERIALIZER", "json"), ("BONDY_AUTHID", "joe")])
        .envs([("BONDY_AUTHMETHOD", "wampcra"), ("BONDY_SECRET", SECRET)])
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn wrong_secret_and_none_are_not_let_in() {
    let url = format!("rs://{}", peer::start(Behaviour::Asks));
    let file = write_scratch("wrong.secret", "open");
    let flags = ["--authmethod", "scram", "--authid", "joe", "--secret-file", as_text(&file)];
    let base = [&["rpc", "--url", &url, "--serializer", "json"][..], &TINY].concat();
    for (flags, reason) in [(&flags[..], "wamp.error.authentication_denied"), (&[], "--authmethod")] {
        let output = run(&[&base, flags].concat());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{message}");
        assert!(message.contains(reason) && !message.contains("open"), "{message}");
    }
    std::fs::remove_file(file).expect("the file");
}

#[test]
fn secret_goes_over_unchecked_tls_only_when_that_is_asked_for() {
    let file = write_scratch("tls.secret", SECRET);
    let flags = ["--authmethod", "ticket", "--authid", "joe", "--secret-file", as_text(&file)];
    let output = run(&[&["rpc", "--url", "wss://127.0.0.1:1/ws"], &flags[..]].concat());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("--insecure"), "{message}");
    std::fs::remove_file(file).expect("the file");
}
