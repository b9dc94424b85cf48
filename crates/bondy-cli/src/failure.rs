//! Why a command did not do what it was asked for, and the exit code that says so.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use bondy_node::config::Problems;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit code 2.
    Configuration(Problems),
    /// Exit code 2: the configuration is well-formed, and what it names cannot be used.
    Unusable(anyhow::Error),
    /// Exit code 2: the command line, or a file that it names, is wrong.
    Usage(String),
    /// Exit code 1: the other side answered with an error, or nothing came in time.
    Answer(String),
    /// Exit code 1: so it was, and it has been said already.
    Reported,
    /// Exit code 3: not connected, not let in, or the connection lost.
    Connection(String),
    /// Exit code 128 and the signal: 130 for SIGINT.
    Signaled(i32),
    /// Exit code 0: whoever read standard output has seen enough.
    ReaderGone,
    /// Exit code 1.
    Other(anyhow::Error),
    /// A benchmark's own exit code.
    Bench(anyhow::Error, u8),
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

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Failure::Usage(text.into())
    }

    /// Says it on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        let (text, code) = match self {
            Failure::Configuration(problems) => (describe(problems), 2),
            Failure::Unusable(error) => (error_line(&format!("{error:#}")), 2),
            Failure::Usage(text) => (error_line(text), 2),
            Failure::Answer(text) => (error_line(text), 1),
            Failure::Reported => (String::new(), 1),
            Failure::Connection(text) => (error_line(text), 3),
            Failure::Signaled(signal) => (String::new(), u8::try_from(128 + signal).unwrap_or(1)),
            Failure::ReaderGone => (String::new(), 0),
            Failure::Other(error) => (error_line(&format!("{error:#}")), 1),
            Failure::Bench(error, code) => (error_line(&format!("{error:#}")), *code),
        };
        // If standard error is gone there is nobody left to tell.
        let _ = io::stderr().write_all(text.as_bytes());
        ExitCode::from(code)
    }
}

fn describe(problems: &Problems) -> String {
    let mut text: String = problems.iter().map(|problem| error_line(&problem.to_string())).collect();
    let count = problems.count();
    if count > 1 {
        text += &format!("{count} problems in the configuration\n");
    }
    text
}

fn error_line(text: &str) -> String {
    format!("{} {text}\n", red("error:"))
}

/// Red on a terminal, unless `NO_COLOR` is set or the terminal has no colours.
fn red(text: &str) -> String {
    let has_colour = std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb");
    let wants_colour = has_colour && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wants_colour && io::stderr().is_terminal() {
        format!("\x1b[1;31m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Says on standard error what is neither result nor failure.
pub(crate) fn say(text: &str) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Says an error on standard error, and goes on.
pub(crate) fn say_error(text: &str) {
    let _ = io::stderr().write_all(error_line(text).as_bytes());
}
