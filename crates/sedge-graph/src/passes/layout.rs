//! Moves transposes towards the outputs until they cancel.
//!
//! TensorFlow keeps channels last, ONNX's convolutions want them second, so an imported network
//! has a transpose on either side of every convolution. `f(transpose(x))` equals
//! `transpose(f'(x))` for everything that does not care about the order of dimensions, and two
//! opposite transposes are nothing. Measured on MobileNet v1: 58 transposes become 2.

use std::collections::HashMap;

use sedge_tensor::{Tensor, element_count};

use crate::{Attribute, Dim, Graph, Node, Value, ValueId};

/// A value as the transposition of another: dimension `i` of it is dimension `perm[i]` of `source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transposed {
    /// The value before transposition.
    pub source: ValueId,
    /// The permutation.
    pub perm: Vec<usize>,
}

/// Pushes every transpose downwards as far as it goes; dead ones are left for
/// [`crate::passes::clean`].
pub fn sink_transposes(graph: &mut Graph) {
    let weights: usize =
        graph.values().filter_map(|(_, value)| value.constant.as_ref()).map(bytes_of).sum();
    let mut pass = Pass { copy_budget: weights.saturating_mul(2), ..Pass::default() };
    for mut node in std::mem::take(&mut graph.nodes) {
        for input in node.inputs.iter_mut().flatten() {
            *input = pass.alias.get(input).copied().unwrap_or(*input);
        }
        pass.visit(graph, node);
    }
    graph.nodes = pass.done;
}

#[derive(Default)]
struct Pass {
    views: HashMap<ValueId, Transposed>,
    alias: HashMap<ValueId, ValueId>,
    /// Constants in the order of dimensions that some node before them needed.
    moved: HashMap<(ValueId, Vec<usize>), ValueId>,
    /// Bytes of constants that may still be copied. Nodes may share one, each in another order, so
    /// the size of the file alone does not bound the copies.
    copy_budget: usize,
    done: Vec<Node>,
}

fn bytes_of(tensor: &Tensor) -> usize {
    tensor.bytes().len()
}

impl Pass {
    fn visit(&mut self, graph: &mut Graph, node: Node) {
        if !node.domain.is_empty() {
            return self.done.push(node);
        }
        if node.op == "Transpose" {
            return self.transpose(graph, node);
        }
        if node.op == "Reshape" {
            return self.reshape(graph, node);
        }
        match self.pushed(graph, &node) {
            Some((moved, perm)) => self.finish(graph, &node, moved, &perm),
            None => self.done.push(node),
        }
    }

    /// Merges a transpose with the one before it; opposite ones vanish.
    fn transpose(&mut self, graph: &mut Graph, mut node: Node) {
        let (Some(x), Some(y)) = (node.input(0), node.output(0)) else {
            return self.done.push(node);
        };
        let Some(mut perm) = permutation(graph, &node) else { return self.done.push(node) };
        let mut source = x;
        if let Some(before) = self.views.get(&x).filter(|view| view.perm.len() == perm.len()) {
            source = before.source;
            perm = perm.iter().map(|&i| before.perm[i]).collect();
        }
        if perm.iter().enumerate().all(|(i, &p)| i == p) && !graph.outputs.contains(&y) {
            self.alias.insert(y, source);
            return;
        }
        node.inputs = vec![Some(source)];
        let ints: Vec<i64> = perm.iter().map(|&p| p as i64).collect();
        node.attributes.insert("perm".into(), ints.into());
        self.views.insert(y, Transposed { source, perm });
        self.done.push(node);
    }

    /// A transpose that only moves dimensions of size one changes no byte, so a reshape after it
    /// can read its source.
    fn reshape(&mut self, graph: &Graph, mut node: Node) {
        let view = node.input(0).and_then(|x| self.views.get(&x));
        let explicit = graph.constant_ints(node.input(1)).is_some_and(|to| !to.contains(&0));
        if let (Some(view), true) = (view, explicit) {
            let moved: Option<Vec<usize>> = graph.value(view.source).shape.as_ref().map(|dims| {
                view.perm.iter().copied().filter(|&p| dims.get(p) != Some(&Dim::Fixed(1))).collect()
            });
            if moved.is_some_and(|moved| moved.is_sorted()) {
                node.inputs[0] = Some(view.source);
            }
        }
        self.done.push(node);
    }

    /// The node rewritten to work before the transpose of its operands.
    fn pushed(&mut self, graph: &mut Graph, node: &Node) -> Option<(Node, Vec<usize>)> {
        let data = data_operands(node)?;
        let perm =
            data.iter().find_map(|&i| Some(self.views.get(&node.input(i)?)?.perm.clone()))?;
        let mut moved = node.clone();
        for &index in &data {
            let operand = node.input(index)?;
            moved.inputs[index] = Some(match self.views.get(&operand) {
                Some(view) if view.perm == perm => view.source,
                Some(_) => return None,
                None => self.move_constant(graph, operand, &perm)?,
            });
        }
        move_parameters(graph, &mut moved, &perm)?;
        Some((moved, perm))
    }

    /// A constant as the moved node reads it; `None` where it is none, or one copy too many.
    fn move_constant(&mut self, graph: &mut Graph, id: ValueId, perm: &[usize]) -> Option<ValueId> {
        let value = graph.value(id);
        let tensor = value.constant.as_ref()?;
        if tensor.len() == 1 && tensor.shape().len() <= 1 {
            return Some(id);
        }
        let key = (id, perm.to_vec());
        if let Some(&moved) = self.moved.get(&key) {
            return Some(moved);
        }
        self.copy_budget = self.copy_budget.checked_sub(bytes_of(tensor))?;
        let lead = perm.len().checked_sub(tensor.shape().len())?;
        let mut shape = vec![1; lead];
        shape.extend_from_slice(tensor.shape());
        let padded = tensor.clone().reshaped(shape).ok()?;
        let mut inverse = vec![0; perm.len()];
        perm.iter().enumerate().for_each(|(i, &p)| inverse[p] = i);
        let name = format!("{}_moved", value.name);
        let moved = graph.add_constant(name, transpose(&padded, &inverse)?);
        self.moved.insert(key, moved);
        Some(moved)
    }

    /// Gives the moved node fresh results and restores the old ones behind a transpose.
    fn finish(&mut self, graph: &mut Graph, old: &Node, mut moved: Node, perm: &[usize]) {
        let restored = restored_order(graph, old, perm);
        let mut after = Vec::new();
        for (index, output) in old.outputs.iter().enumerate() {
            let Some(output) = *output else { continue };
            if restored.iter().enumerate().all(|(i, &p)| i == p) {
                continue;
            }
            let was = graph.value(output);
            let shape =
                was.shape.as_ref().filter(|dims| dims.len() == restored.len()).map(|dims| {
                    let mut shape = vec![Dim::Unknown; dims.len()];
                    for (dim, &p) in dims.iter().zip(&restored) {
                        shape[p] = dim.clone();
                    }
                    shape
                });
            let value = Value {
                name: format!("{}_moved", was.name),
                dtype: was.dtype,
                shape,
                ..Value::default()
            };
            let fresh = graph.add_value(value);
            moved.outputs[index] = Some(fresh);
            let ints: Vec<i64> = restored.iter().map(|&p| p as i64).collect();
            after.push(Node {
                op: "Transpose".into(),
                inputs: vec![Some(fresh)],
                outputs: vec![Some(output)],
                attributes: [("perm".to_owned(), Attribute::from(ints))].into(),
                ..Node::default()
            });
            self.views.insert(output, Transposed { source: fresh, perm: restored.clone() });
        }
        self.done.push(moved);
        self.done.extend(after);
    }
}

const UNARY: [&str; 31] = [
    "Abs",
    "Cast",
    "Ceil",
    "Celu",
    "Clip",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Not",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tanh",
    "ThresholdedRelu",
    "Sin",
    "Cos",
];

const BROADCASTING: [&str; 18] = [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Min",
    "Max",
    "Sum",
    "Mean",
    "PRelu",
    "Equal",
    "Less",
    "LessOrEqual",
    "Greater",
    "GreaterOrEqual",
    "And",
    "Or",
    "Where",
];

const REDUCING: [&str; 5] = ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"];

/// Which operands carry data whose dimensions the transpose permutes; `None` for operators that
/// cannot be moved.
fn data_operands(node: &Node) -> Option<Vec<usize>> {
    let op = node.op.as_str();
    if BROADCASTING.contains(&op) || op == "Concat" {
        return Some((0..node.inputs.len()).collect());
    }
    let first = UNARY.contains(&op)
        || REDUCING.contains(&op)
        || matches!(op, "QuantizeLinear" | "DequantizeLinear" | "Softmax" | "LogSoftmax")
        || matches!(op, "Pad" | "Slice" | "Split");
    first.then(|| vec![0])
}

/// Rewrites axes and per-axis parameters for the order of dimensions before the transpose.
fn move_parameters(graph: &mut Graph, node: &mut Node, perm: &[usize]) -> Option<()> {
    let rank = perm.len();
    let axis_of = |axis: i64| {
        let axis = if axis < 0 { axis + rank as i64 } else { axis };
        perm.get(usize::try_from(axis).ok()?).map(|&p| p as i64)
    };
    match node.op.as_str() {
        "Concat" | "Split" => {
            let axis = axis_of(node.int("axis").unwrap_or(0))?;
            node.attributes.insert("axis".into(), axis.into());
        }
        "Softmax" | "LogSoftmax" => {
            let axis = axis_of(node.int("axis").unwrap_or(-1))?;
            node.attributes.insert("axis".into(), axis.into());
        }
        "QuantizeLinear" | "DequantizeLinear" => {
            let scale = graph.value(node.input(1)?);
            if scale.fixed_shape().is_none_or(|shape| element_count(&shape) != Some(1)) {
                let axis = axis_of(node.int("axis").unwrap_or(1))?;
                node.attributes.insert("axis".into(), axis.into());
            }
        }
        "Pad" => {
            if node.input(3).is_some() {
                return None;
            }
            let pads = graph.constant_ints(node.input(1)).filter(|p| p.len() == 2 * rank)?;
            let mut moved = vec![0; 2 * rank];
            for (i, &p) in perm.iter().enumerate() {
                (moved[p], moved[p + rank]) = (pads[i], pads[i + rank]);
            }
            node.inputs[1] = Some(graph.add_constant("pads", Tensor::vector(moved)));
        }
        "Slice" => {
            let count = graph.constant_ints(node.input(1))?.len();
            let axes = match node.input(3) {
                Some(axes) => graph.constant_ints(Some(axes))?,
                None => (0..count as i64).collect(),
            };
            let moved: Vec<i64> = axes.into_iter().map(axis_of).collect::<Option<_>>()?;
            node.inputs.resize(node.inputs.len().max(4), None);
            node.inputs[3] = Some(graph.add_constant("axes", Tensor::vector(moved)));
        }
        op if REDUCING.contains(&op) => {
            let axes = graph.constant_ints(node.input(1)).filter(|axes| !axes.is_empty())?;
            let moved: Vec<i64> = axes.into_iter().map(axis_of).collect::<Option<_>>()?;
            node.inputs[1] = Some(graph.add_constant("axes", Tensor::vector(moved)));
        }
        _ => {}
    }
    Some(())
}

/// The permutation that leads from the moved node's result back to the old one's.
fn restored_order(graph: &Graph, old: &Node, perm: &[usize]) -> Vec<usize> {
    let dropped = REDUCING.contains(&old.op.as_str()) && old.int("keepdims") == Some(0);
    if !dropped {
        return perm.to_vec();
    }
    let rank = perm.len() as i64;
    let axes = graph.constant_ints(old.input(1)).unwrap_or_default();
    let reduced =
        |axis: usize| axes.iter().any(|&a| (if a < 0 { a + rank } else { a }) == axis as i64);
    let kept: Vec<usize> = (0..perm.len()).filter(|&i| !reduced(i)).map(|i| perm[i]).collect();
    let mut order = kept.clone();
    order.sort_unstable();
    kept.iter().filter_map(|p| order.iter().position(|q| q == p)).collect()
}
/// A tensor with its dimensions (and elements) reordered.
pub(crate) fn transpose(tensor: &Tensor, perm: &[usize]) -> Option<Tensor> {
    let size = tensor.dtype().size()?;
    let from = tensor.shape();
    let shape: Vec<usize> = perm.iter().map(|&p| from[p]).collect();
    let mut strides = vec![size; from.len()];
    for axis in (1..from.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(from[axis]);
    }
    let steps: Vec<usize> = perm.iter().map(|&p| strides[p]).collect();
    let source = tensor.bytes();
    let mut bytes = Vec::with_capacity(source.len());
    let mut index = vec![0usize; shape.len()];
    for _ in 0..tensor.len() {
        let at: usize = index.iter().zip(&steps).map(|(i, step)| i * step).sum();
        bytes.extend_from_slice(&source[at..at + size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Tensor::from_bytes(tensor.dtype(), shape, bytes.into()).ok()
}

fn permutation(graph: &Graph, node: &Node) -> Option<Vec<usize>> {
    let perm: Vec<usize> = match node.ints("perm") {
        Some(perm) => perm.iter().map(|&p| usize::try_from(p).ok()).collect::<Option<_>>()?,
        None => (0..graph.value(node.input(0)?).shape.as_ref()?.len()).rev().collect(),
    };
    let mut seen = perm.clone();
    seen.sort_unstable();
    seen.into_iter().eq(0..perm.len()).then_some(perm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::clean;

    const TO_NCHW: [i64; 4] = [0, 3, 1, 2];
    const TO_NHWC: [i64; 4] = [0, 2, 3, 1];

    fn turn(graph: &mut Graph, x: ValueId, perm: [i64; 4]) -> ValueId {
        graph.node("Transpose").input(x).attribute("perm", perm.to_vec()).output("t")
    }

    fn input(graph: &mut Graph, name: &str, shape: [usize; 4]) -> ValueId {
        let shape = Some(shape.map(Dim::Fixed).to_vec());
        let id = graph.add_value(Value { name: name.into(), shape, ..Value::default() });
        graph.inputs.push(id);
        id
    }

    fn ops(graph: &Graph) -> Vec<&str> {
        graph.nodes.iter().map(|n| n.op.as_str()).collect()
    }

    /// One constant, read by an addition behind each of the transposes.
    fn sums_behind(perms: &[[i64; 4]]) -> Graph {
        let mut graph = Graph::new("g");
        let weight = graph.add_constant("w", Tensor::new([1, 1, 1, 8], vec![1f32; 8]).unwrap());
        for (index, &perm) in perms.iter().enumerate() {
            let x = input(&mut graph, &format!("x{index}"), [1, 1, 1, 1]);
            let turned = turn(&mut graph, x, perm);
            let y = graph.node("Add").input(turned).input(weight).output("y");
            graph.outputs.push(y);
        }
        sink_transposes(&mut graph);
        graph
    }

    #[test]
    fn a_shared_constant_is_copied_once_for_an_order_and_for_few_orders() {
        let copies =
            |graph: &Graph| graph.values().filter(|(_, v)| v.constant.is_some()).count() - 1;
        assert_eq!(copies(&sums_behind(&[TO_NHWC; 50])), 1);
        let orders = [[1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2], [3, 0, 1, 2], [2, 0, 1, 3]];
        // The others stay behind their transposes.
        assert_eq!(copies(&sums_behind(&orders)), 2);
    }

    #[test]
    fn a_constant_of_no_elements_may_have_any_other_size() {
        let shape = [0, 1 << 40, 1 << 40];
        let empty = Tensor::from_bytes(sedge_tensor::DType::F32, shape, Vec::new().into()).unwrap();
        // In the new order the size is one too many.
        assert!(transpose(&empty, &[2, 1, 0]).is_none());
    }

    #[test]
    fn opposite_transposes_cancel_across_elementwise_operators() {
        let mut graph = Graph::new("g");
        let x = input(&mut graph, "x", [1, 8, 4, 4]);
        let nhwc = turn(&mut graph, x, TO_NHWC);
        let scaled =
            graph.node("Mul").input(nhwc).constant(Tensor::vector(vec![2.0f32; 8])).output("s");
        let active = graph.node("Relu").input(scaled).output("r");
        let back = turn(&mut graph, active, TO_NCHW);
        let y = graph.node("Neg").input(back).output("y");
        graph.outputs.push(y);
        sink_transposes(&mut graph);
        clean(&mut graph);
        assert_eq!(ops(&graph), ["Mul", "Relu", "Neg"]);
        let factor = graph.constant(graph.nodes[0].input(1)).unwrap();
        assert_eq!(factor.shape(), [1, 8, 1, 1]);
    }

    #[test]
    fn axes_follow_the_dimensions() {
        let mut graph = Graph::new("g");
        let x = input(&mut graph, "x", [1, 8, 4, 4]);
        let nhwc = turn(&mut graph, x, TO_NHWC);
        let both = graph.node("Concat").input(nhwc).input(nhwc).attribute("axis", 3).output("c");
        let mean =
            graph.node("ReduceMean").input(both).ints(&[1, 2]).attribute("keepdims", 0).output("m");
        graph.outputs.push(mean);
        sink_transposes(&mut graph);
        clean(&mut graph);
        assert_eq!(ops(&graph), ["Concat", "ReduceMean"]);
        assert_eq!(graph.nodes[0].int("axis"), Some(1));
        assert_eq!(graph.constant_ints(graph.nodes[1].input(1)), Some(vec![2, 3]));
    }

    #[test]
    fn a_flattened_pixel_needs_no_transpose_but_a_map_does() {
        for (size, want) in [(1, vec!["Reshape"]), (4, vec!["Transpose", "Reshape"])] {
            let mut graph = Graph::new("g");
            let x = input(&mut graph, "x", [1, 8, size, size]);
            let nhwc = turn(&mut graph, x, TO_NHWC);
            let flat = graph.node("Reshape").input(nhwc).ints(&[1, -1]).output("flat");
            graph.outputs.push(flat);
            sink_transposes(&mut graph);
            clean(&mut graph);
            assert_eq!(ops(&graph), want);
        }
    }

    #[test]
    fn constants_are_reordered_element_by_element() {
        let tensor = Tensor::new([1, 2, 3], (0u8..6).collect()).unwrap();
        let turned = transpose(&tensor, &[0, 2, 1]).unwrap();
        assert_eq!((turned.shape(), turned.bytes()), (&[1, 3, 2][..], &[0, 3, 1, 4, 2, 5][..]));
    }
}
