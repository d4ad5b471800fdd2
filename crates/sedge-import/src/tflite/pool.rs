//! Pooling and local response normalisation.

use super::Refusal;
use super::builder::{Domain, Layout, Op};
use super::conv::{Window, height_width};

fn window(op: &Op<'_, '_>) -> Result<Window, Refusal> {
    let options = op.operator.options;
    let kernel = [options.i32(4, 0)?, options.i32(3, 0)?];
    Window::read(op, kernel.map(|n| usize::try_from(n).unwrap_or(0)), [1, 1])
}

fn activation(op: &Op<'_, '_>) -> Result<i8, Refusal> {
    Ok(op.operator.options.i8(5, 0)?)
}

/// AVERAGE_POOL_2D. Quantised averages are taken over the integers, rounding ties away from zero.
pub(super) fn average_pool_2d(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let window = window(op)?;
    let domain = if op.same_quantization(0)? { Domain::Raw } else { Domain::Real };
    let size = height_width(op, 0)?;
    let value = op.view(0, Layout::ChannelsFirst, domain)?;
    let name = op.name("averagepool");
    let node = op.node("AveragePool").input(value).attribute("count_include_pad", 0i64);
    let value = window.describe(node, size).output(&name);
    let value = op.activate(value, activation(op)?, domain)?;
    op.finish(0, value, Layout::ChannelsFirst, domain)
}

/// MAX_POOL_2D, on the integers where the tensor is quantised.
pub(super) fn max_pool_2d(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let window = window(op)?;
    let activation = activation(op)?;
    let bytes = op.info(0)?.dtype.and_then(sedge_tensor::DType::size) == Some(1);
    let plain = bytes && activation == 0 && op.same_quantization(0)?;
    let domain = if plain { Domain::Stored } else { Domain::Real };
    let size = height_width(op, 0)?;
    let value = op.view(0, Layout::ChannelsFirst, domain)?;
    let name = op.name("maxpool");
    let node = op.node("MaxPool").input(value);
    let value = window.describe(node, size).output(&name);
    let value = op.activate(value, activation, domain)?;
    op.finish(0, value, Layout::ChannelsFirst, domain)
}

/// L2_POOL_2D: the root of the average of squares.
pub(super) fn l2_pool_2d(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let window = window(op)?;
    let size = height_width(op, 0)?;
    let value = op.view(0, Layout::ChannelsFirst, Domain::Real)?;
    let square = op.apply("Mul", &[value, value]);
    let name = op.name("averagepool");
    let node = op.node("AveragePool").input(square).attribute("count_include_pad", 0i64);
    let average = window.describe(node, size).output(&name);
    let root = op.apply("Sqrt", &[average]);
    let value = op.activate(root, activation(op)?, Domain::Real)?;
    op.finish(0, value, Layout::ChannelsFirst, Domain::Real)
}

/// LOCAL_RESPONSE_NORMALIZATION: options radius, bias, alpha, beta.
pub(super) fn local_response_normalization(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    let radius = i64::from(options.i32(0, 0)?.clamp(0, 1 << 20));
    let (bias, alpha, beta) = (options.f32(1, 0.0)?, options.f32(2, 0.0)?, options.f32(3, 0.0)?);
    let size = 2 * radius + 1;
    let value = op.view(0, Layout::ChannelsFirst, Domain::Real)?;
    let name = op.name("lrn");
    let value = op
        .node("LRN")
        .input(value)
        .attribute("size", size)
        // ONNX divides alpha by the size, TensorFlow does not.
        .attribute("alpha", alpha * size as f32)
        .attribute("beta", beta)
        .attribute("bias", bias)
        .output(&name);
    op.finish(0, value, Layout::ChannelsFirst, Domain::Real)
}
