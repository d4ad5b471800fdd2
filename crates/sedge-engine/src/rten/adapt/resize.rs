//! Resizing that rten lacks, as products with matrices: one per axis, its rows the weights of the
//! pixels a new one is made of.
//!
//! Source: the ONNX specification of `Resize` (operator sets 11 to 19) and, where it leaves
//! freedom, onnxruntime's `upsample.h` and `upsample_antialias.h`.

use sedge_graph::{Graph, Node, NodeBuilder, ValueId};
use sedge_tensor::{DType, Tensor};

use super::{dtype, fixed, rank, wrap};

/// Weights one matrix may have.
const MOST_WEIGHTS: usize = 1 << 24;

/// A resize of some axes as one of all.
pub(super) fn all_axes(graph: &mut Graph, node: &mut Node) -> Option<()> {
    let policy = node.string("keep_aspect_ratio_policy");
    // What keeps the aspect ratio is computed with the axes known, by matrices.
    if !matches!(policy, None | Some("stretch")) || roi(node) {
        return None;
    }
    let axes = node.ints("axes")?.to_vec();
    let dims = graph.value(node.input(0)?).shape.clone()?;
    let places: Vec<usize> =
        axes.iter().map(|&axis| wrap(axis, dims.len())).collect::<Option<_>>()?;
    if let Some(sizes) = graph.constant_ints(node.input(3)).filter(|s| s.len() == places.len()) {
        let mut all: Vec<Option<i64>> = dims.iter().map(|d| d.fixed().map(|n| n as i64)).collect();
        places.iter().zip(sizes).for_each(|(&place, size)| all[place] = Some(size));
        node.inputs[3] = Some(match all.iter().copied().collect::<Option<Vec<i64>>>() {
            Some(all) => graph.add_constant("resize_sizes", Tensor::vector(all)),
            None => computed_sizes(graph, node.input(0)?, &all),
        });
    } else {
        let scales = graph.constant(node.input(2))?.to_f32()?.into_owned();
        let mut all = vec![1f32; dims.len()];
        places.iter().zip(scales).for_each(|(&place, scale)| all[place] = scale);
        node.inputs[2] = Some(graph.add_constant("resize_scales", Tensor::vector(all)));
    }
    node.attributes.remove("axes");
    Some(())
}

/// Sizes of which some, such as that of the batch, are the operand's own.
fn computed_sizes(graph: &mut Graph, x: ValueId, all: &[Option<i64>]) -> ValueId {
    let mut parts = Vec::with_capacity(all.len());
    for (axis, size) in all.iter().enumerate() {
        parts.push(match size {
            Some(size) => graph.add_constant("resize_size", Tensor::vector(vec![*size])),
            None => {
                let start = axis as i64;
                let node = graph.node("Shape").input(x).attribute("start", start);
                node.attribute("end", start + 1).output("resize_size")
            }
        });
    }
    let join = graph.node("Concat").attribute("axis", 0i64);
    parts.into_iter().fold(join, NodeBuilder::input).output("resize_sizes")
}

fn roi(node: &Node) -> bool {
    node.string("coordinate_transformation_mode") == Some("tf_crop_and_resize")
}

/// One resized axis.
struct Axis {
    axis: usize,
    from: usize,
    to: usize,
    scale: f32,
    /// Part of the picture that is kept, as fractions.
    crop: (f32, f32),
}

/// How a node resamples.
struct Method<'n> {
    mode: &'n str,
    nearest: &'n str,
    coordinates: &'n str,
    antialias: bool,
    cubic: f32,
    inside_only: bool,
}

impl<'n> Method<'n> {
    fn of(node: &'n Node) -> Self {
        Self {
            mode: node.string("mode").unwrap_or("nearest"),
            nearest: node.string("nearest_mode").unwrap_or("round_prefer_floor"),
            coordinates: node.string("coordinate_transformation_mode").unwrap_or("half_pixel"),
            antialias: node.int("antialias") == Some(1),
            cubic: node.float("cubic_coeff_a").unwrap_or(-0.75),
            inside_only: node.int("exclude_outside") == Some(1),
        }
    }

    /// True for what rten computes as ONNX wants it.
    fn is_plain(&self) -> bool {
        let modes = ["asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"];
        self.mode != "cubic" && !self.antialias && modes.contains(&self.coordinates)
    }
}

/// True for what rten can be trusted with.
pub(super) fn is_plain(graph: &Graph, node: &Node) -> bool {
    let stretches = matches!(node.string("keep_aspect_ratio_policy"), None | Some("stretch"));
    let of_picture = || {
        let Some(dims) = &graph.value(node.input(0)?).shape else { return None };
        let axes = resized_axes(graph, node)?;
        Some(dims.len() <= 4 && axes.iter().all(|axis| axis.axis + 2 >= dims.len()))
    };
    // Without fixed sizes rten looks itself which axes change.
    stretches && Method::of(node).is_plain() && of_picture() != Some(false)
}

/// Replaces a resize that rten lacks.
pub(super) fn by_matrices(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let method = Method::of(node);
    let rank = rank(graph, x)?;
    let axes = resized_axes(graph, node)?;
    let is_float = dtype(graph, Some(x)) == Some(DType::F32);
    let outside = node.float("extrapolation_value").unwrap_or(0.0);
    if is_plain(graph, node) || !is_float || outside != 0.0 {
        return None;
    }
    let mut matrices = Vec::new();
    for axis in &axes {
        let count = axis.from.checked_mul(axis.to).filter(|&count| count <= MOST_WEIGHTS)?;
        let mut weights = Vec::with_capacity(count);
        for position in 0..axis.to {
            weights.extend(method.row(axis, position));
        }
        matrices.push((axis, weights));
    }
    let mut current = x;
    for (axis, weights) in matrices {
        current = product(graph, current, rank, axis, weights)?;
    }
    graph.node("Identity").named(&node.name).input(current).output_to(y);
    Some(())
}

/// Multiplies along one axis by `[to, from]` weights.
fn product(
    graph: &mut Graph,
    x: ValueId,
    rank: usize,
    axis: &Axis,
    weights: Vec<f32>,
) -> Option<ValueId> {
    let matrix = Tensor::new([axis.to, axis.from], weights).ok()?;
    if axis.axis + 2 == rank {
        let rows = graph.node("MatMul").constant(matrix).input(x).output("resized");
        return Some(rows);
    }
    // The axis goes last but one and comes back; with one axis alone it becomes a column.
    if rank == 1 {
        let column = graph.node("Unsqueeze").input(x).ints(&[1]).output("column");
        let rows = graph.node("MatMul").constant(matrix).input(column).output("resized");
        return Some(graph.node("Squeeze").input(rows).ints(&[1]).output("resized"));
    }
    let mut order: Vec<i64> = (0..rank as i64).collect();
    order.swap(axis.axis, rank - 2);
    let turned = graph.node("Transpose").input(x).attribute("perm", order.clone()).output("turned");
    let rows = graph.node("MatMul").constant(matrix).input(turned).output("resized");
    Some(graph.node("Transpose").input(rows).attribute("perm", order).output("back"))
}

/// The axes that change, with their lengths; `None` when the graph does not fix them.
fn resized_axes(graph: &Graph, node: &Node) -> Option<Vec<Axis>> {
    let dims = graph.value(node.input(0)?).shape.as_ref()?;
    let rank = dims.len();
    let places: Vec<usize> = match node.ints("axes") {
        Some(axes) => axes.iter().map(|&axis| wrap(axis, rank)).collect::<Option<_>>()?,
        None => (0..rank).collect(),
    };
    let lengths: Vec<Option<i64>> = places.iter().map(|&place| fixed(&dims[place])).collect();
    let sizes = graph.constant_ints(node.input(3)).filter(|sizes| !sizes.is_empty());
    let scales = match &sizes {
        Some(sizes) if sizes.len() == places.len() => {
            let scale =
                |(&size, length): (&i64, &Option<i64>)| length.map(|n| size as f32 / n as f32);
            let scales: Vec<Option<f32>> = sizes.iter().zip(&lengths).map(scale).collect();
            kept_aspect(node, scales)?
        }
        Some(_) => return None,
        None => {
            let scales = graph.constant(node.input(2))?.to_f32()?.into_owned();
            (scales.len() == places.len()).then_some(())?;
            scales.into_iter().map(Some).collect()
        }
    };
    let crops = match node.input(1).filter(|_| roi(node)) {
        Some(crops) => graph.constant(Some(crops))?.to_f32()?.into_owned(),
        None => [vec![0.0; places.len()], vec![1.0; places.len()]].concat(),
    };
    (crops.len() == 2 * places.len()).then_some(())?;
    let keeps = !matches!(node.string("keep_aspect_ratio_policy"), None | Some("stretch"));
    let mut axes = Vec::new();
    for (i, (&place, scale)) in places.iter().zip(scales).enumerate() {
        let crop = (crops[i], crops[i + places.len()]);
        if scale == Some(1.0) && crop == (0.0, 1.0) {
            continue;
        }
        let (from, scale) = (usize::try_from(lengths[i]?).ok()?, scale?);
        let to = match &sizes {
            Some(sizes) if !keeps => usize::try_from(sizes[i]).ok()?,
            Some(_) => (scale * from as f32 + 0.5).floor() as usize,
            None => (scale * from as f32).floor() as usize,
        };
        axes.push(Axis { axis: place, from, to, scale, crop });
    }
    Some(axes)
}

/// One scale for all axes, when the node keeps the aspect ratio.
fn kept_aspect(node: &Node, scales: Vec<Option<f32>>) -> Option<Vec<Option<f32>>> {
    let pick = match node.string("keep_aspect_ratio_policy") {
        Some("not_larger") => f32::min,
        Some("not_smaller") => f32::max,
        _ => return Some(scales),
    };
    let known: Vec<f32> = scales.iter().copied().collect::<Option<_>>()?;
    let scale = known.into_iter().reduce(pick)?;
    Some(vec![Some(scale); scales.len()])
}

impl Method<'_> {
    /// What the old pixels weigh in one new pixel.
    fn row(&self, axis: &Axis, position: usize) -> Vec<f32> {
        let mut row = vec![0f32; axis.from];
        let Some(last) = axis.from.checked_sub(1) else { return row };
        let at = self.coordinate(axis, position as f32);
        if roi_is_left(self.coordinates, at, last) {
            return row;
        }
        if self.antialias && self.mode != "nearest" {
            self.smooth(axis, at, &mut row);
            return row;
        }
        let held = |i: f32| i.clamp(0.0, last as f32) as usize;
        match self.mode {
            "linear" => {
                let at = at.clamp(0.0, last as f32);
                let low = held(at.floor());
                let share = at - low as f32;
                row[low] += 1.0 - share;
                row[(low + 1).min(last)] += share;
            }
            "cubic" => {
                let low = at.floor();
                let mut sum = 0.0;
                for tap in -1..=2 {
                    let place = low + tap as f32;
                    let weight = cubic(self.cubic, at - place);
                    if !self.inside_only || (0.0..=last as f32).contains(&place) {
                        row[held(place)] += weight;
                        sum += weight;
                    }
                }
                if self.inside_only {
                    row.iter_mut().for_each(|weight| *weight /= sum);
                }
            }
            _ => row[held(self.round(at))] = 1.0,
        }
        row
    }

    fn round(&self, at: f32) -> f32 {
        match self.nearest {
            "floor" => at.floor(),
            "ceil" => at.ceil(),
            "round_prefer_ceil" => (at + 0.5).floor(),
            _ => (at - 0.5).ceil(),
        }
    }

    /// The place in the old picture of a new pixel.
    fn coordinate(&self, axis: &Axis, x: f32) -> f32 {
        let (from, to, scale) = (axis.from as f32, axis.to as f32, axis.scale);
        match self.coordinates {
            "asymmetric" => x / scale,
            "align_corners" if axis.to == 1 => 0.0,
            "align_corners" => x * (from - 1.0) / (to - 1.0),
            "pytorch_half_pixel" if axis.to <= 1 => 0.0,
            "half_pixel_symmetric" => {
                let adjustment = to / (scale * from);
                let centre = from / 2.0;
                centre * (1.0 - adjustment) + (x + 0.5) / scale - 0.5
            }
            "tf_crop_and_resize" => {
                let (start, end) = axis.crop;
                if axis.to > 1 {
                    start * (from - 1.0) + x * (end - start) * (from - 1.0) / (to - 1.0)
                } else {
                    0.5 * (start + end) * (from - 1.0)
                }
            }
            _ => (x + 0.5) / scale - 0.5,
        }
    }

    /// A filter as wide as the old pixels that a new one covers.
    fn smooth(&self, axis: &Axis, at: f32, row: &mut [f32]) {
        let reach = if self.mode == "cubic" { 2.0 } else { 1.0 };
        let shrink = axis.scale.min(1.0);
        let (support, centre) = (reach / shrink, at + 0.5);
        let first = (centre - support + 0.5).floor() as i64;
        let end = (centre + support + 0.5).floor() as i64;
        let last = row.len() as i64 - 1;
        let mut sum = 0.0;
        for place in first..end {
            if self.inside_only && !(0..=last).contains(&place) {
                continue;
            }
            let distance = (place as f32 - centre + 0.5) * shrink;
            let weight = match self.mode {
                "cubic" => cubic(self.cubic, distance),
                _ => (1.0 - distance.abs()).max(0.0),
            };
            row[place.clamp(0, last) as usize] += weight;
            sum += weight;
        }
        row.iter_mut().for_each(|weight| *weight /= sum);
    }
}

/// True for a place outside the picture where the crop asks for the extrapolation value, zero.
fn roi_is_left(coordinates: &str, at: f32, last: usize) -> bool {
    coordinates == "tf_crop_and_resize" && !(0.0..=last as f32).contains(&at)
}

/// Keys' cubic convolution kernel at a distance.
fn cubic(a: f32, distance: f32) -> f32 {
    let x = distance.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}
