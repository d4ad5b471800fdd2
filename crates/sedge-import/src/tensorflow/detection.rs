//! What detectors end in: suppression of overlapping boxes, and cutting boxes out of pictures.

use sedge_graph::{Dim, ValueId};
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::Op;

/// NonMaxSuppression of one class (V1 to V5): boxes, scores, and then as many of the most boxes,
/// the overlap, the least score and sigma as the version has.
pub(super) fn suppress(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (boxes, scores) = (op.operand(0)?, op.operand(1)?);
    let most = op.shape_operand(2)?;
    let version = op.kind().strip_prefix("NonMaxSuppressionV").unwrap_or("1");
    if version == "5" && op.number(5, "sigma")? != 0.0 {
        return Err(Refusal::new("it lowers scores instead of dropping boxes (sigma is not 0)"));
    }
    let overlap = match version {
        "1" => op.add_constant(Tensor::vector(vec![op.float("iou_threshold").unwrap_or(0.5)])),
        _ => vector(op, 3)?,
    };
    let least = match version {
        "1" | "2" => None,
        _ => Some(vector(op, 4)?),
    };
    let boxes = op.apply_ints("Unsqueeze", boxes, &[0]);
    let lists = op.apply_ints("Unsqueeze", scores, &[0, 1]);
    let name = op.name("selected");
    let node = op.start("NonMaxSuppression").input(boxes).input(lists).input(most);
    let rows = node.input(overlap).optional(least).output(&name);
    // Rows are picture, class and box.
    let places = column(op, rows, 2);
    let count = op.apply("Shape", &[places]);
    let picked = (version == "5").then(|| op.apply("Gather", &[scores, places]));
    let places = op.cast(places, DType::I32);
    let padded = op.flag("pad_to_max_output_size");
    let places = if padded { fill_up(op, places, most, count) } else { places };
    op.finish_at(0, places);
    if let Some(picked) = picked {
        let picked = if padded { fill_up(op, picked, most, count) } else { picked };
        op.finish_at(1, picked);
    }
    if matches!(version, "4" | "5") {
        let count = op.cast(count, DType::I32);
        let count = op.apply_ints("Squeeze", count, &[0]);
        op.finish_at(if version == "4" { 1 } else { 2 }, count);
    }
    Ok(())
}

/// A scalar operand as the vector of one element that ONNX wants.
fn vector(op: &mut Op<'_, '_>, index: usize) -> Result<ValueId, Refusal> {
    if let Ok(number) = op.number(index, "a threshold") {
        return Ok(op.add_constant(Tensor::vector(vec![number])));
    }
    let value = op.operand(index)?;
    Ok(op.apply_ints("Reshape", value, &[1]))
}

fn column(op: &mut Op<'_, '_>, rows: ValueId, index: i64) -> ValueId {
    let name = op.name("column");
    let node = op.start("Slice").input(rows).ints(&[index]).ints(&[index + 1]);
    let column = node.ints(&[1]).output(&name);
    op.apply_ints("Squeeze", column, &[1])
}

/// `list` of `count` elements with zeros behind it, so that there are `most`.
fn fill_up(op: &mut Op<'_, '_>, list: ValueId, most: ValueId, count: ValueId) -> ValueId {
    let missing = op.apply("Sub", &[most, count]);
    let none = op.add_ints(&[0]);
    let pads = super::shape::join(op, &[none, missing], 0);
    op.apply("Pad", &[list, pads])
}

/// CombinedNonMaxSuppression: boxes `[pictures, boxes, 1 or classes, 4]`, scores `[pictures,
/// boxes, classes]`, the most boxes of a class and altogether, the overlap and the least score;
/// attributes pad_per_class, clip_boxes.
pub(super) fn combined(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (boxes, scores) = (op.operand(0)?, op.operand(1)?);
    if op.dim(boxes, 2) != Some(1) {
        return Err(Refusal::new("each class has boxes of its own, which is not supported"));
    }
    let (Some(places), Some(classes)) = (op.dim(scores, 1), op.dim(scores, 2)) else {
        return Err(Refusal::new("the number of its boxes and classes is not known"));
    };
    let (per_class, total) = (op.single(2, "the most boxes")?, op.single(3, "the most boxes")?);
    let (overlap, least) = (vector(op, 4)?, vector(op, 5)?);
    let (per_class, total) = (per_class.clamp(0, 1 << 20), total.clamp(0, 1 << 20));
    let rows = match op.flag("pad_per_class") {
        true => total.min(per_class.saturating_mul(classes as i64)),
        false => total,
    };
    let all = places.saturating_mul(classes).min(1 << 30) as i64;
    let boxes = op.apply_ints("Squeeze", boxes, &[2]);
    let by_class = op.transpose(scores, &[0, 2, 1]);
    let most = op.add_ints(&[per_class]);
    let selected = op.apply("NonMaxSuppression", &[boxes, by_class, most, overlap, least]);
    // Scores of what is left, where they were; everything else is below them all.
    let found = op.apply("GatherND", &[by_class, selected]);
    let shape = op.apply("Shape", &[by_class]);
    let lowest = Tensor::vector(vec![f32::MIN]);
    let name = op.name("none");
    let none = op.start("ConstantOfShape").input(shape).attribute("value", lowest).output(&name);
    let left = op.apply("ScatterND", &[none, selected, found]);
    let left = op.apply_ints("Reshape", left, &[0, -1]);
    let best = op.fresh(2);
    let node = op.start("TopK").input(left).ints(&[rows.min(all)]).attribute("axis", -1i64);
    node.outputs_to(best.iter().copied().map(Some).collect());
    let floor = op.add_constant(Tensor::scalar(f32::MIN));
    let real = op.apply("Greater", &[best[0], floor]);
    let zero = op.add_constant(Tensor::scalar(0f32));
    let scores = op.apply("Where", &[real, best[0], zero]);
    let stride = op.add_constant(Tensor::scalar(places as i64));
    let class = op.apply("Div", &[best[1], stride]);
    let place = op.apply("Mod", &[best[1], stride]);
    let class = op.cast(class, DType::F32);
    let class = op.apply("Where", &[real, class, zero]);
    let place = op.apply_ints("Unsqueeze", place, &[-1]);
    let name = op.name("boxes");
    let node = op.start("GatherND").input(boxes).input(place);
    let mut corners = node.attribute("batch_dims", 1i64).output(&name);
    // Absent in files, the attribute is true.
    if !matches!(op.attribute("clip_boxes"), Some(super::proto::Content::Bool(false))) {
        corners = super::elementwise::clip(op, corners, 0.0, 1.0);
    }
    let wide = op.apply_ints("Unsqueeze", real, &[-1]);
    let corners = op.apply("Where", &[wide, corners, zero]);
    let counted = op.cast(real, DType::I32);
    let name = op.name("count");
    let node = op.start("ReduceSum").input(counted).ints(&[1]);
    let count = node.attribute("keepdims", 0i64).output(&name);
    let missing = rows - rows.min(all);
    for (index, value) in [corners, scores, class].into_iter().enumerate() {
        let mut pads = vec![0, 0, 0, missing];
        if index == 0 {
            pads = vec![0, 0, 0, 0, missing, 0];
        }
        let value = if missing > 0 { op.apply_ints("Pad", value, &pads) } else { value };
        op.finish_at(index, value);
    }
    op.finish_at(3, count);
    Ok(())
}

/// CropAndResize: pictures, boxes as parts of them, the picture of each box, and the size of what
/// comes out; attributes method, extrapolation_value.
///
/// All samples of all boxes are taken from one tall picture, in which the pictures of the batch
/// stand below each other.
pub(super) fn crop_and_resize(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    if op.text("method") != b"bilinear" && !op.text("method").is_empty() {
        return Err(Refusal::new("it samples other than linearly"));
    }
    let outside = op.float("extrapolation_value").unwrap_or(0.0);
    let &[rows, columns] = op.ints(3, "the size of the result")?.as_slice() else {
        return Err(Refusal::new("the size of its result makes no sense"));
    };
    if [rows, columns].iter().any(|n| !(1..=1 << 12).contains(n)) {
        return Err(Refusal::new("the size of its result makes no sense"));
    }
    let (picture, boxes) = (op.operand(0)?, op.operand(1)?);
    let picture = op.cast(picture, DType::F32);
    let whole = op.apply("Shape", &[picture]);
    let whole = op.cast(whole, DType::F32);
    let y = samples(op, boxes, whole, 1, rows);
    let x = samples(op, boxes, whole, 2, columns);
    let inside_y = within(op, y, whole, 1);
    let inside_x = within(op, x, whole, 2);
    // Places in the tall picture, whose first and last pixel are -1 and 1.
    let index = op.operand(2)?;
    let index = op.cast(index, DType::F32);
    let index = op.apply_ints("Unsqueeze", index, &[1]);
    let height = size(op, whole, 1);
    let start = op.apply("Mul", &[index, height]);
    let tall_y = op.apply("Add", &[y, start]);
    let batch = size(op, whole, 0);
    let tall = op.apply("Mul", &[batch, height]);
    let width = size(op, whole, 2);
    let (grid_y, grid_x) = (place(op, tall_y, tall), place(op, x, width));
    let grid_y = op.apply_ints("Unsqueeze", grid_y, &[2, 3]);
    let grid_x = op.apply_ints("Unsqueeze", grid_x, &[1, 3]);
    let shape = op.apply("Shape", &[boxes]);
    let count = op.start("Slice").input(shape).ints(&[0]).ints(&[1]).output("count");
    let inner = op.add_ints(&[rows, columns, 1]);
    let spread = super::shape::join(op, &[count, inner], 0);
    let grid_y = op.apply("Expand", &[grid_y, spread]);
    let grid_x = op.apply("Expand", &[grid_x, spread]);
    let grid = super::shape::join(op, &[grid_x, grid_y], -1);
    let grid = op.apply_ints("Reshape", grid, &[1, -1, columns, 2]);
    let name = op.name("tall");
    let first = op.transpose(picture, &[3, 0, 1, 2]);
    let shape = op.apply("Shape", &[first]);
    let part = |op: &mut Op<'_, '_>, axis: i64| {
        op.start("Slice").input(shape).ints(&[axis]).ints(&[axis + 1]).output("part")
    };
    let (channels, wide) = (part(op, 0), part(op, 3));
    let (one, rest) = (op.add_ints(&[1]), op.add_ints(&[-1]));
    let shape = super::shape::join(op, &[one, channels, rest, wide], 0);
    let tall = op.start("Reshape").input(first).input(shape).output(&name);
    let name = op.name("gridsample");
    let node = op.start("GridSample").input(tall).input(grid).attribute("mode", "linear");
    let taken = node.attribute("align_corners", 1i64).output(&name);
    let taken = op.transpose(taken, &[0, 2, 3, 1]);
    let inner = op.add_ints(&[rows, columns, -1]);
    let shape = super::shape::join(op, &[count, inner], 0);
    let taken = op.apply("Reshape", &[taken, shape]);
    let inside_y = op.apply_ints("Unsqueeze", inside_y, &[2, 3]);
    let inside_x = op.apply_ints("Unsqueeze", inside_x, &[1, 3]);
    let inside = op.apply("And", &[inside_y, inside_x]);
    let outside = op.add_constant(Tensor::scalar(outside));
    let value = op.apply("Where", &[inside, taken, outside]);
    let dim = |op: &Op<'_, '_>, value, axis: usize| {
        op.dims(value).and_then(|dims| dims.get(axis)).cloned().unwrap_or(Dim::Unknown)
    };
    let side = |n: i64| Dim::Fixed(n as usize);
    let shape = vec![dim(op, boxes, 0), side(rows), side(columns), dim(op, picture, 3)];
    op.context.graph.value_mut(value).shape = Some(shape);
    op.finish(value)
}

/// One size of a shape in floats, as a vector of one.
fn size(op: &mut Op<'_, '_>, shape: ValueId, axis: i64) -> ValueId {
    op.start("Slice").input(shape).ints(&[axis]).ints(&[axis + 1]).output("size")
}

/// Where the samples of each box lie along `axis` of the picture: `[boxes, count]`.
fn samples(op: &mut Op<'_, '_>, boxes: ValueId, shape: ValueId, axis: i64, count: i64) -> ValueId {
    let edge = |op: &mut Op<'_, '_>, column: i64| {
        op.start("Slice").input(boxes).ints(&[column]).ints(&[column + 1]).ints(&[1]).output("edge")
    };
    let (low, high) = (edge(op, axis - 1), edge(op, axis + 1));
    let one = op.add_constant(Tensor::scalar(1f32));
    let size = size(op, shape, axis);
    let last = op.apply("Sub", &[size, one]);
    let scaled = |op: &mut Op<'_, '_>, value| op.apply("Mul", &[value, last]);
    if count == 1 {
        let sum = op.apply("Add", &[low, high]);
        let half = op.add_constant(Tensor::scalar(0.5f32));
        let centre = op.apply("Mul", &[sum, half]);
        return scaled(op, centre);
    }
    let span = op.apply("Sub", &[high, low]);
    let span = scaled(op, span);
    let steps = op.add_constant(Tensor::scalar((count - 1) as f32));
    let step = op.apply("Div", &[span, steps]);
    let numbers: Vec<f32> = (0..count).map(|n| n as f32).collect();
    let numbers = op.add_constant(Tensor::vector(numbers));
    let offsets = op.apply("Mul", &[step, numbers]);
    let start = scaled(op, low);
    op.apply("Add", &[start, offsets])
}

/// True for samples that lie in the picture.
fn within(op: &mut Op<'_, '_>, at: ValueId, shape: ValueId, axis: i64) -> ValueId {
    let (zero, one) =
        (op.add_constant(Tensor::scalar(0f32)), op.add_constant(Tensor::scalar(1f32)));
    let size = size(op, shape, axis);
    let last = op.apply("Sub", &[size, one]);
    let from = op.apply("GreaterOrEqual", &[at, zero]);
    let to = op.apply("LessOrEqual", &[at, last]);
    op.apply("And", &[from, to])
}

/// Pixels as parts of `size`: -1 is the first, 1 the last.
fn place(op: &mut Op<'_, '_>, at: ValueId, size: ValueId) -> ValueId {
    let (one, two) = (op.add_constant(Tensor::scalar(1f32)), op.add_constant(Tensor::scalar(2f32)));
    let last = op.apply("Sub", &[size, one]);
    let last = op.apply("Max", &[last, one]);
    let double = op.apply("Mul", &[at, two]);
    let part = op.apply("Div", &[double, last]);
    op.apply("Sub", &[part, one])
}
