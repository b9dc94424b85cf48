//! What the reference expects against what the router sent: equal, but for ids that only the router can know.
//!
//! An expected message may hold symbols. [`any`] stands for any one value and [`rest`] for all remaining elements of
//! a list (texts for people, statistics). A symbolic id stands for an id that the router draws: it is bound to what
//! comes first, and must be the same ever after and different from all others.

use std::collections::{BTreeMap, BTreeSet};

use bondy_wamp::id::ID_MAX;
use bondy_wamp::value::Value;

/// Symbolic ids begin above everything that is an id on the wire.
const SYMBOLS_FROM: i128 = 1 << 70;

const ANY: &str = "\u{1}any";
const REST: &str = "\u{1}rest";
const BOUND_TEXT: &str = "\u{1}bound ";

/// Any one value.
pub(super) fn any() -> Value {
    ANY.into()
}

/// All remaining elements of a list, none included.
pub(super) fn rest() -> Value {
    REST.into()
}

/// The n-th id that the router draws.
pub(super) fn symbol(n: u64) -> Value {
    Value::Integer(SYMBOLS_FROM + i128::from(n))
}

/// A text that the router chooses once and repeats under the same name.
pub(super) fn bound_text(name: &str) -> Value {
    Value::String(format!("{BOUND_TEXT}{name}"))
}

/// What the symbols have been bound to so far.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    ids: BTreeMap<i128, i128>,
    taken: BTreeSet<i128>,
    texts: BTreeMap<String, String>,
}

impl Bindings {
    /// Is this what was expected? Binds symbols that are new.
    pub(super) fn agree(&mut self, expected: &Value, actual: &Value) -> bool {
        match (expected, actual) {
            (Value::String(text), _) if text == ANY => true,
            (Value::String(name), Value::String(text)) if name.starts_with(BOUND_TEXT) => {
                self.texts.entry(name.clone()).or_insert_with(|| text.clone()) == text
            }
            (Value::Integer(symbol), Value::Integer(id)) if *symbol >= SYMBOLS_FROM => {
                self.bind(*symbol, *id)
            }
            (Value::List(expected), Value::List(actual)) => self.lists_agree(expected, actual),
            (Value::Dict(expected), Value::Dict(actual)) => {
                expected.len() == actual.len()
                    && expected.iter().zip(actual).all(|((expected_key, expected), (key, actual))| {
                        expected_key == key && self.agree(expected, actual)
                    })
            }
            (Value::Float(expected), Value::Float(actual)) => expected.to_bits() == actual.to_bits(),
            _ => expected == actual,
        }
    }

    fn lists_agree(&mut self, expected: &[Value], actual: &[Value]) -> bool {
        if let [expected @ .., last] = expected
            && last.as_str() == Some(REST)
        {
            return actual.len() >= expected.len() && self.items_agree(expected, actual);
        }
        expected.len() == actual.len() && self.items_agree(expected, actual)
    }

    fn items_agree(&mut self, expected: &[Value], actual: &[Value]) -> bool {
        expected.iter().zip(actual).all(|(expected, actual)| self.agree(expected, actual))
    }

    fn bind(&mut self, symbol: i128, id: i128) -> bool {
        match self.ids.get(&symbol) {
            Some(bound) => *bound == id,
            None => {
                self.ids.insert(symbol, id);
                (1..=i128::from(ID_MAX)).contains(&id) && self.taken.insert(id)
            }
        }
    }
}
