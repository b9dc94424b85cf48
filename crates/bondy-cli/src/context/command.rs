//! `bondy context`: add, select, list, show, edit and remove.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{Context, Contexts, check_name, file};
use crate::Failure;
use crate::arguments::context::{ContextCommand, ContextFields};
use crate::arguments::payload::Output;
use crate::failure::say;
use crate::output::{print, print_json, print_object};
use crate::payload::{plain, read_text, reason};
use crate::table;

pub(crate) fn run(command: &ContextCommand) -> Result<(), Failure> {
    match command {
        ContextCommand::Add { name, fields, select } => {
            Contexts::change(|contexts| add(contexts, name, fields, *select))
        }
        ContextCommand::Select { name } => {
            print(&format!("{}\n", Contexts::change(|contexts| select(contexts, name))?))
        }
        ContextCommand::List { output } => list(&Contexts::load()?, output.output),
        ContextCommand::Show { name, secrets, output } => {
            show(&Contexts::load()?, name.as_deref(), *secrets, output.output)
        }
        ContextCommand::Edit { name, fields, unset } => edit(name, fields, unset),
        ContextCommand::Remove { name } => {
            if Contexts::change(|contexts| remove(contexts, name))? {
                say("no context is selected now");
            }
            Ok(())
        }
    }
}

fn add(
    contexts: &mut Contexts,
    name: &str,
    fields: &ContextFields,
    is_selected: bool,
) -> Result<(), Failure> {
    check_name(name)?;
    if contexts.contexts.contains_key(name) {
        return Err(Failure::usage(format!(
            "there is a context {name:?} already\n  help: `bondy context edit {name}` changes it"
        )));
    }
    let mut context = Context::default();
    apply(fields, &mut context)?;
    contexts.contexts.insert(name.to_owned(), context);
    if is_selected {
        contexts.choose(name);
    }
    Ok(())
}

/// The name of what is selected now.
fn select(contexts: &mut Contexts, name: &str) -> Result<String, Failure> {
    let name = contexts.named(name)?.0.to_owned();
    contexts.choose(&name);
    Ok(name)
}

fn list(contexts: &Contexts, output: Output) -> Result<(), Failure> {
    let selected = contexts.selected.as_deref();
    let entry = |(name, context): (&String, &Context)| {
        json!({"name": name, "selected": selected == Some(name), "url": context.url, "realm": context.realm,
            "authid": context.authid})
    };
    let entries: Vec<Value> = contexts.contexts.iter().map(entry).collect();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    match output {
        Output::Json => print_json(&Value::Array(entries)),
        Output::Ndjson => entries.iter().try_for_each(print_json),
        Output::Raw => contexts.names().try_for_each(|name| print(&format!("{name}\n"))),
        Output::Table if entries.is_empty() => {
            say("no contexts yet; `bondy context add NAME --url URL` makes one");
            Ok(())
        }
        Output::Table => {
            let mark = |entry: &Value| if entry["selected"] == true { "*" } else { "" }.to_owned();
            let row = |entry| {
                vec![
                    mark(entry),
                    text(entry, "name"),
                    text(entry, "url"),
                    text(entry, "realm"),
                    text(entry, "authid"),
                ]
            };
            print(&table::columns(
                &["", "NAME", "URL", "REALM", "AUTHID"],
                &entries.iter().map(row).collect::<Vec<_>>(),
            ))
        }
    }
}

fn show(contexts: &Contexts, name: Option<&str>, with_secrets: bool, output: Output) -> Result<(), Failure> {
    let found = match name {
        Some(name) => Some(contexts.named(name)?),
        None => contexts.selected()?,
    };
    let (name, context) = found.ok_or_else(|| {
        Failure::usage("no context is selected\n  help: `bondy context select NAME` selects one")
    })?;
    let mut context = context.clone();
    if !with_secrets {
        context.secret = context.secret.map(|_| "(hidden, see --secrets)".to_owned());
    }
    let fields = serde_json::to_value(&context).map_err(|error| Failure::Other(error.into()))?;
    let mut shown = vec![("name", json!(name))];
    shown.extend(fields.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value.clone())));
    match output {
        Output::Json | Output::Ndjson => print_object(&shown),
        Output::Table | Output::Raw => {
            let pairs: Vec<_> = shown.iter().map(|(key, value)| ((*key).to_owned(), plain(value))).collect();
            print(&table::pairs(&pairs))
        }
    }
}

fn edit(name: &str, fields: &ContextFields, unset: &[String]) -> Result<(), Failure> {
    // An editor may be open for hours, in which other commands may change contexts.
    let mut edited = None;
    if unset.is_empty() && !names_anything(fields) {
        let contexts = Contexts::load()?;
        let (name, context) = contexts.named(name)?;
        edited = Some(edit_in_editor(name, context)?);
    }
    Contexts::change(|contexts| {
        let (name, context) = contexts.named(name)?;
        let (name, mut context) = (name.to_owned(), edited.unwrap_or_else(|| context.clone()));
        for field in unset {
            forget(&mut context, field)?;
        }
        apply(fields, &mut context)?;
        contexts.contexts.insert(name, context);
        Ok(())
    })
}

/// Whether it was the selected one.
fn remove(contexts: &mut Contexts, name: &str) -> Result<bool, Failure> {
    let name = contexts.named(name)?.0.to_owned();
    contexts.contexts.remove(&name);
    let was_selected = contexts.selected.as_deref() == Some(&name);
    for kept in [&mut contexts.selected, &mut contexts.previous] {
        kept.take_if(|kept| *kept == name);
    }
    Ok(was_selected)
}

impl Contexts {
    /// Selects a context that is there.
    fn choose(&mut self, name: &str) {
        if self.selected.as_deref() != Some(name) {
            self.previous = self.selected.replace(name.to_owned());
        }
    }
}

fn names_anything(fields: &ContextFields) -> bool {
    let ContextFields { url, realm, serializer, authid, authmethod, secret_file, ca_file } = fields;
    let texts = [url.is_some(), realm.is_some(), authid.is_some()];
    texts.contains(&true)
        || serializer.is_some()
        || authmethod.is_some()
        || secret_file.is_some()
        || ca_file.is_some()
}

/// Puts what the flags say into the context.
fn apply(fields: &ContextFields, context: &mut Context) -> Result<(), Failure> {
    let ContextFields { url, realm, serializer, authid, authmethod, secret_file, ca_file } = fields;
    let texts = [(url, &mut context.url), (realm, &mut context.realm), (authid, &mut context.authid)];
    for (given, kept) in texts {
        if given.is_some() {
            kept.clone_from(given);
        }
    }
    context.serializer = serializer.or(context.serializer);
    context.authmethod = authmethod.or(context.authmethod);
    match secret_file {
        Some(name) if name == Path::new("-") => {
            context.secret = Some(read_text("-")?.trim_end_matches(['\r', '\n']).to_owned());
            context.secret_file = None;
        }
        Some(name) => {
            context.secret_file = Some(absolute(name)?);
            context.secret = None;
        }
        None => {}
    }
    if let Some(name) = ca_file {
        context.ca_file = Some(absolute(name)?);
    }
    Ok(())
}

/// A context is used from any folder.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn forget(context: &mut Context, field: &str) -> Result<(), Failure> {
    match field {
        "url" => context.url = None,
        "realm" => context.realm = None,
        "serializer" => context.serializer = None,
        "authid" => context.authid = None,
        "authmethod" => context.authmethod = None,
        "secret" => context.secret = None,
        "secret_file" | "secret-file" => context.secret_file = None,
        "ca_file" | "ca-file" => context.ca_file = None,
        _ => {
            return Err(Failure::usage(format!(
                "a context has no field {field:?}\n  help: there are url, realm, serializer, authid, authmethod, secret, \
                 secret_file and ca_file"
            )));
        }
    }
    Ok(())
}

/// Lets the user's editor change the context, as JSON in a file that only the user may read.
fn edit_in_editor(name: &str, context: &Context) -> Result<Context, Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = variable("VISUAL").or_else(|| variable("EDITOR")).ok_or_else(|| {
        Failure::usage("no editor: set VISUAL or EDITOR, or say what to change, as in `--realm REALM`")
    })?;
    let path = file()?.with_file_name(format!("{name}.{}.json", std::process::id()));
    let result = write_new(&path, context)
        .map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))
        .and_then(|()| run_editor(&editor, &path))
        .and_then(|()| read_text(&path.to_string_lossy()));
    let _ = fs::remove_file(&path);
    serde_json::from_str(&result?).map_err(|error| {
        let place = format!("the edited context {name:?}, line {}, column {}", error.line(), error.column());
        Failure::usage(format!("{place}: {}; nothing was changed", reason(&error)))
    })
}

fn write_new(path: &Path, context: &Context) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(format!("{}\n", serde_json::to_string_pretty(context)?).as_bytes())
}

/// The shell splits the editor's arguments, as everybody does it.
fn run_editor(editor: &str, path: &Path) -> Result<(), Failure> {
    let status = Command::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(path).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(Failure::usage(format!("the editor `{editor}` ended with {status}; nothing was changed")))
        }
        Err(error) => Err(Failure::usage(format!("cannot start the editor `{editor}`: {error}"))),
    }
}
