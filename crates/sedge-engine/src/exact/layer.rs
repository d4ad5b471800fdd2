//! Convolutions and products of matrices.

use sedge_graph::{Node, ValueId};
use sedge_kernels::Level;
use sedge_tensor::{DType, Tensor};

use super::Writer;
use super::requantize::Channels;
use crate::integers::layer::{Layer, transposed};

/// Integers below this are exact in floats, and so is every sum of them that stays below.
const EXACT_FLOATS: i64 = 1 << 24;

impl Writer<'_> {
    pub(super) fn layer(
        &mut self,
        layer: &Layer,
        input: ValueId,
        output: ValueId,
    ) -> Option<ValueId> {
        let bytes = self.bytes(input)?;
        let rank = self.source.value(output).shape.as_ref()?.len();
        let (sums, channels) = match &layer.node {
            Some(node) => (self.convolution(node, layer, bytes)?, Channels::Second(rank)),
            None if rank == 2 => (self.product(layer, bytes)?, Channels::Second(rank)),
            None => (self.product(layer, bytes)?, Channels::Last),
        };
        let requantize = layer.requantize(Level::Portable);
        self.requantize(sums, &requantize, layer.bias.as_deref(), channels)
    }

    /// Groups go through floats where those hold the sums: runtimes multiply integers as whole
    /// matrices, group by group.
    fn convolution(&mut self, node: &Node, layer: &Layer, bytes: ValueId) -> Option<ValueId> {
        if layer.groups > 1 && floats_hold(layer) {
            return self.float_convolution(node, layer, bytes);
        }
        match layer.zeros.as_slice() {
            [zero, rest @ ..] if rest.iter().all(|other| other == zero) => {
                let weights = unsigned(layer, &layer.weights, shape(layer))?;
                let zero = Tensor::scalar(u8::try_from(zero + 128).ok()?);
                let inputs = [weights, Tensor::scalar(layer.input.zero), zero];
                Some(self.of_integers("ConvInteger", node, bytes, inputs))
            }
            _ if floats_hold(layer) => self.float_convolution(node, layer, bytes),
            _ => None,
        }
    }

    fn product(&mut self, layer: &Layer, bytes: ValueId) -> Option<ValueId> {
        let columns = transposed(&layer.weights, layer.outputs, layer.inputs);
        let weights = unsigned(layer, &columns, vec![layer.inputs, layer.outputs])?;
        let zeros = layer.zeros.iter().map(|zero| u8::try_from(zero + 128).ok());
        let zeros = Tensor::vector(zeros.collect::<Option<Vec<_>>>()?);
        let zeros = if zeros.len() == 1 { zeros.reshaped([]).ok()? } else { zeros };
        let inputs = [weights, Tensor::scalar(layer.input.zero), zeros];
        Some(self.of_integers("MatMulInteger", &Node::default(), bytes, inputs))
    }

    /// Weights are unsigned too: with signed ones some processors' sums of two products saturate.
    fn of_integers(
        &mut self,
        op: &str,
        node: &Node,
        bytes: ValueId,
        [weights, input_zero, zero]: [Tensor; 3],
    ) -> ValueId {
        let node = Node { op: op.to_owned(), name: String::new(), ..node.clone() };
        let [weights, input_zero, zero] =
            [(weights, "weights"), (input_zero, "zero"), (zero, "zero")]
                .map(|(tensor, name)| Some(self.out.add_constant(name, tensor)));
        self.like(&node, vec![Some(bytes), weights, input_zero, zero], "sums")
    }

    fn float_convolution(&mut self, node: &Node, layer: &Layer, bytes: ValueId) -> Option<ValueId> {
        let steps = self.steps(bytes, layer.input.zero);
        let weights = Tensor::new(shape(layer), layer.weights.clone()).ok()?;
        let weights = self.out.add_constant("weights", weights);
        let mut weights = self.cast(weights, DType::F32);
        if layer.zeros.iter().any(|&zero| zero != 0) {
            let zeros: Vec<f32> = layer.zeros.iter().map(|&zero| zero as f32).collect();
            let zeros = Tensor::new([zeros.len(), 1, 1, 1], zeros).ok()?;
            weights = self.with("Sub", weights, zeros);
        }
        Some(self.like(node, vec![Some(steps), Some(weights)], "sums"))
    }
}

fn shape(layer: &Layer) -> Vec<usize> {
    vec![layer.outputs, layer.inputs / layer.groups, layer.kernel[0], layer.kernel[1]]
}

fn unsigned(layer: &Layer, weights: &[i8], shape: Vec<usize>) -> Option<Tensor> {
    debug_assert_eq!(weights.len(), layer.weights.len());
    Tensor::new(shape, weights.iter().map(|&w| w as u8 ^ 0x80).collect()).ok()
}

/// True when no order of a sum's additions leaves the integers that floats hold.
fn floats_hold(layer: &Layer) -> bool {
    let farthest = i64::from(layer.input.zero.max(255 - layer.input.zero));
    let filter = (layer.weights.len() / layer.outputs).max(1);
    layer.weights.chunks(filter).enumerate().all(|(output, weights)| {
        let zero = layer.zeros[if layer.zeros.len() == 1 { 0 } else { output }];
        let sum: i64 = weights.iter().map(|&w| (i64::from(w) - i64::from(zero)).abs()).sum();
        sum * farthest < EXACT_FLOATS
    })
}
