//! Folding of shape arithmetic: what depends on nothing but known shapes becomes a constant.

use sedge_tensor::{DType, Tensor};

use super::infer_node;
use crate::{Attribute, Dim, Graph, Node, onnx};

/// Constants larger than this are data, not shape arithmetic.
const MAX_ELEMENTS: usize = 4096;

/// Infers shapes and replaces integer arithmetic on known shapes by constants, removing the nodes
/// it came from. Exporters leave long `Shape`, `Gather`, `Concat` chains in front of reshapes;
/// without them the reshapes have known results.
pub fn fold(graph: &mut Graph) {
    fold_from(graph, 0);
}

/// The same for the nodes from `start` on: what an importer has just added. Those before are not
/// looked at again.
pub fn fold_from(graph: &mut Graph, start: usize) {
    let start = start.min(graph.nodes.len());
    let mut kept = Vec::new();
    for index in start..graph.nodes.len() {
        infer_node(graph, index);
        let node = &graph.nodes[index];
        match (evaluate(graph, node), node.outputs.as_slice()) {
            (Some(tensor), &[Some(output)]) if !graph.outputs.contains(&output) => {
                let value = graph.value_mut(output);
                value.dtype = Some(tensor.dtype());
                value.shape = Some(tensor.shape().iter().map(|&n| Dim::Fixed(n)).collect());
                value.constant = Some(tensor);
            }
            _ => kept.push(index),
        }
    }
    let mut added: Vec<_> = graph.nodes.drain(start..).map(Some).collect();
    graph.nodes.extend(kept.into_iter().filter_map(|index| added[index - start].take()));
}

/// The result of a node when it is a small integer tensor that can be known now.
fn evaluate(graph: &Graph, node: &Node) -> Option<Tensor> {
    if !node.domain.is_empty() {
        return None;
    }
    if node.op == "Shape" {
        return shape_of(graph, node);
    }
    let operand =
        |index: usize| graph.constant(node.input(index)).filter(|t| t.len() <= MAX_ELEMENTS);
    let first = operand(0)?;
    let truth = first.dtype() == DType::Bool
        && matches!(node.op.as_str(), "And" | "Or" | "Not" | "Identity");
    let any = matches!(node.op.as_str(), "ConstantOfShape" | "Cast");
    if !first.dtype().is_integer() && !truth && !any {
        return None;
    }
    let ints = |index: usize| operand(index)?.to_i64();
    let rebuild = |shape: Vec<usize>, values: Vec<i64>| of_dtype(first.dtype(), shape, values);
    match node.op.as_str() {
        "Identity" => Some(first.clone()),
        "Cast" => {
            let to = onnx::dtype_of(node.int("to")?)?;
            let values = match first.dtype() {
                // Half is true, and would be none when it is cut off.
                dtype if dtype.is_float() && to == DType::Bool => {
                    first.to_f32()?.iter().map(|&x| i64::from(x != 0.0)).collect()
                }
                dtype if dtype.is_float() => first.to_f32()?.iter().map(|&x| x as i64).collect(),
                _ => first.to_i64()?,
            };
            of_dtype(to, first.shape().to_vec(), values)
        }
        "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" => {
            let output = graph.value(node.output(0)?).fixed_shape()?;
            first.clone().reshaped(output).ok()
        }
        "Concat" if first.shape().len() == 1 => {
            let mut values = Vec::new();
            for index in 0..node.inputs.len() {
                values.extend(ints(index)?);
            }
            rebuild(vec![values.len()], values)
        }
        "Gather" if first.shape().len() == 1 => {
            let (values, at) = (first.to_i64()?, operand(1)?);
            let pick = |&i: &i64| {
                let i = if i < 0 { i + values.len() as i64 } else { i };
                values.get(usize::try_from(i).ok()?).copied()
            };
            let picked = at.to_i64()?.iter().map(pick).collect::<Option<Vec<_>>>()?;
            rebuild(at.shape().to_vec(), picked)
        }
        "Slice" if first.shape().len() == 1 => slice(node, first, &ints),
        "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" if node.inputs.len() == 2 => {
            let (shape, values) = pairwise(first, operand(1)?, |a, b| match node.op.as_str() {
                "Add" => a.checked_add(b),
                "Sub" => a.checked_sub(b),
                "Mul" => a.checked_mul(b),
                "Div" => a.checked_div(b),
                "Min" => Some(a.min(b)),
                _ => Some(a.max(b)),
            })?;
            rebuild(shape, values)
        }
        "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "Equal" | "And" | "Or" => {
            let (shape, values) = pairwise(first, operand(1)?, |a, b| {
                Some(i64::from(match node.op.as_str() {
                    "Less" => a < b,
                    "LessOrEqual" => a <= b,
                    "Greater" => a > b,
                    "GreaterOrEqual" => a >= b,
                    "Equal" => a == b,
                    "And" => a != 0 && b != 0,
                    _ => a != 0 || b != 0,
                }))
            })?;
            of_dtype(DType::Bool, shape, values)
        }
        "Not" => {
            let values = first.to_i64()?.iter().map(|&n| i64::from(n == 0)).collect();
            of_dtype(DType::Bool, first.shape().to_vec(), values)
        }
        "ReduceProd" => {
            let product = first.to_i64()?.iter().try_fold(1i64, |n, &m| n.checked_mul(m))?;
            let output = graph.value(node.output(0)?).fixed_shape()?;
            (sedge_tensor::element_count(&output) == Some(1))
                .then(|| rebuild(output, vec![product]))
                .flatten()
        }
        "Range" => {
            let (start, limit, delta) = (ints(0)?, ints(1)?, ints(2)?);
            let (start, limit, delta) = (*start.first()?, *limit.first()?, *delta.first()?);
            if delta <= 0 || limit.checked_sub(start)? > MAX_ELEMENTS as i64 {
                return None;
            }
            let values: Vec<i64> = (start..limit).step_by(usize::try_from(delta).ok()?).collect();
            rebuild(vec![values.len()], values)
        }
        "ConstantOfShape" => {
            let shape: Vec<usize> =
                first.to_i64()?.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<_>>()?;
            let count = sedge_tensor::element_count(&shape).filter(|&n| n <= MAX_ELEMENTS)?;
            match node.attributes.get("value") {
                Some(Attribute::Tensor(fill)) if fill.dtype().is_integer() => {
                    of_dtype(fill.dtype(), shape, vec![*fill.to_i64()?.first()?; count])
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// A function of two operands of the same shape, or of which one is a single element.
fn pairwise(
    first: &Tensor,
    second: &Tensor,
    apply: impl Fn(i64, i64) -> Option<i64>,
) -> Option<(Vec<usize>, Vec<i64>)> {
    let (a, b) = (first.to_i64()?, second.to_i64()?);
    let shape = match (a.len(), b.len()) {
        (0, _) | (_, 0) => return None,
        (n, m) if n == m && first.shape().len() < second.shape().len() => second.shape().to_vec(),
        (n, m) if n == m || m == 1 => first.shape().to_vec(),
        (1, _) => second.shape().to_vec(),
        _ => return None,
    };
    let length = a.len().max(b.len());
    let values =
        (0..length).map(|i| apply(a[i % a.len()], b[i % b.len()])).collect::<Option<_>>()?;
    Some((shape, values))
}

fn shape_of(graph: &Graph, node: &Node) -> Option<Tensor> {
    let shape = graph.value(node.input(0)?).fixed_shape()?;
    let rank = shape.len() as i64;
    let bound = |name: &str, default: i64| {
        let at = node.int(name).unwrap_or(default);
        (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize
    };
    let (start, end) = (bound("start", 0), bound("end", rank));
    Some(Tensor::vector(shape.get(start..end)?.iter().map(|&n| n as i64).collect()))
}

fn slice(node: &Node, data: &Tensor, ints: &dyn Fn(usize) -> Option<Vec<i64>>) -> Option<Tensor> {
    let values = data.to_i64()?;
    let size = values.len() as i64;
    let step = match node.input(4) {
        Some(_) => *ints(4)?.first()?,
        None => 1,
    };
    let clamp = |i: i64| (if i < 0 { i.saturating_add(size) } else { i }).clamp(0, size);
    let (start, end) = (clamp(*ints(1)?.first()?), clamp(*ints(2)?.first()?));
    if step <= 0 {
        return None;
    }
    let picked: Vec<i64> =
        (start..end).step_by(usize::try_from(step).ok()?).map(|i| values[i as usize]).collect();
    of_dtype(data.dtype(), vec![picked.len()], picked)
}

fn of_dtype(dtype: DType, shape: Vec<usize>, values: Vec<i64>) -> Option<Tensor> {
    match dtype {
        DType::I64 => Tensor::new(shape, values).ok(),
        DType::I32 => {
            let narrow =
                values.iter().map(|&n| i32::try_from(n).ok()).collect::<Option<Vec<_>>>()?;
            Tensor::new(shape, narrow).ok()
        }
        DType::Bool => {
            let bytes = values.iter().map(|&n| u8::from(n != 0)).collect::<Vec<u8>>();
            Tensor::from_bytes(DType::Bool, shape, bytes.into()).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    #[test]
    fn a_shape_chain_before_a_reshape_disappears() {
        let mut graph = Graph::new("chain");
        let dims = [1, 8, 2, 2].map(Dim::Fixed).to_vec();
        let x = graph.add_value(Value { name: "x".into(), shape: Some(dims), ..Value::default() });
        graph.inputs.push(x);
        let shape = graph.node("Shape").input(x).output("shape");
        let batch =
            graph.node("Gather").input(shape).ints(&[0]).attribute("axis", 0).output("batch");
        let to = graph.node("Concat").input(batch).ints(&[-1]).attribute("axis", 0).output("to");
        let y = graph.node("Reshape").input(x).input(to).output("y");
        graph.outputs.push(y);
        fold(&mut graph);
        assert_eq!(graph.nodes.len(), 1);
        assert_eq!(graph.value(y).fixed_shape(), Some(vec![1, 32]));
    }

    #[test]
    fn sizes_are_compared_and_products_keep_their_rank() {
        let mut graph = Graph::new("sizes");
        let dims = [Dim::Symbol("batch".into()), Dim::Fixed(3), Dim::Fixed(4)].to_vec();
        let x = graph.add_value(Value { name: "x".into(), shape: Some(dims), ..Value::default() });
        graph.inputs.push(x);
        let weight = Tensor::new([4, 2, 5], vec![0f32; 40]).unwrap();
        let node = graph.node("Einsum").input(x).constant(weight);
        let y = node.attribute("equation", "abc,cde->abde").output("y");
        let shape = graph.node("Shape").input(y).attribute("start", 1i64).output("shape");
        let less = graph.node("Less").input(shape).ints(&[4]).output("less");
        let half = graph.node("Cast").scalar(0.5).attribute("to", 9i64).output("half");
        let both = graph.node("And").input(less).input(less).output("both");
        let neither = graph.node("Not").input(both).output("neither");
        fold(&mut graph);
        let sizes = graph.value(y).shape.clone().unwrap();
        assert_eq!(sizes[0], Dim::Symbol("batch".into()));
        assert_eq!(sizes[1..], [3, 2, 5].map(Dim::Fixed));
        assert_eq!(graph.constant_ints(Some(shape)), None, "the batch is open");
        let fixed = graph.constant_ints(Some(neither));
        assert!(fixed.is_none());
        assert_eq!(graph.constant_ints(Some(half)), Some(vec![1]));
        for dim in graph.value_mut(x).shape.iter_mut().flatten().take(1) {
            *dim = Dim::Fixed(1);
        }
        graph.value_mut(y).shape = None;
        fold(&mut graph);
        assert_eq!(graph.constant_ints(Some(shape)), Some(vec![3, 2, 5]));
        assert_eq!(graph.constant_ints(Some(neither)), Some(vec![0, 0, 1]));
    }
}
