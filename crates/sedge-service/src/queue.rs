use std::collections::VecDeque;

/// What waits, in a line for each caller; the lines take turns, so that who asks a lot waits longer
/// and nobody else does.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    /// The lines in the order of their turns, none of them empty.
    lines: VecDeque<Line<T>>,
    len: usize,
    bound: usize,
}

#[derive(Debug)]
struct Line<T> {
    caller: Option<String>,
    items: VecDeque<T>,
}

/// Where an item went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed<T> {
    /// It waits.
    Waits,
    /// It waits in the place of the newest item of the longest line.
    Displaced(T),
    /// There is no place for it.
    Full(T),
}

impl<T> FairQueue<T> {
    /// A queue that holds up to `bound` items, and at least one.
    pub(crate) fn new(bound: usize) -> Self {
        Self { lines: VecDeque::new(), len: 0, bound: bound.max(1) }
    }

    /// Items in it now.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Items that are handed out before the next one of `caller`, when all lines take turns.
    pub(crate) fn ahead_of(&self, caller: Option<&str>) -> usize {
        let own = self.line(caller).map_or(0, |index| self.lines[index].items.len());
        self.lines.iter().map(|line| line.items.len().min(own + 1)).sum::<usize>().min(self.len)
    }

    /// Adds an item. When the queue is full, the caller with the longest line gives up its newest
    /// place, unless that is this caller.
    pub(crate) fn push(&mut self, caller: Option<&str>, item: T) -> Pushed<T> {
        let mut outcome = Pushed::Waits;
        if self.len >= self.bound {
            let own = self.line(caller).map_or(0, |index| self.lines[index].items.len());
            let longest = self.lines.iter_mut().max_by_key(|line| line.items.len());
            match longest.filter(|line| line.items.len() > own + 1) {
                Some(line) => {
                    let Some(newest) = line.items.pop_back() else { return Pushed::Full(item) };
                    self.len -= 1;
                    outcome = Pushed::Displaced(newest);
                }
                None => return Pushed::Full(item),
            }
        }
        match self.line(caller) {
            Some(index) => self.lines[index].items.push_back(item),
            None => {
                let caller = caller.map(str::to_owned);
                self.lines.push_back(Line { caller, items: VecDeque::from([item]) });
            }
        }
        self.len += 1;
        outcome
    }

    /// Gives an item that was handed out its place back, before all others and beyond the bound.
    pub(crate) fn push_front(&mut self, caller: Option<&str>, item: T) {
        let line = self.line(caller).and_then(|index| self.lines.remove(index));
        let mut line = line
            .unwrap_or_else(|| Line { caller: caller.map(str::to_owned), items: VecDeque::new() });
        line.items.push_front(item);
        self.lines.push_front(line);
        self.len += 1;
    }

    /// The oldest item of the line whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let mut line = self.lines.pop_front()?;
        let item = line.items.pop_front();
        self.len -= usize::from(item.is_some());
        if !line.items.is_empty() {
            self.lines.push_back(line);
        }
        item
    }

    /// The item that [`Self::pop`] would hand out.
    pub(crate) fn peek(&self) -> Option<&T> {
        self.lines.front()?.items.front()
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.len = 0;
        std::mem::take(&mut self.lines).into_iter().flat_map(|line| line.items)
    }

    /// Keeps what `keep` says.
    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.lines.iter_mut().for_each(|line| line.items.retain(&keep));
        self.lines.retain(|line| !line.items.is_empty());
        self.len = self.lines.iter().map(|line| line.items.len()).sum();
    }

    fn line(&self, caller: Option<&str>) -> Option<usize> {
        self.lines.iter().position(|line| line.caller.as_deref() == caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_take_turns() {
        let mut queue = FairQueue::new(10);
        for item in ["a1", "a2", "a3"] {
            assert_eq!(queue.push(Some("a"), item), Pushed::Waits);
        }
        assert_eq!([queue.ahead_of(Some("a")), queue.ahead_of(Some("b"))], [3, 1]);
        queue.push(Some("b"), "b1");
        queue.push(None, "c1");
        assert_eq!((queue.len(), queue.peek()), (5, Some(&"a1")));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["a1", "b1", "c1", "a2", "a3"]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn who_fills_the_queue_makes_room() {
        let mut queue = FairQueue::new(3);
        (1..=3).for_each(|item| assert_eq!(queue.push(Some("a"), item), Pushed::Waits));
        assert_eq!(queue.push(Some("a"), 4), Pushed::Full(4));
        assert_eq!(queue.push(Some("b"), 5), Pushed::Displaced(3));
        assert_eq!(queue.push(Some("b"), 6), Pushed::Full(6), "both have their share");
        assert_eq!(queue.push(Some("c"), 7), Pushed::Displaced(2));
        assert_eq!(queue.push(Some("d"), 8), Pushed::Full(8), "all have one place");
        assert_eq!(queue.len(), 3);
        queue.push_front(Some("e"), 9);
        queue.push_front(Some("c"), 0);
        assert_eq!((queue.len(), queue.pop(), queue.pop()), (5, Some(0), Some(9)), "put back");
        assert_eq!(queue.len(), 3);
        queue.retain(|&item| item != 5);
        assert_eq!(queue.drain().collect::<Vec<_>>(), [1, 7]);
        assert_eq!((queue.len(), queue.pop()), (0, None));
    }
}
