//! The Bondy server: configuration, wiring, workers, listeners, admin endpoints, telemetry.
//!
//! [`run`] is a whole node from start to drain. Workers are threads with a runtime of their own; a session lives on one
//! of them, and whoever appends to its outbox writes it. Nothing here decides who receives what: that is
//! `bondy-router`'s, and how bytes become messages is `bondy-transport`'s and `bondy-wamp`'s.

#![allow(clippy::disallowed_methods, reason = "this crate does the node's I/O")]

pub mod config;

mod connection;
mod door;
mod framer;
mod handle;
mod http;
mod join;
mod link;
mod listener;
mod memory;
mod node;
mod open;
mod pause;
mod telemetry;
mod worker;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tokio::signal::unix::{Signal, SignalKind, signal};

pub use crate::handle::NodeHandle;
pub use crate::listener::{ListenError, TakenListener};
pub use crate::node::StartError;

use crate::config::{Config, Problems};
use crate::node::RunningNode;
use crate::telemetry::LogHandle;

/// How a node is run.
pub struct RunOptions<'a> {
    /// Say that the node is for development, and how to try it.
    pub is_dev: bool,
    /// Loads the configuration anew, on SIGHUP.
    pub reload: &'a dyn Fn() -> Result<Config, Problems>,
}

/// Why a node did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The runtime or the signal handlers could not be made.
    #[error("cannot set up the process")]
    Process(#[source] std::io::Error),
}

/// Runs a node until SIGTERM or SIGINT, then drains it. A second signal ends it at once.
pub fn run(config: &Config, options: &RunOptions<'_>) -> Result<(), RunError> {
    let log = telemetry::start_log(config.log);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Process)?;
    runtime.block_on(run_node(config, options, &log))
}

async fn run_node(config: &Config, options: &RunOptions<'_>, log: &LogHandle) -> Result<(), RunError> {
    let listen_to = |kind| signal(kind).map_err(RunError::Process);
    let mut terminate = listen_to(SignalKind::terminate())?;
    let mut interrupt = listen_to(SignalKind::interrupt())?;
    let mut hangup = listen_to(SignalKind::hangup())?;
    let running = RunningNode::start(config).await?;
    announce(config, running.bound(), options.is_dev);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(&running, options, log),
        }
    }
    tracing::info!(timeout = ?config.node.drain_timeout, "draining");
    let drain = running.drain(config.node.drain_timeout);
    tokio::select! {
        cut_off = drain => tracing::info!(cut_off, "stopped"),
        () = either(&mut terminate, &mut interrupt) => tracing::warn!("stopped at once"),
    }
    Ok(())
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The line that says that the node is ready, with every bound address.
fn announce(config: &Config, bound: &BTreeMap<String, String>, is_dev: bool) {
    let mut line = String::from("ready");
    for (name, address) in bound {
        // Writing to a string does not fail.
        let _ = write!(line, " {name}={address}");
    }
    tracing::info!("{line}");
    if is_dev {
        let address = bound.get("public").map_or("127.0.0.1:18080", String::as_str);
        let realm = config.realms.first().map_or("realm1", |realm| realm.uri.as_str());
        tracing::warn!("this node is for development: anonymous clients may do everything");
        tracing::info!("{}", snippet(address, realm));
    }
}

/// Something to paste.
fn snippet(address: &str, realm: &str) -> String {
    format!(
        "a first client, in Python (pip install autobahn):\n\n\
         from autobahn.asyncio.component import Component, run\n\
         component = Component(transports=\"ws://{address}/ws\", realm=\"{realm}\")\n\n\
         @component.register(\"com.example.hello\")\n\
         def hello(name):\n    return f\"Hello, {{name}}!\"\n\n\
         @component.on_join\n\
         async def joined(session, details):\n    print(await session.call(\"com.example.hello\", \"world\"))\n\n\
         run([component])\n"
    )
}

/// Log level and certificates change at once; everything else needs a restart.
fn reload(running: &RunningNode, options: &RunOptions<'_>, log: &LogHandle) {
    match (options.reload)() {
        Ok(config) => {
            log.set_level(config.log.level);
            tracing::info!(level = config.log.level.as_str(), "log level reloaded");
        }
        Err(problems) => {
            tracing::error!(%problems, "the configuration has errors, nothing was reloaded from it");
        }
    }
    running.reload_certificates();
}
