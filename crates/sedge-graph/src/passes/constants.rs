//! Computes what depends on constants alone: weights that are stored in half precision and cast,
//! turned, or put together from the parts of a normalisation.
//!
//! Only operators whose result is the same number in every runtime, and results that are not larger
//! than what they are made of: a file's size stays a bound. Quantised weights stay quantised.

use sedge_tensor::{DType, Tensor, element_count};

use super::layout::transpose;
use crate::{Dim, Graph, Node, onnx};

/// Results of this many bytes may be larger than their operands.
const ALWAYS_BYTES: usize = 4096;

/// Replaces nodes whose operands are all constants by their results.
pub fn fold_constants(graph: &mut Graph) {
    let weights = graph.values().filter_map(|(_, value)| value.constant.as_ref());
    // Nodes may share a constant.
    let mut budget = weights.map(|weight| weight.bytes().len()).sum::<usize>().saturating_mul(4);
    let mut kept = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        let result = node.output(0).filter(|id| !graph.outputs.contains(id));
        let folded = result.and_then(|id| Some((id, evaluate(graph, &node, &mut budget)?)));
        let Some((id, tensor)) = folded else {
            kept.push(node);
            continue;
        };
        let value = graph.value_mut(id);
        value.dtype = Some(tensor.dtype());
        value.shape = Some(tensor.shape().iter().map(|&n| Dim::Fixed(n)).collect());
        value.constant = Some(tensor);
    }
    graph.nodes = kept;
}

fn evaluate(graph: &Graph, node: &Node, budget: &mut usize) -> Option<Tensor> {
    if !node.domain.is_empty() || node.outputs.len() != 1 || node.inputs.is_empty() {
        return None;
    }
    let operands: Vec<&Tensor> =
        node.inputs.iter().map(|&id| graph.constant(id)).collect::<Option<_>>()?;
    let first = *operands.first()?;
    // The bytes of one that is only seen in another way are shared.
    match node.op.as_str() {
        "Identity" => return Some(first.clone()),
        "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => {
            let shape = graph.value(node.output(0)?).fixed_shape()?;
            return first.clone().reshaped(shape).ok();
        }
        _ => {}
    }
    let elements = operands.iter().map(|tensor| tensor.len()).max()?;
    *budget = budget.checked_sub(elements.checked_mul(4)?)?;
    match node.op.as_str() {
        "Cast" => cast(first, onnx::dtype_of(node.int("to")?)?),
        "Transpose" => {
            let rank = first.shape().len();
            let perm: Vec<usize> = match node.ints("perm") {
                Some(perm) => {
                    perm.iter().map(|&p| usize::try_from(p).ok()).collect::<Option<_>>()?
                }
                None => (0..rank).rev().collect(),
            };
            let mut sorted = perm.clone();
            sorted.sort_unstable();
            sorted.into_iter().eq(0..rank).then(|| transpose(first, &perm)).flatten()
        }
        "Neg" => unary(first, |x| -x),
        "Sqrt" => unary(first, f32::sqrt),
        "Reciprocal" => unary(first, |x| 1.0 / x),
        "Add" => binary(&operands, |a, b| a + b),
        "Sub" => binary(&operands, |a, b| a - b),
        "Mul" => binary(&operands, |a, b| a * b),
        "Div" => binary(&operands, |a, b| a / b),
        _ => None,
    }
}

/// Floats of any width as 32-bit ones; other casts round or saturate, each runtime its own way.
fn cast(tensor: &Tensor, to: DType) -> Option<Tensor> {
    match (tensor.dtype(), to) {
        (from, to) if from == to => Some(tensor.clone()),
        (DType::F16 | DType::Bf16, DType::F32) => {
            Tensor::new(tensor.shape(), tensor.to_f32()?.into_owned()).ok()
        }
        _ => None,
    }
}

fn unary(tensor: &Tensor, apply: fn(f32) -> f32) -> Option<Tensor> {
    let values = tensor.view::<f32>().ok()?;
    Tensor::new(tensor.shape(), values.iter().map(|&x| apply(x)).collect::<Vec<f32>>()).ok()
}

fn binary(operands: &[&Tensor], apply: fn(f32, f32) -> f32) -> Option<Tensor> {
    let &[a, b] = operands else { return None };
    let (left, right) = (a.view::<f32>().ok()?, b.view::<f32>().ok()?);
    let rank = a.shape().len().max(b.shape().len());
    let (from, to) = (padded(a.shape(), rank), padded(b.shape(), rank));
    let shape: Vec<usize> =
        from.iter().zip(&to).map(|(&n, &m)| if n == 1 { m } else { n }).collect();
    let fits = |dims: &[usize]| dims.iter().zip(&shape).all(|(&n, &m)| n == m || n == 1);
    let count = element_count(&shape).filter(|_| fits(&from) && fits(&to))?;
    if count.checked_mul(4)? > ALWAYS_BYTES.max(a.bytes().len().max(b.bytes().len())) {
        return None;
    }
    let (from, to) = (steps(&from), steps(&to));
    let mut index = vec![0usize; rank];
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let at = |steps: &[usize]| index.iter().zip(steps).map(|(i, step)| i * step).sum::<usize>();
        values.push(apply(left[at(&from)], right[at(&to)]));
        for axis in (0..rank).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Tensor::new(shape, values).ok()
}

fn padded(shape: &[usize], rank: usize) -> Vec<usize> {
    let mut padded = vec![1; rank - shape.len()];
    padded.extend_from_slice(shape);
    padded
}

/// Elements between neighbours along each dimension; none where one element stands for all.
fn steps(shape: &[usize]) -> Vec<usize> {
    let mut steps = vec![0; shape.len()];
    let mut step = 1;
    for (axis, &n) in shape.iter().enumerate().rev() {
        steps[axis] = if n == 1 { 0 } else { step };
        step *= n;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use crate::passes::{clean, fold_affine};

    #[test]
    fn the_parts_of_a_normalisation_come_together() {
        let mut graph = Graph::new("g");
        let x = graph.add_value(Value { name: "x".into(), ..Value::default() });
        graph.inputs.push(x);
        let weight = Tensor::new([2, 1, 1, 1], vec![1.0f32, 2.0]).unwrap();
        let half = weight.to_f32().unwrap().iter().map(|&w| half::f16::from_f32(w)).collect();
        let half = graph.add_constant("w", Tensor::new([2, 1, 1, 1], half).unwrap());
        let weight = graph.node("Cast").input(half).attribute("to", 1).output("w32");
        let c = graph.node("Conv").input(x).input(weight).output("c");
        let variance = graph.add_constant("v", Tensor::new([2, 1, 1], vec![3f32, 8.0]).unwrap());
        let sum = graph.node("Add").input(variance).scalar(1.0).output("sum");
        let root = graph.node("Sqrt").input(sum).output("root");
        let scale = graph.node("Reciprocal").input(root).output("scale");
        let y = graph.node("Mul").input(c).input(scale).output("y");
        let z = graph.node("Relu").input(y).output("z");
        graph.outputs.push(z);
        fold_constants(&mut graph);
        fold_affine(&mut graph);
        clean(&mut graph);
        let ops: Vec<_> = graph.nodes.iter().map(|node| node.op.as_str()).collect();
        assert_eq!(ops, ["Conv", "Relu"]);
        let weight = graph.constant(graph.nodes[0].input(1)).unwrap();
        assert_eq!(weight.to_f32().unwrap().as_ref(), [0.5, 2.0 / 3.0]);
    }

    #[test]
    fn results_do_not_grow_beyond_what_they_are_made_of() {
        let row = Tensor::new([1, 2000], vec![1f32; 2000]).unwrap();
        let column = Tensor::new([2000, 1], vec![1f32; 2000]).unwrap();
        assert!(binary(&[&row, &column], |a, b| a + b).is_none());
        let few = Tensor::new([1, 2], vec![1f32, 2.0]).unwrap();
        let many = Tensor::new([2, 1], vec![10f32, 20.0]).unwrap();
        let sums = binary(&[&few, &many], |a, b| a + b).unwrap();
        assert_eq!(sums.to_f32().unwrap().as_ref(), [11.0, 12.0, 21.0, 22.0]);
        assert!(binary(&[&few, &row], |a, b| a + b).is_none());
    }
}
