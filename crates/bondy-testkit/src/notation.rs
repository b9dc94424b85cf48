//! Messages as people write them: `CALL 1 {} com.example.add [1, 2]`.
//!
//! The name of a message and its elements. An element is JSON; a URI may stand without quotes; the second element of
//! ERROR may be the name of a message. In what is expected, also inside lists and dictionaries, `*` is anything, `...`
//! allows more, and `sub:x` (with `pub`, `reg`, `inv`, `session`, `req` or `id` in its place) is a symbol. A message of
//! another type is written as a JSON list. It is the notation of the router's own transcripts.

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde_json::Value;

use crate::message::type_named;
use crate::pattern::{ANYTHING, Pattern, REST};

/// The kinds of symbols.
const KINDS: [&str; 7] = ["sub", "pub", "reg", "inv", "session", "req", "id"];

/// How deep lists and dictionaries may be nested: somewhat deeper than WAMP payloads may.
const DEPTH_MAX: usize = 100;

/// A text that is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no message: {reason}, at character {at}")]
pub struct NotationError {
    text: String,
    reason: String,
    at: usize,
}

impl From<Infallible> for NotationError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl TryFrom<&str> for Pattern {
    type Error = NotationError;

    fn try_from(text: &str) -> Result<Self, NotationError> {
        parse(text)
    }
}

impl TryFrom<&String> for Pattern {
    type Error = NotationError;

    fn try_from(text: &String) -> Result<Self, NotationError> {
        parse(text)
    }
}

/// Reads a message or what is expected of one.
pub(crate) fn parse(text: &str) -> Result<Pattern, NotationError> {
    let mut reader = Reader { text, at: 0 };
    reader.message().map_err(|reason| NotationError {
        text: text.to_owned(),
        reason,
        at: text[..reader.at].chars().count() + 1,
    })
}

struct Reader<'a> {
    text: &'a str,
    /// A border of characters.
    at: usize,
}

/// What stands at a place.
enum Item {
    Pattern(Pattern),
    Rest,
    Word(String),
}

impl Reader<'_> {
    fn message(&mut self) -> Result<Pattern, String> {
        self.skip_space();
        if self.rest().starts_with('[') {
            let list = self.element(0)?;
            return match (list, self.is_at_end()) {
                (Item::Pattern(pattern), true) => Ok(pattern),
                (_, _) => Err("something follows the list".to_owned()),
            };
        }
        let start = self.at;
        let name = self.word().to_owned();
        let Some(message) = type_named(&name) else {
            self.at = start;
            return Err(format!("`{name}` is no type of message"));
        };
        let mut items = vec![Pattern::Exactly(message.code().into())];
        let mut open = false;
        while !self.is_at_end() {
            if open {
                return Err("something follows `...`".to_owned());
            }
            match self.element(0)? {
                Item::Pattern(pattern) => items.push(pattern),
                Item::Rest => open = true,
                Item::Word(word) => items.push(Pattern::Exactly(match type_named(&word) {
                    Some(failed) if items.len() == 1 && name.eq_ignore_ascii_case("ERROR") => {
                        failed.code().into()
                    }
                    Some(_) | None => word.into(),
                })),
            }
        }
        Ok(Pattern::List { items, open })
    }

    /// A value, a hole or a bare word.
    fn element(&mut self, depth: usize) -> Result<Item, String> {
        if depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX}"));
        }
        self.skip_space();
        match self.rest().chars().next() {
            None => Err("something is missing".to_owned()),
            Some('[') => self.list(depth).map(Item::Pattern),
            Some('{') => self.dict(depth).map(Item::Pattern),
            Some('"') => self.string().map(|text| Item::Pattern(Pattern::Exactly(text.into()))),
            Some(_) => self.bare(),
        }
    }

    fn bare(&mut self) -> Result<Item, String> {
        let word = self.word().to_owned();
        if word.is_empty() {
            return Err("a value was expected".to_owned());
        }
        if word == ANYTHING {
            return Ok(Item::Pattern(Pattern::Anything));
        }
        if word == REST {
            return Ok(Item::Rest);
        }
        if let Ok(value) = serde_json::from_str::<Value>(&word) {
            return Ok(Item::Pattern(Pattern::Exactly(value)));
        }
        match word.split_once(':') {
            Some((kind, name)) if KINDS.contains(&kind) && !name.is_empty() => {
                Ok(Item::Pattern(Pattern::Symbol(word)))
            }
            Some(_) | None => Ok(Item::Word(word)),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Pattern, String> {
        let (mut items, mut open) = (Vec::new(), false);
        self.expect('[')?;
        self.skip_space();
        if self.take(']') {
            return Ok(Pattern::List { items, open });
        }
        loop {
            match self.element(depth + 1)? {
                Item::Pattern(pattern) => items.push(pattern),
                Item::Rest => open = true,
                Item::Word(word) => return Err(format!("`{word}` needs quotes inside a list")),
            }
            self.skip_space();
            if !open && self.take(',') {
                continue;
            }
            self.expect(']')?;
            return Ok(Pattern::List { items, open });
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Pattern, String> {
        let (mut entries, mut open) = (BTreeMap::new(), false);
        self.expect('{')?;
        self.skip_space();
        if self.take('}') {
            return Ok(Pattern::Dict { entries, open });
        }
        loop {
            self.skip_space();
            if self.rest().starts_with(REST) {
                self.at += REST.len();
                open = true;
            } else {
                let (key, value) = self.entry(depth)?;
                entries.insert(key, value);
            }
            self.skip_space();
            if !open && self.take(',') {
                continue;
            }
            self.expect('}')?;
            return Ok(Pattern::Dict { entries, open });
        }
    }

    fn entry(&mut self, depth: usize) -> Result<(String, Pattern), String> {
        let key = self.string()?;
        self.skip_space();
        self.expect(':')?;
        match self.element(depth + 1)? {
            Item::Pattern(pattern) => Ok((key, pattern)),
            Item::Rest => Err("`...` is no value".to_owned()),
            Item::Word(word) => Err(format!("`{word}` needs quotes inside a dictionary")),
        }
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.rest().starts_with('"') {
            return Err("a text in quotes was expected".to_owned());
        }
        let mut is_escaped = false;
        for (index, character) in self.rest().char_indices().skip(1) {
            match character {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                '"' => {
                    let quoted = &self.rest()[..=index];
                    let text = serde_json::from_str(quoted).map_err(|error| error.to_string())?;
                    self.at += index + 1;
                    return Ok(text);
                }
                _ => {}
            }
        }
        Err("a text without its closing quote".to_owned())
    }

    /// Everything up to a space, a comma or a bracket.
    fn word(&mut self) -> &str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.find(|one: char| one.is_whitespace() || ",[]{}\"".contains(one));
        let word = &rest[..end.unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.rest().is_empty()
    }

    fn take(&mut self, character: char) -> bool {
        let is_there = self.rest().starts_with(character);
        if is_there {
            self.at += character.len_utf8();
        }
        is_there
    }

    fn expect(&mut self, character: char) -> Result<(), String> {
        if self.take(character) { Ok(()) } else { Err(format!("`{character}` was expected")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Symbols;
    use serde_json::json;

    fn sent(text: &str) -> Value {
        parse(text).unwrap().to_value(&Symbols::default()).unwrap()
    }

    #[test]
    fn messages_are_written_by_name_or_as_a_list() {
        assert_eq!(
            sent("CALL 1 {} com.example.add [1, -2.5, \"a b\"] {\"k\": [null]}"),
            json!([48, 1, {}, "com.example.add", [1, -2.5, "a b"], {"k": [null]}])
        );
        assert_eq!(sent("ERROR CALL 1 {} com.example.error"), json!([8, 48, 1, {}, "com.example.error"]));
        assert_eq!(sent("hello realm1 {\"roles\": {}}"), json!([1, "realm1", {"roles": {}}]));
        assert_eq!(sent("[99, \"x\\\"y\"]"), json!([99, "x\"y"]));
        assert_eq!(sent("CALL"), json!([48]));
    }

    #[test]
    fn expectations_have_holes_and_symbols() {
        let pattern = parse("EVENT sub:x * {\"publisher\": session:bob, ...} [1, *, ...] ...").unwrap();
        let mut symbols = Symbols::default();
        let event = json!([36, 5, 6, {"publisher": 9, "topic": "a"}, [1, 2, 3, 4], {"k": 1}]);
        assert_eq!(pattern.check(&event, &mut symbols), Ok(()));
        assert_eq!(
            (symbols.value("sub:x"), symbols.value("session:bob")),
            (Some(&json!(5)), Some(&json!(9)))
        );
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_place() {
        let cases = [
            ("", "no type of message"),
            ("CALLS 1", "`CALLS` is no type of message, at character 1"),
            ("CALL 1 {", "a text in quotes was expected"),
            ("CALL 1 {\"a\" 1}", "`:` was expected, at character 13"),
            ("CALL 1 [a]", "`a` needs quotes"),
            ("CALL 1 [1", "`]` was expected"),
            ("CALL 1 \"a", "without its closing quote"),
            ("CALL ... 1", "something follows `...`"),
            ("[1] 2", "something follows the list"),
            ("CALL }", "a value was expected"),
        ];
        for (text, part) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
        assert!(parse(&format!("CALL {}", "[".repeat(100_000))).is_err());
    }

    #[test]
    fn any_text_is_read_or_refused() {
        let texts =
            ["EVENT sub:x * {\"publisher\": session:bob, ...} [1, *, ...] ...", "[1, \"ä\\u00e4\", {}]"];
        for seed in 0..5_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut text: Vec<char> = texts[random.usize(0..texts.len())].chars().collect();
            for _ in 0..random.usize(1..5) {
                let at = random.usize(0..text.len());
                text[at] = *random
                    .choice(&[' ', '"', '{', '}', '[', ']', ',', ':', '*', '.', '\\', 'ä', '7'])
                    .unwrap();
            }
            let text: String = text.into_iter().collect();
            if let Ok(pattern) = parse(&text) {
                // What is read can be written and read again.
                assert_eq!(parse(&pattern.to_string()).as_ref(), Ok(&pattern), "{text}");
            }
        }
    }
}
