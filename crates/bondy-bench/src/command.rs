//! The command line: `bondy-bench` itself, and what another program embeds to offer the same.

mod arguments;

pub use arguments::{
    AllArgs, ChurnArgs, CommonArgs, ConnectionsArgs, FloorArgs, Output, PayloadArgs, PubSubArgs, RpcArgs,
    SerializerName, ShapeName, Transport, WireArgs,
};

use crate::benchmark::{Scale, churn, connections, floors, pubsub, rpc, suite};
use crate::figure::Figure;
use crate::floor::{self, FloorKind};
use crate::load::{self, ChurnWork, LoadSpec, PubSubWork, RpcWork};
use crate::process::Worker;
use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};
use std::io::Write;

/// The benchmarks, as subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// The floors alone: direct ping-pong, blind echo, blind forwarder, blind fan-out, copying memory
    Floor(FloorArgs),
    /// Calls: latency, calls a second, the router's CPU time for one
    Rpc(RpcArgs),
    /// Events from publishers to subscribers of one topic
    Pubsub(PubSubArgs),
    /// Idle sessions: the router's memory for one
    Connections(ConnectionsArgs),
    /// Sessions that join and leave
    Churn(ChurnArgs),
    /// Every figure in one run
    All(AllArgs),
    /// The floors and loads that the other commands start
    #[command(subcommand, hide = true)]
    Worker(WorkerCommand),
}

/// What the other commands start in processes of their own. Arguments and results are JSON.
#[derive(Clone, Debug, Subcommand)]
pub enum WorkerCommand {
    /// A floor server
    Floor {
        /// A `FloorKind`
        kind: String,
    },
    /// One round of load
    Load {
        /// A `LoadSpec`
        spec: String,
    },
}

impl Command {
    /// Runs the command. `worker` says how to start it again in another process; results go to standard output.
    pub fn run(self, worker: Worker) -> anyhow::Result<()> {
        match self {
            Command::Worker(WorkerCommand::Floor { kind }) => {
                floor::serve(serde_json::from_str::<FloorKind>(&kind).context("no such floor")?)
            }
            Command::Worker(WorkerCommand::Load { spec }) => {
                load::run(&serde_json::from_str::<LoadSpec>(&spec).context("no such load")?)
            }
            Command::Floor(args) => run_floor(&args, worker),
            Command::All(args) => run_all(&args, worker),
            Command::Rpc(args) => {
                let work =
                    RpcWork { pairs: args.pairs, window: args.window, payload: args.payload.payload() };
                let settings = args.common.settings(worker)?;
                show_one(args.common.output, &rpc(&settings, args.wire.wire(&settings), work)?)
            }
            Command::Pubsub(args) => {
                let work = PubSubWork {
                    publishers: args.publishers,
                    subscribers: args.common.subscribers(args.subscribers),
                    window: args.window,
                    payload: args.payload.payload(),
                };
                let settings = args.common.settings(worker)?;
                show_one(args.common.output, &pubsub(&settings, args.wire.wire(&settings), work)?)
            }
            Command::Connections(args) => {
                let settings = args.common.settings(worker)?;
                let sessions = args.common.sessions(args.sessions);
                show_one(args.common.output, &connections(&settings, args.wire.wire(&settings), sessions)?)
            }
            Command::Churn(args) => {
                let settings = args.common.settings(worker)?;
                let work = ChurnWork { workers: args.workers };
                show_one(args.common.output, &churn(&settings, args.wire.wire(&settings), work)?)
            }
        }
    }
}

fn run_floor(args: &FloorArgs, worker: Worker) -> anyhow::Result<()> {
    let settings = args.common.settings(worker)?;
    let figures = floors(&settings, args.common.subscribers(args.subscribers), args.window)?;
    match args.common.output {
        Output::Table => figures.iter().try_for_each(|figure| show_line(&figure.to_table())),
        Output::Json => show_all("floor", &figures),
    }
}

fn run_all(args: &AllArgs, worker: Worker) -> anyhow::Result<()> {
    let settings = args.common.settings(worker)?;
    let scale = Scale {
        subscribers: args.common.subscribers(args.subscribers),
        window: args.window,
        sessions: args.common.sessions(args.sessions),
    };
    let mut figures = Vec::new();
    suite(&settings, scale, |figure| {
        if args.common.output == Output::Table {
            show_line(&figure.to_table())?;
        }
        figures.push(figure);
        Ok(())
    })?;
    match args.common.output {
        Output::Table => Ok(()),
        Output::Json => show_all("all", &figures),
    }
}

fn show_one(output: Output, figure: &Figure) -> anyhow::Result<()> {
    match output {
        Output::Table => show_line(&figure.to_table()),
        Output::Json => show_line(&figure.to_json().to_string()),
    }
}

fn show_all(benchmark: &str, figures: &[Figure]) -> anyhow::Result<()> {
    let figures: Vec<Value> = figures.iter().map(Figure::to_json).collect();
    show_line(&json!({"benchmark": benchmark, "figures": figures}).to_string())
}

fn show_line(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{text}")?;
    Ok(output.flush()?)
}
