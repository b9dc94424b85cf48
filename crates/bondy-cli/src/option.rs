//! Protocol options of `-o`, taken out one after the other by those who know what they mean.

use serde_json::{Map, Value};

use crate::Failure;

/// Options that were given and are not understood yet.
#[derive(Clone, Debug)]
pub(crate) struct Options(Map<String, Value>);

impl Options {
    pub(crate) fn new(options: Map<String, Value>) -> Self {
        Self(options)
    }

    /// A switch; `None` if it was not given.
    pub(crate) fn take_flag(&mut self, key: &str) -> Result<Option<bool>, Failure> {
        self.take(key, "true or false", Value::as_bool)
    }

    /// A whole number.
    pub(crate) fn take_number(&mut self, key: &str) -> Result<Option<u64>, Failure> {
        self.take(key, "a whole number", Value::as_u64)
    }

    /// Text.
    pub(crate) fn take_text(&mut self, key: &str) -> Result<Option<String>, Failure> {
        self.take(key, "text", |value| value.as_str().map(str::to_owned))
    }

    /// A list of ids; a single one needs no list.
    pub(crate) fn take_ids(&mut self, key: &str) -> Result<Option<Vec<u64>>, Failure> {
        self.take(key, "a list of ids", |value| list(value, Value::as_u64))
    }

    /// A list of texts; a single one needs no list.
    pub(crate) fn take_texts(&mut self, key: &str) -> Result<Option<Vec<String>>, Failure> {
        self.take(key, "a list of texts", |value| list(value, |item| item.as_str().map(str::to_owned)))
    }

    fn take<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(value) = self.0.remove(key) else { return Ok(None) };
        read(&value)
            .map(Some)
            .ok_or_else(|| Failure::usage(format!("-o {key}: expected {expected}, found {value}")))
    }

    /// What nobody has taken: options that are passed on as they are.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.0
    }

    /// That nothing is left.
    pub(crate) fn finish(self, known: &str) -> Result<(), Failure> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) => Err(Failure::usage(format!("-o {key}: unknown option\n  help: known are {known}"))),
        }
    }
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Array(items) => items.iter().map(read).collect(),
        item => read(item).map(|item| vec![item]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(value: Value) -> Options {
        let Value::Object(map) = value else { panic!("an object") };
        Options::new(map)
    }

    #[test]
    fn options_are_taken_by_their_type() {
        let mut given = options(json!({"a": true, "b": 7, "c": "x", "d": [1, 2], "e": "staff", "x_f": 1}));
        assert!(matches!(given.take_flag("a"), Ok(Some(true))));
        assert!(matches!(given.take_number("b"), Ok(Some(7))));
        assert!(matches!(given.take_text("c"), Ok(Some(text)) if text == "x"));
        assert!(matches!(given.take_ids("d"), Ok(Some(ids)) if ids == [1, 2]));
        assert!(matches!(given.take_texts("e"), Ok(Some(texts)) if texts == ["staff"]));
        assert!(matches!(given.take_flag("g"), Ok(None)));
        assert_eq!(given.rest(), *json!({"x_f": 1}).as_object().expect("an object"));
    }

    #[test]
    fn a_wrong_type_and_an_unknown_option_are_named() {
        let failure = options(json!({"retain": "yes"})).take_flag("retain");
        assert!(
            matches!(failure, Err(Failure::Usage(text)) if text == "-o retain: expected true or false, found \"yes\"")
        );
        assert!(matches!(options(json!({"x": 1})).finish("match"), Err(Failure::Usage(_))));
    }
}
