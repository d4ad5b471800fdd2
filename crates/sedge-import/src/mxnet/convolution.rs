//! Convolutions and their transposes, channels first.

use sedge_graph::ValueId;

use super::Refusal;
use super::builder::Op;

/// Kernel, strides, dilations and padding of a window.
struct Window {
    kernel: Vec<i64>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    pads: Vec<i64>,
}

impl Window {
    fn of(op: &Op<'_, '_>) -> Result<Self, Refusal> {
        let attributes = op.attributes();
        let kernel = attributes.ints("kernel")?.filter(|kernel| !kernel.is_empty());
        let kernel = kernel.ok_or_else(|| Refusal::new("its kernel is not stated"))?;
        if attributes.text("layout").is_some_and(|layout| !layout.starts_with("NC")) {
            return Err(Refusal::new(
                "its layout has the channels last, which MXNet computes on accelerators only. \
                 Hint: export the network with layout NCHW",
            ));
        }
        let list = |name: &str, default: i64| -> Result<Vec<i64>, Refusal> {
            let list = attributes.ints(name)?.filter(|list| !list.is_empty());
            Ok(list.unwrap_or_else(|| vec![default; kernel.len()]))
        };
        let window = Self {
            strides: list("stride", 1)?,
            dilations: list("dilate", 1)?,
            pads: list("pad", 0)?,
            kernel,
        };
        let ranks = [&window.strides, &window.dilations, &window.pads];
        if ranks.iter().any(|list| list.len() != window.kernel.len()) {
            return Err(Refusal::new("its kernel, stride, dilate and pad differ in length"));
        }
        Ok(window)
    }

    fn both_sides(&self) -> Vec<i64> {
        [self.pads.as_slice(), &self.pads].concat()
    }
}

/// The bias, unless the node has none.
fn bias(op: &mut Op<'_, '_>, no_bias: bool) -> Result<Option<ValueId>, Refusal> {
    if op.attributes().flag("no_bias", no_bias)? || op.count() < 3 {
        return Ok(None);
    }
    op.input(2).map(Some)
}

/// Convolution.
pub(super) fn convolution(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let window = Window::of(op)?;
    let group = op.attributes().int("num_group")?.unwrap_or(1);
    let (x, weight, bias) = (op.input(0)?, op.input(1)?, bias(op, false)?);
    let name = op.name("conv");
    let mut node = op.node("Conv").input(x).input(weight);
    if bias.is_some() {
        node = node.optional(bias);
    }
    let pads = window.both_sides();
    let value = node
        .attribute("kernel_shape", window.kernel)
        .attribute("strides", window.strides)
        .attribute("dilations", window.dilations)
        .attribute("pads", pads)
        .attribute("group", group)
        .output(&name);
    op.finish(value)
}

/// Deconvolution: the transposed convolution; no bias unless stated.
pub(super) fn deconvolution(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let window = Window::of(op)?;
    let group = op.attributes().int("num_group")?.unwrap_or(1);
    let (x, weight, bias) = (op.input(0)?, op.input(1)?, bias(op, true)?);
    let adjust = op.attributes().ints("adj")?.filter(|list| list.len() == window.kernel.len());
    let mut adjust = adjust.unwrap_or_else(|| vec![0; window.kernel.len()]);
    let mut pads = window.pads.clone();
    if let Some(target) = op.attributes().ints("target_shape")?.filter(|list| !list.is_empty()) {
        let shape = op.ranked(x)?;
        for axis in 0..window.kernel.len() {
            let size = shape.get(axis + 2).and_then(sedge_graph::Dim::fixed);
            let (size, target) = (size.map(|n| n as i64), target.get(axis));
            let (Some(size), Some(target)) = (size, target) else {
                return Err(Refusal::new("its target_shape needs an operand of known size"));
            };
            let reach = window.dilations[axis] * (window.kernel[axis] - 1) + 1;
            let surplus = window.strides[axis] * (size - 1) + reach - target;
            if surplus < 0 {
                return Err(Refusal::new("its target_shape is larger than it can reach"));
            }
            pads[axis] = (surplus + 1) / 2;
            adjust[axis] = surplus % 2;
        }
    }
    let name = op.name("deconv");
    let mut node = op.node("ConvTranspose").input(x).input(weight);
    if bias.is_some() {
        node = node.optional(bias);
    }
    let value = node
        .attribute("kernel_shape", window.kernel)
        .attribute("strides", window.strides)
        .attribute("dilations", window.dilations)
        .attribute("pads", [pads.as_slice(), &pads].concat())
        .attribute("output_padding", adjust)
        .attribute("group", group)
        .output(&name);
    op.finish(value)
}
