//! Arguments, keyword arguments and options on the command line, and how often they are sent.

use clap::{Args, ValueEnum, ValueHint, value_parser};

/// What is carried: ARGs, `-k`, `--args-file`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PayloadArguments {
    /// Positional arguments: JSON where they parse as JSON, else text. {{count}}, {{time}} and others are filled in,
    /// see below.
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    pub(crate) args: Vec<String>,
    /// A keyword argument; may be given several times. The value is read as an ARG is.
    #[arg(short = 'k', long = "kwarg", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub(crate) kwargs: Vec<(String, String)>,
    /// Read {"args": [...], "kwargs": {...}} from this file, `-` for standard input; ARGs follow its args, `-k` beats
    /// its kwargs.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) args_file: Option<String>,
    /// Fill in nothing: {{ has no meaning.
    #[arg(long)]
    pub(crate) no_template: bool,
}

/// Protocol options: `-o`.
#[derive(Args, Clone, Debug)]
pub(crate) struct OptionArguments {
    /// A protocol option, as the specification names it; may be given several times. The value is JSON where it parses
    /// as JSON, else text.
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub(crate) options: Vec<(String, String)>,
}

/// How fast, for commands that send many.
#[derive(Args, Clone, Debug)]
pub(crate) struct PaceArguments {
    /// How many may be under way at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=PARALLEL_MAX))]
    pub(crate) parallel: u32,
    /// At most so many a second, evenly spaced.
    #[arg(long, value_name = "R", value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,
}

/// More would exceed what a router takes from one session: 16,384 pending calls by default.
const PARALLEL_MAX: i64 = 10_000;

/// The form of the results.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArguments {
    /// The form of the results: table (text for people), json, ndjson (one object a line as they come) or raw (the
    /// plain text of each argument).
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Table, hide_possible_values = true)]
    pub(crate) output: Output,
}

/// The form of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text for people
    Table,
    /// JSON
    Json,
    /// One JSON object a line, as they come
    Ndjson,
    /// The plain text of each argument
    Raw,
}

/// What `{{` may name, for the help of the commands that fill it in.
pub(crate) const TEMPLATE_HELP: &str = "\
In ARGs, -k and --args-file are filled in, anew for each repetition:
  {{count}}           1, 2, 3, ...
  {{time}}            now, as in 2026-01-31T12:00:00.000000Z
  {{unix}}            now, in seconds since 1970; {{unix_ms}} in milliseconds
  {{uuid}}            a random UUID
  {{random}}          a whole number below 2^53; {{random 1 6}} one from 1 to 6
  {{text 8}}          so many random letters and digits
  {{{{                {{ itself";

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected KEY=VALUE".to_owned()),
    }
}

pub(crate) fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        Ok(_) | Err(_) => Err("expected a number above 0, in messages a second".to_owned()),
    }
}
