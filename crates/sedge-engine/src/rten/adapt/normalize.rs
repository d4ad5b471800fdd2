//! Normalisations and power pools that rten lacks.

use sedge_graph::{Graph, Node, ValueId};
use sedge_tensor::{Tensor, element_count};

use super::rank;

/// `x / (bias + alpha * mean of the squares in a window of channels) ^ beta` (ONNX `LRN`).
pub(super) fn local_response(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let dims = graph.value(x).fixed_shape()?;
    let [batch, channels, rest @ ..] = dims.as_slice() else { return None };
    let size = node.int("size")?;
    let (before, after) = (size.checked_sub(1)? / 2, size / 2);
    let area = i64::try_from(element_count(rest)?).ok()?;
    let squares = graph.node("Mul").input(x).input(x).output("squares");
    let rows = [*batch as i64, 1, *channels as i64, area];
    let rows = graph.node("Reshape").input(squares).ints(&rows).output("rows");
    // Padding counts, so that the mean is over `size` everywhere.
    let mean = graph
        .node("AveragePool")
        .input(rows)
        .attribute("kernel_shape", vec![size, 1])
        .attribute("pads", vec![before, 0, after, 0])
        .attribute("strides", vec![1i64, 1])
        .attribute("count_include_pad", 1)
        .output("mean");
    let shape: Vec<i64> = dims.iter().map(|&n| n as i64).collect();
    let mean = graph.node("Reshape").input(mean).ints(&shape).output("mean");
    let float = |name, default| node.float(name).unwrap_or(default);
    let scaled = graph.node("Mul").input(mean).scalar(float("alpha", 1e-4)).output("scaled");
    let based = graph.node("Add").input(scaled).scalar(float("bias", 1.0)).output("based");
    let power = graph.node("Pow").input(based).scalar(float("beta", 0.75)).output("power");
    graph.node("Div").named(&node.name).input(x).input(power).output_to(y);
    Some(())
}

/// Instances of whole groups, then scale and bias of each channel (ONNX `GroupNormalization`-21).
pub(super) fn groups(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let (scale, bias) = (node.input(1)?, node.input(2)?);
    let picture = rank(graph, x)?.checked_sub(2)?;
    let groups = usize::try_from(node.int("num_groups")?).ok().filter(|&n| n <= 1 << 20)?;
    let shape = graph.node("Shape").input(x).output("shape");
    let grouped = graph.node("Reshape").input(x).ints(&[0, groups as i64, -1]).output("grouped");
    let normal = graph
        .node("InstanceNormalization")
        .input(grouped)
        .constant(Tensor::vector(vec![1f32; groups]))
        .constant(Tensor::vector(vec![0f32; groups]))
        .attribute("epsilon", node.float("epsilon").unwrap_or(1e-5))
        .output("normal");
    let normal = graph.node("Reshape").input(normal).input(shape).output("normal");
    let mut column = vec![-1i64];
    column.extend(vec![1; picture]);
    let mut per_channel =
        |value: ValueId| graph.node("Reshape").input(value).ints(&column).output("per_channel");
    let (scale, bias) = (per_channel(scale), per_channel(bias));
    let scaled = graph.node("Mul").input(normal).input(scale).output("scaled");
    graph.node("Add").named(&node.name).input(scaled).input(bias).output_to(y);
    Some(())
}

/// `(x - mean) / (deviation + 1e-9)` over some axes, as the specification's function body has it.
pub(super) fn mean_variance(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let axes = node.ints("axes").unwrap_or(&[0, 2, 3]).to_vec();
    let mut mean = |x: ValueId| graph.node("ReduceMean").input(x).ints(&axes).output("mean");
    let centre = mean(x);
    let centred = graph.node("Sub").input(x).input(centre).output("centred");
    let squares = graph.node("Mul").input(centred).input(centred).output("squares");
    let variance = graph.node("ReduceMean").input(squares).ints(&axes).output("variance");
    let deviation = graph.node("Sqrt").input(variance).output("deviation");
    let divisor = graph.node("Add").input(deviation).scalar(1e-9).output("divisor");
    graph.node("Div").named(&node.name).input(centred).input(divisor).output_to(y);
    Some(())
}

/// `(sum of |x|^p over a window)^(1/p)`: the mean over the whole window times its size.
pub(super) fn power_pool(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let p = node.int("p").unwrap_or(2) as f32;
    let kernel = node.ints("kernel_shape")?;
    let size = kernel.iter().try_fold(1i64, |size, &side| size.checked_mul(side))?;
    let dilated = node.ints("dilations").is_some_and(|list| list.iter().any(|&step| step != 1));
    // A window rounded up would count pixels past the padding.
    if dilated || node.int("ceil_mode") == Some(1) {
        return None;
    }
    let powers = power(graph, x, p);
    let mut pool = graph.node("AveragePool").input(powers).attribute("count_include_pad", 1);
    for (name, value) in node.attributes.iter().filter(|(name, _)| *name != "p") {
        pool = pool.attribute(name, value.clone());
    }
    let mean = pool.output("mean");
    let sum = graph.node("Mul").input(mean).scalar(size as f32).output("sum");
    graph.node("Pow").named(&node.name).input(sum).scalar(1.0 / p).output_to(y);
    Some(())
}

/// The same over whole pictures.
pub(super) fn global_power_pool(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let p = node.int("p").unwrap_or(2) as f32;
    let axes: Vec<i64> = (2..rank(graph, x)? as i64).collect();
    let powers = power(graph, x, p);
    let sum = graph.node("ReduceSum").input(powers).ints(&axes).output("sum");
    graph.node("Pow").named(&node.name).input(sum).scalar(1.0 / p).output_to(y);
    Some(())
}

fn power(graph: &mut Graph, x: ValueId, p: f32) -> ValueId {
    let size = graph.node("Abs").input(x).output("size");
    graph.node("Pow").input(size).scalar(p).output("powers")
}
