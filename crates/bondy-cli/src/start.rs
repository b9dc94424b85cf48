//! `bondy start`: load the configuration, then run a node until it is told to stop.

use bondy_node::config;
use bondy_node::{ListenError, RunError, RunOptions, StartError, TakenListener, run};

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
    let help = match &error {
        RunError::Start(StartError::Listen(ListenError::InUse(taken))) => Some(choose_others(taken)),
        _ => None,
    };
    let is_configuration = matches!(&error, RunError::Start(StartError::Listen(ListenError::Tls { .. })));
    let error = anyhow::Error::new(error).context("the node cannot run");
    match help {
        Some(help) => Failure::Other(anyhow::anyhow!("{error:#}\n  help: {help}")),
        None if is_configuration => Failure::Unusable(error),
        None => Failure::Other(error),
    }
}

/// The flags that let a second node run beside the first.
fn choose_others(taken: &[TakenListener]) -> String {
    let flags: String = taken.iter().map(|taken| format!(" {}", another(taken))).collect();
    format!("another router may be running: stop it, or choose other addresses (port 0: a free one):{flags}")
}

fn another(TakenListener { name, address }: &TakenListener) -> String {
    let other = match address.strip_prefix("unix:") {
        Some(path) => format!("unix:{path}2"),
        None => format!("{}:0", address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host)),
    };
    format!("--set listeners.{name}.bind={other}")
}
