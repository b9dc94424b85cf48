//! `bondy subscribe`.

use std::pin::pin;
use std::task::Poll;

use bondy_client::{Client, EndReason, Event, SubscribeError, Subscription, WhyEnded};
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::answer::{not_sent, received, refusal};
use crate::arguments::client::SubscribeArguments;
use crate::arguments::payload::Output;
use crate::connection::{self, Watch, connect_unless_told, in_time, leave};
use crate::failure::say;
use crate::option::Options;
use crate::output::{one_line, payload_line, print, print_object, print_raw, reader_gone};
use crate::payload::options;
use crate::runtime;
use crate::settings::Settings;

/// Events that wait to be printed, for each topic; beyond, the oldest are dropped, and that is said.
const EVENTS_WAITING_MAX: usize = 65_536;

pub(crate) fn run(arguments: &SubscribeArguments) -> Result<(), Failure> {
    let settings = Settings::settle(&arguments.connection)?;
    let mut arguments = arguments.clone();
    let mut options = Options::new(options(&arguments.options));
    // Twice the same would show each event twice.
    let mut seen = std::collections::BTreeSet::new();
    arguments.topics.retain(|topic| seen.insert(topic.clone()));
    arguments.match_policy = connection::match_option(&mut options)?.unwrap_or(arguments.match_policy);
    arguments.get_retained |= options.take_flag("get_retained")?.unwrap_or(false);
    options.finish("match and get_retained")?;
    runtime::run_until_told(async move |mut told| {
        let Some(client) = connect_unless_told(&settings, &arguments.reconnect, &mut told).await? else {
            return Ok(());
        };
        let mut watch = Watch::new(&client, Some("subscribed"));
        let result = tokio::select! {
            biased;
            () = told.wait() => Ok(()),
            result = serve(&client, &mut watch, &arguments) => result,
            () = reader_gone() => Err(Failure::ReaderGone),
        };
        leave(&client).await;
        result
    })
}

/// Subscribes, and prints events until there have been enough or nothing more can come.
async fn serve(client: &Client, watch: &mut Watch, arguments: &SubscribeArguments) -> Result<(), Failure> {
    let mut subscriptions = Vec::new();
    for topic in &arguments.topics {
        subscriptions.push(in_time("SUBSCRIBE", subscribe(client, topic, arguments)).await?);
    }
    say("subscribed");
    show_all(&mut subscriptions, watch, arguments).await
}

async fn subscribe(
    client: &Client,
    topic: &str,
    arguments: &SubscribeArguments,
) -> Result<Subscription, Failure> {
    let policy = connection::match_policy(arguments.match_policy);
    let mut subscribe = client.subscribe(topic).match_policy(policy).queue(EVENTS_WAITING_MAX);
    if arguments.get_retained {
        subscribe = subscribe.get_retained();
    }
    subscribe.await.map_err(|error| match error {
        SubscribeError::Wamp(error) => refusal(&error),
        SubscribeError::NotSent(cause) => not_sent(&cause),
        SubscribeError::Disconnected | SubscribeError::Closed => Failure::Connection(error.to_string()),
    })
}

async fn show_all(
    subscriptions: &mut Vec<Subscription>,
    watch: &mut Watch,
    arguments: &SubscribeArguments,
) -> Result<(), Failure> {
    let mut left = arguments.count;
    while left != Some(0) {
        let event = tokio::select! {
            biased;
            event = next(subscriptions) => event?,
            failure = watch.ended() => return Err(failure),
        };
        if event.dropped() > 0 {
            say(&format!("{} events of {} were dropped", event.dropped(), one_line(event.topic())));
        }
        show(&event, arguments.output.output)?;
        left = left.map(|left| left - 1);
    }
    Ok(())
}

/// The next event of any topic.
async fn next(subscriptions: &mut Vec<Subscription>) -> Result<Event, Failure> {
    std::future::poll_fn(|context| {
        let mut index = 0;
        while index < subscriptions.len() {
            let polled = pin!(subscriptions[index].next()).poll(context);
            match polled {
                Poll::Ready(Some(event)) => {
                    // The others come first the next time.
                    subscriptions[index..].rotate_left(1);
                    return Poll::Ready(Ok(event));
                }
                Poll::Ready(None) => {
                    let subscription = subscriptions.remove(index);
                    let why = subscription.ended().cloned().unwrap_or(WhyEnded::Closed(EndReason::Closed));
                    let failure = connection::ended(subscription.topic(), &why);
                    if subscriptions.is_empty() || matches!(failure, Failure::Connection(_)) {
                        return Poll::Ready(Err(failure));
                    }
                    // The others go on.
                    failure.report();
                }
                Poll::Pending => index += 1,
            }
        }
        Poll::Pending
    })
    .await
}

fn show(event: &Event, output: Output) -> Result<(), Failure> {
    let payload = received(event.arguments())?;
    match output {
        Output::Table => {
            let line = format!("{}  {}", one_line(event.topic()), payload_line(&payload));
            print(&format!("{}\n", line.trim_end()))
        }
        Output::Raw => print_raw(&payload),
        Output::Json | Output::Ndjson => {
            let [args, kwargs] = payload.entries();
            let (topic, publication) = (json!(event.topic()), json!(event.publication().0));
            let details = Value::Object(details(event));
            print_object(&[
                ("topic", topic),
                ("publication", publication),
                args,
                kwargs,
                ("details", details),
            ])
        }
    }
}

/// What the router says of the event, as it says it.
fn details(event: &Event) -> Map<String, Value> {
    let mut details = connection::details(event.details());
    connection::insert_identity(&mut details, "publisher", event.publisher());
    if let Some(trustlevel) = event.trustlevel() {
        details.insert("trustlevel".to_owned(), json!(trustlevel));
    }
    if event.is_retained() {
        details.insert("retained".to_owned(), json!(true));
    }
    details
}
