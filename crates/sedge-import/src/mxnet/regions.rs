//! Pooling of regions of interest: `[batch index, x1, y1, x2, y2]` each.

use sedge_tensor::DType;

use super::Refusal;
use super::builder::Op;

fn pooled_size(op: &Op<'_, '_>) -> Result<[i64; 2], Refusal> {
    let size = op.attributes().ints("pooled_size")?.unwrap_or_default();
    <[i64; 2]>::try_from(size).map_err(|_| Refusal::new("its pooled_size is not two numbers"))
}

/// ROIPooling: maxima of whole pixels.
pub(super) fn pooling(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let size = pooled_size(op)?;
    let scale = op.attributes().float("spatial_scale")?.unwrap_or(1.0);
    let (x, regions) = (op.input(0)?, op.input(1)?);
    let name = op.name("pooled");
    let node = op.node("MaxRoiPool").input(x).input(regions);
    let value = node
        .attribute("pooled_shape", size.to_vec())
        .attribute("spatial_scale", scale)
        .output(&name);
    op.finish(value)
}

/// ROIAlign: averages of interpolated samples.
pub(super) fn align(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let [height, width] = pooled_size(op)?;
    let scale = op.attributes().float("spatial_scale")?.unwrap_or(1.0);
    let samples = op.attributes().int("sample_ratio")?.unwrap_or(-1).max(0);
    if op.attributes().flag("position_sensitive", false)? {
        return Err(Refusal::new("position_sensitive is not supported"));
    }
    let aligned = op.attributes().flag("aligned", false)?;
    let (x, regions) = (op.input(0)?, op.input(1)?);
    let batch = op.slice(regions, 1, 0, 1);
    let batch = op.reshape(batch, &[-1]);
    let batch = op.cast(batch, DType::I64);
    let boxes = op.slice(regions, 1, 1, 5);
    let coordinates = if aligned { "half_pixel" } else { "output_half_pixel" };
    let name = op.name("aligned");
    let node = op.node("RoiAlign").input(x).input(boxes).input(batch);
    let value = node
        .attribute("output_height", height)
        .attribute("output_width", width)
        .attribute("sampling_ratio", samples)
        .attribute("spatial_scale", scale)
        .attribute("coordinate_transformation_mode", coordinates)
        .output(&name);
    op.finish(value)
}
