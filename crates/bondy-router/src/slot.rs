//! The place of one session in a registration or subscription, as its own lock knows it.
//!
//! Routes are hints: whether a message may be appended is decided by the slot, under its session's lock.

use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// One REGISTER or SUBSCRIBE of a session. Everything in it changes under the session's lock only.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    is_active: AtomicBool,
    running: AtomicU32,
    dropped: AtomicU64,
}

impl Slot {
    pub(crate) fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Relaxed)
    }

    pub(crate) fn set_active(&self, is_active: bool) {
        self.is_active.store(is_active, Ordering::Relaxed);
    }

    /// How many invocations run. Exact under the session's lock, a hint without it.
    pub(crate) fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }

    pub(crate) fn start(&self) {
        self.running.store(self.running() + 1, Ordering::Relaxed);
    }

    pub(crate) fn finish(&self) {
        self.running.store(self.running().saturating_sub(1), Ordering::Relaxed);
    }

    pub(crate) fn count_dropped(&self) {
        self.add_dropped(1);
    }

    pub(crate) fn add_dropped(&self, dropped: u64) {
        self.dropped.store(self.dropped.load(Ordering::Relaxed) + dropped, Ordering::Relaxed);
    }

    /// Events dropped since the last delivered one; begins again at zero.
    pub(crate) fn take_dropped(&self) -> u64 {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            self.dropped.store(0, Ordering::Relaxed);
        }
        dropped
    }
}
