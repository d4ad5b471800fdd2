//! Convolutions and fully connected layers with constant integer weights.

use sedge_graph::{Attribute, Graph, Node, ValueId};
use sedge_kernels::{Affine, Convolution, Depthwise, Level, Nhwc, Requantize, Rounding, Window};
use sedge_tensor::{DType, Tensor};

use super::affine;
use super::pattern::{Family, Search};

/// A layer before its input's size is known.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// The operator with its window; `None` for products of matrices.
    window: Option<Node>,
    input: Affine,
    kernel: [usize; 2],
    outputs: usize,
    inputs: usize,
    depthwise: bool,
    /// (output, vertical tap, horizontal tap, input), or (tap, channel) when depthwise.
    weights: Vec<i8>,
    zeros: Vec<i32>,
    bias: Option<Vec<i32>>,
    factors: Vec<f64>,
    rounding: Rounding,
    to: Affine,
    limits: (u8, u8),
}

/// A layer ready to run.
#[derive(Debug)]
pub(super) enum Built {
    Convolution(Convolution),
    Depthwise(Depthwise),
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
pub(super) fn read(
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
    let mut layer = Layer {
        window: is_conv.then(|| node.clone()),
        input,
        kernel: if is_conv { [shape[2], shape[3]] } else { [1, 1] },
        outputs,
        inputs: shape.iter().product::<usize>() / outputs,
        depthwise: false,
        weights: Vec::new(),
        zeros,
        bias,
        factors: factors(search.family, input, to, &of.scales, unsigned || !is_conv && !by_channel),
        rounding: if search.family == Family::Tflite { Rounding::FixedUp } else { Rounding::Float },
        to,
        limits,
    };
    if is_conv {
        layer.arrange(node, search, &values, &shape, unsigned)?;
    } else {
        layer.weights = if axis == 0 { values } else { transposed(&values, shape[0], shape[1]) };
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

fn transposed<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
}

impl Layer {
    /// Brings convolution weights into the kernels' order.
    fn arrange(
        &mut self,
        node: &Node,
        search: &Search<'_>,
        values: &[i8],
        shape: &[usize],
        unsigned: bool,
    ) -> Option<()> {
        let group = usize::try_from(node.int("group").unwrap_or(1)).ok().filter(|&g| g > 0)?;
        let (of_group, taps) = (shape[1], shape[2] * shape[3]);
        let channels = of_group.checked_mul(group)?;
        let input = search.graph.value(node.input(0)?).fixed_shape()?;
        if taps == 0 || !self.outputs.is_multiple_of(group) || input.get(1) != Some(&channels) {
            return None;
        }
        self.inputs = channels;
        let is_depthwise = group > 1 && of_group == 1;
        if is_depthwise && search.family == Family::Tflite {
            self.rounding = if unsigned { Rounding::FixedAway } else { Rounding::FixedUpByEight };
        }
        if is_depthwise && self.outputs == channels {
            self.depthwise = true;
            self.weights = transposed(values, channels, taps);
            return Some(());
        }
        // Other groups become one, with weights that count as zero between them.
        let spare = |output: usize| self.zeros[if self.zeros.len() == 1 { 0 } else { output }];
        let mut weights = Vec::with_capacity(self.outputs.checked_mul(taps * channels)?);
        for output in 0..self.outputs {
            let first = output / (self.outputs / group) * of_group;
            let spare = i8::try_from(spare(output)).ok()?;
            for tap in 0..taps {
                weights.extend((0..channels).map(|channel| {
                    let within = channel.checked_sub(first).filter(|&c| c < of_group);
                    within.map_or(spare, |c| values[(output * of_group + c) * taps + tap])
                }));
            }
        }
        self.weights = weights;
        Some(())
    }

    /// The window over an input of this height and width.
    pub(super) fn window(&self, size: [usize; 2]) -> Option<Window> {
        match &self.window {
            Some(node) => window(node, self.kernel, size),
            None => Some(Window::POINT),
        }
    }

    /// True for layers over pictures.
    pub(super) fn is_picture(&self) -> bool {
        self.window.is_some()
    }

    pub(super) fn channels(&self) -> (usize, usize) {
        (self.inputs, self.outputs)
    }

    pub(super) fn build(&self, level: Level, window: Window) -> Built {
        let requantize = Requantize::new(
            level,
            self.rounding,
            self.outputs,
            &self.factors,
            self.to.zero,
            self.limits,
        );
        let bias = self.bias.as_deref();
        let (zero, weights, zeros) = (self.input.zero, &self.weights, &self.zeros);
        if self.depthwise {
            Built::Depthwise(Depthwise::new(window, zero, weights, zeros, bias, requantize))
        } else {
            Built::Convolution(Convolution::new(window, zero, weights, zeros, bias, requantize))
        }
    }
}

/// The window of a convolution or pooling node over an input of this height and width.
pub(super) fn window(node: &Node, kernel: [usize; 2], size: [usize; 2]) -> Option<Window> {
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
pub(super) fn picture(graph: &Graph, value: ValueId) -> Option<Nhwc> {
    match graph.value(value).fixed_shape()?.as_slice() {
        &[batch, channels, height, width] => Some(Nhwc { batch, height, width, channels }),
        _ => None,
    }
}
