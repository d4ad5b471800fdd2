//! Detection heads: anchors, decoding of boxes, suppression.
//!
//! Source: `src/operator/contrib/` of apache/mxnet 1.9.1, files `multibox_prior.cc`,
//! `multibox_detection.cc` and `bounding_box-inl.h`.

use sedge_graph::{Dim, SEDGE_DOMAIN, ValueId};
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::Op;
use super::join::joined;
use super::shape::{Size, sizes};

/// Anchors that a layer may have.
const MOST_ANCHORS: usize = 1 << 24;

/// MultiBoxPrior: anchors of a feature map of which only the size matters.
pub(super) fn prior(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let prior = Prior::of(op)?;
    let x = op.input(0)?;
    let shape = op.ranked(x)?;
    let [_, _, height, width] = shape.as_slice() else {
        return Err(Refusal::new("its operand has not four dimensions"));
    };
    let value = match (height.fixed(), width.fixed()) {
        (Some(height), Some(width)) => {
            let anchors = prior.anchors(height, width);
            op.constant(anchors.ok_or_else(|| Refusal::new("it makes too many anchors"))?)
        }
        _ => prior.computed(op, x),
    };
    op.finish(value)
}

struct Prior {
    /// Half the width at width = height, and half the height, of each anchor at a place.
    halves: Vec<[f32; 2]>,
    steps: Option<[f32; 2]>,
    offsets: [f32; 2],
    clip: bool,
}

impl Prior {
    fn of(op: &Op<'_, '_>) -> Result<Self, Refusal> {
        let attributes = op.attributes();
        let list = |name: &str| -> Result<Vec<f32>, Refusal> {
            let list = attributes.floats(name)?.filter(|list| !list.is_empty());
            Ok(list.unwrap_or_else(|| vec![1.0]))
        };
        let pair = |name: &str, default: f32| -> Result<[f32; 2], Refusal> {
            let list = attributes.floats(name)?.unwrap_or_default();
            Ok([0, 1].map(|index| list.get(index).copied().unwrap_or(default)))
        };
        let (sizes, ratios) = (list("sizes")?, list("ratios")?);
        if sizes.len() + ratios.len() > 4096 {
            return Err(Refusal::new("it makes too many anchors"));
        }
        let half = |size: f32, ratio: f32| [size * ratio.sqrt() / 2.0, size / ratio.sqrt() / 2.0];
        // Every size at the first ratio, then the first size at the other ratios.
        let mut halves: Vec<[f32; 2]> = sizes.iter().map(|&size| half(size, ratios[0])).collect();
        halves.extend(ratios.iter().skip(1).map(|&ratio| half(sizes[0], ratio)));
        let steps = pair("steps", -1.0)?;
        Ok(Self {
            halves,
            steps: Some(steps).filter(|steps| steps[0] > 0.0 && steps[1] > 0.0),
            offsets: pair("offsets", 0.5)?,
            clip: attributes.flag("clip", false)?,
        })
    }

    /// `[1, height * width * anchors, 4]`, for a size that is known.
    fn anchors(&self, height: usize, width: usize) -> Option<Tensor> {
        let count = height.checked_mul(width)?.checked_mul(self.halves.len())?;
        if count > MOST_ANCHORS {
            return None;
        }
        let [down, across] = self.steps.unwrap_or([1.0 / height as f32, 1.0 / width as f32]);
        let aspect = height as f32 / width as f32;
        let mut corners = Vec::with_capacity(count * 4);
        for row in 0..height {
            let y = (row as f32 + self.offsets[0]) * down;
            for column in 0..width {
                let x = (column as f32 + self.offsets[1]) * across;
                for &[half_width, half_height] in &self.halves {
                    let half_width = half_width * aspect;
                    corners.extend([
                        x - half_width,
                        y - half_height,
                        x + half_width,
                        y + half_height,
                    ]);
                }
            }
        }
        if self.clip {
            corners.iter_mut().for_each(|corner| *corner = corner.clamp(0.0, 1.0));
        }
        Tensor::new([1, count, 4], corners).ok()
    }

    /// The same in operators, for a size that each request brings.
    fn computed(&self, op: &mut Op<'_, '_>, x: ValueId) -> ValueId {
        let count = |op: &mut Op<'_, '_>, axis: usize| {
            let size = sizes(op, &[Size::Of(x, axis, axis + 1)]);
            op.reshape(size, &[])
        };
        let (rows, columns) = (count(op, 2), count(op, 3));
        let (height, width) = (op.cast(rows, DType::F32), op.cast(columns, DType::F32));
        let centres = |op: &mut Op<'_, '_>, count: ValueId, size: ValueId, axis: usize| {
            let (zero, one) =
                (op.constant(Tensor::scalar(0i64)), op.constant(Tensor::scalar(1i64)));
            let numbers = op.apply("Range", &[zero, count, one]);
            let numbers = op.cast(numbers, DType::F32);
            let offset = op.constant(Tensor::scalar(self.offsets[axis]));
            let places = op.apply("Add", &[numbers, offset]);
            match self.steps {
                Some(steps) => {
                    let step = op.constant(Tensor::scalar(steps[axis]));
                    op.apply("Mul", &[places, step])
                }
                None => op.apply("Div", &[places, size]),
            }
        };
        let (y, x) = (centres(op, rows, height, 0), centres(op, columns, width, 1));
        let (y, x) = (op.reshape(y, &[-1, 1, 1, 1]), op.reshape(x, &[1, -1, 1, 1]));
        let anchors = self.halves.len();
        let column = |op: &mut Op<'_, '_>, index: usize| {
            let halves = self.halves.iter().map(|half| half[index]).collect();
            let halves = Tensor::new([1, 1, anchors, 1], halves);
            op.constant(halves.unwrap_or_else(|_| Tensor::scalar(0f32)))
        };
        let (half_width, half_height) = (column(op, 0), column(op, 1));
        let aspect = op.apply("Div", &[height, width]);
        let half_width = op.apply("Mul", &[half_width, aspect]);
        // Zero in the shape of all anchors, so that each corner can be joined with the others.
        let zeros = [x, y, half_width].map(|value| op.apply("Sub", &[value, value]));
        let zero = op.apply("Sum", &zeros);
        let mut corners = Vec::new();
        for (centre, half, sign) in [
            (x, half_width, "Sub"),
            (y, half_height, "Sub"),
            (x, half_width, "Add"),
            (y, half_height, "Add"),
        ] {
            let corner = op.apply(sign, &[centre, half]);
            corners.push(op.apply("Add", &[corner, zero]));
        }
        let mut all = joined(op, &corners, 3);
        if self.clip {
            let (low, high) = (op.scalar_like(all, 0.0), op.scalar_like(all, 1.0));
            all = op.apply("Clip", &[all, low, high]);
        }
        let all = op.reshape(all, &[1, -1, 4]);
        op.state_shape(all, vec![Dim::Fixed(1), Dim::Unknown, Dim::Fixed(4)]);
        all
    }
}

/// MultiBoxDetection: `ai.sedge.MultiBoxDetection`.
pub(super) fn multi_box(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let attributes = op.attributes();
    let number = |name: &str, default: f32| attributes.float(name).map(|x| x.unwrap_or(default));
    let variances = attributes.floats("variances")?.unwrap_or_else(|| vec![0.1, 0.1, 0.2, 0.2]);
    if variances.len() != 4 {
        return Err(Refusal::new("its variances are not four numbers"));
    }
    let (threshold, overlap) = (number("threshold", 0.01)?, number("nms_threshold", 0.5)?);
    let clip = attributes.flag("clip", true)?;
    let force = attributes.flag("force_suppress", false)?;
    let most = attributes.int("nms_topk")?.unwrap_or(-1);
    let (scores, offsets, anchors) = (op.input(0)?, op.input(1)?, op.input(2)?);
    let name = op.name("rows");
    let node = op.node("MultiBoxDetection").domain(SEDGE_DOMAIN);
    let value = node
        .input(scores)
        .input(offsets)
        .input(anchors)
        .attribute("threshold", threshold)
        .attribute("nms_threshold", overlap)
        .attribute("nms_topk", most)
        .attribute("clip", i64::from(clip))
        .attribute("force_suppress", i64::from(force))
        .attribute("variances", variances)
        .output(&name);
    op.finish(value)
}

/// box_nms: `ai.sedge.BoxNms`.
pub(super) fn box_nms(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let attributes = op.attributes();
    let int = |name: &str, default: i64| attributes.int(name).map(|x| x.unwrap_or(default));
    let number = |name: &str, default: f32| attributes.float(name).map(|x| x.unwrap_or(default));
    let formats = ["corner", "center"];
    let settings = [
        ("topk", int("topk", -1)?),
        ("coord_start", int("coord_start", 2)?),
        ("score_index", int("score_index", 1)?),
        ("id_index", int("id_index", -1)?),
        ("background_id", int("background_id", -1)?),
        ("force_suppress", i64::from(attributes.flag("force_suppress", false)?)),
        ("in_center", i64::from(attributes.word("in_format", &formats)? == "center")),
        ("out_center", i64::from(attributes.word("out_format", &formats)? == "center")),
    ];
    let (overlap, valid) = (number("overlap_thresh", 0.5)?, number("valid_thresh", 0.0)?);
    let x = op.input(0)?;
    let width = op.shape(x).and_then(|shape| shape.last()?.fixed());
    if let Some(width) = width {
        let within = |index: i64, length: i64| index >= 0 && index + length <= width as i64;
        let sound = within(settings[1].1, 4)
            && within(settings[2].1, 1)
            && (settings[3].1 < 0 || within(settings[3].1, 1));
        if !sound {
            return Err(Refusal::new("its indices lie outside the rows"));
        }
    }
    let name = op.name("rows");
    let mut node = op.node("BoxNms").domain(SEDGE_DOMAIN).input(x);
    for (key, value) in settings {
        node = node.attribute(key, value);
    }
    let node = node.attribute("overlap_thresh", overlap).attribute("valid_thresh", valid);
    let value = node.output(&name);
    op.finish(value)
}

/// The four columns of boxes `[..., 4]`, each `[..., 1]`.
fn columns(op: &mut Op<'_, '_>, boxes: ValueId) -> [ValueId; 4] {
    [0, 1, 2, 3].map(|index| op.slice(boxes, -1, index, index + 1))
}

/// box_decode: offsets to anchors in units of their size, as corners.
pub(super) fn box_decode(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let number = |name: &str| op.attributes().float(name).map(|x| x.unwrap_or(1.0));
    let scales = [number("std0")?, number("std1")?, number("std2")?, number("std3")?];
    let clip = op.attributes().float("clip")?.filter(|&clip| clip > 0.0);
    let centred = op.attributes().word("format", &["corner", "center"])? == "center";
    let (data, anchors) = (op.input(0)?, op.input(1)?);
    let offsets = columns(op, data);
    let [a, b, c, d] = columns(op, anchors);
    let half = op.scalar_like(data, 0.5);
    let (centres, lengths) = if centred {
        ([a, b], [c, d])
    } else {
        let lengths = [op.apply("Sub", &[c, a]), op.apply("Sub", &[d, b])];
        let mut centre = |start: ValueId, length: ValueId| {
            let half = op.apply("Mul", &[length, half]);
            op.apply("Add", &[start, half])
        };
        ([centre(a, lengths[0]), centre(b, lengths[1])], lengths)
    };
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for axis in 0..2 {
        let scale = op.scalar_like(data, scales[axis]);
        let moved = op.apply("Mul", &[offsets[axis], scale]);
        let moved = op.apply("Mul", &[moved, lengths[axis]]);
        let centre = op.apply("Add", &[moved, centres[axis]]);
        let scale = op.scalar_like(data, scales[axis + 2]);
        let mut growth = op.apply("Mul", &[offsets[axis + 2], scale]);
        if let Some(clip) = clip {
            let clip = op.scalar_like(data, clip);
            growth = op.apply("Min", &[growth, clip]);
        }
        let growth = op.apply("Exp", &[growth]);
        let length = op.apply("Mul", &[growth, lengths[axis]]);
        let length = op.apply("Mul", &[length, half]);
        starts.push(op.apply("Sub", &[centre, length]));
        ends.push(op.apply("Add", &[centre, length]));
    }
    let value = joined(op, &[starts, ends].concat(), -1);
    op.finish(value)
}

/// box_iou: overlap of every box of the first operand with every one of the second.
pub(super) fn box_iou(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let centred = op.attributes().word("format", &["corner", "center"])? == "center";
    let (left, right) = (op.input(0)?, op.input(1)?);
    let (rows, others) = (op.rank(left)?, op.rank(right)?);
    // Boxes of the first operand vary along the first axes, of the second along the last ones.
    let after: Vec<i64> = (rows as i64 - 1..(rows + others) as i64 - 2).collect();
    let before: Vec<i64> = (0..rows as i64 - 1).collect();
    let corners = |op: &mut Op<'_, '_>, boxes: ValueId, axes: &[i64]| {
        let mut sides = columns(op, boxes).map(|side| {
            let name = op.name("side");
            let side = op.node("Squeeze").input(side).ints(&[-1]).output(&name);
            op.node("Unsqueeze").input(side).ints(axes).output(&name)
        });
        if centred {
            let half = op.scalar_like(boxes, 0.5);
            for axis in 0..2 {
                let reach = op.apply("Mul", &[sides[axis + 2], half]);
                let centre = sides[axis];
                sides[axis] = op.apply("Sub", &[centre, reach]);
                sides[axis + 2] = op.apply("Add", &[centre, reach]);
            }
        }
        sides
    };
    let (a, b) = (corners(op, left, &after), corners(op, right, &before));
    let zero = op.scalar_like(left, 0.0);
    let mut lengths = Vec::new();
    let mut areas = Vec::new();
    for sides in [a, b] {
        let along = [0, 1].map(|axis| {
            let length = op.apply("Sub", &[sides[axis + 2], sides[axis]]);
            op.apply("Max", &[length, zero])
        });
        areas.push(op.apply("Mul", &along));
    }
    for axis in 0..2 {
        let start = op.apply("Max", &[a[axis], b[axis]]);
        let end = op.apply("Min", &[a[axis + 2], b[axis + 2]]);
        let length = op.apply("Sub", &[end, start]);
        lengths.push(op.apply("Max", &[length, zero]));
    }
    let both = op.apply("Mul", &lengths);
    let all = op.apply("Add", &areas);
    let all = op.apply("Sub", &[all, both]);
    let ratio = op.apply("Div", &[both, all]);
    // Boxes that do not meet may have no area at all.
    let meets = op.apply("Greater", &[both, zero]);
    let value = op.apply("Where", &[meets, ratio, zero]);
    op.finish(value)
}
