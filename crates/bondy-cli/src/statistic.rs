//! Times, and what is said of many of them.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

/// The longest time that is told from a longer one.
const TIME_MAX_NS: u64 = 3_600_000_000_000;

/// Times, to three digits, in memory that does not grow with their number.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, TIME_MAX_NS, 3).expect("the bounds are constant and in order"))
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1));
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// `min_us`, `mean_us`, `p50_us` and so on; null where there are no times.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let quantile = |quantile| self.0.value_at_quantile(quantile) as f64;
        let times = [
            ("min_us", self.0.min() as f64),
            ("mean_us", self.0.mean()),
            ("p50_us", quantile(0.5)),
            ("p90_us", quantile(0.9)),
            ("p99_us", quantile(0.99)),
            ("p999_us", quantile(0.999)),
            ("max_us", self.0.max() as f64),
        ];
        let shown =
            |nanoseconds: f64| if self.0.is_empty() { Value::Null } else { json!(microseconds(nanoseconds)) };
        times.into_iter().map(|(name, nanoseconds)| (name.to_owned(), shown(nanoseconds))).collect()
    }
}

/// To a tenth of a microsecond.
fn microseconds(nanoseconds: f64) -> f64 {
    (nanoseconds / 100.0).round() / 10.0
}

/// A time in microseconds, for people.
pub(crate) fn readable(time_us: f64) -> String {
    match time_us {
        time if time < 1_000.0 => format!("{time:.0} us"),
        time if time < 1_000_000.0 => format!("{:.2} ms", time / 1_000.0),
        time => format!("{:.2} s", time / 1_000_000.0),
    }
}

/// A time in microseconds to a tenth.
pub(crate) fn to_us(time: Duration) -> f64 {
    microseconds(time.as_nanos() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_microseconds() {
        let mut times = Times::new();
        assert_eq!(times.to_json()["p50_us"], Value::Null);
        (1..=100).for_each(|number| times.record(Duration::from_micros(number)));
        let json = times.to_json();
        let near = |name: &str, expected: f64| {
            let value = json[name].as_f64().expect("a number");
            assert!((value - expected).abs() <= expected / 500.0, "{name}: {value}");
        };
        [("min_us", 1.0), ("mean_us", 50.5), ("p50_us", 50.0), ("p99_us", 99.0), ("max_us", 100.0)]
            .into_iter()
            .for_each(|(name, expected)| near(name, expected));
    }

    #[test]
    fn people_read_the_unit_that_fits() {
        assert_eq!([999.0, 1_500.0, 2_000_000.0].map(readable), ["999 us", "1.50 ms", "2.00 s"]);
    }
}
