//! `bondy top`: sessions, procedures and topics of a realm, with their rates.

mod layout;
mod screen;
mod snapshot;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use bondy_client::{Client, ConnectionEvent};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::Failure;
use crate::arguments::client::TopArguments;
use crate::arguments::payload::Output;
use crate::connection::{self, Stay, Watch, connect};
use crate::output::{print, print_json};
use crate::runtime;
use crate::settings::Settings;
use screen::{Command, Screen};
use snapshot::Snapshot;

/// SIGINT, as Ctrl-C stands for it.
const INTERRUPT: i32 = 2;

/// No router is asked more often.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

pub(crate) fn run(arguments: &TopArguments) -> Result<(), Failure> {
    let settings = Settings::settle(&arguments.connection)?;
    let output = arguments.output.output;
    let is_once = arguments.once || output == Output::Json;
    let is_live = !is_once && matches!(output, Output::Table) && std::io::stdout().is_terminal();
    let stay = if is_once { Stay::UntilLost } else { Stay::of(&arguments.reconnect) };
    runtime::run(async {
        let client = connect(&settings, stay).await?;
        let result = if is_live {
            watch_live(&client, arguments).await
        } else if is_once {
            print_once(&client, arguments).await
        } else {
            print_for_ever(&client, arguments).await
        };
        client.close().await;
        result
    })
}

/// Two looks, so that there are rates.
async fn print_once(client: &Client, arguments: &TopArguments) -> Result<(), Failure> {
    let before = Snapshot::take(client, arguments.limit, None).await?;
    sleep(arguments.interval.max(INTERVAL_MIN)).await;
    let snapshot = Snapshot::take(client, arguments.limit, Some(&before)).await?;
    show(&snapshot, arguments.output.output)
}

async fn print_for_ever(client: &Client, arguments: &TopArguments) -> Result<(), Failure> {
    let mut watch = Watch::new(client, None);
    let mut before = Snapshot::take(client, arguments.limit, None).await?;
    loop {
        tokio::select! {
            () = sleep(arguments.interval.max(INTERVAL_MIN)) => {}
            failure = watch.ended() => return Err(failure),
        }
        match Snapshot::take(client, arguments.limit, Some(&before)).await {
            Ok(snapshot) => {
                show(&snapshot, arguments.output.output)?;
                before = snapshot;
            }
            // What becomes of the connection is said by the watch.
            Err(Failure::Connection(_)) if !arguments.reconnect.no_reconnect => {}
            Err(failure) => return Err(failure),
        }
    }
}

fn show(snapshot: &Snapshot, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json | Output::Ndjson => print_json(&snapshot.to_json()),
        Output::Table | Output::Raw => print(&snapshot.to_text()),
    }
}

/// The live view: draws whatever a task of its own has seen, until a key is the end.
async fn watch_live(client: &Client, arguments: &TopArguments) -> Result<(), Failure> {
    let mut events = client.events();
    let mut screen = Screen::take().map_err(terminal_failure)?;
    let (sender, mut looks) = mpsc::channel(1);
    tokio::spawn(look(client.clone(), arguments.interval, arguments.limit, sender));
    let (mut snapshot, mut status) = (None, String::new());
    loop {
        screen.draw(snapshot.as_deref(), &status).map_err(terminal_failure)?;
        tokio::select! {
            biased;
            command = screen.next_command() => match command {
                None | Some(Command::Quit) => return Ok(()),
                Some(Command::Interrupt) => return Err(Failure::Signaled(INTERRUPT)),
                Some(command) => screen.handle(command),
            },
            event = events.next() => match event {
                Some(ConnectionEvent::Closed(reason)) => return Err(Failure::Connection(reason.to_string())),
                Some(event) => status = connection::describe(&event).unwrap_or(status),
                None => return Err(Failure::Connection("the connection has ended".to_owned())),
            },
            look = looks.recv() => match look {
                Some(Ok(look)) => {
                    snapshot = Some(look);
                    status.clear();
                }
                // The connection's own events say whether it comes back.
                Some(Err(Failure::Connection(_))) => {}
                Some(Err(failure)) => return Err(failure),
                None => return Err(Failure::Connection("the connection has ended".to_owned())),
            },
        }
    }
}

type Look = Result<Arc<Snapshot>, Failure>;

/// Looks again and again, until nobody wants to know.
async fn look(client: Client, every: Duration, limit: u32, looks: mpsc::Sender<Look>) {
    let mut ticks = interval(every.max(INTERVAL_MIN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<Arc<Snapshot>> = None;
    loop {
        ticks.tick().await;
        let look = Snapshot::take(&client, limit, before.as_deref()).await.map(Arc::new);
        if let Ok(snapshot) = &look {
            before = Some(Arc::clone(snapshot));
        }
        if looks.send(look).await.is_err() {
            return;
        }
    }
}

fn terminal_failure(error: std::io::Error) -> Failure {
    Failure::Other(anyhow::Error::new(error).context("cannot use the terminal; `--once` needs none"))
}
