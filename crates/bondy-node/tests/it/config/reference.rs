//! The generated documents are current, and say what the node does.

use std::path::Path;

use bondy_node::config::reference;

use super::World;

#[expect(clippy::disallowed_methods, reason = "a test of committed files reads them")]
fn committed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_committed_default_file_is_the_generated_one() {
    assert!(committed("bondy.default.yaml") == reference::default_file(), "run `cargo xtask fix`");
}

#[test]
fn the_committed_reference_page_is_the_generated_one() {
    assert!(committed("configuration.md") == reference::config_page(), "run `cargo xtask fix`");
}

#[test]
fn the_default_file_says_what_holds_without_it() {
    let mut with_file = World::of("b.yaml", reference::default_file()).config();
    let realms = "realms: [{uri: com.example.app, security_enabled: false}]";
    let without = World::of(
        "b.yaml",
        format!("listeners: {{public: {{bind: '127.0.0.1:18080', serve: [http, websocket]}}}}\n{realms}"),
    );
    let mut without = without.config();
    with_file.listeners.retain(|name, _| name == "public");
    for realm in with_file.realms.iter_mut().chain(&mut without.realms) {
        realm.security_enabled = true;
    }
    assert_eq!(with_file, without);
}

#[test]
fn the_schema_has_every_key_of_the_default_file() {
    let schema = reference::schema();
    let listener = &schema["properties"]["listeners"]["anyOf"][0]["additionalProperties"];
    assert_eq!(listener["additionalProperties"], false);
    assert_eq!(listener["required"], serde_json::json!(["bind", "serve"]));
    assert_eq!(listener["properties"]["ping_timeout"]["default"], "10s");
    assert_eq!(schema["properties"]["workers"]["default"], 0);
    assert!(schema["properties"]["realms"]["anyOf"][0]["items"]["properties"]["limits"].is_object());
}
