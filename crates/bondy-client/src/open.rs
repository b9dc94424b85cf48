//! Calls whose input comes in parts (progressive call invocations).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;

use crate::arguments::{Arguments, ToArguments};
use crate::call::{Call, FromReply, Parts};
use crate::error::{CallError, SendError};
use crate::progressive::{Progressive, Running};
use crate::session::{Refusal, Ticket};
use crate::shared::RoomWait;

/// An open call: input goes in, results come out. It is canceled when its results are dropped before the last.
#[must_use = "dropping an open call cancels it"]
#[derive(Debug)]
pub struct Open<T> {
    /// What goes in.
    pub inputs: Inputs,
    /// What comes out.
    pub results: Progressive<T>,
}

impl<T: FromReply> Open<T> {
    pub(crate) async fn begin(call: Call<T>) -> Result<Self, CallError> {
        let parts = call.into_parts().map_err(SendError::from)?;
        let (running, ticket) = Running::begin(&parts, true).await?;
        let results = Progressive::running(running);
        Ok(Self { inputs: Inputs { parts, ticket, is_open: true, room: RoomWait::default() }, results })
    }

    /// Sends another input.
    ///
    /// # Errors
    /// The call has ended, or the input cannot be sent.
    pub async fn send<A: ToArguments>(&mut self, input: A) -> Result<(), CallError> {
        self.inputs.send(input).await
    }

    /// Sends the last input and waits for the final result; progressive ones are dropped.
    ///
    /// # Errors
    /// The call has no result, or the input cannot be sent.
    pub async fn finish<A: ToArguments>(mut self, input: A) -> Result<T, CallError> {
        // Where the call has ended already, its result says why.
        match self.inputs.finish(input).await {
            Ok(()) | Err(CallError::Canceled) => self.results.last().await,
            Err(error) => Err(error),
        }
    }
}

/// The input of an open call, as a sink; closing it sends an empty last input. Dropping it before the last input
/// cancels the call, whose results end with [`CallError::Canceled`]: input that was cut off must not look complete.
#[derive(Debug)]
pub struct Inputs {
    parts: Parts,
    ticket: Ticket,
    is_open: bool,
    room: RoomWait,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Parts").field("call", &self.call).finish_non_exhaustive()
    }
}

impl Inputs {
    /// Sends another input.
    ///
    /// # Errors
    /// The call has ended ([`CallError::Canceled`]; its results say how), or the input cannot be sent.
    pub async fn send<A: ToArguments>(&mut self, input: A) -> Result<(), CallError> {
        self.send_part(input, true).await
    }

    /// Sends the last input.
    ///
    /// # Errors
    /// As for [`Inputs::send`].
    pub async fn finish<A: ToArguments>(&mut self, input: A) -> Result<(), CallError> {
        self.send_part(input, false).await
    }

    async fn send_part<A: ToArguments>(&mut self, input: A, more: bool) -> Result<(), CallError> {
        let arguments = self.encode(&input)?;
        std::future::poll_fn(|context| self.poll_room(context)).await?;
        self.append(&arguments, more)
    }

    fn encode<A: ToArguments + ?Sized>(&self, input: &A) -> Result<Arguments, CallError> {
        let serializer = self.parts.client.shared().serializer();
        Ok(input.to_arguments(serializer).map_err(SendError::from)?)
    }

    /// Ready once there is room. The call may have ended meanwhile.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        if !self.is_open {
            return Poll::Ready(Err(CallError::Canceled));
        }
        ready!(self.room.poll(self.parts.client.shared(), context));
        Poll::Ready(Ok(()))
    }

    fn append(&mut self, arguments: &Arguments, more: bool) -> Result<(), CallError> {
        let (ticket, call) = (self.ticket, &self.parts.call);
        let shared = self.parts.client.shared();
        match shared.with(|session| session.continue_call(ticket, call, arguments, more)) {
            Ok(true) => {
                self.is_open = more;
                Ok(())
            }
            Ok(false) => {
                self.is_open = false;
                Err(CallError::Canceled)
            }
            Err(refusal) => Err(refused(&refusal)),
        }
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        if self.is_open {
            let (ticket, mode) = (self.ticket, self.parts.cancel_mode);
            self.parts.client.shared().with(|session| session.cancel_call(ticket, mode));
        }
    }
}

fn refused(refusal: &Refusal) -> CallError {
    match refusal {
        Refusal::Failed(error) => error.clone().into(),
        Refusal::NotJoined | Refusal::NoRoom => CallError::Disconnected,
    }
}

impl<A: ToArguments> Sink<A> for Inputs {
    type Error = CallError;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.poll_room(context)
    }

    fn start_send(mut self: Pin<&mut Self>, input: A) -> Result<(), CallError> {
        let arguments = self.encode(&input)?;
        self.append(&arguments, true)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        // The background task writes what was appended.
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        if !self.is_open {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_room(context))?;
        match self.append(&Arguments::none(), false) {
            // A call that has ended takes no more input, which is what was wanted.
            Ok(()) | Err(CallError::Canceled) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
