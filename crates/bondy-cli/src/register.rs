//! `bondy register`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bondy_client::{Arguments, InvocationContext, RegisterError, Registration, WampError};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, Semaphore};

use crate::Failure;
use crate::answer::{chain, not_sent, received, refusal};
use crate::arguments::client::RegisterArguments;
use crate::connection::{self, Watch, connect_unless_told, in_time, leave};
use crate::exec::{self, EXEC_FAILED, ExecError};
use crate::failure::{say, say_error};
use crate::option::Options;
use crate::output::one_line;
use crate::payload::{Payload, options, value};
use crate::runtime::{self, Told};
use crate::settings::Settings;
use crate::wire;

/// Commands that run at once where no concurrency was given. Calls beyond it wait for their turn.
const COMMANDS_MAX: usize = 16;

/// How long calls that are being answered may go on after a signal.
const GRACE: Duration = Duration::from_secs(2);

/// What a call is answered with.
enum Answer {
    Echo,
    Value(Value),
    Exec { command: String, turns: Semaphore },
}

/// The procedure, and how often it was called.
struct Service {
    answer: Answer,
    count: Option<u64>,
    begun: AtomicU64,
    ended: AtomicU64,
    changed: Notify,
}

pub(crate) fn run(arguments: &RegisterArguments) -> Result<(), Failure> {
    let settings = Settings::settle(&arguments.connection)?;
    let arguments = settle_options(arguments)?;
    let service = Arc::new(Service::new(&arguments.0));
    // On one thread, so that an answer that was given is on its way before the command can end.
    runtime::run_alone_until_told(async move |mut told| {
        let Some(client) = connect_unless_told(&settings, &arguments.0.reconnect, &mut told).await? else {
            return Ok(());
        };
        let mut watch = Watch::new(&client, Some("registered"));
        let registration = tokio::select! {
            biased;
            () = told.wait() => None,
            registration = in_time("REGISTER", register(&client, &arguments, &service)) => Some(registration?),
        };
        let Some(registration) = registration else {
            leave(&client).await;
            return Ok(());
        };
        say("registered");
        let result = serve(&registration, &mut watch, told, &service).await;
        // Whatever the router says to that, it is the end.
        let _ = tokio::time::timeout(GRACE, registration.unregister()).await;
        let _ = tokio::time::timeout(GRACE, service.is_idle()).await;
        leave(&client).await;
        result
    })
}

/// The flags, with what `-o` says in their place.
struct Settled(RegisterArguments, Flags);

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    disclose_caller: bool,
    force_reregister: bool,
    forward_timeout: bool,
}

fn settle_options(arguments: &RegisterArguments) -> Result<Settled, Failure> {
    let mut arguments = arguments.clone();
    let mut options = Options::new(options(&arguments.options));
    arguments.match_policy = connection::match_option(&mut options)?.unwrap_or(arguments.match_policy);
    arguments.invoke = options.take_text("invoke")?.unwrap_or(arguments.invoke);
    if let Some(concurrency) = options.take_number("concurrency")? {
        let too_many = |_| Failure::usage(format!("-o concurrency: {concurrency} is too large"));
        arguments.concurrency = Some(u32::try_from(concurrency).map_err(too_many)?);
    }
    let flags = Flags {
        disclose_caller: options.take_flag("disclose_caller")?.unwrap_or(false),
        force_reregister: options.take_flag("force_reregister")?.unwrap_or(false),
        forward_timeout: options.take_flag("forward_timeout")?.unwrap_or(false),
    };
    options.finish("match, invoke, concurrency, disclose_caller, force_reregister and forward_timeout")?;
    Ok(Settled(arguments, flags))
}

async fn register(
    client: &bondy_client::Client,
    Settled(arguments, flags): &Settled,
    service: &Arc<Service>,
) -> Result<Registration, Failure> {
    let mut register = client
        .register(arguments.procedure.as_str())
        .match_policy(connection::match_policy(arguments.match_policy))
        .invoke(arguments.invoke.as_str())
        .concurrency(arguments.concurrency.unwrap_or(0))
        .grace(Duration::ZERO);
    if flags.disclose_caller {
        register = register.disclose_caller();
    }
    if flags.force_reregister {
        register = register.force_reregister();
    }
    if flags.forward_timeout {
        register = register.forward_timeout();
    }
    let service = Arc::clone(service);
    let serve = register.serve(move |arguments: Arguments, context| {
        let service = Arc::clone(&service);
        async move { service.answer(&arguments, &context).await }
    });
    serve.await.map_err(|error| match error {
        RegisterError::Wamp(error) => refusal(&error),
        RegisterError::NotSent(cause) => not_sent(&cause),
        RegisterError::Disconnected | RegisterError::Closed => Failure::Connection(error.to_string()),
    })
}

/// Waits until there have been enough calls, a signal comes, or no more can come.
async fn serve(
    registration: &Registration,
    watch: &mut Watch,
    mut told: Told,
    service: &Service,
) -> Result<(), Failure> {
    tokio::select! {
        biased;
        () = told.wait() => Ok(()),
        () = service.is_done() => Ok(()),
        failure = watch.ended() => Err(failure),
        why = registration.closed() => Err(connection::ended(registration.procedure(), &why)),
    }
}

impl Service {
    fn new(arguments: &RegisterArguments) -> Self {
        let answer = match (&arguments.exec, &arguments.result) {
            (Some(command), _) => {
                let turns = arguments.concurrency.map_or(COMMANDS_MAX, |concurrency| concurrency as usize);
                Answer::Exec { command: command.clone(), turns: Semaphore::new(turns) }
            }
            (None, Some(text)) => Answer::Value(value(text)),
            (None, None) => Answer::Echo,
        };
        Self {
            answer,
            count: arguments.count,
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// Answers one call.
    async fn answer(
        &self,
        arguments: &Arguments,
        context: &InvocationContext,
    ) -> Result<Arguments, WampError> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        let _ended = Ended(self);
        if self.count.is_some_and(|count| number > count) {
            return Err(WampError::with_message(
                "wamp.error.unavailable",
                "this callee has answered its last call",
            ));
        }
        match &self.answer {
            Answer::Echo => Ok(arguments.clone()),
            Answer::Value(value) => {
                Ok(wire::encode(&Payload { args: vec![value.clone()], ..Payload::default() }))
            }
            Answer::Exec { command, turns } => tokio::select! {
                biased;
                // Dropping the other arm kills the command.
                () = context.canceled() => Err(WampError::new("wamp.error.canceled")),
                result = execute(command, turns, arguments, context) => result,
            },
        }
    }

    /// Waits until as many calls have been answered as were asked for.
    async fn is_done(&self) {
        self.wait(|service| {
            service.count.is_some_and(|count| service.ended.load(Ordering::Relaxed) >= count)
        })
        .await;
    }

    /// Waits until no call is being answered.
    async fn is_idle(&self) {
        self.wait(|service| service.ended.load(Ordering::Relaxed) >= service.begun.load(Ordering::Relaxed))
            .await;
    }

    async fn wait(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }
}

/// Counts a call that is no longer being answered, whatever became of it.
struct Ended<'a>(&'a Service);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
        self.0.changed.notify_waiters();
    }
}

async fn execute(
    command: &str,
    turns: &Semaphore,
    arguments: &Arguments,
    context: &InvocationContext,
) -> Result<Arguments, WampError> {
    // The semaphore is never closed.
    let _turn = turns.acquire().await;
    let payload = received(arguments).map_err(|_| WampError::new("wamp.error.invalid_argument"))?;
    let input = json!({
        "procedure": context.procedure(),
        "args": payload.args,
        "kwargs": payload.kwargs,
        "details": details(context),
    });
    let progress = |payload: Payload| {
        let context = context.clone();
        async move {
            // It is dropped where the caller asked for none.
            let sent = context.progress(&wire::encode(&payload)).await;
            sent.map(drop).map_err(|error| {
                ExecError::new(format!("a progressive result was not sent: {}", chain(&error)))
            })
        }
    };
    match exec::run(command, &input, progress).await {
        Ok(payload) => Ok(wire::encode(&payload)),
        Err(error) => {
            let said = error.stderr.trim_end().lines().last().map(|line| format!(": {}", one_line(line)));
            say_error(&format!("{}: {error}{}", one_line(context.procedure()), said.unwrap_or_default()));
            Err(failed(&error))
        }
    }
}

fn failed(error: &ExecError) -> WampError {
    let payload = Payload { args: vec![json!(error.message)], kwargs: error.kwargs() };
    WampError::new(EXEC_FAILED).with_arguments(wire::encode(&payload))
}

/// What the router says of the call, as it says it.
fn details(context: &InvocationContext) -> Map<String, Value> {
    let mut details = connection::details(context.details());
    connection::insert_identity(&mut details, "caller", context.caller());
    if let Some(trustlevel) = context.trustlevel() {
        details.insert("trustlevel".to_owned(), json!(trustlevel));
    }
    if context.takes_progress() {
        details.insert("receive_progress".to_owned(), json!(true));
    }
    details.insert("procedure".to_owned(), json!(context.procedure()));
    details
}
