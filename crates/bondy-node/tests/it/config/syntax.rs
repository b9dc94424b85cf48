//! YAML, JSON and TOML say the same in their own ways.

use super::World;

const YAML: &str = r#"
# A comment.
version: 1
node: { name: "n1", data_dir: d }
listeners:
  public: &public
    bind: 127.0.0.1:1
    serve: [websocket, http]
    strict: true
  other: { <<: x }
realms:
  - uri: com.example.app
    security_enabled: false
    event_history:
      - { uri: com.example., match: prefix, limit: 10, ttl: 1h }
    disclosure: { caller: always }
    limits: { calls_max: 20000, message_bytes_max: 1MiB }
"#;

const JSON: &str = r#"{
	"version": 1,
	"node": {"name": "n\u0031", "data_dir": "d"},
	"listeners": {
		"public": {"bind": "127.0.0.1:1", "serve": ["websocket", "http"], "strict": true, "tls": null}
	},
	"realms": [
		{
			"uri": "com.example.app",
			"security_enabled": false,
			"event_history": [{"uri": "com.example.", "match": "prefix", "limit": 10, "ttl": "1h"}],
			"disclosure": {"caller": "always"},
			"limits": {"calls_max": 20000, "message_bytes_max": "1MiB"}
		}
	]
}"#;

const TOML: &str = r#"
version = 1

[node]
name = "n1"
data_dir = 'd'

[listeners.public]
bind = "127.0.0.1:1"
serve = ["websocket", "http"]
strict = true

[[realms]]
uri = "com.example.app"
security_enabled = false
disclosure.caller = "always"
limits = { calls_max = 20_000, message_bytes_max = "1MiB" }

[[realms.event_history]]
uri = "com.example."
match = "prefix"
limit = 0xA
ttl = "1h"
"#;

#[test]
fn the_three_syntaxes_give_the_same_configuration() {
    let yaml = World::of("b.yaml", YAML.replace("  other: { <<: x }\n", "")).config();
    assert_eq!(yaml.realms[0].event_history[0].events_max, 10);
    assert_eq!(World::of("b.json", JSON).config(), yaml);
    assert_eq!(World::of("b.toml", TOML).config(), yaml);
    assert_eq!(World::of("b.TOML", TOML).config(), yaml);
}

#[test]
fn aliases_stand_for_whole_values() {
    let text = "listeners:\n  a: {bind: 'h:1', serve: &s [websocket]}\n  b: {bind: 'h:2', serve: *s}";
    let config = World::of("b.yaml", text).config();
    assert_eq!(config.listeners["a"].serve, config.listeners["b"].serve);
}

#[test]
fn an_empty_file_is_an_empty_map() {
    for text in ["", "# nothing\n", "---\n", "{}", "\u{feff}"] {
        let problems = World::of("b.yaml", text).problems();
        assert!(problems.contains("listeners: no listener"), "{problems}");
    }
}

#[test]
fn unicode_and_surrogate_pairs_survive() {
    let realm = |text: &str| {
        let text = format!(
            "{{\"realms\": [{{\"uri\": \"r\", \"security_enabled\": false, \"description\": {text}}}]}}"
        );
        let world = World::of("b.json", text).set("listeners.a", "{bind: 'h:1', serve: [admin]}");
        world.config().realms.remove(0).description
    };
    assert_eq!(realm(r#""\ud83d\ude00 Grüße \/ \"""#), "😀 Grüße / \"");
}

#[test]
fn syntax_errors_have_their_place() {
    let cases = [
        ("b.yaml", "a: [1\nb: 2", "b.yaml:2:2: not well-formed: illegal placement of ':' indicator"),
        (
            "b.yaml",
            "node:\n\tname: x",
            "b.yaml:2:2: not well-formed: tabs disallowed within this context (block indentation)",
        ),
        (
            "b.yaml",
            "node: {name: a}\nnode: {name: b}",
            "b.yaml:2:1: the key `node` is given twice\n  help: the first is on line 1",
        ),
        (
            "b.json",
            "{\"a\": 1,\n \"a\": 2}",
            "b.json:2:2: the key `a` is given twice\n  help: the first is on line 1",
        ),
        (
            "b.yaml",
            "a: 1\n---\nb: 2",
            "b.yaml:2:1: a second document\n  help: one file holds one configuration",
        ),
        (
            "b.yaml",
            "node: {name: !!str 1}",
            "b.yaml:1:20: tags are not supported\n  help: quote the value to make it text",
        ),
        ("b.yaml", "? [a]\n: b", "b.yaml:1:3: a key must be text"),
        ("b.yaml", "node: &n {name: *n}", "b.yaml:1:17: an alias inside the value that it names"),
        ("b.yaml", "node: *nobody", "b.yaml:1:7: not well-formed: while parsing node, found unknown anchor"),
        (
            "b.yaml",
            "[{uri: x}]",
            "b.yaml:1:1: expected a map of keys, found a list\n  help: a list of realm objects is named by `realms_file`",
        ),
        ("b.yaml", "hello", "b.yaml:1:1: expected a map of keys, found the text `hello`"),
        (
            "b.toml",
            "a = \nb = 1\nb = 2",
            "b.toml:1:5: not well-formed: string values must be quoted, expected literal string\nb.toml:3:1: not well-formed: duplicate key",
        ),
    ];
    for (file, text, expected) in cases {
        assert_eq!(World::of(file, text).problems(), expected, "{text}");
    }
    let problems = World::of("b.yaml", b"node:\n  name: \xff").problems();
    assert_eq!(problems, "b.yaml:2:1: the file is not UTF-8 text");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let world = World::of("there.yaml", "");
    let mut world = world;
    world.request.file = Some("not-there.yaml".into());
    assert_eq!(world.problems(), "cannot read `not-there.yaml`: no such file or directory");
}

#[test]
fn merge_keys_are_told_what_to_do() {
    let problems = World::of("b.yaml", YAML).problems();
    let expected = "b.yaml:10:12: listeners.other.<<: unknown key\n  \
                    help: merge keys are not supported; an alias (`*name`) stands for a whole value";
    assert!(problems.contains(expected), "{problems}");
}
