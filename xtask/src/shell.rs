//! One external command: its words, its folder, its environment.
//!
//! Knows nothing of what it runs. Output goes to the terminal as it comes, unless it is asked for as text.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// A command to run. Built by [`command`], finished by [`Shell::run`] or [`Shell::read`].
pub(crate) struct Shell {
    command: Command,
    shown: String,
}

/// Prepares `program` with `args`, run in `folder`.
pub(crate) fn command(folder: &Path, program: &str, args: &[&str]) -> Shell {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder);
    Shell { command, shown: format!("{program} {}", args.join(" ")) }
}

impl Shell {
    /// Sets one environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Shell {
        self.command.env(name, value);
        self
    }

    /// Runs to the end, showing the command and its output. An exit code other than 0 is an error.
    pub(crate) fn run(mut self) -> Result<()> {
        eprintln!("$ {}", self.shown);
        let status = self.command.status().with_context(|| format!("cannot start `{}`", self.shown))?;
        if !status.success() {
            bail!("`{}` failed: {status}", self.shown);
        }
        Ok(())
    }

    /// Runs to the end and returns standard output. An exit code other than 0 is an error.
    pub(crate) fn read(mut self) -> Result<String> {
        let output = self
            .command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start `{}`", self.shown))?;
        if !output.status.success() {
            bail!("`{}` failed: {}", self.shown, output.status);
        }
        String::from_utf8(output.stdout)
            .with_context(|| format!("`{}` printed text that is not UTF-8", self.shown))
    }

    /// Whether the command starts and ends with 0. Prints nothing.
    pub(crate) fn succeeds(mut self) -> bool {
        let status = self.command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }
}
