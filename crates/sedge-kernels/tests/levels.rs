//! All instruction sets of this machine compute the same bytes.

use proptest::prelude::*;
use sedge_kernels::{Convolution, Depthwise, Level, Nhwc, Requantize, Rounding, Threads, Window};

/// Pseudorandom bytes: the same for the same seed, cheap to shrink.
fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..count).map(next).collect()
}

#[derive(Clone, Debug)]
struct Layer {
    shape: Nhwc,
    window: Window,
    outputs: usize,
    rounding: Rounding,
    weight_zero: i32,
    input_zero: u8,
    seed: u64,
}

fn layers() -> impl Strategy<Value = Layer> {
    let shape = (1usize..3, 1usize..9, 1usize..9, 1usize..40);
    let window = ((1usize..4, 1usize..4), (1usize..3, 1usize..3), 1usize..3, 0usize..3);
    let rounding = prop::sample::select(vec![
        Rounding::FixedUp,
        Rounding::FixedAway,
        Rounding::FixedUpByEight,
        Rounding::Float,
    ]);
    let zeros = (-128i32..128, any::<u8>());
    (shape, window, 1usize..150, rounding, zeros, any::<u64>())
        .prop_map(|((batch, height, width, channels), window, outputs, rounding, zeros, seed)| {
            let ((a, b), (c, d), dilation, pad) = window;
            let window = Window {
                kernel: [a, b],
                strides: [c, d],
                dilations: [dilation; 2],
                before: [pad, pad / 2],
                after: [pad / 2, pad],
            };
            let shape = Nhwc { batch, height, width, channels };
            let (weight_zero, input_zero) = zeros;
            Layer { shape, window, outputs, rounding, weight_zero, input_zero, seed }
        })
        .prop_filter("the window fits", |layer| {
            layer.window.output([layer.shape.height, layer.shape.width]).is_some()
        })
}

fn run(layer: &Layer, depthwise: bool, level: Level) -> Vec<u8> {
    let outputs = if depthwise { layer.shape.channels } else { layer.outputs };
    let inputs = if depthwise { 1 } else { layer.shape.channels };
    let depth = layer.window.taps() * inputs;
    let factors: Vec<f64> =
        (0..outputs).map(|c| (1 + c % 7) as f64 * 2e-3 / (depth as f64).sqrt()).collect();
    let (zero, limits) = (layer.input_zero, (1, 254));
    let requantize = Requantize::new(level, layer.rounding, outputs, &factors, 77, limits);
    let weights: Vec<i8> =
        bytes(layer.seed, outputs * depth).into_iter().map(|b| b as i8).collect();
    let bias: Vec<i32> = (0..outputs as i32).map(|c| (c - 20) * 1001).collect();
    let input = bytes(!layer.seed, layer.shape.len());
    let [height, width] =
        layer.window.output([layer.shape.height, layer.shape.width]).unwrap_or_default();
    let mut output = vec![0; layer.shape.batch * height * width * outputs];
    let (window, zeros, bias) = (layer.window, [layer.weight_zero], Some(bias.as_slice()));
    let (threads, input) = (Threads::new(1), (input.as_slice(), layer.shape));
    if depthwise {
        let layer = Depthwise::new(window, zero, &weights, &zeros, bias, requantize);
        layer.run(threads, input, &mut output);
    } else {
        let layer = Convolution::new(window, zero, &weights, &zeros, bias, requantize);
        layer.run(threads, input, &mut output);
    }
    output
}

proptest! {
    #[test]
    fn layers_do_not_depend_on_the_instruction_set(layer in layers(), depthwise: bool) {
        let want = run(&layer, depthwise, Level::Portable);
        for level in Level::available() {
            prop_assert_eq!(&run(&layer, depthwise, level), &want, "{:?}", level);
        }
    }
}
