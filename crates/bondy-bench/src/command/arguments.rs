//! The options of the benchmarks, and what they mean.

use crate::benchmark::{Pin, Settings};
use crate::process::Worker;
use crate::server::{Endpoint, RouterSource};
use crate::wire::{Payload, Serializer, Shape, Wire};
use anyhow::Context;
use clap::{Args, ValueEnum};
use std::time::Duration;

/// Options of every benchmark.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    /// The command that starts the router under test, split at spaces. It must write one line with `ready` and the
    /// bound address of each listener (`public=ws://127.0.0.1:PORT/ws tcp=127.0.0.1:PORT`). By default `bondy` beside
    /// this program, on free ports
    #[arg(long, value_name = "COMMAND", conflicts_with = "url")]
    router_command: Option<String>,
    /// A router that runs already: ws://HOST:PORT/PATH or tcp://HOST:PORT (rawsocket), with TLS wss:// or tcps://; may
    /// be given once for each
    #[arg(long)]
    url: Vec<String>,
    /// The process of the router at --url, to measure its CPU time and memory
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    /// Speak TLS to the router, with the listener `secure` or `secure_tcp` of a started one, and believe its
    /// certificate. The floor stays plain
    #[arg(long)]
    tls: bool,
    /// The realm to join
    #[arg(long, default_value = "realm1")]
    realm: String,
    /// The cores of router and load
    #[arg(long, value_enum, default_value_t = Pin::Auto)]
    pin: Pin,
    /// Run servers and loads before all ordinary processes (SCHED_FIFO), for quiet figures on a busy machine; needs root
    #[arg(long)]
    realtime: bool,
    /// Rounds of the router, and of the floor between them
    #[arg(long)]
    rounds: Option<usize>,
    /// How long all rounds of the router are measured together, as in 5s or 500ms
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Leave the floor out
    #[arg(long)]
    no_floor: bool,
    /// A run of a few hundred milliseconds, which shows that the benchmark works and no more
    #[arg(long)]
    quick: bool,
    /// The form of the results
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
}

/// The form of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people
    Table,
    /// One JSON object
    Json,
}

/// Options that say what to speak.
#[derive(Clone, Debug, Args)]
pub struct WireArgs {
    /// The transport; by default that of --url, else rawsocket
    #[arg(long, value_enum)]
    transport: Option<Transport>,
    /// The serializer; by default msgpack over rawsocket and json over WebSocket
    #[arg(long, value_enum)]
    serializer: Option<SerializerName>,
}

/// A transport's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Transport {
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

/// Options that say what to carry.
#[derive(Clone, Debug, Args)]
pub struct PayloadArgs {
    /// The payload in octets
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=16_000_000))]
    payload: u32,
    /// What the payload looks like
    #[arg(long, value_enum, default_value_t = ShapeName::Text)]
    shape: ShapeName,
}

/// A shape's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ShapeName {
    /// One argument: a text
    Text,
    /// Keyword arguments of every kind
    Mixed,
}

/// `floor`.
#[derive(Clone, Debug, Args)]
pub struct FloorArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// Subscribers of the fan-out
    #[arg(long)]
    pub(super) subscribers: Option<usize>,
    /// Messages in flight where they are batched
    #[arg(long, default_value_t = 64)]
    pub(super) window: usize,
}

/// `rpc`.
#[derive(Clone, Debug, Args)]
pub struct RpcArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    #[command(flatten)]
    pub(super) wire: WireArgs,
    #[command(flatten)]
    pub(super) payload: PayloadArgs,
    /// Callers, each with a callee of its own
    #[arg(long, default_value_t = 1)]
    pub(super) pairs: usize,
    /// Calls that each caller keeps in flight
    #[arg(long, default_value_t = 1)]
    pub(super) window: usize,
}

/// `pubsub`.
#[derive(Clone, Debug, Args)]
pub struct PubSubArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    #[command(flatten)]
    pub(super) wire: WireArgs,
    #[command(flatten)]
    pub(super) payload: PayloadArgs,
    /// Publishers
    #[arg(long, default_value_t = 1)]
    pub(super) publishers: usize,
    /// Subscribers, each of which gets every event (1000; 50 with --quick)
    #[arg(long)]
    pub(super) subscribers: Option<usize>,
    /// Events that a publisher sends at once, before it waits until everybody has them
    #[arg(long, default_value_t = 1)]
    pub(super) window: usize,
}

/// `connections`.
#[derive(Clone, Debug, Args)]
pub struct ConnectionsArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    #[command(flatten)]
    pub(super) wire: WireArgs,
    /// Idle sessions (15000; 200 with --quick)
    #[arg(long)]
    pub(super) sessions: Option<usize>,
}

/// `churn`.
#[derive(Clone, Debug, Args)]
pub struct ChurnArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    #[command(flatten)]
    pub(super) wire: WireArgs,
    /// How many join and leave at once
    #[arg(long, default_value_t = 8)]
    pub(super) workers: usize,
}

/// `all`.
#[derive(Clone, Debug, Args)]
pub struct AllArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// Subscribers of the fan-out (1000; 50 with --quick)
    #[arg(long)]
    pub(super) subscribers: Option<usize>,
    /// Idle sessions (15000; 200 with --quick)
    #[arg(long)]
    pub(super) sessions: Option<usize>,
    /// Calls and events in flight where they are batched
    #[arg(long, default_value_t = 64)]
    pub(super) window: usize,
}

impl CommonArgs {
    pub(super) fn settings(&self, worker: Worker) -> anyhow::Result<Settings> {
        let (rounds, duration, warm_up) = match self.quick {
            true => (2, Duration::from_millis(100), Duration::from_millis(10)),
            false => (5, Duration::from_secs(5), Duration::from_millis(200)),
        };
        let rounds = self.rounds.unwrap_or(rounds).clamp(1, 1_000);
        let router = self.router()?;
        let only_tls = match &router {
            RouterSource::Running { endpoints, .. } => endpoints.iter().all(|endpoint| endpoint.tls),
            RouterSource::Command(_) => false,
        };
        Ok(Settings {
            worker,
            router,
            tls: self.tls || only_tls,
            realm: self.realm.clone(),
            pin: self.pin,
            realtime: self.realtime,
            rounds,
            warm_up,
            round: self.duration.unwrap_or(duration) / u32::try_from(rounds)?,
            with_floor: !self.no_floor,
        })
    }

    fn router(&self) -> anyhow::Result<RouterSource> {
        if !self.url.is_empty() {
            let endpoints = self.url.iter().map(|url| Endpoint::parse(url)).collect::<anyhow::Result<_>>()?;
            return Ok(RouterSource::Running { endpoints, pid: self.pid });
        }
        if let Some(command) = &self.router_command {
            return Ok(RouterSource::Command(command.split_whitespace().map(String::from).collect()));
        }
        let own = std::env::current_exe().context("cannot tell where this program is")?;
        let bondy = own.with_file_name("bondy").to_string_lossy().into_owned();
        let mut command = vec![bondy, "start".to_owned(), "--dev".to_owned()];
        for listener in ["public", "admin", "tcp"] {
            command.push("--set".to_owned());
            command.push(format!("listeners.{listener}.bind=127.0.0.1:0"));
        }
        Ok(RouterSource::Command(command))
    }

    pub(super) fn subscribers(&self, given: Option<usize>) -> usize {
        given.unwrap_or(if self.quick { 50 } else { 1_000 })
    }

    pub(super) fn sessions(&self, given: Option<usize>) -> usize {
        given.unwrap_or(if self.quick { 200 } else { 15_000 })
    }
}

impl WireArgs {
    pub(super) fn wire(&self, settings: &Settings) -> Wire {
        let transport = self.transport.unwrap_or(match &settings.router {
            RouterSource::Running { endpoints, .. }
                if endpoints.iter().all(|endpoint| endpoint.websocket) =>
            {
                Transport::Websocket
            }
            RouterSource::Running { .. } | RouterSource::Command(_) => Transport::Rawsocket,
        });
        let serializer = self.serializer.map(|name| match name {
            SerializerName::Json => Serializer::Json,
            SerializerName::Msgpack => Serializer::MsgPack,
            SerializerName::Cbor => Serializer::Cbor,
        });
        match transport {
            Transport::Rawsocket => Wire::RawSocket(serializer.unwrap_or(Serializer::MsgPack)),
            Transport::Websocket => Wire::WebSocket(serializer.unwrap_or(Serializer::Json)),
        }
    }
}

impl PayloadArgs {
    pub(super) fn payload(&self) -> Payload {
        let shape = match self.shape {
            ShapeName::Text => Shape::Text,
            ShapeName::Mixed => Shape::Mixed,
        };
        Payload { bytes: self.payload as usize, shape }
    }
}

/// `5s`, `1.5s`, `200ms`, `2m`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds_each = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("`{text}` is no duration: write it as 5s or 500ms")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("`{digits}` is no number"))?;
    Duration::try_from_secs_f64(number * seconds_each).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::parse_duration;
    use std::time::Duration;

    #[test]
    fn durations_carry_a_unit() {
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert!(parse_duration("5").is_err());
        assert!(parse_duration("-1s").is_err());
    }
}
