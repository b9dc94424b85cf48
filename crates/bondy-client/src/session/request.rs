//! Calls, and the table of other requests that wait for their answer.

use std::sync::Arc;
use std::time::Instant;

use bondy_wamp::id::{PublicationId, RequestId};
use bondy_wamp::message::{self, CallOptions, Cancel, CancelMode, Message, MessageType};
use tokio::sync::oneshot;

use super::registration::RegistrationToken;
use super::subscription::TopicToken;
use super::{CALLS_PENDING_MAX, Phase, REQUESTS_PENDING_MAX, Refusal, Session, SubscriberToken, Violation};
use crate::arguments::{Arguments, Details};
use crate::call::Reply;
use crate::error::{CallError, PublishError, SendError, WampError};
use crate::queue::Queue;

/// A call as it is sent.
#[derive(Debug)]
pub(crate) struct OutgoingCall {
    pub(crate) procedure: String,
    pub(crate) arguments: Arguments,
    pub(crate) receive_progress: bool,
    pub(crate) timeout_ms: u64,
    pub(crate) disclose_me: bool,
    /// `rkey` and what is passed on to the callee.
    pub(crate) attributes: Details,
}

/// One part of the answer of a call with progressive results.
#[derive(Debug)]
pub(crate) enum Part {
    /// More follows.
    Partial(Reply),
    /// The last.
    Final(Result<Reply, CallError>),
}

/// Where the answer of a call goes.
#[derive(Debug)]
pub(crate) enum CallAnswer {
    /// There is only one.
    Once(oneshot::Sender<Result<Reply, CallError>>),
    /// Progressive results come before it.
    Parts(Arc<Queue<Part>>),
}

impl CallAnswer {
    fn finish(self, outcome: Result<Reply, CallError>) {
        match self {
            // Who asked may be gone.
            CallAnswer::Once(sender) => drop(sender.send(outcome)),
            CallAnswer::Parts(queue) => queue.push_last(Part::Final(outcome)),
        }
    }
}

/// Names a call beyond the life of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    generation: u64,
    request: RequestId,
}

/// A call that waits for its answer.
#[derive(Debug)]
pub(super) struct PendingCall {
    answer: CallAnswer,
    /// Progressive results that may wait to be read.
    parts_max: usize,
}

/// Another request that waits for its answer.
#[derive(Debug)]
pub(super) enum Request {
    Publish(oneshot::Sender<Result<PublicationId, PublishError>>),
    Subscribe { topic: TopicToken, subscriber: Option<SubscriberToken> },
    Unsubscribe(Option<oneshot::Sender<Result<(), WampError>>>),
    Register(RegistrationToken),
    Unregister(RegistrationToken),
}

impl Session {
    /// Sends CALL. With `more`, further input follows under the same request.
    pub(crate) fn begin_call(
        &mut self,
        call: &OutgoingCall,
        more: bool,
        parts_max: usize,
        answer: impl FnOnce() -> CallAnswer,
    ) -> Result<Ticket, Refusal> {
        self.check_ready()?;
        if self.calls.len() >= CALLS_PENDING_MAX {
            return Err(SendError::TooMany { what: "calls in flight", max: CALLS_PENDING_MAX }.into());
        }
        let request = self.request_with(|session, request| {
            session.try_send(&call_message(call, &call.arguments, request, more))
        })?;
        self.calls.insert(request, PendingCall { answer: answer(), parts_max });
        Ok(Ticket { generation: self.generation, request })
    }

    /// Sends more input of a progressive call; false if the call has ended.
    pub(crate) fn continue_call(
        &mut self,
        ticket: Ticket,
        call: &OutgoingCall,
        arguments: &Arguments,
        more: bool,
    ) -> Result<bool, Refusal> {
        if !self.is_pending(ticket) {
            return Ok(false);
        }
        match self.check_ready() {
            // Whoever sends input has waited for room, and others may have been faster: one message each.
            Ok(()) | Err(Refusal::NoRoom) => {}
            Err(refusal) => return Err(refusal),
        }
        self.try_send(&call_message(call, arguments, ticket.request, more))?;
        Ok(true)
    }

    /// Does this call wait for its answer?
    pub(crate) fn is_pending(&self, ticket: Ticket) -> bool {
        ticket.generation == self.generation && self.calls.contains_key(&ticket.request)
    }

    /// The caller is not interested any more: forgets the call and tells the router.
    pub(crate) fn abandon_call(&mut self, ticket: Ticket, mode: CancelMode) {
        if self.is_pending(ticket) {
            self.calls.remove(&ticket.request);
            self.send_cancel(ticket.request, mode);
        }
    }

    /// The caller gives up, and those who wait for the results hear of it: answers the call and tells the router.
    pub(crate) fn cancel_call(&mut self, ticket: Ticket, mode: CancelMode) {
        if self.is_pending(ticket)
            && let Some(call) = self.calls.remove(&ticket.request)
        {
            call.answer.finish(Err(CallError::Canceled));
            self.send_cancel(ticket.request, mode);
        }
    }

    fn send_cancel(&mut self, request: RequestId, mode: CancelMode) {
        if self.phase == Phase::Joined {
            self.send(&Message::Cancel(Cancel { request, mode }));
        }
    }

    pub(super) fn handle_result(&mut self, result: &message::Result<'_>, bytes: usize) {
        let request = result.request;
        // A result of a call that was abandoned here still comes sometimes.
        let Some(call) = self.calls.get(&request) else { return };
        if !result.progress {
            if let Some(call) = self.calls.remove(&request) {
                call.answer.finish(Ok(Reply::received(&result.details, result.payload)));
            }
            return;
        }
        // Progress that nobody asked for is no answer.
        let CallAnswer::Parts(queue) = &call.answer else { return };
        let part = Part::Partial(Reply::received(&result.details, result.payload));
        let parts_max = call.parts_max;
        if queue.try_push(part, bytes).is_err()
            && let Some(call) = self.calls.remove(&request)
        {
            call.answer.finish(Err(CallError::TooSlow(parts_max)));
            self.send_cancel(request, CancelMode::KillNoWait);
        }
    }

    pub(super) fn handle_error(&mut self, error: &message::Error<'_>, now: Instant) -> Result<(), Violation> {
        let request = error.request;
        if error.request_type == MessageType::Call {
            if let Some(call) = self.calls.remove(&request) {
                call.answer.finish(Err(WampError::received(&error.error, error.payload).into()));
            }
            return Ok(());
        }
        let Some(pending) = self.take_request(request, error.request_type)? else { return Ok(()) };
        let cause = WampError::received(&error.error, error.payload);
        match pending {
            Request::Publish(sender) => drop(sender.send(Err(cause.into()))),
            Request::Subscribe { topic, subscriber } => self.subscribe_refused(topic, subscriber, &cause),
            Request::Unsubscribe(Some(sender)) => drop(sender.send(Err(cause))),
            Request::Unsubscribe(None) => {}
            Request::Register(token) => self.register_refused(token, cause, now),
            Request::Unregister(token) => self.unregister_answered(token, Err(cause)),
        }
        Ok(())
    }

    /// The request that an answer to one of this type belongs to; nothing if nobody waits for it any more.
    pub(super) fn take_request(
        &mut self,
        request: RequestId,
        request_type: MessageType,
    ) -> Result<Option<Request>, Violation> {
        let Some(pending) = self.requests.get(&request) else { return Ok(None) };
        if pending.message_type() != request_type {
            let text = format!(
                "request {request} is answered as {request_type}, and it is {}",
                pending.message_type()
            );
            return Err(Violation(text));
        }
        Ok(self.requests.remove(&request))
    }

    /// Room for one more request that waits for its answer?
    pub(super) fn check_requests(&self) -> Result<(), Refusal> {
        if self.requests.len() >= REQUESTS_PENDING_MAX {
            let what = "publications, subscriptions and registrations that wait for their answer";
            return Err(SendError::TooMany { what, max: REQUESTS_PENDING_MAX }.into());
        }
        Ok(())
    }

    /// Every call ends with this; how many there were.
    pub(super) fn fail_calls(&mut self, error: &CallError) -> usize {
        let calls = std::mem::take(&mut self.calls);
        let count = calls.len();
        calls.into_values().for_each(|call| call.answer.finish(Err(error.clone())));
        count
    }

    /// The connection is gone, wanted or not. (The tables of subscriptions and registrations answer for theirs.)
    pub(super) fn fail_requests(&mut self, is_wanted: bool) {
        let error = if is_wanted { PublishError::Closed } else { PublishError::Disconnected };
        for request in std::mem::take(&mut self.requests).into_values() {
            match request {
                Request::Publish(sender) => drop(sender.send(Err(error.clone()))),
                // With the session, all that was subscribed is gone.
                Request::Unsubscribe(Some(sender)) => drop(sender.send(Ok(()))),
                Request::Unsubscribe(None)
                | Request::Subscribe { .. }
                | Request::Register(_)
                | Request::Unregister(_) => {}
            }
        }
    }
}

impl Request {
    fn message_type(&self) -> MessageType {
        match self {
            Request::Publish(_) => MessageType::Publish,
            Request::Subscribe { .. } => MessageType::Subscribe,
            Request::Unsubscribe(_) => MessageType::Unsubscribe,
            Request::Register(_) => MessageType::Register,
            Request::Unregister(_) => MessageType::Unregister,
        }
    }
}

fn call_message<'a>(
    call: &'a OutgoingCall,
    arguments: &'a Arguments,
    request: RequestId,
    more: bool,
) -> Message<'a> {
    let options = CallOptions {
        receive_progress: call.receive_progress,
        progress: more,
        timeout_ms: call.timeout_ms,
        disclose_me: call.disclose_me,
        rkey: &[],
        attributes: call.attributes.attributes(),
    };
    let procedure = (&*call.procedure).into();
    Message::Call(message::Call { request, options, procedure, payload: arguments.payload() })
}
