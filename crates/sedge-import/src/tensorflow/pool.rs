//! Pooling and normalisation of pictures.

use super::Refusal;
use super::builder::Op;
use super::window::Window;

/// MaxPool and AvgPool; borders count for nothing.
pub(super) fn pool(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let window = Window::of_pool(op)?;
    let picture = op.picture(0)?;
    let size = op.size_of(picture);
    let name = op.name("pool");
    let node = match op.kind() {
        "MaxPool" => op.start("MaxPool").input(picture),
        _ => op.start("AveragePool").input(picture).attribute("count_include_pad", 0i64),
    };
    let value = window.describe(node, size).output(&name);
    op.finish_picture(value)
}

/// FusedBatchNorm in every version: data, scale, offset, mean, variance; attribute epsilon.
pub(super) fn batch_norm(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let epsilon = op.float("epsilon").unwrap_or(1e-4);
    let (scale, offset) = (op.operand(1)?, op.operand(2)?);
    // Absent in files, the attribute is true.
    let training = !matches!(op.attribute("is_training"), Some(super::proto::Content::Bool(false)));
    let picture = op.picture(0)?;
    let name = op.name("batchnorm");
    let value = if training {
        // The statistics of this very batch, over which both normalise.
        let axes = [0, 2, 3];
        let mean = op.name("mean");
        let mean = op.start("ReduceMean").input(picture).ints(&axes).output(&mean);
        let centred = op.apply("Sub", &[picture, mean]);
        let square = op.apply("Mul", &[centred, centred]);
        let variance = op.name("variance");
        let variance = op.start("ReduceMean").input(square).ints(&axes).output(&variance);
        let flat = |op: &mut Op<'_, '_>, value| op.apply_ints("Reshape", value, &[-1]);
        let (mean, variance) = (flat(op, mean), flat(op, variance));
        let operands = [picture, scale, offset, mean, variance];
        normalise(op, &operands, epsilon, &name)
    } else {
        let operands = [picture, scale, offset, op.operand(3)?, op.operand(4)?];
        normalise(op, &operands, epsilon, &name)
    };
    op.finish_picture(value)
}

fn normalise(
    op: &mut Op<'_, '_>,
    operands: &[sedge_graph::ValueId],
    epsilon: f32,
    name: &str,
) -> sedge_graph::ValueId {
    let mut node = op.start("BatchNormalization").attribute("epsilon", epsilon);
    for &operand in operands {
        node = node.input(operand);
    }
    node.output(name)
}

/// BatchNormWithGlobalNormalization, from before FusedBatchNorm: data, mean, variance, offset,
/// scale; attributes variance_epsilon, scale_after_normalization.
pub(super) fn old_batch_norm(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    if !op.flag("scale_after_normalization") {
        return Err(Refusal::new("it does not scale after normalising"));
    }
    let epsilon = op.float("variance_epsilon").unwrap_or(1e-3);
    let picture = op.picture(0)?;
    let operands = [picture, op.operand(4)?, op.operand(3)?, op.operand(1)?, op.operand(2)?];
    let name = op.name("batchnorm");
    let value = normalise(op, &operands, epsilon, &name);
    op.finish_picture(value)
}

/// LRN: attributes depth_radius, bias, alpha, beta.
pub(super) fn local_response(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let radius = op.int("depth_radius").unwrap_or(5).clamp(0, 1 << 20);
    let size = 2 * radius + 1;
    let (bias, alpha) = (op.float("bias").unwrap_or(1.0), op.float("alpha").unwrap_or(1.0));
    let beta = op.float("beta").unwrap_or(0.5);
    let picture = op.picture(0)?;
    let name = op.name("lrn");
    let value = op
        .start("LRN")
        .input(picture)
        .attribute("size", size)
        // ONNX divides alpha by the size, TensorFlow does not.
        .attribute("alpha", alpha * size as f32)
        .attribute("beta", beta)
        .attribute("bias", bias)
        .output(&name);
    op.finish_picture(value)
}
