//! Registrations of async functions.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bondy_wamp::uri::MatchPolicy;
use tokio::sync::{oneshot, watch};

use crate::arguments::{Arguments, FromArguments, ToArguments};
use crate::client::Client;
use crate::connection::{EndReason, WhyEnded};
use crate::error::{RegisterError, WampError};
use crate::invocation::InvocationContext;
use crate::policy::bounded;
use crate::session::{Answering, NewRegistration, Procedure, RegistrationToken};

/// How long a handler may go on after it was told to stop, unless the registration says otherwise.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(1);

/// A registration that is being put together.
#[must_use = "a procedure is registered when `serve` is awaited"]
#[derive(Debug)]
pub struct Register {
    client: Client,
    procedure: String,
    match_policy: MatchPolicy,
    invoke: Option<String>,
    concurrency: u32,
    force_reregister: bool,
    disclose_caller: bool,
    forward_timeout: bool,
    grace: Duration,
}

impl Register {
    pub(crate) fn new(client: Client, procedure: String) -> Self {
        Self {
            client,
            procedure,
            match_policy: MatchPolicy::Exact,
            invoke: None,
            concurrency: 0,
            force_reregister: false,
            disclose_caller: false,
            forward_timeout: false,
            grace: GRACE_DEFAULT,
        }
    }

    /// How the procedure is matched: exactly, unless this is called.
    pub fn match_policy(mut self, policy: MatchPolicy) -> Self {
        self.match_policy = policy;
        self
    }

    /// How the router chooses among several callees: `single` (the default, there is only one), `roundrobin`, `random`,
    /// `first`, `last`, and with a router of this project `least_loaded` and `consistent_hash`.
    pub fn invoke(mut self, policy: impl Into<String>) -> Self {
        self.invoke = Some(policy.into());
        self
    }

    /// How many invocations run at once; 0, the default, is any number. The router is told, and a router that does not
    /// keep to it finds 1,024 more waiting here, and then `wamp.error.unavailable`. It bounds the answers that wait to
    /// be written, too: with 0 there are as many as the router has invocations pending.
    pub fn concurrency(mut self, invocations: u32) -> Self {
        self.concurrency = invocations;
        self
    }

    /// Takes the procedure over from its present callees.
    pub fn force_reregister(mut self) -> Self {
        self.force_reregister = true;
        self
    }

    /// Asks for callers to be disclosed.
    pub fn disclose_caller(mut self) -> Self {
        self.disclose_caller = true;
        self
    }

    /// Leaves timeouts of calls to this side, see [`InvocationContext::deadline`].
    pub fn forward_timeout(mut self) -> Self {
        self.forward_timeout = true;
        self
    }

    /// How long a handler may go on after it was told to stop, before it is dropped; 1 s unless this is called.
    ///
    /// It is told to stop when its caller cancels the call, when its deadline is over, and when the connection is lost.
    /// A caller that waits (`kill`) gets what the handler answers in that time, else `wamp.error.canceled`.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = bounded(grace);
        self
    }

    /// Serves the procedure with an async function: of the arguments, as any type that `serde` can make (see
    /// [`Arguments::decode`]) or raw [`Arguments`], and of the [`InvocationContext`]. It answers with any type that
    /// `serde` can write, or raw [`Arguments`]; errors are whatever becomes a [`WampError`].
    ///
    /// Each invocation runs in a task of its own; which of two that came one after the other gets further first is not
    /// promised, except with a [`concurrency`](Self::concurrency) of 1. Arguments of another type are answered with
    /// `wamp.error.invalid_argument`, a panic with `wamp.error.runtime_error`.
    pub fn serve<A, F, R, T, E>(self, function: F) -> Serve
    where
        A: FromArguments + Send + 'static,
        F: Fn(A, InvocationContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: ToArguments + Send + 'static,
        E: Into<WampError> + Send + 'static,
    {
        let handler = Arc::new(Handler { function: Arc::new(function), argument: PhantomData::<fn(A)> });
        let new = NewRegistration {
            procedure: self.procedure.into(),
            match_policy: self.match_policy,
            invoke: self.invoke,
            concurrency: self.concurrency,
            force_reregister: self.force_reregister,
            disclose_caller: self.disclose_caller,
            forward_timeout: self.forward_timeout,
            grace: self.grace,
            handler,
        };
        Serve { client: self.client, new: Arc::new(new) }
    }
}

struct Handler<A, F> {
    function: Arc<F>,
    argument: PhantomData<fn(A)>,
}

impl<A, F, R, T, E> Procedure for Handler<A, F>
where
    A: FromArguments + Send + 'static,
    F: Fn(A, InvocationContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<T, E>> + Send + 'static,
    T: ToArguments + Send + 'static,
    E: Into<WampError> + Send + 'static,
{
    fn begin(&self, arguments: Arguments, context: InvocationContext) -> Answering {
        let serializer = arguments.payload().serializer;
        let arguments = match A::from_arguments(arguments) {
            Ok(arguments) => arguments,
            Err(error) => return Box::pin(std::future::ready(Err(error.into()))),
        };
        let answer = (self.function)(arguments, context);
        Box::pin(async move {
            match answer.await {
                Ok(result) => Ok(result.to_arguments(serializer)?),
                Err(error) => Err(error.into()),
            }
        })
    }
}

/// A procedure that is to be registered. Awaiting it asks the router.
#[must_use = "a procedure is registered when this is awaited"]
#[derive(Debug)]
pub struct Serve {
    client: Client,
    new: Arc<NewRegistration>,
}

impl Serve {
    async fn run(self) -> Result<Registration, RegisterError> {
        let new = self.new;
        let (token, confirmed, ended) = self.client.shared().begin(|session| session.register(&new)).await?;
        // From here on, dropping takes the registration back.
        let procedure = Arc::clone(&new.procedure);
        let registration = Registration { client: self.client, procedure, token: Some(token), ended };
        // The session answers every request that it forgets.
        confirmed.await.unwrap_or(Err(RegisterError::Closed)).map(|()| registration)
    }
}

impl IntoFuture for Serve {
    type Output = Result<Registration, RegisterError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// A registered procedure. Dropping it unregisters; invocations that run go on.
///
/// It outlives lost connections: see [`ConnectionEvent::Restored`](crate::ConnectionEvent::Restored).
#[must_use = "dropping a registration unregisters; see `detach`"]
#[derive(Debug)]
pub struct Registration {
    client: Client,
    procedure: Arc<str>,
    token: Option<RegistrationToken>,
    ended: watch::Receiver<Option<WhyEnded>>,
}

impl Registration {
    /// The procedure or pattern.
    pub fn procedure(&self) -> &str {
        &self.procedure
    }

    /// Keeps the procedure registered as long as the client lives.
    pub fn detach(mut self) {
        self.token = None;
    }

    /// Unregisters and waits for the router's answer.
    ///
    /// # Errors
    /// The router answered with ERROR: it did not know the registration any more.
    pub async fn unregister(mut self) -> Result<(), WampError> {
        match self.leave() {
            // Without a connection there is no registration.
            Some(answer) => answer.await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }

    /// Waits until the procedure is not registered any more, and says why.
    pub async fn closed(&self) -> WhyEnded {
        let mut ended = self.ended.clone();
        let why = match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone(),
            Err(_) => None,
        };
        why.unwrap_or(WhyEnded::Closed(EndReason::Closed))
    }

    fn leave(&mut self) -> Option<oneshot::Receiver<Result<(), WampError>>> {
        let token = self.token.take()?;
        self.client.shared().with(|session| session.unregister(token))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.leave();
    }
}
