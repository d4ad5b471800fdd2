//! The graph as its JSON file has it, brought to one form whatever version wrote it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Error;
use super::attributes::Attributes;

/// A variable: a weight or an input.
const VARIABLE: &str = "null";

/// A graph in MXNet's operators. Every node reads only nodes before it, except for the variables
/// that were added for old files.
#[derive(Debug)]
pub(super) struct Symbol {
    pub(super) nodes: Vec<Node>,
    /// The outputs.
    pub(super) heads: Vec<Entry>,
    /// Version of MXNet, as 10901 for 1.9.1.
    pub(super) version: Option<u64>,
}

/// An operator or a variable.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) op: String,
    pub(super) name: String,
    pub(super) attributes: Attributes,
    pub(super) inputs: Vec<Entry>,
}

/// One result of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) node: usize,
    pub(super) output: usize,
}

impl Node {
    pub(super) fn is_variable(&self) -> bool {
        self.op == VARIABLE
    }
}

#[derive(Deserialize)]
struct RawSymbol {
    nodes: Vec<RawNode>,
    heads: Vec<Vec<u64>>,
    attrs: Option<BTreeMap<String, Value>>,
}

/// Attributes stand under `attrs` since 1.0 and under `attr` from 0.9 on. Before, `param` held the
/// operator's and `attr` the user's.
#[derive(Deserialize)]
struct RawNode {
    op: String,
    name: String,
    #[serde(default)]
    inputs: Vec<Vec<u64>>,
    #[serde(default)]
    attr: BTreeMap<String, Value>,
    #[serde(default)]
    attrs: BTreeMap<String, Value>,
    #[serde(default)]
    param: BTreeMap<String, Value>,
}

impl Symbol {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let raw: RawSymbol =
            serde_json::from_slice(bytes).map_err(|error| Error::Symbol(error.to_string()))?;
        let mut nodes = Vec::with_capacity(raw.nodes.len());
        for node in raw.nodes {
            let before = nodes.len();
            let entry =
                |entry: &Vec<u64>| entry_before(entry, before, || format!("'{}'", node.name));
            let inputs = node.inputs.iter().map(entry).collect::<Result<_, _>>()?;
            let mut attributes = Attributes::default();
            for group in [node.attr, node.attrs, node.param] {
                attributes.extend(group);
            }
            nodes.push(Node { op: node.op, name: node.name, attributes, inputs });
        }
        let head = |entry: &Vec<u64>| entry_before(entry, nodes.len(), || "an output".to_owned());
        let heads = raw.heads.iter().map(head).collect::<Result<Vec<_>, _>>()?;
        if heads.is_empty() {
            return Err(Error::Symbol("the graph has no outputs".to_owned()));
        }
        let version = raw.attrs.as_ref().and_then(|attrs| attrs.get("mxnet_version"));
        // Written as ["int", 10901].
        let version = version.and_then(|typed| typed.get(1)?.as_u64());
        let mut symbol = Self { nodes, heads, version };
        symbol.add_statistics();
        Ok(symbol)
    }

    /// Files from before 0.9 leave out what a node keeps for itself: the statistics of a
    /// normalisation.
    fn add_statistics(&mut self) {
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if !super::operators::is_batch_normalization(&node.op) || node.inputs.len() != 3 {
                continue;
            }
            for suffix in ["moving_mean", "moving_var"] {
                let entry = Entry { node: self.nodes.len(), output: 0 };
                self.nodes.push(Node {
                    op: VARIABLE.to_owned(),
                    name: format!("{}_{suffix}", self.nodes[index].name),
                    attributes: Attributes::default(),
                    inputs: Vec::new(),
                });
                self.nodes[index].inputs.push(entry);
            }
        }
    }
}

/// `[node, output]` or `[node, output, version]`.
fn entry_before(entry: &[u64], before: usize, what: impl Fn() -> String) -> Result<Entry, Error> {
    let (index, output) = match *entry {
        [node] => (node, 0),
        [node, output] | [node, output, _] => (node, output),
        _ => return Err(Error::Symbol(format!("{} has an operand that is no pair", what()))),
    };
    match (usize::try_from(index), usize::try_from(output)) {
        (Ok(node), Ok(output)) if node < before => Ok(Entry { node, output }),
        _ => Err(Error::Reference { what: what(), index }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_wherever_a_version_put_them() {
        for key in ["attrs", "attr", "param"] {
            let text = format!(
                r#"{{"nodes": [{{"op": "null", "name": "x", "inputs": [], "backward_source_id": -1}},
                    {{"op": "clip", "name": "y", "{key}": {{"a_max": "6", "lr_mult": "1"}},
                      "inputs": [[0, 0]]}}], "arg_nodes": [0], "heads": [[1, 0]]}}"#
            );
            let symbol = Symbol::read(text.as_bytes()).unwrap();
            assert_eq!(symbol.nodes[1].attributes.text("a_max"), Some("6"), "{key}");
        }
    }

    #[test]
    fn damage_is_told_with_its_place() {
        for (text, message) in [
            ("{", "the symbol file is damaged: EOF while parsing an object at line 1 column 1"),
            (
                r#"{"nodes": [], "heads": []}"#,
                "the symbol file is damaged: the graph has no outputs",
            ),
            (
                r#"{"nodes": [{"op": "relu", "name": "y", "inputs": [[0, 0]]}], "heads": [[0, 0]]}"#,
                "the symbol file is damaged: 'y' refers to node 0, which does not come before it",
            ),
            (
                r#"{"nodes": [], "heads": [[7, 0, 0]]}"#,
                "the symbol file is damaged: an output refers to node 7, which does not come before it",
            ),
        ] {
            assert_eq!(Symbol::read(text.as_bytes()).unwrap_err().to_string(), message);
        }
    }
}
