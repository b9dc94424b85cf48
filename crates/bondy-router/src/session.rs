//! A session: who it is, and under its lock what it calls, what it serves, and what waits to be sent to it.
//!
//! The lock is held for one critical section of the message plane at a time, mostly one append. A session is not its
//! connection: the core knows it by its [`Link`].

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;

use bondy_wamp::buffer::Buffer;
use bondy_wamp::feature::Features;
use bondy_wamp::framing::Framing;
use bondy_wamp::id::{RequestId, SessionId};
use bondy_wamp::message::{self, Head, Identity, MessageType};
use bondy_wamp::mutation::mutated;
use bondy_wamp::outbox::{Outbox, Tail, Writer};
use bondy_wamp::payload::StoredPayload;
use bondy_wamp::serializer::{Encoder, Serializer};
use bondy_wamp::value::Value;

use crate::flush::Link;
use crate::registration::Registration;
use crate::retained::StoredAttributes;
use crate::slot::Slot;
use crate::sync::{Arc, AtomicU64, Guard, Lock, Ordering, Weak};
use crate::turn::{Now, Turn};

/// How many request ids of calls that ended before their last chunk are remembered, per session.
const ENDED_INPUTS_MAX: usize = 1024;

/// A hash map whose keys strangers choose: seeded.
pub type SeededMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What a session is born with.
#[derive(Debug)]
pub struct SessionConfig {
    /// Who it is.
    pub identity: SessionIdentity,
    /// What the client announced.
    pub features: Features,
    /// The serializer in both directions.
    pub serializer: Serializer,
    /// The trust level of its messages, where the listener assigns one.
    pub trust_level: Option<u64>,
    /// Demand request ids in sequence.
    pub is_strict: bool,
    /// The largest event that is compressed for this session, in bytes; 0: none is.
    pub deflate_bytes_max: u32,
    /// Close the session, instead of dropping events, when its outbox is over the hard limit.
    pub closes_on_overflow: bool,
    /// What waits to be sent.
    pub outbox: Outbox,
    /// The way to the peer.
    pub link: Arc<dyn Link>,
}

/// Who a session is, as authentication found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionIdentity {
    /// The principal.
    pub authid: Arc<str>,
    /// Its role, or roles separated by commas.
    pub authrole: Arc<str>,
    /// The method by which it was authenticated.
    pub authmethod: Arc<str>,
    /// Who authenticated it.
    pub authprovider: Arc<str>,
}

impl SessionIdentity {
    /// Is this its role, or one of its roles?
    pub(crate) fn has_authrole(&self, authrole: &str) -> bool {
        *self.authrole == *authrole || self.authrole.split(',').any(|part| part.trim() == authrole)
    }
}

/// One session of a realm.
pub struct Session {
    id: SessionId,
    serializer: Serializer,
    features: Features,
    is_strict: bool,
    closes_on_overflow: bool,
    deflate_bytes_max: u32,
    /// Few listeners assign one.
    trust_level: Option<Box<u64>>,
    identity: SessionIdentity,
    joined: Now,
    link: Arc<dyn Link>,
    state: Lock<SessionState>,
    received: Traffic,
}

/// Messages and bytes in one direction. Written by one thread only, so a load and a store are enough.
#[derive(Debug, Default)]
pub struct Traffic {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    fn count(&self, messages: u64, bytes: u64) {
        self.messages.store(self.messages.load(Ordering::Relaxed) + messages, Ordering::Relaxed);
        self.bytes.store(self.bytes.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }
}

/// The part of a session that is under its lock.
#[derive(Debug)]
pub struct SessionState {
    /// What waits to be sent to the peer.
    pub outbox: Outbox,
    pub(crate) is_closed: bool,
    is_owner_woken: bool,
    /// Who has last listed it in `touched`, until it was flushed from there.
    touched_by: Option<u16>,
    /// It stands on a list for events of some worker. Only who takes it from there clears this.
    is_listed_for_events: bool,
    pub(crate) last_request: u64,
    pub(crate) calling: Option<Box<Calling>>,
    pub(crate) serving: Option<Box<Serving>>,
    sent_messages: u64,
    sent_bytes: u64,
    /// Nearly always there are none.
    drops: Option<Box<Drops>>,
}

/// What a session has lost because it reads too slowly.
#[derive(Debug, Default)]
struct Drops {
    events: u64,
    reported_ns: Option<u64>,
}

/// A session as caller: its pending calls.
#[derive(Debug, Default)]
pub struct Calling {
    pub(crate) calls: SeededMap<u64, CallEntry>,
    last_serial: u64,
    kept_bytes: usize,
    ended_inputs: VecDeque<u64>,
}

/// One pending call, kept with its caller.
#[derive(Clone, Debug)]
pub struct CallEntry {
    pub(crate) serial: u64,
    pub(crate) attempt: u32,
    pub(crate) phase: Phase,
    pub(crate) is_killing: bool,
    pub(crate) is_progressive: bool,
    pub(crate) is_input_open: bool,
    pub(crate) wants_progress: bool,
    pub(crate) has_progressed: bool,
    pub(crate) timeout_ns: u64,
    pub(crate) deadline_ns: u64,
    /// The callee keeps the timeout itself.
    pub(crate) is_timeout_forwarded: bool,
    /// Bytes of the payload that is kept for other callees.
    pub(crate) kept_bytes: usize,
    pub(crate) reroute: Option<Arc<Reroute>>,
}

impl CallEntry {
    /// Is this still the same call? A request id may be used again.
    fn is_the(&self, serial: u64) -> bool {
        self.serial == serial || mutated("serial_not_checked")
    }
}

/// Where a call is.
#[derive(Clone, Debug)]
pub enum Phase {
    /// Looking for a callee.
    Placing,
    /// With this callee, under this invocation id.
    Invoked(Arc<Session>, u64),
}

/// What is kept of a call that may be offered to another callee.
#[derive(Clone, Debug)]
pub struct Reroute {
    pub(crate) procedure: Box<str>,
    pub(crate) attributes: StoredAttributes,
    pub(crate) rkey: Box<[u8]>,
    pub(crate) timeout_ms: u64,
    pub(crate) discloses: bool,
    pub(crate) payload: StoredPayload,
    pub(crate) asked: Vec<SessionId>,
}

/// A session as callee: the invocations that it has not answered.
#[derive(Debug, Default)]
pub struct Serving {
    pub(crate) invocations: SeededMap<u64, InvocationEntry>,
    last_id: u64,
    has_wrapped: bool,
}

/// One invocation, kept with its callee.
///
/// The caller is not kept alive: a callee that never answers must not hold the sockets of callers that have left.
#[derive(Clone, Debug)]
pub struct InvocationEntry {
    pub(crate) caller: Weak<Session>,
    pub(crate) request: RequestId,
    pub(crate) serial: u64,
    pub(crate) slot: Arc<Slot>,
    pub(crate) registration: Arc<Registration>,
    pub(crate) wants_progress: bool,
}

/// An invocation whose caller is still there.
#[derive(Debug)]
pub(crate) struct Invoked {
    pub(crate) caller: Arc<Session>,
    pub(crate) request: RequestId,
    pub(crate) serial: u64,
    pub(crate) registration: Arc<Registration>,
    pub(crate) wants_progress: bool,
}

impl InvocationEntry {
    /// `None` where the caller is gone: nobody waits for an answer.
    pub(crate) fn into_invoked(self) -> Option<Invoked> {
        Some(Invoked {
            caller: self.caller.upgrade()?,
            request: self.request,
            serial: self.serial,
            registration: self.registration,
            wants_progress: self.wants_progress,
        })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(id: SessionId, joined: Now, config: SessionConfig) -> Self {
        Self {
            id,
            serializer: config.serializer,
            features: config.features,
            is_strict: config.is_strict,
            closes_on_overflow: config.closes_on_overflow,
            deflate_bytes_max: config.deflate_bytes_max,
            trust_level: config.trust_level.map(Box::new),
            identity: config.identity,
            joined,
            link: config.link,
            state: Lock::new(SessionState {
                outbox: config.outbox,
                is_closed: false,
                is_owner_woken: false,
                touched_by: None,
                is_listed_for_events: false,
                last_request: 0,
                calling: None,
                serving: None,
                sent_messages: 0,
                sent_bytes: 0,
                drops: None,
            }),
            received: Traffic::default(),
        }
    }

    /// The id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The serializer in both directions.
    pub fn serializer(&self) -> Serializer {
        self.serializer
    }

    /// What the client announced.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Who it is.
    pub fn identity(&self) -> &SessionIdentity {
        &self.identity
    }

    /// When it joined.
    pub fn joined(&self) -> Now {
        self.joined
    }

    /// The way to the peer.
    pub fn link(&self) -> &Arc<dyn Link> {
        &self.link
    }

    pub(crate) fn trust_level(&self) -> Option<u64> {
        self.trust_level.as_deref().copied()
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.is_strict
    }

    pub(crate) fn deflate_bytes_max(&self) -> usize {
        self.deflate_bytes_max as usize
    }

    pub(crate) fn closes_on_overflow(&self) -> bool {
        self.closes_on_overflow
    }

    /// The identity as callers and publishers are disclosed.
    pub(crate) fn disclosed(&self) -> Identity<'_> {
        Identity {
            session: self.id,
            authid: (&*self.identity.authid).into(),
            authrole: (&*self.identity.authrole).into(),
        }
    }

    /// Takes the session's lock. For one short section; nothing else may be locked inside.
    pub fn lock(&self) -> Guard<'_, SessionState> {
        self.state.lock()
    }

    /// Has the session left its realm? Then the owner writes what is left and closes the connection.
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Counts what its owner read.
    pub fn count_received(&self, messages: u64, bytes: u64) {
        self.received.count(messages, bytes);
    }

    /// Messages and bytes received from the peer.
    pub fn received(&self) -> (u64, u64) {
        (self.received.messages.load(Ordering::Relaxed), self.received.bytes.load(Ordering::Relaxed))
    }

    pub(crate) fn has_call(&self, request: RequestId, serial: u64) -> bool {
        self.lock().call(request, serial).is_some()
    }
}

impl SessionState {
    /// Messages and bytes appended for the peer.
    pub fn sent(&self) -> (u64, u64) {
        (self.sent_messages, self.sent_bytes)
    }

    /// Events dropped for this session.
    pub fn dropped_events(&self) -> u64 {
        self.drops.as_ref().map_or(0, |drops| drops.events)
    }

    /// Counts one more event that was dropped.
    pub(crate) fn count_dropped_event(&mut self) {
        self.drops.get_or_insert_default().events += 1;
    }

    /// Is it time to report that events are dropped? Then it counts as reported.
    pub(crate) fn reports_drops(&mut self, now_ns: u64, interval_ns: u64) -> bool {
        let drops = self.drops.get_or_insert_default();
        let is_due = drops.reported_ns.is_none_or(|last| now_ns >= last + interval_ns);
        if is_due {
            drops.reported_ns = Some(now_ns);
        }
        is_due
    }

    /// Pending calls and pending invocations.
    pub fn pending(&self) -> (usize, usize) {
        (
            self.calling.as_ref().map_or(0, |calling| calling.calls.len()),
            self.serving.as_ref().map_or(0, |serving| serving.invocations.len()),
        )
    }

    /// Appends one message, whatever the limits; notes on the turn that the session wants to be flushed.
    pub(crate) fn append(&mut self, session: &Arc<Session>, head: &Head, tail: Tail<'_>, turn: &mut Turn) {
        self.count_sent(head.len() + tail.len(), turn);
        self.outbox.append(head, tail, &mut turn.pool);
        self.touch(session, turn);
    }

    /// Notes on the turn that the session wants to be flushed: once, until it is, however often it is touched.
    pub fn touch(&mut self, session: &Arc<Session>, turn: &mut Turn) {
        if self.touched_by.replace(turn.worker) != Some(turn.worker) {
            turn.touched.push(Arc::clone(session));
        }
    }

    /// Appends one event. Sessions that have only events to be written are flushed after the others.
    pub(crate) fn append_event(
        &mut self,
        session: &Arc<Session>,
        head: &Head,
        tail: Tail<'_>,
        turn: &mut Turn,
    ) {
        self.count_sent(head.len() + tail.len(), turn);
        self.outbox.append(head, tail, &mut turn.pool);
        self.touch_by_event(session, turn);
    }

    /// Appends one event that was compressed, head and tail together.
    pub(crate) fn append_deflated_event(
        &mut self,
        session: &Arc<Session>,
        deflated: Tail<'_>,
        turn: &mut Turn,
    ) {
        self.count_sent(deflated.len(), turn);
        self.outbox.append_deflated(deflated, &mut turn.pool);
        self.touch_by_event(session, turn);
    }

    /// One entry in all lists for events is enough: whoever takes it writes everything. So these lists are never
    /// longer than there are sessions, however many workers publish and whatever is flushed in between.
    fn touch_by_event(&mut self, session: &Arc<Session>, turn: &mut Turn) {
        if self.touched_by.is_none() && self.is_filling() {
            self.touch(session, turn);
        } else if self.touched_by != Some(turn.worker) && !self.is_listed_for_events {
            self.is_listed_for_events = true;
            turn.touched_by_events.push(Arc::clone(session));
        }
    }

    /// Does so much wait that waiting on for more events might cost some? Where the peer is known to take nothing at
    /// present, an early flush would be of no use.
    fn is_filling(&self) -> bool {
        let soft_bytes = self.outbox.limits().soft_bytes as usize;
        self.outbox.pending_bytes() > soft_bytes / 4 && self.outbox.writer() == Writer::Idle
    }

    #[inline]
    fn count_sent(&mut self, bytes: usize, turn: &mut Turn) {
        let bytes = bytes as u64;
        self.sent_messages += 1;
        self.sent_bytes += bytes;
        turn.stats.messages_sent += 1;
        turn.stats.bytes_sent += bytes;
    }

    /// Appends a message that is encoded in this very section: for what is small and rare.
    pub(crate) fn append_small(
        &mut self,
        session: &Arc<Session>,
        head: &Head,
        turn: &mut Turn,
        encode_tail: impl FnOnce(&mut Encoder<'_>),
    ) {
        let mut tail = turn.pool.take();
        encode_tail(&mut Encoder::tail(session.serializer, &mut tail));
        self.append(session, head, Tail::Copied(&tail), turn);
        turn.pool.give(tail);
    }

    /// Appends ERROR with a text for people, encoded in this very section. The text is left out where the whole is
    /// larger than the peer takes.
    pub(crate) fn append_error(
        &mut self,
        session: &Arc<Session>,
        request_type: MessageType,
        request: RequestId,
        refusal: &Refusal,
        turn: &mut Turn,
    ) {
        let mut tail = turn.pool.take();
        let mut head = refusal.encode(session.serializer, request_type, request, &mut tail);
        if self.outbox.is_too_large(head.len() + tail.len()) {
            tail.clear();
            let refusal = Refusal { message: String::new(), ..refusal.clone() };
            head = refusal.encode(session.serializer, request_type, request, &mut tail);
        }
        self.append(session, &head, Tail::Copied(&tail), turn);
        turn.pool.give(tail);
    }

    pub(crate) fn forget_toucher(&mut self) {
        self.touched_by = None;
    }

    pub(crate) fn forget_events(&mut self) {
        self.is_listed_for_events = false;
    }

    /// Should the owner be woken now? Once, until it looks.
    pub(crate) fn wants_owner_woken(&mut self) -> bool {
        !std::mem::replace(&mut self.is_owner_woken, true)
    }

    pub(crate) fn forget_owner_woken(&mut self) {
        self.is_owner_woken = false;
    }

    /// The call under this request id, if it is still the same one.
    pub(crate) fn call(&self, request: RequestId, serial: u64) -> Option<&CallEntry> {
        self.calling.as_ref()?.calls.get(&request.0).filter(|entry| entry.is_the(serial))
    }

    /// As [`call`](Self::call), to be changed.
    pub(crate) fn call_mut(&mut self, request: RequestId, serial: u64) -> Option<&mut CallEntry> {
        self.calling.as_mut()?.calls.get_mut(&request.0).filter(|entry| entry.is_the(serial))
    }

    /// The first half of rule 1: removes the call if it is still the same one. The caller of this function appends
    /// the final answer in the same section.
    pub(crate) fn remove_call(&mut self, request: RequestId, serial: u64) -> Option<CallEntry> {
        self.calling.as_mut()?.remove(request, serial)
    }

    pub(crate) fn calling(&mut self) -> &mut Calling {
        self.calling.get_or_insert_with(Box::default)
    }

    pub(crate) fn serving(&mut self) -> &mut Serving {
        self.serving.get_or_insert_with(Box::default)
    }

    /// Removes an invocation; its own slot runs one less.
    pub(crate) fn remove_invocation(&mut self, id: u64) -> Option<InvocationEntry> {
        let entry = self.serving.as_mut()?.invocations.remove(&id)?;
        entry.slot.finish();
        Some(entry)
    }

    /// Was this invocation id ever given to this session?
    pub(crate) fn was_given(&self, id: u64) -> bool {
        self.serving
            .as_ref()
            .is_some_and(|serving| serving.has_wrapped || (1..=serving.last_id).contains(&id))
    }
}

impl Calling {
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    /// Counts a payload that is to be kept for other callees; false where that would be too much.
    pub(crate) fn keeps(&mut self, bytes: usize, bytes_max: usize) -> bool {
        let fits = self.kept_bytes + bytes <= bytes_max;
        self.kept_bytes += if fits { bytes } else { 0 };
        fits
    }

    /// Removes a call if it is still the same one. If its input is still open the request id is remembered, so that the chunks under way are
    /// not taken for new calls.
    pub(crate) fn remove(&mut self, request: RequestId, serial: u64) -> Option<CallEntry> {
        let Entry::Occupied(found) = self.calls.entry(request.0) else { return None };
        if !found.get().is_the(serial) {
            return None;
        }
        if mutated("answer_without_removing") {
            return Some(found.get().clone());
        }
        let entry = found.remove();
        self.kept_bytes -= entry.kept_bytes;
        if entry.is_input_open && !mutated("chunk_of_ended_call") {
            self.remember_ended_input(request);
        }
        Some(entry)
    }

    pub(crate) fn remember_ended_input(&mut self, request: RequestId) {
        if self.ended_inputs.len() == ENDED_INPUTS_MAX {
            self.ended_inputs.pop_front();
        }
        self.ended_inputs.push_back(request.0);
    }

    /// Is this a chunk of a call that ended before its last chunk? The last chunk frees the id.
    pub(crate) fn discards_chunk(&mut self, request: RequestId, is_last: bool) -> bool {
        let Some(position) = self.ended_inputs.iter().position(|ended| *ended == request.0) else {
            return false;
        };
        if is_last {
            self.ended_inputs.remove(position);
        }
        true
    }
}

impl Serving {
    /// The next invocation id: 1, 2, 3, ...; after 2^32 - 1 again from 1, skipping those that are live.
    pub(crate) fn next_id(&mut self) -> u64 {
        loop {
            self.last_id += 1;
            if self.last_id > u64::from(u32::MAX) {
                self.last_id = 1;
                self.has_wrapped = true;
            }
            if !self.has_wrapped || !self.invocations.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

/// Why a request is answered with ERROR, in a form that can be encoded in any serializer.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The error URI.
    pub error: &'static str,
    /// For people; the only positional argument. Empty: none.
    pub message: String,
    /// Keyword arguments.
    pub kwargs: Vec<(&'static str, Value)>,
}

impl Refusal {
    pub(crate) fn new(error: bondy_wamp::error_uri::ErrorUri, message: impl Into<String>) -> Self {
        Self { error: error.as_str(), message: message.into(), kwargs: Vec::new() }
    }

    /// A limit was reached.
    pub(crate) fn limit(limit: &'static str, max: usize) -> Self {
        Self {
            error: bondy_wamp::error_uri::ErrorUri::LimitExceeded.as_str(),
            message: format!("the limit {limit} of {max} is reached"),
            kwargs: vec![("limit", limit.into()), ("max", (max as u64).into())],
        }
    }

    /// How many elements the ERROR message has.
    fn elements(&self) -> usize {
        match (self.message.is_empty(), self.kwargs.is_empty()) {
            (true, true) => 5,
            (false, true) => 6,
            (_, false) => 7,
        }
    }

    /// Gives the head, and appends the rest of the message to `tail`.
    fn encode(
        &self,
        serializer: Serializer,
        request_type: MessageType,
        request: RequestId,
        tail: &mut Buffer,
    ) -> Head {
        self.encode_tail(request, &mut Encoder::tail(serializer, tail));
        message::head(serializer, self.elements(), MessageType::Error, request_type as u64)
    }

    fn encode_tail(&self, request: RequestId, encoder: &mut Encoder<'_>) {
        encoder.unsigned(request.0);
        encoder.begin_dict(0);
        encoder.end_dict();
        encoder.string(self.error);
        if self.elements() > 5 {
            encoder.begin_list(usize::from(!self.message.is_empty()));
            if !self.message.is_empty() {
                encoder.string(&self.message);
            }
            encoder.end_list();
        }
        if !self.kwargs.is_empty() {
            encoder.begin_dict(self.kwargs.len());
            for (key, value) in &self.kwargs {
                encoder.key(key);
                value.encode(encoder);
            }
            encoder.end_dict();
        }
        encoder.end_list();
    }
}

/// The framing that goes with a serializer over memory, for tests and tools.
pub const MEMORY_FRAMING: Framing = Framing::RawSocket;

/// What an idle session costs in the router, with its two counts in one allocation of 320 bytes.
#[cfg(not(feature = "shuttle"))]
const _: () = assert!(size_of::<Session>() <= 304);
