//! The binary `bondy`: starts a node, checks its configuration, and is a client of any WAMP router.
//!
//! This crate turns a command line into calls of the libraries, and what they answer into text and an exit code (see
//! [`Failure`]). It decides nothing else.

#![allow(clippy::disallowed_methods, reason = "the command line reads files, clocks and the environment")]

use std::process::ExitCode;

use clap::Parser;

mod answer;
mod arguments;
mod bench;
mod call;
mod completion;
mod configuration;
mod connection;
mod context;
mod exec;
mod failure;
mod latency;
mod manual;
mod option;
mod output;
mod payload;
mod ping;
mod publish;
mod register;
mod repetition;
mod runtime;
mod settings;
mod start;
mod statistic;
mod subscribe;
mod table;
mod template;
mod top;
mod wire;

use arguments::{Arguments, Command};
use failure::Failure;

/// Faster than the system's allocator with several threads, and it gives memory back after a storm of sessions.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if completion::answer() {
        return ExitCode::SUCCESS;
    }
    // Wrong usage ends here, with exit code 2.
    let result = match Arguments::parse().command {
        Command::Start(arguments) => start::start(&arguments),
        Command::Config(arguments) => configuration::run(&arguments.command),
        Command::Call(arguments) => call::run(&arguments),
        Command::Publish(arguments) => publish::run(&arguments),
        Command::Subscribe(arguments) => subscribe::run(&arguments),
        Command::Register(arguments) => register::run(&arguments),
        Command::Ping(arguments) => ping::run(&arguments),
        Command::Latency(arguments) => latency::run(&arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Testkit => bondy_testkit::command::run_process()
            .map_err(|error| anyhow::Error::new(error).context("the testkit cannot go on").into()),
        Command::Context(arguments) => context::command::run(&arguments.command),
        Command::Completion { shell } => completion::run(shell),
        Command::Man { folder } => manual::run(folder.as_deref()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
