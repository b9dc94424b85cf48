//! The handle of a client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::watch;

use crate::builder::Builder;
use crate::call::Call;
use crate::connection::{ConnectionEvent, ConnectionState, SessionDetails};
use crate::error::CallError;
use crate::meta::Meta;
use crate::publish::Publish;
use crate::queue::{Queue, Taken};
use crate::register::Register;
use crate::shared::Shared;
use crate::subscribe::Subscribe;
use crate::testament::{Testament, TestamentScope};

/// A client: a session with a router that outlives its connections.
///
/// Clones are handles of the same client. It says GOODBYE and ends when it is [closed](Client::close), or when the last
/// handle is dropped; registrations and subscriptions hold one each.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

/// What all clones share; its end is the client's.
#[derive(Debug)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.request_close();
    }
}

impl Client {
    /// Begins to describe a client.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let handle = Arc::new(Handle { shared });
        handle.shared.set_handle(Arc::downgrade(&handle));
        Self { handle }
    }

    pub(crate) fn of(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Calls a procedure. The type of the result is whatever the call is awaited as.
    pub fn call<T>(&self, procedure: impl Into<String>) -> Call<T> {
        Call::new(self.clone(), procedure.into())
    }

    /// Registers a procedure.
    pub fn register(&self, procedure: impl Into<String>) -> Register {
        Register::new(self.clone(), procedure.into())
    }

    /// Subscribes to a topic.
    pub fn subscribe(&self, topic: impl Into<String>) -> Subscribe {
        Subscribe::new(self.clone(), topic.into())
    }

    /// Publishes an event.
    pub fn publish(&self, topic: impl Into<String>) -> Publish {
        Publish::new(self.clone(), topic.into())
    }

    /// Leaves a testament with the router: an event that it publishes when this session has ended.
    pub fn add_testament(&self, topic: impl Into<String>) -> Testament {
        Testament::new(self.clone(), topic.into())
    }

    /// Takes back the testaments of one scope.
    ///
    /// # Errors
    /// As for any call.
    pub async fn flush_testaments(&self, scope: TestamentScope) -> Result<(), CallError> {
        self.call("wamp.session.flush_testaments").kwarg("scope", scope.as_str()).await
    }

    /// Questions to the router about its realm.
    pub fn meta(&self) -> Meta {
        Meta::new(self.clone())
    }

    /// The session: the present one, or the last while there is none.
    pub fn session(&self) -> Arc<SessionDetails> {
        self.shared()
            .with(|session| session.details())
            .expect("there is no handle before the first session is joined")
    }

    /// Whether there is a session at this moment, as a value to watch.
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.shared().state()
    }

    /// What happens to the connection from now on. A stream holds 256 events; when it is not read the oldest go, and
    /// [`ConnectionEvent::Missed`] says how many. At most 64 such streams; further ones end at once.
    pub fn events(&self) -> ConnectionEvents {
        let queue = self.shared().with(|session| session.observe());
        ConnectionEvents { queue, next: None }
    }

    /// Says GOODBYE, and waits until the connection is closed, at most twice the
    /// [close timeout](Builder::close_timeout) and a second. Calls in flight fail with
    /// [`CallError::Closed`]; streams and registrations end.
    pub async fn close(&self) {
        self.shared().request_close();
        let mut state = self.state();
        let closed = state.wait_for(|state| matches!(state, ConnectionState::Closed(_)));
        // The background task waits as long for the answer, and as long for the closing.
        let longest = self.shared().close_timeout() * 2 + Duration::from_secs(1);
        let _ = tokio::time::timeout(longest, closed).await;
    }
}

/// What happens to a client's connection.
#[must_use = "dropping the stream ends it"]
#[derive(Debug)]
pub struct ConnectionEvents {
    queue: Arc<Queue<ConnectionEvent>>,
    /// The event behind a [`ConnectionEvent::Missed`].
    next: Option<ConnectionEvent>,
}

impl ConnectionEvents {
    /// The next event; `None` once the client is closed and everything was read.
    pub async fn next(&mut self) -> Option<ConnectionEvent> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<ConnectionEvent>> {
        if let Some(event) = self.next.take() {
            return Poll::Ready(Some(event));
        }
        self.queue.poll_next(context).map(|taken| match taken? {
            Taken { item, lost: 0 } => Some(item),
            Taken { item, lost } => {
                self.next = Some(item);
                Some(ConnectionEvent::Missed(lost))
            }
        })
    }
}

impl Stream for ConnectionEvents {
    type Item = ConnectionEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ConnectionEvent>> {
        self.poll(context)
    }
}
