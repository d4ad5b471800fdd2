//! The masks of TensorFlow's strided slices, which TensorFlow Lite has too
//! (`core/util/strided_slice_op.cc`).

/// Past every end, in the direction of the step.
pub(crate) const TO_THE_END: i64 = i64::MAX;
pub(crate) const TO_THE_START: i64 = i64::MIN;

/// What the masks of a strided slice make of one entry of its lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The `entry`-th range applies to dimension `axis`; it goes away when `single`.
    Range { entry: usize, axis: i64, single: bool },
    /// A new dimension of size one.
    New,
    /// The `0`-many dimensions in the middle that no entry names.
    Rest(i64),
}

/// Which entries of the lists mean something else than a range; bit i is entry i.
pub(crate) struct Masks {
    pub(crate) begin: i32,
    pub(crate) end: i32,
    pub(crate) ellipsis: i32,
    pub(crate) new_axis: i32,
    pub(crate) shrink: i32,
}

/// Masks have 32 bits; lists may be longer.
pub(crate) fn bit(mask: i32, entry: usize) -> bool {
    entry < 32 && mask >> entry & 1 == 1
}

/// What each of `count` entries means for an operand of `rank` dimensions.
pub(crate) fn entries(masks: &Masks, count: usize, rank: usize) -> Result<Vec<Entry>, String> {
    let is_ellipsis = |entry| bit(masks.ellipsis, entry);
    let is_new = |entry| !is_ellipsis(entry) && bit(masks.new_axis, entry);
    let named = (0..count).filter(|&entry| !is_ellipsis(entry) && !is_new(entry)).count();
    let rest = rank.checked_sub(named);
    let rest = rest.ok_or_else(|| "it names more dimensions than there are".to_owned())? as i64;
    let mut axis = 0;
    let mut list = Vec::with_capacity(count);
    for entry in 0..count {
        if is_ellipsis(entry) {
            list.push(Entry::Rest(rest));
            axis += rest;
        } else if is_new(entry) {
            list.push(Entry::New);
        } else {
            list.push(Entry::Range { entry, axis, single: bit(masks.shrink, entry) });
            axis += 1;
        }
    }
    Ok(list)
}

/// The entries that are ranges: entry, dimension, and whether the dimension goes away.
pub(crate) fn ranges(entries: &[Entry]) -> Vec<(usize, i64, bool)> {
    let range = |&entry: &Entry| match entry {
        Entry::Range { entry, axis, single } => Some((entry, axis, single)),
        _ => None,
    };
    entries.iter().filter_map(range).collect()
}

/// Where the new dimensions stand in the result.
pub(crate) fn new_axes(entries: &[Entry]) -> Vec<i64> {
    let mut position = 0;
    let mut new = Vec::new();
    for entry in entries {
        match entry {
            Entry::New => {
                new.push(position);
                position += 1;
            }
            Entry::Range { single, .. } => position += i64::from(!single),
            Entry::Rest(count) => position += count,
        }
    }
    new
}

/// Starts and ends of the ranges, where the file gives them; `offset` when ends count from starts.
pub(crate) fn known_bounds(
    masks: &Masks,
    offset: bool,
    ranges: &[(usize, i64, bool)],
    begin: &[i64],
    end: &[i64],
    steps: &[i64],
) -> (Vec<i64>, Vec<i64>) {
    let bounds = |&(entry, _, single): &(usize, i64, bool)| {
        let (from, to) = (begin[entry], end[entry]);
        if single {
            // The last element is -1, and what follows it is no index.
            return (from, if from == -1 { TO_THE_END } else { from.saturating_add(1) });
        }
        let to = if offset { from.saturating_add(to) } else { to };
        let (first, last) =
            if steps[entry] < 0 { (TO_THE_END, TO_THE_START) } else { (0, TO_THE_END) };
        (
            if bit(masks.begin, entry) { first } else { from },
            if bit(masks.end, entry) { last } else { to },
        )
    };
    ranges.iter().map(bounds).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_place_every_entry() {
        // x[new, ..., 3, 1:2] of four dimensions.
        let masks = Masks { begin: 0, end: 0, ellipsis: 2, new_axis: 1, shrink: 4 };
        let list = entries(&masks, 4, 4).unwrap();
        assert_eq!(
            list,
            [
                Entry::New,
                Entry::Rest(2),
                Entry::Range { entry: 2, axis: 2, single: true },
                Entry::Range { entry: 3, axis: 3, single: false },
            ]
        );
        assert_eq!(new_axes(&list), [0]);
        assert!(entries(&masks, 9, 4).is_err());
    }

    #[test]
    fn open_ends_follow_the_direction() {
        let masks = Masks { begin: 1, end: 3, ellipsis: 0, new_axis: 0, shrink: 0 };
        let ranges = [(0, 0, false), (1, 1, false), (2, 2, true)];
        let (starts, ends) =
            known_bounds(&masks, false, &ranges, &[5, 4, -1], &[6, 6, 0], &[-1, 1, 1]);
        assert_eq!(starts, [TO_THE_END, 4, -1]);
        assert_eq!(ends, [TO_THE_START, TO_THE_END, TO_THE_END]);
    }
}
