//! What a thread carries while it handles messages: the time, its scratch memory, and what it has touched.
//!
//! One [`Turn`] belongs to one worker and is passed to every entry point of the realm. It collects the effects of
//! handling: sessions whose outboxes must be flushed, timers to be armed, destinations that are congested.

use bondy_wamp::buffer::{Buffer, BufferPool};
use bondy_wamp::outbox::Tail;
use bondy_wamp::serializer::{Encoder, Serializer, TranscodeError};

use crate::broker::Route;
use crate::session::Session;
use crate::sync::Arc;
use crate::timer::Timer;

/// Buffers for tails that are kept: as many as one message needs at a time.
const SPARES_MAX: usize = 16;

/// Larger buffers are not kept, so that a burst of large messages does not pin memory.
const SPARE_BYTES_MAX: usize = 64 * 1024;

/// The time, as the caller of the realm sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds on a clock that never goes back; the same clock for all workers.
    pub monotonic_ns: u64,
    /// Microseconds since 1970 in UTC, for what people see.
    pub unix_us: u64,
}

/// What one worker carries through the realm.
#[derive(Debug)]
pub struct Turn {
    /// The time; the worker sets it once for each batch.
    pub now: Now,
    /// Which worker this is.
    pub worker: u16,
    /// Sessions whose outboxes hold new bytes, to be flushed by this worker. Each stands here once, unless another
    /// worker has listed it in between.
    pub touched: Vec<Arc<Session>>,
    /// The same for sessions that got events only, and not many: to be flushed after the others, with
    /// [`flush_events`](Session::flush_events). Each stands once in the lists of all workers together.
    pub touched_by_events: Vec<Arc<Session>>,
    /// Timers to be armed by this worker.
    pub timers: Vec<Timer>,
    /// Destinations of calls and results that are over their soft limit.
    pub congested: Vec<Arc<Session>>,
    /// Sessions that lost events, each at most once a minute: to be logged.
    pub slow: Vec<Arc<Session>>,
    /// Sessions that broke the protocol, and how: to be logged.
    pub violations: Vec<(Arc<Session>, String)>,
    /// What was counted since the worker last took it.
    pub stats: Stats,
    /// Random numbers of this worker.
    pub rng: fastrand::Rng,
    /// How this worker compresses events, if it can.
    pub deflater: Deflater,
    /// Buffers for outboxes.
    pub pool: BufferPool,
    /// Buffers for tails of messages.
    spare: Vec<Buffer>,
    /// The sessions that a fan-out goes to.
    pub(crate) routes: Vec<Route>,
    /// The order in which candidates are asked, where a policy needs to sort them.
    pub(crate) order: Vec<u32>,
}

impl Turn {
    /// The turn of one worker, with its own stream of random numbers.
    pub fn new(worker: u16, seed: u64) -> Self {
        Self {
            now: Now::default(),
            worker,
            touched: Vec::new(),
            touched_by_events: Vec::new(),
            timers: Vec::new(),
            congested: Vec::new(),
            stats: Stats::default(),
            rng: fastrand::Rng::with_seed(seed),
            deflater: Deflater::default(),
            pool: BufferPool::default(),
            spare: Vec::new(),
            routes: Vec::new(),
            slow: Vec::new(),
            violations: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Encodes the tail of a message for one serializer. Large tails are to be shared by reference.
    pub(crate) fn encode(
        &mut self,
        serializer: Serializer,
        shared_bytes_min: usize,
        encode: impl FnOnce(&mut Encoder<'_>) -> Result<(), TranscodeError>,
    ) -> Result<EncodedTail, TranscodeError> {
        let mut tail = self.spare.pop().unwrap_or_default();
        tail.clear();
        encode(&mut Encoder::tail(serializer, &mut tail))?;
        if tail.len() < shared_bytes_min {
            return Ok(EncodedTail::Small(tail));
        }
        Ok(EncodedTail::Large(Arc::new(tail)))
    }

    /// Compresses a whole message; `None` where this worker cannot.
    pub(crate) fn deflate(
        &mut self,
        head: &[u8],
        tail: Tail<'_>,
        shared_bytes_min: usize,
    ) -> Option<EncodedTail> {
        let deflater = self.deflater.0.as_mut()?;
        let mut message = self.pool.take();
        message.extend_from_slice(head);
        match tail {
            Tail::Copied(bytes) => message.extend_from_slice(bytes),
            Tail::Shared(bytes) => message.extend_from_slice(bytes),
        }
        let mut deflated = self.spare.pop().unwrap_or_default();
        deflated.clear();
        deflater(&message, &mut deflated);
        self.pool.give(message);
        let is_small = deflated.len() < shared_bytes_min;
        Some(if is_small { EncodedTail::Small(deflated) } else { EncodedTail::Large(Arc::new(deflated)) })
    }

    /// Gives the memory of a tail back.
    pub(crate) fn recycle(&mut self, tail: EncodedTail) {
        if let EncodedTail::Small(tail) = tail
            && tail.capacity() <= SPARE_BYTES_MAX
            && self.spare.len() < SPARES_MAX
        {
            self.spare.push(tail);
        }
    }

    /// A random id in global scope: 1 to 2^53.
    pub(crate) fn random_id(&mut self) -> u64 {
        self.rng.u64(1..=bondy_wamp::id::ID_MAX)
    }
}

/// Compresses one whole message (permessage-deflate without context takeover): appends the compressed form.
pub type Deflate = Box<dyn FnMut(&[u8], &mut Buffer) + Send>;

/// How a worker compresses events, if it can.
#[derive(Default)]
pub struct Deflater(pub Option<Deflate>);

impl std::fmt::Debug for Deflater {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Deflater").field(&self.0.is_some()).finish()
    }
}

/// The tail of a message, encoded for one serializer.
#[derive(Debug)]
pub(crate) enum EncodedTail {
    /// To be copied into each outbox.
    Small(Buffer),
    /// To be shared by the outboxes.
    Large(Arc<Buffer>),
}

impl EncodedTail {
    pub(crate) fn as_tail(&self) -> Tail<'_> {
        match self {
            EncodedTail::Small(bytes) => Tail::Copied(bytes),
            EncodedTail::Large(bytes) => Tail::Shared(bytes),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_tail().len()
    }
}

impl Stats {
    /// EVENT messages that were delivered or dropped: each has cost the time of one subscriber.
    pub fn events(&self) -> u64 {
        self.events_delivered
            + self.events_dropped_outbox
            + self.events_dropped_size
            + self.events_dropped_serializer
    }
}

macro_rules! stats {
    ($($name:ident: $text:literal,)*) => {
        /// Counters of one worker. Plain numbers, summed over the workers when somebody asks.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats { $(#[doc = $text] pub $name: u64,)* }

        impl Stats {
            /// Adds the counters of `other`.
            pub fn add(&mut self, other: &Stats) {
                $(self.$name += other.$name;)*
            }

            /// Every counter with its name and its description.
            pub fn named(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $text, self.$name),)*]
            }
        }
    };
}

stats! {
    messages_received: "Messages received from clients.",
    bytes_received: "Bytes of messages received from clients.",
    messages_sent: "Messages appended to outboxes.",
    bytes_sent: "Bytes of messages appended to outboxes.",
    sessions_joined: "Sessions that joined a realm.",
    sessions_left: "Sessions that left a realm.",
    protocol_violations: "Sessions closed for a protocol violation.",
    outbox_overflows: "Sessions closed because their outbox was over its limit.",
    publications: "PUBLISH messages routed.",
    events_delivered: "EVENT messages delivered.",
    events_dropped_outbox: "EVENT messages dropped because the subscriber reads too slowly.",
    events_dropped_size: "EVENT messages dropped because they are larger than the subscriber takes.",
    events_dropped_serializer: "EVENT messages dropped because the payload cannot be written in the subscriber's serializer.",
    calls: "CALL messages accepted.",
    invocations: "INVOCATION messages sent.",
    calls_succeeded: "Calls that ended with a RESULT.",
    calls_failed: "Calls that ended with an ERROR.",
    calls_timed_out: "Calls that ended by the router's timeout.",
    calls_canceled: "Calls that were canceled.",
    calls_rerouted: "Calls that were offered to another callee.",
    answers_late: "Answers that came after their call had ended.",
}
