//! Ids by symbols: bound on first use, equal afterwards, and never two symbols for one id.

use std::collections::BTreeMap;

use bondy_wamp::value::Value;

use super::notation::Pattern;

/// Which ids the symbols stand for. Ids of invocations belong to one session each, all others to the realm.
#[derive(Clone, Debug, Default)]
pub(super) struct Symbols {
    /// (scope, kind, name) to id.
    bound: BTreeMap<(String, String, String), u64>,
}

impl Symbols {
    /// Binds a symbol, or says why it cannot stand for this id.
    pub(super) fn bind(&mut self, client: &str, kind: &str, name: &str, id: u64) -> Result<(), String> {
        let key = key(client, kind, name);
        if let Some(bound) = self.bound.get(&key) {
            return if *bound == id { Ok(()) } else { Err(format!("{kind}:{name} is {bound}, not {id}")) };
        }
        let taken =
            self.bound.iter().find(|((scope, of, _), bound)| **bound == id && *scope == key.0 && of == kind);
        if let Some(((_, _, other), _)) = taken {
            return Err(format!("{id} is {kind}:{other}, not {kind}:{name}"));
        }
        self.bound.insert(key, id);
        Ok(())
    }

    /// The value that is written in an input.
    pub(super) fn value(&self, client: &str, pattern: &Pattern) -> Result<Value, String> {
        Ok(match pattern {
            Pattern::Anything => return Err("* is for expected messages".to_owned()),
            Pattern::Symbol { kind, name } => match self.bound.get(&key(client, kind, name)) {
                Some(id) => (*id).into(),
                None => return Err(format!("{kind}:{name} stands for nothing yet")),
            },
            Pattern::Value(value) => value.clone(),
            Pattern::List { items, .. } => {
                let items: Result<_, _> = items.iter().map(|item| self.value(client, item)).collect();
                Value::List(items?)
            }
            Pattern::Dict { entries, .. } => {
                let entry = |(key, item): (&String, &Pattern)| {
                    self.value(client, item).map(|value| (key.clone(), value))
                };
                Value::Dict(entries.iter().map(entry).collect::<Result<_, _>>()?)
            }
        })
    }

    /// Is the value as expected? Binds symbols on the way.
    pub(super) fn matches(&mut self, client: &str, pattern: &Pattern, value: &Value) -> Result<(), String> {
        match (pattern, value) {
            (Pattern::Anything, _) => Ok(()),
            (Pattern::Symbol { kind, name }, Value::Integer(id)) => {
                let id = u64::try_from(*id).map_err(|_| format!("{id} is no id"))?;
                self.bind(client, kind, name, id)
            }
            (Pattern::Value(wanted), value) if wanted == value => Ok(()),
            (Pattern::List { items, is_open }, Value::List(values)) => {
                if values.len() < items.len() || (values.len() > items.len() && !is_open) {
                    return Err(format!("{} items instead of {}", values.len(), items.len()));
                }
                items.iter().zip(values).try_for_each(|(item, value)| self.matches(client, item, value))
            }
            (Pattern::Dict { entries, is_open }, Value::Dict(values)) => {
                if let Some(key) = values.keys().find(|key| !is_open && !entries.contains_key(*key)) {
                    return Err(format!("{key:?} is not expected"));
                }
                entries.iter().try_for_each(|(key, item)| match values.get(key) {
                    Some(value) => self.matches(client, item, value),
                    None => Err(format!("{key:?} is missing")),
                })
            }
            (pattern, value) => Err(format!("{} instead of {pattern}", self.show(value))),
        }
    }

    /// A received value as it would be written, with symbols where the ids are long enough to be told apart.
    pub(super) fn show(&self, value: &Value) -> String {
        match value {
            Value::Integer(id) if *id > i128::from(u32::MAX) => {
                let bound = self.bound.iter().find(|(_, bound)| i128::from(**bound) == *id);
                bound.map_or(id.to_string(), |((_, kind, name), _)| format!("{kind}:{name}"))
            }
            Value::List(values) => {
                let texts: Vec<String> = values.iter().map(|value| self.show(value)).collect();
                format!("[{}]", texts.join(", "))
            }
            Value::Dict(entries) => {
                let entry = |(key, value): (&String, &Value)| format!("{key:?}: {}", self.show(value));
                let texts: Vec<String> = entries.iter().map(entry).collect();
                format!("{{{}}}", texts.join(", "))
            }
            other => shorten(Pattern::Value(other.clone()).to_string()),
        }
    }
}

fn key(client: &str, kind: &str, name: &str) -> (String, String, String) {
    let scope = if kind == "inv" { client } else { "" };
    (scope.to_owned(), kind.to_owned(), name.to_owned())
}

/// Long texts say nothing.
fn shorten(text: String) -> String {
    if text.len() <= 200 {
        return text;
    }
    let head: String = text.chars().take(60).collect();
    format!("{head}... ({} bytes)", text.len())
}
