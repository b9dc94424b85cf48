//! How transcripts are written: lines, messages, patterns.
//!
//! A message is its name and its elements: JSON values, URIs as bare words, and symbols such as `sub:1`, which stand
//! for an id that the router has picked. In an expected message `*` stands for anything, and `...` at the end of a
//! list or dictionary for further items. `"text"*1000` is a long text.

use std::collections::BTreeMap;
use std::fmt;

use bondy_wamp::message::MessageType;
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;

/// The kinds of ids that have symbols.
const SYMBOL_KINDS: [&str; 5] = ["session", "sub", "pub", "reg", "inv"];

/// One script: what it is about, and its steps.
#[derive(Debug)]
pub(super) struct Transcript {
    pub(super) title: String,
    pub(super) line: usize,
    pub(super) steps: Vec<Step>,
}

/// One input and all that comes of it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) input: Input,
    pub(super) expected: Vec<Expected>,
}

#[derive(Debug)]
pub(super) enum Input {
    /// A message from a client.
    Message { from: String, message: Pattern },
    /// Bytes from a client.
    Bytes { from: String, bytes: Vec<u8> },
    /// Something else that happens.
    Directive { name: String, words: Vec<Pattern> },
}

/// What one client receives.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) line: usize,
    pub(super) to: String,
    pub(super) what: Pattern,
}

/// A value, or what a value must be like.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pattern {
    Anything,
    Symbol { kind: String, name: String },
    Value(Value),
    List { items: Vec<Pattern>, is_open: bool },
    Dict { entries: BTreeMap<String, Pattern>, is_open: bool },
}

/// Reads a file of transcripts. Each begins with a comment.
pub(super) fn parse(text: &str) -> Result<Vec<Transcript>, String> {
    let mut transcripts: Vec<Transcript> = Vec::new();
    let mut is_in_title = false;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            if is_in_title {
                let title = &mut transcripts.last_mut().expect("a title has begun").title;
                *title = format!("{title} {}", comment.trim());
            } else {
                let title = comment.trim().to_owned();
                transcripts.push(Transcript { title, line: number, steps: Vec::new() });
            }
            is_in_title = true;
            continue;
        }
        is_in_title = false;
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        let transcript = transcripts.last_mut().ok_or(format!("line {number}: a title comes first"))?;
        for entry in entries(line) {
            add(transcript, entry, number).map_err(|error| format!("line {number}: {error}"))?;
        }
    }
    Ok(transcripts)
}

/// A line may hold an input and, behind two spaces or more, what comes of it.
fn entries(line: &str) -> Vec<&str> {
    let mut starts = vec![0];
    for (index, _) in line.match_indices("  ") {
        let rest = line[index..].trim_start();
        let start = line.len() - rest.len();
        if speaker(rest).is_some() && starts.last() != Some(&start) {
            starts.push(start);
        }
    }
    let ends = starts.iter().skip(1).copied().chain([line.len()]);
    starts.iter().zip(ends).map(|(start, end)| line[*start..end].trim()).collect()
}

/// `bob < ...`: the name, the direction and the rest.
fn speaker(text: &str) -> Option<(&str, char, &str)> {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_')?;
    let rest = text[end..].trim_start();
    let direction = rest.chars().next().filter(|direction| matches!(direction, '<' | '>'))?;
    let rest = rest[1..].strip_prefix(' ')?;
    (end > 0).then(|| (&text[..end], direction, rest.trim()))
}

fn add(transcript: &mut Transcript, entry: &str, line: usize) -> Result<(), String> {
    if let Some(directive) = entry.strip_prefix('@') {
        let mut words = Words { rest: directive };
        let name = words.bare().to_owned();
        let input = Input::Directive { name, words: words.all()? };
        transcript.steps.push(Step { line, input, expected: Vec::new() });
        return Ok(());
    }
    let (name, direction, rest) = speaker(entry).ok_or_else(|| format!("{entry:?} is no entry"))?;
    if direction == '>' {
        let input = input(name, rest)?;
        transcript.steps.push(Step { line, input, expected: Vec::new() });
        return Ok(());
    }
    let step = transcript.steps.last_mut().ok_or("nothing has happened yet")?;
    step.expected.push(Expected { line, to: name.to_owned(), what: message(rest)? });
    Ok(())
}

fn input(from: &str, text: &str) -> Result<Input, String> {
    let from = from.to_owned();
    if let Some(raw) = text.strip_prefix("RAW ") {
        return Ok(Input::Bytes { from, bytes: raw.as_bytes().to_vec() });
    }
    if let Some(hex) = text.strip_prefix("HEX ") {
        let octets: Result<Vec<u8>, _> =
            hex.split_whitespace().map(|octet| u8::from_str_radix(octet, 16)).collect();
        return Ok(Input::Bytes { from, bytes: octets.map_err(|error| error.to_string())? });
    }
    Ok(Input::Message { from, message: message(text)? })
}

/// A message by its name, or as the list that it is, or a word in capitals that is none (`CLOSED`).
fn message(text: &str) -> Result<Pattern, String> {
    let mut words = Words { rest: text };
    if text.starts_with('[') {
        let message = words.pattern()?;
        return words.end().map(|()| message);
    }
    let name = words.bare();
    let first = message_type(name).map_or(Value::from(name), |of| Value::from(of.code()));
    let mut items = vec![Pattern::Value(first)];
    if name == "ERROR" {
        let request_type = words.bare();
        let code = message_type(request_type).map(MessageType::code).or_else(|| request_type.parse().ok());
        let code = code.ok_or_else(|| format!("ERROR for {request_type:?}"))?;
        items.push(Pattern::Value(code.into()));
    }
    items.extend(words.all()?);
    Ok(Pattern::List { items, is_open: false })
}

fn message_type(name: &str) -> Option<MessageType> {
    MessageType::ALL.into_iter().find(|message_type| message_type.as_str() == name)
}

/// What is left of a line.
struct Words<'t> {
    rest: &'t str,
}

impl<'t> Words<'t> {
    fn all(&mut self) -> Result<Vec<Pattern>, String> {
        let mut words = Vec::new();
        while !self.skip_space().is_empty() {
            words.push(self.pattern()?);
        }
        Ok(words)
    }

    fn end(&mut self) -> Result<(), String> {
        let rest = self.skip_space();
        if rest.is_empty() { Ok(()) } else { Err(format!("{rest:?} is too much")) }
    }

    fn skip_space(&mut self) -> &'t str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.skip_space().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn bare(&mut self) -> &'t str {
        let rest = self.skip_space();
        let ends = |character: char| character.is_whitespace() || ",]}".contains(character);
        let (word, rest) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        self.rest = rest;
        word
    }

    fn pattern(&mut self) -> Result<Pattern, String> {
        let rest = self.skip_space();
        if rest.starts_with('"') {
            return self.quoted().map(Pattern::Value);
        }
        if self.eat("[") {
            return self.list();
        }
        if self.eat("{") {
            return self.dict();
        }
        let word = self.bare();
        if matches!(word, "<" | ">") {
            return Err("two spaces or more stand before what comes of an input".to_owned());
        }
        if word == "*" {
            return Ok(Pattern::Anything);
        }
        if let Some((kind, name)) = word.split_once(':').filter(|(kind, _)| SYMBOL_KINDS.contains(kind)) {
            return Ok(Pattern::Symbol { kind: kind.to_owned(), name: name.to_owned() });
        }
        match Value::decode(Serializer::Json, word.as_bytes()) {
            Ok(value) => Ok(Pattern::Value(value)),
            Err(_) if word.is_empty() => Err(format!("a value is expected before {rest:?}")),
            Err(_) => Ok(Pattern::Value(word.into())),
        }
    }

    /// A JSON string, perhaps several times, or binary as JSON writes it.
    fn quoted(&mut self) -> Result<Value, String> {
        let rest = self.skip_space();
        let mut is_escaped = true;
        let end = rest.find(|character: char| {
            let is_end = character == '"' && !is_escaped;
            is_escaped = character == '\\' && !is_escaped;
            is_end
        });
        let (text, rest) = rest.split_at(end.ok_or("a string does not end")? + 1);
        self.rest = rest;
        let value = Value::decode(Serializer::Json, text.as_bytes())
            .map_err(|error| format!("{text} is no string: {error}"))?;
        let (Value::String(text), Some(count)) = (&value, self.rest.strip_prefix('*')) else {
            return Ok(value);
        };
        self.rest = count;
        let count: usize = self.bare().parse().map_err(|_| "a number is expected after *")?;
        Ok(text.repeat(count).as_str().into())
    }

    fn list(&mut self) -> Result<Pattern, String> {
        let (mut items, mut is_open) = (Vec::new(), false);
        while !self.eat("]") {
            if self.eat("...") {
                is_open = true;
            } else {
                items.push(self.pattern()?);
            }
            self.separator("]")?;
        }
        Ok(Pattern::List { items, is_open })
    }

    fn dict(&mut self) -> Result<Pattern, String> {
        let (mut entries, mut is_open) = (BTreeMap::new(), false);
        while !self.eat("}") {
            if self.eat("...") {
                is_open = true;
            } else {
                let Value::String(key) = self.quoted()? else { return Err("a key is text".to_owned()) };
                if !self.eat(":") {
                    return Err(format!("a colon is expected after {key:?}"));
                }
                entries.insert(key, self.pattern()?);
            }
            self.separator("}")?;
        }
        Ok(Pattern::Dict { entries, is_open })
    }

    fn separator(&mut self, end: &str) -> Result<(), String> {
        if self.eat(",") || self.skip_space().starts_with(end) {
            return Ok(());
        }
        Err(format!("a comma or {end:?} is expected before {:?}", self.rest))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Anything => formatter.write_str("*"),
            Pattern::Symbol { kind, name } => write!(formatter, "{kind}:{name}"),
            Pattern::Value(value) => formatter.write_str(&json(value)),
            Pattern::List { items, is_open } => {
                let mut texts: Vec<String> = items.iter().map(Pattern::to_string).collect();
                texts.extend(is_open.then(|| "...".to_owned()));
                write!(formatter, "[{}]", texts.join(", "))
            }
            Pattern::Dict { entries, is_open } => {
                let entry = |(key, value): (&String, &Pattern)| format!("{key:?}: {value}");
                let mut texts: Vec<String> = entries.iter().map(entry).collect();
                texts.extend(is_open.then(|| "...".to_owned()));
                write!(formatter, "{{{}}}", texts.join(", "))
            }
        }
    }
}

fn json(value: &Value) -> String {
    String::from_utf8_lossy(&value.to_bytes(Serializer::Json)).into_owned()
}
