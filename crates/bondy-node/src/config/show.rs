//! The effective configuration as YAML, in the order of the table of keys.

use std::fmt::Write as _;

use super::keys::ROOT;
use super::kind::Kind;
use super::tree::{Node, Scalar, Value};

/// Writes a checked tree. Secrets are left out; `origins` adds to each value where it comes from.
pub(crate) fn show(tree: &Node, origins: bool) -> String {
    let mut writer = Writer { out: String::new(), origins };
    writer.block(tree, &ROOT, 0);
    writer.out
}

struct Writer {
    out: String,
    origins: bool,
}

impl Writer {
    /// The keys of a map, each on lines of its own.
    fn block(&mut self, node: &Node, kind: &Kind, depth: usize) {
        let Value::Map(map) = &node.value else { return };
        match kind {
            Kind::Section(keys) => {
                for key in *keys {
                    if let Some(entry) = map.get(key.name) {
                        self.entry(key.name, &entry.node, &key.kind, depth);
                    }
                }
            }
            Kind::Named { keys, .. } => {
                let kind = Kind::Section(keys);
                map.iter().for_each(|(name, entry)| self.entry(name, &entry.node, &kind, depth));
            }
            _ => {}
        }
    }

    fn entry(&mut self, name: &str, node: &Node, kind: &Kind, depth: usize) {
        self.out.push_str(&"  ".repeat(depth));
        self.out.push_str(&plain_or_quoted(name));
        self.out.push(':');
        match (kind, &node.value) {
            (Kind::Section(_) | Kind::Named { .. }, Value::Map(map)) if !map.is_empty() => {
                self.out.push('\n');
                self.block(node, kind, depth + 1);
            }
            (Kind::List(item @ Kind::Section(_)), Value::List(items)) if !items.is_empty() => {
                self.out.push('\n');
                items.iter().for_each(|node| self.item(node, item, depth + 1));
            }
            _ => self.leaf(node, kind),
        }
    }

    /// A list item that is a map: its first key stands behind the dash.
    fn item(&mut self, node: &Node, kind: &Kind, depth: usize) {
        let mut inner = Writer { out: String::new(), origins: self.origins };
        inner.block(node, kind, depth + 1);
        let indent = "  ".repeat(depth);
        let body = inner.out.strip_prefix(&format!("{indent}  ")).unwrap_or("{}\n");
        let _ = write!(self.out, "{indent}- {body}");
    }

    fn leaf(&mut self, node: &Node, kind: &Kind) {
        let _ = write!(self.out, " {}", flow(node, kind));
        if self.origins {
            let _ = write!(self.out, "  # {}", node.origin);
        }
        self.out.push('\n');
    }
}

/// A value on one line.
fn flow(node: &Node, kind: &Kind) -> String {
    let item_kind = if let Kind::List(item) | Kind::OneOrMany(item) = kind { item } else { &Kind::Free };
    match &node.value {
        _ if matches!(kind, Kind::Secret) => "\"<redacted>\"".to_owned(),
        Value::Null => "null".to_owned(),
        Value::Scalar(scalar) => scalar_text(scalar, kind),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| flow(item, item_kind)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(map) => {
            let entry = |(name, entry): (&String, &super::tree::Entry)| {
                format!("{}: {}", plain_or_quoted(name), flow(&entry.node, &Kind::Free))
            };
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

fn scalar_text(scalar: &Scalar, kind: &Kind) -> String {
    let is_typed = match kind {
        Kind::Bool | Kind::Integer { .. } => true,
        _ => !scalar.quoted && (scalar.as_bool().is_some() || scalar.is_number()),
    };
    if is_typed { scalar.text.clone() } else { plain_or_quoted(&scalar.text) }
}

/// Text that YAML reads back as this text.
pub(crate) fn plain_or_quoted(text: &str) -> String {
    let is_simple = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./@%".contains(&byte));
    let is_word =
        matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "yes" | "no" | "on");
    // `10s` and `127.0.0.1/8` begin with a digit and cannot be taken for numbers.
    let has_unit = text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'%')
        && text.parse::<f64>().is_err();
    if (is_simple && !is_word) || has_unit {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Origin;
    use super::super::yaml;
    use super::*;

    #[test]
    fn secrets_are_never_shown() {
        let text = "realms: [{uri: r, users: [{username: a, password: hunter2}], private_keys: [hunter2]}]";
        let tree = yaml::parse(text, &Origin::Dev).expect("well-formed");
        let shown = show(&tree, true);
        let expected = "\
realms:
  - uri: r  # --dev
    users:
      - username: a  # --dev
        password: \"<redacted>\"  # --dev
    private_keys: [\"<redacted>\"]  # --dev
";
        assert_eq!(shown, expected);
    }
}
