//! The commands that join a realm: what each may be told, with examples.

use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use clap_complete::engine::ArgValueCompleter;

use super::connection::{ConnectionArguments, ReconnectArguments, parse_duration, parse_positive_duration};
use super::payload::{OptionArguments, OutputArguments, PaceArguments, PayloadArguments, TEMPLATE_HELP};
use crate::completion;

#[derive(Args, Clone, Debug)]
#[command(after_help = format!("{CALL_EXAMPLES}\n\n{TEMPLATE_HELP}"))]
pub(crate) struct CallArguments {
    /// The procedure to call.
    #[arg(value_name = "PROCEDURE", add = ArgValueCompleter::new(completion::procedures))]
    pub(crate) procedure: String,
    #[command(flatten)]
    pub(crate) payload: PayloadArguments,
    #[command(flatten)]
    pub(crate) options: OptionArguments,
    /// How long the call may take, and with --progress each next result; the router ends it then
    /// [default: for ever].
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Ask for progressive results, and show them as they come.
    #[arg(long)]
    pub(crate) progress: bool,
    /// Call so many times.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..))]
    pub(crate) repeat: u64,
    #[command(flatten)]
    pub(crate) pace: PaceArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

const CALL_EXAMPLES: &str = r#"Examples:
  bondy call com.example.greet world
  bondy call com.example.add 2 3 --timeout 5s
  bondy call com.example.order '{"item": "tea"}' -k urgent=true --output json
  bondy call com.example.add --args-file sum.json
  bondy call com.example.count 10 --progress --output ndjson
  bondy call com.example.greet 'guest {{count}}' --repeat 1000 --parallel 16"#;

#[derive(Args, Clone, Debug)]
#[command(after_help = format!("{PUBLISH_EXAMPLES}\n\n{TEMPLATE_HELP}"))]
pub(crate) struct PublishArguments {
    /// The topic to publish to.
    #[arg(value_name = "TOPIC", add = ArgValueCompleter::new(completion::topics))]
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) payload: PayloadArguments,
    #[command(flatten)]
    pub(crate) options: OptionArguments,
    /// Do not wait for the router to say that it has the event.
    #[arg(long)]
    pub(crate) no_acknowledge: bool,
    /// Keep the event as the topic's last value, for subscribers to come.
    #[arg(long)]
    pub(crate) retain: bool,
    /// Publish so many times.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    #[command(flatten)]
    pub(crate) pace: PaceArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

const PUBLISH_EXAMPLES: &str = r#"Examples:
  bondy publish com.example.greeted world
  bondy publish com.example.state -k temperature=21.5 --retain
  bondy publish com.example.tick '{{count}}' '{{time}}' --count 60 --rate 1
  echo '{"args": [1, 2]}' | bondy publish com.example.sum --args-file -
  bondy publish com.example.note 'for some' -o 'eligible_authrole=["staff"]'"#;

#[derive(Args, Clone, Debug)]
#[command(after_help = SUBSCRIBE_EXAMPLES)]
pub(crate) struct SubscribeArguments {
    /// The topics to subscribe to.
    #[arg(value_name = "TOPIC", required = true, add = ArgValueCompleter::new(completion::topics))]
    pub(crate) topics: Vec<String>,
    /// How the topics are compared: exact, prefix, or wildcard (`com..update` has any word in its gap).
    #[arg(long = "match", value_enum, value_name = "POLICY", default_value_t = MatchName::Exact, hide_possible_values = true)]
    pub(crate) match_policy: MatchName,
    #[command(flatten)]
    pub(crate) options: OptionArguments,
    /// End after so many events.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Ask for the events that topics have retained.
    #[arg(long)]
    pub(crate) get_retained: bool,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
    #[command(flatten)]
    pub(crate) reconnect: ReconnectArguments,
}

const SUBSCRIBE_EXAMPLES: &str = "\
Examples:
  bondy subscribe com.example.greeted
  bondy subscribe com.example. --match prefix --output ndjson | jq .args
  bondy subscribe com.example.state --get-retained --count 1 --output raw

Says `subscribed` on standard error once it is. Ctrl-C ends it, with exit code 0.";

#[derive(Args, Clone, Debug)]
#[command(after_help = format!("{REGISTER_EXAMPLES}{EXEC_HELP}"))]
#[group(id = "answer", required = true, multiple = false, args = ["echo", "result", "exec"])]
pub(crate) struct RegisterArguments {
    /// The procedure to serve.
    #[arg(value_name = "PROCEDURE")]
    pub(crate) procedure: String,
    /// Answer with the arguments of the call.
    #[arg(long)]
    pub(crate) echo: bool,
    /// Answer with this: JSON where it parses as JSON, else text.
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) result: Option<String>,
    /// Answer with what this shell command prints; it runs once for each call, see below.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,
    /// How procedures are compared: exact, prefix, or wildcard (`com..update` has any word in its gap).
    #[arg(long = "match", value_enum, value_name = "POLICY", default_value_t = MatchName::Exact, hide_possible_values = true)]
    pub(crate) match_policy: MatchName,
    /// How calls are shared with other callees: single, roundrobin, random, first or last.
    #[arg(long, value_name = "POLICY", default_value = "single", add = ArgValueCompleter::new(completion::invocation_policies))]
    pub(crate) invoke: String,
    #[command(flatten)]
    pub(crate) options: OptionArguments,
    /// How many calls may be answered at once; the router knows, and refuses those that no callee has room for
    /// [default: any number; with --exec 16 commands run at once, and other calls wait].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) concurrency: Option<u32>,
    /// End after so many calls.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
    #[command(flatten)]
    pub(crate) reconnect: ReconnectArguments,
}

const REGISTER_EXAMPLES: &str = r#"Examples:
  bondy register com.example.echo --echo
  bondy register com.example.version --result '{"version": "1.2"}'
  bondy register com.example.greet --exec 'jq -r "\"Hello, \(.args[0])!\""'
  bondy register com.example.uptime --exec uptime --concurrency 4
  bondy register com.example.backup. --match prefix --invoke roundrobin \
      --exec ./backup.sh

Says `registered` on standard error once it is. Ctrl-C ends it, with exit code 0.

--exec: "#;

const EXEC_HELP: &str = "\
the command finds {\"procedure\", \"args\", \"kwargs\", \"details\"} on its standard input. What it prints is the result: \
a JSON array is the arguments, an object of nothing but `args` and `kwargs` is both, any other JSON value or text is one \
argument, nothing is an empty result. A line {\"progress\": ...} is a progressive result. A non-zero exit is the error \
bondy.error.exec_failed. A call that is canceled or times out kills the command and the processes of its group.";

#[derive(Args, Clone, Debug)]
#[command(after_help = PING_EXAMPLES)]
pub(crate) struct PingArguments {
    /// How many round trips.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub(crate) count: u64,
    /// From one to the next.
    #[arg(long, value_name = "TIME", default_value = "250ms", value_parser = parse_duration)]
    pub(crate) interval: Duration,
    /// How long an answer may take.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

const PING_EXAMPLES: &str = "\
Examples:
  bondy ping
  bondy ping --count 100 --interval 10ms
  bondy ping --url wss://router.example.com/ws --count 1 --output json

A round trip is a call of the router's own meta API and any answer to it, a refusal too.";

#[derive(Args, Clone, Debug)]
#[command(after_help = LATENCY_EXAMPLES)]
pub(crate) struct LatencyArguments {
    /// How long to measure.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_positive_duration)]
    pub(crate) duration: Duration,
    /// End after so many calls, if that is sooner.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Call this procedure instead of one that the command serves itself on a second connection.
    #[arg(long, value_name = "PROCEDURE", add = ArgValueCompleter::new(completion::procedures))]
    pub(crate) procedure: Option<String>,
    /// Octets of text in each call and answer.
    #[arg(long, value_name = "OCTETS", default_value_t = 64, value_parser = value_parser!(u32).range(0..=8_000_000))]
    pub(crate) payload: u32,
    /// Calls a second, each measured from when it was due [default: one after the other].
    #[arg(long, value_name = "R", value_parser = super::payload::parse_rate)]
    pub(crate) rate: Option<f64>,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

const LATENCY_EXAMPLES: &str = "\
Examples:
  bondy latency
  bondy latency --duration 2s --payload 1024 --output json
  bondy latency --rate 500 --url rs://127.0.0.1:18082
  bondy latency --procedure com.example.greet

How long calls take, from the caller through the router to a callee and back. `bondy bench` drives load instead.";

#[derive(Args, Clone, Debug)]
#[command(after_help = TOP_EXAMPLES)]
pub(crate) struct TopArguments {
    /// Print one snapshot and end.
    #[arg(long)]
    pub(crate) once: bool,
    /// From one look to the next; rates are means over it.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub(crate) interval: Duration,
    /// How many sessions, procedures and topics to look at, each.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
    #[command(flatten)]
    pub(crate) reconnect: ReconnectArguments,
}

const TOP_EXAMPLES: &str = "\
Examples:
  bondy top
  bondy top --interval 5s --realm com.example.app
  bondy top --once
  bondy top --once --output json | jq .sessions

Sessions, procedures and topics of one realm, with their rates, from the router's meta API. \
What the session that looks causes itself is in no total.

QUEUE: octets that wait to be sent. DROPPED: events that a full queue had no room for. RUNNING: calls that are being \
answered. CALLS of a session: calls that wait for their answers.

Keys: q ends, s p t or tab choose a table, up and down scroll, r turns the order around.";

/// How URIs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MatchName {
    /// The whole URI
    Exact,
    /// Its beginning
    Prefix,
    /// Each component, with gaps
    Wildcard,
}
