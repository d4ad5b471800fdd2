//! `ai.sedge.DetectionPostProcess` in ONNX operators.
//!
//! Definition: the custom operator `TFLite_Detection_PostProcess` of TensorFlow Lite
//! (`lite/kernels/detection_postprocess.cc`). Boxes are decoded from centre-size encodings against
//! anchors; each anchor keeps its best `max_classes_per_detection` classes; greedy non-maximum
//! suppression runs over the best scores ("fast"), or per class (`use_regular_nms`); the best
//! `max_detections` rows are answered, the rest is zero.

use sedge_tensor::Tensor;

use crate::{Graph, Node, ValueId, onnx};
use sedge_tensor::DType;

pub(super) fn expand(graph: &mut Graph, node: &Node) -> Option<()> {
    let (encodings, scores, anchors) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let outputs = [node.output(0)?, node.output(1)?, node.output(2)?, node.output(3)?];
    let boxes = decode(graph, node, encodings, anchors)?;
    let foreground = without_background(graph, node, scores)?;
    let selected = if node.int("use_regular_nms") == Some(1) {
        regular(graph, node, boxes, foreground)?
    } else {
        fast(graph, node, boxes, foreground)?
    };
    answer(graph, node, boxes, &selected, outputs)
}

/// What suppression leaves: per row a box index, a class and a score, all of one length.
struct Selected {
    boxes: ValueId,
    classes: ValueId,
    scores: ValueId,
    /// Rows before repetition for several classes per box: what `count` tells.
    count_of: ValueId,
    rows: i64,
}

fn slice(graph: &mut Graph, x: ValueId, axis: i64, start: i64, end: i64) -> ValueId {
    graph.node("Slice").input(x).ints(&[start]).ints(&[end]).ints(&[axis]).output("slice")
}

fn binary(graph: &mut Graph, op: &str, a: ValueId, b: ValueId) -> ValueId {
    graph.node(op).input(a).input(b).output(&op.to_lowercase())
}

/// Corner boxes `[N, 4]` as ymin, xmin, ymax, xmax.
fn decode(graph: &mut Graph, node: &Node, encodings: ValueId, anchors: ValueId) -> Option<ValueId> {
    let encodings = graph.node("Reshape").input(encodings).ints(&[-1, 4]).output("encodings");
    let corner = |graph: &mut Graph, axis: i64| {
        let scale = |name| node.float(name).unwrap_or(1.0);
        let (centre_scale, size_scale) = if axis == 0 {
            (scale("y_scale"), scale("h_scale"))
        } else {
            (scale("x_scale"), scale("w_scale"))
        };
        let centre = slice(graph, encodings, 1, axis, axis + 1);
        let size = slice(graph, encodings, 1, axis + 2, axis + 3);
        let anchor_centre = slice(graph, anchors, 1, axis, axis + 1);
        let anchor_size = slice(graph, anchors, 1, axis + 2, axis + 3);
        let centre = graph.node("Div").input(centre).scalar(centre_scale).output("centre");
        let centre = binary(graph, "Mul", centre, anchor_size);
        let centre = binary(graph, "Add", centre, anchor_centre);
        let size = graph.node("Div").input(size).scalar(size_scale).output("size");
        let size = graph.node("Exp").input(size).output("size");
        let size = graph.node("Mul").input(size).scalar(0.5).output("half");
        let half = binary(graph, "Mul", size, anchor_size);
        (binary(graph, "Sub", centre, half), binary(graph, "Add", centre, half))
    };
    let (ymin, ymax) = corner(graph, 0);
    let (xmin, xmax) = corner(graph, 1);
    let concat = graph.node("Concat").input(ymin).input(xmin).input(ymax).input(xmax);
    Some(concat.attribute("axis", 1).output("boxes"))
}

/// Scores `[N, classes]` without the leading background column, when there is one.
fn without_background(graph: &mut Graph, node: &Node, scores: ValueId) -> Option<ValueId> {
    let columns = i64::try_from(graph.value(scores).shape.as_ref()?.last()?.fixed()?).ok()?;
    let classes = node.int("num_classes")?;
    let background = columns.checked_sub(classes).filter(|&n| n >= 0)?;
    let flat = graph.node("Reshape").input(scores).ints(&[-1, columns]).output("scores");
    Some(slice(graph, flat, 1, background, columns))
}

/// ONNX keeps scores above the threshold, TensorFlow Lite those at it too.
fn threshold(node: &Node) -> f32 {
    node.float("nms_score_threshold").unwrap_or(0.0).next_down()
}

fn suppress(graph: &mut Graph, node: &Node, boxes: ValueId, scores: ValueId, most: i64) -> ValueId {
    let boxes = graph.node("Unsqueeze").input(boxes).ints(&[0]).output("boxes");
    graph
        .node("NonMaxSuppression")
        .input(boxes)
        .input(scores)
        .ints(&[most])
        .constant(Tensor::vector(vec![node.float("nms_iou_threshold").unwrap_or(0.5)]))
        .constant(Tensor::vector(vec![threshold(node)]))
        .output("selected")
}

fn column(graph: &mut Graph, rows: ValueId, index: i64) -> ValueId {
    let column = slice(graph, rows, 1, index, index + 1);
    graph.node("Reshape").input(column).ints(&[-1]).output("column")
}

fn fast(graph: &mut Graph, node: &Node, boxes: ValueId, scores: ValueId) -> Option<Selected> {
    let most = node.int("max_detections")?;
    let per_box = node.int("max_classes_per_detection").unwrap_or(1).min(node.int("num_classes")?);
    let (best, class) = top_k(graph, scores, per_box, 1);
    let leading = slice(graph, best, 1, 0, 1);
    let leading = graph.node("Reshape").input(leading).ints(&[1, 1, -1]).output("leading");
    let rows = suppress(graph, node, boxes, leading, most);
    let picked = column(graph, rows, 2);
    let gather = |graph: &mut Graph, from| {
        let picked =
            graph.node("Gather").input(from).input(picked).attribute("axis", 0).output("picked");
        graph.node("Reshape").input(picked).ints(&[-1]).output("flat")
    };
    let scores = gather(graph, best);
    let classes = gather(graph, class);
    let repeated = if per_box == 1 {
        picked
    } else {
        let one = graph.node("Unsqueeze").input(picked).ints(&[1]).output("one");
        let tiled = graph.node("Tile").input(one).ints(&[1, per_box]).output("tiled");
        graph.node("Reshape").input(tiled).ints(&[-1]).output("repeated")
    };
    Some(Selected {
        boxes: repeated,
        classes,
        scores,
        count_of: picked,
        rows: most.checked_mul(per_box)?,
    })
}

fn regular(graph: &mut Graph, node: &Node, boxes: ValueId, scores: ValueId) -> Option<Selected> {
    let most = node.int("max_detections")?;
    let by_class =
        graph.node("Transpose").input(scores).attribute("perm", vec![1i64, 0]).output("by_class");
    let by_class = graph.node("Unsqueeze").input(by_class).ints(&[0]).output("by_class");
    let per_class = node.int("detections_per_class").unwrap_or(100);
    let rows = suppress(graph, node, boxes, by_class, per_class);
    let found = graph.node("GatherND").input(by_class).input(rows).output("found");
    // At most `most` of them, but never more than there are.
    let length = graph.node("Shape").input(found).output("length");
    let k = graph.node("Min").input(length).ints(&[most]).output("k");
    let top = graph.add_value(crate::Value { name: "top".into(), ..Default::default() });
    let order = graph.add_value(crate::Value { name: "order".into(), ..Default::default() });
    graph.node("TopK").input(found).input(k).outputs_to(vec![Some(top), Some(order)]);
    let pick = |graph: &mut Graph, index| {
        let all = column(graph, rows, index);
        graph.node("Gather").input(all).input(order).attribute("axis", 0).output("picked")
    };
    let classes = pick(graph, 1);
    let boxes = pick(graph, 2);
    Some(Selected { boxes, classes, scores: top, count_of: boxes, rows: most })
}

fn top_k(graph: &mut Graph, scores: ValueId, k: i64, axis: i64) -> (ValueId, ValueId) {
    let value = graph.add_value(crate::Value { name: "best".into(), ..Default::default() });
    let index = graph.add_value(crate::Value { name: "class".into(), ..Default::default() });
    let node = graph.node("TopK").input(scores).ints(&[k]).attribute("axis", axis);
    node.outputs_to(vec![Some(value), Some(index)]);
    (value, index)
}

/// Pads the selection to its fixed number of rows and writes the four outputs.
fn answer(
    graph: &mut Graph,
    node: &Node,
    boxes: ValueId,
    selected: &Selected,
    [to_boxes, to_classes, to_scores, to_count]: [ValueId; 4],
) -> Option<()> {
    let rows = selected.rows;
    let room = usize::try_from(rows).ok().filter(|&n| n <= 1 << 20)?;
    let float = onnx::dtype_number(DType::F32);
    let padded = |graph: &mut Graph, x: ValueId, width: Option<i64>, to: ValueId| {
        let mut zeros = vec![room];
        zeros.extend(width.map(|w| w as usize));
        let zeros = Tensor::new(zeros.clone(), vec![0f32; zeros.iter().product()]).ok()?;
        let joined =
            graph.node("Concat").input(x).constant(zeros).attribute("axis", 0).output("joined");
        let fixed = slice(graph, joined, 0, 0, rows);
        let mut shape = vec![1, rows];
        shape.extend(width);
        graph.node("Reshape").input(fixed).ints(&shape).output_to(to);
        Some(())
    };
    let picked = graph
        .node("Gather")
        .input(boxes)
        .input(selected.boxes)
        .attribute("axis", 0)
        .output("picked");
    padded(graph, picked, Some(4), to_boxes)?;
    let classes =
        graph.node("Cast").input(selected.classes).attribute("to", float).output("classes");
    padded(graph, classes, None, to_classes)?;
    padded(graph, selected.scores, None, to_scores)?;
    let count = graph.node("Shape").input(selected.count_of).output("count");
    graph.node("Cast").named(&node.name).input(count).attribute("to", float).output_to(to_count);
    Some(())
}
