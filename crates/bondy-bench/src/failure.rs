//! What ends a benchmark early, told apart by what the user can do about it, and so by the exit code.
//!
//! A load fails in a process of its own: its failure crosses the pipe as JSON and keeps its cause.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Who is to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The command line asks for what cannot be measured.
    Usage,
    /// Nobody can be connected to there.
    Absent,
    /// The session was not let in, or the connection was lost.
    Unreachable,
    /// The other side answered with something else than what was asked for, or not in time.
    Answer,
}

/// A failure with its cause. It may stand anywhere in a chain of errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its cause.
    pub cause: Cause,
    /// What failed, with which value, and what to do.
    pub message: String,
}

impl Failure {
    /// A failure of the command line.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { cause: Cause::Usage, message: message.into() }
    }

    /// Not connected.
    pub fn absent(message: impl Into<String>) -> Failure {
        Failure { cause: Cause::Absent, message: message.into() }
    }

    /// Connected, and not let in or lost.
    pub fn unreachable(message: impl Into<String>) -> Failure {
        Failure { cause: Cause::Unreachable, message: message.into() }
    }

    /// A wrong or missing answer.
    pub fn answer(message: impl Into<String>) -> Failure {
        Failure { cause: Cause::Answer, message: message.into() }
    }

    /// The whole chain of `error` as one failure: with the cause that stands in it, else that of a missing answer.
    pub fn of(error: &anyhow::Error) -> Failure {
        let cause = cause(error).unwrap_or(Cause::Answer);
        Failure { cause, message: format!("{error:#}") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The cause in a chain of errors, if it has one.
pub fn cause(error: &anyhow::Error) -> Option<Cause> {
    error.downcast_ref::<Failure>().map(|failure| failure.cause)
}

/// The exit code for an error: 2 for usage, 3 for no connection, 1 for the rest.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match cause(error) {
        Some(Cause::Usage) => 2,
        Some(Cause::Absent | Cause::Unreachable) => 3,
        Some(Cause::Answer) | None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn cause_is_found_below_what_was_said_about_it() {
        let lost: anyhow::Result<()> = Err(Failure::unreachable("gone").into());
        let error = lost.context("in the second round").context("rpc").expect_err("an error");
        assert_eq!(exit_code(&error), 3);
        let expected = Failure::unreachable("rpc: in the second round: gone");
        assert_eq!(Failure::of(&error), expected);
        assert_eq!(exit_code(&anyhow::anyhow!("anything")), 1);
    }
}
