//! The command line: `bondy bench`, and the same as a program of its own.

mod arguments;
mod connection;
mod defaults;
mod output;

pub use arguments::{
    AllArgs, ChurnArgs, ConnectionsArgs, FloorArgs, Output, PayloadArgs, PubSubArgs, RpcArgs, RunArgs,
    ShapeName,
};
pub use connection::{ConnectionArgs, SerializerName, TransportName};
pub use defaults::{AuthMethodName, Defaults};

use crate::benchmark::{Scale, churn, connections, floors, pubsub, rpc, suite};
use crate::failure::Failure;
use crate::floor::{self, FloorKind};
use crate::load::{self, ChurnWork, LoadSpec, PubSubWork, RpcWork};
use crate::process::{self, Worker};
use anyhow::Context;
use clap::Subcommand;
use output::{Printer, ReaderGone};

/// The benchmarks, as subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Calls: latency, calls a second, the router's CPU time for one
    #[command(after_help = RPC_EXAMPLES)]
    Rpc(RpcArgs),
    /// Events from publishers to subscribers of one topic
    #[command(after_help = PUBSUB_EXAMPLES)]
    Pubsub(PubSubArgs),
    /// Idle sessions: the router's memory for one
    #[command(after_help = CONNECTIONS_EXAMPLES)]
    Connections(ConnectionsArgs),
    /// Sessions that join and leave
    #[command(after_help = CHURN_EXAMPLES)]
    Churn(ChurnArgs),
    /// The floors alone: direct ping-pong, blind echo, blind forwarder, blind fan-out, copying memory
    #[command(after_help = FLOOR_EXAMPLES, mut_arg("with_floor", |flag| flag.hide(true)))]
    Floor(FloorArgs),
    /// Every figure in one run, each beside its floor
    #[command(after_help = ALL_EXAMPLES, mut_arg("with_floor", |flag| flag.hide(true)))]
    All(AllArgs),
    /// The floors and loads that the other commands start
    #[command(subcommand, hide = true)]
    Worker(WorkerCommand),
}

const RPC_EXAMPLES: &str = "\
Examples:
  bondy bench rpc                             the router of `bondy start --dev`
  bondy bench rpc --start --with-floor        its own router, beside the floor
  bondy bench rpc --pairs 16 --window 64      as many calls as it can take
  bondy bench rpc --rate 20000                latency at a rate
  bondy bench rpc --url rs://127.0.0.1:18082 --serializer cbor
  bondy bench rpc --url nats://127.0.0.1:4222   request-reply of NATS
  bondy bench rpc --output json > before.json
  bondy bench rpc --compare before.json";

const PUBSUB_EXAMPLES: &str = "\
Examples:
  bondy bench pubsub                          1 publisher, 1000 subscribers
  bondy bench pubsub --subscribers 100 --window 64
  bondy bench pubsub --rate 500 --publishers 4   latency at a rate
  bondy bench pubsub --url nats://127.0.0.1:4222";

const CONNECTIONS_EXAMPLES: &str = "\
Examples:
  bondy bench connections --start             15000 sessions, its own router
  bondy bench connections --sessions 1000 --url wss://router.example/ws
  bondy bench connections --start --with-floor";

const CHURN_EXAMPLES: &str = "\
Examples:
  bondy bench churn
  bondy bench churn --workers 32 --url rs://127.0.0.1:18082";

const FLOOR_EXAMPLES: &str = "\
Examples:
  bondy bench floor
  bondy bench floor --subscribers 100 --output json";

const ALL_EXAMPLES: &str = "\
Examples:
  bondy bench all --start                     some minutes
  bondy bench all --start --quick             only that it works
  bondy bench all --url ws://127.0.0.1:18080/ws --url rs://127.0.0.1:18082";

/// What the other commands start in processes of their own. What they are told and say is JSON.
#[derive(Clone, Debug, Subcommand)]
pub enum WorkerCommand {
    /// A floor server
    Floor {
        /// A `FloorKind`
        kind: String,
    },
    /// One round of load: a `LoadSpec` on a line of standard input
    Load,
    /// A router, which ends with the benchmark
    Router {
        /// The command
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
}

impl Command {
    /// Runs the command with what the environment says about the connection ([`Defaults::from_environment`]).
    ///
    /// `worker` says how to start it again in another process; results go to standard output.
    /// [`crate::failure::exit_code`] tells what an error means.
    pub fn run(self, worker: Worker) -> anyhow::Result<()> {
        self.run_with(worker, &Defaults::from_environment())
    }

    /// The same with other defaults, such as those of a named context.
    pub fn run_with(self, worker: Worker, defaults: &Defaults) -> anyhow::Result<()> {
        match self.run_command(worker, defaults) {
            // A reader that has seen enough, such as `head`, is no failure.
            Err(error) if error.is::<ReaderGone>() => Ok(()),
            done => done,
        }
    }

    fn run_command(self, worker: Worker, defaults: &Defaults) -> anyhow::Result<()> {
        match self {
            Command::Worker(WorkerCommand::Router { command }) => process::become_child(&command),
            Command::Worker(WorkerCommand::Floor { kind }) => {
                process::end_with_parent()?;
                floor::serve(serde_json::from_str::<FloorKind>(&kind).context("no such floor")?)
            }
            Command::Worker(WorkerCommand::Load) => {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line)?;
                load::run(&serde_json::from_str::<LoadSpec>(&line).context("no such load")?)
            }
            Command::Rpc(args) => args.run(worker, defaults),
            Command::Pubsub(args) => args.run(worker, defaults),
            Command::Connections(args) => args.run(worker, defaults),
            Command::Churn(args) => args.run(worker, defaults),
            Command::Floor(args) => args.run(worker),
            Command::All(args) => args.run(worker, defaults),
        }
    }
}

impl RpcArgs {
    fn run(&self, worker: Worker, defaults: &Defaults) -> anyhow::Result<()> {
        let printer = Printer::new(&self.run, "rpc")?;
        let router = self.connection.router(defaults)?;
        let settings = self.run.settings(worker, &router);
        let work = RpcWork {
            pairs: self.pairs as usize,
            window: self
                .window
                .map_or(if self.rate.is_some() { RATE_WINDOW } else { 1 }, |window| window as usize),
            rate_per_s: self.rate,
            payload: self.payload.payload(),
        };
        let figure = rpc(&settings, router.wire, work).map_err(|error| router.explain(error))?;
        printer.one(&figure)
    }
}

/// With a rate: how many calls of a caller may wait for their answers, unless it is said otherwise.
const RATE_WINDOW: usize = 1_024;

impl PubSubArgs {
    fn run(&self, worker: Worker, defaults: &Defaults) -> anyhow::Result<()> {
        let printer = Printer::new(&self.run, "pubsub")?;
        let payload = self.payload.payload();
        if self.rate.is_some() && !payload.has_room_for_stamp() {
            let text =
                "--rate needs a --shape text of 16 octets or more: each event carries its number in it";
            return Err(Failure::usage(text).into());
        }
        let router = self.connection.router(defaults)?;
        let settings = self.run.settings(worker, &router);
        let subscribers = self.run.subscribers(self.subscribers);
        if self.stalled as usize >= subscribers {
            let text = format!("--stalled must leave one of the {subscribers} subscribers that reads");
            return Err(Failure::usage(text).into());
        }
        let work = PubSubWork {
            publishers: self.publishers as usize,
            subscribers,
            stalled: self.stalled as usize,
            window: self.window as usize,
            rate_per_s: self.rate,
            payload,
        };
        let figure = pubsub(&settings, router.wire, work).map_err(|error| router.explain(error))?;
        printer.one(&figure)
    }
}

impl ConnectionsArgs {
    fn run(&self, worker: Worker, defaults: &Defaults) -> anyhow::Result<()> {
        let printer = Printer::new(&self.run, "connections")?;
        let router = self.connection.router(defaults)?;
        let settings = self.run.settings(worker, &router);
        let figure = connections(&settings, router.wire, self.run.sessions(self.sessions))
            .map_err(|error| router.explain(error))?;
        printer.one(&figure)
    }
}

impl ChurnArgs {
    fn run(&self, worker: Worker, defaults: &Defaults) -> anyhow::Result<()> {
        let printer = Printer::new(&self.run, "churn")?;
        let router = self.connection.router(defaults)?;
        let settings = self.run.settings(worker, &router);
        let work = ChurnWork { workers: self.workers as usize };
        let figure = churn(&settings, router.wire, work).map_err(|error| router.explain(error))?;
        printer.one(&figure)
    }
}

impl FloorArgs {
    fn run(&self, worker: Worker) -> anyhow::Result<()> {
        let mut printer = Printer::new(&self.run, "floor")?;
        let settings = self.run.settings_of_floor(worker);
        for figure in floors(&settings, self.run.subscribers(self.subscribers), self.window as usize)? {
            printer.add(figure)?;
        }
        printer.finish()
    }
}

impl AllArgs {
    fn run(&self, worker: Worker, defaults: &Defaults) -> anyhow::Result<()> {
        let mut printer = Printer::new(&self.run, "all")?;
        let router = self.connection.router(defaults)?;
        let settings = self.run.settings(worker, &router);
        let settings = crate::benchmark::Settings { with_floor: true, ..settings };
        let scale = Scale {
            subscribers: self.run.subscribers(self.subscribers),
            window: self.window as usize,
            sessions: self.run.sessions(self.sessions),
        };
        suite(&settings, scale, |figure| printer.add(figure)).map_err(|error| router.explain(error))?;
        printer.finish()
    }
}
