//! A registration: one procedure or pattern, the sessions that serve it, and how one of them is chosen.

use std::hash::{BuildHasher, Hasher};

use arc_swap::Guard;
use bondy_wamp::feature::Feature;
use bondy_wamp::id::{RegistrationId, SessionId};
use bondy_wamp::serializer::Serializer;
use bondy_wamp::uri::MatchPolicy;
use bondy_wamp::value::Value;

use crate::registry::{Entry, Members};
use crate::roster::{Member, Roster};
use crate::session::Session;
use crate::slot::Slot;
use crate::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::turn::Turn;

/// How a callee is chosen among those that share a registration.
///
/// Specification: Advanced Profile, "Shared Registration". `least_loaded` and `consistent_hash` are extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum InvocationPolicy {
    /// Only one callee.
    #[default]
    Single,
    /// One after another.
    RoundRobin,
    /// By chance.
    Random,
    /// The one that registered first.
    First,
    /// The one that registered last.
    Last,
    /// The one that runs the fewest invocations of this registration.
    LeastLoaded,
    /// The one that the hash of `CALL.Options.rkey` points to; calls without a key go to a callee by chance.
    ConsistentHash,
}

impl InvocationPolicy {
    /// Every policy.
    pub(crate) const ALL: [InvocationPolicy; 7] = [
        InvocationPolicy::Single,
        InvocationPolicy::RoundRobin,
        InvocationPolicy::Random,
        InvocationPolicy::First,
        InvocationPolicy::Last,
        InvocationPolicy::LeastLoaded,
        InvocationPolicy::ConsistentHash,
    ];

    /// The name on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            InvocationPolicy::Single => "single",
            InvocationPolicy::RoundRobin => "roundrobin",
            InvocationPolicy::Random => "random",
            InvocationPolicy::First => "first",
            InvocationPolicy::Last => "last",
            InvocationPolicy::LeastLoaded => "least_loaded",
            InvocationPolicy::ConsistentHash => "consistent_hash",
        }
    }

    /// The policy of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == name)
    }
}

/// One registration of a realm.
#[derive(Debug)]
pub(crate) struct Registration {
    id: RegistrationId,
    uri: Box<str>,
    match_policy: MatchPolicy,
    invoke: InvocationPolicy,
    created_unix_us: u64,
    callees: Roster<Callee>,
    next: AtomicUsize,
    /// A callee that announced `call_reroute` was here.
    has_rerouting_callee: AtomicBool,
    pub(crate) stats: RegistrationStats,
}

/// What a registration has carried. Shared between workers: a hint for people, not part of the protocol.
#[derive(Debug, Default)]
pub(crate) struct RegistrationStats {
    pub(crate) invocations: AtomicU64,
    pub(crate) errors: AtomicU64,
}

/// One session's place in a registration.
#[derive(Clone, Debug)]
pub(crate) struct Callee {
    pub(crate) session: Arc<Session>,
    pub(crate) slot: Arc<Slot>,
    /// How many invocations at once; 0 means any number.
    pub(crate) concurrency: u32,
    pub(crate) discloses_caller: bool,
    pub(crate) forwards_timeout: bool,
}

impl Callee {
    /// Exact under the session's lock.
    pub(crate) fn is_at_its_concurrency(&self) -> bool {
        self.concurrency > 0 && self.slot.running() >= self.concurrency
    }
}

impl Member for Callee {
    fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl Registration {
    pub(crate) fn new(
        id: u64,
        uri: &str,
        match_policy: MatchPolicy,
        invoke: InvocationPolicy,
        created_unix_us: u64,
    ) -> Self {
        Self {
            id: RegistrationId(id),
            uri: uri.into(),
            match_policy,
            invoke,
            created_unix_us,
            callees: Roster::default(),
            next: AtomicUsize::new(0),
            has_rerouting_callee: AtomicBool::new(false),
            stats: RegistrationStats::default(),
        }
    }

    pub(crate) fn registration_id(&self) -> RegistrationId {
        self.id
    }

    pub(crate) fn invoke(&self) -> InvocationPolicy {
        self.invoke
    }

    pub(crate) fn created_unix_us(&self) -> u64 {
        self.created_unix_us
    }

    pub(crate) fn callees(&self) -> Arc<Members<Callee>> {
        self.callees.load()
    }

    /// Could a call be offered to another callee after one has said `wamp.error.unavailable`?
    pub(crate) fn may_reroute(&self) -> bool {
        self.has_rerouting_callee.load(Ordering::Relaxed) && self.callees.len() > 1
    }

    /// Under control. Returns the chunk that the callee went into.
    pub(crate) fn add(&self, callee: Callee) -> u64 {
        if callee.session.features().has(Feature::CalleeReroute) {
            self.has_rerouting_callee.store(true, Ordering::Relaxed);
        }
        self.callees.add(callee)
    }

    /// Under control. Returns how many are left.
    pub(crate) fn remove(&self, chunk: u64, slot: &Arc<Slot>) -> usize {
        self.callees.remove(chunk, slot)
    }

    /// The callees in the order in which this call asks them.
    pub(crate) fn candidates(&self, serializer: Serializer, rkey: &[u8], turn: &mut Turn) -> Candidates {
        let callees = self.callees.peek();
        let count = callees.len();
        let order = match self.invoke {
            InvocationPolicy::Single | InvocationPolicy::First => Order::From(0),
            InvocationPolicy::Last => Order::Backwards,
            _ if count <= 1 => Order::From(0),
            InvocationPolicy::RoundRobin => Order::From(self.next.fetch_add(1, Ordering::Relaxed) % count),
            InvocationPolicy::Random => Order::From(turn.rng.usize(..count)),
            InvocationPolicy::LeastLoaded => {
                // Equals are asked in turn, so that idle callees share the work.
                let start = self.next.fetch_add(1, Ordering::Relaxed) % count;
                sort_by(turn, count, |index| {
                    let running = callees.at(index).map_or(u32::MAX, |callee| callee.slot.running());
                    (u64::from(running) << 32) | ((index + count - start) % count) as u64
                })
            }
            InvocationPolicy::ConsistentHash if rkey.is_empty() => Order::From(turn.rng.usize(..count)),
            InvocationPolicy::ConsistentHash => {
                let key = canonical_key(serializer, rkey);
                sort_by(turn, count, |index| {
                    callees.at(index).map_or(u64::MAX, |callee| rendezvous(&key, callee.session.id()))
                })
            }
        };
        Candidates { callees, order, asked: 0 }
    }
}

/// Sorts the indices of the callees into the turn's scratch memory.
fn sort_by(turn: &mut Turn, count: usize, mut key: impl FnMut(usize) -> u64) -> Order {
    turn.order.clear();
    turn.order.extend(0..count as u32);
    turn.order.sort_by_cached_key(|index| key(*index as usize));
    Order::Sorted
}

/// The same bytes for the same key, whichever serializer its caller uses.
fn canonical_key(serializer: Serializer, rkey: &[u8]) -> Vec<u8> {
    Value::decode(serializer, rkey)
        .map_or_else(|_| rkey.to_vec(), |key| key.to_bytes(Serializer::MessagePack))
}

/// Rendezvous hashing: each key has its own order of the callees, and a callee that comes or goes moves only the
/// keys that it wins or held. The hash is fixed, so that every node of a cluster agrees.
fn rendezvous(rkey: &[u8], callee: SessionId) -> u64 {
    let mut hasher = foldhash::quality::FixedState::with_seed(0x626f_6e64).build_hasher();
    hasher.write(rkey);
    hasher.write_u64(callee.0);
    hasher.finish()
}

/// The callees that a call may ask, in order. One pass; each callee comes once.
#[derive(Debug)]
pub(crate) struct Candidates {
    callees: Guard<Arc<Members<Callee>>>,
    order: Order,
    asked: usize,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    From(usize),
    Backwards,
    /// As the turn's scratch memory says.
    Sorted,
}

impl Candidates {
    /// Is there nobody to ask?
    pub(crate) fn is_empty(&self) -> bool {
        self.callees.is_empty()
    }

    /// The next one to ask.
    pub(crate) fn next(&mut self, turn: &Turn) -> Option<&Callee> {
        let count = self.callees.len();
        if self.asked >= count {
            return None;
        }
        let index = match self.order {
            Order::From(start) => (start + self.asked) % count,
            Order::Backwards => count - 1 - self.asked,
            Order::Sorted => turn.order.get(self.asked).map_or(self.asked, |index| *index as usize),
        };
        self.asked += 1;
        self.callees.at(index)
    }
}

impl Entry for Registration {
    fn id(&self) -> u64 {
        self.id.0
    }

    fn uri(&self) -> &str {
        &self.uri
    }

    fn match_policy(&self) -> MatchPolicy {
        self.match_policy
    }
}
