use sedge_graph::{Dim, Graph, Value, ValueId};
use sedge_tensor::{DType, Tensor};

use super::Error;
use super::weights::Weights;

/// `chainer.links.BatchNormalization` adds this to the variance unless told otherwise.
const EPSILON: f32 = 2e-5;

/// A network while it grows: Chainer's links and functions by their names, over weights by theirs.
#[derive(Debug)]
pub(super) struct Network<'w> {
    pub(super) graph: Graph,
    pub(super) weights: &'w mut Weights,
}

impl<'w> Network<'w> {
    /// A network of one input `x` in NCHW, of any number of pictures.
    pub(super) fn new(weights: &'w mut Weights, [channels, height, width]: [usize; 3]) -> Self {
        let mut graph = Graph::new("");
        let batch = Dim::Symbol("batch".to_owned());
        let shape = vec![batch, Dim::Fixed(channels), Dim::Fixed(height), Dim::Fixed(width)];
        let x = graph.add_value(Value {
            name: "x".to_owned(),
            dtype: Some(DType::F32),
            shape: Some(shape),
            ..Value::default()
        });
        graph.inputs.push(x);
        Self { graph, weights }
    }

    pub(super) fn input(&self) -> ValueId {
        self.graph.inputs[0]
    }

    fn constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        self.graph.add_constant(name, tensor)
    }

    fn parameter(&mut self, name: &str, wanted: &[usize]) -> Result<ValueId, Error> {
        let tensor = self.weights.take(name)?;
        if tensor.shape() != wanted || tensor.dtype() != DType::F32 {
            let (found, wanted) = (tensor.shape().to_vec(), wanted.to_vec());
            return Err(Error::Shape { name: name.to_owned(), found, wanted });
        }
        Ok(self.constant(name, tensor))
    }

    /// `Convolution2D`: weights `W` and, unless `nobias`, `b`.
    pub(super) fn conv(&mut self, x: ValueId, name: &str, form: Conv) -> Result<ValueId, Error> {
        let Conv { from, to, kernel, stride, pad, bias } = form;
        let weights = self.parameter(&format!("{name}/W"), &[to, from, kernel, kernel])?;
        let bias = match bias {
            true => Some(self.parameter(&format!("{name}/b"), &[to])?),
            false => None,
        };
        let mut node = self.graph.node("Conv").named(name).input(x).input(weights);
        if let Some(bias) = bias {
            node = node.input(bias);
        }
        let node = node
            .attribute("kernel_shape", vec![kernel as i64; 2])
            .attribute("strides", vec![stride as i64; 2])
            .attribute("pads", vec![pad as i64; 4]);
        Ok(node.output(name))
    }

    /// `BatchNormalization` with the statistics of training.
    pub(super) fn batch_norm(
        &mut self,
        x: ValueId,
        name: &str,
        channels: usize,
    ) -> Result<ValueId, Error> {
        let mut operands = vec![x];
        for part in ["gamma", "beta", "avg_mean", "avg_var"] {
            operands.push(self.parameter(&format!("{name}/{part}"), &[channels])?);
        }
        let mut node = self.graph.node("BatchNormalization").named(name);
        for operand in operands {
            node = node.input(operand);
        }
        Ok(node.attribute("epsilon", EPSILON).output(name))
    }

    /// `Linear`, which flattens what has more than two dimensions.
    pub(super) fn linear(
        &mut self,
        x: ValueId,
        name: &str,
        from: usize,
        to: usize,
    ) -> Result<ValueId, Error> {
        let weights = self.parameter(&format!("{name}/W"), &[to, from])?;
        let bias = self.parameter(&format!("{name}/b"), &[to])?;
        let flat = self.graph.node("Flatten").input(x).output(&format!("{name}/flat"));
        let node = self.graph.node("Gemm").named(name).input(flat).input(weights).input(bias);
        Ok(node.attribute("transB", 1i64).output(name))
    }

    /// A function of one operand without parameters.
    pub(super) fn apply(&mut self, op: &str, x: ValueId) -> ValueId {
        self.graph.node(op).input(x).output(&op.to_lowercase())
    }

    pub(super) fn relu(&mut self, x: ValueId) -> ValueId {
        self.apply("Relu", x)
    }

    /// `max_pooling_2d`, which covers the last pixels too (`cover_all`).
    pub(super) fn max_pool(&mut self, x: ValueId, kernel: i64, stride: i64, pad: i64) -> ValueId {
        self.graph
            .node("MaxPool")
            .input(x)
            .attribute("kernel_shape", vec![kernel; 2])
            .attribute("strides", vec![stride; 2])
            .attribute("pads", vec![pad; 4])
            .attribute("ceil_mode", 1i64)
            .output("pool")
    }

    /// `average_pooling_2d` without a border.
    pub(super) fn average_pool(&mut self, x: ValueId, kernel: i64, stride: i64) -> ValueId {
        let node = self.graph.node("AveragePool").input(x);
        let node = node.attribute("kernel_shape", vec![kernel; 2]);
        node.attribute("strides", vec![stride; 2]).output("pool")
    }

    /// `local_response_normalization` with Chainer's exponent.
    pub(super) fn local_response(&mut self, x: ValueId, n: i64, k: f32, alpha: f32) -> ValueId {
        self.graph
            .node("LRN")
            .input(x)
            .attribute("size", n)
            .attribute("bias", k)
            // ONNX divides alpha by the size, Chainer does not.
            .attribute("alpha", alpha * n as f32)
            .attribute("beta", 0.75f32)
            .output("lrn")
    }

    /// Parts one after the other along the channels.
    pub(super) fn concat(&mut self, parts: &[ValueId]) -> ValueId {
        let mut node = self.graph.node("Concat").attribute("axis", 1i64);
        for &part in parts {
            node = node.input(part);
        }
        node.output("concat")
    }

    /// The last function: probabilities, as output `prob`.
    pub(super) fn finish(mut self, x: ValueId) -> Result<Graph, Error> {
        let node = self.graph.node("Softmax").named("prob").input(x);
        let prob = node.attribute("axis", 1i64).output("prob");
        self.graph.outputs.push(prob);
        self.graph.sort()?;
        sedge_graph::shapes::infer(&mut self.graph);
        Ok(self.graph)
    }
}

/// The numbers of a `Convolution2D`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conv {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) pad: usize,
    pub(super) bias: bool,
}
