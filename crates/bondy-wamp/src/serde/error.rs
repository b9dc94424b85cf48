//! Why a typed value could not be written or read: what, and where in it.

use std::fmt;

use crate::serializer::{DEPTH_MAX, ParseError, ParseErrorKind};

/// The longest part of a foreign text (a key, a complaint of a type that quotes the input) that an error keeps, in
/// bytes: what a peer sends must not come back as megabytes in a log.
const TEXT_BYTES_MAX: usize = 400;

/// A value could not be written, or bytes could not be read as the type that was asked for.
///
/// Says what is wrong ([`Error::kind`]), where in the value ([`Error::path`]: `args[0].name`), and, in reading, at
/// which byte of what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Detail>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Detail {
    kind: ErrorKind,
    /// From the inside out: that is the order in which an error passes them.
    steps: Vec<Step>,
    offset: Option<usize>,
}

/// One step from a value to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Index(usize),
    Key(String),
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// Reading: the bytes are not well-formed.
    #[error("{0}")]
    Malformed(ParseErrorKind),
    /// The type says so: something else stands there than it wants, a field is missing, a variant is unknown.
    #[error("{0}")]
    Mismatch(String),
    /// Reading: a list or a dictionary goes on where the type has enough.
    #[error("there are more items than the type takes")]
    TooManyItems,
    /// Reading: something else than one argument was sent for a type that is one.
    #[error("{}", argument_count(*positional, *keywords))]
    ArgumentCount {
        /// How many positional arguments there are.
        positional: usize,
        /// Are there keyword arguments?
        keywords: bool,
    },
    /// Writing: an integer that no serializer can carry.
    #[error("the integer {0} is outside of the 64-bit range, -2^63 to 2^64-1")]
    WideInteger(String),
    /// Writing: a key of a dictionary that is neither text nor an integer.
    #[error("a key of a dictionary must be text or an integer, not {0}")]
    Key(&'static str),
    /// Writing: lists, dictionaries and enum variants inside each other.
    #[error("nesting is deeper than {DEPTH_MAX}")]
    TooDeep,
    /// Writing: a type announced another number of items than it then wrote.
    #[error("{announced} items were announced and {written} written")]
    Length {
        /// The number announced.
        announced: usize,
        /// The number written.
        written: usize,
    },
    /// Writing: more items in one list or dictionary than a 32-bit length can say.
    #[error("a list or dictionary has 2^32 items or more")]
    TooLong,
}

fn argument_count(positional: usize, keywords: bool) -> String {
    match (positional, keywords) {
        (0, false) => "one argument expected, and there is none".to_owned(),
        (0, true) => "one positional argument expected, and there are only keyword arguments; \
            they can be read as a struct or a map"
            .to_owned(),
        (many, _) => {
            format!("one positional argument expected, and there are {many}; several can be read as a tuple")
        }
    }
}

impl Error {
    #[cold]
    pub(super) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Detail { kind, steps: Vec::new(), offset: None }))
    }

    /// What is wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Where in the value, as `args[0].name`; empty for the whole value.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in self.0.steps.iter().rev() {
            match step {
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Key(key) if path.is_empty() => path.push_str(key),
                Step::Key(key) => path.push_str(&format!(".{key}")),
            }
        }
        path
    }

    /// Reading: the byte at, or a little before, the value concerned, counted from the beginning of what was read
    /// (of `args` or of `kwargs`, in a payload).
    pub fn offset(&self) -> Option<usize> {
        self.0.offset
    }

    /// The value concerned begins here, if nothing inside of it is to blame.
    #[cold]
    pub(super) fn at(mut self, offset: usize) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// The error happened inside this part.
    #[cold]
    pub(super) fn inside(mut self, step: Step) -> Self {
        self.0.steps.push(step);
        self
    }
}

impl Step {
    /// The part under this key.
    pub(super) fn key(key: &str) -> Self {
        Step::Key(shortened(key.to_owned()))
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.steps.is_empty() {
            write!(formatter, "{}: ", self.path())?;
        }
        write!(formatter, "{}", self.0.kind)?;
        match self.0.offset {
            Some(offset) => write!(formatter, " (at byte {offset})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<ParseError> for Error {
    #[cold]
    fn from(error: ParseError) -> Self {
        Error::new(ErrorKind::Malformed(error.kind)).at(error.offset)
    }
}

impl serde::ser::Error for Error {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error::new(ErrorKind::Mismatch(shortened(message.to_string())))
    }
}

impl serde::de::Error for Error {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        serde::ser::Error::custom(message)
    }
}
