//! Blocks between space and batch, by which old networks widen their convolutions.

use sedge_graph::{Dim, ValueId};

use super::Refusal;
use super::builder::Op;

const UNKNOWN_SIZE: &str = "the size of the picture is not in the graph. \
    Hint: save it with a placeholder whose height and width are given";

struct Blocks {
    block: Vec<i64>,
    /// Pairs of what is added, or cut, before and after.
    edges: Vec<i64>,
    shape: Vec<Dim>,
}

/// What is done at the edges follows from the size of the picture, and is a constant where that is
/// known.
fn edges(op: &Op<'_, '_>, index: usize) -> Result<Vec<i64>, Refusal> {
    op.known_ints(index).ok_or_else(|| Refusal::new(UNKNOWN_SIZE))
}

fn blocks(op: &Op<'_, '_>) -> Result<Blocks, Refusal> {
    let (block, edges) = match op.kind() {
        // The old operators have one block for height and width.
        "SpaceToBatch" | "BatchToSpace" => {
            let size = op.int("block_size").unwrap_or(0);
            (vec![size; 2], edges(op, 1)?)
        }
        _ => (op.ints(1, "the size of the blocks")?, edges(op, 2)?),
    };
    let value = op.operand(0)?;
    let shape = op.dims(value).ok_or_else(|| Refusal::new("its operand has no known rank"))?;
    let sound = block.len() < shape.len()
        && edges.len() == block.len() * 2
        && edges.iter().all(|n| (0..=1 << 20).contains(n))
        && block.iter().all(|n| (1..=1 << 14).contains(n));
    match sound {
        true => Ok(Blocks { block, edges, shape: shape.to_vec() }),
        false => Err(Refusal::new("its blocks do not fit its operand")),
    }
}

/// What is done before (`start` 0) or after (1) each dimension; nothing to the batch and behind the
/// blocks.
fn edges_at(edges: &[i64], start: usize, rank: usize) -> Vec<i64> {
    let mut list = vec![0];
    list.extend(edges.iter().skip(start).step_by(2));
    list.resize(rank, 0);
    list
}

fn known(dim: &Dim) -> Result<i64, Refusal> {
    let known = dim.fixed().and_then(|n| i64::try_from(n).ok()).filter(|n| *n <= 1 << 40);
    known.ok_or_else(|| Refusal::new(UNKNOWN_SIZE))
}

/// SpaceToBatchND: pads, then takes every block's elements into the batch.
pub(super) fn space_to_batch(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let Blocks { block, edges, shape } = blocks(op)?;
    let (rank, count) = (shape.len(), block.len());
    let mut value = op.operand(0)?;
    if edges.iter().any(|&edge| edge != 0) {
        let mut pads = edges_at(&edges, 0, rank);
        pads.extend(edges_at(&edges, 1, rank));
        value = op.apply_ints("Pad", value, &pads);
    }
    // [N, H, W, C] -> [N, H/b, b, W/b, b, C] -> [b, b, N, H/b, W/b, C] -> [N*b*b, H/b, W/b, C]
    let (mut split, mut joined) = (vec![-1], vec![-1]);
    for (i, &size) in block.iter().enumerate() {
        let padded = known(&shape[i + 1])? + edges[2 * i] + edges[2 * i + 1];
        split.extend([padded / size, size]);
        joined.push(padded / size);
    }
    for dim in &shape[count + 1..] {
        split.push(known(dim)?);
        joined.push(known(dim)?);
    }
    let spatial = |i: usize| 2 * i as i64 + 1;
    let mut order: Vec<i64> = (0..count).map(|i| spatial(i) + 1).collect();
    order.push(0);
    order.extend((0..count).map(spatial));
    order.extend((2 * count as i64 + 1)..split.len() as i64);
    let value = regroup(op, value, &split, &order, &joined);
    op.finish(value)
}

/// BatchToSpaceND: the way back; cuts the edges.
pub(super) fn batch_to_space(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let Blocks { block, edges, shape } = blocks(op)?;
    let (rank, count) = (shape.len(), block.len() as i64);
    let value = op.operand(0)?;
    // [b*b*N, H, W, C] -> [b, b, N, H, W, C] -> [N, H, b, W, b, C] -> [N, H*b, W*b, C]
    let mut split = block.clone();
    split.push(-1);
    let mut joined = vec![-1];
    for (i, dim) in shape.iter().enumerate().skip(1) {
        let size = known(dim)?;
        split.push(size);
        joined.push(size * block.get(i - 1).copied().unwrap_or(1));
    }
    let mut order = vec![count];
    for i in 0..count {
        order.extend([count + 1 + i, i]);
    }
    order.extend((2 * count + 1)..split.len() as i64);
    let mut value = regroup(op, value, &split, &order, &joined);
    if edges.iter().any(|&edge| edge != 0) {
        let starts = edges_at(&edges, 0, rank);
        let end = |edge: i64| if edge == 0 { i64::MAX } else { -edge };
        let ends: Vec<i64> = edges_at(&edges, 1, rank).into_iter().map(end).collect();
        let axes: Vec<i64> = (0..rank as i64).collect();
        let name = op.name("crop");
        let node = op.start("Slice").input(value).ints(&starts).ints(&ends);
        value = node.ints(&axes).output(&name);
    }
    op.finish(value)
}

fn regroup(
    op: &mut Op<'_, '_>,
    value: ValueId,
    split: &[i64],
    order: &[i64],
    joined: &[i64],
) -> ValueId {
    let value = op.apply_ints("Reshape", value, split);
    let value = op.transpose(value, order);
    op.apply_ints("Reshape", value, joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_stand_behind_the_batch() {
        assert_eq!(edges_at(&[1, 2, 3, 4], 0, 4), [0, 1, 3, 0]);
        assert_eq!(edges_at(&[1, 2, 3, 4], 1, 4), [0, 2, 4, 0]);
    }
}
