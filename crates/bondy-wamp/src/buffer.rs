//! The growable byte buffer that everything is encoded into, and a pool of them.

/// A growable byte buffer.
pub type Buffer = Vec<u8>;

/// The most buffers that a pool keeps: a worker touches some thousand outboxes in one turn at most.
const POOL_BUFFERS_MAX: usize = 1024;

/// Buffers that grew beyond this are not kept, so that a burst of large messages does not pin memory.
const POOL_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The capacity of a new buffer: a few small messages.
const BUFFER_BYTES_INITIAL: usize = 1024;

/// Buffers to be used again. One for each worker, so that it needs no lock.
#[derive(Debug, Default)]
pub struct BufferPool {
    free: Vec<Buffer>,
}

impl BufferPool {
    /// An empty buffer, with some capacity.
    #[inline]
    pub fn take(&mut self) -> Buffer {
        self.free.pop().unwrap_or_else(|| Buffer::with_capacity(BUFFER_BYTES_INITIAL))
    }

    /// Gives a buffer back.
    #[inline]
    pub fn give(&mut self, mut buffer: Buffer) {
        let is_worth_keeping = (1..=POOL_BUFFER_BYTES_MAX).contains(&buffer.capacity());
        if is_worth_keeping && self.free.len() < POOL_BUFFERS_MAX {
            buffer.clear();
            self.free.push(buffer);
        }
    }
}
