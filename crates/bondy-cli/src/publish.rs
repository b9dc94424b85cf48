//! `bondy publish`.

use std::future::IntoFuture;
use std::sync::Arc;

use bondy_client::{Client, Publish, PublishError, SessionId};
use serde_json::{Value, json};

use crate::Failure;
use crate::answer::{not_sent, received, tell_error};
use crate::arguments::client::PublishArguments;
use crate::arguments::payload::Output;
use crate::connection::{Stay, connect, in_time};
use crate::failure::say;
use crate::option::Options;
use crate::output::{print, print_json};
use crate::payload::{PayloadTemplate, options};
use crate::repetition::Plan;
use crate::runtime;
use crate::settings::Settings;
use crate::wire;

/// What each repetition needs.
struct Work {
    topic: String,
    output: Output,
    template: PayloadTemplate,
    options: PublishOptions,
}

/// The options that have a meaning here, and the rest.
struct PublishOptions {
    acknowledge: bool,
    retain: bool,
    exclude_me: Option<bool>,
    disclose_me: bool,
    eligible: Option<Vec<u64>>,
    eligible_authid: Option<Vec<String>>,
    eligible_authrole: Option<Vec<String>>,
    exclude: Option<Vec<u64>>,
    exclude_authid: Option<Vec<String>>,
    exclude_authrole: Option<Vec<String>>,
    rest: serde_json::Map<String, Value>,
}

pub(crate) fn run(arguments: &PublishArguments) -> Result<(), Failure> {
    let settings = Settings::settle(&arguments.connection)?;
    let work = Arc::new(Work {
        topic: arguments.topic.clone(),
        output: arguments.output.output,
        template: PayloadTemplate::read(&arguments.payload)?,
        options: PublishOptions::read(arguments)?,
    });
    let plan = Plan::new(arguments.count, &arguments.pace);
    runtime::run(async move {
        let client = connect(&settings, Stay::UntilLost).await?;
        let publisher = client.clone();
        let tally = plan
            .run(move |turn| {
                let (work, client) = (Arc::clone(&work), publisher.clone());
                async move { work.publish(&client, turn.number).await }
            })
            .await?;
        if tally.failed > 0 && tally.done > 1 {
            say(&format!("{} of {} events were not published", tally.failed, tally.done));
        }
        client.close().await;
        if tally.failed > 0 { Err(Failure::Reported) } else { Ok(()) }
    })
}

impl PublishOptions {
    fn read(arguments: &PublishArguments) -> Result<Self, Failure> {
        let mut options = Options::new(options(&arguments.options));
        Ok(Self {
            acknowledge: options.take_flag("acknowledge")?.unwrap_or(true) && !arguments.no_acknowledge,
            retain: options.take_flag("retain")?.unwrap_or(false) || arguments.retain,
            exclude_me: options.take_flag("exclude_me")?,
            disclose_me: options.take_flag("disclose_me")?.unwrap_or(false),
            eligible: options.take_ids("eligible")?,
            eligible_authid: options.take_texts("eligible_authid")?,
            eligible_authrole: options.take_texts("eligible_authrole")?,
            exclude: options.take_ids("exclude")?,
            exclude_authid: options.take_texts("exclude_authid")?,
            exclude_authrole: options.take_texts("exclude_authrole")?,
            rest: options.rest(),
        })
    }

    fn apply(&self, mut publish: Publish) -> Publish {
        let sessions = |ids: &[u64]| ids.iter().copied().map(SessionId).collect::<Vec<_>>();
        let texts = [
            (
                &self.eligible_authid,
                Publish::eligible_authid::<String> as fn(Publish, Vec<String>) -> Publish,
            ),
            (&self.eligible_authrole, Publish::eligible_authrole::<String>),
            (&self.exclude_authid, Publish::exclude_authid::<String>),
            (&self.exclude_authrole, Publish::exclude_authrole::<String>),
        ];
        for (given, add) in texts {
            if let Some(given) = given {
                publish = add(publish, given.clone());
            }
        }
        if let Some(ids) = &self.eligible {
            publish = publish.eligible(sessions(ids));
        }
        if let Some(ids) = &self.exclude {
            publish = publish.exclude(sessions(ids));
        }
        if let Some(exclude_me) = self.exclude_me {
            publish = publish.exclude_me(exclude_me);
        }
        for (is_wanted, add) in [
            (self.acknowledge, Publish::acknowledge as fn(Publish) -> Publish),
            (self.retain, Publish::retain),
            (self.disclose_me, Publish::disclose_me),
        ] {
            if is_wanted {
                publish = add(publish);
            }
        }
        self.rest.iter().fold(publish, |publish, (key, value)| publish.option(key, value))
    }
}

impl Work {
    /// Publishes one event; whether that went well.
    async fn publish(&self, client: &Client, number: u64) -> Result<bool, Failure> {
        let payload = self.template.render(number)?;
        let publish = self.options.apply(client.publish(self.topic.as_str()));
        let publish = publish.payload(wire::encode(&payload)).into_future();
        match in_time("PUBLISH", async { Ok(publish.await) }).await? {
            Ok(publication) => self.show(publication.map(|publication| publication.0)).map(|()| true),
            Err(PublishError::Wamp(error)) => {
                tell_error(error.uri(), &received(error.arguments())?, self.output).map(|()| false)
            }
            Err(PublishError::NotSent(cause)) => Err(not_sent(&cause)),
            Err(error @ (PublishError::Disconnected | PublishError::Closed)) => {
                Err(Failure::Connection(error.to_string()))
            }
        }
    }

    fn show(&self, publication: Option<u64>) -> Result<(), Failure> {
        match (self.output, publication) {
            (Output::Json | Output::Ndjson, publication) => print_json(&json!({"publication": publication})),
            (Output::Table, Some(publication)) => print(&format!("published {publication}\n")),
            (Output::Raw, Some(publication)) => print(&format!("{publication}\n")),
            (Output::Table | Output::Raw, None) => Ok(()),
        }
    }
}
