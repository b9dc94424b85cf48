//! Doing something many times: how often, how many at once, how fast.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Failure;
use crate::arguments::payload::PaceArguments;

/// How often, how many at once, how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) count: u64,
    /// Each with a task of its own.
    pub(crate) parallel: u32,
    /// At most so many a second.
    pub(crate) rate: Option<f64>,
}

/// One repetition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// The first is 1.
    pub(crate) number: u64,
    /// When it was to begin, where there is a rate.
    pub(crate) due: Option<Instant>,
}

/// What came of all repetitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) done: u64,
    pub(crate) failed: u64,
}

impl Plan {
    pub(crate) fn new(count: u64, pace: &PaceArguments) -> Self {
        Self { count, parallel: pace.parallel, rate: pace.rate }
    }

    /// When repetition `number` is due, the first being 1. They are evenly spaced from the beginning on: one that is
    /// late does not delay the others.
    fn due(&self, begun: Instant, number: u64) -> Option<Instant> {
        let seconds = (number - 1) as f64 / self.rate?;
        begun.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }

    /// Runs `once` for each number from 1 to `count`. It says whether that went well; a failure ends everything.
    pub(crate) async fn run<F>(
        self,
        once: impl Fn(Turn) -> F + Clone + Send + 'static,
    ) -> Result<Tally, Failure>
    where
        F: Future<Output = Result<bool, Failure>> + Send,
    {
        let (next, begun) = (Arc::new(AtomicU64::new(1)), Instant::now());
        let mut workers: JoinSet<Result<Tally, Failure>> = JoinSet::new();
        for _ in 0..u64::from(self.parallel).min(self.count) {
            let (next, once) = (Arc::clone(&next), once.clone());
            workers.spawn(async move {
                let mut tally = Tally::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > self.count {
                        return Ok(tally);
                    }
                    let due = self.due(begun, number);
                    if let Some(due) = due {
                        tokio::time::sleep_until(due).await;
                    }
                    tally.done += 1;
                    tally.failed += u64::from(!once(Turn { number, due }).await?);
                }
            });
        }
        let mut total = Tally::default();
        while let Some(joined) = workers.join_next().await {
            let tally = match joined {
                Ok(result) => result?,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            };
            total.done += tally.done;
            total.failed += tally.failed;
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn run<F>(plan: Plan, once: impl Fn(Turn) -> F + Clone + Send + 'static) -> Result<Tally, Failure>
    where
        F: Future<Output = Result<bool, Failure>> + Send,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(plan.run(once))
    }

    #[test]
    fn each_number_comes_once_and_no_more_are_under_way_than_allowed() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let running = Arc::new(AtomicU64::new(0));
        let once = {
            let (seen, running) = (Arc::clone(&seen), Arc::clone(&running));
            move |Turn { number, .. }| {
                let (seen, running) = (Arc::clone(&seen), Arc::clone(&running));
                async move {
                    assert!(running.fetch_add(1, Ordering::Relaxed) < 4);
                    tokio::task::yield_now().await;
                    running.fetch_sub(1, Ordering::Relaxed);
                    seen.lock().expect("a list").push(number);
                    Ok(number % 10 != 0)
                }
            }
        };
        let tally = run(Plan { count: 100, parallel: 4, rate: None }, once);
        assert!(matches!(tally, Ok(Tally { done: 100, failed: 10 })), "{tally:?}");
        let mut seen = seen.lock().expect("a list").clone();
        seen.sort_unstable();
        assert_eq!(seen, (1..=100).collect::<Vec<u64>>());
    }

    #[test]
    fn a_failure_ends_everything() {
        let result =
            run(Plan { count: u64::MAX, parallel: 3, rate: None }, |Turn { number, .. }| async move {
                tokio::task::yield_now().await;
                if number == 7 { Err(Failure::Reported) } else { Ok(true) }
            });
        assert!(matches!(result, Err(Failure::Reported)));
    }

    #[test]
    fn a_rate_spaces_them_evenly() {
        let plan = Plan { count: 3, parallel: 1, rate: Some(10.0) };
        let begun = Instant::now();
        assert_eq!(plan.due(begun, 1), Some(begun));
        assert_eq!(plan.due(begun, 3), Some(begun + Duration::from_millis(200)));
        assert_eq!(Plan { rate: None, ..plan }.due(begun, 3), None);
    }
}
