//! When things are due at a rate, and what of them is measured.
//!
//! Latency counts from the moment at which something was *due*. A server that stops for a second thus delays all that
//! was due in that second, and every one of those delays is seen; a load that waited for the answer before it sent
//! the next would see one (coordinated omission).

use std::time::{Duration, Instant};

/// An even rate, begun at one moment, measured from another on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    begin: Instant,
    interval_ns: f64,
    measured_from: Instant,
    pub(super) measured_until: Instant,
}

/// Every rate is taken as at least this, so that one interval is no longer than a day.
const RATE_MIN_PER_S: f64 = 1e-4;

impl Schedule {
    /// `rate_per_s` a second from now on; what is due in the `duration` after the `warm_up` is measured.
    pub(super) fn new(rate_per_s: f64, warm_up: Duration, duration: Duration) -> Schedule {
        let begin = Instant::now();
        let measured_from = begin + warm_up;
        let interval_ns = 1e9 / rate_per_s.max(RATE_MIN_PER_S);
        Schedule { begin, interval_ns, measured_from, measured_until: measured_from + duration }
    }

    /// One of `members` that share the rate: every so many-th, beginning with number `member`.
    pub(super) fn share(self, member: usize, members: usize) -> Schedule {
        let begin = self.due(member as u64);
        Schedule { begin, interval_ns: self.interval_ns * members.max(1) as f64, ..self }
    }

    /// When number `index`, from 0, is due.
    pub(super) fn due(&self, index: u64) -> Instant {
        self.begin + Duration::from_nanos((index as f64 * self.interval_ns) as u64)
    }

    /// Whether what was due at `due` is measured.
    pub(super) fn is_measured(&self, due: Instant) -> bool {
        (self.measured_from..self.measured_until).contains(&due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_take_turns_and_only_the_measured_time_counts() {
        let all = Schedule::new(1_000.0, Duration::from_millis(10), Duration::from_millis(20));
        let second = all.share(1, 4);
        assert_eq!(second.due(0), all.due(1));
        assert_eq!(second.due(2), all.due(9));
        let measured = (0..100).filter(|&index| all.is_measured(all.due(index))).collect::<Vec<_>>();
        assert_eq!(measured, (10..30).collect::<Vec<_>>());
    }
}
