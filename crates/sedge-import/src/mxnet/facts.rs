//! What the files say about the model's use.

use sedge_graph::{Dim, Graph, Node, SEDGE_DOMAIN, ValueId};

use super::files::Files;
use super::symbol::Symbol;
use super::training::Wanted;
use super::{elementwise, operators};
use crate::{Fact, gluoncv, heads};

/// What every picture is taken for by the networks that normalise it themselves.
const OWN: &str = "the graph normalises pixels itself: it begins with";

pub(super) fn of(graph: &Graph, symbol: &Symbol, wanted: &Wanted, files: &Files) -> Vec<Fact> {
    let mut facts = heads::input_facts(graph);
    if files.shapes.is_some() {
        let origin = "model-shapes.json";
        for fact in facts.iter_mut().filter(|fact| is_size(&fact.key)) {
            fact.origin = origin.to_owned();
        }
    }
    facts.extend(detector(graph).unwrap_or_else(|| classifier(graph, symbol, wanted)));
    if facts.iter().any(|fact| fact.key == "input.0.kind" && fact.value.as_str() == Some("image")) {
        facts.extend(preprocessing(graph, symbol, wanted, files));
    }
    facts.extend(labels(files));
    facts
}

fn is_size(key: &str) -> bool {
    ["width", "height"].iter().any(|side| key.ends_with(side))
}

/// The heads of MXNet's detectors, which have one meaning only.
fn detector(graph: &Graph) -> Option<Vec<Fact>> {
    let producers = graph.producers();
    let made_by = |value: ValueId| producers.get(&value).map(|&index| &graph.nodes[index]);
    let is_own = |node: &Node, op: &str| node.domain == SEDGE_DOMAIN && node.op == op;
    let name = |value: ValueId| graph.value(value).name.clone();
    let task = |origin: &str| Fact::new("model.task", "object-detection", origin);
    let rows = graph
        .outputs
        .iter()
        .find(|&&output| made_by(output).is_some_and(|node| is_own(node, "MultiBoxDetection")));
    if let Some(&rows) = rows {
        let origin = "graph ends in MultiBoxDetection";
        return Some(vec![
            task(origin),
            Fact::new("decoder.kind", "detection-rows", origin),
            Fact::new("decoder.output", name(rows), origin),
        ]);
    }
    let &[ids, scores, boxes] = graph.outputs.as_slice() else { return None };
    // Columns of what box_nms left.
    let suppressed = |mut value: ValueId| {
        for _ in 0..8 {
            let node = made_by(value)?;
            if is_own(node, "BoxNms") {
                return Some(value);
            }
            value = node.is("Slice").then(|| node.input(0)).flatten()?;
        }
        None
    };
    let source = suppressed(ids)?;
    let columns = |value: ValueId| graph.value(value).shape.as_ref()?.last().and_then(Dim::fixed);
    let same = suppressed(scores) == Some(source) && suppressed(boxes) == Some(source);
    if !same || [ids, scores, boxes].map(columns) != [Some(1), Some(1), Some(4)] {
        return None;
    }
    let origin = "graph ends in box_nms, split into ids, scores and boxes";
    Some(vec![
        task(origin),
        Fact::new("decoder.kind", "ids-scores-boxes", origin),
        Fact::new("decoder.ids", name(ids), origin),
        Fact::new("decoder.scores", name(scores), origin),
        Fact::new("decoder.boxes", name(boxes), origin),
    ])
}

fn classifier(graph: &Graph, symbol: &Symbol, wanted: &Wanted) -> Vec<Fact> {
    let mut facts = heads::head_facts(graph);
    let is_classifier = facts.iter().any(|fact| fact.key == "decoder.kind");
    let open = !facts.iter().any(|fact| fact.key == "decoder.activation");
    if is_classifier && open && is_gluon(symbol, wanted) {
        let origin = "Gluon's classifiers end in raw scores; their loss has the softmax";
        facts.push(Fact::new("decoder.activation", "softmax", origin));
    }
    facts
}

/// Gluon calls what a layer computes `LAYER_fwd`.
fn is_gluon(symbol: &Symbol, wanted: &Wanted) -> bool {
    wanted.nodes().any(|index| symbol.nodes[index].name.ends_with("_fwd"))
}

/// How pictures are prepared, where the files leave no doubt.
fn preprocessing(graph: &Graph, symbol: &Symbol, wanted: &Wanted, files: &Files) -> Vec<Fact> {
    let first = first_layer(symbol, wanted);
    let is_gray = heads::input_facts(graph).iter().any(|fact| fact.key == "input.0.color");
    let mut facts = Vec::new();
    let mut say = |key: &str, value: toml::Value, origin: &str| {
        facts.push(Fact::new(format!("input.0.{key}"), value, origin));
    };
    let raw = [("scale", 1.0.into()), ("mean", vec![0.0].into()), ("std", vec![1.0].into())];
    if is_sagemaker(files) && first == Some("bn_data") {
        // The container's own handler: Pillow's resize to the size of training, nothing else.
        let origin = format!("{OWN} the normalisation 'bn_data' of SageMaker's networks");
        raw.into_iter().for_each(|(key, value)| say(key, value, &origin));
        let origin = "SageMaker's containers";
        if !is_gray {
            say("color", "rgb".into(), origin);
        }
        say("resize", "stretch".into(), origin);
        say("filter", "pillow-bilinear".into(), origin);
        say("orientation", "ignore".into(), origin);
    } else if let Some(origin) = exported_with_preprocessing(graph) {
        raw.into_iter().for_each(|(key, value)| say(key, value, &origin));
        say("color", "rgb".into(), &origin);
    } else if is_gluoncv_detector(graph, symbol, wanted) {
        facts.extend(gluoncv::presets(graph));
    }
    facts
}

/// The names that SageMaker's containers give their models, beside the shapes they write.
fn is_sagemaker(files: &Files) -> bool {
    let names = ["image-classification", "model_algo_1", "deploy_model_algo_1"];
    files.shapes.is_some() && names.contains(&files.prefix.as_str())
}

/// Name of the first operator that does something.
fn first_layer<'s>(symbol: &'s Symbol, wanted: &Wanted) -> Option<&'s str> {
    let nodes = wanted.nodes().map(|index| &symbol.nodes[index]);
    let mut layers = nodes.filter(|node| {
        let passes = elementwise::keeps_shape(&node.op) && node.inputs.len() == 1;
        !passes || operators::is_batch_normalization(&node.op)
    });
    layers.next().map(|node| node.name.as_str())
}

/// GluonCV's `export_block(preprocess=True)`: the graph begins by subtracting and dividing, and has
/// its channels last.
fn exported_with_preprocessing(graph: &Graph) -> Option<String> {
    let &[input] = graph.inputs.as_slice() else { return None };
    let reads = |node: &&Node| node.inputs.contains(&Some(input));
    let first = graph.nodes.iter().find(reads)?;
    let by_constant = |node: &Node| graph.constant(node.input(1)).is_some();
    let next = graph.nodes.iter().find(|node| node.input(0) == first.output(0))?;
    let normalises = first.is("Sub") && by_constant(first) && next.is("Div") && by_constant(next);
    normalises.then(|| format!("{OWN} a subtraction and a division by constants"))
}

/// A detector of GluonCV: its own head, and the prefixes of its SSD and YOLO.
fn is_gluoncv_detector(graph: &Graph, symbol: &Symbol, wanted: &Wanted) -> bool {
    let is_head = |node: &Node| node.domain == SEDGE_DOMAIN && node.op == "BoxNms";
    graph.nodes.iter().any(is_head)
        && wanted.nodes().any(|index| gluoncv::is_detector(&symbol.nodes[index].name))
}

/// MXNet's list of classes: one per line, as it stands.
fn labels(files: &Files) -> Option<Fact> {
    let text = std::str::from_utf8(files.labels.as_ref()?).ok()?;
    let lines: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
    (lines.len() > 1).then(|| Fact::new("model.labels", lines, "synset.txt beside the graph"))
}
