//! Which router to measure, and what to speak with it: flags, the environment, defaults.

use super::defaults::{AuthMethodName, Defaults};
use crate::endpoint::{Endpoint, Transport};
use crate::failure::{Cause, Failure, cause};
use crate::server::RouterSource;
use crate::wire::{Credentials, Serializer, Wire};
use anyhow::Context;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The router of `bondy start --dev`.
const DEFAULT_URL: &str = "ws://127.0.0.1:18080/ws";
const DEFAULT_REALM: &str = "realm1";

/// Options that say which router, and what to speak.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Router")]
pub struct ConnectionArgs {
    /// A router that runs already: ws://HOST:PORT/PATH or wss://, rs://HOST:PORT (rawsocket) or rss://, unix:PATH, or
    /// nats://HOST:PORT for NATS. May be given once for each transport. Certificates are not checked
    /// [default: ws://127.0.0.1:18080/ws] [env: BONDY_URL]
    #[arg(long, conflicts_with_all = ["start", "router_command"])]
    url: Vec<String>,
    /// The realm to join [default: realm1] [env: BONDY_REALM]
    #[arg(long)]
    realm: Option<String>,
    /// The serializer: json, msgpack or cbor [default: json over WebSocket, msgpack over rawsocket]
    /// [env: BONDY_SERIALIZER]
    #[arg(long, value_enum, hide_possible_values = true)]
    serializer: Option<SerializerName>,
    /// Who joins [env: BONDY_AUTHID]
    #[arg(long)]
    authid: Option<String>,
    /// How that is proven: anonymous, ticket, wampcra, scram or cryptosign [default: anonymous] [env: BONDY_AUTHMETHOD]
    #[arg(long, value_enum, value_name = "METHOD", hide_possible_values = true)]
    authmethod: Option<AuthMethodName>,
    /// The file with the ticket, password or private key, `-` for standard input [env: BONDY_SECRET_FILE, or the secret
    /// itself in BONDY_SECRET]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Send a secret although certificates are not checked
    #[arg(long)]
    insecure: bool,
    /// The router's process, to measure its CPU time and memory; may be given several times. By default the one that
    /// listens at the URL, if it is on this machine
    #[arg(long, conflicts_with_all = ["start", "router_command"])]
    pid: Vec<u32>,
    /// Start a router for each benchmark, on free ports
    #[arg(long)]
    start: bool,
    /// Start this router for each benchmark instead: a command, split at spaces. It must write one line with `ready`
    /// and the bound address of each listener (`public=ws://127.0.0.1:PORT/ws tcp=127.0.0.1:PORT`)
    #[arg(long, value_name = "COMMAND", conflicts_with = "start")]
    router_command: Option<String>,
    /// The transport, where the router has several: rawsocket or websocket [default: rawsocket]
    #[arg(long, value_enum, hide_possible_values = true)]
    transport: Option<TransportName>,
    /// Speak TLS, with the listener `secure` or `secure_tcp` of a started router
    #[arg(long, conflicts_with = "url")]
    tls: bool,
}

/// A transport's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TransportName {
    /// Rawsocket over TCP
    Rawsocket,
    /// WebSocket
    Websocket,
}

/// A serializer's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SerializerName {
    /// JSON
    Json,
    /// MessagePack
    Msgpack,
    /// CBOR
    Cbor,
}

/// The router of a run.
#[derive(Clone, Debug)]
pub(super) struct Router {
    pub(super) source: RouterSource,
    pub(super) wire: Wire,
    pub(super) tls: bool,
    pub(super) realm: String,
    pub(super) credentials: Option<Credentials>,
    /// Whether nobody has named it.
    is_default: bool,
}

impl Router {
    /// Adds what to do when nobody listens.
    pub(super) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        if cause(&error) != Some(Cause::Absent) {
            return error;
        }
        let where_from = if self.is_default { " (the URL by default)" } else { "" };
        let failure = Failure::of(&error);
        let message = format!(
            "{}{where_from}\n  help: is a router running there? `bondy start --dev` starts one; --url chooses another, \
             --start lets the benchmark start its own",
            failure.message
        );
        Failure { message, ..failure }.into()
    }
}

impl ConnectionArgs {
    /// The router that flags and `defaults` name.
    pub(super) fn router(&self, defaults: &Defaults) -> anyhow::Result<Router> {
        let (source, is_default) = self.source(defaults)?;
        let endpoint = match &source {
            RouterSource::Running { endpoints, .. } => Some(self.choose(endpoints)?),
            RouterSource::Command(_) => None,
        };
        let transport = match (endpoint, self.transport) {
            (Some(endpoint), _) => endpoint.transport,
            (None, Some(name)) => name.transport(),
            (None, None) => Transport::RawSocket,
        };
        let serializer = self.serializer(defaults)?;
        let wire = match transport {
            Transport::RawSocket => Wire::RawSocket(serializer.unwrap_or(Serializer::MsgPack)),
            Transport::WebSocket => Wire::WebSocket(serializer.unwrap_or(Serializer::Json)),
            // Its payloads are octets of any kind.
            Transport::Nats => Wire::Nats,
        };
        let tls = endpoint.map_or(self.tls, |endpoint| endpoint.tls);
        let realm = self.realm.clone().or_else(|| defaults.realm.clone());
        let realm = realm.unwrap_or_else(|| DEFAULT_REALM.to_owned());
        let flags = Defaults {
            authid: self.authid.clone(),
            authmethod: self.authmethod.map(|method| method.name().to_owned()),
            secret_file: self.secret_file.clone(),
            ..Defaults::default()
        };
        let credentials = flags.or(defaults.clone()).credentials()?;
        if credentials.is_some() && tls && !self.insecure {
            let text = "no certificate is checked here: --insecure sends the secret all the same";
            return Err(Failure::usage(text).into());
        }
        Ok(Router { source, wire, tls, realm, credentials, is_default })
    }

    /// Where the router comes from, and whether that is the default URL.
    fn source(&self, defaults: &Defaults) -> anyhow::Result<(RouterSource, bool)> {
        if let Some(command) = &self.router_command {
            let command: Vec<String> = command.split_whitespace().map(String::from).collect();
            if command.is_empty() {
                return Err(Failure::usage("--router-command is empty").into());
            }
            return Ok((RouterSource::Command(command), false));
        }
        if self.start {
            return Ok((RouterSource::Command(own_router(defaults.is_bondy)?), false));
        }
        let (urls, is_default) = match (self.url.is_empty(), &defaults.url) {
            (false, _) => (self.url.clone(), false),
            (true, Some(url)) => (vec![url.clone()], false),
            (true, None) => (vec![DEFAULT_URL.to_owned()], true),
        };
        let endpoints = urls.iter().map(|url| Endpoint::parse(url).map_err(Failure::usage));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        Ok((RouterSource::Running { endpoints, pids: self.pid.clone() }, is_default))
    }

    /// The endpoint of the wanted transport; of several, rawsocket.
    fn choose<'a>(&self, endpoints: &'a [Endpoint]) -> Result<&'a Endpoint, Failure> {
        let has = |transport| endpoints.iter().find(|endpoint| endpoint.transport == transport);
        let found = match self.transport {
            Some(name) => has(name.transport()),
            None => has(Transport::RawSocket).or(endpoints.first()),
        };
        found.ok_or_else(|| Failure::usage("--transport asks for one that no --url has"))
    }

    fn serializer(&self, defaults: &Defaults) -> Result<Option<Serializer>, Failure> {
        let name = match (&self.serializer, &defaults.serializer) {
            (Some(name), _) => Some(*name),
            (None, Some(text)) => Some(SerializerName::from_str(text, false).map_err(|_| {
                Failure::usage(format!("BONDY_SERIALIZER is `{text}`: use json, msgpack or cbor"))
            })?),
            (None, None) => None,
        };
        Ok(name.map(|name| match name {
            SerializerName::Json => Serializer::Json,
            SerializerName::Msgpack => Serializer::MsgPack,
            SerializerName::Cbor => Serializer::Cbor,
        }))
    }
}

impl TransportName {
    fn transport(self) -> Transport {
        match self {
            TransportName::Rawsocket => Transport::RawSocket,
            TransportName::Websocket => Transport::WebSocket,
        }
    }
}

/// This program where it is `bondy`, under whatever name, else the `bondy` beside it; on free ports.
fn own_router(is_bondy: bool) -> anyhow::Result<Vec<String>> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let bondy = if is_bondy { own } else { own.with_file_name("bondy") };
    if !bondy.exists() {
        let text =
            format!("--start needs {}: build it with `cargo build --release -p bondy-cli`", bondy.display());
        return Err(Failure::usage(text).into());
    }
    let mut command = vec![bondy.to_string_lossy().into_owned(), "start".to_owned(), "--dev".to_owned()];
    for listener in ["public", "admin", "tcp"] {
        command.push("--set".to_owned());
        command.push(format!("listeners.{listener}.bind=127.0.0.1:0"));
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::exit_code;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        connection: ConnectionArgs,
    }

    fn router(flags: &[&str], defaults: &Defaults) -> anyhow::Result<Router> {
        let words = std::iter::once("bench").chain(flags.iter().copied());
        Line::try_parse_from(words).expect("flags").connection.router(defaults)
    }

    #[test]
    fn where_nobody_listens_it_is_said_what_to_do_and_where_somebody_does_it_is_not() {
        let refused = || anyhow::Error::from(Failure::absent("refused"));
        let explained = router(&[], &Defaults::default()).expect("a router").explain(refused());
        assert_eq!(exit_code(&explained), 3);
        let text = format!("{explained:#}");
        let said = ["refused (the URL by default)\n  help: ", "bondy start --dev", "--start"];
        assert!(said.iter().all(|part| text.contains(part)), "{text}");
        let named = router(&["--url", "ws://a/ws"], &Defaults::default()).expect("a router");
        assert!(format!("{:#}", named.explain(refused())).starts_with("refused\n  help: "));
        let not_let_in = anyhow::Error::from(Failure::unreachable("not let in"));
        assert_eq!(format!("{:#}", named.explain(not_let_in)), "not let in");
    }

    #[test]
    fn flag_beats_default_and_the_serializer_follows_the_transport() {
        let defaults = Defaults {
            url: Some("rs://a:1".to_owned()),
            realm: Some("of.the.context".to_owned()),
            ..Defaults::default()
        };
        let named = router(&["--realm", "of.the.flag"], &defaults).expect("a router");
        assert_eq!((named.realm.as_str(), named.wire), ("of.the.flag", Wire::RawSocket(Serializer::MsgPack)));
        let named = router(&["--url", "ws://a/ws"], &defaults).expect("a router");
        assert_eq!((named.realm.as_str(), named.wire), ("of.the.context", Wire::WebSocket(Serializer::Json)));
        let wrong = Defaults { serializer: Some("xml".to_owned()), ..defaults };
        assert!(router(&[], &wrong).is_err());
        let two = ["--url", "ws://a/ws", "--url", "rs://a:1", "--transport", "websocket"];
        let chosen = router(&two, &Defaults::default()).expect("a router");
        assert_eq!(chosen.wire.transport(), Transport::WebSocket);
    }
}
