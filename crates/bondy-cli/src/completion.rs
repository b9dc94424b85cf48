//! Shell completion: the script that `bondy completion SHELL` prints, and the answers that the script asks for.
//!
//! The script asks this very program for candidates, so that URIs known to the router and names of contexts are among
//! them. Whatever goes wrong then is silent: a shell has no place for errors while somebody types.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::future::IntoFuture;
use std::time::Duration;

use bondy_client::{Client, Reply};
use clap::{CommandFactory, Parser, ValueEnum};
use clap_complete::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};
use tokio::task::JoinSet;

use crate::Failure;
use crate::arguments::Arguments;
use crate::arguments::connection::ConnectionArguments;
use crate::connection::{Stay, connect};
use crate::context::Contexts;
use crate::output::print;
use crate::settings::Settings;
use crate::wire::Incoming;

/// Set by the script when it asks for candidates.
const VARIABLE: &str = "BONDY_COMPLETE";

/// How long somebody who types waits for the router.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// How many URIs are looked at.
const URIS_MAX: usize = 1_000;

/// A shell that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// Elvish
    Elvish,
    /// PowerShell
    Powershell,
}

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
            Shell::Elvish => "elvish",
            Shell::Powershell => "powershell",
        }
    }
}

/// Prints the script of a shell.
pub(crate) fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    let completer = Shells::builtins()
        .completer(shell.name())
        .map(|completer| completer.write_registration(VARIABLE, "bondy", "bondy", "bondy", &mut script));
    match completer {
        Some(Ok(())) => print(&String::from_utf8_lossy(&script)),
        Some(Err(error)) => Err(Failure::Other(error.into())),
        None => Err(Failure::usage(format!("no completion for {}", shell.name()))),
    }
}

/// Answers the script and is true, if it was the script that started this process.
pub(crate) fn answer() -> bool {
    let folder = std::env::current_dir().ok();
    let environment = CompleteEnv::with_factory(Arguments::command).var(VARIABLE);
    environment.try_complete(std::env::args_os(), folder.as_deref()).unwrap_or(true)
}

/// Names of contexts that begin so.
pub(crate) fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    let names: Vec<String> =
        Contexts::load().map(|contexts| contexts.names().map(str::to_owned).collect()).unwrap_or_default();
    beginning_with(current, names)
}

/// Invocation policies that begin so.
pub(crate) fn invocation_policies(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning_with(current, ["single", "roundrobin", "random", "first", "last"].map(str::to_owned).to_vec())
}

/// Procedures of the router that begin so.
pub(crate) fn procedures(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning_with(current, known_uris("registration"))
}

/// Topics of the router that begin so.
pub(crate) fn topics(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning_with(current, known_uris("subscription"))
}

fn beginning_with(current: &OsStr, names: Vec<String>) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    names.into_iter().filter(|name| name.starts_with(&*current)).map(CompletionCandidate::new).collect()
}

/// The URIs of all registrations or subscriptions, as far as the router says them in time.
fn known_uris(subject: &'static str) -> Vec<String> {
    let look = async {
        let arguments = connection().ok_or(Failure::Reported)?;
        let settings = Settings::settle(&arguments)?;
        let client = connect(&settings, Stay::UntilLost).await?;
        let uris = fetch_uris(&client, subject).await?;
        client.close().await;
        Ok(uris)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let found: Result<Vec<String>, Failure> =
        runtime.block_on(async { tokio::time::timeout(WAIT_MAX, look).await.unwrap_or(Ok(Vec::new())) });
    found.unwrap_or_default()
}

async fn fetch_uris(client: &Client, subject: &str) -> Result<Vec<String>, Failure> {
    let failed = |_| Failure::Reported;
    let ids: BTreeMap<String, Vec<u64>> =
        client.call(format!("wamp.{subject}.list")).await.map_err(failed)?;
    let mut looks = JoinSet::new();
    for id in ids.into_values().flatten().take(URIS_MAX) {
        let call = client.call::<Reply>(format!("wamp.{subject}.get")).arg(id);
        looks.spawn(call.into_future());
    }
    let mut uris = Vec::new();
    while let Some(look) = looks.join_next().await {
        // One that is gone by now is none.
        let Ok(Ok(reply)) = look else { continue };
        let Ok((details,)) = reply.args::<(BTreeMap<String, Incoming>,)>() else { continue };
        uris.extend(details.get("uri").and_then(|uri| uri.0.as_str()).map(str::to_owned));
    }
    uris.sort();
    Ok(uris)
}

/// The flags of the connection in an unfinished line.
#[derive(Debug, Parser)]
struct ConnectionLine {
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// The flags of the connection, as far as they are typed already.
fn connection() -> Option<ConnectionArguments> {
    let words: Vec<String> = std::env::args().collect();
    let own = ConnectionLine::command();
    let flags: Vec<String> =
        own.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect();
    let mut line = vec!["bondy".to_owned()];
    let mut rest = words.iter().skip_while(|word| *word != "--").skip(1).peekable();
    while let Some(word) = rest.next() {
        let name = word.split('=').next().unwrap_or_default();
        if !flags.iter().any(|flag| flag == name) {
            continue;
        }
        line.push(word.clone());
        if !word.contains('=') && name != "--insecure" {
            line.extend(rest.next().cloned());
        }
    }
    ConnectionLine::try_parse_from(line).ok().map(|line| line.connection)
}
