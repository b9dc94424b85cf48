//! Latencies: a histogram in the load, its quantiles in the report.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Quantiles in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50_us: f64,
    /// Nine of ten were faster.
    pub p90_us: f64,
    /// 99 of 100 were faster.
    pub p99_us: f64,
    /// 999 of 1,000 were faster.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
}

/// Latencies between 1 ns and a minute, exact to 0.1 %. Longer ones count as a minute.
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    const MAX_NS: u64 = 60_000_000_000;

    pub(super) fn new() -> Latencies {
        Latencies(Histogram::new_with_bounds(1, Self::MAX_NS, 3).expect("these constant bounds are valid"))
    }

    pub(super) fn record(&mut self, elapsed: Duration, count: u64) {
        let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record_n(elapsed_ns, count);
    }

    pub(super) fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// `None` if nothing was recorded.
    pub(super) fn quantiles(&self) -> Option<Latency> {
        let at_us = |quantile| self.0.value_at_quantile(quantile) as f64 / 1_000.0;
        (!self.0.is_empty()).then(|| Latency {
            p50_us: at_us(0.5),
            p90_us: at_us(0.9),
            p99_us: at_us(0.99),
            p999_us: at_us(0.999),
            max_us: at_us(1.0),
        })
    }
}
