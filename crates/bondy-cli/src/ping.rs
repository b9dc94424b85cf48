//! `bondy ping`.

use bondy_client::{CallError, Client, Reply};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::Failure;
use crate::answer::not_sent;
use crate::arguments::client::PingArguments;
use crate::arguments::payload::Output;
use crate::connection::{Stay, connect};
use crate::output::{print, print_json};
use crate::runtime;
use crate::settings::Settings;
use crate::statistic::{Times, readable, to_us};
use crate::table;

/// Answered by the router itself, without looking at more than one entry. Where there is no meta API, or it is not
/// allowed, the ERROR has made the same way.
const PROCEDURE: &str = "wamp.registration.lookup";

pub(crate) fn run(arguments: &PingArguments) -> Result<(), Failure> {
    let settings = Settings::settle(&arguments.connection)?;
    runtime::run(async {
        let begun = Instant::now();
        let client = connect(&settings, Stay::UntilLost).await?;
        let join_us = to_us(begun.elapsed());
        let mut times = Times::new();
        let mut ticks = interval(arguments.interval.max(std::time::Duration::from_nanos(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 1..=arguments.count {
            ticks.tick().await;
            let begun = Instant::now();
            let time_us = if is_answered(&client, arguments).await? {
                times.record(begun.elapsed());
                Some(to_us(begun.elapsed()))
            } else {
                None
            };
            show_one(arguments.output.output, number, time_us)?;
        }
        client.close().await;
        show(arguments, &times, join_us)?;
        if times.count() == arguments.count { Ok(()) } else { Err(Failure::Reported) }
    })
}

async fn is_answered(client: &Client, arguments: &PingArguments) -> Result<bool, Failure> {
    match client.call::<Reply>(PROCEDURE).arg(PROCEDURE).timeout(arguments.timeout).await {
        Err(CallError::Timeout(_)) => Ok(false),
        Err(CallError::Wamp(error)) if error.uri() == "wamp.error.timeout" => Ok(false),
        Ok(_) | Err(CallError::Wamp(_)) => Ok(true),
        Err(CallError::NotSent(cause)) => Err(not_sent(&cause)),
        Err(error) => Err(Failure::Connection(error.to_string())),
    }
}

fn show_one(output: Output, number: u64, time_us: Option<f64>) -> Result<(), Failure> {
    match output {
        Output::Table => print(&format!(
            "{number}: {}\n",
            time_us.map_or_else(|| "no answer in time".to_owned(), readable)
        )),
        Output::Raw => print(&time_us.map_or_else(String::new, |time| format!("{time}\n"))),
        Output::Ndjson => print_json(&json!({"number": number, "time_us": time_us})),
        Output::Json => Ok(()),
    }
}

fn show(arguments: &PingArguments, times: &Times, join_us: f64) -> Result<(), Failure> {
    let mut result = times.to_json();
    match arguments.output.output {
        Output::Ndjson | Output::Raw => Ok(()),
        Output::Json => {
            result.insert("count".to_owned(), json!(arguments.count));
            result.insert("answered".to_owned(), json!(times.count()));
            result.insert("join_us".to_owned(), json!(join_us));
            print_json(&Value::Object(result))
        }
        Output::Table => {
            let time = |name: &str| result[name].as_f64().map_or_else(|| "-".to_owned(), readable);
            print(&format!(
                "\n{} of {} answered, joined in {}\n",
                times.count(),
                arguments.count,
                readable(join_us)
            ))?;
            let head = ["min", "mean", "p50", "p99", "max"];
            let row = head.map(|name| time(&format!("{name}_us")));
            print(&table::columns(&head, &[row.to_vec()]))
        }
    }
}
