//! Calls with progressive results.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Instant, Sleep};

use crate::call::{Call, CancelOnDrop, FromReply, Parts, TIMEOUT_SLACK};
use crate::error::{CallError, SendError};
use crate::queue::Queue;
use crate::session::{CallAnswer, Part, Ticket};

/// Progressive results of one call that may wait to be read. Beyond, the call is canceled and ends with
/// [`CallError::TooSlow`]: none of them is lost silently.
// A socket that is read once brings more than a thousand short ones.
pub const PARTS_MAX: usize = 16_384;
/// Their bytes.
const PART_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A result of a call that was asked to make progress.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress<T> {
    /// More follows.
    Partial(T),
    /// The last one.
    Final(T),
}

impl<T> Progress<T> {
    /// The result.
    pub fn into_inner(self) -> T {
        match self {
            Progress::Partial(result) | Progress::Final(result) => result,
        }
    }
}

/// A stream of progressive results, and of the final one behind them. The call is sent when it is polled for the first
/// time, and canceled when it is dropped before its end.
#[must_use = "the call is sent when its results are asked for"]
pub struct Progressive<T> {
    stage: Stage,
    result: PhantomData<fn() -> T>,
}

type Beginning = Pin<Box<dyn Future<Output = Result<Running, CallError>> + Send>>;

enum Stage {
    Beginning(Beginning),
    Running(Running),
    Ended,
}

/// A call that was sent.
#[derive(Debug)]
pub(crate) struct Running {
    parts: Arc<Queue<Part>>,
    guard: CancelOnDrop,
    /// For a call with a timeout, which begins anew with each result.
    timeout: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl Running {
    /// Sends a call. With `more`, further input follows. Its timeout covers the waiting for a connection and for room.
    pub(crate) async fn begin(parts: &Parts, more: bool) -> Result<(Self, Ticket), CallError> {
        let shared = parts.client.shared();
        let queue = Arc::new(Queue::new(PARTS_MAX, PART_BYTES_MAX));
        let timer = |timeout| (timeout, Box::pin(tokio::time::sleep(timeout + TIMEOUT_SLACK)));
        let mut timeout = parts.timeout.map(timer);
        let sending = shared.begin(|session| {
            let answer = || CallAnswer::Parts(Arc::clone(&queue));
            session.begin_call(&parts.call, more, PARTS_MAX, answer)
        });
        let ticket = match &mut timeout {
            None => sending.await?,
            Some((timeout, timer)) => tokio::select! {
                biased;
                sent = sending => sent?,
                () = timer => return Err(CallError::Timeout(*timeout)),
            },
        };
        let guard = CancelOnDrop::new(shared, ticket, parts.cancel_mode);
        Ok((Self { parts: queue, guard, timeout }, ticket))
    }

    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Part>, CallError>> {
        if let Poll::Ready(taken) = self.parts.poll_next(context) {
            if let Some((timeout, timer)) = &mut self.timeout {
                timer.as_mut().reset(Instant::now() + *timeout + TIMEOUT_SLACK);
            }
            return Poll::Ready(Ok(taken.map(|taken| taken.item)));
        }
        match &mut self.timeout {
            Some((timeout, timer)) => {
                timer.as_mut().poll(context).map(|()| Err(CallError::Timeout(*timeout)))
            }
            None => Poll::Pending,
        }
    }
}

impl<T> std::fmt::Debug for Progressive<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stage = match self.stage {
            Stage::Beginning(_) => "not sent",
            Stage::Running(_) => "running",
            Stage::Ended => "ended",
        };
        formatter.debug_tuple("Progressive").field(&stage).finish()
    }
}

impl<T> Progressive<T> {
    pub(crate) fn new(call: Call<T>) -> Self {
        let parts = call.into_parts();
        let beginning = async move {
            let parts = parts.map_err(SendError::from)?;
            Ok(Running::begin(&parts, false).await?.0)
        };
        Self { stage: Stage::Beginning(Box::pin(beginning)), result: PhantomData }
    }

    pub(crate) fn running(running: Running) -> Self {
        Self { stage: Stage::Running(running), result: PhantomData }
    }
}

impl<T: FromReply> Progressive<T> {
    /// The next result; `None` after the final one or an error.
    pub async fn next(&mut self) -> Option<Result<Progress<T>, CallError>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Waits for the final result; those before it are dropped.
    ///
    /// # Errors
    /// The call has no result.
    pub async fn last(mut self) -> Result<T, CallError> {
        loop {
            match self.next().await {
                Some(Ok(Progress::Final(result))) => return Ok(result),
                Some(Ok(Progress::Partial(_))) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(CallError::Closed),
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Progress<T>, CallError>>> {
        if let Stage::Beginning(beginning) = &mut self.stage {
            match ready!(beginning.as_mut().poll(context)) {
                Ok(running) => self.stage = Stage::Running(running),
                Err(error) => return self.end(Err(error)),
            }
        }
        let Stage::Running(running) = &mut self.stage else { return Poll::Ready(None) };
        match ready!(running.poll_part(context)) {
            Ok(Some(Part::Partial(reply))) => match T::from_reply(reply) {
                Ok(result) => Poll::Ready(Some(Ok(Progress::Partial(result)))),
                // Who cannot read the results does not want more of them.
                Err(error) => {
                    self.stage = Stage::Ended;
                    Poll::Ready(Some(Err(error.into())))
                }
            },
            Ok(Some(Part::Final(outcome))) => {
                running.guard.disarm();
                self.end(outcome.and_then(|reply| Ok(Progress::Final(T::from_reply(reply)?))))
            }
            Ok(None) => self.end(Err(CallError::Closed)),
            // With the stage the guard is dropped, which cancels the call.
            Err(error) => self.end(Err(error)),
        }
    }

    fn end(
        &mut self,
        outcome: Result<Progress<T>, CallError>,
    ) -> Poll<Option<Result<Progress<T>, CallError>>> {
        self.stage = Stage::Ended;
        Poll::Ready(Some(outcome))
    }
}

impl<T: FromReply> Stream for Progressive<T> {
    type Item = Result<Progress<T>, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}
