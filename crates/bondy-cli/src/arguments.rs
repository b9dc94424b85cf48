//! The command line: what may be said, and the help that says it.

use std::path::PathBuf;

use bondy_node::config::{Request, Setting};
use clap::{Args, Parser, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use crate::completion::{self, Shell};
use client::{
    CallArguments, LatencyArguments, PingArguments, PublishArguments, RegisterArguments, SubscribeArguments,
    TopArguments,
};
use context::{CONTEXT_EXAMPLES, ContextArguments};

pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod context;
pub(crate) mod payload;

/// Bondy, a WAMP router and client.
#[derive(Debug, Parser)]
#[command(name = "bondy", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  bondy start --dev                  a router on this machine, for development
  bondy start --config bondy.yaml    a node as the file says
  bondy config check bondy.yaml      everything that is wrong with the file
  bondy register com.example.date --exec date
  bondy call com.example.date
  bondy subscribe com.example. --match prefix
  bondy publish com.example.greeted world

Exit codes:
  0    fine; also subscribe and register ended by Ctrl-C
  1    a failure, an error as an answer, or nothing in time
  2    wrong usage or configuration
  3    not connected, not let in, or the connection lost
  130  ended by Ctrl-C";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a node and run it until SIGTERM or SIGINT.
    #[command(after_help = START_EXAMPLES)]
    Start(StartArguments),
    /// Check, show or describe the configuration.
    #[command(after_help = CONFIG_EXAMPLES)]
    Config(ConfigArguments),
    /// Call a procedure.
    Call(CallArguments),
    /// Publish an event.
    Publish(PublishArguments),
    /// Show events as they come.
    Subscribe(SubscribeArguments),
    /// Serve a procedure: with a shell command, a fixed result, or an echo.
    Register(RegisterArguments),
    /// Measure round trips to the router.
    Ping(PingArguments),
    /// Measure how long calls take through the router.
    Latency(LatencyArguments),
    /// Watch sessions, procedures and topics of a realm.
    Top(TopArguments),
    /// Drive load against any WAMP router, and measure it.
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(BenchArguments),
    /// Run routers, faulty links and scripted peers for tests, by lines of JSON.
    #[command(after_help = bondy_testkit::command::EXAMPLES)]
    Testkit,
    /// Name routers and identities, and choose among them.
    #[command(after_help = CONTEXT_EXAMPLES)]
    Context(ContextArguments),
    /// Print the script that lets a shell complete commands, URIs and contexts.
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completion {
        /// Which shell: bash, zsh, fish, elvish or powershell.
        #[arg(value_name = "SHELL", hide_possible_values = true)]
        shell: Shell,
    },
    /// Print the manual page, or write one for each command.
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// The folder to write them into.
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    pub(crate) command: bondy_bench::command::Command,
    /// The context to take the connection from, `-` for the previous one [default: the selected one].
    #[arg(
        long,
        value_name = "NAME",
        env = "BONDY_CONTEXT",
        hide_env_values = true,
        global = true,
        add = ArgValueCompleter::new(completion::contexts)
    )]
    pub(crate) context: Option<String>,
}

const BENCH_EXAMPLES: &str = "\
Examples:
  bondy bench rpc                      the router of `bondy start --dev`
  bondy bench pubsub --context staging
  bondy bench all --start              a router of its own, beside the floors";

const COMPLETION_EXAMPLES: &str = "\
Examples:
  source <(bondy completion bash)         in ~/.bashrc
  source <(bondy completion zsh)          in ~/.zshrc
  bondy completion fish | source          in ~/.config/fish/config.fish
  eval (bondy completion elvish | slurp)  in ~/.config/elvish/rc.elv
  bondy completion powershell | Out-String | Invoke-Expression   in $PROFILE

The script asks bondy itself, which asks the router for its procedures and topics where one is to be typed, for at \
most a second.";

const MAN_EXAMPLES: &str = "\
Examples:
  bondy man | man -l -
  bondy man ~/.local/share/man/man1";

const START_EXAMPLES: &str = "\
Examples:
  bondy start --dev
  bondy start --dev --set listeners.public.bind=127.0.0.1:0 \\
      --set listeners.admin.bind=127.0.0.1:0 \\
      --set listeners.tcp.bind=127.0.0.1:0
  bondy start --config bondy.yaml --set node.name=n2 --log-level debug
  BONDY__NODE__NAME=n2 bondy start --config bondy.yaml

Without --config and --dev the file is bondy.yaml in the working folder. The file wins over the defaults of --dev, the environment over the file, --set over all.";

#[derive(Args, Debug)]
pub(crate) struct StartArguments {
    /// The configuration: YAML, or JSON or TOML by its extension.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
    /// The least level that is logged: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How a line of the log looks: auto (text on a terminal, else json), text or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// What goes over the file.
#[derive(Args, Debug)]
struct Overrides {
    /// Set one key; may be given several times. The value is YAML on one line, list items go by number.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<Setting>,
    /// Begin with defaults for development: loopback only, realm `realm1` where anonymous may do everything.
    #[arg(long)]
    dev: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

const CONFIG_EXAMPLES: &str = "\
Examples:
  bondy config check bondy.yaml
  bondy config show --origin bondy.yaml      each value, and where it comes from
  bondy config show --dev                    what --dev stands for
  bondy config schema > bondy.schema.json    for editors";

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say everything that is wrong with a configuration.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(SourceArguments),
    /// Print the effective configuration as YAML, secrets left out.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        #[command(flatten)]
        source: SourceArguments,
        /// Say behind each value where it comes from.
        #[arg(long)]
        origin: bool,
    },
    /// Print the JSON Schema of configuration files.
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema,
    /// Print the generated documentation.
    #[command(hide = true)]
    Reference {
        /// Which.
        document: Document,
    },
}

const CHECK_EXAMPLES: &str = "\
Examples:
  bondy config check
  bondy config check bondy.yaml --set node.name=n2

Without FILE and --dev the file is bondy.yaml in the working folder.";

const SHOW_EXAMPLES: &str = "\
Examples:
  bondy config show bondy.yaml
  bondy config show --origin --dev
  BONDY__LOG__LEVEL=debug bondy config show --origin bondy.yaml";

const SCHEMA_EXAMPLES: &str = "\
Examples:
  bondy config schema > bondy.schema.json";

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Document {
    DefaultFile,
    Page,
    Commands,
}

/// Where a configuration comes from.
#[derive(Args, Debug)]
pub(crate) struct SourceArguments {
    /// The configuration: YAML, or JSON or TOML by its extension.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

fn parse_setting(text: &str) -> Result<Setting, String> {
    let Some((key, value)) = text.split_once('=') else {
        return Err("expected KEY=VALUE, such as node.name=n1".to_owned());
    };
    Ok(Setting { flag: format!("--set {key}"), key: key.to_owned(), value: value.to_owned() })
}

impl StartArguments {
    pub(crate) fn is_dev(&self) -> bool {
        self.overrides.dev
    }

    pub(crate) fn request(&self) -> Request {
        let mut request = self.overrides.request(self.config.clone());
        let flags =
            [("log-level", "log.level", &self.log_level), ("log-format", "log.format", &self.log_format)];
        for (flag, key, value) in flags {
            let setting = |value: &String| Setting {
                flag: format!("--{flag}"),
                key: key.to_owned(),
                value: value.clone(),
            };
            request.settings.extend(value.iter().map(setting));
        }
        request
    }
}

impl SourceArguments {
    pub(crate) fn request(&self) -> Request {
        self.overrides.request(self.file.clone())
    }
}

impl Overrides {
    fn request(&self, file: Option<PathBuf>) -> Request {
        Request { file, settings: self.settings.clone(), dev: self.dev }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// A paragraph of several source lines would be broken at both their ends and the terminal's.
    #[test]
    fn text_below_the_options_is_broken_by_the_terminal_alone() {
        fn check(command: &clap::Command) {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for block in text.split("\n\n") {
                for (line, next) in block.lines().zip(block.lines().skip(1)) {
                    assert!(next.starts_with("  "), "{}: {line} / {next}", command.get_name());
                }
                for line in block.lines().filter(|line| line.starts_with("  ")) {
                    assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
                }
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }
}
