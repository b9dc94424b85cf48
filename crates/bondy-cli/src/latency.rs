//! `bondy latency`: how long calls take through the router.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bondy_client::{Arguments, CallError, Client, InvocationContext, RegisterError, Reply, WampError};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Failure;
use crate::answer::{not_sent, refusal};
use crate::arguments::client::LatencyArguments;
use crate::arguments::payload::Output;
use crate::connection::{Stay, connect};
use crate::failure::{say, say_error};
use crate::output::{print, print_json};
use crate::repetition::{Plan, Turn};
use crate::runtime;
use crate::settings::Settings;
use crate::statistic::{Times, readable};
use crate::table;

/// How many calls may be under way where a rate is given. A callee that does not keep up makes calls late from there on,
/// and late is what their times then say.
const PARALLEL: u32 = 256;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn run(arguments: &LatencyArguments) -> Result<(), Failure> {
    let settings = Settings::settle(&arguments.connection)?;
    runtime::run(async {
        let caller = connect(&settings, Stay::UntilLost).await?;
        // Held until the end: dropping it would unregister.
        let served = match &arguments.procedure {
            Some(_) => None,
            None => Some(serve(&settings).await?),
        };
        let procedure = match (&arguments.procedure, &served) {
            (Some(procedure), _) => procedure.clone(),
            (None, Some((_, registration))) => registration.procedure().to_owned(),
            (None, None) => return Err(Failure::usage("there is no procedure to call")),
        };
        if std::io::stderr().is_terminal() {
            say(&format!("measuring for {:?} ...", arguments.duration));
        }
        let measurement = Arc::new(Measurement::new(caller.clone(), procedure, arguments.payload));
        let begun = Instant::now();
        let failed = match arguments.rate {
            Some(rate) => measurement.run_at(rate, arguments).await?,
            None => measurement.run_one_by_one(begun + arguments.duration, arguments.count).await?,
        };
        let elapsed = begun.elapsed();
        caller.close().await;
        if let Some((callee, _registration)) = served {
            callee.close().await;
        }
        measurement.show(arguments, elapsed, failed)?;
        if failed > 0 { Err(Failure::Reported) } else { Ok(()) }
    })
}

/// Serves an echo on a connection of its own.
async fn serve(settings: &Settings) -> Result<(Client, bondy_client::Registration), Failure> {
    let callee = connect(settings, Stay::UntilLost).await?;
    let procedure = format!("cli.latency.{:016x}", fastrand::u64(..));
    let echo = |arguments: Arguments, _: InvocationContext| async move { Ok::<_, WampError>(arguments) };
    let registration = callee.register(procedure).serve(echo).await.map_err(|error| match error {
        RegisterError::Wamp(error) => refusal(&error),
        RegisterError::NotSent(cause) => not_sent(&cause),
        RegisterError::Disconnected | RegisterError::Closed => Failure::Connection(error.to_string()),
    })?;
    Ok((callee, registration))
}

struct Measurement {
    caller: Client,
    procedure: String,
    text: String,
    times: Mutex<Times>,
    /// Calls that were due, and not made as too many were under way.
    missed: AtomicU64,
}

impl Measurement {
    fn new(caller: Client, procedure: String, octets: u32) -> Self {
        Self {
            caller,
            procedure,
            text: "x".repeat(octets as usize),
            times: Mutex::new(Times::new()),
            missed: AtomicU64::new(0),
        }
    }

    /// The next call begins when the one before has ended. How many failed.
    async fn run_one_by_one(&self, until: Instant, count: Option<u64>) -> Result<u64, Failure> {
        let (mut begun, mut failed) = (0, 0);
        while Instant::now() < until && count.is_none_or(|count| begun < count) {
            begun += 1;
            failed += u64::from(!self.call(Instant::now()).await?);
        }
        Ok(failed)
    }

    /// Calls begin when they are due, and are measured from then. How many failed.
    /// Those that are due when there is no time left are missed.
    async fn run_at(self: &Arc<Self>, rate: f64, arguments: &LatencyArguments) -> Result<u64, Failure> {
        let until = Instant::now() + arguments.duration;
        let due = (rate * arguments.duration.as_secs_f64()).ceil().max(1.0) as u64;
        let count = arguments.count.map_or(due, |count| count.min(due));
        let plan = Plan { count, parallel: PARALLEL, rate: Some(rate) };
        let measurement = Arc::clone(self);
        let once = move |turn: Turn| {
            let measurement = Arc::clone(&measurement);
            async move {
                if turn.number > 1 && Instant::now() > until {
                    measurement.missed.fetch_add(1, Ordering::Relaxed);
                    return Ok(true);
                }
                measurement.call(turn.due.unwrap_or_else(Instant::now)).await
            }
        };
        Ok(plan.run(once).await?.failed)
    }

    /// Makes one call; whether it had a result.
    async fn call(&self, begun: Instant) -> Result<bool, Failure> {
        let call = self.caller.call::<Reply>(self.procedure.as_str()).arg(&self.text).timeout(TIMEOUT);
        match call.await {
            Ok(_) => {
                self.times.lock().unwrap_or_else(PoisonError::into_inner).record(begun.elapsed());
                Ok(true)
            }
            Err(CallError::Wamp(error)) if error.uri() == "wamp.error.no_such_procedure" => {
                Err(refusal(&error))
            }
            Err(error @ (CallError::Wamp(_) | CallError::Timeout(_))) => {
                say_error(&error.to_string());
                Ok(false)
            }
            Err(CallError::NotSent(cause)) => Err(not_sent(&cause)),
            Err(error) => Err(Failure::Connection(error.to_string())),
        }
    }

    fn show(&self, arguments: &LatencyArguments, elapsed: Duration, failed: u64) -> Result<(), Failure> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = self.missed.load(Ordering::Relaxed);
        let mut result = times.to_json();
        let calls_per_s = (times.count() as f64 / elapsed.as_secs_f64().max(1e-9) * 10.0).round() / 10.0;
        let facts = [
            ("calls", json!(times.count())),
            ("failed", json!(failed)),
            ("missed", json!(missed)),
            ("calls_per_s", json!(calls_per_s)),
            ("duration_s", json!((elapsed.as_secs_f64() * 1_000.0).round() / 1_000.0)),
            ("payload_bytes", json!(arguments.payload)),
        ];
        result.extend(facts.map(|(name, value)| (name.to_owned(), value)));
        match arguments.output.output {
            Output::Json | Output::Ndjson => print_json(&Value::Object(result)),
            Output::Raw => print(&format!("{}\n", result["p50_us"])),
            Output::Table => {
                let time = |name: &str| result[name].as_f64().map_or_else(|| "-".to_owned(), readable);
                let head = ["min", "mean", "p50", "p90", "p99", "p999", "max"];
                let row = head.map(|name| time(&format!("{name}_us")));
                print(&format!(
                    "{} calls in {:.2} s, {calls_per_s} a second, {} octets each\n",
                    times.count(),
                    elapsed.as_secs_f64(),
                    arguments.payload
                ))?;
                if missed > 0 {
                    print(&format!("{missed} more were due, and not made in time\n"))?;
                }
                print(&table::columns(&head, &[row.to_vec()]))
            }
        }
    }
}
