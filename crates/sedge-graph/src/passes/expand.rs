use std::collections::BTreeMap;

use super::{box_nms, branches, detection, multibox, qlinear};
use crate::{Graph, GraphError, Node, SEDGE_DOMAIN};

/// Why a graph cannot be written in plain ONNX operators.
#[derive(Debug, thiserror::Error)]
pub enum ExpandError {
    /// An operator has no expansion, or not for these operands.
    #[error("operator '{operator}' (node '{node}') has no expansion into ONNX operators")]
    NoExpansion {
        /// The operator.
        operator: String,
        /// The node's name; may be empty.
        node: String,
    },
    /// The expansion left a graph that does not hang together.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// Replaces operators that plain ONNX runtimes lack by ONNX operators: those of the domain
/// `ai.sedge`, and the fused integer operators (`QLinearConv`, ...) by their float forms between
/// quantise/dequantise pairs.
pub fn expand(graph: &mut Graph) -> Result<(), ExpandError> {
    branches::write(graph);
    for node in std::mem::take(&mut graph.nodes) {
        let expanded = match (node.domain.as_str(), node.op.as_str()) {
            (SEDGE_DOMAIN, "DetectionPostProcess") => detection::expand(graph, &node),
            (SEDGE_DOMAIN, "BoxNms") => box_nms::expand(graph, &node),
            (SEDGE_DOMAIN, "MultiBoxDetection") => multibox::expand(graph, &node),
            (SEDGE_DOMAIN, branches::CHOOSE) => None,
            _ if is_fused_integer(&node) => qlinear::expand(graph, &node),
            _ => {
                graph.nodes.push(node);
                continue;
            }
        };
        if expanded.is_none() {
            return Err(no_expansion(node));
        }
    }
    graph.sort()?;
    Ok(())
}

/// Replaces only the fused integer operators and choices between branches, for engines that know the
/// rest of [`expand`]'s.
pub fn expand_quantized(graph: &mut Graph) -> Result<(), ExpandError> {
    branches::write(graph);
    for node in std::mem::take(&mut graph.nodes) {
        if is_fused_integer(&node) {
            qlinear::expand(graph, &node).ok_or_else(|| no_expansion(node))?;
        } else {
            graph.nodes.push(node);
        }
    }
    graph.sort()?;
    Ok(())
}

fn no_expansion(node: Node) -> ExpandError {
    ExpandError::NoExpansion { operator: node.op, node: node.name }
}

/// True for an operator that computes on quantised integers and carries their meaning itself.
pub fn is_fused_integer(node: &Node) -> bool {
    matches!(node.domain.as_str(), "" | "com.microsoft")
        && qlinear::FUSED_INTEGERS.contains(&node.op.as_str())
}

/// Operators outside the default ONNX domain that are left, with their counts.
pub fn remaining_custom_operators(graph: &Graph) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let custom = |node: &&Node| !node.domain.is_empty();
    for node in graph.nodes.iter().filter(custom) {
        *counts.entry(format!("{}.{}", node.domain, node.op)).or_default() += 1;
    }
    counts
}
