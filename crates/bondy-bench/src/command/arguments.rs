//! The options of the benchmarks, and what they mean.

use super::connection::{ConnectionArgs, Router};
use crate::benchmark::{Pin, Settings};
use crate::process::Worker;
use crate::progress::Progress;
use crate::server::RouterSource;
use crate::wire::{Payload, STAMP_BYTES, Shape};
use clap::{Args, ValueEnum, value_parser};
use std::path::PathBuf;
use std::time::Duration;

/// A longer benchmark says nothing that a shorter one does not.
const DURATION_MAX: Duration = Duration::from_secs(3_600);
/// More than any machine's loopback carries.
const RATE_MAX_PER_S: f64 = 1e8;

/// Options of every benchmark.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Run the floor beside the router, in turns, and print each figure as a ratio to it
    #[arg(long)]
    with_floor: bool,
    /// How long all rounds of the router are measured together, of each figure, as in 5s or 500ms [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Rounds of the router, and of the floor between them [default: 5]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000))]
    rounds: Option<u32>,
    /// Set a result beside this one that was saved with --output json
    #[arg(long, value_name = "FILE")]
    pub(super) compare: Option<PathBuf>,
    /// The form of the results: table (text for people) or json (one object)
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Table, hide_possible_values = true)]
    pub(super) output: Output,
    /// The cores of router and load: same (one for both), split (one each), none (wherever the scheduler likes) or auto
    /// (same for one pair at window 1, else split). A router that runs already stays where it is
    #[arg(long, value_enum, value_name = "CORES", default_value_t = Pin::Auto, hide_possible_values = true)]
    pin: Pin,
    /// Run servers and loads before all ordinary processes (SCHED_FIFO), for quiet figures on a busy machine; needs root
    #[arg(long)]
    realtime: bool,
    /// A run of a few hundred milliseconds, which shows that the benchmark works and no more
    #[arg(long)]
    quick: bool,
}

/// The form of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people
    Table,
    /// One JSON object
    Json,
}

/// Options that say what to carry.
#[derive(Clone, Debug, Args)]
pub struct PayloadArgs {
    /// The payload in octets
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u32).range(0..=16_000_000))]
    payload: u32,
    /// What the payload looks like: text (one argument) or mixed (keyword arguments of every kind)
    #[arg(long, value_enum, default_value_t = ShapeName::Text, hide_possible_values = true)]
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
    /// Subscribers of the fan-out [default: 1000; 50 with --quick]
    #[arg(long, value_parser = value_parser!(u32).range(1..=50_000))]
    pub(super) subscribers: Option<u32>,
    /// Messages in flight where they are batched
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u32).range(1..=65_536))]
    pub(super) window: u32,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

/// `rpc`.
#[derive(Clone, Debug, Args)]
pub struct RpcArgs {
    /// Callers, each with a callee of its own
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=4_096))]
    pub(super) pairs: u32,
    /// Calls that each caller keeps in flight; with --rate, at most [default: 1; 1024 with --rate]
    #[arg(long, value_parser = value_parser!(u32).range(1..=65_536))]
    pub(super) window: Option<u32>,
    /// Calls that all callers together begin in a second, answered or not. Latency counts from when a call was due
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate)]
    pub(super) rate: Option<f64>,
    #[command(flatten)]
    pub(super) payload: PayloadArgs,
    #[command(flatten)]
    pub(super) run: RunArgs,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

/// `pubsub`.
#[derive(Clone, Debug, Args)]
pub struct PubSubArgs {
    /// Publishers
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=4_096))]
    pub(super) publishers: u32,
    /// Subscribers, each of which gets every event [default: 1000; 50 with --quick]
    #[arg(long, value_parser = value_parser!(u32).range(1..=50_000))]
    pub(super) subscribers: Option<u32>,
    /// How many of them never read. The same router without stalled subscribers takes the floor's place
    #[arg(long, default_value_t = 0, conflicts_with = "with_floor")]
    pub(super) stalled: u32,
    /// Events that a publisher sends at once, before it waits until everybody has them; not with --rate
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=65_536), conflicts_with = "rate")]
    pub(super) window: u32,
    /// Events that all publishers together publish in a second, whoever is behind. Latency counts from when an event
    /// was due
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate)]
    pub(super) rate: Option<f64>,
    #[command(flatten)]
    pub(super) payload: PayloadArgs,
    #[command(flatten)]
    pub(super) run: RunArgs,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

/// `connections`.
#[derive(Clone, Debug, Args)]
pub struct ConnectionsArgs {
    /// Idle sessions [default: 15000; 200 with --quick]
    #[arg(long, value_parser = value_parser!(u32).range(1..=2_000_000))]
    pub(super) sessions: Option<u32>,
    #[command(flatten)]
    pub(super) run: RunArgs,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

/// `churn`.
#[derive(Clone, Debug, Args)]
pub struct ChurnArgs {
    /// How many join and leave at once
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=4_096))]
    pub(super) workers: u32,
    #[command(flatten)]
    pub(super) run: RunArgs,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

/// `all`.
#[derive(Clone, Debug, Args)]
pub struct AllArgs {
    /// Subscribers of the fan-out [default: 1000; 50 with --quick]
    #[arg(long, value_parser = value_parser!(u32).range(1..=50_000))]
    pub(super) subscribers: Option<u32>,
    /// Idle sessions [default: 15000; 200 with --quick]
    #[arg(long, value_parser = value_parser!(u32).range(1..=2_000_000))]
    pub(super) sessions: Option<u32>,
    /// Calls and events in flight where they are batched
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u32).range(1..=65_536))]
    pub(super) window: u32,
    #[command(flatten)]
    pub(super) run: RunArgs,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

impl RunArgs {
    pub(super) fn settings(&self, worker: Worker, router: &Router) -> Settings {
        let Router { source, realm, tls, credentials, .. } = router.clone();
        // A router of somebody else's is measured, not judged.
        let with_goals = matches!(source, RouterSource::Command(_));
        let settings = self.settings_of_floor(worker);
        Settings {
            router: source,
            realm,
            tls,
            credentials,
            with_goals,
            with_floor: self.with_floor,
            ..settings
        }
    }

    /// Settings of a run without a router.
    pub(super) fn settings_of_floor(&self, worker: Worker) -> Settings {
        let (rounds, duration, warm_up) = match self.quick {
            true => (2, Duration::from_millis(100), Duration::from_millis(10)),
            false => (5, Duration::from_secs(5), Duration::from_millis(200)),
        };
        let rounds = self.rounds.unwrap_or(rounds);
        Settings {
            worker,
            router: RouterSource::Running { endpoints: Vec::new(), pids: Vec::new() },
            tls: false,
            realm: String::new(),
            credentials: None,
            pin: self.pin,
            realtime: self.realtime,
            rounds: rounds as usize,
            warm_up,
            round: self.duration.unwrap_or(duration) / rounds,
            with_floor: true,
            with_goals: false,
            progress: Progress::new(),
        }
    }

    pub(super) fn subscribers(&self, given: Option<u32>) -> usize {
        given.unwrap_or(if self.quick { 50 } else { 1_000 }) as usize
    }

    pub(super) fn sessions(&self, given: Option<u32>) -> usize {
        given.unwrap_or(if self.quick { 200 } else { 15_000 }) as usize
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

impl Payload {
    pub(super) fn has_room_for_stamp(self) -> bool {
        self.shape == Shape::Text && self.bytes >= STAMP_BYTES
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
    let duration = Duration::try_from_secs_f64(number * seconds_each).map_err(|error| error.to_string())?;
    match duration {
        Duration::ZERO => Err("nothing is measured in no time".to_owned()),
        longer if longer > DURATION_MAX => Err("an hour is the most".to_owned()),
        duration => Ok(duration),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= RATE_MAX_PER_S => Ok(rate),
        Ok(_) | Err(_) => Err(format!("`{text}` is no rate: a number above 0 and up to {RATE_MAX_PER_S}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_duration, parse_rate};
    use std::time::Duration;

    #[test]
    fn durations_carry_a_unit() {
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["5", "-1s", "0s", "NaNs", "2000m", ""] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_above_zero() {
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "many", "NaN", "inf", "1e9"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }
}
