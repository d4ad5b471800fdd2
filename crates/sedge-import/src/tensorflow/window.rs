//! How windows of convolutions and pools move over pictures.

use sedge_graph::{NodeBuilder, ValueId};

use super::Refusal;
use super::builder::Op;

/// What is added around a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Padding {
    Valid,
    Same,
    /// Top, left, bottom, right.
    Explicit([i64; 4]),
}

/// A window over height and width.
#[derive(Clone, Debug)]
pub(super) struct Window {
    padding: Padding,
    kernel: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
}

/// Height and width of a list that stands for four dimensions in the operator's layout.
fn spatial(op: &Op<'_, '_>, list: &[i64], what: &str) -> Result<[usize; 2], Refusal> {
    let refuse = || Refusal(format!("its {what} {list:?} make no sense"));
    let (pair, others) = match (list, op.is_channels_first()?) {
        (&[n, h, w, c], false) | (&[n, c, h, w], true) => ([h, w], [n, c]),
        _ => return Err(refuse()),
    };
    // Bounds that keep every product below far from overflow.
    let sound = |n: i64| usize::try_from(n).ok().filter(|n| (1..=1 << 14).contains(n));
    match (pair.map(sound), others) {
        ([Some(h), Some(w)], [1, 1]) => Ok([h, w]),
        _ => Err(refuse()),
    }
}

impl Window {
    /// Reads the attributes strides, padding, explicit_paddings and dilations.
    pub(super) fn of_convolution(
        op: &Op<'_, '_>,
        kernel: [Option<usize>; 2],
    ) -> Result<Self, Refusal> {
        let [Some(height), Some(width)] = kernel else {
            return Err(Refusal::new("the size of its weights is not known"));
        };
        let dilations = match op.int_list("dilations") {
            [] => [1, 1],
            list => spatial(op, list, "dilations")?,
        };
        Self::read(op, [height, width], dilations)
    }

    /// Reads the attributes ksize, strides, padding and explicit_paddings.
    pub(super) fn of_pool(op: &Op<'_, '_>) -> Result<Self, Refusal> {
        let kernel = spatial(op, op.int_list("ksize"), "sizes")?;
        Self::read(op, kernel, [1, 1])
    }

    fn read(op: &Op<'_, '_>, kernel: [usize; 2], dilations: [usize; 2]) -> Result<Self, Refusal> {
        let strides = spatial(op, op.int_list("strides"), "strides")?;
        let padding = match op.text("padding") {
            b"VALID" => Padding::Valid,
            b"SAME" => Padding::Same,
            b"EXPLICIT" => explicit(op)?,
            other => {
                let other = String::from_utf8_lossy(other).into_owned();
                return Err(Refusal(format!("its padding '{other}' is not supported")));
            }
        };
        Ok(Self { padding, kernel, strides, dilations })
    }

    /// Padding in ONNX's order (top, left, bottom, right) for an input of this height and width:
    /// the odd pixel comes last.
    pub(super) fn pads(&self, size: [usize; 2]) -> [i64; 4] {
        if let Padding::Explicit(pads) = self.padding {
            return pads;
        }
        let mut pads = [0; 4];
        if self.padding == Padding::Same {
            for axis in 0..2 {
                let covered = self.kernel[axis].saturating_sub(1) * self.dilations[axis] + 1;
                let steps = size[axis].div_ceil(self.strides[axis]).max(1);
                let reach = (steps - 1).saturating_mul(self.strides[axis]).saturating_add(covered);
                let total = reach.saturating_sub(size[axis]);
                pads[axis] = (total / 2) as i64;
                pads[axis + 2] = (total - total / 2) as i64;
            }
        }
        pads
    }

    /// Adds strides, kernel, dilations and padding to a node over a picture of this size.
    pub(super) fn describe<'g>(
        &self,
        node: NodeBuilder<'g>,
        size: [Option<usize>; 2],
    ) -> NodeBuilder<'g> {
        let mut node = node
            .attribute("kernel_shape", ints(self.kernel))
            .attribute("strides", ints(self.strides));
        if self.dilations != [1, 1] {
            node = node.attribute("dilations", ints(self.dilations));
        }
        match (size, &self.padding) {
            ([Some(height), Some(width)], _) => {
                node.attribute("pads", self.pads([height, width]).to_vec())
            }
            (_, Padding::Explicit(pads)) => node.attribute("pads", pads.to_vec()),
            (_, Padding::Same) => node.attribute("auto_pad", "SAME_UPPER"),
            (_, Padding::Valid) => node,
        }
    }

    /// Padding and output padding of the convolution that this one turns back: from a picture of
    /// size `from` to one of size `to`.
    pub(super) fn turned_back(&self, from: [usize; 2], to: [usize; 2]) -> ([i64; 4], [i64; 2]) {
        let start = self.pads(to);
        let (mut pads, mut extra) = ([start[0], start[1], 0, 0], [0; 2]);
        for axis in 0..2 {
            let reach = (self.kernel[axis].saturating_sub(1) * self.dilations[axis] + 1) as i64;
            let steps = (from[axis] as i64 - 1).saturating_mul(self.strides[axis] as i64);
            let end = steps.saturating_add(reach) - start[axis] - to[axis] as i64;
            pads[axis + 2] = end.max(0);
            extra[axis] = (-end).max(0);
        }
        (pads, extra)
    }

    /// Adds what `ConvTranspose` needs of the window.
    pub(super) fn describe_back<'g>(
        &self,
        node: NodeBuilder<'g>,
        from: [Option<usize>; 2],
        to: [Option<usize>; 2],
    ) -> Result<NodeBuilder<'g>, Refusal> {
        let mut node = node
            .attribute("kernel_shape", ints(self.kernel))
            .attribute("strides", ints(self.strides));
        if self.dilations != [1, 1] {
            node = node.attribute("dilations", ints(self.dilations));
        }
        Ok(match (from, to) {
            ([Some(height), Some(width)], [Some(high), Some(wide)]) => {
                let (pads, extra) = self.turned_back([height, width], [high, wide]);
                node = node.attribute("pads", pads.to_vec());
                if extra == [0; 2] {
                    node
                } else {
                    node.attribute("output_padding", extra.to_vec())
                }
            }
            _ if self.padding == Padding::Same => node.attribute("auto_pad", "SAME_UPPER"),
            _ if self.padding == Padding::Valid => node,
            _ => return Err(Refusal::new("its sizes are not known")),
        })
    }
}

/// Attribute explicit_paddings: before and after for each of four dimensions.
fn explicit(op: &Op<'_, '_>) -> Result<Padding, Refusal> {
    let list = op.int_list("explicit_paddings");
    let pairs = match (list, op.is_channels_first()?) {
        (&[0, 0, t, b, l, r, 0, 0], false) | (&[0, 0, 0, 0, t, b, l, r], true) => [t, l, b, r],
        _ => return Err(Refusal(format!("its paddings {list:?} make no sense"))),
    };
    match pairs.iter().all(|pad| (0..=1 << 14).contains(pad)) {
        true => Ok(Padding::Explicit(pairs)),
        false => Err(Refusal(format!("its paddings {list:?} make no sense"))),
    }
}

fn ints(values: [usize; 2]) -> Vec<i64> {
    values.iter().map(|&n| n as i64).collect()
}

impl Op<'_, '_> {
    /// Height and width of a value that has channels second, where known.
    pub(super) fn size_of(&self, picture: ValueId) -> [Option<usize>; 2] {
        [self.dim(picture, 2), self.dim(picture, 3)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_pixel_last() {
        let window = |kernel, stride, dilation| Window {
            padding: Padding::Same,
            kernel: [kernel; 2],
            strides: [stride; 2],
            dilations: [dilation; 2],
        };
        assert_eq!(window(3, 2, 1).pads([224, 224]), [0, 0, 1, 1]);
        assert_eq!(window(3, 2, 1).pads([225, 224]), [1, 0, 1, 1]);
        assert_eq!(window(3, 1, 2).pads([10, 10]), [2, 2, 2, 2]);
        assert_eq!(window(2, 2, 1).turned_back([3, 3], [5, 6]), ([0, 0, 1, 0], [0, 0]));
    }
}
