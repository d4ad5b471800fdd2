//! `ai.sedge.BoxNms` in ONNX operators.
//!
//! Definition: MXNet's `_contrib_box_nms` (`src/operator/contrib/bounding_box-inl.h`, 1.9.1). Of rows
//! `[..., N, width]` with a score, four coordinates and maybe a class, those above `valid_thresh`
//! and not of the class `background_id` are sorted by score. The first `topk` suppress those after
//! them that overlap by more than `overlap_thresh`, of the same class unless `force_suppress`. What is
//! left stands first; all other rows are -1.

use super::greedy::{
    binary, compact, overlaps, row_count, rows_at, same_class, slice, suppress, top,
};
use crate::{Graph, Node, ValueId};

pub(super) fn expand(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let shape = graph.value(x).shape.clone()?;
    let width = shape.last()?.fixed()?;
    let rows = match shape.len() {
        3 => x,
        2 => graph.node("Unsqueeze").input(x).ints(&[0]).output("rows"),
        rank => {
            let count = i64::try_from(shape[rank.checked_sub(2)?].fixed()?).ok()?;
            graph.node("Reshape").input(x).ints(&[-1, count, width as i64]).output("rows")
        }
    };
    let kept = kept_rows(graph, node, rows, width)?;
    if shape.len() == 3 {
        graph.node("Identity").named(&node.name).input(kept).output_to(y);
    } else {
        let shape = graph.node("Shape").input(x).output("shape");
        graph.node("Reshape").named(&node.name).input(kept).input(shape).output_to(y);
    }
    Some(())
}

fn column(graph: &mut Graph, rows: ValueId, index: i64) -> ValueId {
    slice(graph, rows, 2, index, index + 1)
}

fn kept_rows(graph: &mut Graph, node: &Node, rows: ValueId, width: usize) -> Option<ValueId> {
    let (score, start) = (node.int("score_index")?, node.int("coord_start")?);
    let class = node.int("id_index").filter(|&index| index >= 0);
    let (valid, overlap) = (node.float("valid_thresh")?, node.float("overlap_thresh")?);
    let most = node.int("topk").unwrap_or(-1);
    if most == 0 {
        return Some(rows);
    }
    let scores = column(graph, rows, score);
    let scores = graph.node("Squeeze").input(scores).ints(&[2]).output("scores");
    let mut good = graph.node("Greater").input(scores).scalar(valid).output("good");
    if let Some(class) = class {
        let ids = column(graph, rows, class);
        let ids = graph.node("Squeeze").input(ids).ints(&[2]).output("ids");
        let background = node.int("background_id").unwrap_or(-1) as f32;
        let is_background = graph.node("Equal").input(ids).scalar(background).output("equal");
        let is_object = graph.node("Not").input(is_background).output("is_object");
        good = binary(graph, "And", good, is_object);
    }
    let keys =
        graph.node("Where").input(good).input(scores).scalar(f32::NEG_INFINITY).output("keys");
    let all = row_count(graph, rows);
    let count = match most {
        1.. => graph.node("Min").input(all).ints(&[most]).output("count"),
        _ => all,
    };
    let (best, order) = top(graph, keys, count);
    let alive = graph.node("Greater").input(best).scalar(f32::NEG_INFINITY).output("alive");
    let candidates = rows_at(graph, rows, order, width);
    let sides = [0, 1, 2, 3].map(|index| column(graph, candidates, start + index));
    let corners = if node.int("in_center") == Some(1) { to_corners(graph, sides) } else { sides };
    let ratio = overlaps(graph, corners);
    let mut pairs = graph.node("Greater").input(ratio).scalar(overlap).output("pairs");
    if let Some(class) = class.filter(|_| node.int("force_suppress") != Some(1)) {
        let ids = column(graph, candidates, class);
        let same = same_class(graph, ids);
        pairs = binary(graph, "And", pairs, same);
    }
    let kept = suppress(graph, pairs, alive);
    let mut kept = compact(graph, candidates, kept, width);
    match (node.int("in_center") == Some(1), node.int("out_center") == Some(1)) {
        (true, false) => kept = converted(graph, kept, start, width as i64, to_corners),
        (false, true) => kept = converted(graph, kept, start, width as i64, to_centres),
        _ => {}
    }
    // As many rows as there were.
    let missing = binary(graph, "Sub", all, count);
    let node = graph.node("Concat").ints(&[0, 0, 0, 0]).input(missing).ints(&[0]);
    let pads = node.attribute("axis", 0i64).output("pads");
    let padded = graph.node("Pad").input(kept).input(pads).scalar(-1.0).output("padded");
    Some(padded)
}

fn to_corners(graph: &mut Graph, [x, y, width, height]: [ValueId; 4]) -> [ValueId; 4] {
    let half =
        |graph: &mut Graph, length| graph.node("Div").input(length).scalar(2.0).output("half");
    let (width, height) = (half(graph, width), half(graph, height));
    [
        binary(graph, "Sub", x, width),
        binary(graph, "Sub", y, height),
        binary(graph, "Add", x, width),
        binary(graph, "Add", y, height),
    ]
}

fn to_centres(graph: &mut Graph, [left, top, right, bottom]: [ValueId; 4]) -> [ValueId; 4] {
    let middle = |graph: &mut Graph, a, b| {
        let sum = binary(graph, "Add", a, b);
        graph.node("Div").input(sum).scalar(2.0).output("middle")
    };
    [
        middle(graph, left, right),
        middle(graph, top, bottom),
        binary(graph, "Sub", right, left),
        binary(graph, "Sub", bottom, top),
    ]
}

/// Boxes in the other form. MXNet tells rows without a box by a negative first coordinate.
fn converted(
    graph: &mut Graph,
    rows: ValueId,
    start: i64,
    width: i64,
    convert: fn(&mut Graph, [ValueId; 4]) -> [ValueId; 4],
) -> ValueId {
    let sides = [0, 1, 2, 3].map(|index| column(graph, rows, start + index));
    let others = convert(graph, sides);
    let is_box = graph.node("GreaterOrEqual").input(sides[0]).scalar(0.0).output("is_box");
    let before = slice(graph, rows, 2, 0, start);
    let after = slice(graph, rows, 2, start + 4, width);
    let mut parts = vec![before];
    for (side, other) in sides.into_iter().zip(others) {
        parts.push(graph.node("Where").input(is_box).input(other).input(side).output("side"));
    }
    parts.push(after);
    let mut node = graph.node("Concat").attribute("axis", 2i64);
    for part in parts {
        node = node.input(part);
    }
    node.output("converted")
}
