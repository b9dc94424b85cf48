//! The bounded queue of bytes that waits for one peer.
//!
//! Pure data under the session's lock: the router appends frames, a flusher takes the bytes, writes them with the
//! lock released and puts back what the socket did not take. Small frames are copied into one flat buffer, large
//! ones are shared by reference, so a fan-out of one large event costs its bytes once.
//!
//! Limits (design: "Outboxes are bounded"): a frame is admitted while the queue *less its largest frame* is under
//! the hard limit, so one big message never shuts out small ones. Above the soft limit the outbox is *congested*:
//! senders of calls and results wait a little, and events are dropped once the memory of all outboxes together
//! reaches the budget. An idle outbox holds no memory.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Waker;

use crate::buffer::{Buffer, BufferPool};
use crate::framing::Framing;
use crate::message::Head;
use crate::mutation::mutated;

/// From this size on the tail of a frame is shared by reference instead of being copied.
pub const SHARED_BYTES_MIN: usize = 1024;

/// The default soft limit: enough for a burst of a few thousand small events, little enough that a stalled peer
/// costs next to nothing.
pub const SOFT_BYTES_DEFAULT: u32 = 256 * 1024;

/// The default hard limit: four times the soft one, so that back-pressure acts long before anything is dropped.
pub const HARD_BYTES_DEFAULT: u32 = 1024 * 1024;

/// The most slices handed to one vectored write.
pub const SLICES_MAX: usize = 64;

/// An outbox is charged to the [`Budget`] in steps of this size, so that a healthy one never touches it.
const CHARGE_STEP_BYTES: usize = 64 * 1024;

/// The flat buffer is compacted once this much of its front was written and at least as much is gone as is left.
const COMPACT_BYTES_MIN: usize = 64 * 1024;

/// The limits of one outbox, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Above this the outbox is congested.
    pub soft_bytes: u32,
    /// Above this (less the largest frame) nothing more is admitted but final answers and interrupts.
    pub hard_bytes: u32,
    /// The largest message that the peer takes (rawsocket: as it announced).
    pub message_bytes_max: u32,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { soft_bytes: SOFT_BYTES_DEFAULT, hard_bytes: HARD_BYTES_DEFAULT, message_bytes_max: 1 << 24 }
    }
}

/// The memory that all outboxes of a node may use together, in bytes.
#[derive(Debug)]
pub struct Budget {
    used: AtomicI64,
    max: i64,
}

impl Budget {
    /// A budget of `max_bytes`.
    pub fn new(max_bytes: u64) -> Self {
        Self { used: AtomicI64::new(0), max: i64::try_from(max_bytes).unwrap_or(i64::MAX) }
    }

    /// Is the budget used up? Then events for congested outboxes are dropped.
    #[inline]
    pub fn is_exhausted(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.max
    }

    /// Bytes charged at present.
    pub fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed).max(0) as u64
    }

    fn charge(&self, bytes: i64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Who writes at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Nobody; whoever wants to flush may take the bytes.
    Idle,
    /// Somebody is writing and will look again before going idle.
    Busy,
    /// The socket would block; only the owner waits for it and goes on.
    Blocked,
}

/// The rest of a frame behind its head.
#[derive(Clone, Copy, Debug)]
pub enum Tail<'a> {
    /// Copied into the outbox.
    Copied(&'a [u8]),
    /// Shared by reference.
    Shared(&'a Arc<Buffer>),
}

impl Tail<'_> {
    /// Bytes of the tail.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Tail::Copied(bytes) => bytes.len(),
            Tail::Shared(bytes) => bytes.len(),
        }
    }

    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is to be done after a write.
#[derive(Debug)]
pub enum AfterWrite {
    /// Everything is out.
    Idle,
    /// Go on with these bytes.
    GoOn(Batch),
    /// Leave the rest to the owner, who has to be woken.
    WakeOwner,
}

/// Those who wait for an outbox to drain.
#[derive(Debug, Default)]
struct Waiters(Vec<Waker>);

/// The bounded queue of bytes for one peer, and who writes them.
#[derive(Debug)]
pub struct Outbox {
    queue: Batch,
    budget: Arc<Budget>,
    /// Mostly there are none.
    drain_waiters: Option<Box<Waiters>>,
    /// Bytes appended and not yet written, also those that a writer has taken.
    pending: usize,
    /// How many of them end with the largest frame: once it is written it counts no more.
    until_largest: usize,
    largest: u32,
    /// In steps.
    charged: u32,
    limits: OutboxLimits,
    framing: Framing,
    writer: Writer,
    /// Somebody waited for this outbox to drain, in vain; nobody does so again until it has.
    is_stuck: bool,
}

impl Outbox {
    /// An empty outbox.
    pub fn new(framing: Framing, limits: OutboxLimits, budget: Arc<Budget>) -> Self {
        Self {
            queue: Batch::default(),
            budget,
            drain_waiters: None,
            pending: 0,
            until_largest: 0,
            largest: 0,
            charged: 0,
            limits,
            framing,
            writer: Writer::Idle,
            is_stuck: false,
        }
    }

    /// Bytes that were appended and not yet written.
    pub fn pending_bytes(&self) -> usize {
        self.pending
    }

    /// The form of the frames.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The limits.
    pub fn limits(&self) -> OutboxLimits {
        self.limits
    }

    /// Who writes at present.
    pub fn writer(&self) -> Writer {
        self.writer
    }

    /// Is a message of this size more than the peer can take at all?
    #[inline]
    pub fn is_too_large(&self, message_bytes: usize) -> bool {
        message_bytes > self.limits.message_bytes_max as usize
    }

    /// Is there room for another frame (a call, a result)?
    #[inline]
    pub fn has_room(&self) -> bool {
        self.pending.saturating_sub(self.largest as usize) <= self.limits.hard_bytes as usize
    }

    /// Is there room for the answer to another request? A peer that sends requests and does not read the answers is over
    /// this limit, twice the hard one, before its outbox costs much; answers that are due are admitted below it.
    #[inline]
    pub fn has_room_for_answers(&self) -> bool {
        self.pending.saturating_sub(self.largest as usize) <= 2 * self.limits.hard_bytes as usize
    }

    /// Is there room for another event? As [`has_room`](Self::has_room), and while the node's budget is used up
    /// only below the soft limit.
    #[inline]
    pub fn has_room_for_event(&self) -> bool {
        self.has_room() && (self.pending <= self.limits.soft_bytes as usize || !self.budget.is_exhausted())
    }

    /// Should a sender of calls or results wait for this outbox?
    #[inline]
    pub fn is_congested(&self) -> bool {
        self.pending > self.limits.soft_bytes as usize && !self.is_stuck
    }

    /// Wakes `waker` once the outbox is below its soft limit.
    pub fn wake_when_drained(&mut self, waker: Waker) {
        self.drain_waiters.get_or_insert_default().0.push(waker);
    }

    /// The outbox did not drain while somebody waited: nobody waits for it again until it has.
    pub fn mark_stuck(&mut self) {
        self.is_stuck = self.pending > self.limits.soft_bytes as usize;
        self.drain_waiters = None;
    }

    /// Takes those who wait for the outbox to drain, if it has. Call after every write, wake them unlocked.
    #[inline]
    pub fn drained_waiters(&mut self) -> Vec<Waker> {
        if self.pending > self.limits.soft_bytes as usize {
            return Vec::new();
        }
        self.is_stuck = false;
        self.drain_waiters.take().map_or_else(Vec::new, |waiters| waiters.0)
    }

    /// Appends one frame: header, head, tail, trailer. Admission was asked before.
    #[inline]
    pub fn append(&mut self, head: &Head, tail: Tail<'_>, pool: &mut BufferPool) {
        let header = self.framing.header(head.len() + tail.len(), false);
        let flat = self.queue.flat_with_room(pool);
        let before = flat.len();
        header.append_to(flat);
        head.append_to(flat);
        self.append_rest(before, tail, self.framing.trailer());
    }

    /// Appends one frame whose message was compressed before: `deflated` is all of it.
    pub fn append_deflated(&mut self, deflated: Tail<'_>, pool: &mut BufferPool) {
        let header = self.framing.header(deflated.len(), true);
        let flat = self.queue.flat_with_room(pool);
        let before = flat.len();
        header.append_to(flat);
        self.append_rest(before, deflated, &[]);
    }

    /// Appends bytes that are no message: a control frame of the transport.
    pub fn append_control(&mut self, frame: &[u8], pool: &mut BufferPool) {
        let before = self.queue.flat_with_room(pool).len();
        self.append_rest(before, Tail::Copied(frame), &[]);
    }

    /// Ends a frame of which the flat buffer has everything up to the tail, beginning behind `before` bytes.
    #[inline]
    fn append_rest(&mut self, before: usize, tail: Tail<'_>, trailer: &[u8]) {
        let mut frame_bytes = 0;
        match tail {
            Tail::Copied(bytes) => self.queue.flat.extend_from_slice(bytes),
            Tail::Shared(bytes) => {
                self.queue.push_shared(bytes);
                frame_bytes = bytes.len();
            }
        }
        if !trailer.is_empty() {
            self.queue.flat.extend_from_slice(trailer);
        }
        frame_bytes += self.queue.flat.len() - before;
        self.pending += frame_bytes;
        if frame_bytes > self.largest as usize {
            self.largest = frame_bytes as u32;
            self.until_largest = self.pending;
        }
        self.charge();
    }

    /// Takes all bytes if nobody is writing; the writer is busy from then on.
    #[inline]
    pub fn take(&mut self) -> Option<Batch> {
        let may_take = self.writer == Writer::Idle || mutated("write_while_busy");
        (may_take && !self.queue.is_empty()).then(|| self.take_all())
    }

    /// As the owner, who has waited for writability or was woken: takes all bytes unless somebody is busy.
    pub fn take_as_owner(&mut self) -> Option<Batch> {
        match self.writer {
            Writer::Busy => None,
            Writer::Idle | Writer::Blocked if self.queue.is_empty() => {
                self.writer = Writer::Idle;
                None
            }
            Writer::Idle | Writer::Blocked => Some(self.take_all()),
        }
    }

    #[inline]
    fn take_all(&mut self) -> Batch {
        self.writer = Writer::Busy;
        std::mem::take(&mut self.queue)
    }

    /// Puts back, in front, what the socket did not take, and decides what is next.
    ///
    /// `may_go_on` is false when the socket would block or the writer has written often enough in a row.
    #[inline]
    pub fn put_back(
        &mut self,
        batch: Batch,
        written: usize,
        may_go_on: bool,
        pool: &mut BufferPool,
    ) -> AfterWrite {
        let is_all_written = batch.is_empty();
        if mutated("put_back_behind") {
            let appended = std::mem::replace(&mut self.queue, batch);
            self.queue.put_in_front(appended, pool);
        } else {
            self.queue.put_in_front(batch, pool);
        }
        self.count_written(written);
        if self.queue.is_empty() || (is_all_written && mutated("idle_without_looking")) {
            self.writer = Writer::Idle;
            return AfterWrite::Idle;
        }
        if may_go_on {
            return AfterWrite::GoOn(self.take_all());
        }
        if mutated("blocked_is_idle") {
            self.writer = Writer::Idle;
            return AfterWrite::Idle;
        }
        self.writer = Writer::Blocked;
        AfterWrite::WakeOwner
    }

    /// Drops everything that was not written: the peer is gone.
    pub fn discard(&mut self) {
        self.queue = Batch::default();
        self.pending = 0;
        self.largest = 0;
        self.is_stuck = false;
        self.writer = Writer::Idle;
        self.charge();
    }

    #[inline]
    fn count_written(&mut self, written: usize) {
        self.pending = self.pending.saturating_sub(written);
        self.until_largest = self.until_largest.saturating_sub(written);
        if self.largest > 0 && self.until_largest == 0 {
            self.find_largest();
        }
        self.charge();
    }

    /// The largest frame is out; the next largest is among the shared parts, for small ones do not matter.
    fn find_largest(&mut self) {
        let largest = self.queue.largest_shared();
        self.largest = largest.map_or(0, |(bytes, _)| bytes as u32);
        self.until_largest = largest.map_or(0, |(_, end)| end);
    }

    #[inline]
    fn charge(&mut self) {
        let due = (self.pending / CHARGE_STEP_BYTES) as u32;
        if due != self.charged {
            self.budget.charge((i64::from(due) - i64::from(self.charged)) * CHARGE_STEP_BYTES as i64);
            self.charged = due;
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.budget.charge(-i64::from(self.charged) * CHARGE_STEP_BYTES as i64);
    }
}

/// Bytes on their way to the peer: a flat buffer and, between its bytes, large shared parts.
#[derive(Debug, Default)]
pub struct Batch {
    flat: Buffer,
    /// How much of `flat` was written.
    flat_read: usize,
    /// Mostly there are none.
    shared: Option<Box<SharedParts>>,
}

/// Large parts, in order.
#[derive(Debug, Default)]
struct SharedParts(VecDeque<SharedPart>);

/// A large part that comes after `at` bytes of the flat buffer.
#[derive(Debug)]
struct SharedPart {
    at: usize,
    read: usize,
    bytes: Arc<Buffer>,
}

impl Batch {
    /// Is nothing left to write?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.flat_read == self.flat.len() && self.has_no_shared()
    }

    #[inline]
    fn has_no_shared(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.0.is_empty())
    }

    fn shared(&self) -> impl Iterator<Item = &SharedPart> {
        self.shared.iter().flat_map(|shared| shared.0.iter())
    }

    /// Everything that is left, where it lies in one piece: the common case.
    #[inline]
    pub fn as_one_slice(&self) -> Option<&[u8]> {
        self.has_no_shared().then(|| &self.flat[self.flat_read..])
    }

    /// Fills `slices` with what is to be written next, in order; returns how many it filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut count = 0;
        let mut push = |bytes: &'a [u8]| {
            if !bytes.is_empty() && count < SLICES_MAX {
                slices[count] = IoSlice::new(bytes);
                count += 1;
            }
        };
        let mut position = self.flat_read;
        for part in self.shared().take(SLICES_MAX / 2) {
            push(&self.flat[position..part.at]);
            push(&part.bytes[part.read..]);
            position = part.at;
        }
        if self.shared.as_ref().map_or(0, |shared| shared.0.len()) <= SLICES_MAX / 2 {
            push(&self.flat[position..]);
        }
        count
    }

    /// Forgets the first `written` bytes.
    #[inline]
    pub fn advance(&mut self, mut written: usize) {
        while let Some(shared) = &mut self.shared
            && let Some(part) = shared.0.front_mut()
        {
            let before = part.at - self.flat_read;
            if written < before {
                self.flat_read += written;
                return;
            }
            written -= before;
            self.flat_read = part.at;
            let left = part.bytes.len() - part.read;
            if written < left {
                part.read += written;
                return;
            }
            written -= left;
            shared.0.pop_front();
        }
        self.flat_read += written;
    }

    /// The size of the largest shared part, and how many bytes are to be written up to its end.
    fn largest_shared(&self) -> Option<(usize, usize)> {
        let mut shared_before = 0;
        let ends = self.shared().map(|part| {
            shared_before += part.bytes.len() - part.read;
            (part.bytes.len(), part.at - self.flat_read + shared_before)
        });
        ends.max_by_key(|(bytes, _)| *bytes)
    }

    /// Gives the memory back; the bytes were all written, or nobody wants them.
    #[inline]
    pub fn recycle(self, pool: &mut BufferPool) {
        pool.give(self.flat);
    }

    #[inline]
    fn flat_with_room(&mut self, pool: &mut BufferPool) -> &mut Buffer {
        if self.flat.capacity() == 0 {
            self.flat = pool.take();
        }
        &mut self.flat
    }

    fn push_shared(&mut self, bytes: &Arc<Buffer>) {
        let part = SharedPart { at: self.flat.len(), read: 0, bytes: Arc::clone(bytes) };
        self.shared.get_or_insert_default().0.push_back(part);
    }

    /// Puts `front`, of which some was written, before what was appended since.
    #[inline]
    fn put_in_front(&mut self, mut front: Batch, pool: &mut BufferPool) {
        if front.is_empty() {
            front.recycle(pool);
            return;
        }
        front.compact();
        if !self.is_empty() {
            let offset = front.flat.len();
            front.flat.extend_from_slice(&self.flat);
            if let Some(shared) = &mut self.shared {
                let moved = shared.0.drain(..).map(|part| SharedPart { at: part.at + offset, ..part });
                front.shared.get_or_insert_default().0.extend(moved);
            }
        }
        std::mem::replace(self, front).recycle(pool);
    }

    fn compact(&mut self) {
        let read = self.flat_read;
        if read >= COMPACT_BYTES_MIN && read * 2 >= self.flat.len() {
            self.flat.drain(..read);
            self.flat_read = 0;
            self.shared.iter_mut().flat_map(|shared| shared.0.iter_mut()).for_each(|part| part.at -= read);
        }
    }
}
