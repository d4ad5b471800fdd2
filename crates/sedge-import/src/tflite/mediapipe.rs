//! Custom operators of MediaPipe's segmentation models.
//!
//! Source: `mediapipe/util/tflite/operations` of google-ai-edge/mediapipe. Their options are the
//! structures of TensorFlow Lite's own kernels as they lie in memory: numbers of 32 bits.

use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::{Domain, Op};
use super::conv::{Window, transposed};

/// `TfLitePadding`.
const SAME: i32 = 1;

/// The first numbers of the options.
fn numbers<const N: usize>(op: &Op<'_, '_>) -> Result<[i32; N], Refusal> {
    let (numbers, _) = op.operator.custom_options.as_chunks();
    let mut numbers = numbers.iter().map(|&bytes| i32::from_le_bytes(bytes));
    let read = std::array::from_fn(|_| numbers.next());
    if read.contains(&None) {
        return Err(Refusal::new("its options are cut off"));
    }
    Ok(read.map(Option::unwrap_or_default))
}

/// `Convolution2DTransposeBias`: data, weights (output channel, height, width, input channel), bias;
/// options padding, stride_width, stride_height.
pub(super) fn transpose_conv_bias(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let [padding, width, height] = numbers(op)?;
    let window = Window::new(op, 1, padding == SAME, [height, width])?;
    // With padding, what the last step covers beyond one stride is cut off both sides.
    let mut size = [None; 2];
    for (axis, size) in size.iter_mut().enumerate() {
        let (kernel, stride) = (window.kernel[axis], window.strides[axis]);
        *size = op.info(0)?.dim(axis as isize + 1).filter(|&n| n > 0).map(|from| {
            let cut = kernel.saturating_sub((from - 1) % stride + 1);
            stride * (from - 1) + kernel - if window.same { cut } else { 0 }
        });
    }
    transposed(op, window, [0, 1, 2], size, 0)
}

/// Height and width of windows that lie side by side, for the two operators below: options padding,
/// stride_width, stride_height, filter_width, filter_height, activation.
fn side_by_side(op: &Op<'_, '_>) -> Result<[i64; 2], Refusal> {
    let [_, stride_width, stride_height, width, height, activation] = numbers(op)?;
    if [stride_height, stride_width] != [height, width] || activation != 0 {
        return Err(Refusal::new("its windows overlap, or it has an activation"));
    }
    if [height, width].iter().any(|n| !(1..=64).contains(n)) {
        return Err(Refusal(format!("its windows of {height} x {width} make no sense")));
    }
    Ok([height, width].map(i64::from))
}

/// Height, width and channels of operand 0.
fn sizes(op: &Op<'_, '_>) -> Result<[i64; 3], Refusal> {
    let info = op.info(0)?;
    match [1, 2, 3].map(|axis| info.dim(axis)) {
        [Some(height), Some(width), Some(channels)] => {
            Ok([height, width, channels].map(|n| n as i64))
        }
        _ => Err(Refusal::new("the size of its operand is not known")),
    }
}

/// What is added to a place, which is kept in floats, so that cutting off gives the place.
const ABOVE: f32 = 0.1;

/// `MaxPoolingWithArgmax2D`: the greatest element of each window, and its place in the window.
pub(super) fn max_pool_with_argmax(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let [window_height, window_width] = side_by_side(op)?;
    let [height, width, channels] = sizes(op)?;
    if height % window_height != 0 || width % window_width != 0 {
        return Err(Refusal::new("its windows do not fill its operand"));
    }
    let (rows, columns) = (height / window_height, width / window_width);
    let value = op.real(0)?;
    let split = [-1, rows, window_height, columns, window_width, channels];
    let value = op.reshaped(value, &split);
    let value = op.transpose(value, &[0, 1, 3, 5, 2, 4]);
    let windows = [-1, rows, columns, channels, window_height * window_width];
    let windows = op.reshaped(value, &windows);
    let name = op.name("greatest");
    let node = op.node("ReduceMax").input(windows).ints(&[-1]);
    let greatest = node.attribute("keepdims", 0i64).output(&name);
    op.finish_real(0, greatest)?;
    let name = op.name("place");
    let node = op.node("ArgMax").input(windows).attribute("axis", -1i64);
    let place = node.attribute("keepdims", 0i64).output(&name);
    let place = op.cast(place, DType::F32);
    let above = op.scalar(ABOVE);
    let place = op.apply("Add", &[place, above]);
    op.finish_real(1, place)
}

/// `MaxUnpooling2D`: elements back at their places in windows that are zero elsewhere.
pub(super) fn max_unpool(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let [window_height, window_width] = side_by_side(op)?;
    let [height, width, channels] = sizes(op)?;
    let (value, place) = (op.real(0)?, op.real(1)?);
    let spread = [-1, height, 1, width, 1, channels];
    let value = op.reshaped(value, &spread);
    let place = op.reshaped(place, &spread);
    let place = op.cast(place, DType::I32);
    op.context.charge((window_height * window_width) as usize * 4)?;
    let places: Vec<i32> = (0..(window_height * window_width) as i32).collect();
    let shape = [1, 1, window_height as usize, 1, window_width as usize, 1];
    let places = Tensor::new(shape, places).map_err(|error| Refusal(error.to_string()))?;
    let name = op.name("places");
    let places = op.context.graph.add_constant(name, places);
    let here = op.apply("Equal", &[place, places]);
    let zero = op.scalar(0.0);
    let value = op.apply("Where", &[here, value, zero]);
    let joined = [-1, height * window_height, width * window_width, channels];
    let value = op.reshaped(value, &joined);
    op.finish(0, value, super::builder::Layout::AsStored, Domain::Real)
}
