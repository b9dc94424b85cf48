//! What waits to be flushed by one worker, and when it is due.
//!
//! Sessions with calls and replies are always due, before all others but for a share. Sessions that have nothing but
//! events are written in rounds, each of which is everything that waited when it began. While a publisher has more that was read and not
//! handled, the next round waits a little: so the subscribers of a burst get many events with one write, where each
//! write costs as much as some thirty events. How long it waits is bounded, in time and in bytes.

use std::collections::VecDeque;

/// How long a round of events waits for publishers that have more to say: about as long as writing to a thousand
/// subscribers takes.
const WAIT_MAX_NS: u64 = 5_000_000;

/// For how much a round of events waits, in bytes of messages that were published, the first batch included: a quarter
/// of an outbox's default soft limit. (What those messages become in one outbox may be more, and limits may be lower:
/// a session whose outbox is past a quarter of its own soft limit comes with calls and replies, and does not wait.)
const WAIT_BYTES_MAX: u64 = 64 * 1024;

/// Within how many passes a publisher that has more comes with its next batch. Tasks that yield are taken up again in
/// reverse order, so between two of its batches there is often no pass, and then there are two.
const EXPECTED_PASSES: u8 = 2;

/// After so many sessions with calls and replies comes one of a round that is due: where calls never stop, events still
/// get a quarter of the writes.
const URGENT_IN_ROW_MAX: u8 = 3;

/// Sessions that wait to be flushed.
#[derive(Debug)]
pub(crate) struct Backlog<T> {
    urgent: VecDeque<T>,
    events: VecDeque<T>,
    /// How many of `events` belong to the present round.
    due: usize,
    /// The last pass that could go on with a round, after which the next one began to wait: a long round is itself no
    /// part of that wait, or none would ever follow one.
    since_ns: u64,
    /// What was published since the last round began, by connections that had more.
    waited_bytes: u64,
    /// In how many passes to come a publisher's next batch is still expected.
    expected_passes: u8,
    /// How many of `urgent` were taken in a row while a round was due.
    urgent_in_row: u8,
}

/// A session to be flushed, and from which list it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due<T> {
    /// With calls and replies.
    Urgent(T),
    /// With nothing but events.
    Events(T),
}

impl<T> Default for Backlog<T> {
    fn default() -> Self {
        Self {
            urgent: VecDeque::new(),
            events: VecDeque::new(),
            due: 0,
            since_ns: 0,
            waited_bytes: 0,
            expected_passes: 0,
            urgent_in_row: 0,
        }
    }
}

impl<T> Backlog<T> {
    /// Does nothing wait?
    pub(crate) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.events.is_empty()
    }

    /// Adds what a batch has touched: first those with calls and replies, then those with events only.
    pub(crate) fn add(
        &mut self,
        urgent: impl Iterator<Item = T>,
        events: impl Iterator<Item = T>,
        now_ns: u64,
    ) {
        if self.events.is_empty() {
            self.since_ns = now_ns;
            self.waited_bytes = 0;
        }
        self.urgent.extend(urgent);
        self.events.extend(events);
    }

    /// The batch that was added last has published so many bytes, and its connection has more that was read.
    pub(crate) fn expect_more(&mut self, bytes: u64) {
        self.expected_passes = EXPECTED_PASSES;
        self.waited_bytes += bytes;
    }

    /// Begins a pass of the flusher: is a round of events due?
    pub(crate) fn begin_pass(&mut self, now_ns: u64) {
        let has_more = self.expected_passes > 0;
        self.expected_passes = self.expected_passes.saturating_sub(1);
        if self.due > 0 || self.events.is_empty() {
            self.since_ns = now_ns;
            return;
        }
        let may_wait =
            now_ns.saturating_sub(self.since_ns) < WAIT_MAX_NS && self.waited_bytes < WAIT_BYTES_MAX;
        if !(has_more && may_wait) {
            self.due = self.events.len();
            self.since_ns = now_ns;
            self.waited_bytes = 0;
        }
    }

    /// The next session of this pass.
    pub(crate) fn next(&mut self) -> Option<Due<T>> {
        let is_turn_of_events = self.due > 0 && self.urgent_in_row == URGENT_IN_ROW_MAX;
        if !is_turn_of_events && let Some(urgent) = self.urgent.pop_front() {
            self.urgent_in_row = if self.due > 0 { self.urgent_in_row + 1 } else { 0 };
            return Some(Due::Urgent(urgent));
        }
        self.urgent_in_row = 0;
        self.due = self.due.checked_sub(1)?;
        self.events.pop_front().map(Due::Events)
    }
}

#[cfg(test)]
mod tests {
    use super::Due::{Events, Urgent};
    use super::*;

    fn pass(backlog: &mut Backlog<u32>, now_ns: u64) -> Vec<Due<u32>> {
        backlog.begin_pass(now_ns);
        std::iter::from_fn(|| backlog.next()).collect()
    }

    #[test]
    fn calls_go_before_events() {
        let mut backlog = Backlog::default();
        backlog.add([].into_iter(), [1, 2].into_iter(), 0);
        backlog.add([3].into_iter(), [4].into_iter(), 0);
        assert_eq!(pass(&mut backlog, 0), [Urgent(3), Events(1), Events(2), Events(4)]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn events_get_their_share_while_calls_never_stop() {
        let mut backlog = Backlog::default();
        backlog.add([].into_iter(), [1, 2].into_iter(), 0);
        let mut taken = Vec::new();
        for _ in 0..4 {
            backlog.add(std::iter::repeat_n(3, 100), [].into_iter(), 0);
            backlog.begin_pass(0);
            taken.extend(std::iter::from_fn(|| backlog.next()).take(2));
        }
        let urgent = Urgent(3);
        assert_eq!(taken, [urgent, urgent, urgent, Events(1), urgent, urgent, urgent, Events(2)]);
    }

    #[test]
    fn events_wait_while_a_publisher_has_more() {
        let mut backlog = Backlog::default();
        backlog.add([3].into_iter(), [1].into_iter(), 0);
        backlog.expect_more(100);
        assert_eq!(pass(&mut backlog, 0), [Urgent(3)]);
        assert_eq!(pass(&mut backlog, 0), [], "its next batch may come after the second pass");
        assert!(!backlog.is_empty());
        assert_eq!(pass(&mut backlog, 0), [Events(1)]);
    }

    #[test]
    fn events_wait_for_a_bounded_time_and_for_bounded_bytes() {
        for (now_ns, bytes) in [(WAIT_MAX_NS, 1), (1, WAIT_BYTES_MAX)] {
            let mut backlog = Backlog::default();
            backlog.add([].into_iter(), [1].into_iter(), 0);
            backlog.expect_more(bytes);
            assert_eq!(pass(&mut backlog, now_ns), [Events(1)]);
        }
    }

    #[test]
    fn a_round_waits_also_after_one_that_took_long() {
        let mut backlog = Backlog::default();
        backlog.add([].into_iter(), [1, 2].into_iter(), 0);
        backlog.begin_pass(0);
        assert_eq!(backlog.next(), Some(Events(1)));
        backlog.add([].into_iter(), [1].into_iter(), 0);
        backlog.expect_more(1);
        assert_eq!(pass(&mut backlog, WAIT_MAX_NS), [Events(2)]);
        for (now_ns, due) in [(WAIT_MAX_NS + 1, vec![]), (2 * WAIT_MAX_NS, vec![Events(1)])] {
            backlog.expect_more(1);
            assert_eq!(pass(&mut backlog, now_ns), due);
        }
    }

    #[test]
    fn a_round_is_what_waited_when_it_began() {
        let mut backlog = Backlog::default();
        backlog.add([].into_iter(), [1, 2].into_iter(), 0);
        backlog.begin_pass(0);
        assert_eq!(backlog.next(), Some(Events(1)));
        backlog.add([].into_iter(), [1].into_iter(), 0);
        backlog.expect_more(1);
        assert_eq!(pass(&mut backlog, 0), [Events(2)]);
        backlog.expect_more(1);
        assert_eq!(pass(&mut backlog, 0), []);
        assert_eq!(pass(&mut backlog, 0), []);
        assert_eq!(pass(&mut backlog, 0), [Events(1)]);
    }
}
