//! The arrows between the crates, and what the pure crates may not contain.
//!
//! The table is the one of the design: an arrow that is not here is a decision record, not a line in a manifest.

use crate::workspace::Dependency;
use std::collections::BTreeMap;

/// The crates that hold no sockets, files, threads, clocks or randomness of the system.
pub(super) const PURE: [&str; 3] = ["bondy-wamp", "bondy-iam", "bondy-router"];

/// Crates that any test may use besides: to speak raw WAMP over a real socket.
const TEST_ARROWS: [&str; 2] = ["bondy-wamp", "bondy-transport"];

/// Crates that the tests of one crate may use besides: a client is tested against the router that it is made for, in the
/// same process. Nothing of the server gets into the client by that.
const TEST_ARROWS_OF: [(&str, &str); 1] = [("bondy-client", "bondy-node")];

/// Each crate with the crates of the workspace that it may depend on.
const ARROWS: [(&str, &[&str]); 14] = [
    ("bondy-wamp", &[]),
    ("bondy-iam", &["bondy-wamp"]),
    ("bondy-router", &["bondy-wamp", "bondy-iam"]),
    ("bondy-store", &[]),
    ("bondy-cluster", &[]),
    ("bondy-transport", &["bondy-wamp"]),
    ("bondy-client", &["bondy-wamp", "bondy-transport"]),
    ("bondy-gateway", &["bondy-wamp", "bondy-iam", "bondy-client"]),
    ("bondy-bridge", &["bondy-wamp", "bondy-client"]),
    (
        "bondy-node",
        &[
            "bondy-wamp",
            "bondy-iam",
            "bondy-router",
            "bondy-store",
            "bondy-cluster",
            "bondy-transport",
            "bondy-client",
            "bondy-gateway",
            "bondy-bridge",
        ],
    ),
    ("bondy-testkit", &["bondy-node", "bondy-client", "bondy-transport", "bondy-wamp"]),
    ("bondy-bench", &["bondy-wamp", "bondy-transport"]),
    ("bondy-cli", &["bondy-node", "bondy-client", "bondy-testkit", "bondy-bench"]),
    ("xtask", &[]),
];

/// Libraries that reach the outside world, by the name that code uses for them.
const OUTSIDE: [&str; 18] = [
    "async_io",
    "async_std",
    "aws_lc_rs",
    "clap",
    "getrandom",
    "hyper",
    "hyper_util",
    "mimalloc",
    "mio",
    "native_tls",
    "notify",
    "polling",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "tokio",
    "tracing_subscriber",
];

/// Findings about `dependencies`: each crate with its direct dependencies.
pub(super) fn check_arrows(dependencies: &BTreeMap<String, Vec<Dependency>>) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, targets) in dependencies {
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| known == name) else {
            findings.push(format!(
                "{name}: a new crate needs a decision record and a row in xtask/src/tidy/layer.rs"
            ));
            continue;
        };
        let is_allowed = |target: &&Dependency| {
            let target_name = target.name.as_str();
            // A crate's own tests turn its features on by depending on it.
            let own = target_name == name;
            allowed.contains(&target_name)
                || (target.is_for_tests && (own || may_test_with(name, target_name)))
        };
        let ours = targets.iter().filter(|target| dependencies.contains_key(&target.name));
        for target in ours.filter(|target| !is_allowed(target)) {
            findings.push(format!("{name}: depends on {}; the design has no such arrow", target.name));
        }
    }
    findings
}

fn may_test_with(name: &str, target: &str) -> bool {
    TEST_ARROWS.contains(&target) || TEST_ARROWS_OF.contains(&(name, target))
}

/// Findings about the pure crate `name`, whose dependencies, direct and indirect, are the lines of `tree`.
pub(super) fn check_pure(name: &str, tree: &str) -> Vec<String> {
    let mut outside: Vec<&str> = tree.lines().map(str::trim).filter(|line| OUTSIDE.contains(line)).collect();
    outside.sort_unstable();
    outside.dedup();
    outside.iter().map(|library| format!("{name}: a pure crate may not contain {library}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, targets: &[&str]) -> (String, Vec<Dependency>) {
        let dependency = |name: &&str| Dependency { name: (*name).to_owned(), is_for_tests: false };
        (name.to_owned(), targets.iter().map(dependency).collect())
    }

    #[test]
    fn an_arrow_against_the_table_is_found() {
        let crates =
            BTreeMap::from([one("bondy-wamp", &["bondy-router"]), one("bondy-router", &["bondy-wamp"])]);
        assert_eq!(
            check_arrows(&crates),
            ["bondy-wamp: depends on bondy-router; the design has no such arrow"]
        );
    }

    #[test]
    fn a_test_may_speak_wamp_and_use_nothing_else_besides() {
        let for_tests = |name: &str| Dependency { name: name.to_owned(), is_for_tests: true };
        let crates = BTreeMap::from([
            one("bondy-router", &[]),
            one("bondy-wamp", &[]),
            ("bondy-cli".to_owned(), vec![for_tests("bondy-wamp"), for_tests("bondy-router")]),
        ]);
        assert_eq!(
            check_arrows(&crates),
            ["bondy-cli: depends on bondy-router; the design has no such arrow"]
        );
    }

    #[test]
    fn the_tests_of_a_crate_may_turn_its_features_on() {
        let own = Dependency { name: "bondy-router".to_owned(), is_for_tests: true };
        assert!(check_arrows(&BTreeMap::from([("bondy-router".to_owned(), vec![own])])).is_empty());
        assert_eq!(check_arrows(&BTreeMap::from([one("bondy-router", &["bondy-router"])])).len(), 1);
    }

    #[test]
    fn the_client_is_tested_against_a_node_and_built_without() {
        let depending = |is_for_tests| {
            let node = Dependency { name: "bondy-node".to_owned(), is_for_tests };
            check_arrows(&BTreeMap::from([one("bondy-node", &[]), ("bondy-client".to_owned(), vec![node])]))
                .len()
        };
        assert_eq!((depending(true), depending(false)), (0, 1));
    }

    #[test]
    fn an_unknown_crate_is_found() {
        assert_eq!(check_arrows(&BTreeMap::from([one("bondy-extra", &[])])).len(), 1);
    }

    #[test]
    fn libraries_from_outside_are_nobody_s_business() {
        assert!(check_arrows(&BTreeMap::from([one("bondy-wamp", &["memchr"])])).is_empty());
    }

    #[test]
    fn an_indirect_runtime_makes_a_crate_impure() {
        let findings = check_pure("bondy-router", "bondy_router\npapaya\ntokio\ntokio\n");
        assert_eq!(findings, ["bondy-router: a pure crate may not contain tokio"]);
    }
}
