//! Operators that scale pictures.

use sedge_graph::{Dim, ValueId};
use sedge_tensor::Tensor;

use super::Refusal;
use super::builder::Op;
use super::join::joined;
use super::shape::{Size, sizes};

/// Nearest neighbours at whole multiples.
fn nearest(op: &mut Op<'_, '_>, x: ValueId, scale: f32) -> ValueId {
    let name = op.name("resize");
    let scales = Tensor::vector(vec![1.0, 1.0, scale, scale]);
    let node = op.node("Resize").input(x).optional(None).constant(scales);
    let node = node.attribute("mode", "nearest").attribute("nearest_mode", "floor");
    node.attribute("coordinate_transformation_mode", "asymmetric").output(&name)
}

/// UpSampling: nearest neighbours of one or more operands, or a transposed convolution with a
/// weight (`bilinear`).
pub(super) fn up_sampling(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let scale = op.attributes().int("scale")?.filter(|scale| (1..=64).contains(scale));
    let scale = scale.ok_or_else(|| Refusal::new("its scale is not stated"))?;
    let x = op.input(0)?;
    if op.attributes().text("sample_type") == Some("bilinear") {
        return by_weight(op, x, scale);
    }
    let mut parts = vec![nearest(op, x, scale as f32)];
    let height = |op: &mut Op<'_, '_>, value| {
        op.shape(value).and_then(|shape| shape.get(2).and_then(Dim::fixed))
    };
    for index in 1..op.count() {
        // Every operand comes to the size of the first result.
        let other = op.input(index)?;
        let (Some(first), Some(own)) = (height(op, x), height(op, other)) else {
            return Err(Refusal::new("the sizes of its operands are not known"));
        };
        if own == 0 {
            return Err(Refusal::new("an operand is empty"));
        }
        parts.push(nearest(op, other, (first as f32 * scale as f32) / own as f32));
    }
    let value = match (parts.as_slice(), op.attributes().text("multi_input_mode")) {
        (&[one], _) => one,
        (_, Some("sum")) => op.apply("Sum", &parts),
        _ => joined(op, &parts, 1),
    };
    op.finish(value)
}

/// The kernel, stride and padding that `UpSampling` gives its deconvolution
/// (`src/operator/nn/upsampling-inl.h`).
fn by_weight(op: &mut Op<'_, '_>, x: ValueId, scale: i64) -> Result<(), Refusal> {
    let weight = op.input(1)?;
    let channels = op.attributes().int("num_filter")?.filter(|&n| n > 0);
    let channels = channels.ok_or_else(|| Refusal::new("its num_filter is not stated"))?;
    let (kernel, pad) = (2 * scale - scale % 2, scale / 2);
    let name = op.name("deconv");
    let node = op.node("ConvTranspose").input(x).input(weight);
    let node = node.attribute("kernel_shape", vec![kernel; 2]).attribute("strides", vec![scale; 2]);
    let value = node.attribute("pads", vec![pad; 4]).attribute("group", channels).output(&name);
    op.finish(value)
}

/// BilinearResize2D: to a size, by a factor, or to the size of the second operand.
pub(super) fn bilinear(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let attributes = op.attributes();
    let mode = attributes.word("mode", &["size", "like"])?;
    let aligned = attributes.flag("align_corners", true)?;
    let factors = [attributes.float("scale_height")?, attributes.float("scale_width")?];
    let size = [attributes.int("height")?, attributes.int("width")?];
    let x = op.input(0)?;
    let coordinates = if aligned { "align_corners" } else { "half_pixel" };
    let name = op.name("resize");
    let value = match (factors, size) {
        _ if mode == "like" => {
            let like = op.input(1)?;
            let shape =
                [Size::Of(x, 0, 1), Size::Of(x, 1, 2), Size::Of(like, 2, 3), Size::Of(like, 3, 4)];
            let shape = sizes(op, &shape);
            op.node("Resize").input(x).optional(None).optional(None).input(shape)
        }
        ([Some(down), Some(across)], _) => {
            let scales = Tensor::vector(vec![1.0, 1.0, down, across]);
            op.node("Resize").input(x).optional(None).constant(scales)
        }
        (_, [Some(height), Some(width)]) => {
            let shape =
                [Size::Of(x, 0, 1), Size::Of(x, 1, 2), Size::Fixed(height), Size::Fixed(width)];
            let shape = sizes(op, &shape);
            op.node("Resize").input(x).optional(None).optional(None).input(shape)
        }
        _ => return Err(Refusal::new("neither its size nor its scale is stated")),
    };
    let value = value
        .attribute("mode", "linear")
        .attribute("coordinate_transformation_mode", coordinates)
        .output(&name);
    op.finish(value)
}
