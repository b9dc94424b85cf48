//! The numbers of each benchmark, by name.

use crate::figure::{Metric, Over};
use crate::load::Measurement;

/// A call is two routed messages: CALL and YIELD.
const MESSAGES_PER_CALL: f64 = 2.0;

const LATENCIES: [Metric; 5] = [
    median("p50_us", |round| Some(round.latency?.p50_us)),
    median("p90_us", |round| Some(round.latency?.p90_us)),
    median("p99_us", |round| Some(round.latency?.p99_us)),
    median("p999_us", |round| Some(round.latency?.p999_us)),
    Metric { name: "max_us", of: |round| Some(round.latency?.max_us), over: Over::Largest },
];

const CALLS: [Metric; 8] = [
    median("calls_per_s", Measurement::operations_per_s),
    count("calls", |round| Some(round.operations as f64)),
    count("calls_missed", |round| Some(round.missed? as f64)),
    median("router_cpu_ns_per_call", Measurement::server_cpu_ns_per_operation),
    median("router_cpu_ns_per_message", |round| {
        Some(round.server_cpu_ns_per_operation()? / MESSAGES_PER_CALL)
    }),
    median("calls_per_core_s", Measurement::operations_per_core_s),
    median("router_cores_busy", Measurement::server_cores_busy),
    median("load_cpu_ns_per_call", Measurement::load_cpu_ns_per_operation),
];

const EVENTS: [Metric; 7] = [
    median("events_per_s", Measurement::operations_per_s),
    count("events", |round| Some(round.operations as f64)),
    count("events_missed", |round| Some(round.missed? as f64)),
    median("router_cpu_ns_per_event", Measurement::server_cpu_ns_per_operation),
    median("events_per_core_s", Measurement::operations_per_core_s),
    median("router_cores_busy", Measurement::server_cores_busy),
    median("load_cpu_ns_per_event", Measurement::load_cpu_ns_per_operation),
];

const JOINS: [Metric; 6] = [
    median("joins_per_s", Measurement::operations_per_s),
    count("joins", |round| Some(round.operations as f64)),
    median("router_cpu_ns_per_join", Measurement::server_cpu_ns_per_operation),
    median("joins_per_core_s", Measurement::operations_per_core_s),
    median("router_cores_busy", Measurement::server_cores_busy),
    median("load_cpu_ns_per_join", Measurement::load_cpu_ns_per_operation),
];

const fn median(name: &'static str, of: fn(&Measurement) -> Option<f64>) -> Metric {
    Metric { name, of, over: Over::Median }
}

const fn count(name: &'static str, of: fn(&Measurement) -> Option<f64>) -> Metric {
    Metric { name, of, over: Over::Sum }
}

/// Of calls.
pub(super) fn calls() -> Vec<Metric> {
    [&LATENCIES[..], &CALLS[..]].concat()
}

/// Of events. Latency is that of one event to one subscriber.
pub(super) fn events() -> Vec<Metric> {
    [&LATENCIES[..], &EVENTS[..]].concat()
}

/// Of sessions that join. Latency is from connecting to WELCOME.
pub(super) fn joins() -> Vec<Metric> {
    [&LATENCIES[..], &JOINS[..]].concat()
}
