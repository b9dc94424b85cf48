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
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
