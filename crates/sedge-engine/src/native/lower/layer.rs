//! Layers with their weights in the kernels' order.

use sedge_kernels::{Convolution, Depthwise, Level, Window};

use crate::integers::layer::{Layer, transposed};

/// A layer ready to run.
#[derive(Debug)]
pub(in crate::native) enum Built {
    Convolution(Convolution),
    Depthwise(Depthwise),
}

/// The kernel of a layer; `None` when its weights cannot be brought into the order.
pub(super) fn build(layer: &Layer, level: Level, window: Window) -> Option<Built> {
    let requantize = layer.requantize(level);
    let (zero, zeros, bias) = (layer.input.zero, &layer.zeros, layer.bias.as_deref());
    let taps = window.taps();
    if layer.is_depthwise() {
        let weights = transposed(&layer.weights, layer.outputs, taps);
        let layer = Depthwise::new(window, zero, &weights, zeros, bias, requantize);
        return Some(Built::Depthwise(layer));
    }
    let built = |weights: &[i8]| {
        Built::Convolution(Convolution::new(window, zero, weights, zeros, bias, requantize))
    };
    if layer.node.is_none() {
        return Some(built(&layer.weights));
    }
    Some(built(&channels_last(layer, taps)?))
}

/// Weights as (output, tap, input). Groups become one, with weights that count as zero between
/// them.
fn channels_last(layer: &Layer, taps: usize) -> Option<Vec<i8>> {
    let (of_group, per_group) = (layer.inputs / layer.groups, layer.outputs / layer.groups);
    let zero = |output: usize| layer.zeros[if layer.zeros.len() == 1 { 0 } else { output }];
    let mut weights = Vec::with_capacity(layer.outputs.checked_mul(taps * layer.inputs)?);
    for output in 0..layer.outputs {
        let first = output / per_group * of_group;
        let spare = i8::try_from(zero(output)).ok()?;
        for tap in 0..taps {
            weights.extend((0..layer.inputs).map(|channel| {
                let within = channel.checked_sub(first).filter(|&c| c < of_group);
                within.map_or(spare, |c| layer.weights[(output * of_group + c) * taps + tap])
            }));
        }
    }
    Some(weights)
}
