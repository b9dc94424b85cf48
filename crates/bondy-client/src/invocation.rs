//! Running a procedure's handler, and what it can ask and tell while it runs.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bondy_wamp::id::RequestId;
use futures_core::Stream;
use tokio::time::Instant;

use crate::arguments::{Arguments, Details, FromArguments, ToArguments};
use crate::client::Client;
use crate::error::{DecodeError, SendError};
use crate::identity::Identity;
use crate::queue::Queue;
use crate::session::{Cancellation, Finished, Invocation, RegistrationToken, Signal};
use crate::shared::Shared;

/// What a handler knows about the invocation it serves.
#[derive(Clone, Debug)]
pub struct InvocationContext {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    generation: u64,
    request: RequestId,
    procedure: Arc<str>,
    caller: Option<Identity>,
    trustlevel: Option<u64>,
    details: Details,
    receive_progress: bool,
    deadline: Option<Instant>,
    signal: Arc<Signal>,
    /// Until they are asked for: a queue has one reader.
    inputs: Mutex<Option<Arc<Queue<Arguments>>>>,
}

impl InvocationContext {
    /// The procedure that was called: for a pattern the URI that matched it.
    pub fn procedure(&self) -> &str {
        &self.inner.procedure
    }

    /// The id of the invocation, for logs.
    pub fn request(&self) -> RequestId {
        self.inner.request
    }

    /// Who calls, where that is disclosed.
    pub fn caller(&self) -> Option<&Identity> {
        self.inner.caller.as_ref()
    }

    /// The caller's trust level, where the router gives one.
    pub fn trustlevel(&self) -> Option<u64> {
        self.inner.trustlevel
    }

    /// What the caller passed on besides the arguments.
    pub fn details(&self) -> &Details {
        &self.inner.details
    }

    /// When the caller's patience ends, where the registration asked to be told (`forward_timeout`). The handler is
    /// told to stop then, and the caller gets `wamp.error.timeout`.
    pub fn deadline(&self) -> Option<std::time::Instant> {
        self.inner.deadline.map(Instant::into_std)
    }

    /// Does the caller take progressive results?
    pub fn takes_progress(&self) -> bool {
        self.inner.receive_progress
    }

    /// Sends a progressive result, waiting for room if need be. False, and nothing is sent, where the caller takes
    /// none or does not wait any more.
    ///
    /// # Errors
    /// The value cannot be encoded, or is larger than the router takes.
    pub async fn progress<T: ToArguments>(&self, result: T) -> Result<bool, SendError> {
        let inner = &self.inner;
        if !inner.receive_progress || self.is_canceled() {
            return Ok(false);
        }
        let arguments = result.to_arguments(inner.shared.serializer())?;
        let (generation, request) = (inner.generation, inner.request);
        match inner.shared.begin(|session| session.progress(generation, request, &arguments)).await {
            Err(SendError::Closed | SendError::NotConnected) => Ok(false),
            sent => sent,
        }
    }

    /// Was the handler told to stop: by the caller, by its deadline, or because the connection is gone?
    pub fn is_canceled(&self) -> bool {
        self.inner.signal.cancellation().is_some()
    }

    /// Waits until the handler is told to stop. From then on it has the registration's grace to end in an orderly
    /// way, after which it is dropped.
    pub async fn canceled(&self) {
        self.inner.signal.canceled().await;
    }

    /// Further inputs of a call whose input comes in parts; none for other calls. The first part is the handler's
    /// argument. They are there for the first who asks; any further stream is empty.
    pub fn input<T: FromArguments>(&self) -> InputStream<T> {
        let inputs = self.inner.inputs.lock().unwrap_or_else(PoisonError::into_inner).take();
        InputStream { inputs, input: PhantomData }
    }

    /// The client that serves this invocation, as long as the application holds a handle of it. (A handler that owned
    /// one would keep its own client alive.)
    pub fn client(&self) -> Option<Client> {
        self.inner.shared.handle().map(Client::of)
    }
}

/// Further inputs of an invocation.
#[derive(Debug)]
pub struct InputStream<T> {
    inputs: Option<Arc<Queue<Arguments>>>,
    input: PhantomData<fn() -> T>,
}

impl<T: FromArguments> InputStream<T> {
    /// The next input; `None` after the last one, or when the call has ended.
    pub async fn next(&mut self) -> Option<Result<T, DecodeError>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, DecodeError>>> {
        match &self.inputs {
            Some(inputs) => inputs.poll_next(context).map(|taken| Some(T::from_arguments(taken?.item))),
            None => Poll::Ready(None),
        }
    }
}

impl<T: FromArguments> Stream for InputStream<T> {
    type Item = Result<T, DecodeError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

/// Runs a handler to its end, or until it was told to stop and its grace is over.
pub(crate) async fn run(shared: Arc<Shared>, invocation: Box<Invocation>) {
    let mut guard = Guard {
        shared: Arc::clone(&shared),
        generation: invocation.generation,
        request: invocation.request,
        registration: invocation.registration,
        finished: Some(Finished::Panicked),
    };
    let deadline = invocation.timeout.map(|timeout| Instant::from_std(invocation.received) + timeout);
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        guard.finished = Some(Finished::Stopped(Cancellation::Timeout));
        return;
    }
    let (signal, registered) = (Arc::clone(&invocation.signal), Arc::clone(&invocation.registered));
    let grace = registered.grace;
    let context = InvocationContext {
        inner: Arc::new(Inner {
            shared: Arc::clone(&shared),
            generation: invocation.generation,
            request: invocation.request,
            procedure: invocation.procedure,
            caller: invocation.caller,
            trustlevel: invocation.trustlevel,
            details: invocation.details,
            receive_progress: invocation.receive_progress,
            deadline,
            signal: Arc::clone(&signal),
            inputs: Mutex::new(invocation.inputs),
        }),
    };
    let running = registered.handler.begin(invocation.arguments, context);
    guard.finished = Some(tokio::select! {
        biased;
        answer = running => Finished::Answered(answer),
        cancellation = stopped(&signal, deadline, grace) => Finished::Stopped(cancellation),
    });
    // As requests do, answers wait for room: meanwhile the invocation counts as running. One that was told to stop is
    // answered at once, if at all.
    tokio::select! {
        biased;
        () = shared.room() => {}
        _ = signal.canceled() => {}
    }
}

/// Resolves when a handler that was told to stop has had its grace.
async fn stopped(signal: &Signal, deadline: Option<Instant>, grace: Duration) -> Cancellation {
    let cancellation = match deadline {
        None => signal.canceled().await,
        Some(deadline) => match tokio::time::timeout_at(deadline, signal.canceled()).await {
            Ok(cancellation) => cancellation,
            Err(_) => {
                signal.cancel(Cancellation::Timeout);
                Cancellation::Timeout
            }
        },
    };
    tokio::time::sleep(grace).await;
    cancellation
}

/// Answers when it is dropped, also by a panic.
struct Guard {
    shared: Arc<Shared>,
    generation: u64,
    request: RequestId,
    registration: RegistrationToken,
    finished: Option<Finished>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(finished) = self.finished.take() {
            let (generation, request, registration) = (self.generation, self.request, self.registration);
            self.shared.with(|session| session.finish(generation, request, registration, finished));
        }
    }
}
