//! Which numbers of a lane are done with, and how each ended.

use std::collections::BTreeMap;

use crate::Settled;

/// How a record left the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Delivered = 1,
    Refused = 2,
    Discarded = 3,
    DroppedBySize = 4,
    DroppedByAge = 5,
    /// Damage took it.
    Lost = 6,
}

impl End {
    pub(crate) const ALL: [Self; 6] = [
        Self::Delivered,
        Self::Refused,
        Self::Discarded,
        Self::DroppedBySize,
        Self::DroppedByAge,
        Self::Lost,
    ];
}

impl From<Settled> for End {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Delivered => Self::Delivered,
            Settled::Refused => Self::Refused,
            Settled::Discarded => Self::Discarded,
        }
    }
}

/// The numbers of a lane that are done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// The lowest number that is not done with.
    head: u64,
    /// Ranges done with above the head, first to last, that neither overlap nor touch.
    beyond: BTreeMap<u64, u64>,
    /// How many ended in each way, in the order of [`End::ALL`].
    counts: [u64; End::ALL.len()],
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { head: 1, beyond: BTreeMap::new(), counts: [0; End::ALL.len()] }
    }

    /// One of parts as [`Ledger::parts`] gave them.
    pub(crate) fn of(
        head: u64,
        counts: [u64; End::ALL.len()],
        ranges: impl Iterator<Item = (u64, u64)>,
    ) -> Self {
        let mut ledger = Self { head: head.max(1), beyond: BTreeMap::new(), counts };
        ranges.for_each(|(first, last)| ledger.insert(first, last));
        ledger
    }

    pub(crate) fn parts(
        &self,
    ) -> (u64, &[u64; End::ALL.len()], impl Iterator<Item = (u64, u64)> + '_) {
        (self.head, &self.counts, self.beyond.iter().map(|(&first, &last)| (first, last)))
    }

    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    pub(crate) fn count(&self, end: End) -> u64 {
        self.counts[end as usize - 1]
    }

    /// The highest number done with.
    pub(crate) fn highest(&self) -> u64 {
        self.beyond.last_key_value().map_or(self.head - 1, |(_, &last)| last)
    }

    pub(crate) fn is_done(&self, number: u64) -> bool {
        self.covers(number, number)
    }

    /// Whether all of these are done with.
    pub(crate) fn covers(&self, first: u64, last: u64) -> bool {
        let first = first.max(self.head);
        let below = self.beyond.range(..=first).next_back();
        first > last || below.is_some_and(|(_, &end)| last <= end)
    }

    /// The ranges among these numbers that are not done with; `end` is none of them.
    pub(crate) fn undone(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut from = start.max(self.head);
        if let Some((_, &last)) = self.beyond.range(..from).next_back() {
            from = from.max(last + 1);
        }
        let mut undone = Vec::new();
        if from >= end {
            return undone;
        }
        for (&first, &last) in self.beyond.range(from..end) {
            if from < first {
                undone.push((from, first - 1));
            }
            from = last + 1;
        }
        if from < end {
            undone.push((from, end - 1));
        }
        undone
    }

    /// Writes down how these ended; what was done with before is not counted again.
    pub(crate) fn note(&mut self, end: End, first: u64, last: u64) {
        let undone = self.undone(first, last + 1);
        let count: u64 = undone.iter().map(|(first, last)| last - first + 1).sum();
        let counter = &mut self.counts[end as usize - 1];
        *counter = counter.saturating_add(count);
        self.insert(first, last);
    }

    fn insert(&mut self, mut first: u64, mut last: u64) {
        if last < self.head || first > last {
            return;
        }
        // What it overlaps or touches becomes one with it.
        while let Some((&start, &end)) = self.beyond.range(..=last + 1).next_back() {
            if end + 1 < first {
                break;
            }
            self.beyond.remove(&start);
            (first, last) = (first.min(start), last.max(end));
        }
        if first <= self.head {
            self.head = last + 1;
        } else {
            self.beyond.insert(first, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_as_a_set_of_numbers(
            notes in prop::collection::vec((1_u64..60, 0_u64..6, 0_usize..6), 0..40)
        ) {
            let (mut ledger, mut model) = (Ledger::new(), BTreeSet::new());
            let mut counts = [0; 6];
            for (first, more, end) in notes {
                ledger.note(End::ALL[end], first, first + more);
                for number in first..=first + more {
                    counts[end] += u64::from(model.insert(number));
                }
            }
            for number in 1..70 {
                prop_assert_eq!(ledger.is_done(number), model.contains(&number));
            }
            let head = (1..).find(|number| !model.contains(number)).unwrap();
            prop_assert_eq!(ledger.head(), head);
            prop_assert_eq!(ledger.highest(), model.last().copied().unwrap_or(0).max(head - 1));
            let undone: Vec<u64> =
                ledger.undone(5, 50).into_iter().flat_map(|(first, last)| first..=last).collect();
            let expected: Vec<u64> = (5..50).filter(|number| !model.contains(number)).collect();
            prop_assert_eq!(undone, expected);
            prop_assert_eq!(End::ALL.map(|end| ledger.count(end)), counts);
            let (head, &counts, ranges) = ledger.parts();
            prop_assert_eq!(&Ledger::of(head, counts, ranges), &ledger);
        }
    }
}
