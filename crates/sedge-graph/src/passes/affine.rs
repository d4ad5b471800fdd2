//! Folds what scales and shifts channels into the convolution or matrix product before it: batch
//! normalisation as MXNet, PyTorch and TensorFlow train it, and the multiplications and additions
//! it is written as in frozen graphs.
//!
//! With `y = conv(x, W) + b` and `z = s * y + t`, per channel, `z = conv(x, s W) + (s b + t)`.
//! Factors are multiplied out in `f64`, so that each weight is rounded once.

use std::collections::HashMap;

use sedge_tensor::{DType, Tensor};

use crate::{Graph, Node, ValueId};

/// Default of `BatchNormalization.epsilon`.
const EPSILON: f32 = 1e-5;

/// Folds every chain of such operators whose parameters are constants.
pub fn fold_affine(graph: &mut Graph) {
    let consumers = graph.consumers();
    let weights = graph.values().filter_map(|(_, value)| value.constant.as_ref());
    // Nodes may share a weight, each with another factor, so that the file's size alone does not
    // bound the copies.
    let mut budget = weights.map(|weight| weight.bytes().len()).sum::<usize>().saturating_mul(2);
    let mut gone = vec![false; graph.nodes.len()];
    for index in 0..graph.nodes.len() {
        let Some(linear) = Linear::of(graph, &graph.nodes[index]) else { continue };
        let (chain, affine) = chain_behind(graph, &consumers, index, &linear);
        let Some(&last) = chain.last() else { continue };
        let Some(folded) = linear.folded(&affine, &mut budget) else { continue };
        let output = graph.nodes[last].outputs.clone();
        chain.iter().for_each(|&node| gone[node] = true);
        let name = graph.nodes[index].name.clone();
        let mut inputs = graph.nodes[index].inputs.clone();
        inputs.truncate(2);
        if let Some(weight) = folded.weight {
            inputs[1] = Some(graph.add_constant(format!("{name}_folded_weight"), weight));
        }
        inputs.push(Some(graph.add_constant(format!("{name}_folded_bias"), folded.bias)));
        let node = &mut graph.nodes[index];
        (node.inputs, node.outputs) = (inputs, output);
    }
    let mut gone = gone.into_iter();
    graph.nodes.retain(|_| !gone.next().unwrap_or(false));
}

/// The nodes behind a linear one that only scale and shift its channels, and what they do together.
fn chain_behind(
    graph: &Graph,
    consumers: &HashMap<ValueId, Vec<(usize, usize)>>,
    start: usize,
    linear: &Linear<'_>,
) -> (Vec<usize>, Affine) {
    let mut chain = Vec::new();
    let mut affine =
        Affine { scale: vec![1.0; linear.channels], shift: vec![0.0; linear.channels] };
    let mut output = graph.nodes[start].output(0);
    while let Some(id) = output.filter(|id| !graph.outputs.contains(id)) {
        let Some(&[(next, operand)]) = consumers.get(&id).map(Vec::as_slice) else { break };
        let node = &graph.nodes[next];
        let Some(step) = Affine::of(graph, node, operand, linear) else { break };
        affine = affine.then(&step);
        chain.push(next);
        output = node.output(0);
    }
    (chain, affine)
}

/// A factor and a summand for every channel.
struct Affine {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl Affine {
    fn of(graph: &Graph, node: &Node, operand: usize, linear: &Linear<'_>) -> Option<Self> {
        if !node.domain.is_empty() || node.outputs.len() != 1 {
            return None;
        }
        let channels = linear.channels;
        if node.op == "BatchNormalization" && operand == 0 {
            return Self::of_normalization(graph, node, channels);
        }
        if node.inputs.len() != 2 || operand > 1 {
            return None;
        }
        let other = linear.per_channel(graph.constant(node.input(1 - operand))?)?;
        let map = |f: fn(f64) -> f64| other.iter().map(|&x| f(x)).collect::<Vec<f64>>();
        let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
        let (scale, shift) = match (node.op.as_str(), operand) {
            ("Mul", _) => (map(|x| x), zeros),
            ("Div", 0) => (map(|x| 1.0 / x), zeros),
            ("Add", _) => (ones, map(|x| x)),
            ("Sub", 0) => (ones, map(|x| -x)),
            ("Sub", _) => (vec![-1.0; channels], map(|x| x)),
            _ => return None,
        };
        Some(Self { scale, shift })
    }

    /// As running networks compute it, from the stored mean and variance.
    fn of_normalization(graph: &Graph, node: &Node, channels: usize) -> Option<Self> {
        if node.int("training_mode") == Some(1) {
            return None;
        }
        let parameter = |index| {
            let tensor = graph.constant(node.input(index))?;
            let fits = tensor.dtype() == DType::F32 && tensor.shape() == [channels];
            fits.then(|| tensor.to_f32()).flatten()
        };
        let (gamma, beta, mean, variance) =
            (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?);
        let epsilon = f64::from(node.float("epsilon").unwrap_or(EPSILON));
        let scale = gamma.iter().zip(variance.iter());
        let scale: Vec<f64> =
            scale.map(|(&g, &v)| f64::from(g) / (f64::from(v) + epsilon).sqrt()).collect();
        let shift = beta.iter().zip(mean.iter()).zip(&scale);
        let shift = shift.map(|((&b, &m), s)| f64::from(b) - f64::from(m) * s).collect();
        Some(Self { scale, shift })
    }

    /// This one, then another.
    fn then(self, next: &Self) -> Self {
        let shift = self.shift.iter().zip(&next.scale).zip(&next.shift);
        let shift = shift.map(|((t, s), u)| t * s + u).collect();
        let scale = self.scale.iter().zip(&next.scale).map(|(a, b)| a * b).collect();
        Self { scale, shift }
    }
}

/// A node that is linear in its input, with constant parameters.
struct Linear<'g> {
    weight: &'g Tensor,
    bias: Option<&'g Tensor>,
    channels: usize,
    /// Dimension of the weight that is the channels of the result.
    axis: usize,
    /// Number of dimensions of the result; channels are the second.
    rank: usize,
}

/// What it becomes: a new weight where it changes, and a bias.
struct Folded {
    weight: Option<Tensor>,
    bias: Tensor,
}

impl<'g> Linear<'g> {
    fn of(graph: &'g Graph, node: &Node) -> Option<Self> {
        let axis = match node.op.as_str() {
            _ if !node.domain.is_empty() => return None,
            "Conv" => 0,
            "ConvTranspose" if node.int("group").unwrap_or(1) == 1 => 1,
            "Gemm"
                if [node.float("alpha"), node.float("beta")]
                    .iter()
                    .flatten()
                    .all(|&x| x == 1.0) =>
            {
                usize::from(node.int("transB") != Some(1))
            }
            _ => return None,
        };
        let weight = graph.constant(node.input(1)).filter(|weight| weight.dtype() == DType::F32)?;
        let bias = match node.input(2) {
            Some(id) => Some(graph.constant(Some(id))?),
            None => None,
        };
        let (channels, rank) = (*weight.shape().get(axis)?, weight.shape().len());
        let linear = Self { weight, bias, channels, axis, rank };
        bias.is_none_or(|bias| linear.per_channel_of_bias(bias).is_some()).then_some(linear)
    }

    /// A convolution's bias is a vector of channels; a product's is broadcast as usual.
    fn per_channel_of_bias(&self, bias: &Tensor) -> Option<Vec<f64>> {
        let vector = bias.shape() == [self.channels] && bias.dtype() == DType::F32;
        let values = || Some(bias.to_f32()?.iter().map(|&x| f64::from(x)).collect());
        if vector { values() } else { self.per_channel(bias).filter(|_| self.rank == 2) }
    }

    /// A constant operand as one number for every channel, when it is no more than that.
    fn per_channel(&self, tensor: &Tensor) -> Option<Vec<f64>> {
        let lead = self.rank.checked_sub(tensor.shape().len())?;
        let along =
            |(axis, &n): (usize, &usize)| n == 1 || (axis + lead == 1 && n == self.channels);
        if tensor.dtype() != DType::F32 || !tensor.shape().iter().enumerate().all(along) {
            return None;
        }
        let values = tensor.to_f32()?;
        match values.len() {
            1 => Some(vec![f64::from(values[0]); self.channels]),
            _ => Some(values.iter().map(|&x| f64::from(x)).collect()),
        }
    }

    fn folded(&self, affine: &Affine, budget: &mut usize) -> Option<Folded> {
        let old = self.bias.and_then(|bias| self.per_channel_of_bias(bias));
        let old = old.unwrap_or_else(|| vec![0.0; self.channels]);
        let bias = old.iter().zip(&affine.scale).zip(&affine.shift).map(|((b, s), t)| b * s + t);
        let bias: Vec<f32> = bias.map(|x| x as f32).collect();
        let weight = match affine.scale.iter().all(|&s| s == 1.0) {
            true => None,
            false => {
                *budget = budget.checked_sub(self.weight.bytes().len())?;
                let inner: usize = self.weight.shape()[self.axis + 1..].iter().product();
                let weights = self.weight.to_f32()?;
                let mut scaled: Vec<f32> = Vec::with_capacity(weights.len());
                for (index, run) in weights.chunks(inner.max(1)).enumerate() {
                    let factor = affine.scale[index % self.channels];
                    scaled.extend(run.iter().map(|&w| (f64::from(w) * factor) as f32));
                }
                // A variance of nothing would make weights that no number holds.
                scaled.iter().all(|w| w.is_finite()).then_some(())?;
                Some(Tensor::new(self.weight.shape(), scaled).ok()?)
            }
        };
        bias.iter().all(|b| b.is_finite()).then(|| Folded { weight, bias: Tensor::vector(bias) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dim, Value};

    fn conv(graph: &mut Graph) -> ValueId {
        let shape = Some([1, 1, 4, 4].map(Dim::Fixed).to_vec());
        let x = graph.add_value(Value { name: "x".into(), shape, ..Value::default() });
        graph.inputs.push(x);
        let weight = Tensor::new([2, 1, 1, 1], vec![1.0f32, 2.0]).unwrap();
        graph.node("Conv").input(x).constant(weight).output("c")
    }

    fn ops(graph: &Graph) -> Vec<&str> {
        graph.nodes.iter().map(|node| node.op.as_str()).collect()
    }

    fn vector(values: [f32; 2]) -> Tensor {
        Tensor::vector(values.to_vec())
    }

    #[test]
    fn normalisation_and_what_follows_goes_into_the_convolution() {
        let mut graph = Graph::new("g");
        let c = conv(&mut graph);
        let normal = graph
            .node("BatchNormalization")
            .input(c)
            .constant(vector([2.0, 3.0]))
            .constant(vector([0.5, 0.0]))
            .constant(vector([1.0, 1.0]))
            .constant(vector([4.0, 1.0]))
            .attribute("epsilon", 0.0f32)
            .output("n");
        let shifted = graph.node("Sub").scalar(1.0).input(normal).output("s");
        let y = graph.node("Relu").input(shifted).output("y");
        graph.outputs.push(y);
        fold_affine(&mut graph);
        assert_eq!(ops(&graph), ["Conv", "Relu"]);
        let constant =
            |index| graph.constant(graph.nodes[0].input(index)).unwrap().to_f32().unwrap();
        // 1 - (w x gamma / sigma + beta - mu gamma / sigma)
        assert_eq!(constant(1).as_ref(), [-1.0, -6.0]);
        assert_eq!(constant(2).as_ref(), [1.5, 4.0]);
    }

    #[test]
    fn what_others_read_or_is_no_channel_stays() {
        let mut graph = Graph::new("g");
        let c = conv(&mut graph);
        let per_pixel = Tensor::new([1, 1, 4, 1], vec![1f32; 4]).unwrap();
        let y = graph.node("Mul").input(c).constant(per_pixel).output("y");
        graph.outputs.push(y);
        fold_affine(&mut graph);
        assert_eq!(ops(&graph), ["Conv", "Mul"]);

        let mut graph = Graph::new("g");
        let c = conv(&mut graph);
        let y = graph.node("Add").input(c).scalar(1.0).output("y");
        let z = graph.node("Neg").input(c).output("z");
        graph.outputs.extend([y, z]);
        fold_affine(&mut graph);
        assert_eq!(ops(&graph), ["Conv", "Add", "Neg"]);
    }

    #[test]
    fn a_weight_that_many_share_is_not_copied_without_end() {
        let mut graph = Graph::new("g");
        let x = graph.add_value(Value { name: "x".into(), ..Value::default() });
        graph.inputs.push(x);
        let weight = Tensor::new([8, 1, 8, 8], vec![1f32; 512]).unwrap();
        let weight = graph.add_constant("w", weight);
        for _ in 0..50 {
            let c = graph.node("Conv").input(x).input(weight).output("c");
            let y = graph.node("Mul").input(c).scalar(2.0).output("y");
            graph.outputs.push(y);
        }
        fold_affine(&mut graph);
        assert_eq!(graph.nodes.iter().filter(|node| node.op == "Mul").count(), 48);
    }
}
