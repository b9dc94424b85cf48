//! The threads of one execution: when none of them is busy, the execution has come to its end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bondy_wamp::buffer::BufferPool;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};

use crate::seat::Seat;

/// The threads, and how many of them do something, or will do something by themselves.
///
/// These are not the explorer's locks and atomics: looking at them is no step of the protocol.
#[derive(Debug, Default)]
pub(crate) struct Crew {
    threads: Mutex<Vec<JoinHandle<()>>>,
    busy: AtomicUsize,
    beginnings: AtomicUsize,
}

impl Crew {
    /// A thread that is busy until its end.
    pub(crate) fn spawn(self: &Arc<Self>, run: impl FnOnce() + Send + 'static) {
        let crew = Arc::clone(self);
        self.spawn_idling(move || {
            run();
            crew.idle();
        });
    }

    /// A thread that is busy at first, and says itself when it is not.
    pub(crate) fn spawn_idling(&self, run: impl FnOnce() + Send + 'static) {
        self.begin();
        let thread = thread::spawn(run);
        self.threads().push(thread);
    }

    /// A thread is busy again.
    fn begin(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.beginnings.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread is busy no more.
    fn idle(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Is nobody busy, and was nobody while `has_news` was asked?
    fn is_done(&self, has_news: impl FnOnce() -> bool) -> bool {
        let beginnings = self.beginnings.load(Ordering::Relaxed);
        let is_nobody_busy = || self.busy.load(Ordering::Relaxed) == 0;
        is_nobody_busy()
            && !has_news()
            && is_nobody_busy()
            && self.beginnings.load(Ordering::Relaxed) == beginnings
    }

    /// A client's thread waits for news of its seat. False when nothing can come to anybody any more.
    pub(crate) fn rest(&self, seats: &[Seat], who: usize, pool: &mut BufferPool) -> bool {
        self.idle();
        loop {
            thread::yield_now();
            if seats[who].has_news(pool) {
                self.begin();
                return true;
            }
            if self.is_done(|| seats.iter().any(|seat| seat.has_news(pool))) {
                return false;
            }
        }
    }

    /// Waits for all threads, also those that are spawned meanwhile.
    pub(crate) fn join(&self) {
        loop {
            let thread = self.threads().pop();
            let Some(thread) = thread else { return };
            thread.join().expect("a failed thread ends the execution");
        }
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
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
