//! `bondy context`: what may be said about named contexts.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::connection::{AuthMethodName, SerializerName};
use super::payload::OutputArguments;
use crate::completion;

#[derive(Args, Clone, Debug)]
pub(crate) struct ContextArguments {
    #[command(subcommand)]
    pub(crate) command: ContextCommand,
}

pub(crate) const CONTEXT_EXAMPLES: &str = "\
Examples:
  bondy context add dev --url ws://127.0.0.1:18080/ws --select
  bondy context add prod --url wss://router.example.com/ws \\
      --realm com.example.app --authid ops --authmethod wampcra \\
      --secret-file ~/.ops-secret
  bondy context select prod
  bondy context select -         the one before
  bondy call com.example.greet world --context dev

A flag beats the environment, the environment beats the context. The contexts are kept in \
bondy/contexts.json below XDG_CONFIG_HOME (~/.config), or in the folder that BONDY_CONFIG_HOME names.";

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// Make a new context.
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        /// Its name: letters, digits, `_`, `.` and `-`.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        fields: ContextFields,
        /// Select it too.
        #[arg(long)]
        select: bool,
    },
    /// Choose the context of commands that name none.
    #[command(after_help = SELECT_EXAMPLES)]
    Select {
        /// Which; `-` for the one before.
        #[arg(value_name = "NAME", allow_hyphen_values = true, add = ArgValueCompleter::new(completion::contexts))]
        name: String,
    },
    /// List the contexts.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Show one context, its secret left out.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// Which [default: the selected one]; `-` for the one before.
        #[arg(value_name = "NAME", allow_hyphen_values = true, add = ArgValueCompleter::new(completion::contexts))]
        name: Option<String>,
        /// Show the secret too.
        #[arg(long)]
        secrets: bool,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Change a context: by flags, or without any in $VISUAL or $EDITOR.
    #[command(after_help = EDIT_EXAMPLES)]
    Edit {
        /// Which; `-` for the one before.
        #[arg(value_name = "NAME", allow_hyphen_values = true, add = ArgValueCompleter::new(completion::contexts))]
        name: String,
        #[command(flatten)]
        fields: ContextFields,
        /// Forget a field; may be given several times.
        #[arg(long, value_name = "FIELD")]
        unset: Vec<String>,
    },
    /// Remove a context.
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        /// Which; `-` for the one before.
        #[arg(value_name = "NAME", allow_hyphen_values = true, add = ArgValueCompleter::new(completion::contexts))]
        name: String,
    },
}

/// What a context says. The environment has no part in it.
#[derive(Args, Clone, Debug)]
pub(crate) struct ContextFields {
    /// The router: ws://, wss://, rs:// or rss:// HOST:PORT, or unix:PATH.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The realm to join.
    #[arg(long, value_name = "REALM")]
    pub(crate) realm: Option<String>,
    /// How messages are written: json, msgpack or cbor.
    #[arg(long, value_name = "SERIALIZER", hide_possible_values = true)]
    pub(crate) serializer: Option<SerializerName>,
    /// Who joins.
    #[arg(long, value_name = "AUTHID")]
    pub(crate) authid: Option<String>,
    /// How that is proven: anonymous, ticket, wampcra, scram or cryptosign.
    #[arg(long, value_name = "METHOD", hide_possible_values = true)]
    pub(crate) authmethod: Option<AuthMethodName>,
    /// The file with the ticket, password or private key, read when it is needed; `-` keeps what standard input says
    /// in the context itself.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Believe the certificates that this file's authorities have signed, and no others.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

const ADD_EXAMPLES: &str = "\
Examples:
  bondy context add dev --url ws://127.0.0.1:18080/ws --select
  pass router/ops | bondy context add prod --url wss://router.example.com/ws \\
      --authid ops --authmethod wampcra --secret-file -";

const SELECT_EXAMPLES: &str = "\
Examples:
  bondy context select prod
  bondy context select -";

const LIST_EXAMPLES: &str = "\
Examples:
  bondy context list
  bondy context list --output json";

const SHOW_EXAMPLES: &str = "\
Examples:
  bondy context show
  bondy context show prod --output json";

const EDIT_EXAMPLES: &str = "\
Examples:
  bondy context edit prod --realm com.example.other
  bondy context edit prod --unset authmethod --unset secret
  bondy context edit prod";

const REMOVE_EXAMPLES: &str = "\
Examples:
  bondy context remove dev";
