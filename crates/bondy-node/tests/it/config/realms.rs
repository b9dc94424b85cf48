//! Realm objects: exactly what the node enforces is accepted, everything else refuses to start.

use std::net::IpAddr;

use bondy_node::config::{AddressFamilies, Disclosure};

use super::World;

const GRANT: &str = "permissions: [wamp.register, wamp.unregister, wamp.call, wamp.cancel, wamp.subscribe, \
                     wamp.unsubscribe, wamp.publish]";

/// An open realm, its last lines to be added.
fn realm(sources: &str, rest: &str) -> String {
    format!("realms:\n- uri: com.example.app\n  authmethods: [anonymous]\n  sources: [{sources}]\n{rest}")
}

const V4: &str = "{usernames: all, authmethod: anonymous, cidr: 0.0.0.0/0}";
const V6: &str = "{usernames: [anonymous], authmethod: anonymous, cidr: \"::/0\"}";

#[test]
fn every_spelling_of_everything_is_accepted() {
    for grants in [
        format!("  grants: [{{{GRANT}, resources: [{{uri: '*'}}], roles: [anonymous]}}]"),
        format!("  grants: [{{{GRANT}, resources: [{{uri: '', match: prefix}}], roles: all}}]"),
        format!("  grants: [{{{GRANT}, uri: '*', roles: [all], meta: {{a: 1}}}}]"),
        format!(
            "  grants: [{{{GRANT}, uri: '*', match: prefix, roles: anonymous}}]\n  users: []\n  groups: []"
        ),
        "  grants:\n  - {permissions: [wamp.register, wamp.unregister, wamp.call], uri: '*', roles: all}\n  \
         - {permissions: [wamp.cancel, wamp.subscribe, wamp.unsubscribe, wamp.publish], uri: '*', roles: all}"
            .to_owned(),
        format!(
            "  grants: [{{{GRANT}, uri: '*', roles: all}}]\n  is_prototype: false\n  prototype_uri: null\n  \
             allow_connections: true\n  private_keys: []\n  info: {{}}\n  security_enabled: true"
        ),
    ] {
        let config = World::with(&realm(V4, &grants)).config();
        assert_eq!(
            config.realms[0].anonymous_sources,
            AddressFamilies { ipv4: true, ipv6: false },
            "{grants}"
        );
    }
}

#[test]
fn the_address_families_that_are_named_may_join() {
    let grants = format!("  grants: [{{{GRANT}, uri: '*', roles: all}}]");
    let families = |sources: &str| World::with(&realm(sources, &grants)).config().realms[0].anonymous_sources;
    assert_eq!(families(V6), AddressFamilies { ipv4: false, ipv6: true });
    assert_eq!(families(&format!("{V4}, {V6}")), AddressFamilies { ipv4: true, ipv6: true });
    assert_eq!(
        families("{usernames: all, authmethod: anonymous}"),
        AddressFamilies { ipv4: true, ipv6: false }
    );
    let contains = |text: &str| families(V4).contains(text.parse::<IpAddr>().expect("an address"));
    assert!(contains("10.0.0.1") && contains("::ffff:10.0.0.1") && !contains("2001:db8::1"));
}

#[test]
fn without_security_nothing_has_to_be_granted() {
    let config = World::with("realms: [{uri: r, security_enabled: false}]").config();
    assert!(!config.realms[0].security_enabled);
    assert_eq!(config.realms[0].anonymous_sources, AddressFamilies { ipv4: true, ipv6: true });
}

#[test]
fn a_realms_file_is_a_list_of_the_original_s_objects_beside_the_configuration() {
    let object = r#"[{"uri": "com.example.b", "description": "B", "security_enabled": false, "users": [], "groups": [],
                     "sources": [], "grants": [], "disclosure": {"publisher": "deny"}}]"#;
    let text = "realms_file: realms/all.json\nrealms: [{uri: com.example.a, security_enabled: false}]\n\
                listeners: {a: {bind: 'h:1', serve: [admin]}}";
    let world = World::of("conf/b.yaml", text).file("conf/realms/all.json", object);
    let realms = world.config().realms;
    assert_eq!(
        realms.iter().map(|realm| realm.uri.as_str()).collect::<Vec<_>>(),
        ["com.example.a", "com.example.b"]
    );
    assert_eq!(realms[1].disclosure.publisher, Disclosure::Deny);
    let twice =
        world.file("conf/realms/all.json", "[\n{\"uri\": \"com.example.a\", \"security_enabled\": false}]");
    let expected = "conf/realms/all.json:2:9: realms.1.uri: the realm `com.example.a` is given twice; the first is \
                    `realms.0`";
    assert_eq!(twice.problems(), expected);
    let wrong = twice.file("conf/realms/all.json", "{}");
    assert_eq!(wrong.problems(), "conf/realms/all.json:1:1: expected a list of realm objects, found a map");
    let missing = World::with("realms_file: nowhere.json");
    let expected = "bondy.yaml:2:14: realms_file: cannot read `nowhere.json`: no such file or directory";
    assert_eq!(missing.problems(), expected);
}

const OPEN: &str = ": not in this version, which would otherwise run the realm open";

#[test]
fn a_realm_that_asks_for_more_refuses_to_start() {
    let all = format!("{GRANT}, uri: '*', roles: all");
    let granted = format!("  grants: [{{{all}}}]\n");
    let cases = [
        (
            V4,
            format!("{granted}  users: [{{username: alice}}]"),
            "7:10: realms.0.users: the realm asks for `users`",
            "remove `users`",
        ),
        (
            V4,
            format!("{granted}  groups: [{{name: staff}}]"),
            "7:11: realms.0.groups: the realm asks for `groups`",
            "remove `groups`",
        ),
        (
            V4,
            format!("{granted}  is_sso_realm: true"),
            "7:17: realms.0.is_sso_realm: the realm asks for `is_sso_realm`",
            "remove `is_sso_realm`",
        ),
        (
            V4,
            format!("{granted}  allow_connections: false"),
            "7:22: realms.0.allow_connections: the realm asks for `allow_connections`",
            "remove `allow_connections`",
        ),
        (
            V4,
            format!("{granted}  private_keys: [x]"),
            "7:17: realms.0.private_keys: the realm asks for `private_keys`",
            "remove `private_keys`",
        ),
        (
            V4,
            "  grants: [{permissions: [wamp.call], uri: '*', roles: all}]".into(),
            "6:11: realms.0.grants: nobody is granted `wamp.register`, `wamp.unregister`, `wamp.cancel`, `wamp.subscribe`, \
          `wamp.unsubscribe` or `wamp.publish`",
            "grant everything: `{permissions: [wamp.register, wamp.unregister, wamp.call, wamp.cancel, wamp.subscribe, \
          wamp.unsubscribe, wamp.publish], resources: [{uri: \"*\"}], roles: [anonymous]}`",
        ),
        (
            V4,
            format!("  grants: [{{{GRANT}, uri: com.example., match: prefix, roles: all}}]"),
            "6:137: realms.0.grants.0.uri: a grant for `com.example.` alone",
            "grant for every URI: `{uri: \"*\"}`",
        ),
        (
            V4,
            format!("  grants: [{{{GRANT}, uri: '*', match: exact, roles: all}}]"),
            "6:137: realms.0.grants.0.uri: a grant for `*` alone",
            "grant for every URI: `{uri: \"*\"}`",
        ),
        (
            V4,
            format!("  grants: [{{{GRANT}, uri: any, roles: all}}]"),
            "6:137: realms.0.grants.0.uri: a grant for `any` alone",
            "grant for every URI: `{uri: \"*\"}`",
        ),
        (
            V4,
            format!("  grants: [{{{GRANT}, uri: '*', roles: [staff, anonymous]}}]"),
            "6:149: realms.0.grants.0.roles: a grant to `staff`",
            "grant to `anonymous` or `all`",
        ),
        (
            V4,
            "  grants: [{permissions: [wamp.cal], uri: '*', roles: all}]".into(),
            "6:26: realms.0.grants.0.permissions: the permission `wamp.cal`",
            "did you mean `wamp.call`?",
        ),
        (
            "{usernames: [bob], authmethod: anonymous}",
            granted.clone(),
            "5:25: realms.0.sources.0.usernames: a source for `bob`",
            "name `anonymous` or `all`",
        ),
        (
            "{usernames: all, authmethod: password}",
            granted.clone(),
            "5:42: realms.0.sources.0.authmethod: a source for the method `password`",
            "write `authmethod: anonymous`",
        ),
        (
            "{usernames: all, authmethod: anonymous, cidr: 10.0.0.0/8}",
            granted.clone(),
            "5:59: realms.0.sources.0.cidr: a source for the network `10.0.0.0/8` alone",
            "name a whole address family: `0.0.0.0/0`, `::/0`, or one source for each",
        ),
    ];
    for (sources, rest, what, help) in cases {
        let expected = format!("bondy.yaml:{what}{OPEN}\n  help: {help}");
        assert_eq!(World::with(&realm(sources, &rest)).problems(), expected);
    }
}

#[test]
fn authentication_methods_are_refused_by_name() {
    let text =
        format!("realms:\n- uri: r\n  sources: [{V4}]\n  grants: [{{{GRANT}, uri: '*', roles: all}}]\n");
    let expected = |what: &str| format!("bondy.yaml:{what}{OPEN}\n  help: write `authmethods: [anonymous]`");
    assert_eq!(
        World::with(&text).problems(),
        expected(
            "3:3: realms.0.authmethods: without `authmethods` a realm authenticates by password, ticket and others too"
        )
    );
    assert_eq!(
        World::with(&format!("{text}  authmethods: [anonymous, wampcra, ticket]")).problems(),
        expected("6:16: realms.0.authmethods: the realm authenticates by `wampcra` and `ticket`")
    );
    assert_eq!(
        World::with(&format!("{text}  authmethods: []")).problems(),
        expected("6:16: realms.0.authmethods: no method lets anybody in")
    );
    assert_eq!(
        World::with("realms: [{uri: r, security_enabled: false, authmethods: [ticket]}]").problems(),
        expected("2:57: realms.0.authmethods: the realm authenticates by `ticket`")
    );
}

#[test]
fn the_master_realm_cannot_be_configured() {
    for uri in ["com.leapsight.bondy", "bondy", "com.leapsight.bondy.internal"] {
        let problems = World::with(&format!("realms: [{{uri: {uri}, security_enabled: false}}]")).problems();
        let expected = format!(
            "bondy.yaml:2:16: realms.0.uri: the master realm `{uri}` cannot be configured in this version\n  \
             help: leave it out; give your own realm another name"
        );
        assert_eq!(problems, expected);
    }
}

#[test]
fn passwords_are_never_repeated() {
    let text = "realms:\n- uri: r\n  security_enabled: false\n  users:\n  - {username: a, password: hunter2}\n  \
                - {username: b, password: [hunter2]}\n  - {username: c, password: 4711}\n  \
                - {username: d, password: \"file:d.secret\"}\n  - {username: e, password: \"file:e.secret\"}";
    let world = World::with(text).file("d.secret", "hunter2\n").set("realms.0.users.5.password", "hunter2");
    let problems = world.problems();
    assert!(!problems.contains("hunter2") && !problems.contains("4711"), "{problems}");
    assert!(problems.contains("realms.0.users.4.password: cannot read `e.secret`"), "{problems}");
}
