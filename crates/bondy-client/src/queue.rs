//! The bounded queue between the background task and one stream of the application.
//!
//! One reader, any number of writers. What happens when it is full is the writer's choice: [`Queue::push_newest`] lets
//! the oldest item go and counts it, [`Queue::try_push`] refuses. Its lock is a leaf: nothing else is locked, and no
//! code of the application runs, while it is held.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// An item taken from a queue.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    /// The item.
    pub(crate) item: T,
    /// How many items were lost between the one before and this one.
    pub(crate) lost: u64,
}

/// A bounded queue that one stream reads.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    items_max: usize,
    bytes_max: usize,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<Entry<T>>,
    bytes: usize,
    lost: u64,
    has_ended: bool,
    reader: Option<Waker>,
}

#[derive(Debug)]
struct Entry<T> {
    item: T,
    bytes: usize,
    /// Items that the sender lost before this one; they are lost with it, if it is.
    lost_before: u64,
}

impl<T> Queue<T> {
    /// An empty queue of at most `items_max` items (at least one) and, as long as it holds more than one, `bytes_max`
    /// bytes.
    pub(crate) fn new(items_max: usize, bytes_max: usize) -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, lost: 0, has_ended: false, reader: None };
        Self { items_max: items_max.max(1), bytes_max, state: Mutex::new(state) }
    }

    /// Appends; if there is no room, the oldest items go. `lost_before` items are known to have been lost before this
    /// one. True if something of this queue was lost that was not before.
    pub(crate) fn push_newest(&self, item: T, bytes: usize, lost_before: u64) -> bool {
        let mut state = self.lock();
        if state.has_ended {
            return false;
        }
        state.append(item, bytes, lost_before);
        let lost_until_now = state.lost;
        while state.items.len() > 1 && self.is_over(&state) {
            state.lose_oldest();
        }
        let has_lost = state.lost > lost_until_now;
        wake(state);
        has_lost
    }

    /// Appends, or gives the item back where there is no room or nobody reads any more.
    pub(crate) fn try_push(&self, item: T, bytes: usize) -> Result<(), T> {
        let mut state = self.lock();
        let is_full =
            state.items.len() >= self.items_max || (state.bytes > 0 && state.bytes + bytes > self.bytes_max);
        if state.has_ended || is_full {
            return Err(item);
        }
        state.append(item, bytes, 0);
        wake(state);
        Ok(())
    }

    /// Appends the last item, which always has room, and ends the queue.
    pub(crate) fn push_last(&self, item: T) {
        let mut state = self.lock();
        if !state.has_ended {
            state.append(item, 0, 0);
            state.has_ended = true;
        }
        wake(state);
    }

    /// Nothing more comes; what is there can still be read.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.has_ended = true;
        wake(state);
    }

    /// The next item; `None` once the queue has ended and is empty.
    pub(crate) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Taken<T>>> {
        let mut state = self.lock();
        if let Some(entry) = state.items.pop_front() {
            state.bytes -= entry.bytes;
            let lost = std::mem::take(&mut state.lost) + entry.lost_before;
            return Poll::Ready(Some(Taken { item: entry.item, lost }));
        }
        if state.has_ended {
            return Poll::Ready(None);
        }
        match &mut state.reader {
            Some(reader) => reader.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn is_over(&self, state: &State<T>) -> bool {
        state.items.len() > self.items_max || state.bytes > self.bytes_max
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn append(&mut self, item: T, bytes: usize, lost_before: u64) {
        self.items.push_back(Entry { item, bytes, lost_before });
        self.bytes += bytes;
    }

    fn lose_oldest(&mut self) {
        if let Some(entry) = self.items.pop_front() {
            self.bytes -= entry.bytes;
            self.lost += 1 + entry.lost_before;
        }
    }
}

/// Wakes the reader, unlocked.
fn wake<T>(mut state: MutexGuard<'_, State<T>>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next<T>(queue: &Queue<T>) -> Poll<Option<(T, u64)>> {
        queue.poll_next(&mut Context::from_waker(Waker::noop())).map(|taken| taken.map(|t| (t.item, t.lost)))
    }

    #[test]
    fn the_oldest_goes_and_is_counted_with_what_was_lost_before_it() {
        let queue = Queue::new(2, 1000);
        assert!(!queue.push_newest('a', 1, 5));
        assert!(!queue.push_newest('b', 1, 0));
        assert!(queue.push_newest('c', 1, 2));
        assert_eq!(next(&queue), Poll::Ready(Some(('b', 6))));
        assert_eq!(next(&queue), Poll::Ready(Some(('c', 2))));
        assert!(next(&queue).is_pending());
    }

    #[test]
    fn bytes_are_bounded_but_one_item_always_fits() {
        let queue = Queue::new(10, 100);
        queue.push_newest('a', 60, 0);
        assert!(queue.push_newest('b', 500, 0));
        assert_eq!(next(&queue), Poll::Ready(Some(('b', 1))));
        assert_eq!(queue.try_push('c', 500), Ok(()));
        assert_eq!(queue.try_push('d', 1), Err('d'));
    }

    #[test]
    fn what_is_there_is_read_after_the_end() {
        let queue = Queue::new(1, 10);
        assert_eq!(queue.try_push('a', 1), Ok(()));
        assert_eq!(queue.try_push('b', 1), Err('b'));
        queue.push_last('c');
        queue.push_newest('d', 1, 0);
        assert_eq!(next(&queue), Poll::Ready(Some(('a', 0))));
        assert_eq!(next(&queue), Poll::Ready(Some(('c', 0))));
        assert_eq!(next(&queue), Poll::Ready(None));
    }
}
