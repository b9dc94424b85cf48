//! The sessions of one subscription or registration: changed under control, read without a lock.

use arc_swap::{ArcSwap, Guard};

use crate::registry::Members;
use crate::slot::Slot;
use crate::sync::{Arc, step};

/// One session's place in a subscription or registration.
pub(crate) trait Member: Clone {
    /// The slot of this place.
    fn slot(&self) -> &Arc<Slot>;
}

/// All places of one subscription or registration.
#[derive(Debug)]
pub(crate) struct Roster<M>(ArcSwap<Members<M>>);

impl<M> Default for Roster<M> {
    fn default() -> Self {
        Self(ArcSwap::default())
    }
}

impl<M: Member> Roster<M> {
    /// The members at present.
    pub(crate) fn load(&self) -> Arc<Members<M>> {
        step();
        self.0.load_full()
    }

    /// The same, for as long as one message is handled: cheaper, but a thread can have few of these at a time.
    pub(crate) fn peek(&self) -> Guard<Arc<Members<M>>> {
        step();
        self.0.load()
    }

    /// How many there are at present.
    pub(crate) fn len(&self) -> usize {
        self.0.load().len()
    }

    /// Under control. Returns the chunk that the member went into.
    pub(crate) fn add(&self, member: M) -> u64 {
        step();
        let (members, chunk) = self.0.load().with(member);
        self.0.store(Arc::new(members));
        chunk
    }

    /// Under control. Returns how many are left.
    pub(crate) fn remove(&self, chunk: u64, slot: &Arc<Slot>) -> usize {
        step();
        let members = self.0.load().without(chunk, |member| Arc::ptr_eq(member.slot(), slot));
        let left = members.len();
        self.0.store(Arc::new(members));
        left
    }
}
