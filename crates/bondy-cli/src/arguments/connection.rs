//! Where the router is and who joins it: flags and environment of every client command.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use serde::{Deserialize, Serialize};

use crate::completion;

/// Flags that every client command has. A flag beats the environment, the environment beats the context.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// The router: ws://, wss://, rs:// or rss:// HOST:PORT, or unix:PATH [default: ws://127.0.0.1:18080/ws].
    #[arg(long, value_name = "URL", env = "BONDY_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
    /// The realm to join [default: realm1].
    #[arg(long, value_name = "REALM", env = "BONDY_REALM", hide_env_values = true)]
    pub(crate) realm: Option<String>,
    /// How messages are written [default: the first of msgpack, cbor and json that the router takes].
    #[arg(
        long,
        value_name = "SERIALIZER",
        env = "BONDY_SERIALIZER",
        hide_env_values = true,
        hide_possible_values = true
    )]
    pub(crate) serializer: Option<SerializerName>,
    /// Who joins.
    #[arg(long, value_name = "AUTHID", env = "BONDY_AUTHID", hide_env_values = true)]
    pub(crate) authid: Option<String>,
    /// How that is proven: anonymous, ticket, wampcra, scram or cryptosign.
    #[arg(
        long,
        value_name = "METHOD",
        env = "BONDY_AUTHMETHOD",
        hide_env_values = true,
        hide_possible_values = true
    )]
    pub(crate) authmethod: Option<AuthMethodName>,
    /// The file with the ticket, password or private key, `-` for standard input [env: BONDY_SECRET_FILE, or the
    /// secret itself in BONDY_SECRET].
    // Read from the environment elsewhere: the flag has to beat BONDY_SECRET too.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The context to take the rest from, `-` for the previous one [default: the selected one].
    #[arg(
        long,
        value_name = "NAME",
        env = "BONDY_CONTEXT",
        hide_env_values = true,
        add = ArgValueCompleter::new(completion::contexts)
    )]
    pub(crate) context: Option<String>,
    /// Believe the certificates that this file's authorities have signed, and no others.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Believe any certificate. Whoever sits between reads and changes everything.
    #[arg(long, conflicts_with = "ca_file")]
    pub(crate) insecure: bool,
    /// How long connecting and joining may take together.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_positive_duration)]
    pub(crate) connect_timeout: Duration,
}

/// A serializer's name.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SerializerName {
    /// JSON
    Json,
    /// MessagePack
    Msgpack,
    /// CBOR
    Cbor,
}

/// A way to prove who joins.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthMethodName {
    /// Nothing is proven
    Anonymous,
    /// A secret, sent as it is
    Ticket,
    /// A secret, never sent
    Wampcra,
    /// A password, never sent; the router proves that it knows it too
    #[value(alias = "wamp-scram")]
    #[serde(alias = "wamp-scram")]
    Scram,
    /// An Ed25519 private key
    Cryptosign,
}

/// For commands that stay: what happens when the connection is lost.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ReconnectArguments {
    /// End, with exit code 3, when the connection is lost.
    #[arg(long)]
    pub(crate) no_reconnect: bool,
}

/// `10s`, `1.5s`, `200ms`, `2m`, `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds_each = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time has a unit: ms, s, m or h, as in 10s or 500ms".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
    Duration::try_from_secs_f64(number * seconds_each).map_err(|_| "a time is not negative".to_owned())
}

/// The same, and not nothing.
pub(crate) fn parse_positive_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("a time above 0 is needed here".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_a_unit() {
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3_600)));
        for wrong in ["5", "-1s", "s", "1e400s", "5 parsecs", ""] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        assert!(parse_duration("0s").is_ok() && parse_positive_duration("0s").is_err());
    }
}
