//! Rewrites nodes of older operator sets into the pinned one.
//!
//! Source: the per-operator change log of the ONNX specification ("Operators.md", "Changelog.md").
//! Operators whose newer versions only accept more (types, shapes, optional attributes) pass as
//! they are.

use sedge_tensor::Tensor;

use super::ReadError;
use crate::{Attribute, Graph, Node};

/// Rewrites every node of `graph`, written for `opset`, and of the bodies inside it.
pub(super) fn upgrade(graph: &mut Graph, opset: i64) -> Result<(), ReadError> {
    for mut node in std::mem::take(&mut graph.nodes) {
        for attribute in node.attributes.values_mut() {
            if let Attribute::Graph(body) = attribute {
                upgrade(body, opset)?;
            }
        }
        if node.domain.is_empty() {
            upgrade_node(graph, node, opset)?;
        } else {
            graph.nodes.push(node);
        }
    }
    Ok(())
}

fn upgrade_node(graph: &mut Graph, mut node: Node, opset: i64) -> Result<(), ReadError> {
    match node.op.as_str() {
        "Softmax" | "LogSoftmax" | "Hardmax" if opset < 13 => return flattening(graph, node),
        "Squeeze" | "Unsqueeze" | "ReduceSum" if opset < 13 => {
            ints_to_input(graph, &mut node, "axes", 1);
        }
        "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
        | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare"
            if opset < 18 =>
        {
            ints_to_input(graph, &mut node, "axes", 1);
        }
        "Split" => {
            ints_to_input(graph, &mut node, "split", 1);
            if opset < 18 && node.input(1).is_none() {
                let count = node.outputs.len() as i64;
                node.attributes.insert("num_outputs".into(), Attribute::Int(count));
            }
        }
        "Clip" if opset < 11 => {
            for (name, index) in [("min", 1), ("max", 2)] {
                if let Some(Attribute::Float(value)) = node.attributes.remove(name) {
                    set_input(graph, &mut node, index, Tensor::scalar(value));
                }
            }
        }
        "Pad" if opset < 11 => {
            ints_to_input(graph, &mut node, "pads", 1);
            let value = match node.attributes.remove("value") {
                Some(Attribute::Float(value)) => value,
                _ => 0.0,
            };
            set_input(graph, &mut node, 2, Tensor::scalar(value));
        }
        "Slice" if opset < 10 => {
            for (name, index) in [("starts", 1), ("ends", 2), ("axes", 3)] {
                ints_to_input(graph, &mut node, name, index);
            }
        }
        "TopK" if opset < 10 => {
            if let Some(Attribute::Int(k)) = node.attributes.remove("k") {
                set_input(graph, &mut node, 1, Tensor::vector(vec![k]));
            }
        }
        "Dropout" => {
            node.op = "Identity".into();
            node.inputs.truncate(1);
            node.outputs.truncate(1);
            node.attributes.clear();
        }
        "Upsample" => {
            if let Some(Attribute::Floats(scales)) = node.attributes.remove("scales") {
                set_input(graph, &mut node, 1, Tensor::vector(scales));
            }
            to_resize(&mut node);
        }
        "Resize" if opset < 11 => to_resize(&mut node),
        "BatchNormalization" => {
            node.attributes.remove("spatial");
            node.outputs.truncate(1);
        }
        "RoiAlign" if opset < 16 => {
            let mode = "coordinate_transformation_mode".to_owned();
            node.attributes.entry(mode).or_insert_with(|| "output_half_pixel".into());
        }
        "GridSample" if opset < 20 => {
            let mode = match node.string("mode") {
                Some("bicubic") => "cubic",
                Some("nearest") => "nearest",
                _ => "linear",
            };
            node.attributes.insert("mode".into(), mode.into());
        }
        "Scatter" => node.op = "ScatterElements".into(),
        "Scan" if opset < 9 => return Err(refuse(&node, "Scan before operator set 9")),
        "GroupNormalization" if opset < 21 => per_channel_group_norm(graph, &mut node)?,
        _ => {}
    }
    graph.nodes.push(node);
    Ok(())
}

fn refuse(node: &Node, what: &str) -> ReadError {
    ReadError::Node {
        node: node.name.clone(),
        op: node.op.clone(),
        problem: format!("{what} is not supported"),
    }
}

fn set_input(graph: &mut Graph, node: &mut Node, index: usize, tensor: Tensor) {
    if node.inputs.len() <= index {
        node.inputs.resize(index + 1, None);
    }
    node.inputs[index] =
        Some(graph.add_constant(format!("{}_operand", node.op.to_lowercase()), tensor));
}

fn ints_to_input(graph: &mut Graph, node: &mut Node, attribute: &str, index: usize) {
    if let Some(Attribute::Ints(values)) = node.attributes.remove(attribute) {
        set_input(graph, node, index, Tensor::vector(values));
    }
}

/// `Upsample` and the first `Resize` map pixel `x` to `floor(x / scale)` and have no region.
fn to_resize(node: &mut Node) {
    node.op = "Resize".into();
    node.inputs.insert(1, None);
    let mode = node.string("mode").unwrap_or("nearest").to_owned();
    let mode = if mode == "bilinear" { "linear".into() } else { mode };
    node.attributes.insert("mode".into(), Attribute::String(mode));
    node.attributes.insert("coordinate_transformation_mode".into(), "asymmetric".into());
    node.attributes.insert("nearest_mode".into(), "floor".into());
}

/// Before operator set 13, softmax worked on the matrix that the axis cuts the tensor into.
fn flattening(graph: &mut Graph, mut node: Node) -> Result<(), ReadError> {
    let axis = node.int("axis").unwrap_or(1);
    let (Some(input), Some(output)) = (node.input(0), node.output(0)) else {
        return Err(refuse(&node, "a missing operand"));
    };
    let rank = graph.value(input).shape.as_ref().map(Vec::len);
    if axis == -1 || rank.is_some_and(|rank| axis == rank as i64 - 1) {
        node.attributes.insert("axis".into(), Attribute::Int(-1));
        graph.nodes.push(node);
        return Ok(());
    }
    let shape = graph.node("Shape").input(input).output("softmax_shape");
    let matrix = graph.node("Flatten").input(input).attribute("axis", axis).output("softmax_rows");
    let op = node.op.clone();
    let rows =
        graph.node(&op).named(&node.name).input(matrix).attribute("axis", -1).output("softmax");
    graph.node("Reshape").input(rows).input(shape).output_to(output);
    Ok(())
}

/// Scale and bias went from one per group to one per channel in operator set 21.
fn per_channel_group_norm(graph: &mut Graph, node: &mut Node) -> Result<(), ReadError> {
    let channels = node
        .input(0)
        .and_then(|id| graph.value(id).shape.as_ref()?.get(1)?.fixed())
        .ok_or_else(|| refuse(node, "group normalisation over an unknown number of channels"))?;
    let groups = node.int("num_groups").unwrap_or(1).max(1) as usize;
    for operand in [1, 2] {
        let per_group = graph
            .constant(node.input(operand))
            .and_then(|tensor| Some(tensor.to_f32()?.into_owned()))
            .filter(|values| values.len() == groups)
            .ok_or_else(|| refuse(node, "group normalisation with computed parameters"))?;
        let repeat = channels / groups;
        let values = per_group.iter().flat_map(|&v| std::iter::repeat_n(v, repeat)).collect();
        set_input(graph, node, operand, Tensor::vector::<f32>(values));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dim, Value, ValueId};

    fn only(graph: &Graph, op: &str) -> Node {
        graph.nodes.iter().find(|node| node.op == op).cloned().unwrap()
    }

    fn one(op: &str, rank: Option<usize>, attributes: &[(&str, Attribute)]) -> Graph {
        let mut graph = Graph::new("one");
        let shape = rank.map(|rank| vec![Dim::Fixed(2); rank]);
        let x = graph.add_value(Value { name: "x".into(), shape, ..Value::default() });
        graph.inputs.push(x);
        let mut node = graph.node(op).input(x);
        for (name, value) in attributes {
            node = node.attribute(name, value.clone());
        }
        let y: ValueId = node.output("y");
        graph.outputs.push(y);
        graph
    }

    #[test]
    fn attributes_become_operands() {
        let mut graph = one("Clip", None, &[("max", Attribute::Float(6.0))]);
        upgrade(&mut graph, 7).unwrap();
        let clip = only(&graph, "Clip");
        assert_eq!(clip.input(1), None);
        assert_eq!(graph.constant(clip.input(2)), Some(&Tensor::scalar(6.0f32)));

        let mut graph = one("ReduceMean", None, &[("axes", vec![2i64, 3].into())]);
        upgrade(&mut graph, 13).unwrap();
        assert_eq!(graph.constant_ints(only(&graph, "ReduceMean").input(1)), Some(vec![2, 3]));
    }

    #[test]
    fn old_softmax_works_on_a_matrix_unless_the_axis_is_last() {
        let mut last = one("Softmax", Some(2), &[]);
        upgrade(&mut last, 9).unwrap();
        assert_eq!(last.nodes.len(), 1);

        let mut inner = one("Softmax", Some(4), &[("axis", Attribute::Int(1))]);
        upgrade(&mut inner, 9).unwrap();
        inner.sort().unwrap();
        let ops: Vec<_> = inner.nodes.iter().map(|n| n.op.as_str()).collect();
        assert_eq!(ops, ["Shape", "Flatten", "Softmax", "Reshape"]);
    }

    #[test]
    fn attributes_that_changed_their_default_or_names_say_what_they_meant() {
        let mut graph = one("RoiAlign", None, &[]);
        upgrade(&mut graph, 10).unwrap();
        let node = only(&graph, "RoiAlign");
        assert_eq!(node.string("coordinate_transformation_mode"), Some("output_half_pixel"));

        for (old, new) in
            [(None, "linear"), (Some("bilinear"), "linear"), (Some("bicubic"), "cubic")]
        {
            let mode = old.map(|old| ("mode", Attribute::from(old)));
            let mut graph = one("GridSample", None, mode.as_slice());
            upgrade(&mut graph, 16).unwrap();
            assert_eq!(only(&graph, "GridSample").string("mode"), Some(new));
        }
    }

    #[test]
    fn upsample_is_a_resize_by_floor() {
        let scales = Attribute::Floats(vec![1.0, 1.0, 2.0, 2.0]);
        let mut graph = one("Upsample", Some(4), &[("scales", scales)]);
        upgrade(&mut graph, 7).unwrap();
        let resize = only(&graph, "Resize");
        assert_eq!(resize.inputs.len(), 3);
        assert_eq!(resize.string("nearest_mode"), Some("floor"));
    }
}
