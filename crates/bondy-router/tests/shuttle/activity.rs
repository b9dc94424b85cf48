//! Who is doing something: when nobody is, an execution has come to its end.

use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

/// Counts the threads that do something, or will do something by themselves.
///
/// These are not the explorer's atomics: looking at them is no step of the protocol.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    busy: AtomicUsize,
    beginnings: AtomicUsize,
}

impl Activity {
    /// One more thread is busy.
    pub(crate) fn begin(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.beginnings.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub(crate) fn end(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Is nobody busy, and was nobody while `has_news` was asked?
    pub(crate) fn is_over(&self, has_news: impl FnOnce() -> bool) -> bool {
        let beginnings = self.beginnings.load(Ordering::Relaxed);
        let is_nobody_busy = || self.busy.load(Ordering::Relaxed) == 0;
        is_nobody_busy()
            && !has_news()
            && is_nobody_busy()
            && self.beginnings.load(Ordering::Relaxed) == beginnings
    }
}

/// One of `count` possibilities, as the schedule has it.
pub(crate) fn chosen(count: usize) -> usize {
    thread_rng().gen_range(0..count)
}

/// Lets others run for a while, often not at all: a kill or a deadline comes at any moment.
pub(crate) fn dawdle() {
    let longest = [1, 8, 40, 150][chosen(4)];
    for _ in 0..chosen(longest) {
        thread::yield_now();
    }
}
