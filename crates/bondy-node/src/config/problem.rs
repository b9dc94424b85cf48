//! What can be wrong with a configuration, and how it is told.
//!
//! Every problem names the key, where its value was written, what is wrong and, where there is one, a way out. The
//! loader collects all of them: an operator mends a file once, not once per mistake.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The value that a key has when nobody sets it.
    Default,
    /// The defaults of `--dev`.
    Dev,
    /// A place in a file. Lines and columns count from 1, columns in characters.
    File {
        /// The file, as it was named.
        path: Arc<Path>,
        /// The line.
        line: u32,
        /// The column.
        column: u32,
    },
    /// An environment variable, by name.
    Environment(Arc<str>),
    /// A command-line flag, with its key: `--set node.name`. Never with its value, which may be a secret.
    Flag(Arc<str>),
}

impl Origin {
    /// The first character of a file.
    pub(crate) fn file(path: &Path) -> Self {
        Origin::File { path: Arc::from(path), line: 1, column: 1 }
    }

    /// The same source at another line and column, where it has such.
    pub(crate) fn at(&self, line: usize, column: usize) -> Self {
        match self {
            Origin::File { path, .. } => Origin::File {
                path: Arc::clone(path),
                line: u32::try_from(line).unwrap_or(u32::MAX),
                column: u32::try_from(column).unwrap_or(u32::MAX),
            },
            Origin::Default | Origin::Dev | Origin::Environment(_) | Origin::Flag(_) => self.clone(),
        }
    }

    /// Is the value text by nature, so that `1` may be meant as a name?
    pub(crate) fn is_untyped(&self) -> bool {
        match self {
            Origin::Environment(_) | Origin::Flag(_) => true,
            Origin::Default | Origin::Dev | Origin::File { .. } => false,
        }
    }

    /// The folder that relative paths written here start from: that of the file, else the working folder.
    pub(crate) fn folder(&self) -> &Path {
        match self {
            Origin::File { path, .. } => path.parent().unwrap_or(Path::new("")),
            Origin::Default | Origin::Dev | Origin::Environment(_) | Origin::Flag(_) => Path::new(""),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => formatter.write_str("default"),
            Origin::Dev => formatter.write_str("--dev"),
            Origin::File { path, line, column } => write!(formatter, "{}:{line}:{column}", path.display()),
            Origin::Environment(name) => write!(formatter, "environment {name}"),
            Origin::Flag(flag) => formatter.write_str(flag),
        }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written, if it was written.
    pub origin: Option<Origin>,
    /// The path of the key, such as `listeners.public.bind`; empty if the problem is no key's.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    pub(crate) fn new(origin: &Origin, key: impl Into<String>, complaint: Complaint) -> Self {
        Problem { origin: Some(origin.clone()), key: key.into(), what: complaint.what, help: complaint.help }
    }

    /// A problem that stands at no place, such as a file that is not there.
    pub(crate) fn placeless(complaint: Complaint) -> Self {
        Problem { origin: None, key: String::new(), what: complaint.what, help: complaint.help }
    }

    /// Files in the order in which they are read, then the environment, then the flags.
    fn compare(&self, other: &Self) -> Ordering {
        (&self.origin, &self.key).cmp(&(&other.origin, &other.key))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(formatter, "{origin}: ")?;
        }
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.what)?;
        match &self.help {
            Some(help) => write!(formatter, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with the configuration: at least one problem, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The problems so far, in any order, and which keys have one.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: Vec<Problem>,
    keys: BTreeSet<String>,
}

impl Report {
    pub(crate) fn push(&mut self, problem: Problem) {
        self.keys.insert(problem.key.clone());
        self.problems.push(problem);
    }

    pub(crate) fn extend(&mut self, problems: Vec<Problem>) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Has nothing been told about the key of this path or what is below it?
    pub(crate) fn is_sound(&self, path: &str) -> bool {
        let below = format!("{path}.");
        let next = self.keys.range(below.clone()..).next();
        !self.keys.contains(path) && next.is_none_or(|key| !key.starts_with(&below))
    }

    pub(crate) fn into_problems(mut self) -> Problems {
        self.problems.sort_by(Problem::compare);
        Problems(self.problems)
    }
}

/// What is wrong with a value, before its key and place are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) what: String,
    pub(crate) help: Option<String>,
}

impl Complaint {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Complaint { what: what.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The candidate that was most likely meant: at most a third of its letters differ.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    if name.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The names as a reader lists them: `` `a`, `b` or `c` ``.
pub(crate) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
