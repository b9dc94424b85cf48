//! `bondy call`.

use std::sync::Arc;
use std::time::Duration;

use bondy_client::{Call, CallError, Client, Progress, Reply};
use tokio::sync::mpsc;
use tokio::task::JoinError;

use crate::Failure;
use crate::answer::{received, tell_call_error};
use crate::arguments::client::CallArguments;
use crate::arguments::payload::Output;
use crate::connection::{Stay, connect};
use crate::failure::say;
use crate::option::Options;
use crate::output::print_payload;
use crate::payload::{PayloadTemplate, options};
use crate::repetition::Plan;
use crate::runtime;
use crate::settings::Settings;
use crate::wire;

/// Results of a call that wait to be printed; beyond, the client's own limit cancels the call.
const RESULTS_WAITING_MAX: usize = 65_536;

/// What each repetition needs.
struct Work {
    arguments: CallArguments,
    template: PayloadTemplate,
    options: Options,
}

pub(crate) fn run(arguments: &CallArguments) -> Result<(), Failure> {
    let settings = Settings::settle(&arguments.connection)?;
    let template = PayloadTemplate::read(&arguments.payload)?;
    let mut options = Options::new(options(&arguments.options));
    let mut arguments = arguments.clone();
    arguments.progress |= options.take_flag("receive_progress")?.unwrap_or(false);
    arguments.timeout = arguments.timeout.or(options.take_number("timeout")?.map(Duration::from_millis));
    let plan = Plan::new(arguments.repeat, &arguments.pace);
    let work = Arc::new(Work { arguments, template, options });
    runtime::run(async move {
        let client = connect(&settings, Stay::UntilLost).await?;
        let begun = tokio::time::Instant::now();
        let caller = client.clone();
        let tally = plan
            .run(move |turn| {
                let (work, client) = (Arc::clone(&work), caller.clone());
                async move { work.call(&client, turn.number).await }
            })
            .await?;
        if tally.done > 1 {
            let seconds = begun.elapsed().as_secs_f64();
            let rate = tally.done as f64 / seconds.max(1e-9);
            say(&format!(
                "{} calls, {} failed, in {seconds:.2} s ({rate:.0} a second)",
                tally.done, tally.failed
            ));
        }
        client.close().await;
        if tally.failed > 0 { Err(Failure::Reported) } else { Ok(()) }
    })
}

impl Work {
    /// Makes one call; whether it had a result.
    async fn call(&self, client: &Client, number: u64) -> Result<bool, Failure> {
        let call = self.prepare(client, number)?;
        let result =
            if self.arguments.progress { self.show_all(call).await? } else { self.show(call.await)? };
        match result {
            Ok(()) => Ok(true),
            Err(error) => tell_call_error(&error, self.arguments.output.output).map(|()| false),
        }
    }

    fn prepare(&self, client: &Client, number: u64) -> Result<Call<Reply>, Failure> {
        let payload = self.template.render(number)?;
        let mut call =
            client.call::<Reply>(self.arguments.procedure.as_str()).payload(wire::encode(&payload));
        for (key, value) in self.options.clone().rest() {
            call = call.option(&key, &value);
        }
        if let Some(timeout) = self.arguments.timeout {
            call = call.timeout(timeout);
        }
        Ok(call)
    }

    async fn show_all(&self, call: Call<Reply>) -> Result<Result<(), CallError>, Failure> {
        let output = self.arguments.output.output;
        let mut results = call.progressive();
        // Printed elsewhere, so that a reader that lags for a while delays nothing.
        let (sender, replies) = mpsc::channel(RESULTS_WAITING_MAX);
        let mut printing = tokio::task::spawn_blocking(move || print_all(output, replies));
        let mut ended = Ok(());
        loop {
            let result = tokio::select! {
                result = results.next() => result,
                printed = &mut printing => return printed_all(printed).map(Ok),
            };
            let reply = match result {
                // One JSON document is the final result; lines come as they come.
                Some(Ok(Progress::Partial(_))) if output == Output::Json => continue,
                Some(Ok(progress)) => progress.into_inner(),
                Some(Err(error)) => {
                    ended = Err(error);
                    break;
                }
                None => break,
            };
            if sender.send(reply).await.is_err() {
                // Printing has failed, and says why.
                break;
            }
        }
        drop(sender);
        printed_all(printing.await)?;
        Ok(ended)
    }

    fn show(&self, result: Result<Reply, CallError>) -> Result<Result<(), CallError>, Failure> {
        match result {
            Ok(reply) => print_payload(self.arguments.output.output, &received(reply.arguments())?).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }
}

/// Prints results until no more can come.
fn print_all(output: Output, mut replies: mpsc::Receiver<Reply>) -> Result<(), Failure> {
    while let Some(reply) = replies.blocking_recv() {
        print_payload(output, &received(reply.arguments())?)?;
    }
    Ok(())
}

fn printed_all(printed: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    match printed {
        Ok(result) => result,
        Err(error) => Err(Failure::Other(anyhow::Error::new(error).context("cannot print"))),
    }
}
