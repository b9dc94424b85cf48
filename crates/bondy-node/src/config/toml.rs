//! TOML into the tree.
//!
//! The parser's own document is used, not its deserializer: it gives a byte range for every key and value, and
//! recovers after an error, so that all of them are reported.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::problem::{Complaint, Origin, Problem};
use super::tree::{Entry, NODES_MAX, Node, Value};

/// Parses a file. `origin` says which; line and column are filled in.
pub(crate) fn parse(text: &str, origin: &Origin) -> Result<Node, Vec<Problem>> {
    let mut reader = Reader { text, landmarks: landmarks(text), origin, nodes: 0 };
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problem = |error: &toml::de::Error| {
            let at = reader.place(error.span().map_or(text.len(), |span| span.start));
            Problem::new(&at, "", Complaint::new(format!("not well-formed: {}", error.message())))
        };
        return Err(errors.iter().map(problem).collect());
    }
    let value = reader.table(table.get_ref());
    if reader.nodes > NODES_MAX {
        return Err(vec![Problem::new(origin, "", Complaint::new(format!("more than {NODES_MAX} values")))]);
    }
    Ok(Node::new(value, origin))
}

/// Turns the document into the tree.
struct Reader<'a> {
    text: &'a str,
    landmarks: Vec<Landmark>,
    origin: &'a Origin,
    nodes: usize,
}

/// A byte of the text whose line and column are known.
#[derive(Clone, Copy)]
struct Landmark {
    offset: usize,
    line: usize,
    column: usize,
}

/// The beginning of each line, and of every further stretch of a long one, so that no place is far from one.
fn landmarks(text: &str) -> Vec<Landmark> {
    const STRETCH: usize = 256;
    let mut here = Landmark { offset: 0, line: 1, column: 1 };
    let mut landmarks = vec![here];
    for (offset, character) in text.char_indices() {
        let next = offset + character.len_utf8();
        here = if character == '\n' {
            Landmark { offset: next, line: here.line + 1, column: 1 }
        } else {
            Landmark { offset: next, line: here.line, column: here.column + 1 }
        };
        if here.column % STRETCH == 1 {
            landmarks.push(here);
        }
    }
    landmarks
}

impl Reader<'_> {
    fn place(&self, offset: usize) -> Origin {
        let next = self.landmarks.partition_point(|landmark| landmark.offset <= offset);
        let landmark = self.landmarks[next.saturating_sub(1)];
        let between = self.text.get(landmark.offset..offset).map_or(0, |between| between.chars().count());
        self.origin.at(landmark.line, landmark.column + between)
    }

    fn table(&mut self, table: &DeTable<'_>) -> Value {
        let entry = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            let entry = Entry { key_origin: self.place(key.span().start), node: self.node(value) };
            (key.get_ref().to_string(), entry)
        };
        Value::Map(table.iter().map(entry).collect())
    }

    /// The parser refuses deep nesting, which bounds the recursion.
    fn node(&mut self, value: &Spanned<DeValue<'_>>) -> Node {
        let at = self.place(value.span().start);
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Node::new(Value::Null, &at);
        }
        match value.get_ref() {
            DeValue::String(text) => Node::scalar(text.to_string(), true, &at),
            DeValue::Integer(integer) => {
                let decimal = i128::from_str_radix(integer.as_str(), integer.radix());
                let text = decimal.map_or_else(|_| integer.to_string(), |number| number.to_string());
                Node::scalar(text, false, &at)
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
