//! When a batch of one connection has to end, so that the others on its worker have their turn.
//!
//! Every frame counts, also a ping: what it costs does not depend on who it is for.

use std::time::{Duration, Instant};

/// A batch ends after this time, so that the others on the worker do not wait for one busy peer.
const TIME_MAX: Duration = Duration::from_micros(100);

/// After how many frames the clock is read. (It costs a tenth of a small message; a fan-out to thousands costs more
/// than the whole time, and is followed by a look at once.)
const LOOK_EVERY: u64 = 8;

/// A batch ends after a message with which it has caused more events than this: each of them costs about 70 ns, also
/// one that is dropped, and at some time a part of a write.
const EVENTS_MAX: u64 = 256;

/// One batch, while it is handled.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Messages handled.
    pub(super) messages: u64,
    /// Bytes of these messages, as they are routed: not compressed.
    pub(super) message_bytes: u64,
    frames: u64,
    /// How many events the worker had counted when the batch began. It publishes its counters between batches only.
    events_before: u64,
    /// When the clock was first read. Most batches are one or a few frames: they read none.
    started: Option<Instant>,
}

impl Batch {
    /// Begins where the worker has counted so many events.
    pub(super) fn begin(events: u64) -> Self {
        Self { events_before: events, ..Self::default() }
    }

    /// Counts a message, besides its frame.
    pub(super) fn count_message(&mut self, bytes: usize) {
        self.messages += 1;
        self.message_bytes += bytes as u64;
    }

    /// Has it caused events? `events`: how many the worker has counted by now. (Whom a batch has touched first does
    /// not tell: while a round of events waits, all its subscribers are listed already.)
    pub(super) fn has_published(&self, events: u64) -> bool {
        events > self.events_before
    }

    /// Has it caused so many events that it has to end?
    pub(super) fn has_many_events(&self, events: u64) -> bool {
        events - self.events_before > EVENTS_MAX
    }

    /// Counts a frame that is handled next, of whatever kind.
    pub(super) fn count_frame(&mut self) {
        self.frames += 1;
    }

    /// Has it taken long enough? To be asked before each frame.
    pub(super) fn is_out_of_time(&mut self) -> bool {
        self.frames > 0
            && self.frames.is_multiple_of(LOOK_EVERY)
            && self.started.get_or_insert_with(Instant::now).elapsed() >= TIME_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_published_if_events_were_counted_since_it_began() {
        let batch = Batch::begin(7);
        assert!(!batch.has_published(7));
        assert!(batch.has_published(8));
    }

    #[test]
    fn a_batch_ends_by_the_events_that_it_has_caused() {
        let batch = Batch::begin(7);
        assert!(!batch.has_many_events(7 + EVENTS_MAX));
        assert!(batch.has_many_events(8 + EVENTS_MAX));
    }

    #[test]
    fn every_eighth_frame_of_whatever_kind_is_followed_by_a_look_at_the_clock() {
        let mut batch = Batch::default();
        for frame in 0..LOOK_EVERY {
            assert!(!batch.is_out_of_time());
            assert_eq!(batch.started, None, "no look before frame {frame}");
            batch.count_frame();
        }
        batch.started = Instant::now().checked_sub(TIME_MAX);
        assert!(batch.is_out_of_time());
        batch.count_frame();
        assert!(!batch.is_out_of_time(), "the clock is not read for each frame");
    }
}
