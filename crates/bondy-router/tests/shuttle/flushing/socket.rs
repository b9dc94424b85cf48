//! A socket with little room, whose readiness works as in the runtime: an edge sets a flag and counts; a write that
//! would block clears the flag, only if no edge came since that write began.

use std::io::{self, IoSlice};

use bondy_router::flush::Link;
use bondy_wamp::mutation::mutated;
use bondy_wamp::value::Value;
use shuttle::sync::{Condvar, Mutex, MutexGuard};

/// One connection, seen from both ends.
#[derive(Debug)]
pub(super) struct Socket {
    kernel: Mutex<Kernel>,
    /// Something has changed for the owner, or for the peer.
    changed: Condvar,
    room_max: usize,
    is_owner_only: bool,
}

#[derive(Debug)]
struct Kernel {
    bytes: Vec<u8>,
    is_ready: bool,
    edges: u64,
    /// The owner was woken and has not looked yet.
    is_owner_woken: bool,
    has_hung_up: bool,
}

/// What the owner does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Look,
    End,
}

impl Socket {
    pub(super) fn new(room_max: usize, is_owner_only: bool) -> Self {
        let kernel =
            Kernel { bytes: Vec::new(), is_ready: true, edges: 0, is_owner_woken: false, has_hung_up: false };
        Self { kernel: Mutex::new(kernel), changed: Condvar::new(), room_max, is_owner_only }
    }

    fn kernel(&self) -> MutexGuard<'_, Kernel> {
        self.kernel.lock().expect("a failed thread ends the execution")
    }

    /// Writes what there is room for.
    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut kernel = self.kernel();
        let (edges, before) = (kernel.edges, kernel.bytes.len());
        for slice in slices {
            let room = self.room_max - kernel.bytes.len();
            kernel.bytes.extend_from_slice(&slice[..room.min(slice.len())]);
        }
        let written = kernel.bytes.len() - before;
        drop(kernel);
        self.changed.notify_all();
        if written > 0 {
            return Ok(written);
        }
        let mut kernel = self.kernel();
        if kernel.edges == edges || mutated("readiness_cleared_late") {
            kernel.is_ready = false;
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// The owner sleeps until it is woken or, if it wants to write, until the socket is ready.
    pub(super) fn wait(&self, wants_write: bool) -> Wake {
        let mut kernel = self.kernel();
        loop {
            if std::mem::take(&mut kernel.is_owner_woken) || (wants_write && kernel.is_ready) {
                return Wake::Look;
            }
            if kernel.has_hung_up {
                return Wake::End;
            }
            kernel = self.changed.wait(kernel).expect("a failed thread ends the execution");
        }
    }

    /// The peer reads what is there. A socket that was full becomes ready by that.
    pub(super) fn read(&self, bytes: &mut Vec<u8>) {
        let mut kernel = self.kernel();
        while kernel.bytes.is_empty() {
            kernel = self.changed.wait(kernel).expect("a failed thread ends the execution");
        }
        if kernel.bytes.len() == self.room_max {
            kernel.is_ready = true;
            kernel.edges += 1;
        }
        bytes.append(&mut kernel.bytes);
        drop(kernel);
        self.changed.notify_all();
    }

    /// The peer has read everything.
    pub(super) fn hang_up(&self) {
        self.kernel().has_hung_up = true;
        self.changed.notify_all();
    }
}

impl Link for Socket {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write(slices)
    }

    fn wake_owner(&self) {
        self.kernel().is_owner_woken = true;
        self.changed.notify_all();
    }

    fn describe(&self) -> Value {
        Value::Null
    }

    fn is_owner_only(&self) -> bool {
        self.is_owner_only
    }
}
