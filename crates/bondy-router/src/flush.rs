//! Who writes an outbox to its peer, and when.
//!
//! The protocol: whoever wants to flush takes all bytes under the session's lock if nobody is writing, writes with
//! the lock released, locks again, puts back in front what the socket did not take, and in that same section decides
//! what is next. A wake-up of the owner carries no reason: the owner locks and looks. Only the owner waits for the
//! socket to become writable. An encrypting session is written by its owner only.

use std::io::{self, IoSlice};

use bondy_wamp::buffer::BufferPool;
use bondy_wamp::mutation::mutated;
use bondy_wamp::outbox::{AfterWrite, Batch, SLICES_MAX};

use bondy_wamp::value::Value;

use crate::session::{Session, SessionState};
use crate::sync::Guard;

/// How often one flush writes in a row before it leaves the rest to the owner.
const WRITES_MAX: usize = 4;

/// The way to a session's peer.
pub trait Link: Send + Sync + std::fmt::Debug {
    /// Writes without blocking, from any thread; `WouldBlock` where the peer takes nothing at present.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Wakes the session's owner, who then looks at the session: is it closed, is there something to write?
    fn wake_owner(&self);

    /// How the peer is connected, for the meta API; null where there is nothing to say.
    fn describe(&self) -> Value;

    /// May only the owner write, because the bytes have to be encrypted?
    fn is_owner_only(&self) -> bool;
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing is left, or somebody else is writing.
    Done,
    /// The socket would block, or it was often enough: the owner waits and goes on.
    Blocked,
    /// The peer is gone.
    Broken,
}

impl Session {
    /// Flushes as a worker that took the session from [`Turn::touched`](crate::turn::Turn::touched): may leave the
    /// rest to the owner, whom it wakes.
    pub fn flush(&self, pool: &mut BufferPool) -> Flushed {
        let mut state = self.lock();
        state.forget_toucher();
        self.flush_locked(state, pool)
    }

    /// The same as a worker that took the session from
    /// [`Turn::touched_by_events`](crate::turn::Turn::touched_by_events). Whoever takes it from there must call this:
    /// until then no event lists it again.
    pub fn flush_events(&self, pool: &mut BufferPool) -> Flushed {
        let mut state = self.lock();
        state.forget_events();
        self.flush_locked(state, pool)
    }

    fn flush_locked(&self, mut state: Guard<'_, SessionState>, pool: &mut BufferPool) -> Flushed {
        if self.link().is_owner_only() {
            let wakes = state.wants_owner_woken();
            drop(state);
            if wakes {
                self.link().wake_owner();
            }
            return Flushed::Done;
        }
        let batch = state.outbox.take();
        drop(state);
        let Some(batch) = batch else { return Flushed::Done };
        let flushed = self.write(batch, pool, |slices| self.link().try_write(slices));
        if flushed != Flushed::Done && !mutated("owner_not_woken") {
            self.link().wake_owner();
        }
        flushed
    }

    /// Flushes as the owner, who was woken or has waited for the socket to become writable; `write` is the owner's
    /// own way to the peer, where only it may write.
    pub fn flush_as_owner(
        &self,
        pool: &mut BufferPool,
        write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Flushed {
        let mut state = self.lock();
        if !mutated("woken_cleared_late") {
            state.forget_owner_woken();
        }
        let batch = state.outbox.take_as_owner();
        drop(state);
        if mutated("woken_cleared_late") {
            self.lock().forget_owner_woken();
        }
        batch.map_or(Flushed::Done, |batch| self.write(batch, pool, write))
    }

    fn write(
        &self,
        mut batch: Batch,
        pool: &mut BufferPool,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Flushed {
        for writes in 1.. {
            let (written, would_block) = match write_once(&batch, &mut write) {
                Ok(written) => (written, written == 0),
                Err(error) if is_would_block(&error) => (0, true),
                Err(_) => {
                    batch.recycle(pool);
                    self.lock().outbox.discard();
                    return Flushed::Broken;
                }
            };
            batch.advance(written);
            let mut state = self.lock();
            let after = state.outbox.put_back(batch, written, !would_block && writes < WRITES_MAX, pool);
            let drained = state.outbox.drained_waiters();
            drop(state);
            drained.into_iter().for_each(std::task::Waker::wake);
            match after {
                AfterWrite::Idle => return Flushed::Done,
                AfterWrite::WakeOwner => return Flushed::Blocked,
                AfterWrite::GoOn(next) => batch = next,
            }
        }
        Flushed::Blocked
    }
}

fn write_once(
    batch: &Batch,
    write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<usize> {
    if let Some(slice) = batch.as_one_slice() {
        return write(&[IoSlice::new(slice)]);
    }
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let count = batch.slices(&mut slices);
    write(&slices[..count])
}

fn is_would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
