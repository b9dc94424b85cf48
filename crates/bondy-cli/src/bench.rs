//! `bondy bench`: the benchmarks of `bondy-bench`, with the connection that a context says.

use bondy_bench::command::Defaults;
use bondy_bench::failure::exit_code;
use bondy_bench::process::Worker;
use clap::ValueEnum;

use crate::Failure;
use crate::arguments::BenchArguments;
use crate::context::Context;
use crate::settings::context_or_selected;

/// Runs a benchmark, which starts this program again for its floors and loads.
pub(crate) fn run(arguments: BenchArguments) -> Result<(), Failure> {
    let (_, context) = context_or_selected(arguments.context.as_deref())?;
    // The environment beats the context.
    let defaults = Defaults::from_environment().or(defaults(context));
    let worker = Worker::current(&["bench"])?;
    arguments.command.run_with(worker, &defaults).map_err(|error| {
        let code = exit_code(&error);
        Failure::Bench(error, code)
    })
}

fn defaults(context: Context) -> Defaults {
    Defaults {
        url: context.url,
        realm: context.realm,
        serializer: context.serializer.and_then(name),
        authid: context.authid,
        authmethod: context.authmethod.and_then(name),
        secret: context.secret,
        secret_file: context.secret_file,
        is_bondy: true,
    }
}

/// A value's name on the command line.
fn name<T: ValueEnum>(value: T) -> Option<String> {
    value.to_possible_value().map(|value| value.get_name().to_owned())
}
