//! Activations and the layers that end a classifier.

use sedge_graph::ValueId;

use super::Refusal;
use super::builder::Op;

/// Activation: attribute act_type.
pub(super) fn activation(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let words = ["relu", "sigmoid", "tanh", "softrelu", "softsign", "log_sigmoid", "mish"];
    let kind = op.attributes().word("act_type", &words)?;
    let x = op.input(0)?;
    let value = match kind {
        "relu" => op.apply("Relu", &[x]),
        "sigmoid" => op.apply("Sigmoid", &[x]),
        "tanh" => op.apply("Tanh", &[x]),
        "softrelu" => op.apply("Softplus", &[x]),
        "softsign" => op.apply("Softsign", &[x]),
        "mish" => op.apply("Mish", &[x]),
        _ => {
            let sigmoid = op.apply("Sigmoid", &[x]);
            op.apply("Log", &[sigmoid])
        }
    };
    op.finish(value)
}

/// LeakyReLU: attribute act_type; the slopes of `prelu` are a weight.
pub(super) fn leaky_relu(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let words = ["leaky", "prelu", "elu", "selu", "gelu", "rrelu"];
    let kind = op.attributes().word("act_type", &words)?;
    let slope = op.attributes().float("slope")?.unwrap_or(0.25);
    let x = op.input(0)?;
    let value = match kind {
        "leaky" => op.with("LeakyRelu", x, "alpha", slope),
        "elu" => op.with("Elu", x, "alpha", slope),
        "selu" => op.apply("Selu", &[x]),
        "gelu" => op.apply("Gelu", &[x]),
        "prelu" => return prelu(op, x),
        _ => {
            // Random in training, its mean in inference.
            let bound =
                |name: &str, default| op.attributes().float(name).map(|x| x.unwrap_or(default));
            let mean = (bound("lower_bound", 0.125)? + bound("upper_bound", 0.334)?) / 2.0;
            op.with("LeakyRelu", x, "alpha", mean)
        }
    };
    op.finish(value)
}

/// Slopes along the channels, which are the second axis.
fn prelu(op: &mut Op<'_, '_>, x: ValueId) -> Result<(), Refusal> {
    let rank = op.rank(x)?;
    let slopes = op.input(1)?;
    let slopes = match op.shape(slopes) {
        Some(shape) if shape.len() == 1 && rank > 2 => {
            let mut dims = vec![1; rank - 1];
            dims[0] = -1;
            match op.weight(1) {
                Ok(weight) => {
                    let mut shape = vec![1; rank - 1];
                    shape[0] = weight.len();
                    let weight = weight.reshaped(shape).map_err(|e| Refusal(e.to_string()))?;
                    op.constant(weight)
                }
                Err(_) => op.reshape(slopes, &dims),
            }
        }
        _ => slopes,
    };
    let value = op.apply("PRelu", &[x, slopes]);
    op.finish(value)
}

/// hard_sigmoid: clips `alpha * x + beta`.
pub(super) fn hard_sigmoid(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let alpha = op.attributes().float("alpha")?.unwrap_or(0.2);
    let beta = op.attributes().float("beta")?.unwrap_or(0.5);
    let x = op.input(0)?;
    let name = op.name("hardsigmoid");
    let node = op.node("HardSigmoid").input(x);
    let value = node.attribute("alpha", alpha).attribute("beta", beta).output(&name);
    op.finish(value)
}

/// softmax, softmin and log_softmax along an axis, at a temperature.
pub(super) fn softmax(op: &mut Op<'_, '_>, onnx: &str, sign: f32) -> Result<(), Refusal> {
    if op.attributes().flag("use_length", false)? || op.count() > 1 {
        return Err(Refusal::new("it takes lengths, which is not supported"));
    }
    let axis = op.attributes().int("axis")?.unwrap_or(-1);
    let factor = sign / op.attributes().float("temperature")?.unwrap_or(1.0);
    let mut x = op.input(0)?;
    if factor != 1.0 {
        let factor = op.scalar_like(x, factor);
        x = op.apply("Mul", &[x, factor]);
    }
    let value = op.with(onnx, x, "axis", axis);
    op.finish(value)
}

/// Softmax over all but the batch.
fn over_all(op: &mut Op<'_, '_>, x: ValueId) -> Result<(), Refusal> {
    let rank = op.rank(x)?;
    if rank <= 2 {
        let value = op.with("Softmax", x, "axis", -1i64);
        return op.finish(value);
    }
    let flat = op.with("Flatten", x, "axis", 1i64);
    let soft = op.with("Softmax", flat, "axis", 1i64);
    let shape = op.apply("Shape", &[x]);
    let value = op.apply("Reshape", &[soft, shape]);
    let dims = op.ranked(x)?;
    op.state_shape(value, dims);
    op.finish(value)
}

/// SoftmaxOutput: the label is of no use in inference.
pub(super) fn softmax_output(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let x = op.input(0)?;
    let axis = if op.attributes().flag("multi_output", false)? {
        1i64
    } else if op.attributes().flag("preserve_shape", false)? {
        -1
    } else {
        return over_all(op, x);
    };
    let value = op.with("Softmax", x, "axis", axis);
    op.finish(value)
}

/// SoftmaxActivation: over the channels, or over all of an instance.
pub(super) fn softmax_activation(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let x = op.input(0)?;
    match op.attributes().word("mode", &["instance", "channel"])? {
        "channel" => {
            let value = op.with("Softmax", x, "axis", 1i64);
            op.finish(value)
        }
        _ => over_all(op, x),
    }
}
