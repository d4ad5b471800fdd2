//! Operators of whole tensors in Sedge's own code, where rten answers wrongly.

mod roi_align;
mod suppression;

use std::sync::Arc;

use sedge_graph::{Graph, Node};
use sedge_tensor::{DType, Tensor};

use roi_align::RoiAlign;
use suppression::NonMaxSuppression;

/// An operator that runs between sections. Operands are in the node's order, without those left
/// out.
pub(super) trait Host: std::fmt::Debug + Send + Sync {
    fn run(&self, operands: &[&Tensor]) -> Result<Tensor, String>;
}

/// ONNX operators that are run so.
pub(crate) const OPERATORS: [&str; 2] = ["NonMaxSuppression", "RoiAlign"];

/// The operator of a node, when it is one of these.
pub(super) fn read(graph: &Graph, node: &Node) -> Option<Arc<dyn Host>> {
    if !is_host(node) || node.outputs.len() != 1 {
        return None;
    }
    let dtype = |operand| graph.value(node.input(operand)?).dtype;
    (dtype(0)? == DType::F32 && dtype(1)? == DType::F32).then_some(())?;
    Some(match node.op.as_str() {
        "RoiAlign" => Arc::new(RoiAlign::read(node)?),
        _ => Arc::new(NonMaxSuppression::read(node)),
    })
}

/// True for a node that needs this module.
pub(super) fn is_host(node: &Node) -> bool {
    node.domain.is_empty() && OPERATORS.contains(&node.op.as_str())
}
