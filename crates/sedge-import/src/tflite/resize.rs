//! Resizing, padding, and blocks between space and batch.

use sedge_graph::ValueId;
use sedge_tensor::DType;

use super::Refusal;
use super::builder::{Domain, Layout, Op};
use super::quantize::zero_points;

fn resize(
    op: &mut Op<'_, '_>,
    domain: Domain,
    mode: &str,
    coordinates: &str,
    nearest: Option<&str>,
) -> Result<(), Refusal> {
    let value = op.view(0, Layout::ChannelsFirst, domain)?;
    let result = op.result(0)?;
    let size = match op.known_ints(1).as_deref() {
        Some(&[height, width]) => Some([height, width]),
        _ => result.dim(1).zip(result.dim(2)).map(|(h, w)| [h as i64, w as i64]),
    };
    let info = op.info(0)?;
    let name = op.name("resize");
    // All four sizes where they are known: engines know that form best.
    let whole = match (size, info.dim(0), info.dim(3)) {
        (Some([height, width]), Some(batch), Some(channels)) => {
            Some([batch as i64, channels as i64, height, width])
        }
        _ => None,
    };
    let sizes = match (whole, size) {
        (Some(sizes), _) => op.ints_constant(&sizes),
        (None, Some(sizes)) => op.ints_constant(&sizes),
        (None, None) => op.shape_operand(1)?,
    };
    let mut node = op.node("Resize").input(value).optional(None).optional(None).input(sizes);
    if whole.is_none() {
        node = node.attribute("axes", vec![2i64, 3]);
    }
    node = node.attribute("mode", mode).attribute("coordinate_transformation_mode", coordinates);
    if let Some(nearest) = nearest {
        node = node.attribute("nearest_mode", nearest);
    }
    let value = node.output(&name);
    op.finish(0, value, Layout::ChannelsFirst, domain)
}

/// RESIZE_BILINEAR: options align_corners, half_pixel_centers behind two retired ones.
pub(super) fn bilinear(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    let coordinates = match (options.bool(2)?, options.bool(3)?) {
        (true, _) => "align_corners",
        (false, true) => "half_pixel",
        (false, false) => "asymmetric",
    };
    let domain = if op.same_quantization(0)? { Domain::Raw } else { Domain::Real };
    resize(op, domain, "linear", coordinates, None)
}

/// RESIZE_NEAREST_NEIGHBOR: options align_corners, half_pixel_centers.
pub(super) fn nearest(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    // TensorFlow Lite takes floor((x + 0.5) * scale); with ONNX's half pixel, which subtracts
    // another 0.5, that is rounding with ties upwards.
    let (coordinates, mode) = match (options.bool(0)?, options.bool(1)?) {
        (true, _) => ("align_corners", "round_prefer_ceil"),
        (false, true) => ("half_pixel", "round_prefer_ceil"),
        (false, false) => ("asymmetric", "floor"),
    };
    let bytes = op.info(0)?.dtype.and_then(DType::size) == Some(1);
    let domain = if bytes && op.same_quantization(0)? { Domain::Stored } else { Domain::Real };
    resize(op, domain, "nearest", coordinates, Some(mode))
}

/// PAD and PADV2: with zero, or with the value of operand 2.
pub(super) fn pad(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let info = op.info(0)?;
    let bytes = info.dtype.and_then(DType::size) == Some(1);
    let filler_fits = !op.has(2) || op.info(2)?.quantized() == info.quantized();
    let stored = info.quantized().is_none() || (bytes && filler_fits && op.same_quantization(0)?);
    let domain = if stored { Domain::Stored } else { Domain::Real };
    let filler = match (info.quantized(), info.dtype) {
        _ if op.has(2) => {
            let value = op.view(2, Layout::AsStored, domain)?;
            let name = op.name("filler");
            Some(op.node("Reshape").input(value).ints(&[]).output(&name))
        }
        (Some(quantization), Some(dtype)) if stored => {
            let zero = zero_points(dtype, &quantization.zero_point[..1])?;
            let zero = super::quantize::per_tensor_or_axis(zero);
            let name = op.name("filler");
            Some(op.context.graph.add_constant(name, zero))
        }
        _ => None,
    };
    let value = op.view(0, Layout::AsStored, domain)?;
    let pads = pads(op, 1)?;
    let name = op.name("pad");
    let mut node = op.node("Pad").input(value).input(pads);
    if let Some(filler) = filler {
        node = node.input(filler);
    }
    let value = node.attribute("mode", "constant").output(&name);
    op.finish(0, value, Layout::AsStored, domain)
}

/// TensorFlow lists before and after for each dimension, ONNX all befores, then all afters.
fn pads(op: &mut Op<'_, '_>, index: usize) -> Result<ValueId, Refusal> {
    match op.known_ints(index) {
        Some(pairs) => {
            let every = |start: usize| pairs.iter().skip(start).step_by(2).copied();
            let list: Vec<i64> = every(0).chain(every(1)).collect();
            Ok(op.ints_constant(&list))
        }
        None => {
            let pairs = op.stored(index)?;
            let pairs = op.cast(pairs, DType::I64);
            let turned = op.transpose(pairs, &[1, 0]);
            let name = op.name("pads");
            Ok(op.node("Reshape").input(turned).ints(&[-1]).output(&name))
        }
    }
}

/// A list of as many indices is made for a mirrored dimension.
const LONGEST_MIRRORED: i64 = 1 << 16;

/// MIRROR_PAD: option mode, REFLECT (without the border) or SYMMETRIC (with it).
pub(super) fn mirror_pad(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let symmetric = op.operator.options.i8(0, 0)? == 1;
    if !symmetric {
        let value = op.real(0)?;
        let pads = pads(op, 1)?;
        let name = op.name("pad");
        let node = op.node("Pad").input(value).input(pads);
        let value = node.attribute("mode", "reflect").output(&name);
        return op.finish_real(0, value);
    }
    // ONNX cannot repeat the border: the elements are picked one dimension at a time.
    let pairs = op.ints(1, "the padding")?;
    let mut value = op.stored(0)?;
    let mut picked = false;
    for (axis, pair) in pairs.chunks_exact(2).enumerate().filter(|(_, pair)| **pair != [0, 0]) {
        let size = op.info(0)?.dim(axis as isize).map(|size| size as i64);
        let size = size.ok_or_else(|| Refusal::new("the size it pads is unknown"))?;
        if pair.iter().any(|pad| !(0..=size).contains(pad)) || size > LONGEST_MIRRORED {
            return Err(Refusal(format!("it mirrors {pair:?} elements of {size}")));
        }
        op.context.charge((pair[0] + size + pair[1]) as usize * 8)?;
        let before = (0..pair[0]).rev();
        let after = (size - pair[1]..size).rev();
        let indices: Vec<i64> = before.chain(0..size).chain(after).collect();
        let name = op.name("mirror");
        let node = op.node("Gather").input(value).ints(&indices);
        value = node.attribute("axis", axis as i64).output(&name);
        picked = true;
    }
    if !picked {
        value = op.apply("Identity", &[value]);
    }
    op.finish_stored(0, value)
}

struct Blocks {
    block: Vec<i64>,
    edges: Vec<i64>,
    shape: Vec<Option<usize>>,
}

fn blocks(op: &Op<'_, '_>) -> Result<Blocks, Refusal> {
    let block = op.ints(1, "the size of the blocks")?;
    let edges = op.ints(2, "what is added or cut at the edges")?;
    let shape =
        op.info(0)?.shape.as_ref().map(|shape| shape.iter().map(sedge_graph::Dim::fixed).collect());
    let shape: Vec<_> = shape.ok_or_else(|| Refusal::new("its operand has no known rank"))?;
    let sound = block.len() < shape.len()
        && edges.len() == block.len() * 2
        && block.iter().all(|n| (1..=1 << 20).contains(n));
    if sound {
        Ok(Blocks { block, edges, shape })
    } else {
        Err(Refusal::new("its blocks do not fit its operand"))
    }
}

/// Every padding of the leading batch dimension is zero, as is that behind the blocks.
fn edges_at(edges: &[i64], start: usize, rank: usize) -> Vec<i64> {
    let mut list = vec![0];
    list.extend(edges.iter().skip(start).step_by(2));
    list.resize(rank, 0);
    list
}

fn known(dim: Option<usize>, what: &str) -> Result<i64, Refusal> {
    dim.map(|n| n as i64).ok_or_else(|| Refusal(format!("{what} of its operand is unknown")))
}

/// SPACE_TO_BATCH_ND: pads, then takes every block's elements into the batch.
pub(super) fn space_to_batch(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let Blocks { block, edges, shape } = blocks(op)?;
    let (rank, count) = (shape.len(), block.len());
    let mut value = op.stored(0)?;
    if edges.iter().any(|&edge| edge != 0) {
        let mut pads = edges_at(&edges, 0, rank);
        pads.extend(edges_at(&edges, 1, rank));
        let info = op.info(0)?;
        let name = op.name("pad");
        let mut node = op.context.graph.node("Pad").input(value).ints(&pads);
        if let (Some(quantization), Some(dtype)) = (info.quantized(), info.dtype) {
            let zero = zero_points(dtype, &quantization.zero_point[..1])?;
            node = node.constant(super::quantize::per_tensor_or_axis(zero));
        }
        value = node.output(&name);
    }
    // [N, H, W, C] -> [N, H/b, b, W/b, b, C] -> [b, b, N, H/b, W/b, C] -> [N*b*b, H/b, W/b, C]
    let mut split = vec![-1];
    let mut joined = vec![-1];
    for (i, &size) in block.iter().enumerate() {
        let padded = known(shape[i + 1], "the size")?;
        let padded = padded.saturating_add(edges[2 * i]).saturating_add(edges[2 * i + 1]);
        split.extend([padded / size, size]);
        joined.push(padded / size);
    }
    for &dim in &shape[count + 1..] {
        split.push(known(dim, "the size")?);
        joined.push(known(dim, "the size")?);
    }
    let spatial = |i: usize| 2 * i as i64 + 1;
    let mut order: Vec<i64> = (0..count).map(|i| spatial(i) + 1).collect();
    order.push(0);
    order.extend((0..count).map(spatial));
    order.extend((2 * count as i64 + 1)..split.len() as i64);
    let value = regroup(op, value, &split, &order, &joined);
    op.finish_stored(0, value)
}

/// BATCH_TO_SPACE_ND: the way back; cuts the edges.
pub(super) fn batch_to_space(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let Blocks { block, edges, shape } = blocks(op)?;
    let (rank, count) = (shape.len(), block.len());
    let value = op.stored(0)?;
    // [b*b*N, H, W, C] -> [b, b, N, H, W, C] -> [N, H, b, W, b, C] -> [N, H*b, W*b, C]
    let mut split = block.clone();
    split.push(-1);
    let mut joined = vec![-1];
    for (i, &dim) in shape.iter().enumerate().skip(1) {
        let size = known(dim, "the size")?;
        split.push(size);
        joined.push(size * block.get(i - 1).copied().unwrap_or(1));
    }
    let count_i = count as i64;
    let mut order = vec![count_i];
    for i in 0..count_i {
        order.extend([count_i + 1 + i, i]);
    }
    order.extend((2 * count_i + 1)..split.len() as i64);
    let mut value = regroup(op, value, &split, &order, &joined);
    if edges.iter().any(|&edge| edge != 0) {
        let starts = edges_at(&edges, 0, rank);
        let ends: Vec<i64> = edges_at(&edges, 1, rank)
            .iter()
            .map(|&edge| if edge == 0 { i64::MAX } else { edge.saturating_neg() })
            .collect();
        let axes: Vec<i64> = (0..rank as i64).collect();
        let name = op.name("crop");
        let node = op.node("Slice").input(value).ints(&starts).ints(&ends);
        value = node.ints(&axes).output(&name);
    }
    op.finish_stored(0, value)
}

fn regroup(
    op: &mut Op<'_, '_>,
    value: ValueId,
    split: &[i64],
    order: &[i64],
    joined: &[i64],
) -> ValueId {
    let name = op.name("split");
    let value = op.node("Reshape").input(value).ints(split).output(&name);
    let value = op.transpose(value, order);
    let name = op.name("joined");
    op.node("Reshape").input(value).ints(joined).output(&name)
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
