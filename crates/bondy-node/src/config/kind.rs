//! What a key may hold: the closed set of kinds, and the check of a scalar against one.
//!
//! The table of keys is built from these; the check, the JSON Schema and the reference page all read them.

use std::time::Duration;

use bondy_transport::forwarded::IpNetwork;
use bondy_wamp::uri::{self, UriRule};

use super::address::Bind;
use super::problem::{Complaint, nearest, one_of};
use super::tree::{Node, Scalar, Value};
use super::unit::{format_duration, format_size, parse_duration, parse_size};

/// One key of a section.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
    /// What it does, why its default is what it is: Markdown, one paragraph.
    pub(crate) doc: &'static str,
}

/// What holds when a key is not given.
#[derive(Debug)]
pub(crate) enum Presence {
    /// It must be given. The example stands in the default file.
    Required { example: &'static str },
    /// This value, in YAML.
    Default(&'static str),
    /// This value, in YAML. The example stands in the default file instead.
    Illustrated { default: &'static str, example: &'static str },
    /// The feature is absent. The example stands in the default file, commented out.
    Optional { example: &'static str },
    /// The original knows the key and this version cannot do what it asks for. Only the value that asks for nothing
    /// is accepted, in YAML.
    Later { harmless: &'static str },
}

/// What a key may hold.
#[derive(Debug)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer { min: u64, max: u64 },
    /// Any text.
    Text,
    /// Letters, digits, `.`, `_`, `@` and `-`.
    Name,
    /// A duration, or one of the words.
    Duration { min: Duration, max: Duration, words: &'static [&'static str] },
    /// A number of bytes.
    Size { min: u64, max: u64 },
    /// A number of bytes, or a percentage of the memory of the machine.
    Memory,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A WAMP URI.
    Uri,
    /// A TCP address or a Unix socket.
    Bind,
    /// A network of IP addresses.
    Network,
    /// A path, relative to the folder of the file that says it; or one of the words.
    Path { words: &'static [&'static str] },
    /// A path, as above, of a file that must be readable.
    File,
    /// A secret, or `file:` and the path of a file that holds it. Never shown.
    Secret,
    /// A list.
    List(&'static Kind),
    /// A list, or one item without the brackets.
    OneOrMany(&'static Kind),
    /// Names that the user chooses, each with the same keys. The text is the example entries of the default file.
    Named { keys: &'static [Key], example: &'static str },
    /// These keys.
    Section(&'static [Key]),
    /// Anything.
    Free,
}

impl Kind {
    /// What a message calls it: "expected ...".
    pub(crate) fn expectation(&self) -> String {
        match self {
            Kind::Bool => "`true` or `false`".into(),
            Kind::Integer { min, max } if min == max => format!("`{min}`"),
            Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Text | Kind::Secret => "text".into(),
            Kind::Name => "a name".into(),
            Kind::Duration { words: [], .. } => "a duration such as `10s`".into(),
            Kind::Duration { words, .. } => format!("a duration such as `10s`, or {}", one_of(words)),
            Kind::Size { .. } => "a size such as `16MiB`".into(),
            Kind::Memory => "a size such as `512MiB`, or a percentage such as `25%`".into(),
            Kind::OneOf(words) => one_of(words),
            Kind::Uri => "a WAMP URI".into(),
            Kind::Bind => "`HOST:PORT` or `unix:PATH`".into(),
            Kind::Network => "a network such as `10.0.0.0/8`".into(),
            Kind::Path { .. } | Kind::File => "a path".into(),
            Kind::List(_) => "a list".into(),
            Kind::OneOrMany(item) => format!("{}, or a list", item.expectation()),
            Kind::Named { .. } | Kind::Section(_) => "a map of keys".into(),
            Kind::Free => "anything".into(),
        }
    }

    /// Is it a list or a map?
    pub(crate) fn is_container(&self) -> bool {
        match self {
            Kind::List(_) | Kind::OneOrMany(_) | Kind::Named { .. } | Kind::Section(_) | Kind::Free => true,
            Kind::Bool
            | Kind::Integer { .. }
            | Kind::Text
            | Kind::Name
            | Kind::Duration { .. }
            | Kind::Size { .. }
            | Kind::Memory
            | Kind::OneOf(_)
            | Kind::Uri
            | Kind::Bind
            | Kind::Network
            | Kind::Path { .. }
            | Kind::File
            | Kind::Secret => false,
        }
    }

    /// The kind of a value under this key or index, if there is one.
    pub(crate) fn child(&self, name: &str) -> Option<ChildKind> {
        if let Kind::Section(keys) = self {
            return keys.iter().find(|key| key.name == name).map(|key| ChildKind::One(&key.kind));
        }
        if let Kind::Named { keys, .. } = self {
            return Some(ChildKind::Section(keys));
        }
        if let Kind::List(item) | Kind::OneOrMany(item) = self {
            return Some(ChildKind::One(item));
        }
        None
    }

    /// What is wrong with a scalar in this place. `lenient`: it was written where everything is text.
    pub(crate) fn check(&self, node: &Node, lenient: bool) -> Result<(), Complaint> {
        let Value::Scalar(scalar) = &node.value else {
            return Err(self.mismatch(&node.describe()));
        };
        let text = scalar.text.as_str();
        match self {
            Kind::Bool => self.check_bool(scalar, lenient),
            Kind::Integer { min, max } => self.check_integer(scalar, *min, *max, lenient),
            Kind::Duration { words, .. } if !words.is_empty() && !begins_with_digit(text) => {
                self.check_word(scalar, words)
            }
            Kind::Duration { min, max, .. } => in_range(parse_duration(text)?, *min, *max, format_duration),
            Kind::Size { min, max } => in_range(parse_size(text)?, *min, *max, format_size),
            Kind::Memory => Memory::parse(text).map(drop),
            Kind::Bind => Bind::parse(text).map(drop),
            Kind::Network => match IpNetwork::parse(text) {
                Ok(_) => Ok(()),
                Err(_) => Err(self.mismatch(&scalar.describe())),
            },
            Kind::OneOf(words) => self.check_word(scalar, words),
            Kind::Text | Kind::Name | Kind::Uri | Kind::Path { .. } | Kind::File | Kind::Secret => {
                self.check_text(scalar, lenient)
            }
            Kind::List(_) => Err(self.mismatch(&scalar.describe()).help(format!("did you mean `[{text}]`?"))),
            Kind::OneOrMany(item) => item.check(node, lenient),
            Kind::Named { .. } | Kind::Section(_) => Err(self.mismatch(&scalar.describe())),
            Kind::Free => Ok(()),
        }
    }

    fn mismatch(&self, found: &str) -> Complaint {
        let found = if matches!(self, Kind::Secret) { "another kind of value" } else { found };
        Complaint::new(format!("expected {}, found {found}", self.expectation()))
    }

    fn check_bool(&self, scalar: &Scalar, lenient: bool) -> Result<(), Complaint> {
        let unquoted = Scalar { text: scalar.text.clone(), quoted: false };
        if scalar.as_bool().is_some() || (lenient && unquoted.as_bool().is_some()) {
            return Ok(());
        }
        let complaint = self.mismatch(&scalar.describe());
        Err(match scalar.text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "1" | "true" => complaint.help("did you mean `true`?"),
            "no" | "off" | "0" | "false" => complaint.help("did you mean `false`?"),
            _ => complaint,
        })
    }

    fn check_word(&self, scalar: &Scalar, words: &[&'static str]) -> Result<(), Complaint> {
        if words.contains(&scalar.text.as_str()) {
            return Ok(());
        }
        let complaint = self.mismatch(&scalar.describe());
        Err(match nearest(&scalar.text, words.iter().copied()) {
            Some(word) => complaint.help(format!("did you mean `{word}`?")),
            None => complaint,
        })
    }

    fn check_text(&self, scalar: &Scalar, lenient: bool) -> Result<(), Complaint> {
        let text = scalar.text.as_str();
        let complaint = || self.mismatch(&scalar.describe());
        if !lenient && (scalar.as_bool().is_some() || scalar.is_number()) {
            return Err(match self {
                Kind::Secret => complaint().help("write it in quotes"),
                _ => complaint().help(format!("write it in quotes: `\"{text}\"`")),
            });
        }
        match self {
            Kind::Name if !is_name(text) => {
                Err(complaint().help("letters, digits, `.`, `_`, `@` and `-`; at most 255"))
            }
            Kind::Uri if !uri::is_valid(text, UriRule::Loose) => {
                Err(complaint().help("parts joined by dots, without blanks, `#` or empty parts"))
            }
            Kind::Path { .. } | Kind::File if text.is_empty() => Err(self.mismatch("nothing")),
            _ => Ok(()),
        }
    }

    fn check_integer(&self, scalar: &Scalar, min: u64, max: u64, lenient: bool) -> Result<(), Complaint> {
        let number = if lenient { scalar.text.parse().ok() } else { scalar.as_integer() };
        match number {
            Some(number) if (i128::from(min)..=i128::from(max)).contains(&number) => Ok(()),
            _ => Err(self.mismatch(&scalar.describe())),
        }
    }
}

/// The kind of a value inside another.
pub(crate) enum ChildKind {
    One(&'static Kind),
    Section(&'static [Key]),
}

fn in_range<T: PartialOrd + Copy>(
    value: T,
    min: T,
    max: T,
    format: fn(T) -> String,
) -> Result<(), Complaint> {
    if value < min {
        let complaint = Complaint::new(format!("{} is too little", format(value)));
        return Err(complaint.help(format!("at least {}", format(min))));
    }
    if value > max {
        let complaint = Complaint::new(format!("{} is too much", format(value)));
        return Err(complaint.help(format!("at most {}", format(max))));
    }
    Ok(())
}

fn begins_with_digit(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'-');
    (1..=255).contains(&text.len()) && text.bytes().all(allowed)
}

/// A bound on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of the memory that the process may use.
    Percent(u8),
}

impl Memory {
    /// Reads a size or a percentage from 1 to 100.
    pub(crate) fn parse(text: &str) -> Result<Self, Complaint> {
        let Some(percent) = text.strip_suffix('%') else {
            return parse_size(text).map(Memory::Bytes);
        };
        match percent.trim_end().parse() {
            Ok(percent @ 1..=100) => Ok(Memory::Percent(percent)),
            _ => Err(Complaint::new(format!(
                "expected a percentage from 1% to 100%, found `{}`",
                text.escape_debug()
            ))),
        }
    }

    /// The bound in bytes on a machine with so much memory.
    pub fn bytes_of(self, memory_bytes: u64) -> u64 {
        match self {
            Memory::Bytes(bytes) => bytes,
            Memory::Percent(percent) => memory_bytes / 100 * u64::from(percent),
        }
    }
}
