//! `bondy config`: check, show, schema.

use bondy_node::config::{self, DEFAULT_FILE, Request, reference};

use crate::Failure;
use crate::arguments::{ConfigCommand, Document};
use crate::manual;
use crate::output::print;

pub(crate) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check(source) => check(&source.request()),
        ConfigCommand::Show { source, origin } => {
            let loaded = config::load(&source.request())?;
            print(&loaded.show(*origin))
        }
        ConfigCommand::Schema => print(&format!("{:#}\n", reference::schema())),
        ConfigCommand::Reference { document: Document::DefaultFile } => print(&reference::default_file()),
        ConfigCommand::Reference { document: Document::Page } => print(&reference::config_page()),
        ConfigCommand::Reference { document: Document::Commands } => print(&manual::commands_page()),
    }
}

fn check(request: &Request) -> Result<(), Failure> {
    let loaded = config::load(request)?;
    let source = match &request.file {
        Some(file) => file.display().to_string(),
        None if request.dev => "--dev".to_owned(),
        None => DEFAULT_FILE.to_owned(),
    };
    let (listeners, realms) = (loaded.config.listeners.len(), loaded.config.realms.len());
    print(&format!("{source}: fine ({}, {})\n", count(listeners, "listener"), count(realms, "realm")))
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
