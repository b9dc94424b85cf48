//! When a batch of one connection has to end, so that the others on its worker have their turn.
//!
//! Every frame counts, also a ping: what it costs does not depend on who it is for.

use std::time::{Duration, Instant};

/// A batch ends after this time, so that the others on the worker do not wait for one busy peer.
const TIME_MAX: Duration = Duration::from_micros(100);

/// After how many frames the clock is read. (It costs a tenth of a small message; a fan-out to thousands costs more
/// than the whole time, and is followed by a look at once.)
const LOOK_EVERY: u64 = 8;

/// One batch, while it is handled.
#[derive(Debug, Default)]
pub(super) struct Batch {
    frames: u64,
    /// When the clock was first read. Most batches are one or a few frames: they read none.
    started: Option<Instant>,
}

impl Batch {
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
