//! YIELD and ERROR: how the answer to an invocation reaches its caller, and how a call goes to another callee.

use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::feature::Feature;
use bondy_wamp::id::{RequestId, SessionId};
use bondy_wamp::message::{self, Error, MessageType, Yield};
use bondy_wamp::mutation::mutated;
use bondy_wamp::uri;

use crate::realm::{Flow, Realm};
use crate::session::{InvocationEntry, Invoked, Phase, Refusal, Reroute, Session};
use crate::sync::{Arc, Ordering};
use crate::turn::{EncodedTail, Turn};

use super::{Placement, Refused, SHARED_BYTES_MIN, Work, abandon, lookup};

impl Realm {
    /// YIELD.
    pub(crate) fn yielded(&self, callee: &Arc<Session>, answer: &Yield<'_>, turn: &mut Turn) -> Flow {
        let id = answer.request.0;
        if answer.options.has_passthru() && !callee.features().has(Feature::CalleePassthru) {
            return self.violate(callee, "YIELD with ppt_scheme without payload_passthru_mode", turn);
        }
        if answer.progress {
            return self.progressed(callee, answer, turn);
        }
        let entry = match self.answer_1_callee(callee, id, turn) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Flow::Done,
            Err(text) => return self.violate(callee, &text, turn),
        };
        if let Err(refusal) = check_passthru(answer, &entry.caller) {
            self.end_call(&entry.caller, entry.request, entry.serial, &refusal, turn);
            return Flow::Done;
        }
        self.answer_2_caller(&entry, MessageType::Result, turn, |caller, turn| {
            encode_result(caller, answer, turn)
        });
        Flow::Done
    }

    /// ERROR from a callee.
    pub(crate) fn failed(&self, callee: &Arc<Session>, error: &Error<'_>, turn: &mut Turn) -> Flow {
        if error.request_type != MessageType::Invocation {
            let text = format!("ERROR for a request of type {:?}", error.request_type);
            return self.violate(callee, &text, turn);
        }
        if error.details.has_passthru() && !callee.features().has(Feature::CalleePassthru) {
            return self.violate(callee, "ERROR with ppt_scheme without payload_passthru_mode", turn);
        }
        let entry = match self.answer_1_callee(callee, error.request.0, turn) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Flow::Done,
            Err(text) => return self.violate(callee, &text, turn),
        };
        entry.registration.stats.errors.fetch_add(1, Ordering::Relaxed);
        if error.error == ErrorUri::Unavailable.as_str() && callee.features().has(Feature::CalleeReroute) {
            self.reroute(&entry, callee.id(), turn);
            return Flow::Done;
        }
        if !uri::is_valid(&error.error, uri::UriRule::Loose) {
            let text = format!("the callee's error {:?} is not a valid URI", uri::shown(&error.error));
            let refusal = Refusal::new(ErrorUri::InvalidUri, text);
            self.end_call(&entry.caller, entry.request, entry.serial, &refusal, turn);
            return Flow::Done;
        }
        self.answer_2_caller(&entry, MessageType::Error, turn, |caller, turn| {
            let answer = Error { request_type: MessageType::Call, request: entry.request, ..error.clone() };
            let elements = answer.elements();
            let tail =
                turn.encode(caller.serializer(), SHARED_BYTES_MIN, |encoder| answer.encode_tail(encoder))?;
            Ok((elements, tail))
        });
        Flow::Done
    }

    /// A callee's answer that cannot be passed on: the call ends with this error, the session lives.
    pub(crate) fn refuse_answer(
        &self,
        callee: &Arc<Session>,
        id: RequestId,
        refusal: &Refusal,
        turn: &mut Turn,
    ) -> Flow {
        match self.answer_1_callee(callee, id.0, turn) {
            Ok(Some(entry)) => {
                self.end_call(&entry.caller, entry.request, entry.serial, refusal, turn);
                Flow::Done
            }
            Ok(None) => Flow::Done,
            Err(text) => self.violate(callee, &text, turn),
        }
    }

    /// A final answer, at the callee: never given: a violation; absent: it ended before; else remove it.
    fn answer_1_callee(
        &self,
        callee: &Arc<Session>,
        id: u64,
        turn: &mut Turn,
    ) -> Result<Option<Invoked>, String> {
        let mut state = callee.lock();
        let entry = state.remove_invocation(id);
        if entry.is_none() && !state.is_closed && !state.was_given(id) {
            return Err(format!("an answer to invocation {id}, which was never made"));
        }
        drop(state);
        let invoked = entry.and_then(InvocationEntry::into_invoked);
        turn.stats.answers_late += u64::from(invoked.is_none());
        Ok(invoked)
    }

    /// A final answer, at the caller: rule 1. Over the caller's limits it becomes a short ERROR.
    fn answer_2_caller(
        &self,
        entry: &Invoked,
        message_type: MessageType,
        turn: &mut Turn,
        encode: impl FnOnce(
            &Session,
            &mut Turn,
        ) -> Result<(usize, EncodedTail), bondy_wamp::serializer::TranscodeError>,
    ) {
        let caller = &entry.caller;
        let (elements, tail) = match encode(caller, turn) {
            Ok(encoded) => encoded,
            Err(error) => {
                let refusal =
                    Refusal::new(ErrorUri::InvalidArgument, format!("the callee's answer: {error}"));
                return self.end_call(caller, entry.request, entry.serial, &refusal, turn);
            }
        };
        let first = match message_type {
            MessageType::Error => MessageType::Call as u64,
            _ => entry.request.0,
        };
        let head = message::head(caller.serializer(), elements, message_type, first);
        let mut state = caller.lock();
        if state.remove_call(entry.request, entry.serial).is_none() {
            turn.stats.answers_late += 1;
            drop(state);
            turn.recycle(tail);
            return;
        }
        let is_admitted = state.outbox.has_room() && !state.outbox.is_too_large(head.len() + tail.len());
        if !is_admitted {
            turn.stats.calls_failed += 1;
            let refusal = Refusal::new(
                ErrorUri::PayloadSizeExceeded,
                "the answer is larger than the caller takes at present",
            );
            state.append_error(caller, MessageType::Call, entry.request, &refusal, turn);
        } else {
            match message_type {
                MessageType::Error => turn.stats.calls_failed += 1,
                _ => turn.stats.calls_succeeded += 1,
            }
            state.append(caller, &head, tail.as_tail(), turn);
        }
        let is_congested = state.outbox.is_congested();
        drop(state);
        if is_congested {
            turn.congested.push(Arc::clone(caller));
        }
        turn.recycle(tail);
    }

    /// YIELD with progress: look the invocation up; then at the caller append and push the deadline on.
    fn progressed(&self, callee: &Arc<Session>, answer: &Yield<'_>, turn: &mut Turn) -> Flow {
        let id = answer.request.0;
        let Some(entry) = lookup(callee, id) else {
            let state = callee.lock();
            if state.is_closed || state.was_given(id) {
                return Flow::Done;
            }
            drop(state);
            let text = format!("a progressive answer to invocation {id}, which was never made");
            return self.violate(callee, &text, turn);
        };
        // The caller did not ask for progress.
        if !entry.wants_progress {
            return Flow::Done;
        }
        let caller = &entry.caller;
        if let Err(refusal) = check_passthru(answer, caller) {
            // A call that has ended leaves its callee alone: it was interrupted then, or need not be.
            if caller.has_call(entry.request, entry.serial) {
                self.end_call(caller, entry.request, entry.serial, &refusal, turn);
                abandon(callee, id, turn);
            }
            return Flow::Done;
        }
        let refused = match encode_result(caller, answer, turn) {
            Ok((elements, tail)) => {
                let refused = append_progress(&entry, elements, &tail, turn);
                turn.recycle(tail);
                refused
            }
            Err(error) => {
                Some(Refusal::new(ErrorUri::InvalidArgument, format!("the callee's answer: {error}")))
            }
        };
        if let Some(refusal) = refused {
            self.end_call(caller, entry.request, entry.serial, &refusal, turn);
            abandon(callee, id, turn);
        }
        Flow::Done
    }

    /// `wamp.error.unavailable`, at the caller: back to *placing* with the next attempt, and ask those not asked yet.
    fn reroute(&self, entry: &Invoked, callee: SessionId, turn: &mut Turn) {
        let caller = &entry.caller;
        let (attempt, wants_progress, kept) = match reroute_2_caller(entry, callee) {
            Rerouted::Gone => {
                turn.stats.answers_late += 1;
                return;
            }
            Rerouted::Ends(error, text) => {
                let refusal = Refusal::new(error, text);
                return self.end_call(caller, entry.request, entry.serial, &refusal, turn);
            }
            Rerouted::Again { attempt, wants_progress, kept } => (attempt, wants_progress, kept),
        };
        turn.stats.calls_rerouted += 1;
        let attributes = kept.attributes.as_attributes();
        let work = Work {
            procedure: &kept.procedure,
            attributes: &attributes,
            payload: kept.payload.as_payload(),
            rkey: &kept.rkey,
            timeout_ms: kept.timeout_ms,
            has_more_input: false,
            wants_progress,
            discloses: kept.discloses,
        };
        let placement = Placement {
            caller,
            request: entry.request,
            serial: entry.serial,
            attempt,
            refused: kept.asked.clone(),
            refusal: Some(Refused::Unavailable),
        };
        self.return_kept(entry, attempt, &kept);
        let route = self.procedure_route(work.procedure);
        self.place(&work, placement, route, turn);
    }

    /// What was kept goes back to the entry, for the next callee may be unavailable too.
    fn return_kept(&self, entry: &Invoked, attempt: u32, kept: &Arc<Reroute>) {
        let mut state = entry.caller.lock();
        if let Some(call) = state.call_mut(entry.request, entry.serial).filter(|call| call.attempt == attempt)
        {
            call.reroute = Some(Arc::clone(kept));
        }
    }
}

fn check_passthru(answer: &Yield<'_>, caller: &Session) -> Result<(), Refusal> {
    if answer.options.has_passthru() && !caller.features().has(Feature::CallerPassthru) {
        let text = "the result passes through, the caller does not take that";
        return Err(Refusal::new(ErrorUri::FeatureNotSupported, text));
    }
    Ok(())
}

fn encode_result(
    caller: &Session,
    answer: &Yield<'_>,
    turn: &mut Turn,
) -> Result<(usize, EncodedTail), bondy_wamp::serializer::TranscodeError> {
    let result = message::Result {
        request: RequestId(0),
        progress: answer.progress,
        details: answer.options.clone(),
        payload: answer.payload,
    };
    let tail = turn.encode(caller.serializer(), SHARED_BYTES_MIN, |encoder| result.encode_tail(encoder))?;
    Ok((result.elements(), tail))
}

/// Returns why the call has to end.
fn append_progress(entry: &Invoked, elements: usize, tail: &EncodedTail, turn: &mut Turn) -> Option<Refusal> {
    let caller = &entry.caller;
    let head = message::head(caller.serializer(), elements, MessageType::Result, entry.request.0);
    let mut state = caller.lock();
    let has_room = state.outbox.has_room() && !state.outbox.is_too_large(head.len() + tail.len());
    if state.call(entry.request, entry.serial).is_none() && mutated("progress_not_looked_up") {
        if !state.is_closed {
            state.append(caller, &head, tail.as_tail(), turn);
        }
        return None;
    }
    let call = state.call_mut(entry.request, entry.serial)?;
    if !has_room {
        return Some(Refusal::new(
            ErrorUri::PayloadSizeExceeded,
            "the progressive result is larger than the caller takes at present",
        ));
    }
    call.has_progressed = true;
    if call.timeout_ns > 0 {
        call.deadline_ns = turn.now.monotonic_ns.saturating_add(call.timeout_ns);
    }
    state.append(caller, &head, tail.as_tail(), turn);
    if state.outbox.is_congested() {
        turn.congested.push(Arc::clone(caller));
    }
    None
}

/// What the caller's section says about rerouting.
enum Rerouted {
    Gone,
    Ends(ErrorUri, &'static str),
    Again { attempt: u32, wants_progress: bool, kept: Arc<Reroute> },
}

fn reroute_2_caller(entry: &Invoked, callee: SessionId) -> Rerouted {
    let mut state = entry.caller.lock();
    let Some(call) = state.call_mut(entry.request, entry.serial) else { return Rerouted::Gone };
    if call.is_killing && !mutated("reroute_forgets_kill") {
        return Rerouted::Ends(ErrorUri::Canceled, "the call was canceled");
    }
    if call.is_progressive || call.has_progressed {
        return Rerouted::Ends(ErrorUri::Unavailable, "the callee is not available");
    }
    let Some(kept) = call.reroute.take() else {
        return Rerouted::Ends(ErrorUri::NoAvailableCallee, "the only callee is not available");
    };
    let mut kept = Arc::unwrap_or_clone(kept);
    kept.asked.push(callee);
    call.attempt += 1;
    call.phase = Phase::Placing;
    Rerouted::Again { attempt: call.attempt, wants_progress: call.wants_progress, kept: Arc::new(kept) }
}
