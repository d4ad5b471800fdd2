use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A bounded queue between those who admit requests and the threads that answer them.
///
/// Adding wakes one waiting thread, and only that one.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    bound: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// So many are waiting already.
    Full(usize),
    Closed,
}

impl<T> Queue<T> {
    /// A queue that holds up to `bound` items, and at least one.
    pub(crate) fn new(bound: usize) -> Self {
        let state = State { items: VecDeque::new(), closed: false };
        Self { state: Mutex::new(state), filled: Condvar::new(), bound: bound.max(1) }
    }

    /// Adds an item unless the queue is full or closed; says how many wait with it.
    pub(crate) fn push(&self, item: T) -> Result<usize, Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.items.len() >= self.bound {
            return Err(Refused::Full(state.items.len()));
        }
        state.items.push_back(item);
        let waiting = state.items.len();
        // A thread that is woken before the lock is free would only go to sleep again.
        drop(state);
        self.filled.notify_one();
        Ok(waiting)
    }

    /// The oldest item, waiting for one; `None` when the queue is closed and empty.
    pub(crate) fn pop(&self) -> Option<T> {
        let empty = |state: &mut State<T>| state.items.is_empty() && !state.closed;
        let waited = self.filled.wait_while(self.lock(), empty);
        waited.unwrap_or_else(PoisonError::into_inner).items.pop_front()
    }

    /// Takes nothing more; what is in it is still handed out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Items in it now.
    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_in_order() {
        let queue = Queue::new(2);
        assert_eq!([queue.push('a'), queue.push('b')], [Ok(1), Ok(2)]);
        assert_eq!(queue.push('c'), Err(Refused::Full(2)));
        assert_eq!((queue.pop(), queue.len()), (Some('a'), 1));
        queue.close();
        assert_eq!(queue.push('d'), Err(Refused::Closed));
        assert_eq!([queue.pop(), queue.pop()], [Some('b'), None]);
    }

    #[test]
    fn every_item_reaches_one_thread_and_closing_ends_them_all() {
        let queue = Queue::new(1000);
        let sum: u64 = std::thread::scope(|scope| {
            let take = || std::iter::from_fn(|| queue.pop()).sum::<u64>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            for item in 1..=1000 {
                queue.push(item).unwrap();
            }
            queue.close();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(sum, 500_500);
    }
}
