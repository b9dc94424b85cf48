//! The binary `bondy`: starts a node, and checks, shows and describes its configuration.
//!
//! This crate turns a command line into calls of the libraries and their errors into text and an exit code: 0 fine,
//! 2 wrong usage or configuration, 1 any other failure. It decides nothing else.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use bondy_node::config::Problems;
use clap::Parser;

mod arguments;
mod configuration;
mod start;

use arguments::{Arguments, Command};

/// Faster than the system's allocator with several threads, and it gives memory back after a storm of sessions.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why a command did not do what it was asked for.
enum Failure {
    /// Exit code 2.
    Configuration(Problems),
    /// Exit code 2: the configuration is well-formed, and what it names cannot be used.
    Unusable(anyhow::Error),
    /// Exit code 1.
    Other(anyhow::Error),
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Failure::Configuration(problems)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Other(error)
    }
}

fn main() -> ExitCode {
    // Wrong usage ends here, with exit code 2.
    let result = match Arguments::parse().command {
        Command::Start(arguments) => start::start(&arguments),
        Command::Config(arguments) => configuration::run(&arguments.command),
        Command::Testkit => bondy_testkit::command::run_process()
            .map_err(|error| anyhow::Error::new(error).context("the testkit cannot go on").into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    let (text, code) = match failure {
        Failure::Configuration(problems) => (describe(problems), ExitCode::from(2)),
        Failure::Unusable(error) => (format!("{} {error:#}\n", red("error:")), ExitCode::from(2)),
        Failure::Other(error) => (format!("{} {error:#}\n", red("error:")), ExitCode::FAILURE),
    };
    // If standard error is gone there is nobody left to tell.
    let _ = io::stderr().write_all(text.as_bytes());
    code
}

fn describe(problems: &Problems) -> String {
    let mut text = String::new();
    for problem in problems.iter() {
        text += &format!("{} {problem}\n", red("error:"));
    }
    let count = problems.count();
    if count > 1 {
        text += &format!("{count} problems in the configuration\n");
    }
    text
}

/// Red on a terminal, unless `NO_COLOR` is set.
fn red(text: &str) -> String {
    let wants_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wants_colour && io::stderr().is_terminal() {
        format!("\x1b[1;31m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Writes a result to standard output. A reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Other(anyhow::Error::new(error).context("cannot write to standard output")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
