//! Pooling, channels first.

use sedge_graph::{Dim, ValueId};
use sedge_tensor::Tensor;

use super::Refusal;
use super::builder::Op;

/// Windows along the spatial axes.
struct Windows {
    kernel: Vec<i64>,
    strides: Vec<i64>,
    pads: Vec<i64>,
    /// How far windows reach beyond picture and padding, at the end of each axis: `full` rounds
    /// their number up. Unknown for pictures of unknown size.
    beyond: Option<Vec<i64>>,
    full: bool,
}

/// Pooling: maximum, average, sum or norm of windows, or of the whole picture.
pub(super) fn pooling(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let attributes = op.attributes();
    let kind = attributes.word("pool_type", &["max", "avg", "sum", "lp"])?;
    if attributes.text("layout").is_some_and(|layout| !layout.starts_with("NC")) {
        return Err(Refusal::new(
            "its layout has the channels last. Hint: export with layout NCHW",
        ));
    }
    let x = op.input(0)?;
    if attributes.flag("global_pool", false)? {
        return whole(op, kind, x);
    }
    let windows = windows(op, x)?;
    let value = match kind {
        "max" => pooled(op, "MaxPool", x, &windows, &[]),
        "lp" => {
            let power = attributes.int("p_value")?.unwrap_or(2);
            pooled(op, "LpPool", x, &windows, &[("p", power)])
        }
        "avg" if attributes.flag("count_include_pad", true)? => {
            let average = pooled(op, "AveragePool", x, &windows, &[("count_include_pad", 1)]);
            match uncounted(&windows, op.sizes(x)) {
                Some(factors) => {
                    let factors = op.constant(factors);
                    op.apply("Mul", &[average, factors])
                }
                None => average,
            }
        }
        "avg" => pooled(op, "AveragePool", x, &windows, &[]),
        _ => {
            let average = pooled(op, "AveragePool", x, &windows, &[("count_include_pad", 1)]);
            let area = windows.kernel.iter().product::<i64>() as f32;
            let area = op.scalar_like(x, area);
            op.apply("Mul", &[average, area])
        }
    };
    op.finish(value)
}

fn whole(op: &mut Op<'_, '_>, kind: &str, x: ValueId) -> Result<(), Refusal> {
    let value = match kind {
        "max" => op.apply("GlobalMaxPool", &[x]),
        "avg" => op.apply("GlobalAveragePool", &[x]),
        "lp" => {
            let power = op.attributes().int("p_value")?.unwrap_or(2);
            op.with("GlobalLpPool", x, "p", power)
        }
        _ => {
            let axes: Vec<i64> = (2..op.rank(x)? as i64).collect();
            let name = op.name("sum");
            op.node("ReduceSum").input(x).ints(&axes).output(&name)
        }
    };
    op.finish(value)
}

fn windows(op: &mut Op<'_, '_>, x: ValueId) -> Result<Windows, Refusal> {
    let attributes = op.attributes();
    let kernel = attributes.ints("kernel")?.filter(|kernel| !kernel.is_empty());
    let kernel = kernel.ok_or_else(|| Refusal::new("its kernel is not stated"))?;
    let list = |name: &str, default: i64| -> Result<Vec<i64>, Refusal> {
        let list = attributes.ints(name)?.filter(|list| !list.is_empty());
        Ok(list.unwrap_or_else(|| vec![default; kernel.len()]))
    };
    let (strides, pads) = (list("stride", 1)?, list("pad", 0)?);
    let sound = strides.len() == kernel.len()
        && pads.len() == kernel.len()
        && kernel.iter().chain(&strides).all(|&n| (1..1 << 20).contains(&n))
        && pads.iter().all(|n| (0..1 << 20).contains(n));
    if !sound {
        return Err(Refusal::new("its kernel, stride and pad do not belong together"));
    }
    if attributes.text("pooling_convention") == Some("same") {
        return Err(Refusal::new("its pooling_convention 'same' is not supported"));
    }
    let full = attributes.text("pooling_convention") == Some("full");
    let shape = op.shape(x);
    let beyond = |axis: usize| {
        let size = shape.as_ref()?.get(axis + 2).and_then(Dim::fixed)? as i64;
        let room = size + 2 * pads[axis] - kernel[axis];
        let windows = (room + strides[axis] - 1).div_euclid(strides[axis]) + 1;
        Some(((windows - 1) * strides[axis] - room).max(0))
    };
    let beyond =
        if full { (0..kernel.len()).map(beyond).collect() } else { Some(vec![0; kernel.len()]) };
    Ok(Windows { kernel, strides, pads, beyond, full })
}

fn pooled(
    op: &mut Op<'_, '_>,
    onnx: &str,
    x: ValueId,
    windows: &Windows,
    settings: &[(&str, i64)],
) -> ValueId {
    let name = op.name(&onnx.to_lowercase());
    let mut node = op.node(onnx).input(x);
    let mut ends = windows.pads.clone();
    match &windows.beyond {
        // ONNX leaves out windows that begin beyond the picture, so they are spelled out.
        Some(beyond) => ends.iter_mut().zip(beyond).for_each(|(end, beyond)| *end += beyond),
        None => node = node.attribute("ceil_mode", i64::from(windows.full)),
    }
    for &(key, value) in settings {
        node = node.attribute(key, value);
    }
    node.attribute("kernel_shape", windows.kernel.clone())
        .attribute("strides", windows.strides.clone())
        .attribute("pads", [windows.pads.as_slice(), &ends].concat())
        .output(&name)
}

/// What averages over whole windows must be multiplied by where a window's end lies beyond the
/// padding, which MXNet does not count; `None` where there are no such windows.
fn uncounted(windows: &Windows, sizes: Option<Vec<usize>>) -> Option<Tensor> {
    let beyond = windows.beyond.as_ref().filter(|beyond| beyond.iter().any(|&n| n > 0))?;
    let sizes = sizes?;
    let mut factors = vec![1f32];
    let mut shape = vec![1, 1];
    for (axis, beyond) in beyond.iter().enumerate() {
        let (kernel, stride, pad) =
            (windows.kernel[axis], windows.strides[axis], windows.pads[axis]);
        let end = *sizes.get(axis + 2)? as i64 + 2 * pad;
        let count = (end + beyond - kernel) / stride + 1;
        let along: Vec<f32> = (0..count)
            .map(|window| kernel as f32 / (end - window * stride).clamp(1, kernel) as f32)
            .collect();
        factors = factors.iter().flat_map(|f| along.iter().map(move |a| f * a)).collect();
        shape.push(along.len());
    }
    Tensor::new(shape, factors).ok()
}

/// AdaptiveAvgPooling2D: as many windows as the attribute output_size says, of about equal size.
pub(super) fn adaptive(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let size = op.attributes().ints("output_size")?.filter(|size| !size.is_empty());
    let size = size.unwrap_or_else(|| vec![1]);
    let (rows, columns) = (size[0], *size.last().unwrap_or(&size[0]));
    let x = op.input(0)?;
    if (rows, columns) == (1, 1) {
        let value = op.apply("GlobalAveragePool", &[x]);
        return op.finish(value);
    }
    let shape = op.ranked(x)?;
    let (Some(height), Some(width)) =
        (shape.get(2).and_then(Dim::fixed), shape.get(3).and_then(Dim::fixed))
    else {
        return Err(Refusal::new(
            "it needs a picture of known size. Hint: put a model-shapes.json with the input's shape beside the graph",
        ));
    };
    // Averages along an axis are a product with a matrix.
    let down = averages(rows, height).ok_or_else(|| Refusal::new("its output_size is wrong"))?;
    let across =
        averages(columns, width).ok_or_else(|| Refusal::new("its output_size is wrong"))?;
    let (down, across) = (op.constant(down), op.constant(across));
    let across = op.transpose(across, &[1, 0]);
    let narrowed = op.apply("MatMul", &[x, across]);
    let value = op.apply("MatMul", &[down, narrowed]);
    op.finish(value)
}

/// A row for each window of `windows` over `size` elements.
fn averages(windows: i64, size: usize) -> Option<Tensor> {
    let windows = usize::try_from(windows).ok().filter(|n| (1..=4096).contains(n))?;
    if !(1..=65536).contains(&size) {
        return None;
    }
    let mut matrix = vec![0f32; windows * size];
    for (window, row) in matrix.chunks_exact_mut(size).enumerate() {
        let (start, end) = (window * size / windows, ((window + 1) * size).div_ceil(windows));
        row[start..end].fill(1.0 / (end - start) as f32);
    }
    Tensor::new([windows, size], matrix).ok()
}
