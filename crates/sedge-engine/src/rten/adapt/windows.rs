//! Kernels, strides and padding of convolutions and pools, written out.

use sedge_graph::{Attribute, Graph, Node};

use super::fixed;

/// Writes down what a window leaves to be inferred.
pub(super) fn spell_out(graph: &Graph, node: &mut Node) {
    let _ = match node.op.as_str() {
        "Conv" | "ConvInteger" | "ConvTranspose" => spell_out_kernel(graph, node),
        "MaxPool" | "AveragePool" | "LpPool" => spell_out_strides(node),
        _ => return,
    };
    let _ = match (node.op.as_str(), node.string("auto_pad")) {
        ("ConvTranspose", _) => transposed_pads(graph, node),
        (_, Some("SAME_LOWER")) => same(graph, node, false),
        // Its padding is written as an operator of its own.
        ("ConvInteger", Some("SAME_UPPER")) => same(graph, node, true),
        _ => None,
    };
}

fn spell_out_kernel(graph: &Graph, node: &mut Node) -> Option<()> {
    if node.ints("kernel_shape").is_none() {
        let weight = graph.value(node.input(1)?).fixed_shape()?;
        let kernel: Vec<i64> = weight.get(2..)?.iter().map(|&n| n as i64).collect();
        node.attributes.insert("kernel_shape".into(), kernel.into());
    }
    spell_out_strides(node)
}

fn spell_out_strides(node: &mut Node) -> Option<()> {
    let ones = vec![1i64; node.ints("kernel_shape")?.len()];
    for name in ["strides", "dilations"] {
        node.attributes.entry(name.into()).or_insert_with(|| ones.clone().into());
    }
    Some(())
}

/// `auto_pad` of convolutions and pools as explicit pads: the odd pixel behind or in front.
fn same(graph: &Graph, node: &mut Node, upper: bool) -> Option<()> {
    let shape = graph.value(node.input(0)?).shape.clone()?;
    let kernel = node.ints("kernel_shape")?.to_vec();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (axis, &size) in kernel.iter().enumerate() {
        let at = |name: &str| at(node, name, axis, 1).max(1);
        let length = fixed(shape.get(axis + 2)?)?;
        let count = (length + at("strides") - 1) / at("strides");
        let reach = (size - 1) * at("dilations") + 1;
        let total = ((count - 1) * at("strides") + reach - length).max(0);
        let (less, more) = (total / 2, total - total / 2);
        before.push(if upper { less } else { more });
        after.push(if upper { more } else { less });
    }
    set_pads(node, before, after);
    Some(())
}

/// `output_shape` and `SAME_LOWER` of a transposed convolution as explicit pads.
fn transposed_pads(graph: &Graph, node: &mut Node) -> Option<()> {
    let wanted = node.ints("output_shape").map(<[i64]>::to_vec);
    let lower = node.string("auto_pad") == Some("SAME_LOWER");
    if wanted.is_none() && !lower {
        return None;
    }
    let shape = graph.value(node.input(0)?).shape.clone()?;
    let kernel = node.ints("kernel_shape")?.to_vec();
    let upper = node.string("auto_pad") == Some("SAME_UPPER");
    let (mut before, mut after, mut extra) = (Vec::new(), Vec::new(), Vec::new());
    for (axis, &size) in kernel.iter().enumerate() {
        let stride = at(node, "strides", axis, 1);
        let length = fixed(shape.get(axis + 2)?)?;
        let whole = (length - 1) * stride
            + at(node, "output_padding", axis, 0)
            + (size - 1) * at(node, "dilations", axis, 1)
            + 1;
        let wanted = match &wanted {
            // Some exporters write all dimensions, not only the picture's.
            Some(list) => *list.get(axis + list.len().checked_sub(kernel.len())?)?,
            None => length * stride,
        };
        let total = (whole - wanted).max(0);
        let (less, more) = (total / 2, total - total / 2);
        before.push(if upper { less } else { more });
        after.push(if upper { more } else { less });
        extra.push(at(node, "output_padding", axis, 0) + (wanted - whole).max(0));
    }
    set_pads(node, before, after);
    node.attributes.remove("output_shape");
    node.attributes.insert("output_padding".into(), extra.into());
    Some(())
}

fn at(node: &Node, name: &str, axis: usize, default: i64) -> i64 {
    node.ints(name).and_then(|list| list.get(axis)).copied().unwrap_or(default)
}

fn set_pads(node: &mut Node, mut before: Vec<i64>, after: Vec<i64>) {
    before.extend(after);
    node.attributes.remove("auto_pad");
    node.attributes.insert("pads".into(), Attribute::Ints(before));
}

/// Blocks of pixels into channels, by the definition of ONNX's operator.
pub(super) fn space_to_depth(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let dims: [usize; 4] = graph.value(x).fixed_shape()?.try_into().ok()?;
    let [n, c, h, w] = dims.map(|n| n as i64);
    let b = node.int("blocksize").filter(|&b| b > 0)?;
    let split = graph.node("Reshape").input(x).ints(&[n, c, h / b, b, w / b, b]).output("split");
    let perm = vec![0i64, 3, 5, 1, 2, 4];
    let turned = graph.node("Transpose").input(split).attribute("perm", perm).output("turned");
    let shape = [n, c * b * b, h / b, w / b];
    graph.node("Reshape").named(&node.name).input(turned).ints(&shape).output_to(y);
    Some(())
}
