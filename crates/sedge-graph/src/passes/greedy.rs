//! Greedy suppression in ONNX operators, for any rule of what overlaps.
//!
//! ONNX's own operator knows one rule and no classes but columns of a score matrix; a loop over
//! the candidates knows all.

use sedge_tensor::{DType, Tensor};

use crate::{Attribute, Dim, Graph, Value, ValueId, onnx, shapes};

pub(super) fn binary(graph: &mut Graph, op: &str, a: ValueId, b: ValueId) -> ValueId {
    graph.node(op).input(a).input(b).output(&op.to_lowercase())
}

pub(super) fn slice(graph: &mut Graph, x: ValueId, axis: i64, start: i64, end: i64) -> ValueId {
    graph.node("Slice").input(x).ints(&[start]).ints(&[end]).ints(&[axis]).output("slice")
}

pub(super) fn cast(graph: &mut Graph, x: ValueId, to: DType) -> ValueId {
    graph.node("Cast").input(x).attribute("to", onnx::dtype_number(to)).output("cast")
}

/// The greatest elements along the second axis, all that `count` says, and where they were.
pub(super) fn top(graph: &mut Graph, keys: ValueId, count: ValueId) -> (ValueId, ValueId) {
    let value = graph.add_value(Value { name: "best".into(), ..Value::default() });
    let index = graph.add_value(Value { name: "order".into(), ..Value::default() });
    let node = graph.node("TopK").input(keys).input(count).attribute("axis", 1i64);
    node.outputs_to(vec![Some(value), Some(index)]);
    (value, index)
}

/// The rows `order` `[batch, count]` of `rows` `[batch, any, width]`.
pub(super) fn rows_at(graph: &mut Graph, rows: ValueId, order: ValueId, width: usize) -> ValueId {
    let order = graph.node("Unsqueeze").input(order).ints(&[2]).output("order");
    let order = graph.node("Tile").input(order).ints(&[1, 1, width as i64]).output("order");
    let node = graph.node("GatherElements").input(rows).input(order);
    node.attribute("axis", 1i64).output("rows")
}

/// Number of rows along the second axis, as a vector of one.
pub(super) fn row_count(graph: &mut Graph, x: ValueId) -> ValueId {
    let shape = graph.node("Shape").input(x).output("shape");
    slice(graph, shape, 0, 1, 2)
}

/// The numbers 0, 1, 2, ... as many as `count` says, as floats.
pub(super) fn numbers(graph: &mut Graph, count: ValueId) -> ValueId {
    let count = graph.node("Squeeze").input(count).ints(&[0]).output("count");
    let node = graph.node("Range").constant(Tensor::scalar(0i64)).input(count);
    let numbers = node.constant(Tensor::scalar(1i64)).output("numbers");
    cast(graph, numbers, DType::F32)
}

/// The rows of which `kept` `[batch, count]` is true, first and in order; all others are -1.
pub(super) fn compact(graph: &mut Graph, rows: ValueId, kept: ValueId, width: usize) -> ValueId {
    let count = row_count(graph, rows);
    let places = numbers(graph, count);
    let descending = graph.node("Neg").input(places).output("descending");
    let last = graph.node("Where").input(kept).input(descending).scalar(f32::MIN).output("keys");
    let (keys, order) = top(graph, last, count);
    let rows = rows_at(graph, rows, order, width);
    let is_row = graph.node("Greater").input(keys).scalar(f32::MIN).output("is_row");
    let is_row = graph.node("Unsqueeze").input(is_row).ints(&[2]).output("is_row");
    graph.node("Where").input(is_row).input(rows).scalar(-1.0).output("compact")
}

/// How the candidates `[batch, count, 4]` overlap: intersection over union `[batch, count, count]`,
/// by corners xmin, ymin, xmax, ymax. Where there is no area it may be anything that is no number.
pub(super) fn overlaps(graph: &mut Graph, corners: [ValueId; 4]) -> ValueId {
    let zero = graph.add_constant("zero", Tensor::scalar(0f32));
    let across = corners.map(|side| {
        graph.node("Transpose").input(side).attribute("perm", vec![0i64, 2, 1]).output("across")
    });
    let area = |graph: &mut Graph, sides: [ValueId; 4]| {
        let lengths = [0, 1].map(|axis| {
            let length = binary(graph, "Sub", sides[axis + 2], sides[axis]);
            binary(graph, "Max", length, zero)
        });
        binary(graph, "Mul", lengths[0], lengths[1])
    };
    let (own, other) = (area(graph, corners), area(graph, across));
    let [width, height] = [0, 1].map(|axis| {
        let start = binary(graph, "Max", corners[axis], across[axis]);
        let end = binary(graph, "Min", corners[axis + 2], across[axis + 2]);
        let length = binary(graph, "Sub", end, start);
        binary(graph, "Max", length, zero)
    });
    let both = binary(graph, "Mul", width, height);
    let all = binary(graph, "Add", own, other);
    let all = binary(graph, "Sub", all, both);
    binary(graph, "Div", both, all)
}

/// Pairs of candidates of one class; `ids` is `[batch, count, 1]`.
pub(super) fn same_class(graph: &mut Graph, ids: ValueId) -> ValueId {
    let ids = cast(graph, ids, DType::I32);
    let node = graph.node("Transpose").input(ids).attribute("perm", vec![0i64, 2, 1]);
    let across = node.output("across");
    binary(graph, "Equal", ids, across)
}

/// Goes through the candidates in order: each that is still there takes away those after it that
/// `pairs` `[batch, count, count]` tells. `alive` and the result are `[batch, count]`.
pub(super) fn suppress(graph: &mut Graph, pairs: ValueId, alive: ValueId) -> ValueId {
    let count = row_count(graph, pairs);
    let trips = graph.node("Squeeze").input(count).ints(&[0]).output("trips");
    // A candidate takes nothing away that stands before it.
    let places = numbers(graph, count);
    let column = graph.node("Unsqueeze").input(places).ints(&[1]).output("column");
    let after = binary(graph, "Less", column, places);
    let pairs = binary(graph, "And", pairs, after);

    let outside = graph.value(pairs).name.clone();
    let mut body = Graph::new("suppression");
    let inside = |name: &str| format!("{outside}/{name}");
    let input = |body: &mut Graph, name: &str, dtype, shape| {
        let value = Value { name: inside(name), dtype: Some(dtype), shape, ..Value::default() };
        let id = body.add_value(value);
        body.inputs.push(id);
        id
    };
    let index = input(&mut body, "index", DType::I64, Some(Vec::new()));
    let go_on = input(&mut body, "go_on", DType::Bool, Some(Vec::new()));
    let open = vec![Dim::Unknown, Dim::Unknown];
    let before = input(&mut body, "before", DType::Bool, Some(open));
    let pairs = body.add_value(Value {
        name: outside.clone(),
        dtype: Some(DType::Bool),
        shape: Some(vec![Dim::Unknown; 3]),
        ..Value::default()
    });
    let gather = |body: &mut Graph, from, name: &str| {
        body.node("Gather").input(from).input(index).attribute("axis", 1i64).output(&inside(name))
    };
    let mine = gather(&mut body, pairs, "mine");
    let there = gather(&mut body, before, "there");
    let there = body.node("Unsqueeze").input(there).ints(&[1]).output(&inside("is_there"));
    let taken = body.node("And").input(mine).input(there).output(&inside("taken"));
    let left = body.node("Not").input(taken).output(&inside("left"));
    let after = body.node("And").input(before).input(left).output(&inside("after"));
    let again = body.node("Identity").input(go_on).output(&inside("again"));
    body.outputs = vec![again, after];
    shapes::infer(&mut body);
    // Constants of the body are named apart from those outside too.
    for (number, id) in body.values().map(|(id, _)| id).collect::<Vec<_>>().into_iter().enumerate()
    {
        if body.value(id).constant.is_some() {
            body.rename(id, &inside(&format!("constant{number}")));
        }
    }
    let go_on = graph.node("Cast").constant(Tensor::scalar(1i32));
    let go_on = go_on.attribute("to", onnx::dtype_number(DType::Bool)).output("go_on");
    graph
        .node("Loop")
        .input(trips)
        .input(go_on)
        .input(alive)
        .attribute("body", Attribute::Graph(Box::new(body)))
        .output("kept")
}
