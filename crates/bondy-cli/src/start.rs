//! `bondy start`: load the configuration, then run a node until it is told to stop.

use anyhow::Context;
use bondy_node::config::{self, Config};

use crate::Failure;
use crate::arguments::StartArguments;

pub(crate) fn start(arguments: &StartArguments) -> Result<(), Failure> {
    let loaded = config::load(&arguments.request())?;
    run_node(loaded.config, arguments.is_dev()).context("the node stopped")?;
    Ok(())
}

/// Runs the node until SIGTERM or SIGINT.
fn run_node(config: Config, dev: bool) -> anyhow::Result<()> {
    let names: Vec<String> = config.listeners.into_keys().collect();
    let kind = if dev { "a development node" } else { "a node" };
    anyhow::bail!("this build cannot run {kind} with the listeners {}", names.join(", "))
}
