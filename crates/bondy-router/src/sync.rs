//! Locks and atomics, in one place, so that the concurrency explorer can replace them.

#[cfg(not(feature = "shuttle"))]
use std::sync as provider;

#[cfg(feature = "shuttle")]
use shuttle::sync as provider;

pub use provider::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub use std::sync::{Arc, OnceLock, Weak};

/// A lock that is held for one short critical section.
///
/// A panic while it is held is a bug; the node catches it at the edge of the realm and closes the realm. Until then
/// other holders go on, so poison is not an error here.
#[derive(Debug, Default)]
pub struct Lock<T>(provider::Mutex<T>);

/// The right to look at what a [`Lock`] protects.
pub type Guard<'a, T> = provider::MutexGuard<'a, T>;

impl<T> Lock<T> {
    /// A new lock around `value`.
    pub fn new(value: T) -> Self {
        Self(provider::Mutex::new(value))
    }

    /// Waits for the lock and takes it.
    pub fn lock(&self) -> Guard<'_, T> {
        #[cfg(feature = "shuttle")]
        striking::pass();
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Others may run now: the explorer does not see what is read and changed without its locks and atomics.
#[inline(always)]
pub(crate) fn step() {
    #[cfg(feature = "shuttle")]
    AtomicBool::new(false).load(Ordering::Relaxed);
}

/// Deaths in the middle of what a thread does, for tests: between two critical sections, or while control is held.
#[cfg(feature = "shuttle")]
pub mod striking {
    use std::cell::Cell;
    use std::panic::resume_unwind;

    use shuttle::current::{TaskId, me};

    thread_local! {
        static NEXT: Cell<Option<(TaskId, usize)>> = const { Cell::new(None) };
    }

    /// What a thread dies with.
    #[derive(Debug)]
    pub struct Struck;

    /// The present thread of the explorer passes so many locks, and dies before the next one.
    pub fn strike_at(locks: usize) {
        NEXT.set(Some((me(), locks)));
    }

    /// Nobody dies.
    pub fn strike_no_more() {
        NEXT.set(None);
    }

    pub(super) fn pass() {
        match NEXT.get() {
            Some((thread, 0)) if thread == me() => {
                NEXT.set(None);
                resume_unwind(Box::new(Struck));
            }
            Some((thread, locks)) if thread == me() => NEXT.set(Some((thread, locks - 1))),
            Some(_) | None => {}
        }
    }
}
