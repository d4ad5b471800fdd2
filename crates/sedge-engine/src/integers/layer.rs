//! Convolutions and fully connected layers with constant integer weights.

use sedge_graph::{Attribute, Graph, Node, ValueId};
use sedge_kernels::{Affine, Level, Nhwc, Requantize, Rounding, Window};
use sedge_tensor::{DType, Tensor};

use super::affine;
use super::pattern::{Family, Search};

/// A layer before its input's size is known.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// The operator with its window; `None` for products of matrices.
    pub(crate) node: Option<Node>,
    pub(crate) input: Affine,
    /// Height and width.
    pub(crate) kernel: [usize; 2],
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    pub(crate) groups: usize,
    /// (output, input of the group, vertical tap, horizontal tap).
    pub(crate) weights: Vec<i8>,
    /// One zero point for all outputs, or one for each.
    pub(crate) zeros: Vec<i32>,
    /// Steps of the sums.
    pub(crate) bias: Option<Vec<i32>>,
    /// A step of the sums in steps of the result; one for all outputs, or one for each.
    pub(crate) factors: Vec<f64>,
    pub(crate) rounding: Rounding,
    pub(crate) to: Affine,
    pub(crate) limits: (u8, u8),
}

/// Constant weights behind a dequantise node, and where their channels run.
struct Weights<'g> {
    tensor: &'g Tensor,
    scales: Vec<f32>,
    zeros: Vec<i64>,
    axis: i64,
}

fn weights<'g>(search: &Search<'g>, value: ValueId) -> Option<Weights<'g>> {
    let node = search.producer(value).filter(|node| node.is("DequantizeLinear"))?;
    let tensor = search.graph.constant(node.input(0))?;
    let (scales, zeros) = affine::parameters(search.graph, node)?;
    Some(Weights { tensor, scales, zeros, axis: node.int("axis").unwrap_or(1) })
}

/// An integer bias that counts steps of the sums.
fn bias(search: &Search<'_>, value: ValueId, steps: &[f64]) -> Option<Vec<i32>> {
    let of = weights(search, value).filter(|of| of.tensor.dtype() == DType::I32)?;
    let count = of.scales.len().max(steps.len());
    let fits = (0..count).all(|i| {
        let (scale, step) = (of.scales[i % of.scales.len()], steps[i % steps.len()]);
        (f64::from(scale) / step - 1.0).abs() < 1e-3
    });
    let values = of.tensor.view::<i32>().ok()?.into_owned();
    (fits && of.zeros.iter().all(|&zero| zero == 0)).then_some(values)
}

/// Reads `Conv`, `Gemm` or `MatMul` and the bytes it works on.
pub(crate) fn read(
    search: &Search<'_>,
    node: &Node,
    to: Affine,
    limits: (u8, u8),
) -> Option<(Layer, ValueId)> {
    let (bytes, input) = search.dequantized(node.input(0)?)?;
    let of = weights(search, node.input(1)?)?;
    let shape = of.tensor.shape().to_vec();
    let (values, zeros) = affine::signed_weights(of.tensor, &of.zeros)?;
    let is_conv = node.op == "Conv";
    let (outputs, axis) = match (node.op.as_str(), shape.as_slice()) {
        ("Conv", [outputs, _, _, _]) => (*outputs, 0),
        ("Gemm", [outputs, _]) if node.int("transB") == Some(1) => (*outputs, 0),
        ("Gemm" | "MatMul", [_, outputs]) => (*outputs, 1),
        _ => return None,
    };
    let plain = |name: &str| node.float(name).is_none_or(|factor| factor == 1.0);
    if node.op == "Gemm" && !(plain("alpha") && plain("beta") && node.int("transA") != Some(1)) {
        return None;
    }
    let rank = shape.len() as i64;
    let by_channel = of.scales.len() > 1;
    if outputs == 0
        || by_channel && (of.scales.len() != outputs || of.axis.rem_euclid(rank) != axis)
    {
        return None;
    }
    let steps: Vec<f64> =
        of.scales.iter().map(|s| f64::from(input.scale) * f64::from(*s)).collect();
    let bias = match node.input(2) {
        Some(value) => Some(bias(search, value, &steps).filter(|bias| bias.len() == outputs)?),
        None => None,
    };
    let unsigned = of.tensor.dtype() == DType::U8;
    let weights = if axis == 0 { values } else { transposed(&values, shape[0], shape[1]) };
    let mut layer = Layer {
        node: is_conv.then(|| node.clone()),
        input,
        kernel: if is_conv { [shape[2], shape[3]] } else { [1, 1] },
        outputs,
        inputs: shape.iter().product::<usize>() / outputs,
        groups: 1,
        weights,
        zeros,
        bias,
        factors: factors(search.family, input, to, &of.scales, unsigned || !is_conv && !by_channel),
        rounding: if search.family == Family::Tflite { Rounding::FixedUp } else { Rounding::Float },
        to,
        limits,
    };
    if is_conv {
        layer.group(node, search, shape[1], unsigned)?;
    }
    Some((layer, bytes))
}

/// How the frameworks order the multiplications that give a step of the sums in steps of the
/// result.
///
/// Sources: `GetQuantizedConvolutionMultipler` (product of floats, for unsigned and fully connected
/// layers) and `PopulateConvolutionQuantizationParams` (doubles) in
/// `tensorflow/lite/kernels/kernel_util.cc`; `ComputeOutputScale` in onnxruntime's `qlinearconv.cc`.
fn factors(family: Family, input: Affine, to: Affine, scales: &[f32], in_floats: bool) -> Vec<f64> {
    let factor = |scale: &f32| match family {
        Family::Onnx => f64::from(input.scale * scale / to.scale),
        Family::Tflite if in_floats => f64::from(input.scale * scale) / f64::from(to.scale),
        Family::Tflite => f64::from(input.scale) * f64::from(*scale) / f64::from(to.scale),
    };
    scales.iter().map(factor).collect()
}

/// Columns as rows.
pub(crate) fn transposed<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
}

impl Layer {
    /// Divides the channels of a convolution into its groups, of which each has `of_group` inputs.
    fn group(
        &mut self,
        node: &Node,
        search: &Search<'_>,
        of_group: usize,
        unsigned: bool,
    ) -> Option<()> {
        self.groups = usize::try_from(node.int("group").unwrap_or(1)).ok().filter(|&g| g > 0)?;
        self.inputs = of_group.checked_mul(self.groups)?;
        let channels = search.graph.value(node.input(0)?).shape.as_ref()?.get(1)?.fixed()?;
        let [height, width] = self.kernel;
        let divided = self.outputs.is_multiple_of(self.groups);
        if height * width == 0 || !divided || channels != self.inputs {
            return None;
        }
        if self.groups > 1 && of_group == 1 && search.family == Family::Tflite {
            self.rounding = if unsigned { Rounding::FixedAway } else { Rounding::FixedUpByEight };
        }
        Some(())
    }

    /// One weight filter for each input channel.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.inputs && self.outputs == self.inputs
    }

    /// What the sums of products go through.
    pub(crate) fn requantize(&self, level: Level) -> Requantize {
        let (zero, factors) = (self.to.zero, &self.factors);
        Requantize::new(level, self.rounding, self.outputs, factors, zero, self.limits)
    }

    /// The window over an input of this height and width.
    pub(crate) fn window(&self, size: [usize; 2]) -> Option<Window> {
        match &self.node {
            Some(node) => window(node, self.kernel, size),
            None => Some(Window::POINT),
        }
    }

    /// True for layers over pictures.
    pub(crate) fn is_picture(&self) -> bool {
        self.node.is_some()
    }

    pub(crate) fn channels(&self) -> (usize, usize) {
        (self.inputs, self.outputs)
    }
}

/// The window of a convolution or pooling node over an input of this height and width.
pub(crate) fn window(node: &Node, kernel: [usize; 2], size: [usize; 2]) -> Option<Window> {
    let pair = |name: &str| match node.ints(name) {
        Some(&[a, b]) => Some([usize::try_from(a).ok()?, usize::try_from(b).ok()?]),
        Some(_) => None,
        None => Some([1, 1]),
    };
    let mut window = Window {
        kernel,
        strides: pair("strides")?,
        dilations: pair("dilations")?,
        before: [0; 2],
        after: [0; 2],
    };
    let positive = |pair: [usize; 2]| pair.iter().all(|n| (1..=1 << 14).contains(n));
    if ![window.kernel, window.strides, window.dilations].into_iter().all(positive) {
        return None;
    }
    let automatic = match node.attributes.get("auto_pad") {
        Some(Attribute::String(kind)) => kind.as_str(),
        _ => "NOTSET",
    };
    match (automatic, node.ints("pads")) {
        ("SAME_UPPER" | "SAME_LOWER", _) => {
            for (axis, &size) in size.iter().enumerate() {
                let covered = (window.kernel[axis] - 1) * window.dilations[axis] + 1;
                let steps = size.div_ceil(window.strides[axis]).max(1);
                let total = ((steps - 1) * window.strides[axis] + covered).saturating_sub(size);
                let less = total / 2;
                let before = if automatic == "SAME_UPPER" { less } else { total - less };
                (window.before[axis], window.after[axis]) = (before, total - before);
            }
        }
        ("NOTSET", Some(&[top, left, bottom, right])) => {
            let at = |n: i64| usize::try_from(n).ok().filter(|&n| n <= 1 << 14);
            window.before = [at(top)?, at(left)?];
            window.after = [at(bottom)?, at(right)?];
        }
        ("NOTSET" | "VALID", None) => {}
        _ => return None,
    }
    window.output(size).map(|_| window)
}

/// The size of a picture from its shape with channels second.
pub(crate) fn picture(graph: &Graph, value: ValueId) -> Option<Nhwc> {
    match graph.value(value).fixed_shape()?.as_slice() {
        &[batch, channels, height, width] => Some(Nhwc { batch, height, width, channels }),
        _ => None,
    }
}
