//! From files, environment and flags to one checked tree.
//!
//! Layers, the later winning key by key: the defaults of `--dev`, the file, the environment, the flags. Defaults of
//! the table fill what none of them says.

use std::cmp::Ordering;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{Checker, ReadFile, rooted, unreadable};
use super::keys::{DEV, RENAMED, ROOT, Renamed};
use super::kind::{ChildKind, Kind};
use super::problem::{Complaint, Origin, Problem, Problems, Report};
use super::tree::{Entry, Map, Node, Value, merge_entry, substitute};
use super::{Loaded, decode, toml, yaml};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "bondy.yaml";

/// The largest file that is read: some hundred thousand users.
const FILE_BYTES_MAX: u64 = 16 << 20;

const PREFIX: &str = "BONDY__";

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The file: YAML, or JSON or TOML by its extension. None: `bondy.yaml`, unless `dev`.
    pub file: Option<PathBuf>,
    /// Single keys, the last winning.
    pub settings: Vec<Setting>,
    /// Begin with the defaults for development.
    pub dev: bool,
}

/// One key from the command line.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What messages call it, such as `--set node.name`.
    pub flag: String,
    /// The path of the key; list items by number.
    pub key: String,
    /// The value, a YAML scalar or flow collection.
    pub value: String,
}

/// Everything outside that a configuration depends on.
pub struct Surroundings<'a> {
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// Reads a file whole.
    pub read: ReadFile<'a>,
}

/// Loads the configuration from this process's files and environment. Nothing reads them later.
///
/// # Errors
///
/// Everything that is wrong with it.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads files")]
pub fn load(request: &Request) -> Result<Loaded, Problems> {
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        // A value that is not Unicode is kept with its damage: if a key asks for it, the check will say so.
        Some((name, value.to_string_lossy().into_owned()))
    });
    let read = |path: &Path| {
        let file = std::fs::File::open(path)?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, FILE_BYTES_MAX + 1), &mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other(format!("larger than {} MiB", FILE_BYTES_MAX >> 20)));
        }
        Ok(bytes)
    };
    load_from(request, &Surroundings { environment: environment.collect(), read: &read })
}

/// Loads the configuration from given surroundings.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn load_from(request: &Request, surroundings: &Surroundings<'_>) -> Result<Loaded, Problems> {
    let mut loader = Loader { surroundings, problems: Report::default() };
    let Some(mut tree) = loader.layers(request) else { return Err(loader.problems.into_problems()) };
    refuse_renamed(&mut tree, RENAMED, &mut loader.problems);
    loader.append_realms_file(&mut tree);
    Checker::new(surroundings.read, &mut loader.problems).check(&mut tree, &ROOT);
    let config = decode::config(&tree, &mut loader.problems);
    if loader.problems.is_empty() {
        Ok(Loaded { config, tree })
    } else {
        Err(loader.problems.into_problems())
    }
}

struct Loader<'a> {
    surroundings: &'a Surroundings<'a>,
    problems: Report,
}

impl Loader<'_> {
    /// The merged tree, or nothing where no file could be read as one.
    fn layers(&mut self, request: &Request) -> Option<Node> {
        let mut tree = Node::empty_map(&Origin::Default);
        if request.dev {
            tree.merge(yaml::parse(DEV, &Origin::Dev).expect("the built-in text is well-formed"));
        }
        let file = request.file.as_deref().or((!request.dev).then_some(Path::new(DEFAULT_FILE)));
        if let Some(file) = file {
            let over = self.file(file, request.file.is_some())?;
            tree.merge(self.map_of(over)?);
        }
        self.apply_environment(&mut tree);
        for setting in &request.settings {
            let origin = Origin::Flag(Arc::from(setting.flag.as_str()));
            let path: Vec<&str> = setting.key.split('.').collect();
            self.assign(&mut tree, &path, &setting.value, &origin);
        }
        Some(tree)
    }

    fn file(&mut self, path: &Path, was_named: bool) -> Option<Node> {
        let bytes = match (self.surroundings.read)(path) {
            Ok(bytes) => bytes,
            Err(error) if !was_named && error.kind() == io::ErrorKind::NotFound => {
                let complaint =
                    Complaint::new(format!("no configuration: there is no `{DEFAULT_FILE}` here"));
                let help =
                    "give `--config FILE`, or try `--dev`, which needs no file and is for development only";
                self.problems.push(Problem::placeless(complaint.help(help)));
                return None;
            }
            Err(error) => {
                self.problems.push(Problem::placeless(unreadable(path, &error)));
                return None;
            }
        };
        match self.parse(path, bytes) {
            Ok(node) => Some(node),
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    /// Parses a file by its extension and fills in its variables.
    fn parse(&mut self, path: &Path, bytes: Vec<u8>) -> Result<Node, Vec<Problem>> {
        let origin = Origin::file(path);
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|b| **b == b'\n')
                .count();
            vec![Problem::new(&origin.at(line, 1), "", Complaint::new("the file is not UTF-8 text"))]
        })?;
        let is_toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        let mut node = if is_toml {
            toml::parse(&text, &origin)?
        } else {
            yaml::parse(&text, &origin).map_err(|problem| vec![problem])?
        };
        self.fill_in_variables(&mut node);
        Ok(node)
    }

    fn fill_in_variables(&mut self, node: &mut Node) {
        let environment = &self.surroundings.environment;
        let lookup =
            |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        node.rewrite(&mut |text, origin| {
            if !text.contains("${") {
                return None;
            }
            substitute(text, &lookup)
                .map_err(|complaint| self.problems.push(Problem::new(origin, "", complaint)))
                .ok()
        });
    }

    /// The map that a file is; an empty one is an empty map.
    fn map_of(&mut self, node: Node) -> Option<Node> {
        let complaint = Complaint::new(format!("expected a map of keys, found {}", node.describe()));
        let complaint = match &node.value {
            Value::Map(_) => return Some(node),
            Value::Null => return Some(Node::empty_map(&node.origin)),
            Value::List(_) => complaint.help("a list of realm objects is named by `realms_file`"),
            Value::Scalar(_) => complaint,
        };
        self.problems.push(Problem::new(&node.origin, "", complaint));
        None
    }

    fn apply_environment(&mut self, tree: &mut Node) {
        let mut variables: Vec<(Vec<String>, &str, &str)> = Vec::new();
        for (name, value) in &self.surroundings.environment {
            if let Some(path) = name.strip_prefix(PREFIX) {
                variables.push((path.split("__").map(str::to_ascii_lowercase).collect(), name, value));
            }
        }
        variables.sort_by(|left, right| compare_paths(&left.0, &right.0).then_with(|| left.1.cmp(right.1)));
        for (path, name, value) in variables {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            self.assign(tree, &path, value, &Origin::Environment(Arc::from(name)));
        }
    }

    fn assign(&mut self, tree: &mut Node, path: &[&str], text: &str, origin: &Origin) {
        let complaint = if path.iter().any(|segment| segment.is_empty()) {
            Err(Complaint::new("not the path of a key").help("names joined by `.`, in variables by `__`"))
        } else {
            value_of(text, path, origin).and_then(|value| put(tree, path, value, origin))
        };
        if let Err(complaint) = complaint {
            self.problems.push(Problem::new(origin, path.join("."), complaint));
        }
    }

    /// Puts the realm objects of `realms_file` after those of `realms`.
    fn append_realms_file(&mut self, tree: &mut Node) {
        let Value::Map(map) = &mut tree.value else { return };
        let Some(Entry { node: Node { value: Value::Scalar(scalar), origin }, .. }) = map.get("realms_file")
        else {
            return;
        };
        let (path, origin) = (rooted(origin.folder(), &scalar.text), origin.clone());
        let bytes = match (self.surroundings.read)(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                return self.problems.push(Problem::new(&origin, "realms_file", unreadable(&path, &error)));
            }
        };
        match self.parse(&path, bytes) {
            Ok(Node { value: Value::List(objects), .. }) => append_realms(map, objects, &origin),
            Ok(node) => {
                let complaint =
                    Complaint::new(format!("expected a list of realm objects, found {}", node.describe()));
                self.problems.push(Problem::new(&node.origin, "", complaint));
            }
            Err(problems) => self.problems.extend(problems),
        }
    }
}

fn append_realms(map: &mut Map, objects: Vec<Node>, origin: &Origin) {
    let entry = map.entry("realms".to_owned()).or_insert_with(|| Entry {
        key_origin: origin.clone(),
        node: Node::new(Value::List(Vec::new()), origin),
    });
    // Anything but a list is reported by the check.
    if let Value::List(realms) = &mut entry.node.value {
        realms.extend(objects);
    }
}

/// Item 10 comes after item 2.
fn compare_paths(left: &[String], right: &[String]) -> Ordering {
    let segment = |text: &String| (text.parse::<u64>().ok(), text.clone());
    left.iter().map(segment).cmp(right.iter().map(segment))
}

/// The kind that the table has for a path.
fn kind_of(path: &[&str]) -> Option<&'static Kind> {
    let mut kind: &'static Kind = &ROOT;
    let mut segments = path.iter();
    while let Some(segment) = segments.next() {
        kind = match kind.child(segment)? {
            ChildKind::One(kind) => kind,
            // Below a chosen name stand keys again; a path that ends at the name is a map.
            ChildKind::Section(keys) => match segments.next() {
                Some(segment) => &keys.iter().find(|key| key.name == *segment)?.kind,
                None => return None,
            },
        };
    }
    Some(kind)
}

/// The value that a text stands for: YAML, except that where one value belongs `[::1]:80` is not half a list.
fn value_of(text: &str, path: &[&str], origin: &Origin) -> Result<Node, Complaint> {
    let parsed = yaml::parse(text, origin);
    let is_scalar = matches!(&parsed, Ok(Node { value: Value::Scalar(_) | Value::Null, .. }));
    match kind_of(path) {
        Some(kind) if !is_scalar && !kind.is_container() => Ok(Node::scalar(text.to_owned(), true, origin)),
        _ => parsed.map_err(|problem| Complaint { what: problem.what, help: problem.help }),
    }
}

/// Puts a value at a path, making maps and list items on the way where they are missing.
fn put(tree: &mut Node, path: &[&str], value: Node, origin: &Origin) -> Result<(), Complaint> {
    let mut cursor = tree;
    let (last, parents) = path.split_last().expect("a split text has at least one part");
    for (depth, segment) in parents.iter().enumerate() {
        prepare(cursor, &path[..depth], origin);
        cursor = match &mut cursor.value {
            Value::List(items) => item(items, segment, origin)?,
            Value::Map(map) => {
                let name = existing_name(map, segment);
                let entry = || Entry { key_origin: origin.clone(), node: Node::new(Value::Null, origin) };
                &mut map.entry(name).or_insert_with(entry).node
            }
            Value::Null | Value::Scalar(_) => {
                return Err(Complaint::new("the path leads through a single value"));
            }
        };
    }
    prepare(cursor, parents, origin);
    match &mut cursor.value {
        Value::List(items) => item(items, last, origin)?.merge(value),
        Value::Map(map) => {
            let name = existing_name(map, last);
            merge_entry(map, name, Entry { key_origin: origin.clone(), node: value });
        }
        Value::Null | Value::Scalar(_) => {
            return Err(Complaint::new("the path leads through a single value"));
        }
    }
    Ok(())
}

/// Makes room for children: what is no value yet becomes the list or map that the table wants here.
fn prepare(node: &mut Node, path: &[&str], origin: &Origin) {
    if node.value != Value::Null {
        return;
    }
    let is_list = matches!(kind_of(path), Some(Kind::List(_) | Kind::OneOrMany(_)));
    let value = if is_list { Value::List(Vec::new()) } else { Value::Map(Map::new()) };
    *node = Node::new(value, origin);
}

fn item<'a>(items: &'a mut Vec<Node>, index: &str, origin: &Origin) -> Result<&'a mut Node, Complaint> {
    let length = items.len();
    let index =
        index.parse().map_err(|_| Complaint::new(format!("expected the number of an item, found `{index}`")));
    let index: usize = index?;
    if index > length {
        let complaint = Complaint::new(format!("there is no item {index}: the list has {length}"));
        return Err(complaint.help(format!("the next one is {length}")));
    }
    if index == length {
        items.push(Node::new(Value::Null, origin));
    }
    Ok(&mut items[index])
}

/// The key as it is written in the map already, upper and lower case being one.
fn existing_name(map: &Map, name: &str) -> String {
    let existing = map
        .keys()
        .find(|key| key.as_str() == name)
        .or_else(|| map.keys().find(|key| key.eq_ignore_ascii_case(name)));
    existing.map_or_else(|| name.to_owned(), Clone::clone)
}

/// Takes out every key that has another name now, and says which.
fn refuse_renamed(tree: &mut Node, renamed: &[Renamed], problems: &mut Report) {
    for Renamed { old, new } in renamed {
        let path: Vec<&str> = old.split('.').collect();
        refuse_at(tree, &path, &mut Vec::new(), new, problems);
    }
}

fn refuse_at(node: &mut Node, path: &[&str], walked: &mut Vec<String>, new: &str, problems: &mut Report) {
    let Some((first, rest)) = path.split_first() else { return };
    match &mut node.value {
        Value::Map(map) if rest.is_empty() => {
            if let Some(entry) = map.remove(*first) {
                walked.push((*first).to_owned());
                let complaint =
                    Complaint::new("this key has another name now").help(format!("write `{new}`"));
                problems.push(Problem::new(&entry.key_origin, walked.join("."), complaint));
                walked.pop();
            }
        }
        Value::Map(map) => {
            for (name, entry) in map.iter_mut().filter(|(name, _)| *first == "*" || name == first) {
                walked.push(name.clone());
                refuse_at(&mut entry.node, rest, walked, new, problems);
                walked.pop();
            }
        }
        Value::List(items) if *first == "*" => {
            for (index, item) in items.iter_mut().enumerate() {
                walked.push(index.to_string());
                refuse_at(item, rest, walked, new, problems);
                walked.pop();
            }
        }
        Value::List(_) | Value::Scalar(_) | Value::Null => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_key_names_its_successor() {
        let mut tree =
            yaml::parse("listeners: {a: {port: 1, bind: 'h:2'}}\nnode: {x: 1}", &Origin::Dev).expect("YAML");
        let mut problems = Report::default();
        let renamed = [
            Renamed { old: "listeners.*.port", new: "listeners.NAME.bind" },
            Renamed { old: "node.gone", new: "node.name" },
        ];
        refuse_renamed(&mut tree, &renamed, &mut problems);
        let told: Vec<String> = problems.into_problems().iter().map(ToString::to_string).collect();
        let expected =
            "--dev: listeners.a.port: this key has another name now\n  help: write `listeners.NAME.bind`";
        assert_eq!(told, [expected]);
        assert_eq!(
            tree,
            yaml::parse("listeners: {a: {bind: 'h:2'}}\nnode: {x: 1}", &Origin::Dev).expect("YAML")
        );
    }
}
