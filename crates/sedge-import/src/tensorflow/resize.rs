//! Resizing and padding.

use sedge_graph::{Dim, ValueId};
use sedge_tensor::DType;

use super::Refusal;
use super::builder::Op;
use super::shape::join;

/// ResizeBilinear, whose result is real whatever the picture is made of, and
/// ResizeNearestNeighbor: attributes align_corners, half_pixel_centers.
pub(super) fn resize(op: &mut Op<'_, '_>, mode: &str) -> Result<(), Refusal> {
    let (aligned, half) = (op.flag("align_corners"), op.flag("half_pixel_centers"));
    // Nearest, in TensorFlow, is floor((x + 0.5) * scale) with half pixels; with ONNX's, which
    // subtracts another 0.5, that is rounding with ties upwards.
    let (coordinates, rounding) = match (aligned, half) {
        (true, _) => ("align_corners", "round_prefer_ceil"),
        (false, true) => ("half_pixel", "round_prefer_ceil"),
        (false, false) => ("asymmetric", "floor"),
    };
    let picture = op.picture(0)?;
    let real = if mode == "nearest" { picture } else { op.cast(picture, DType::F32) };
    let size = op.known_ints(1);
    let sizes = match (size.as_deref(), op.dim(picture, 0), op.dim(picture, 1)) {
        (Some(&[height, width]), Some(batch), Some(channels)) => {
            op.add_ints(&[batch as i64, channels as i64, height, width])
        }
        _ => {
            let shape = op.apply("Shape", &[picture]);
            let name = op.name("slice");
            let kept = op.start("Slice").input(shape).ints(&[0]).ints(&[2]).output(&name);
            let wanted = op.shape_operand(1)?;
            join(op, &[kept, wanted], 0)
        }
    };
    let name = op.name("resize");
    let mut node = op.start("Resize").input(real).optional(None).optional(None).input(sizes);
    node = node.attribute("mode", mode).attribute("coordinate_transformation_mode", coordinates);
    if mode == "nearest" {
        node = node.attribute("nearest_mode", rounding);
    }
    let value = node.output(&name);
    if let (Some([batch, channels, ..]), Some(&[height, width])) =
        (op.dims(picture), size.as_deref())
    {
        let side = |n: i64| usize::try_from(n).map_or(Dim::Unknown, Dim::Fixed);
        let shape = vec![batch.clone(), channels.clone(), side(height), side(width)];
        op.context.graph.value_mut(value).shape = Some(shape);
    }
    op.finish_picture(value)
}

/// Pad and PadV2: with zero, or with the value of operand 2.
pub(super) fn pad(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.operand(0)?;
    let pads = pads(op)?;
    let filler = match op.count() {
        ..=2 => None,
        _ => Some(op.operand(2)?),
    };
    let name = op.name("pad");
    let node = op.start("Pad").input(value).input(pads);
    let node = match filler {
        Some(filler) => node.input(filler),
        None => node,
    };
    let value = node.attribute("mode", "constant").output(&name);
    op.finish(value)
}

/// TensorFlow lists before and after for each dimension, ONNX all befores, then all afters.
fn pads(op: &mut Op<'_, '_>) -> Result<ValueId, Refusal> {
    if let Some(pairs) = op.known_ints(1) {
        let every = |start: usize| pairs.iter().skip(start).step_by(2).copied();
        let list: Vec<i64> = every(0).chain(every(1)).collect();
        return Ok(op.add_ints(&list));
    }
    let pairs = op.operand(1)?;
    let pairs = op.cast(pairs, DType::I64);
    let turned = op.transpose(pairs, &[1, 0]);
    Ok(op.apply_ints("Reshape", turned, &[-1]))
}

/// MirrorPad: attribute mode, REFLECT (without the border) or SYMMETRIC (with it).
pub(super) fn mirror_pad(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let mut value = op.operand(0)?;
    if op.text("mode") != b"SYMMETRIC" {
        let pads = pads(op)?;
        let name = op.name("pad");
        let node = op.start("Pad").input(value).input(pads);
        let value = node.attribute("mode", "reflect").output(&name);
        return op.finish(value);
    }
    // ONNX cannot repeat the border: slices are turned round, one dimension at a time.
    let pairs = op.ints(1, "the padding")?;
    for (axis, pair) in pairs.chunks_exact(2).enumerate() {
        let axis = axis as i64;
        let mut parts = vec![value];
        if pair[0] > 0 {
            parts.insert(0, turned(op, value, axis, pair[0] - 1, i64::MIN));
        }
        if pair[1] > 0 {
            parts.push(turned(op, value, axis, -1, (-1i64).saturating_sub(pair[1])));
        }
        if parts.len() > 1 {
            value = join(op, &parts, axis);
        }
    }
    op.finish(value)
}

/// Elements from `start` back to before `end`.
fn turned(op: &mut Op<'_, '_>, value: ValueId, axis: i64, start: i64, end: i64) -> ValueId {
    let name = op.name("mirror");
    let node = op.start("Slice").input(value).ints(&[start]).ints(&[end]);
    node.ints(&[axis]).ints(&[-1]).output(&name)
}
