//! The tree that every source is parsed into, whatever its syntax: each value knows where it was written.
//!
//! Scalars stay text until the table of keys says what they must be: only then is it known whether `10` is a
//! number, a name or a duration without its unit. The tree knows nothing of which keys exist.

use std::collections::BTreeMap;

use super::problem::{Complaint, Origin};

/// How deep values may nest: twice what the deepest key needs, and little enough to walk by recursion.
pub(crate) const DEPTH_MAX: usize = 32;

/// How many values one file may hold: some ten thousand realm objects, and a bound on memory.
pub(crate) const NODES_MAX: usize = 500_000;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Takes away what a lower layer said.
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Map),
}

pub(crate) type Map = BTreeMap<String, Entry>;

/// A value of a map, with the place of its key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key_origin: Origin,
    pub(crate) node: Node,
}

/// The text of a scalar. One that was not quoted may also be a number or a truth value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) quoted: bool,
}

impl Scalar {
    /// `true` and `false`, unquoted, as YAML 1.2 has them: `yes`, `no`, `on` and `off` are text.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        match (self.quoted, self.text.as_str()) {
            (false, "true" | "True" | "TRUE") => Some(true),
            (false, "false" | "False" | "FALSE") => Some(false),
            _ => None,
        }
    }

    /// A decimal integer, unquoted.
    pub(crate) fn as_integer(&self) -> Option<i128> {
        if self.quoted { None } else { self.text.parse().ok() }
    }

    /// Does it look like a number, whole or not?
    pub(crate) fn is_number(&self) -> bool {
        let begins_like_one =
            self.text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
        !self.quoted && begins_like_one && self.text.parse::<f64>().is_ok()
    }

    /// What a reader calls it.
    pub(crate) fn describe(&self) -> String {
        let text: String = self.text.chars().take(60).collect();
        if self.as_bool().is_some() {
            format!("`{text}`")
        } else if self.is_number() {
            format!("the number {text}")
        } else {
            format!("the text `{}`", text.escape_debug())
        }
    }
}

impl Node {
    pub(crate) fn new(value: Value, origin: &Origin) -> Self {
        Node { value, origin: origin.clone() }
    }

    pub(crate) fn empty_map(origin: &Origin) -> Self {
        Node::new(Value::Map(Map::new()), origin)
    }

    /// A scalar as written; an unquoted `null`, `~` or nothing is no value.
    pub(crate) fn scalar(text: String, quoted: bool, origin: &Origin) -> Self {
        let is_null = !quoted && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        let value = if is_null { Value::Null } else { Value::Scalar(Scalar { text, quoted }) };
        Node::new(value, origin)
    }

    /// What a reader calls it.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar(scalar) => scalar.describe(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// Lays another tree over this one: maps merge key by key, everything else replaces, null takes away.
    pub(crate) fn merge(&mut self, over: Node) {
        match (&mut self.value, over.value) {
            (Value::Map(under), Value::Map(entries)) => {
                for (key, entry) in entries {
                    merge_entry(under, key, entry);
                }
                // What is missing in a map is told where the user began it.
                if matches!(self.origin, Origin::Default | Origin::Dev) {
                    self.origin = over.origin;
                }
            }
            (_, value) => *self = Node { value, origin: over.origin },
        }
    }

    /// Replaces the text of every scalar.
    pub(crate) fn rewrite(&mut self, rewrite: &mut dyn FnMut(&str, &Origin) -> Option<String>) {
        match &mut self.value {
            Value::Null => {}
            Value::Scalar(scalar) => {
                if let Some(text) = rewrite(&scalar.text, &self.origin) {
                    *self = Node::scalar(text, scalar.quoted, &self.origin);
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| item.rewrite(rewrite)),
            Value::Map(map) => map.values_mut().for_each(|entry| entry.node.rewrite(rewrite)),
        }
    }
}

/// Lays one entry over a map.
pub(crate) fn merge_entry(under: &mut Map, key: String, entry: Entry) {
    if entry.node.value == Value::Null {
        under.remove(&key);
    } else if let Some(existing) = under.get_mut(&key) {
        existing.key_origin = entry.key_origin;
        existing.node.merge(entry.node);
    } else {
        under.insert(key, entry);
    }
}

/// Fills in `${NAME}` and `${NAME:-otherwise}`; `$${` stands for `${`. Any other `$` is an ordinary character.
pub(crate) fn substitute(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, Complaint> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find("${") {
        let (before, reference) = rest.split_at(position);
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = &reference[2..];
            continue;
        }
        let Some(end) = reference.find('}') else {
            return Err(Complaint::new("a `${` without its `}`").help("write `$${` for the two characters"));
        };
        let (name, otherwise) = match reference[2..end].split_once(":-") {
            Some((name, otherwise)) => (name, Some(otherwise)),
            None => (&reference[2..end], None),
        };
        out.push_str(before);
        match (lookup(name), otherwise) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(otherwise)) => out.push_str(otherwise),
            (None, None) => return Err(missing_variable(name)),
        }
        rest = &reference[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn missing_variable(name: &str) -> Complaint {
    Complaint::new(format!("the environment variable `{name}` is not set"))
        .help(format!("set it, or write `${{{name}:-VALUE}}` to say what holds without it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_and_escapes_are_not() {
        let lookup = |name: &str| (name == "HOST").then(|| "h${X}".to_owned());
        let filled = |text: &str| substitute(text, &lookup).map_err(|complaint| complaint.what);
        assert_eq!(filled("${HOST}:1"), Ok("h${X}:1".into()));
        assert_eq!(filled("a${NO:-b}c${HOST:-d}"), Ok("abch${X}".into()));
        assert_eq!(filled("$${HOST} $5 $"), Ok("${HOST} $5 $".into()));
        assert_eq!(filled("${NO:-}"), Ok(String::new()));
        assert_eq!(filled("${NO}"), Err("the environment variable `NO` is not set".into()));
        assert_eq!(filled("${HOST"), Err("a `${` without its `}`".into()));
    }

    #[test]
    fn maps_merge_lists_replace_and_null_takes_away() {
        let parse = |text| super::super::yaml::parse(text, &Origin::Dev).expect("well-formed");
        let mut tree = parse("{a: {b: 1, c: [1, 2]}, d: 4}");
        tree.merge(parse("{a: {c: [3], e: 5}, d: null}"));
        assert_eq!(tree, parse("{a: {b: 1, c: [3], e: 5}}"));
    }
}
