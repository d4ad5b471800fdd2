//! Weights that are stored without their zeros.
//!
//! Format: `SparsityParameters` of the schema. Dimensions are walked in an order of the file's
//! choice; some may be cut into blocks, whose places within come after all dimensions. Each level is
//! either dense, or lists which indices have elements (as rows of a CSR matrix list their columns).

use super::schema::{dimension, sparsity};
use crate::flatbuffer::{Malformed, Table};

/// Dimensions and blocks; tensors have at most half as many dimensions.
const MAX_LEVELS: usize = 32;

enum Level<'w> {
    Dense(usize),
    /// Where each parent's list begins in the second list, and the indices themselves.
    Sparse(Numbers<'w>, Numbers<'w>),
}

/// A list of numbers of one, two or four bytes, read where they lie.
struct Numbers<'w> {
    bytes: &'w [u8],
    width: usize,
}

impl Numbers<'_> {
    fn get(&self, index: usize) -> Option<usize> {
        let start = index.checked_mul(self.width)?;
        let bytes = self.bytes.get(start..)?.get(..self.width)?;
        let mut wide = [0; 4];
        wide.get_mut(..self.width)?.copy_from_slice(bytes);
        usize::try_from(u32::from_le_bytes(wide)).ok()
    }
}

struct Walk<'w> {
    levels: Vec<Level<'w>>,
    order: Vec<usize>,
    /// For each block level: the dimension it refines and how many elements a block has.
    blocks: Vec<(usize, usize)>,
    shape: &'w [usize],
    size: usize,
    /// Values that are not placed yet.
    values: &'w [u8],
    dense: Vec<u8>,
    /// Steps that are left: a hostile file could ask for many that reach no element.
    steps: usize,
}

/// The bytes of the dense tensor of `count` elements of `size` bytes; `None` where the lists
/// contradict each other or the shape.
pub(super) fn densify(
    table: &Table<'_>,
    shape: &[usize],
    count: usize,
    size: usize,
    values: &[u8],
) -> Result<Option<Vec<u8>>, Malformed> {
    let indices = |field| -> Result<Option<Vec<usize>>, Malformed> {
        let list = table.i32s(field)?;
        Ok(list.into_iter().map(|n| usize::try_from(n).ok()).collect())
    };
    let (order, map) = (indices(sparsity::TRAVERSAL_ORDER)?, indices(sparsity::BLOCK_MAP)?);
    let (Some(order), Some(map)) = (order, map) else { return Ok(None) };
    let rank = shape.len();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    let dimensions = table.tables(sparsity::DIMENSIONS)?;
    let sound = order.len() <= MAX_LEVELS
        && order.len() == rank + map.len()
        && dimensions.len() == order.len()
        && sorted.iter().enumerate().all(|(at, &level)| at == level)
        // Blocks come behind the dimensions they refine.
        && order.iter().take(rank).all(|&level| level < rank)
        && map.iter().all(|&dimension| dimension < rank);
    if !sound {
        return Ok(None);
    }
    let mut levels = Vec::with_capacity(order.len());
    for dimension in dimensions.iter() {
        match level(&dimension?)? {
            Some(level) => levels.push(level),
            None => return Ok(None),
        }
    }
    let mut blocks = vec![(0, 1); map.len()];
    for (&level, metadata) in order.iter().zip(&levels).skip(rank) {
        let Level::Dense(length) = *metadata else { return Ok(None) };
        blocks[level - rank] = (map[level - rank], length);
    }
    let steps = count.saturating_mul(order.len() + 1).saturating_add(order.len());
    let dense = vec![0; count * size];
    let mut walk = Walk { levels, order, blocks, shape, size, values, dense, steps };
    let mut at = Vec::with_capacity(walk.order.len());
    Ok(walk.level(0, &mut at).map(|()| walk.dense))
}

fn level<'a>(table: &Table<'a>) -> Result<Option<Level<'a>>, Malformed> {
    if table.i8(dimension::FORMAT, 0)? == dimension::DENSE {
        let length = usize::try_from(table.i32(dimension::SIZE, 0)?).ok();
        return Ok(length.map(Level::Dense));
    }
    let segments = numbers(table, dimension::SEGMENTS)?;
    let indices = numbers(table, dimension::INDICES)?;
    Ok(segments.zip(indices).map(|(segments, indices)| Level::Sparse(segments, indices)))
}

/// A vector of 32, 16 or 8-bit numbers: a union whose type stands before its value.
fn numbers<'a>(table: &Table<'a>, field: usize) -> Result<Option<Numbers<'a>>, Malformed> {
    let Some(vector) = table.table(field + 1)? else { return Ok(None) };
    let width = match table.u8(field, 0)? {
        1 => 4,
        2 => 2,
        3 => 1,
        _ => return Ok(None),
    };
    let bytes = vector.vector(0, width)?.unwrap_or_default();
    Ok(Some(Numbers { bytes, width }))
}

impl Walk<'_> {
    /// Places every value below `at`, the indices of the levels above; `parent` numbers this path
    /// among all of its level.
    fn level(&mut self, parent: usize, at: &mut Vec<usize>) -> Option<()> {
        let Some(level) = self.levels.get(at.len()) else { return self.place(at) };
        let (range, length) = match level {
            Level::Dense(length) => (0..*length, Some(*length)),
            Level::Sparse(segments, _) => {
                (segments.get(parent)?..segments.get(parent.checked_add(1)?)?, None)
            }
        };
        for entry in range {
            self.steps = self.steps.checked_sub(1)?;
            let (index, parent) = match (&self.levels[at.len()], length) {
                (Level::Sparse(_, indices), _) => (indices.get(entry)?, entry),
                (Level::Dense(_), length) => {
                    (entry, parent.checked_mul(length?)?.checked_add(entry)?)
                }
            };
            at.push(index);
            self.level(parent, at)?;
            at.pop();
        }
        Some(())
    }

    /// Puts the next value where the indices say.
    fn place(&mut self, at: &[usize]) -> Option<()> {
        let rank = self.shape.len();
        let mut place = vec![0usize; rank];
        for (&level, &index) in self.order.iter().zip(at) {
            if level < rank {
                place[level] = index;
            } else {
                let (dimension, length) = self.blocks[level - rank];
                place[dimension] = place[dimension].checked_mul(length)?.checked_add(index)?;
            }
        }
        let mut flat = 0usize;
        for (&index, &length) in place.iter().zip(self.shape) {
            flat = flat * length + Some(index).filter(|&index| index < length)?;
        }
        let (value, rest) = self.values.split_at_checked(self.size)?;
        self.dense[flat * self.size..][..self.size].copy_from_slice(value);
        self.values = rest;
        Some(())
    }
}
