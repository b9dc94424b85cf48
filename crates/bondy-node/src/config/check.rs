//! The check of a merged tree against the table of keys.
//!
//! Afterwards the tree holds known keys with values of the right kind only, every default is filled in, paths start
//! from the working folder and secrets are read. What was wrong has been reported and taken out, so that the step
//! that builds the [`Config`](super::Config) finds no mistake a second time.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::keys::ROOT;
use super::kind::{Key, Kind, Presence};
use super::problem::{Complaint, Origin, Problem, Report, nearest, one_of};
use super::tree::{Entry, Map, Node, Value};
use super::yaml;

/// Reads a file whole.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// Walks a tree and its table side by side.
pub(crate) struct Checker<'a> {
    pub(crate) read: ReadFile<'a>,
    pub(crate) problems: &'a mut Report,
    path: Vec<String>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(read: ReadFile<'a>, problems: &'a mut Report) -> Self {
        Checker { read, problems, path: Vec::new() }
    }

    /// Checks a value in place. `false`: it was reported and has to go.
    pub(crate) fn check(&mut self, node: &mut Node, kind: &Kind) -> bool {
        let complaint = match (kind, &mut node.value) {
            (Kind::Section(keys), Value::Map(map)) => {
                self.check_section(map, keys, &node.origin);
                return true;
            }
            (Kind::Named { keys, .. }, Value::Map(map)) => {
                self.check_named(map, keys);
                return true;
            }
            (Kind::List(item) | Kind::OneOrMany(item), Value::List(items)) => {
                self.check_items(items, item);
                return true;
            }
            (Kind::Free, _) => return true,
            _ => kind.check(node, node.origin.is_untyped()).and_then(|()| self.settle(node, kind)),
        };
        match complaint {
            Ok(()) => true,
            Err(complaint) => {
                self.problems.push(Problem::new(&node.origin, self.path.join("."), complaint));
                false
            }
        }
    }

    fn check_at(&mut self, name: String, node: &mut Node, kind: &Kind) -> bool {
        self.path.push(name);
        let keep = self.check(node, kind);
        self.path.pop();
        keep
    }

    fn check_items(&mut self, items: &mut Vec<Node>, kind: &Kind) {
        let mut index = 0;
        items.retain_mut(|item| {
            index += 1;
            self.check_at((index - 1).to_string(), item, kind)
        });
    }

    fn check_named(&mut self, map: &mut Map, keys: &'static [Key]) {
        let kind = Kind::Section(keys);
        map.retain(|name, entry| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
                let complaint = Complaint::new(format!("`{}` cannot be a name here", name.escape_debug()));
                let complaint = complaint.help("letters, digits, `_` and `-`; at most 64");
                self.problems.push(Problem::new(&entry.key_origin, self.path.join("."), complaint));
                return false;
            }
            self.check_at(name.clone(), &mut entry.node, &kind)
        });
    }

    fn check_section(&mut self, map: &mut Map, keys: &'static [Key], origin: &Origin) {
        map.retain(|name, entry| {
            let known = keys.iter().any(|key| key.name == name);
            if !known {
                let path = self.path_to(&name.escape_debug().to_string());
                self.problems.push(Problem::new(&entry.key_origin, path, unknown_key(name, keys)));
            }
            known && entry.node.value != Value::Null
        });
        for key in keys {
            let Some(entry) = map.get_mut(key.name) else {
                self.fill_in(map, key, origin);
                continue;
            };
            if self.check_at(key.name.to_owned(), &mut entry.node, &key.kind) {
                self.refuse_later(entry, key);
            } else {
                // What was wrong is not replaced by a default: to the rules that follow, it is not there.
                map.remove(key.name);
            }
        }
    }

    /// An absent key: reported where it must be given, else filled in.
    fn fill_in(&mut self, map: &mut Map, key: &Key, origin: &Origin) {
        match key.presence {
            Presence::Required { example } => {
                let complaint = Complaint::new("missing").help(format!("such as `{}: {example}`", key.name));
                self.problems.push(Problem::new(origin, self.path_to(key.name), complaint));
            }
            Presence::Default(default) | Presence::Illustrated { default, .. } => {
                let Ok(mut node) = yaml::parse(default, &Origin::Default) else { return };
                if node.value != Value::Null {
                    self.check_at(key.name.to_owned(), &mut node, &key.kind);
                    map.insert(key.name.to_owned(), Entry { key_origin: Origin::Default, node });
                }
            }
            Presence::Optional { .. } | Presence::Later { .. } => {}
        }
    }

    fn refuse_later(&mut self, entry: &Entry, key: &Key) {
        let Presence::Later { harmless } = key.presence else { return };
        let is_harmless =
            yaml::parse(harmless, &entry.node.origin).is_ok_and(|node| node.value == entry.node.value);
        if !is_harmless {
            let complaint = not_in_this_version(&format!("the realm asks for `{}`", key.name));
            let complaint = complaint.help(format!("remove `{}`", key.name));
            self.problems.push(Problem::new(&entry.node.origin, self.path_to(key.name), complaint));
        }
    }

    fn path_to(&self, name: &str) -> String {
        self.path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
    }

    /// Makes a checked scalar mean the same everywhere: paths and secrets depend on where they were written.
    fn settle(&self, node: &mut Node, kind: &Kind) -> Result<(), Complaint> {
        let Value::Scalar(scalar) = &mut node.value else { return Ok(()) };
        let folder = node.origin.folder();
        match kind {
            Kind::Bind => {
                if let Some(path) = scalar.text.strip_prefix("unix:") {
                    scalar.text = format!("unix:{}", rooted(folder, path).display());
                    // The path is longer now, and has to fit still.
                    kind.check(&node.clone(), true)?;
                }
            }
            Kind::Path { words } if words.contains(&scalar.text.as_str()) => {}
            Kind::Path { .. } => scalar.text = rooted(folder, &scalar.text).display().to_string(),
            Kind::File => {
                let path = rooted(folder, &scalar.text);
                (self.read)(&path).map_err(|error| unreadable(&path, &error))?;
                scalar.text = path.display().to_string();
            }
            Kind::Secret => {
                if let Some(path) = scalar.text.strip_prefix("file:") {
                    scalar.text = read_secret(self.read, &rooted(folder, path))?;
                }
            }
            Kind::Bool
            | Kind::Integer { .. }
            | Kind::Text
            | Kind::Name
            | Kind::Duration { .. }
            | Kind::Size { .. }
            | Kind::Memory
            | Kind::OneOf(_)
            | Kind::Uri
            | Kind::Network
            | Kind::List(_)
            | Kind::OneOrMany(_)
            | Kind::Named { .. }
            | Kind::Section(_)
            | Kind::Free => {}
        }
        Ok(())
    }
}

/// A path as seen from the working folder, without a leading `./`.
pub(crate) fn rooted(folder: &Path, path: &str) -> PathBuf {
    let path = Path::new(path);
    if folder.as_os_str().is_empty() {
        return path.to_owned();
    }
    let relative: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    folder.join(relative)
}

pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Complaint {
    Complaint::new(format!("cannot read `{}`: {}", path.display(), describe_error(error)))
}

/// The system's words, without the number that it adds.
fn describe_error(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// The content of a file without its last line end.
fn read_secret(read: ReadFile<'_>, path: &Path) -> Result<String, Complaint> {
    let bytes = read(path).map_err(|error| unreadable(path, &error))?;
    let text =
        String::from_utf8(bytes).map_err(|_| Complaint::new(format!("`{}` is not text", path.display())))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// What an operator has to know about every refusal.
pub(crate) fn not_in_this_version(what: &str) -> Complaint {
    Complaint::new(format!("{what}: not in this version, which would otherwise run the realm open"))
}

fn unknown_key(name: &str, keys: &'static [Key]) -> Complaint {
    let complaint = Complaint::new("unknown key");
    if name == "<<" {
        return complaint.help("merge keys are not supported; an alias (`*name`) stands for a whole value");
    }
    let Kind::Section(root) = &ROOT else { return complaint };
    if let Some(path) = find_elsewhere(name, root, "") {
        return complaint.help(format!("there is `{path}`"));
    }
    match nearest(name, keys.iter().map(|key| key.name)) {
        Some(near) => complaint.help(format!("did you mean `{near}`?")),
        None => complaint.help(format!("the keys here are {}", one_of(&names(keys)))),
    }
}

fn names(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name).collect()
}

/// The path of a key of this name anywhere in the table, `NAME` standing for what the user chooses.
fn find_elsewhere(name: &str, keys: &'static [Key], path: &str) -> Option<String> {
    keys.iter().find_map(|key| {
        let here = format!("{path}{}", key.name);
        if key.name == name {
            return Some(here);
        }
        match &key.kind {
            Kind::Section(keys) => find_elsewhere(name, keys, &format!("{here}.")),
            Kind::Named { keys, .. } => find_elsewhere(name, keys, &format!("{here}.NAME.")),
            Kind::List(Kind::Section(keys)) => find_elsewhere(name, keys, &format!("{here}.N.")),
            _ => None,
        }
    })
}
