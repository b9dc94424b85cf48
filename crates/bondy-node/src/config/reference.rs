//! What is generated from the table of keys: the annotated default file, the reference page and the JSON Schema.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::keys::ROOT;
use super::kind::{Key, Kind, Presence};
use super::unit::unit_names;

const DEFAULT_FILE_HEAD: &str = "\
# Every key of Bondy's configuration, with its default. Generated from the table that the node reads.
# Keys in comments are absent by default. The listeners and the realm are examples: by default there are none.
# The rules of the format are in configuration.md, beside this file.
";

/// The annotated default file, `docs/reference/bondy.default.yaml`.
pub fn default_file() -> String {
    let mut out = DEFAULT_FILE_HEAD.to_owned();
    if let Kind::Section(keys) = ROOT {
        for key in keys {
            out.push('\n');
            default_key(&mut out, key, 0);
        }
    }
    out
}

fn default_key(out: &mut String, key: &Key, depth: usize) {
    let indent = "  ".repeat(depth);
    let mut value = |value: &str| {
        comment(out, key.doc, &indent);
        let _ = writeln!(out, "{indent}{}: {value}", key.name);
    };
    match (&key.kind, &key.presence) {
        (_, Presence::Later { .. }) => {}
        (_, Presence::Optional { example }) => {
            comment(out, key.doc, &indent);
            let _ = writeln!(out, "{indent}# {}: {example}", key.name);
        }
        (Kind::Section(keys), _) => {
            heading(out, key, &indent);
            keys.iter().for_each(|key| default_key(out, key, depth + 1));
        }
        (Kind::Named { keys, example }, _) => {
            heading(out, key, &indent);
            let _ = writeln!(out, "{indent}  public:");
            keys.iter().for_each(|key| default_key(out, key, depth + 2));
            indented(out, example, &format!("{indent}  "));
        }
        (Kind::List(Kind::Section(keys)), _) if depth == 0 => {
            heading(out, key, &indent);
            let mut entry = String::new();
            keys.iter().for_each(|key| default_key(&mut entry, key, depth + 2));
            // The dash stands before the first key, which its comment precedes.
            let key_at = entry.lines().position(|line| !line.trim_start().starts_with('#')).unwrap_or(0);
            for (index, line) in entry.lines().enumerate() {
                let line = if index == key_at { line.replacen("    ", "  - ", 1) } else { line.to_owned() };
                let _ = writeln!(out, "{indent}{line}");
            }
        }
        (_, Presence::Required { example }) => value(example),
        (_, Presence::Default(default)) => value(default),
        (_, Presence::Illustrated { example, .. }) if example.starts_with('\n') => {
            heading(out, key, &indent);
            indented(out, example.trim_start(), &format!("{indent}  "));
        }
        (_, Presence::Illustrated { example, .. }) => value(example),
    }
}

fn heading(out: &mut String, key: &Key, indent: &str) {
    comment(out, key.doc, indent);
    let _ = writeln!(out, "{indent}{}:", key.name);
}

fn indented(out: &mut String, text: &str, indent: &str) {
    text.lines().for_each(|line| {
        let _ = writeln!(out, "{indent}{line}");
    });
}

/// A comment of lines of at most 110 characters.
fn comment(out: &mut String, text: &str, indent: &str) {
    let mut line = format!("{indent}#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > 110 {
            let _ = writeln!(out, "{line}");
            line = format!("{indent}#");
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(out, "{line}");
}

const PAGE_HEAD: &str = include_str!("reference/head.txt");

/// The reference page, `docs/reference/configuration.md`.
pub fn config_page() -> String {
    let mut out = PAGE_HEAD.to_owned();
    page_section(&mut out, "", &ROOT);
    out
}

fn page_section(out: &mut String, path: &str, kind: &Kind) {
    let Kind::Section(keys) = kind else { return };
    let title = if path.is_empty() { "The top level".to_owned() } else { format!("`{path}`") };
    let _ = write!(out, "\n### {title}\n\n| Key | Value | Default | Meaning |\n|---|---|---|---|\n");
    for key in *keys {
        let (name, value) = (key.name, page_value(&key.kind));
        let (default, doc) = page_presence(key);
        let _ = writeln!(out, "| `{name}` | {value} | {default} | {doc} |");
    }
    for key in keys.iter().filter(|key| !matches!(key.presence, Presence::Later { .. })) {
        let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        match &key.kind {
            Kind::Section(_) => page_section(out, &path, &key.kind),
            Kind::Named { keys, .. } => page_section(out, &format!("{path}.NAME"), &Kind::Section(keys)),
            Kind::List(item) => page_section(out, &format!("{path}.N"), item),
            _ => {}
        }
    }
}

fn page_value(kind: &Kind) -> String {
    match kind {
        Kind::List(item) if !item.is_container() => format!("a list; each item {}", item.expectation()),
        _ => kind.expectation(),
    }
}

fn page_presence(key: &Key) -> (String, String) {
    let doc = key.doc.to_owned();
    match &key.presence {
        Presence::Required { .. } => ("required".into(), doc),
        Presence::Default("{}") => (String::new(), doc),
        Presence::Default("null")
        | Presence::Illustrated { default: "null", .. }
        | Presence::Optional { .. } => ("none".into(), doc),
        Presence::Default(default) | Presence::Illustrated { default, .. } => (format!("`{default}`"), doc),
        Presence::Later { harmless } => {
            ("none".into(), format!("{doc} Not in this version: only `{harmless}`."))
        }
    }
}

/// The JSON Schema of a configuration file.
pub fn schema() -> Value {
    let mut schema = kind_schema(&ROOT);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Bondy configuration");
    schema
}

fn kind_schema(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => or_variable(json!({"type": "boolean"})),
        Kind::Integer { min, max } => or_variable(json!({"type": "integer", "minimum": min, "maximum": max})),
        Kind::Text | Kind::Secret => json!({"type": "string"}),
        Kind::Name => or_variable(json!({"type": "string", "pattern": "^[A-Za-z0-9._@-]{1,255}$"})),
        Kind::Duration { words, .. } => or_variable(unit_schema(false, words)),
        Kind::Size { .. } => or_variable(unit_schema(true, &[])),
        Kind::Memory => or_variable(unit_schema(true, &["[0-9]+%"])),
        Kind::OneOf(words) => or_variable(json!({"enum": words})),
        Kind::Uri => or_variable(json!({"type": "string", "pattern": r"^([^\s.#]+\.)*[^\s.#]+$"})),
        Kind::Bind => or_variable(json!({"type": "string", "pattern": "^(unix:.+|.+:[0-9]{1,5})$"})),
        Kind::Network => or_variable(json!({"type": "string", "pattern": "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$"})),
        Kind::Path { .. } | Kind::File => json!({"type": "string", "minLength": 1}),
        Kind::List(item) => json!({"type": "array", "items": kind_schema(item)}),
        Kind::OneOrMany(item) => {
            let item = kind_schema(item);
            json!({"anyOf": [item, {"type": "array", "items": item}]})
        }
        Kind::Named { keys, .. } => json!({
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z0-9_-]{1,64}$"},
            "additionalProperties": section_schema(keys),
        }),
        Kind::Section(keys) => section_schema(keys),
        Kind::Free => json!({}),
    }
}

/// A value may also be text in which `${NAME}` stands for it.
fn or_variable(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "string", "pattern": r"\$\{"}]})
}

fn unit_schema(of_sizes: bool, words: &[&str]) -> Value {
    let mut forms = vec![format!("[0-9]+ ?({})", unit_names(of_sizes).join("|"))];
    forms.extend(words.iter().map(|word| (*word).to_owned()));
    json!({"type": "string", "pattern": format!("^({})$", forms.join("|"))})
}

fn section_schema(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in keys {
        let mut schema = kind_schema(&key.kind);
        if matches!(key.presence, Presence::Required { .. }) {
            required.push(key.name);
        } else {
            // Null stands for "as if it were not written".
            schema = json!({"anyOf": [schema, {"type": "null"}]});
        }
        schema["description"] = json!(page_presence(key).1);
        if let Presence::Default(default) = key.presence {
            schema["default"] = default_json(&key.kind, default);
        }
        properties.insert(key.name.to_owned(), schema);
    }
    json!({"type": "object", "additionalProperties": false, "properties": properties, "required": required})
}

fn default_json(kind: &Kind, default: &str) -> Value {
    match kind {
        Kind::Bool | Kind::Integer { .. } => serde_json::from_str(default).unwrap_or_default(),
        Kind::List(_) => json!([]),
        Kind::Section(_) | Kind::Named { .. } => json!({}),
        _ => Value::from(default.trim_matches('\'')),
    }
}
