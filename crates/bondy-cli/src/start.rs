//! `bondy start`: load the configuration, then run a node until it is told to stop.

use bondy_node::config;
use bondy_node::{ListenError, RunError, RunOptions, StartError, run};

use crate::Failure;
use crate::arguments::StartArguments;

pub(crate) fn start(arguments: &StartArguments) -> Result<(), Failure> {
    let request = arguments.request();
    let loaded = config::load(&request)?;
    let reload = || config::load(&request).map(|loaded| loaded.config);
    let options = RunOptions { is_dev: arguments.is_dev(), reload: &reload };
    run(&loaded.config, &options).map_err(failure)
}

/// Certificates belong to the configuration: those that cannot be used are its mistake, not the node's failure.
fn failure(error: RunError) -> Failure {
    let is_configuration = matches!(&error, RunError::Start(StartError::Listen(ListenError::Tls { .. })));
    let error = anyhow::Error::new(error).context("the node cannot run");
    if is_configuration { Failure::Unusable(error) } else { Failure::Other(error) }
}
