//! Suppression of overlapping boxes.

use sedge_graph::ValueId;
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::Op;

/// NON_MAX_SUPPRESSION_V4 and V5: boxes `[boxes, 4]`, scores `[boxes]`, the most boxes, the overlap,
/// the least score and, in V5, sigma. Results are as many places as the most boxes, zeros behind
/// those that were selected; in V5 their scores; and how many were.
pub(super) fn non_max_suppression(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let scored = op.operator.name.ends_with("V5");
    if scored && number(op, 5) != Some(0.0) {
        return Err(Refusal::new("it lowers scores instead of dropping boxes (sigma is not 0)"));
    }
    let overlap = number(op, 3)
        .ok_or_else(|| Refusal::new("the overlap that it allows is not a constant number"))?;
    let (boxes, scores) = (op.real(0)?, op.real(1)?);
    let most = op.shape_operand(2)?;
    let most = op.reshaped(most, &[1]);
    let least = op.real(4)?;
    let least = op.reshaped(least, &[1]);
    let boxes = op.unsqueeze(boxes, &[0]);
    let lists = op.unsqueeze(scores, &[0, 1]);
    let name = op.name("selected");
    let node = op.node("NonMaxSuppression").input(boxes).input(lists).input(most);
    // TensorFlow Lite drops boxes from the overlap on, ONNX those above it.
    let node = node.constant(Tensor::vector(vec![overlap.next_down()]));
    let rows = node.input(least).output(&name);
    // Rows are picture, class and box.
    let name = op.name("column");
    let column = op.node("Slice").input(rows).ints(&[2]).ints(&[3]).ints(&[1]).output(&name);
    let name = op.name("places");
    let places = op.node("Squeeze").input(column).ints(&[1]).output(&name);
    let count = op.apply("Shape", &[places]);
    if scored {
        let picked = op.apply("Gather", &[scores, places]);
        let picked = fill_up(op, picked, most, count);
        op.finish_real(1, picked)?;
    }
    let places = op.cast(places, DType::I32);
    let places = fill_up(op, places, most, count);
    op.finish_stored(0, places)?;
    let count = op.cast(count, DType::I32);
    let count = op.reshaped(count, &[]);
    op.finish_stored(if scored { 2 } else { 1 }, count)
}

/// The number of a constant operand.
fn number(op: &Op<'_, '_>, index: usize) -> Option<f32> {
    op.constant(index)?.to_f32()?.first().copied()
}

/// `list` of `count` elements with zeros behind it, so that there are `most`.
fn fill_up(op: &mut Op<'_, '_>, list: ValueId, most: ValueId, count: ValueId) -> ValueId {
    let missing = op.apply("Sub", &[most, count]);
    let none = op.ints_constant(&[0]);
    let name = op.name("pads");
    let node = op.node("Concat").input(none).input(missing);
    let pads = node.attribute("axis", 0i64).output(&name);
    op.apply("Pad", &[list, pads])
}
