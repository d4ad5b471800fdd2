//! What follows from a graph itself, by general rules and never by names: how its inputs look like
//! pictures, and which well-known head it ends in.

use sedge_graph::{Dim, Graph, Node, SEDGE_DOMAIN, Value, ValueId};
use sedge_tensor::DType;

use crate::{Fact, gluoncv};

const SHAPE: &str = "shape of the input";

/// Name, element type, and for inputs that look like pictures their size, layout and channels.
pub(crate) fn input_facts(graph: &Graph) -> Vec<Fact> {
    let one = |(index, &id): (usize, &ValueId)| facts_of_input(index, graph.value(id));
    graph.inputs.iter().enumerate().flat_map(one).collect()
}

fn facts_of_input(index: usize, value: &Value) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut say = |key: &str, value: toml::Value, origin: &str| {
        facts.push(Fact::new(format!("input.{index}.{key}"), value, origin));
    };
    say("name", value.name.clone().into(), "name of the input");
    let Some((layout, height, width, channels)) = picture_dims(value) else {
        say("kind", "tensor".into(), SHAPE);
        return facts;
    };
    say("kind", "image".into(), SHAPE);
    say("layout", layout.into(), SHAPE);
    for (key, dim) in [("height", height), ("width", width)] {
        if let Some(n) = dim.fixed() {
            say(key, (n as i64).into(), SHAPE);
        }
    }
    if channels == 1 {
        say("color", "gray".into(), "one channel in the input");
    }
    let dtype = value.dtype.unwrap_or(DType::F32);
    say("dtype", dtype.name().into(), "element type of the input");
    if dtype == DType::U8 {
        let origin = "u8 input: pixels as they are";
        say("scale", 1.0.into(), origin);
        say("mean", vec![0.0].into(), origin);
        say("std", vec![1.0].into(), origin);
    }
    facts
}

/// Layout, height, width and channels of a rank-4 input with one or three channels.
fn picture_dims(value: &Value) -> Option<(&'static str, &Dim, &Dim, usize)> {
    let [_, a, b, c] = value.shape.as_deref()? else { return None };
    let channels = |dim: &Dim| dim.fixed().filter(|n| matches!(n, 1 | 3));
    match (channels(a), channels(c)) {
        (None, Some(n)) => Some(("nhwc", a, b, n)),
        (Some(n), None) => Some(("nchw", b, c, n)),
        _ => None,
    }
}

/// Task and decoder of a graph that ends in a head which has one meaning only.
pub(crate) fn head_facts(graph: &Graph) -> Vec<Fact> {
    if graph.nodes.iter().any(|n| n.domain == SEDGE_DOMAIN && n.op == "DetectionPostProcess") {
        let origin = "graph ends in a detection post-processing operator";
        return vec![
            Fact::new("model.task", "object-detection", origin),
            Fact::new("decoder.kind", "tflite-detection", origin),
        ];
    }
    let &[output] = graph.outputs.as_slice() else { return Vec::new() };
    if !is_class_vector(graph.value(output)) {
        return Vec::new();
    }
    let head = head(graph, output);
    let op = head.map_or("", |node| node.op.as_str());
    // Quantised graphs may end in the integer form of the same operator.
    let op = op.strip_prefix("QLinear").unwrap_or(op);
    let origin = match op {
        "" => "one output, a vector of classes".to_owned(),
        op => format!("graph ends in a vector of classes ({op})"),
    };
    let mut facts = vec![
        Fact::new("model.task", "image-classification", &origin),
        Fact::new("decoder.kind", "classes", &origin),
    ];
    if matches!(op, "Softmax" | "Sigmoid") {
        facts.push(Fact::new("decoder.activation", "none", &format!("graph ends in {op}")));
    }
    facts
}

/// What follows from inputs and outputs alone, of models whose operators are not known.
///
/// Three outputs of floats `[1, N, 1]`, `[1, N, 1]` and `[1, N, 4]` are the ids, scores and boxes of
/// GluonCV's detectors; one vector of floats for a picture is a classifier's.
pub fn interface_facts(graph: &Graph) -> Vec<Fact> {
    let mut facts = input_facts(graph);
    let takes_picture =
        facts.iter().any(|fact| fact.key == "input.0.kind" && fact.value.as_str() == Some("image"));
    if !takes_picture {
        return facts;
    }
    let is_float = |&id: &ValueId| graph.value(id).dtype == Some(DType::F32);
    let name = |id: ValueId| graph.value(id).name.clone();
    match graph.outputs.as_slice() {
        &[ids, scores, boxes] if is_triple([ids, scores, boxes].map(|id| graph.value(id))) => {
            let origin = "three outputs shaped as ids, scores and boxes";
            facts.extend([
                Fact::new("model.task", "object-detection", origin),
                Fact::new("decoder.kind", "ids-scores-boxes", origin),
                Fact::new("decoder.ids", name(ids), origin),
                Fact::new("decoder.scores", name(scores), origin),
                Fact::new("decoder.boxes", name(boxes), origin),
            ]);
            if gluoncv::is_detector(&name(ids)) {
                facts.extend(gluoncv::presets(graph));
            }
        }
        [output] if is_float(output) => facts.extend(head_facts(graph)),
        _ => {}
    }
    facts
}

/// Rows of one picture: an id, a score and the four sides of a box.
fn is_triple(outputs: [&Value; 3]) -> bool {
    let rows = |value: &Value| match value.fixed_shape()?.as_slice() {
        &[1, rows, columns] if value.dtype == Some(DType::F32) => Some((rows, columns)),
        _ => None,
    };
    let [ids, scores, boxes] = outputs.map(rows);
    matches!((ids, scores, boxes), (Some((n, 1)), Some((m, 1)), Some((k, 4))) if n == m && m == k)
}

/// One picture's worth of at least two scores: `[1, N]`, `[N]`, `[1, N, 1, 1]`, `[1, 1, 1, N]`.
fn is_class_vector(value: &Value) -> bool {
    let Some(shape) = &value.shape else { return false };
    // A free first dimension is the batch.
    let (batch, dims) = match shape.as_slice() {
        [] => return false,
        [dim] => (true, std::slice::from_ref(dim)),
        [batch, dims @ ..] => (batch.fixed().is_none_or(|n| n == 1), dims),
    };
    let sizes: Option<Vec<usize>> = dims.iter().map(Dim::fixed).collect();
    batch && sizes.is_some_and(|sizes| sizes.iter().filter(|&&n| n > 1).count() == 1)
}

/// The last operator that computes rather than moves or re-encodes.
fn head(graph: &Graph, output: ValueId) -> Option<&Node> {
    const CARRIERS: [&str; 8] = [
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Identity",
        "QuantizeLinear",
        "DequantizeLinear",
    ];
    let producers = graph.producers();
    let mut value = output;
    for _ in 0..graph.nodes.len() {
        let node = &graph.nodes[*producers.get(&value)?];
        if !CARRIERS.contains(&node.op.as_str()) {
            return Some(node);
        }
        value = node.input(0)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts_for(shape: &[usize], op: &str) -> Vec<String> {
        let mut graph = Graph::new("g");
        let dims = |shape: &[usize]| Some(shape.iter().map(|&n| Dim::Fixed(n)).collect());
        let x =
            graph.add_value(Value { name: "x".into(), shape: dims(&[1, 8]), ..Value::default() });
        graph.inputs.push(x);
        let scores = graph.node(op).input(x).output("scores");
        let y = graph.node("Reshape").input(scores).ints(&[1, -1]).output("y");
        graph.value_mut(y).shape = dims(shape);
        graph.outputs.push(y);
        head_facts(&graph).into_iter().map(|f| f.key).collect()
    }

    #[test]
    fn only_a_vector_of_classes_is_a_classifier() {
        let (task, kind, activation) = ("model.task", "decoder.kind", "decoder.activation");
        assert_eq!(facts_for(&[1, 10], "Softmax"), [task, kind, activation]);
        assert_eq!(facts_for(&[1, 10], "QLinearSoftmax"), [task, kind, activation]);
        assert_eq!(facts_for(&[1, 10], "Gemm"), [task, kind]);
        assert_eq!(facts_for(&[1, 10, 4], "Softmax"), Vec::<String>::new());
        assert_eq!(facts_for(&[8, 10], "Softmax"), Vec::<String>::new());
    }

    #[test]
    fn layout_is_told_by_the_channels() {
        let layout = |shape: [usize; 4]| {
            let shape = Some(shape.map(Dim::Fixed).to_vec());
            picture_dims(&Value { shape, ..Value::default() }).map(|(layout, ..)| layout)
        };
        assert_eq!(layout([1, 224, 224, 3]), Some("nhwc"));
        assert_eq!(layout([1, 1, 28, 28]), Some("nchw"));
        assert_eq!(layout([1, 3, 3, 3]), None);
        assert_eq!(layout([1, 8, 8, 4]), None);
    }
}
