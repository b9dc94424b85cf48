//! `bondy-bench`: the benchmarks as a program of their own. [`bondy_bench::command`] is what it runs.

use bondy_bench::command::Command;
use bondy_bench::failure::exit_code;
use bondy_bench::process::Worker;
use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

/// Load against a WAMP router, and the floor beside it
#[derive(Debug, Parser)]
#[command(name = "bondy-bench", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let line = Line::parse();
    match Worker::current(&[]).and_then(|worker| line.command.run(worker)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}
