//! What goes into a graph and what comes out of it, and under which names.

use std::collections::HashSet;

use sedge_graph::Graph;

use super::Error;
use super::control::is_training_flag;
use super::program::{Output, Program};
use super::proto::{MetaGraph, ServingSignature};
use crate::Fact;

/// The signature that servers use.
const DEFAULT_SIGNATURE: &str = "serving_default";
/// The tag of the graph that is for use, not for training.
const SERVE: &str = "serve";

/// Inputs and outputs with their names.
#[derive(Debug, Default)]
pub(super) struct Interface {
    /// Nodes that are inputs.
    pub(super) inputs: Vec<(usize, String)>,
    pub(super) outputs: Vec<(Output, String)>,
}

/// Operators whose results are no answers of a model, even when nobody reads them.
const NO_ANSWERS: [&str; 14] = [
    "Assert",
    "Assign",
    "AssignVariableOp",
    "Const",
    "MergeV2Checkpoints",
    "NoOp",
    "Placeholder",
    "PlaceholderWithDefault",
    "Print",
    "PrintV2",
    "ReadVariableOp",
    "RestoreV2",
    "SaveV2",
    "VarHandleOp",
];

impl Interface {
    /// Of a bare graph: placeholders go in; results that nobody reads come out, as far as they
    /// depend on what goes in.
    pub(super) fn of_graph(program: &Program<'_>) -> Result<Self, Error> {
        let mut read: HashSet<usize> = HashSet::new();
        for node in &program.nodes[..program.outer] {
            read.extend(node.inputs.iter().map(|input| input.node));
        }
        let fed = fed(program);
        let last = |&node: &usize| {
            let op = program.nodes[node].op;
            fed.contains(&node)
                && !read.contains(&node)
                && !NO_ANSWERS.contains(&op)
                && !op.ends_with("Summary")
        };
        let mut lasts: Vec<usize> = (0..program.outer).filter(last).collect();
        // What a loop counted on the way, and what others wait for, is no answer, unless there is
        // nothing else.
        let minor = |node: &usize| {
            program.nodes[*node].op.ends_with("Exit") || program.awaited.contains(node)
        };
        if !lasts.iter().all(minor) {
            lasts.retain(|node| !minor(node));
        }
        let mut outputs = Vec::new();
        for node in lasts {
            let name = program.nodes[node].name;
            for index in 0..answers(program, node) {
                outputs.push((Output { node, index }, format!("{name}:{index}")));
            }
        }
        if outputs.is_empty() {
            return Err(Error::NoOutputs);
        }
        let inputs = (0..program.outer).filter(|&node| program.nodes[node].op == "Placeholder");
        let inputs = inputs.map(|node| (node, format!("{}:0", program.nodes[node].name))).collect();
        Ok(Self { inputs, outputs })
    }

    /// Of a saved model: what its signature says.
    pub(super) fn of_signature(
        program: &Program<'_>,
        signature: &ServingSignature,
    ) -> Result<Self, Error> {
        let find = |key: &String, info: &super::proto::TensorInfo| {
            let missing = || Error::Signature { key: key.clone(), tensor: info.name.clone() };
            program.find(&info.name).ok_or_else(missing)
        };
        let mut interface = Self::default();
        for (key, info) in &signature.inputs {
            interface.inputs.push((find(key, info)?.node, key.clone()));
        }
        for (key, info) in &signature.outputs {
            interface.outputs.push((find(key, info)?, key.clone()));
        }
        if interface.outputs.is_empty() {
            return Err(Error::NoOutputs);
        }
        Ok(interface)
    }
}

/// Nodes outside of functions that depend on a placeholder, other than one that tells training from
/// use.
fn fed(program: &Program<'_>) -> HashSet<usize> {
    let mut readers = vec![Vec::new(); program.outer];
    for (node, definition) in program.nodes[..program.outer].iter().enumerate() {
        for input in &definition.inputs {
            readers[input.node].push(node);
        }
    }
    let placeholder = |&node: &usize| {
        program.nodes[node].op == "Placeholder" && !is_training_flag(program.nodes[node].name)
    };
    let mut open: Vec<usize> = (0..program.outer).filter(placeholder).collect();
    let mut fed: HashSet<usize> = open.iter().copied().collect();
    while let Some(node) = open.pop() {
        for &reader in &readers[node] {
            if fed.insert(reader) {
                open.push(reader);
            }
        }
    }
    fed
}

/// How many results of a node that nobody reads are answers.
fn answers(program: &Program<'_>, node: usize) -> usize {
    let int = |name: &str| match program.attribute(node, name) {
        Some(&super::proto::Content::Int(count)) => usize::try_from(count.clamp(1, 1 << 10)).ok(),
        _ => None,
    };
    match program.nodes[node].op {
        "TopKV2" | "NonMaxSuppressionV4" => 2,
        "NonMaxSuppressionV5" => 3,
        "CombinedNonMaxSuppression" => 4,
        "Unpack" => int("num").unwrap_or(1),
        "Split" | "SplitV" => int("num_split").unwrap_or(1),
        "IdentityN" => program.nodes[node].inputs.len(),
        _ => program.results(node).unwrap_or(1),
    }
}

/// The graph of a saved model that is for use, and its signature.
pub(super) fn choose(graphs: &[MetaGraph]) -> Result<(&MetaGraph, &ServingSignature), Error> {
    let tagged = |graph: &&MetaGraph| {
        graph.info.as_ref().is_some_and(|info| info.tags.iter().any(|tag| tag == SERVE))
    };
    let only = if graphs.len() == 1 { graphs.first() } else { None };
    let graph = graphs.iter().find(tagged).or(only).ok_or(Error::NoServing)?;
    let named = graph.signature.get(DEFAULT_SIGNATURE);
    // What Keras keeps for loading the model again has no outputs.
    let useful = || graph.signature.values().filter(|signature| !signature.outputs.is_empty());
    let signature = named.or_else(|| useful().next().filter(|_| useful().count() == 1));
    let names = || graph.signature.keys().cloned().collect();
    Ok((graph, signature.ok_or_else(|| Error::Signatures(names()))?))
}

/// What the four outputs of TensorFlow's Object Detection API say, whose exporters always name them
/// so: boxes relative to the picture, scores, classes counted from 1, and how many there are. Its
/// pictures are RGB.
///
/// Source: `DetectionResultFields` in `object_detection/core/standard_fields.py`.
pub(super) fn detector_facts(graph: &Graph) -> Vec<Fact> {
    let output = |name: &str| {
        let names = graph.outputs.iter().map(|&id| graph.value(id).name.as_str());
        let is = |found: &&str| *found == name || found.strip_suffix(":0") == Some(name);
        names.into_iter().find(is).map(str::to_owned)
    };
    let roles = [
        ("boxes", "detection_boxes"),
        ("classes", "detection_classes"),
        ("scores", "detection_scores"),
        ("count", "num_detections"),
    ];
    let found = roles.map(|(role, name)| output(name).map(|name| (role, name)));
    let Some(found) = found.into_iter().collect::<Option<Vec<_>>>() else { return Vec::new() };
    let origin = "outputs are named as by TensorFlow's Object Detection API";
    let mut facts = vec![
        Fact::new("model.task", "object-detection", origin),
        Fact::new("model.label_offset", 1, origin),
        Fact::new("decoder.kind", "tflite-detection", origin),
    ];
    if let [_] = graph.inputs.as_slice() {
        facts.push(Fact::new("input.0.color", "rgb", origin));
    }
    let named = |(role, name)| Fact::new(format!("decoder.{role}"), name, origin);
    facts.extend(found.into_iter().map(named));
    facts
}
