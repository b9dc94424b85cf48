//! Named contexts: where the router is and who joins, kept in a file of the user's own.
//!
//! The file is JSON, read and written whole; it is replaced, never written in place, and only its owner may read it,
//! because a context may hold a secret. The command line that changes it is in [`command`].

pub(crate) mod command;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::arguments::connection::{AuthMethodName, SerializerName};
use crate::payload::reason;

/// The file, below the folder of [`folder`].
const FILE: &str = "contexts.json";

/// The most that the file may have.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The longest name.
const NAME_CHARS_MAX: usize = 64;

/// What a context says; what it does not say is left to defaults.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) realm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) serializer: Option<SerializerName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authmethod: Option<AuthMethodName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    #[serde(skip_serializing_if = "Option::is_none")]
    selected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

/// Where contexts are kept: BONDY_CONFIG_HOME, else `bondy` below XDG_CONFIG_HOME, else below `~/.config`.
fn folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("BONDY_CONFIG_HOME")
        .or_else(|| variable("XDG_CONFIG_HOME").map(|path| path.join("bondy")))
        .or_else(|| variable("HOME").map(|path| path.join(".config").join("bondy")))
}

fn file() -> Result<PathBuf, Failure> {
    folder().map(|folder| folder.join(FILE)).ok_or_else(|| {
        Failure::usage("no folder for contexts: HOME, XDG_CONFIG_HOME or BONDY_CONFIG_HOME must be set")
    })
}

impl Contexts {
    /// The contexts of this user; none where there is no file yet.
    pub(crate) fn load() -> Result<Self, Failure> {
        let Some(path) = folder().map(|folder| folder.join(FILE)) else { return Ok(Self::default()) };
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::usage(format!("cannot read {}: {error}", path.display()))),
        };
        let contexts: Self = serde_json::from_str(&text).map_err(|error| {
            let place = format!("{}:{}:{}", path.display(), error.line(), error.column());
            Failure::usage(format!("{place}: {}\n  help: mend the file, or remove it", reason(&error)))
        })?;
        Ok(contexts)
    }

    /// Reads, changes and writes the contexts, while no other command does.
    fn change<T>(change: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let path = file()?;
        let failed = |error| Failure::usage(format!("cannot write {}: {error}", path.display()));
        let _lock = lock(&path).map_err(failed)?;
        let mut contexts = Self::load()?;
        let changed = change(&mut contexts)?;
        write(&path, &contexts).map_err(failed)?;
        Ok(changed)
    }

    /// The context of this name, `-` being the previous one.
    pub(crate) fn named(&self, name: &str) -> Result<(&str, &Context), Failure> {
        let name = match name {
            "-" => self
                .previous
                .as_deref()
                .ok_or_else(|| Failure::usage("no context was selected before this one"))?,
            name => name,
        };
        self.contexts
            .get_key_value(name)
            .map(|(name, context)| (name.as_str(), context))
            .ok_or_else(|| self.unknown(name))
    }

    /// The selected context, if there is one.
    pub(crate) fn selected(&self) -> Result<Option<(&str, &Context)>, Failure> {
        self.selected.as_deref().map(|name| self.named(name)).transpose()
    }

    /// All names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.contexts.keys().map(String::as_str)
    }

    fn unknown(&self, name: &str) -> Failure {
        let names: Vec<&str> = self.names().collect();
        Failure::usage(match names.is_empty() {
            true => {
                format!("there is no context {name:?}\n  help: `bondy context add {name} --url URL` makes it")
            }
            false => format!("there is no context {name:?}\n  help: known are {}", names.join(", ")),
        })
    }
}

fn read(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than 1 MiB"));
    }
    Ok(text)
}

/// Locks the folder, as the file itself is replaced; until the answer is dropped.
fn lock(path: &Path) -> io::Result<fs::File> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let folder = fs::File::open(folder)?;
    folder.lock()?;
    Ok(folder)
}

fn write(path: &Path, contexts: &Contexts) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(contexts)?;
    text.push('\n');
    let temporary = path.with_extension(format!("json.{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let result = written.and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn check_name(name: &str) -> Result<(), Failure> {
    let is_fine = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    if name.is_empty() || name.len() > NAME_CHARS_MAX || name.starts_with('-') || !name.chars().all(is_fine) {
        return Err(Failure::usage(format!(
            "{name:?} is no name for a context: use up to {NAME_CHARS_MAX} letters, digits, `_`, `.` and `-`, and no `-` first"
        )));
    }
    Ok(())
}
