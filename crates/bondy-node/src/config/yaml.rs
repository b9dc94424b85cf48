//! YAML, and JSON as the part of YAML that it is, into the tree.
//!
//! Built on the parser's events rather than on a deserializer: events carry line and column for keys and values
//! alike, say whether a scalar was quoted, and leave the count of aliases to us. Refused, with their place: tags,
//! keys that are not text, keys given twice, a second document, and more nesting, values or aliases than a
//! configuration needs.

use std::collections::BTreeMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle};

use super::problem::{Complaint, Origin, Problem};
use super::tree::{DEPTH_MAX, Entry, Map, NODES_MAX, Node, Value};

/// How many values aliases may add to those written: room for a few shared blocks, none for a bomb.
const ALIASED_NODES_MAX: usize = 10_000;

/// Parses one document. `origin` says what the text is; line and column are filled in.
pub(crate) fn parse(text: &str, origin: &Origin) -> Result<Node, Problem> {
    let options = granit_parser::options! {
        disallow_directives: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut builder =
        Builder { open: Vec::new(), anchors: BTreeMap::new(), root: None, nodes: 0, aliased: 0 };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let complaint = Complaint::new(format!("not well-formed: {}", error.info()));
            Problem::new(&place(origin, *error.marker()), "", complaint)
        })?;
        let at = place(origin, span.start);
        builder.handle(event, &at).map_err(|complaint| Problem::new(&at, "", complaint))?;
    }
    Ok(builder.root.unwrap_or_else(|| Node::new(Value::Null, origin)))
}

fn place(origin: &Origin, marker: Marker) -> Origin {
    origin.at(marker.line(), marker.col() + 1)
}

/// The values that are not closed yet, and what was named by an anchor.
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Built>,
    root: Option<Node>,
    nodes: usize,
    aliased: usize,
}

/// A finished value, how many values it holds, itself included, and how deep they nest.
#[derive(Clone)]
struct Built {
    node: Node,
    count: usize,
    height: usize,
}

/// A list or map whose end has not come.
struct Open {
    content: Content,
    origin: Origin,
    anchor: usize,
    count: usize,
    height: usize,
}

enum Content {
    List(Vec<Node>),
    Map { map: Map, key: Option<(String, Origin)> },
}

impl Builder {
    fn handle(&mut self, event: Event<'_>, at: &Origin) -> Result<(), Complaint> {
        if event.tag().is_some() {
            return Err(Complaint::new("tags are not supported").help("quote the value to make it text"));
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                self.handle_scalar(text.into_owned(), style != ScalarStyle::Plain, anchor, at)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(Content::List(Vec::new()), anchor, at),
            Event::MappingStart(_, anchor, _) => {
                self.begin(Content::Map { map: Map::new(), key: None }, anchor, at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.handle_alias(anchor),
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Complaint::new("a second document").help("one file holds one configuration"))
            }
            // Beginnings and ends of the stream carry nothing, and the options keep everything else away.
            _ => Ok(()),
        }
    }

    fn handle_scalar(
        &mut self,
        text: String,
        quoted: bool,
        anchor: usize,
        at: &Origin,
    ) -> Result<(), Complaint> {
        if let Some(Open { content: Content::Map { map, key: key @ None }, .. }) = self.open.last_mut() {
            if let Some(first) = map.get(&text) {
                return Err(duplicate_key(&text, &first.key_origin));
            }
            *key = Some((text, at.clone()));
            return Ok(());
        }
        self.add(Built { node: Node::scalar(text, quoted, at), count: 1, height: 1 }, anchor)
    }

    fn handle_alias(&mut self, anchor: usize) -> Result<(), Complaint> {
        self.expect_value()?;
        let Some(built) = self.anchors.get(&anchor) else {
            return Err(Complaint::new("an alias inside the value that it names"));
        };
        self.aliased += built.count;
        if self.aliased > ALIASED_NODES_MAX {
            return Err(Complaint::new(format!("aliases add more than {ALIASED_NODES_MAX} values")));
        }
        let built = built.clone();
        self.add(built, 0)
    }

    fn begin(&mut self, content: Content, anchor: usize, at: &Origin) -> Result<(), Complaint> {
        self.expect_value()?;
        self.open.push(Open { content, origin: at.clone(), anchor, count: 1, height: 1 });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Complaint> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Map { map, .. } => Value::Map(map),
        };
        let built = Built { node: Node::new(value, &open.origin), count: open.count, height: open.height };
        self.add(built, open.anchor)
    }

    /// A map that waits for a key takes nothing but text.
    fn expect_value(&self) -> Result<(), Complaint> {
        match self.open.last() {
            Some(Open { content: Content::Map { key: None, .. }, .. }) => {
                Err(Complaint::new("a key must be text"))
            }
            _ => Ok(()),
        }
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, built: Built, anchor: usize) -> Result<(), Complaint> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Complaint::new(format!("more than {NODES_MAX} values")));
        }
        if self.open.len() + built.height > DEPTH_MAX {
            return Err(Complaint::new(format!("values nest deeper than {DEPTH_MAX}")));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(built.node);
            return Ok(());
        };
        parent.count += built.count;
        parent.height = parent.height.max(built.height + 1);
        match &mut parent.content {
            Content::List(items) => items.push(built.node),
            Content::Map { map, key } => {
                if let Some((name, key_origin)) = key.take() {
                    map.insert(name, Entry { key_origin, node: built.node });
                }
            }
        }
        Ok(())
    }
}

fn duplicate_key(name: &str, first: &Origin) -> Complaint {
    let complaint = Complaint::new(format!("the key `{}` is given twice", name.escape_debug()));
    match first {
        Origin::File { line, .. } => complaint.help(format!("the first is on line {line}")),
        Origin::Default | Origin::Dev | Origin::Environment(_) | Origin::Flag(_) => complaint,
    }
}
