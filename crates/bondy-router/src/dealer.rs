//! The dealer: the life of a call, from CALL to its one final answer.
//!
//! A call lives with its caller, an invocation with its callee. Each step below is one critical section under one
//! session's lock; between the steps nothing is held. Rule 1: the final answer is appended in the section that removes
//! `calls[request]` with the same serial, so there is exactly one. It is encoded before the lock is taken.

use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::feature::Feature;
use bondy_wamp::id::{ID_MAX, RequestId, SessionId};
use bondy_wamp::message::{self, Attributes, Call, Invocation, InvocationDetails, MessageType};
use bondy_wamp::mutation::mutated;
use bondy_wamp::payload::Payload;
use bondy_wamp::uri;

use crate::broker::discloses;
use crate::realm::{Flow, Realm};
use crate::registration::{Callee, Registration};
use crate::registry::Entry;
use crate::retained::StoredAttributes;
use crate::session::{CallEntry, InvocationEntry, Invoked, Phase, Refusal, Reroute, Session, SessionState};
use crate::sync::{Arc, Ordering};
use crate::timer::Timer;
use crate::turn::{EncodedTail, Turn};

mod answer;
mod ending;

pub(crate) use ending::{abandon, deadline};

/// From this size on the tail of a call or result is shared by reference. (Above the threshold for events, because it
/// has one receiver only: copying is cheaper than an allocation.)
const SHARED_BYTES_MIN: usize = 32 * 1024;

/// What is kept of one caller's calls for other callees, in bytes: as much as its outbox may hold by default. A call
/// beyond it is not rerouted.
const REROUTE_BYTES_MAX: usize = 1024 * 1024;

/// How often a call is resolved again because its route was old. Each time something has changed under control in
/// between; a call that meets this is answered with `unavailable`.
const RESOLUTIONS_MAX: usize = 64;

/// What a callee is to be given.
#[derive(Debug)]
struct Work<'m> {
    procedure: &'m str,
    attributes: &'m Attributes<'m>,
    payload: Payload<'m>,
    rkey: &'m [u8],
    timeout_ms: u64,
    /// More input follows.
    has_more_input: bool,
    wants_progress: bool,
    discloses: bool,
}

/// A call that looks for a callee.
#[derive(Debug)]
struct Placement<'p> {
    caller: &'p Arc<Session>,
    request: RequestId,
    serial: u64,
    attempt: u32,
    /// Those who have refused, are closed, or were asked before.
    refused: Vec<SessionId>,
    /// Why they have refused.
    refusal: Option<Refused>,
}

/// Why a callee did not take a call. Where several were asked, the caller is told the last of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Refused {
    /// It lacks a feature that the call needs.
    Feature,
    /// The payload cannot be written in its serializer.
    Payload,
    /// The message is larger than it takes.
    TooLarge,
    /// It is at its concurrency or its limits, or its outbox is full.
    Busy,
    /// It said `wamp.error.unavailable`.
    Unavailable,
}

/// What became of an offer to a callee.
#[derive(Clone, Copy, Debug)]
enum Offer {
    Accepted(u64),
    /// The route was old: resolve again.
    Outdated,
    /// The same, and this session is no more.
    Closed,
    Refused(Refused),
}

/// What the caller's section says about a CALL.
enum Accepted {
    /// A new call, with this serial.
    New(u64),
    /// A chunk for this invocation.
    Chunk(Arc<Session>, u64),
    /// Nothing is left to do.
    Settled,
    /// The session must end.
    Violation(String),
    /// The session must end: its outbox has no room for a reply.
    Overflow,
}

impl Realm {
    /// CALL.
    pub(crate) fn call(&self, caller: &Arc<Session>, call: &Call<'_>, turn: &mut Turn) -> Flow {
        if let Err(text) = check_call(caller, call) {
            return self.violate(caller, &text, turn);
        }
        let is_meta = call.procedure.starts_with("wamp.");
        let route = if is_meta { None } else { self.procedure_route(&call.procedure) };
        let serial = match self.call_1_caller(caller, call, route.as_deref(), is_meta, turn) {
            Accepted::New(serial) => serial,
            Accepted::Chunk(callee, id) => return self.more_input(&callee, id, call, turn),
            Accepted::Settled => return Flow::Done,
            Accepted::Violation(text) => return self.violate(caller, &text, turn),
            Accepted::Overflow => return self.overflow(caller, turn),
        };
        if is_meta {
            return self.meta_call(caller, call, serial, turn);
        }
        let work = Work {
            procedure: &call.procedure,
            attributes: &call.options.attributes,
            payload: call.payload,
            rkey: call.options.rkey,
            timeout_ms: call.options.timeout_ms,
            has_more_input: call.options.progress,
            wants_progress: call.options.receive_progress,
            discloses: call.options.disclose_me,
        };
        let placement = Placement {
            caller,
            request: call.request,
            serial,
            attempt: 1,
            refused: Vec::new(),
            refusal: None,
        };
        self.place(&work, placement, route, turn);
        Flow::Done
    }

    /// CALL 1, at the caller: closed? a chunk? a duplicate or over the limit? else insert it, *placing*.
    fn call_1_caller(
        &self,
        caller: &Arc<Session>,
        call: &Call<'_>,
        route: Option<&Registration>,
        is_meta: bool,
        turn: &mut Turn,
    ) -> Accepted {
        let request = call.request;
        let is_last = !call.options.progress;
        let reroute = self.keep_for_rerouting(call, route);
        let mut state = caller.lock();
        if state.is_closed {
            return Accepted::Settled;
        }
        let calling = state.calling();
        if calling.discards_chunk(request, is_last) {
            return Accepted::Settled;
        }
        if let Some(entry) = calling.calls.get_mut(&request.0) {
            return more_input_1_caller(entry, request, is_last);
        }
        if let Err(text) = check_new_request(caller, &mut state, request) {
            return Accepted::Violation(text);
        }
        if let Err(refusal) = self.check_new_call(call, &state, is_meta) {
            if !is_last && !mutated("chunk_of_refused_call") {
                state.calling().remember_ended_input(request);
            }
            if !state.outbox.has_room() {
                return Accepted::Overflow;
            }
            state.append_error(caller, MessageType::Call, request, &refusal, turn);
            return Accepted::Settled;
        }
        if !state.outbox.has_room_for_answers() {
            return Accepted::Overflow;
        }
        turn.stats.calls += 1;
        let calling = state.calling();
        let serial = calling.next_serial();
        let timeout_ns = call.options.timeout_ms.saturating_mul(1_000_000);
        let reroute = reroute.filter(|kept| calling.keeps(kept.payload.len(), REROUTE_BYTES_MAX));
        let entry = new_entry(call, serial, timeout_ns, reroute, turn);
        if timeout_ns > 0 && !is_meta {
            let timer =
                Timer { deadline_ns: entry.deadline_ns, caller: Arc::downgrade(caller), request, serial };
            turn.timers.push(timer);
        }
        calling.calls.insert(request.0, entry);
        Accepted::New(serial)
    }

    /// May this call be made? (What is refused here is answered at once and never becomes an entry.)
    fn check_new_call(&self, call: &Call<'_>, state: &SessionState, is_meta: bool) -> Result<(), Refusal> {
        let calls_max = self.config.limits.calls_max;
        if state.pending().0 >= calls_max {
            return Err(Refusal::limit("calls_max", calls_max));
        }
        if !is_meta {
            discloses(self.config.disclosure.caller, call.options.disclose_me)?;
        }
        Ok(())
    }

    /// The payload is kept while another callee might be asked: the registration is shared, a callee has announced
    /// `call_reroute`, and the call has one chunk of input only.
    fn keep_for_rerouting(&self, call: &Call<'_>, route: Option<&Registration>) -> Option<Arc<Reroute>> {
        let is_small = call.payload.len() <= REROUTE_BYTES_MAX;
        if call.options.progress || !is_small || !route.is_some_and(Registration::may_reroute) {
            return None;
        }
        Some(Arc::new(Reroute {
            procedure: (&*call.procedure).into(),
            attributes: StoredAttributes::new(&call.options.attributes),
            rkey: call.options.rkey.into(),
            timeout_ms: call.options.timeout_ms,
            discloses: call.options.disclose_me,
            payload: call.payload.to_stored(),
            asked: Vec::new(),
        }))
    }

    /// The registration for a procedure as messages see it: a hint.
    fn procedure_route(&self, procedure: &str) -> Option<Arc<Registration>> {
        if let Some(registration) = self.procedures.exact(procedure) {
            return Some(registration);
        }
        // What is registered exactly is valid; what a pattern would match need not be.
        if !self.procedures.has_patterns() || !uri::is_valid(procedure, self.config.uri_rule) {
            return None;
        }
        let patterns = self.procedures.remembered_patterns(procedure).unwrap_or_else(|| {
            let control = self.control.lock();
            self.procedures.find_patterns(&control.registrations, procedure)
        });
        patterns.first().map(Arc::clone)
    }

    /// The same under control: routes and slots agree.
    fn resolve_again(&self, procedure: &str) -> Option<Arc<Registration>> {
        if !uri::is_valid(procedure, self.config.uri_rule) {
            return None;
        }
        self.control.lock().registrations.matching(procedure).into_iter().next()
    }

    /// Asks one candidate after the other until one takes the call, or nobody is left.
    fn place(
        &self,
        work: &Work<'_>,
        mut placement: Placement<'_>,
        route: Option<Arc<Registration>>,
        turn: &mut Turn,
    ) {
        // That there is no route is a hint as well: while one callee hands over to another under a pattern, exact
        // URIs may have been read before the change and patterns after it.
        let mut route = route.or_else(|| self.resolve_again(work.procedure));
        for _ in 0..RESOLUTIONS_MAX {
            let Some(registration) = route else { return self.no_candidate(work, &placement, turn) };
            match self.ask(work, &mut placement, &registration, turn) {
                Asked::Placed => return,
                Asked::Nobody => return self.no_candidate(work, &placement, turn),
                Asked::Outdated => route = self.resolve_again(work.procedure),
            }
        }
        placement.refusal = placement.refusal.max(Some(Refused::Busy));
        self.no_candidate(work, &placement, turn);
    }

    /// Asks the callees of one registration.
    fn ask(
        &self,
        work: &Work<'_>,
        placement: &mut Placement<'_>,
        registration: &Arc<Registration>,
        turn: &mut Turn,
    ) -> Asked {
        let mut candidates = registration.candidates(work.attributes.serializer, work.rkey, turn);
        // Its last callee has left it since it was read.
        if candidates.is_empty() {
            return Asked::Outdated;
        }
        while let Some(callee) = candidates.next(turn) {
            let id = callee.session.id();
            if placement.refused.contains(&id) {
                continue;
            }
            match self.call_2_callee(work, placement, registration, callee, turn) {
                Offer::Accepted(invocation) => {
                    if !mutated("skip_step_3") {
                        self.call_3_caller(placement, callee, invocation, turn);
                    }
                    return Asked::Placed;
                }
                Offer::Outdated => return Asked::Outdated,
                Offer::Closed => {
                    placement.refused.push(id);
                    return Asked::Outdated;
                }
                Offer::Refused(refused) => {
                    placement.refused.push(id);
                    placement.refusal = placement.refusal.max(Some(refused));
                }
            }
        }
        Asked::Nobody
    }

    /// CALL 2, at the callee: open, slot active, concurrency and room? Then id, entry and INVOCATION in one section.
    fn call_2_callee(
        &self,
        work: &Work<'_>,
        placement: &Placement<'_>,
        registration: &Arc<Registration>,
        callee: &Callee,
        turn: &mut Turn,
    ) -> Offer {
        let session = &callee.session;
        if !supports(session, work) {
            return Offer::Refused(Refused::Feature);
        }
        let Ok(tail) = self.encode_invocation(work, placement.caller, registration, callee, turn) else {
            return Offer::Refused(Refused::Payload);
        };
        if mutated("concurrency_read_before") && callee.is_at_its_concurrency() {
            return Offer::Refused(Refused::Busy);
        }
        let mut state = session.lock();
        if let Some(offer) = self.declines(&mut state, callee, tail.len()) {
            drop(state);
            turn.recycle(tail);
            return offer;
        }
        let serving = state.serving();
        let id = serving.next_id();
        serving.invocations.insert(
            id,
            InvocationEntry {
                caller: Arc::downgrade(placement.caller),
                request: placement.request,
                serial: placement.serial,
                slot: Arc::clone(&callee.slot),
                registration: Arc::clone(registration),
                wants_progress: work.wants_progress,
            },
        );
        callee.slot.start();
        if mutated("id_before_append") {
            drop(state);
            state = session.lock();
        }
        let head =
            message::head(session.serializer(), 4 + work.payload.elements(), MessageType::Invocation, id);
        state.append(session, &head, tail.as_tail(), turn);
        let is_congested = state.outbox.is_congested();
        drop(state);
        if is_congested {
            turn.congested.push(Arc::clone(session));
        }
        turn.recycle(tail);
        turn.stats.invocations += 1;
        registration.stats.invocations.fetch_add(1, Ordering::Relaxed);
        Offer::Accepted(id)
    }

    /// Why the callee, whose lock is held, does not take an invocation now; `None` if it does.
    fn declines(&self, state: &mut SessionState, callee: &Callee, tail_bytes: usize) -> Option<Offer> {
        if state.is_closed {
            let is_refusal = mutated("closed_is_a_refusal");
            return Some(if is_refusal { Offer::Refused(Refused::Busy) } else { Offer::Closed });
        }
        if !callee.slot.is_active() && !mutated("route_instead_of_slot") {
            let is_refusal = mutated("slot_not_resolved_again");
            return Some(if is_refusal { Offer::Refused(Refused::Busy) } else { Offer::Outdated });
        }
        if state.outbox.is_too_large(tail_bytes + HEAD_BYTES_MAX) {
            return Some(Offer::Refused(Refused::TooLarge));
        }
        let is_at_its_concurrency = callee.is_at_its_concurrency() && !mutated("concurrency_read_before");
        let is_at_its_limit = state.pending().1 >= self.config.limits.invocations_max;
        if is_at_its_concurrency || is_at_its_limit || !state.outbox.has_room() {
            return Some(Offer::Refused(Refused::Busy));
        }
        None
    }

    fn encode_invocation(
        &self,
        work: &Work<'_>,
        caller: &Session,
        registration: &Registration,
        callee: &Callee,
        turn: &mut Turn,
    ) -> Result<EncodedTail, bondy_wamp::serializer::TranscodeError> {
        let features = callee.session.features();
        let is_pattern = registration.match_policy() != uri::MatchPolicy::Exact;
        let policy = self.config.disclosure.caller;
        let discloses = discloses(policy, work.discloses).unwrap_or(false)
            || (callee.discloses_caller && policy != crate::config::DisclosurePolicy::Deny);
        let invocation = Invocation {
            request: RequestId(0),
            registration: registration.registration_id(),
            details: InvocationDetails {
                receive_progress: work.wants_progress && features.has(Feature::CalleeProgressiveResults),
                progress: work.has_more_input,
                timeout_ms: if callee.forwards_timeout { work.timeout_ms } else { 0 },
                procedure: is_pattern.then_some(work.procedure.into()),
                caller: discloses.then(|| caller.disclosed()),
                trustlevel: caller.trust_level(),
                attributes: work.attributes.clone(),
            },
            payload: work.payload,
        };
        turn.encode(callee.session.serializer(), SHARED_BYTES_MIN, |encoder| invocation.encode_tail(encoder))
    }

    /// CALL 3, at the caller: same serial, same attempt: *invoked*. Gone: abandon. Another attempt: the callee's
    /// `unavailable` has overtaken this step.
    fn call_3_caller(&self, placement: &Placement<'_>, callee: &Callee, id: u64, turn: &mut Turn) {
        let mut state = placement.caller.lock();
        match state.call_mut(placement.request, placement.serial) {
            Some(entry) if entry.attempt == placement.attempt || mutated("step_3_any_attempt") => {
                entry.phase = Phase::Invoked(Arc::clone(&callee.session), id);
                let was_forwarded =
                    std::mem::replace(&mut entry.is_timeout_forwarded, callee.forwards_timeout);
                // Rerouted away from a callee that kept the timeout: the router keeps it again.
                if was_forwarded && !callee.forwards_timeout && entry.timeout_ns > 0 {
                    turn.timers.push(Timer {
                        deadline_ns: entry.deadline_ns,
                        caller: Arc::downgrade(placement.caller),
                        request: placement.request,
                        serial: placement.serial,
                    });
                }
            }
            Some(_) => {}
            None if mutated("step_3_forgets_abandon") => {}
            None => {
                drop(state);
                abandon(&callee.session, id, turn);
            }
        }
    }

    /// Nobody takes the call: rule 1 with ERROR.
    fn no_candidate(&self, work: &Work<'_>, placement: &Placement<'_>, turn: &mut Turn) {
        let procedure = uri::shown(work.procedure);
        let refusal = match placement.refusal {
            None if !uri::is_valid(work.procedure, self.config.uri_rule) => {
                Refusal::new(ErrorUri::InvalidUri, format!("{procedure:?} is not a valid procedure"))
            }
            None => {
                Refusal::new(ErrorUri::NoSuchProcedure, format!("no callee has registered {procedure:?}"))
            }
            Some(Refused::Feature) => Refusal::new(
                ErrorUri::FeatureNotSupported,
                format!("the callee of {procedure:?} does not support what the call needs"),
            ),
            Some(Refused::Payload) => Refusal::new(
                ErrorUri::InvalidArgument,
                format!("the arguments cannot be written in the serializer of the callee of {procedure:?}"),
            ),
            Some(Refused::TooLarge) => Refusal::new(
                ErrorUri::PayloadSizeExceeded,
                format!("the call is larger than the callee of {procedure:?} takes"),
            ),
            Some(Refused::Busy) => {
                Refusal::new(ErrorUri::Unavailable, format!("every callee of {procedure:?} is busy"))
            }
            Some(Refused::Unavailable) => {
                Refusal::new(ErrorUri::NoAvailableCallee, format!("no callee of {procedure:?} is available"))
            }
        };
        self.end_call(placement.caller, placement.request, placement.serial, &refusal, turn);
    }

    /// Rule 1 with ERROR: who removes the call, answers; who finds nothing, drops.
    pub(crate) fn end_call(
        &self,
        caller: &Arc<Session>,
        request: RequestId,
        serial: u64,
        refusal: &Refusal,
        turn: &mut Turn,
    ) {
        let mut state = caller.lock();
        if state.remove_call(request, serial).is_some() {
            turn.stats.calls_failed += 1;
            state.append_error(caller, MessageType::Call, request, refusal, turn);
        }
    }

    /// More input, at the callee: the invocation is there? Append under the same id. No room: the call ends.
    fn more_input(&self, callee: &Arc<Session>, id: u64, call: &Call<'_>, turn: &mut Turn) -> Flow {
        let Some(entry) = lookup(callee, id) else { return Flow::Done };
        let invocation = Invocation {
            request: RequestId(0),
            registration: entry.registration.registration_id(),
            details: InvocationDetails {
                receive_progress: entry.wants_progress
                    && callee.features().has(Feature::CalleeProgressiveResults),
                progress: call.options.progress,
                timeout_ms: 0,
                procedure: (entry.registration.match_policy() != uri::MatchPolicy::Exact)
                    .then_some((&*call.procedure).into()),
                caller: None,
                trustlevel: entry.caller.trust_level(),
                attributes: call.options.attributes.clone(),
            },
            payload: call.payload,
        };
        let encoded =
            turn.encode(callee.serializer(), SHARED_BYTES_MIN, |encoder| invocation.encode_tail(encoder));
        let refused = match encoded {
            Ok(tail) => {
                let refused = append_chunk(callee, id, &invocation, &tail, turn);
                turn.recycle(tail);
                refused
            }
            Err(error) => Some(Refusal::new(ErrorUri::InvalidArgument, error.to_string())),
        };
        if let Some(refusal) = refused {
            self.end_call(&entry.caller, entry.request, entry.serial, &refusal, turn);
            abandon(callee, id, turn);
        }
        Flow::Done
    }

    /// A CALL that cannot be passed on: a new one is refused, a chunk ends its call; the session lives.
    pub(crate) fn refuse_call(
        &self,
        caller: &Arc<Session>,
        request: RequestId,
        refusal: &Refusal,
        turn: &mut Turn,
    ) -> Flow {
        let mut state = caller.lock();
        // Whether it was the last chunk is not known: an id that is kept stays so.
        if state.is_closed || state.calling().discards_chunk(request, false) {
            return Flow::Done;
        }
        let pending = state.calling().calls.get(&request.0).map(|entry| (entry.serial, entry.is_input_open));
        let Some((serial, is_input_open)) = pending else {
            let checked = check_new_request(caller, &mut state, request);
            drop(state);
            return match checked {
                Ok(()) => self.refuse(caller, MessageType::Call, request, refusal, turn),
                Err(text) => self.violate(caller, &text, turn),
            };
        };
        if !is_input_open {
            drop(state);
            let text = format!("request id {request} is the id of a call that is pending");
            return self.violate(caller, &text, turn);
        }
        let entry = state.remove_call(request, serial);
        turn.stats.calls_failed += 1;
        state.append_error(caller, MessageType::Call, request, refusal, turn);
        drop(state);
        if let Some(Phase::Invoked(callee, id)) = entry.map(|entry| entry.phase) {
            abandon(&callee, id, turn);
        }
        Flow::Done
    }
}

/// The longest head of a message: list header, type and id.
const HEAD_BYTES_MAX: usize = 32;

/// What became of asking the callees of a registration.
enum Asked {
    Placed,
    Nobody,
    Outdated,
}

/// Is the message itself allowed, whatever becomes of the call?
fn check_call(caller: &Session, call: &Call<'_>) -> Result<(), String> {
    let features = caller.features();
    if call.options.progress && !features.has(Feature::CallerProgressiveInvocations) {
        return Err("CALL with progress without progressive_call_invocations".to_owned());
    }
    if call.options.attributes.has_passthru() && !features.has(Feature::CallerPassthru) {
        return Err("CALL with ppt_scheme without payload_passthru_mode".to_owned());
    }
    Ok(())
}

/// In strict sessions a new call takes the next request id.
fn check_new_request(caller: &Session, state: &mut SessionState, request: RequestId) -> Result<(), String> {
    if !caller.is_strict() {
        return Ok(());
    }
    let expected = state.last_request % ID_MAX + 1;
    if request.0 != expected {
        return Err(format!("request id {request} where {expected} is next in sequence"));
    }
    state.last_request = request.0;
    Ok(())
}

fn new_entry(
    call: &Call<'_>,
    serial: u64,
    timeout_ns: u64,
    reroute: Option<Arc<Reroute>>,
    turn: &Turn,
) -> CallEntry {
    CallEntry {
        serial,
        attempt: 1,
        phase: Phase::Placing,
        is_killing: false,
        is_progressive: call.options.progress,
        is_input_open: call.options.progress,
        wants_progress: call.options.receive_progress,
        has_progressed: false,
        timeout_ns,
        deadline_ns: turn.now.monotonic_ns.saturating_add(timeout_ns),
        is_timeout_forwarded: false,
        kept_bytes: reroute.as_ref().map_or(0, |kept| kept.payload.len()),
        reroute,
    }
}

/// A chunk, at the caller: the input is open, and the call is with a callee? The last chunk closes the input.
fn more_input_1_caller(entry: &mut CallEntry, request: RequestId, is_last: bool) -> Accepted {
    if !entry.is_input_open {
        return Accepted::Violation(format!("request id {request} is the id of a call that is pending"));
    }
    entry.is_input_open = !is_last;
    match &entry.phase {
        Phase::Invoked(callee, id) => Accepted::Chunk(Arc::clone(callee), *id),
        // A call with progressive input is placed by the thread that reads its chunks, and never rerouted.
        Phase::Placing => Accepted::Settled,
    }
}

fn supports(callee: &Session, work: &Work<'_>) -> bool {
    let features = callee.features();
    (!work.has_more_input || features.has(Feature::CalleeProgressiveInvocations))
        && (!work.attributes.has_passthru() || features.has(Feature::CalleePassthru))
}

/// A copy of an invocation that stays with its callee.
fn lookup(callee: &Session, id: u64) -> Option<Invoked> {
    let entry = callee.lock().serving.as_ref()?.invocations.get(&id).cloned();
    entry?.into_invoked()
}

/// Returns why the call has to end.
fn append_chunk(
    callee: &Arc<Session>,
    id: u64,
    invocation: &Invocation<'_>,
    tail: &EncodedTail,
    turn: &mut Turn,
) -> Option<Refusal> {
    let head = message::head(callee.serializer(), invocation.elements(), MessageType::Invocation, id);
    let mut state = callee.lock();
    // Not there any more: the call is ending.
    state.serving.as_ref().filter(|serving| serving.invocations.contains_key(&id))?;
    if state.outbox.is_too_large(head.len() + tail.len()) {
        return Some(Refusal::new(
            ErrorUri::PayloadSizeExceeded,
            "the input is larger than the callee takes",
        ));
    }
    if !state.outbox.has_room() {
        if mutated("chunk_needs_no_room") {
            return None;
        }
        return Some(Refusal::new(ErrorUri::Unavailable, "the callee reads too slowly"));
    }
    state.append(callee, &head, tail.as_tail(), turn);
    if state.outbox.is_congested() {
        turn.congested.push(Arc::clone(callee));
    }
    None
}
