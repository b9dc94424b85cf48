//! What a test expects of a message, and how it differs from what came.
//!
//! A pattern is JSON with holes. From a JSON value: the text `"*"` is anything, and `"..."` as the last item of a list or
//! as a key of a dictionary allows more than is named. From text ([`notation`](crate::notation)): the same as bare words,
//! and symbols such as `sub:x`, which stand for whatever came first and for the same value afterwards.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::message::shorten;

/// What is expected of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// Any value.
    Anything,
    /// What the symbol stands for; where it stands for nothing yet, any value, which it then stands for.
    Symbol(String),
    /// This number, text, truth value or null.
    Exactly(Value),
    /// A list.
    List {
        /// Its items, in order.
        items: Vec<Pattern>,
        /// More may follow.
        open: bool,
    },
    /// A dictionary.
    Dict {
        /// Its entries.
        entries: BTreeMap<String, Pattern>,
        /// There may be others.
        open: bool,
    },
}

/// What symbols stand for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Symbols(BTreeMap<String, Value>);

/// Where a value differs from a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The place, as a JSON pointer; empty for the whole.
    pub pointer: String,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => self.reason.fmt(formatter),
            pointer => write!(formatter, "at {pointer}: {}", self.reason),
        }
    }
}

impl Symbols {
    /// What the symbol stands for.
    pub fn value(&self, symbol: &str) -> Option<&Value> {
        self.0.get(symbol)
    }

    /// Lets the symbol stand for a value.
    pub fn set(&mut self, symbol: impl Into<String>, value: Value) {
        self.0.insert(symbol.into(), value);
    }

    /// The other symbol of the same kind that stands for this value.
    fn namesake(&self, symbol: &str, value: &Value) -> Option<&str> {
        let kind = kind_of(symbol);
        let mut others = self.0.iter().filter(|(other, _)| kind_of(other) == kind && *other != symbol);
        others.find(|(_, known)| *known == value).map(|(other, _)| other.as_str())
    }
}

fn kind_of(symbol: &str) -> &str {
    symbol.split(':').next().unwrap_or_default()
}

impl From<Value> for Pattern {
    fn from(value: Value) -> Self {
        match value {
            Value::String(text) if text == ANYTHING => Pattern::Anything,
            Value::Array(mut values) => {
                let open = values.last().is_some_and(|last| last == REST);
                if open {
                    values.pop();
                }
                Pattern::List { items: values.into_iter().map(Pattern::from).collect(), open }
            }
            Value::Object(mut entries) => {
                let open = entries.remove(REST).is_some();
                let entries = entries.into_iter().map(|(key, value)| (key, Pattern::from(value)));
                Pattern::Dict { entries: entries.collect(), open }
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                Pattern::Exactly(other)
            }
        }
    }
}

/// A hole for any value.
pub(crate) const ANYTHING: &str = "*";

/// A hole for further items or entries.
pub(crate) const REST: &str = "...";

impl Pattern {
    /// Compares; symbols are bound only where everything matches.
    ///
    /// # Errors
    /// The first place where the value differs.
    pub fn check(&self, value: &Value, symbols: &mut Symbols) -> Result<(), Mismatch> {
        let mut bound = symbols.clone();
        self.compare(value, &mut bound, "")?;
        *symbols = bound;
        Ok(())
    }

    /// The value that is written here, where it has no holes but symbols that stand for something.
    ///
    /// # Errors
    /// The hole.
    pub fn to_value(&self, symbols: &Symbols) -> Result<Value, String> {
        match self {
            Pattern::Anything => Err("`*` can be expected, not sent".to_owned()),
            Pattern::Symbol(symbol) => match symbols.value(symbol) {
                Some(value) => Ok(value.clone()),
                None => Err(format!("`{symbol}` stands for nothing yet")),
            },
            Pattern::Exactly(value) => Ok(value.clone()),
            Pattern::List { open: true, .. } | Pattern::Dict { open: true, .. } => {
                Err("`...` can be expected, not sent".to_owned())
            }
            Pattern::List { items, open: false } => {
                items.iter().map(|item| item.to_value(symbols)).collect::<Result<_, _>>().map(Value::Array)
            }
            Pattern::Dict { entries, open: false } => {
                let entry = |(key, value): (&String, &Pattern)| Ok((key.clone(), value.to_value(symbols)?));
                entries.iter().map(entry).collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
        }
    }

    fn compare(&self, value: &Value, symbols: &mut Symbols, pointer: &str) -> Result<(), Mismatch> {
        let wrong = |reason: String| Err(Mismatch { pointer: pointer.to_owned(), reason });
        match (self, value) {
            (Pattern::Anything, _) => Ok(()),
            (Pattern::Symbol(symbol), value) => compare_symbol(symbol, value, symbols).or_else(wrong),
            (Pattern::Exactly(expected), value) if expected == value => Ok(()),
            (Pattern::List { items, open }, Value::Array(values)) => {
                compare_list(items, *open, values, symbols, pointer)
            }
            (Pattern::Dict { entries, open }, Value::Object(values)) => {
                compare_dict(entries, *open, values, symbols, pointer)
            }
            (Pattern::Exactly(_) | Pattern::List { .. } | Pattern::Dict { .. }, other) => {
                wrong(format!("expected {}, found {}", shorten(self.to_string()), shorten(other.to_string())))
            }
        }
    }
}

fn compare_symbol(symbol: &str, value: &Value, symbols: &mut Symbols) -> Result<(), String> {
    match symbols.value(symbol) {
        Some(known) if known == value => Ok(()),
        Some(known) => Err(format!("expected {symbol}, which is {known}, found {value}")),
        None => match symbols.namesake(symbol, value) {
            Some(other) => Err(format!("expected {symbol}, a new one, found {value}, which is {other}")),
            None => {
                symbols.set(symbol, value.clone());
                Ok(())
            }
        },
    }
}

fn compare_list(
    items: &[Pattern],
    open: bool,
    values: &[Value],
    symbols: &mut Symbols,
    pointer: &str,
) -> Result<(), Mismatch> {
    for (index, (item, value)) in items.iter().zip(values).enumerate() {
        item.compare(value, symbols, &format!("{pointer}/{index}"))?;
    }
    let (expected, found) = (items.len(), values.len());
    if found < expected || (found > expected && !open) {
        let reason = format!("expected {expected} items, found {found}");
        return Err(Mismatch { pointer: pointer.to_owned(), reason });
    }
    Ok(())
}

fn compare_dict(
    entries: &BTreeMap<String, Pattern>,
    open: bool,
    values: &Map<String, Value>,
    symbols: &mut Symbols,
    pointer: &str,
) -> Result<(), Mismatch> {
    let wrong = |reason| Err(Mismatch { pointer: pointer.to_owned(), reason });
    for (key, entry) in entries {
        let Some(value) = values.get(key) else { return wrong(format!("`{key}` is missing")) };
        entry.compare(value, symbols, &format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")))?;
    }
    match values.iter().find(|(key, _)| !entries.contains_key(*key)) {
        Some((key, value)) if !open => {
            wrong(format!("`{key}` was not expected; it is {}", shorten(value.to_string())))
        }
        Some(_) | None => Ok(()),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Anything => formatter.write_str(ANYTHING),
            Pattern::Symbol(symbol) => formatter.write_str(symbol),
            Pattern::Exactly(value) => value.fmt(formatter),
            Pattern::List { items, open } => {
                let rest = open.then(|| REST.to_owned());
                let items: Vec<String> = items.iter().map(Pattern::to_string).chain(rest).collect();
                write!(formatter, "[{}]", items.join(","))
            }
            Pattern::Dict { entries, open } => {
                let entry =
                    |(key, value): (&String, &Pattern)| format!("{}:{value}", Value::from(key.as_str()));
                let entries: Vec<String> =
                    entries.iter().map(entry).chain(open.then(|| REST.to_owned())).collect();
                write!(formatter, "{{{}}}", entries.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(pattern: Value, value: &Value) -> Result<(), String> {
        Pattern::from(pattern).check(value, &mut Symbols::default()).map_err(|mismatch| mismatch.to_string())
    }

    #[test]
    fn holes_take_what_they_are_there_for() {
        let welcome = json!([2, 7, {"realm": "realm1", "roles": {"broker": {}}}]);
        assert_eq!(check(json!([2, "*", {"realm": "realm1", "...": 0}]), &welcome), Ok(()));
        assert_eq!(check(json!([2, "..."]), &welcome), Ok(()));
        assert_eq!(check(json!("*"), &welcome), Ok(()));
    }

    #[test]
    fn a_difference_is_told_with_its_place() {
        let result = json!([50, 1, {"a/b": [1]}, [3]]);
        let cases = [
            (json!([50, 2, "..."]), "at /1: expected 2, found 1"),
            (json!([50, 1, {"a/b": [2]}, [3]]), "at /2/a~1b/0: expected 2, found 1"),
            (json!([50, 1, {}, [3]]), "at /2: `a/b` was not expected; it is [1]"),
            (json!([50, 1, {"c": 1, "...": 0}, [3]]), "at /2: `c` is missing"),
            (json!([50, 1]), "expected 2 items, found 4"),
            (json!([50, 1, "*", [3, "*"]]), "at /3: expected 2 items, found 1"),
        ];
        for (pattern, error) in cases {
            assert_eq!(check(pattern, &result), Err(error.to_owned()));
        }
    }

    #[test]
    fn a_symbol_stands_for_what_came_first_and_for_nothing_after_a_mismatch() {
        let mut symbols = Symbols::default();
        let pattern = |symbol: &str| Pattern::List {
            items: vec![Pattern::Symbol(symbol.to_owned()), Pattern::Exactly(json!(1))],
            open: false,
        };
        assert!(pattern("sub:a").check(&json!([7, 2]), &mut symbols).is_err());
        assert_eq!(symbols.value("sub:a"), None);
        assert_eq!(pattern("sub:a").check(&json!([7, 1]), &mut symbols), Ok(()));
        assert!(pattern("sub:a").check(&json!([8, 1]), &mut symbols).is_err());
        assert!(pattern("sub:b").check(&json!([7, 1]), &mut symbols).is_err());
        assert_eq!(pattern("reg:b").check(&json!([7, 1]), &mut symbols), Ok(()));
        assert_eq!(pattern("sub:a").to_value(&symbols), Ok(json!([7, 1])));
        assert!(pattern("sub:c").to_value(&symbols).is_err());
    }
}
