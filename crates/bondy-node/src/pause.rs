//! Back-pressure: a sender of calls or results is not read while those that it sends to are congested.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bondy_router::session::Session;

/// How long a sender waits for a congested receiver.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// A sender of calls or results that waits for those who read too slowly.
pub(crate) struct Pause {
    receivers: Vec<Arc<Session>>,
    timeout: Pin<Box<tokio::time::Sleep>>,
}

impl Pause {
    /// Waits for these receivers.
    pub(crate) fn new(mut receivers: Vec<Arc<Session>>) -> Self {
        receivers.sort_unstable_by_key(|session| session.id());
        receivers.dedup_by_key(|session| session.id());
        Self { receivers, timeout: Box::pin(tokio::time::sleep(PAUSE_MAX)) }
    }

    /// Over: all have drained, or the time is up. Those who have not drained are not waited for again until they have.
    pub(crate) fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.receivers.retain(|receiver| {
            let mut state = receiver.lock();
            let is_congested = state.outbox.is_congested();
            if is_congested {
                state.outbox.wake_when_drained(context.waker().clone());
            }
            is_congested
        });
        if self.receivers.is_empty() {
            return Poll::Ready(());
        }
        std::task::ready!(self.timeout.as_mut().poll(context));
        self.receivers.iter().for_each(|receiver| receiver.lock().outbox.mark_stuck());
        Poll::Ready(())
    }
}
