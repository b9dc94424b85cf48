//! Logs and metrics: the only part of the node that knows their formats.

use std::fmt::Write as _;
use std::io::IsTerminal;

use bondy_router::realm::Realm;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{Log, LogFormat, LogLevel};
use crate::node::Node;

/// Changes the level of the log while the node runs.
#[derive(Clone, Debug)]
pub(crate) struct LogHandle(Option<reload::Handle<LevelFilter, Registry>>);

impl LogHandle {
    pub(crate) fn set_level(&self, level: LogLevel) {
        if let Some(handle) = &self.0
            && let Err(error) = handle.reload(filter(level))
        {
            tracing::error!(%error, "the log level cannot be changed");
        }
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Begins to log to standard error. Where the process logs already (a test that runs several nodes) nothing changes.
pub(crate) fn start_log(log: Log) -> LogHandle {
    let (filter, handle) = reload::Layer::new(filter(log.level));
    let is_terminal = std::io::stderr().is_terminal();
    let layer = match (log.format, is_terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => {
            fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed()
        }
        (LogFormat::Text, _) | (LogFormat::Auto, true) => {
            fmt::layer().with_ansi(is_terminal).with_target(false).with_writer(std::io::stderr).boxed()
        }
    };
    let is_first = tracing_subscriber::registry().with(filter).with(layer).try_init().is_ok();
    LogHandle(is_first.then_some(handle))
}

/// Everything that is counted, as OpenMetrics text.
pub(crate) fn metrics(node: &Node) -> String {
    let mut text = String::with_capacity(8 * 1024);
    for (name, description, value) in node.stats().named() {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "# TYPE bondy_{name} counter\n# HELP bondy_{name} {description}\nbondy_{name}_total {value}\n"
        );
    }
    let mut gauge = |name: &str, description: &str, value: f64| {
        let _ = write!(
            text,
            "# TYPE bondy_{name} gauge\n# HELP bondy_{name} {description}\nbondy_{name} {value}\n"
        );
    };
    let inspections: Vec<_> = node.realms().map(|realm| Realm::inspect(&realm)).collect();
    let sum =
        |of: fn(&bondy_router::realm::Inspection) -> usize| inspections.iter().map(of).sum::<usize>() as f64;
    gauge("realms", "Realms.", inspections.len() as f64);
    gauge("sessions", "Sessions at present.", sum(|realm| realm.sessions));
    gauge("subscriptions", "Subscriptions at present.", sum(|realm| realm.subscriptions));
    gauge("registrations", "Registrations at present.", sum(|realm| realm.registrations));
    gauge("calls_pending", "Calls without a final answer.", sum(|realm| realm.calls));
    gauge(
        "invocations_pending",
        "Invocations that their callees have not answered.",
        sum(|realm| realm.invocations),
    );
    gauge("retained_topics", "Topics with retained events.", sum(|realm| realm.retained_topics));
    gauge("connections", "Connections at present, with and without a session.", node.connections() as f64);
    gauge(
        "outbox_congested_bytes",
        "Bytes in outboxes of slow readers, in steps of 64 KiB.",
        node.budget().used_bytes() as f64,
    );
    gauge("uptime_seconds", "Seconds since the node started.", node.uptime().as_secs_f64());
    text.push_str("# EOF\n");
    text
}
