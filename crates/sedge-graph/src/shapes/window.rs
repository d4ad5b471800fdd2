//! Arithmetic of sliding windows: convolutions and pools.

use crate::{Dim, Node};

/// Spatial sizes after a convolution or pool with this kernel.
pub(super) fn slide(node: &Node, spatial: &[Dim], kernel: &[usize]) -> Vec<Dim> {
    let along = |axis: usize| {
        let size = spatial[axis].fixed()?;
        let stride = at(node, "strides", axis, 1)?.max(1);
        let dilation = at(node, "dilations", axis, 1)?.max(1);
        let reach = (kernel[axis].max(1) - 1).checked_mul(dilation)?.checked_add(1)?;
        match node.string("auto_pad") {
            Some("SAME_UPPER" | "SAME_LOWER") => return Some(size.div_ceil(stride)),
            Some("VALID") => return Some(size.checked_sub(reach)? / stride + 1),
            _ => {}
        }
        let pads = at(node, "pads", axis, 0)? + at(node, "pads", axis + spatial.len(), 0)?;
        let room = size.checked_add(pads)?.checked_sub(reach)?;
        if node.int("ceil_mode") != Some(1) {
            return Some(room / stride + 1);
        }
        // The last window of a ceiling division must start inside the input or its left padding.
        let count = room.div_ceil(stride) + 1;
        let outside = (count - 1) * stride >= size + at(node, "pads", axis, 0)?;
        Some(count - usize::from(outside))
    };
    (0..spatial.len()).map(|axis| along(axis).map_or(Dim::Unknown, Dim::Fixed)).collect()
}

/// Spatial sizes after a transposed convolution with this kernel.
pub(super) fn slide_back(node: &Node, spatial: &[Dim], kernel: &[usize]) -> Vec<Dim> {
    let along = |axis: usize| {
        if let Some(&size) = node.ints("output_shape").and_then(|shape| shape.get(axis)) {
            return usize::try_from(size).ok();
        }
        let size = spatial[axis].fixed()?;
        let stride = at(node, "strides", axis, 1)?.max(1);
        if matches!(node.string("auto_pad"), Some("SAME_UPPER" | "SAME_LOWER")) {
            return size.checked_mul(stride);
        }
        let dilation = at(node, "dilations", axis, 1)?.max(1);
        let reach = (kernel[axis].max(1) - 1).checked_mul(dilation)?.checked_add(1)?;
        let pads = at(node, "pads", axis, 0)? + at(node, "pads", axis + spatial.len(), 0)?;
        let extra = at(node, "output_padding", axis, 0)?;
        size.checked_sub(1)?.checked_mul(stride)?.checked_add(reach + extra)?.checked_sub(pads)
    };
    (0..spatial.len()).map(|axis| along(axis).map_or(Dim::Unknown, Dim::Fixed)).collect()
}

/// Entry of a list attribute, or its default; `None` when it is negative.
fn at(node: &Node, name: &str, index: usize, default: i64) -> Option<usize> {
    let value = node.ints(name).and_then(|values| values.get(index)).copied().unwrap_or(default);
    usize::try_from(value).ok()
}
