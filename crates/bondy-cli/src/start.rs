//! `bondy start`: load the configuration, then run a node until it is told to stop.

use anyhow::Context;
use bondy_node::config;
use bondy_node::{RunOptions, run};

use crate::Failure;
use crate::arguments::StartArguments;

pub(crate) fn start(arguments: &StartArguments) -> Result<(), Failure> {
    let request = arguments.request();
    let loaded = config::load(&request)?;
    let reload = || config::load(&request).map(|loaded| loaded.config);
    let options = RunOptions { is_dev: arguments.is_dev(), reload: &reload };
    run(&loaded.config, &options).context("the node cannot run")?;
    Ok(())
}
