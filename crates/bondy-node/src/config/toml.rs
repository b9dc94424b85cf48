//! TOML into the tree.
//!
//! The parser's own document is used, not its deserializer: it gives a byte range for every key and value, and
//! recovers after an error, so that all of them are reported.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::problem::{Complaint, Origin, Problem};
use super::tree::{Entry, Node, Value};

/// Parses a file. `origin` says which; line and column are filled in.
pub(crate) fn parse(text: &str, origin: &Origin) -> Result<Node, Vec<Problem>> {
    let lines = Lines { text, starts: line_starts(text), origin };
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(Node::new(lines.table(table.get_ref()), origin));
    }
    let problem = |error: &toml::de::Error| {
        let at = lines.place(error.span().map_or(text.len(), |span| span.start));
        Problem::new(&at, "", Complaint::new(format!("not well-formed: {}", error.message())))
    };
    Err(errors.iter().map(problem).collect())
}

/// A text and where its lines begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    origin: &'a Origin,
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(position, _)| position + 1)).collect()
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Origin {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        self.origin.at(line, column + 1)
    }

    fn table(&self, table: &DeTable<'_>) -> Value {
        let entry = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            let entry = Entry { key_origin: self.place(key.span().start), node: self.node(value) };
            (key.get_ref().to_string(), entry)
        };
        Value::Map(table.iter().map(entry).collect())
    }

    /// The parser refuses deep nesting, which bounds the recursion.
    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let at = self.place(value.span().start);
        match value.get_ref() {
            DeValue::String(text) => Node::scalar(text.to_string(), true, &at),
            DeValue::Integer(integer) => {
                let decimal = i128::from_str_radix(integer.as_str(), integer.radix());
                Node::scalar(
                    decimal.map_or_else(|_| integer.to_string(), |number| number.to_string()),
                    false,
                    &at,
                )
            }
            DeValue::Float(float) => Node::scalar(float.as_str().to_owned(), false, &at),
            DeValue::Boolean(truth) => Node::scalar(truth.to_string(), false, &at),
            DeValue::Datetime(moment) => Node::scalar(moment.to_string(), true, &at),
            DeValue::Array(items) => {
                Node::new(Value::List(items.iter().map(|item| self.node(item)).collect()), &at)
            }
            DeValue::Table(table) => Node::new(self.table(table), &at),
        }
    }
}
