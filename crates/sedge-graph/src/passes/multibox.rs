//! `ai.sedge.MultiBoxDetection` in ONNX operators.
//!
//! Definition: MXNet's `_contrib_MultiBoxDetection` (`src/operator/contrib/multibox_detection.cc`,
//! 1.9.1). Operands are class probabilities `[batch, classes, N]` with the background first, box
//! offsets `[batch, N * 4]` and anchors `[1, N, 4]` as corners; rows are class, score and corners.
//! Each anchor takes its best class, if that reaches `threshold`. The best `nms_topk` rows by score
//! stand first and suppress each other at an overlap of `nms_threshold` and more, of the same class
//! unless `force_suppress`: what is suppressed, or beyond those rows, has the class -1 and keeps its
//! other numbers. Anchors without a class are rows of -1 at the end.

use sedge_tensor::{DType, Tensor};

use super::greedy::{
    binary, cast, compact, overlaps, row_count, rows_at, same_class, slice, suppress, top,
};
use crate::{Graph, Node, ValueId};

const WIDTH: usize = 6;

pub(super) fn expand(graph: &mut Graph, node: &Node) -> Option<()> {
    let (scores, offsets, anchors) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let y = node.output(0)?;
    let all = slice(graph, scores, 1, 1, i64::MAX);
    let best = graph.node("ReduceMax").input(all).ints(&[1]).attribute("keepdims", 0i64);
    let best = best.output("best");
    let class = graph.node("ArgMax").input(all).attribute("axis", 1i64);
    let class = class.attribute("keepdims", 0i64).output("class");
    let class = cast(graph, class, DType::F32);
    let threshold = node.float("threshold")?;
    let is_object = graph.node("GreaterOrEqual").input(best).scalar(threshold).output("is_object");
    let boxes = decode(graph, node, offsets, anchors)?;
    let [class, best] = [class, best]
        .map(|column| graph.node("Unsqueeze").input(column).ints(&[2]).output("column"));
    let joined = graph.node("Concat").input(class).input(best).input(boxes);
    let rows = joined.attribute("axis", 2i64).output("rows");
    let rows = compact(graph, rows, is_object, WIDTH);
    let overlap = node.float("nms_threshold")?;
    let result =
        if overlap > 0.0 && overlap <= 1.0 { suppressed(graph, node, rows, overlap) } else { rows };
    graph.node("Identity").named(&node.name).input(result).output_to(y);
    Some(())
}

/// Corners `[batch, N, 4]`.
fn decode(graph: &mut Graph, node: &Node, offsets: ValueId, anchors: ValueId) -> Option<ValueId> {
    let Some(crate::Attribute::Floats(variances)) = node.attributes.get("variances") else {
        return None;
    };
    let offsets = graph.node("Reshape").input(offsets).ints(&[0, -1, 4]).output("offsets");
    let corner = |graph: &mut Graph, axis: i64| {
        let (start, end) = (
            slice(graph, anchors, 2, axis, axis + 1),
            slice(graph, anchors, 2, axis + 2, axis + 3),
        );
        let length = binary(graph, "Sub", end, start);
        let sum = binary(graph, "Add", start, end);
        let centre = graph.node("Div").input(sum).scalar(2.0).output("centre");
        let scaled = |graph: &mut Graph, index: i64| {
            let offset = slice(graph, offsets, 2, index, index + 1);
            let variance = variances.get(index as usize).copied().unwrap_or(1.0);
            graph.node("Mul").input(offset).scalar(variance).output("scaled")
        };
        let moved = scaled(graph, axis);
        let moved = binary(graph, "Mul", moved, length);
        let centre = binary(graph, "Add", moved, centre);
        let growth = scaled(graph, axis + 2);
        let growth = graph.node("Exp").input(growth).output("growth");
        let reach = binary(graph, "Mul", growth, length);
        let reach = graph.node("Div").input(reach).scalar(2.0).output("reach");
        (binary(graph, "Sub", centre, reach), binary(graph, "Add", centre, reach))
    };
    let ((left, right), (top, bottom)) = (corner(graph, 0), corner(graph, 1));
    let node_of = graph.node("Concat").input(left).input(top).input(right).input(bottom);
    let boxes = node_of.attribute("axis", 2i64).output("boxes");
    if node.int("clip") == Some(0) {
        return Some(boxes);
    }
    Some(graph.node("Clip").input(boxes).scalar(0.0).scalar(1.0).output("clipped"))
}

fn suppressed(graph: &mut Graph, node: &Node, rows: ValueId, overlap: f32) -> ValueId {
    let all = row_count(graph, rows);
    // Rows without an object have the score -1, less than any other.
    let scores = slice(graph, rows, 2, 1, 2);
    let scores = graph.node("Squeeze").input(scores).ints(&[2]).output("scores");
    let count = match node.int("nms_topk") {
        Some(most @ 1..) => graph.node("Min").input(all).ints(&[most]).output("count"),
        _ => all,
    };
    let (_, order) = top(graph, scores, count);
    let best = rows_at(graph, rows, order, WIDTH);
    let class = slice(graph, best, 2, 0, 1);
    let sides = [2, 3, 4, 5].map(|index| slice(graph, best, 2, index, index + 1));
    let ratio = overlaps(graph, sides);
    let mut pairs = graph.node("GreaterOrEqual").input(ratio).scalar(overlap).output("pairs");
    if node.int("force_suppress") != Some(1) {
        let same = same_class(graph, class);
        pairs = binary(graph, "And", pairs, same);
    }
    let is_object = graph.node("GreaterOrEqual").input(class).scalar(0.0).output("is_object");
    let alive = graph.node("Squeeze").input(is_object).ints(&[2]).output("alive");
    let kept = suppress(graph, pairs, alive);
    let kept = graph.node("Unsqueeze").input(kept).ints(&[2]).output("kept");
    let class = graph.node("Where").input(kept).input(class).scalar(-1.0).output("class");
    let numbers = slice(graph, best, 2, 1, WIDTH as i64);
    let best = graph.node("Concat").input(class).input(numbers).attribute("axis", 2i64);
    let best = best.output("best");
    // What lies beyond stays where it was, without its class.
    let axis = graph.add_constant("axis", Tensor::vector(vec![1i64]));
    let rest = graph.node("Slice").input(rows).input(count).input(all).input(axis).output("rest");
    let numbers = slice(graph, rest, 2, 1, WIDTH as i64);
    let class = slice(graph, rest, 2, 0, 1);
    let none = graph.node("Mul").input(class).scalar(0.0).output("none");
    let none = graph.node("Sub").input(none).scalar(1.0).output("none");
    let rest = graph.node("Concat").input(none).input(numbers).attribute("axis", 2i64);
    let rest = rest.output("rest");
    graph.node("Concat").input(best).input(rest).attribute("axis", 1i64).output("rows")
}
