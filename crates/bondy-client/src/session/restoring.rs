//! Asking again for what was there before the connection was lost, and the report about it.

use std::time::Instant;

use super::Session;
use crate::connection::{ConnectionEvent, Restored};

/// A restoration that is not complete.
#[derive(Debug, Default)]
pub(super) struct Restoring {
    /// What has not been answered.
    outstanding: usize,
    report: Restored,
}

impl Session {
    /// Asks for every subscription and registration, all at once. The first connection has nothing to restore.
    pub(super) fn restore(&mut self, now: Instant) {
        if self.generation == 1 {
            return;
        }
        let report = self.restoring.take().unwrap_or_default().report;
        // Counted before anything is asked: what cannot be asked for is answered at once. The one more is this step.
        let outstanding = 1 + self.registrations.entries.len() + self.topics.len();
        self.restoring = Some(Restoring { outstanding, report });
        self.restore_registrations(now);
        self.restore_subscriptions();
        self.restored(|_| {});
    }

    /// One answer has come, for good or ill.
    pub(super) fn restored(&mut self, note: impl FnOnce(&mut Restored)) {
        let Some(restoring) = &mut self.restoring else { return };
        note(&mut restoring.report);
        restoring.outstanding = restoring.outstanding.saturating_sub(1);
        if restoring.outstanding == 0
            && let Some(restoring) = self.restoring.take()
        {
            self.topics.forget_gaps();
            self.tell(&ConnectionEvent::Restored(restoring.report));
        }
    }

    /// The connection is gone. What was restored until now has to be restored again, with a gap that goes on.
    pub(super) fn interrupt_restoring(&mut self, calls_failed: usize) {
        let report = &mut self.restoring.get_or_insert_default().report;
        let calls_failed = report.calls_failed + calls_failed;
        let lost = std::mem::take(&mut report.lost);
        *report = Restored { calls_failed, lost, ..Restored::default() };
    }
}
