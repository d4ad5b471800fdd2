use serde::{Deserialize, Serialize};

use super::Grid;
use super::source::Cell;
use crate::decoders::activation::{sigmoid, softmax_terms};
use crate::{Box2d, Placement};

/// What the numbers of a grid's box mean. `(x, y)` is the cell, `s` the stride, `(aw, ah)` the
/// anchor, `(W, H)` the input's size, σ the logistic function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GridBox {
    /// Decoded: centre x, centre y, width, height.
    CenterSize,
    /// Decoded: xmin, ymin, xmax, ymax.
    Corners,
    /// Centre `(x + σ(t0)) s`, size `aw exp(t2)`: YOLOv2 and v3.
    SigmoidExp,
    /// Centre `(x - 0.5 + 2 σ(t0)) s`, size `aw (2 σ(t2))²`: YOLOv5 and v7.
    SigmoidSquare,
    /// Centre `(x + t0) s`, size `s exp(t2)`: YOLOX.
    OffsetExp,
    /// Distances from the cell's centre `((x + 0.5) s, ...)` to the left, top, right and bottom
    /// edge in strides, each the mean of a softmax over `bins` bins: Li et al., *Generalized Focal
    /// Loss* (2020); YOLOv8 and v11.
    DistanceBins,
    /// Centre `(x + tanh(t0)) s`, size `W σ(t2)`: FastestDet.
    TanhSigmoid,
}

impl GridBox {
    /// How many numbers a box takes.
    pub(super) fn fields(self, bins: usize) -> usize {
        match self {
            GridBox::DistanceBins => bins.max(1).saturating_mul(4),
            _ => 4,
        }
    }

    /// True when a box says all by itself, wherever it lies.
    pub(super) fn is_decoded(self) -> bool {
        matches!(self, GridBox::CenterSize | GridBox::Corners)
    }

    /// True when sizes are multiples of an anchor's.
    pub(super) fn needs_anchors(self) -> bool {
        matches!(self, GridBox::SigmoidExp | GridBox::SigmoidSquare)
    }

    /// The box relative to the input.
    pub(super) fn decode(
        self,
        t: &[f32],
        cell: &Cell,
        grid: &Grid,
        placement: &Placement,
    ) -> Box2d {
        let input = [placement.input_width as f32, placement.input_height as f32];
        // Along one axis, in relative coordinates: `p` is the number of the position, `q` that of
        // the size, `axis` 0 or 1.
        let center = |axis: usize, offset: f32| {
            (cell.at[axis] as f32 + offset) * cell.stride[axis] / input[axis]
        };
        let around = |cx: f32, cy: f32, width: f32, height: f32| Box2d {
            xmin: cx - width / 2.0,
            ymin: cy - height / 2.0,
            xmax: cx + width / 2.0,
            ymax: cy + height / 2.0,
        };
        match self {
            GridBox::CenterSize => {
                let [x, y] = grid.coordinates.unit(placement);
                around(t[0] * x, t[1] * y, t[2] * x, t[3] * y)
            }
            GridBox::Corners => grid.coordinates.corners([t[0], t[1], t[2], t[3]], placement),
            GridBox::SigmoidExp => around(
                center(0, sigmoid(t[0])),
                center(1, sigmoid(t[1])),
                cell.anchor[0] * t[2].exp() / input[0],
                cell.anchor[1] * t[3].exp() / input[1],
            ),
            GridBox::SigmoidSquare => around(
                center(0, 2.0 * sigmoid(t[0]) - 0.5),
                center(1, 2.0 * sigmoid(t[1]) - 0.5),
                cell.anchor[0] * (2.0 * sigmoid(t[2])).powi(2) / input[0],
                cell.anchor[1] * (2.0 * sigmoid(t[3])).powi(2) / input[1],
            ),
            GridBox::OffsetExp => around(
                center(0, t[0]),
                center(1, t[1]),
                cell.stride[0] * t[2].exp() / input[0],
                cell.stride[1] * t[3].exp() / input[1],
            ),
            GridBox::DistanceBins => {
                let bins = t.len() / 4;
                let side = |i: usize| mean_bin(&t[i * bins..(i + 1) * bins]);
                Box2d {
                    xmin: center(0, 0.5 - side(0)),
                    ymin: center(1, 0.5 - side(1)),
                    xmax: center(0, 0.5 + side(2)),
                    ymax: center(1, 0.5 + side(3)),
                }
            }
            GridBox::TanhSigmoid => {
                around(center(0, t[0].tanh()), center(1, t[1].tanh()), sigmoid(t[2]), sigmoid(t[3]))
            }
        }
    }
}

/// The expected bin of a softmax over bins.
fn mean_bin(bins: &[f32]) -> f32 {
    let (max, sum) = softmax_terms(bins);
    let weighted = |(i, &v): (usize, &f32)| i as f64 * f64::from((v - max).exp());
    (bins.iter().enumerate().map(weighted).sum::<f64>() / sum) as f32
}
