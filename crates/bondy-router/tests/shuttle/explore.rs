//! Running one scenario under many schedules.

use std::any::Any;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use bondy_wamp::mutation;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};

/// How many preemptions a schedule of the second kind has, at most.
const PREEMPTIONS_MAX: usize = 4;

/// An unoptimized build keeps large messages on the stack.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 512 * 1024 } else { 128 * 1024 };

/// No execution comes near to it unless threads keep each other busy for ever.
const STEPS_MAX: usize = 200_000;

/// A property that does not hold.
#[macro_export]
macro_rules! violated {
    ($property:literal, $($text:tt)*) => { panic!("{}: {}", $property, format_args!($($text)*)) };
}

/// What is executed once per schedule.
pub(crate) type Run = Arc<dyn Fn() + Send + Sync>;

#[expect(clippy::disallowed_methods, reason = "a seed to be repeated comes from outside")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// So many executions in an ordinary run; ten times as many in a full one.
pub(crate) fn scaled(executions: usize) -> usize {
    if setting("BONDY_TEST_FULL").is_some() { executions * 10 } else { executions }
}

/// Explores one scenario. The same seed explores the same schedules.
pub(crate) fn explore(name: &str, executions: usize, run: &Run) {
    note(name);
    explore_from(seed(name, 0), executions, run);
}

/// Says what is done: shown where a test fails.
#[expect(clippy::print_stdout, reason = "a failure names its scenario by it")]
pub(crate) fn note(text: &str) {
    println!("{text}");
}

/// Half of the executions choose the next thread by chance at each step, the other half preempt seldom.
fn explore_from(seed: u64, executions: usize, run: &Run) {
    let half = executions.div_ceil(2);
    let (by_chance, seldom) = (Arc::clone(run), Arc::clone(run));
    Runner::new(RandomScheduler::new_from_seed(seed, half), config()).run(move || by_chance());
    Runner::new(PctScheduler::new_from_seed(seed, PREEMPTIONS_MAX, half), config()).run(move || seldom());
}

fn seed(name: &str, round: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, round, setting("BONDY_TEST_SEED")).hash(&mut hasher);
    hasher.finish()
}

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.silence_warnings = true;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config
}

/// Makes one deliberate mistake and explores the scenarios in turn, more and more of each, until a property fails.
///
/// Returns the scenario and its failure, or nothing where `rounds` were not enough.
pub(crate) fn failure_of(
    mistake: &'static str,
    scenarios: &[(String, Run)],
    rounds: usize,
    executions: usize,
) -> Option<(String, String)> {
    for round in 0..rounds {
        for (name, run) in scenarios {
            mutation::make(mistake);
            let explored = panic::catch_unwind(AssertUnwindSafe(|| {
                explore_from(seed(name, round), executions, run);
            }));
            mutation::make(mutation::NONE);
            if let Err(failure) = explored {
                return Some((name.clone(), text_of(&*failure)));
            }
        }
    }
    None
}

fn text_of(failure: &(dyn Any + Send)) -> String {
    let text = failure.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| failure.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text").to_owned()
}
