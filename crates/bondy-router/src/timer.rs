//! Deadlines of calls, ordered by time, for one worker.
//!
//! A call that ends leaves its timer behind. Dead timers are swept whenever their number could have doubled, so a
//! worker holds at most about twice as many timers as calls with a deadline, at an amortised cost of one look each.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bondy_wamp::id::RequestId;

use crate::session::Session;
use crate::sync::Weak;

/// Below this many timers nothing is swept.
const SWEEP_MIN: usize = 1024;

/// The deadline of one call, kept by serial.
#[derive(Clone, Debug)]
pub struct Timer {
    /// When, in nanoseconds of the monotonic clock.
    pub deadline_ns: u64,
    /// The caller.
    pub caller: Weak<Session>,
    /// The call.
    pub request: RequestId,
    /// The very call: a request id may be used again.
    pub serial: u64,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.deadline_ns == other.deadline_ns
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.deadline_ns.cmp(&other.deadline_ns)
    }
}

/// The armed timers of one worker.
#[derive(Debug)]
pub struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    sweep_at: usize,
}

impl Default for Timers {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), sweep_at: SWEEP_MIN }
    }
}

impl Timers {
    /// Arms a timer.
    pub fn arm(&mut self, timer: Timer) {
        if self.heap.len() >= self.sweep_at {
            self.heap.retain(|Reverse(timer)| timer.is_live());
            self.sweep_at = SWEEP_MIN.max(self.heap.len() * 2);
        }
        self.heap.push(Reverse(timer));
    }

    /// When the next timer is due.
    pub fn next_deadline_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(timer)| timer.deadline_ns)
    }

    /// Takes the next timer if it is due.
    pub fn pop_due(&mut self, now_ns: u64) -> Option<Timer> {
        self.heap.peek().filter(|Reverse(timer)| timer.deadline_ns <= now_ns)?;
        self.heap.pop().map(|Reverse(timer)| timer)
    }

    /// How many timers are held.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Is no timer armed?
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl Timer {
    fn is_live(&self) -> bool {
        self.caller.upgrade().is_some_and(|caller| caller.has_call(self.request, self.serial))
    }
}
