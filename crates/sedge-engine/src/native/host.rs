//! Operators of whole tensors in Sedge's own code, where rten answers wrongly.

mod box_nms;
pub(super) mod doubles;
mod max_roi_pool;
mod multibox;
mod roi_align;
mod suppression;

use std::sync::Arc;

use sedge_graph::{Graph, Node, SEDGE_DOMAIN};
use sedge_tensor::{DType, Tensor};

use box_nms::BoxNms;
use max_roi_pool::MaxRoiPool;
use multibox::MultiBoxDetection;
use roi_align::RoiAlign;
use suppression::NonMaxSuppression;

/// An operator that runs between sections. Operands are in the node's order, without those left
/// out.
pub(super) trait Host: std::fmt::Debug + Send + Sync {
    fn run(&self, operands: &[&Tensor]) -> Result<Tensor, String>;
}

/// ONNX operators that are run so.
pub(crate) const OPERATORS: [&str; 3] = ["MaxRoiPool", "NonMaxSuppression", "RoiAlign"];

/// Operators of the domain `ai.sedge` that are run so, with their expansion for other engines.
const OWN: [&str; 2] = ["BoxNms", "MultiBoxDetection"];

/// The operator of a node, when it is one of these.
pub(super) fn read(graph: &Graph, node: &Node) -> Option<Arc<dyn Host>> {
    if !is_host(node) || node.outputs.len() != 1 {
        return None;
    }
    let is_float = |id| graph.value(id).dtype == Some(DType::F32);
    let first = node.inputs.iter().flatten().take(2);
    first.copied().all(is_float).then_some(())?;
    Some(match node.op.as_str() {
        "BoxNms" => Arc::new(BoxNms::read(node)?),
        "MultiBoxDetection" => Arc::new(MultiBoxDetection::read(node)?),
        "MaxRoiPool" => Arc::new(MaxRoiPool::read(node)?),
        "RoiAlign" => Arc::new(RoiAlign::read(node)?),
        _ => Arc::new(NonMaxSuppression::read(node)),
    })
}

/// True for a node that needs this module.
pub(super) fn is_host(node: &Node) -> bool {
    let op = node.op.as_str();
    match node.domain.as_str() {
        "" => OPERATORS.contains(&op),
        SEDGE_DOMAIN => OWN.contains(&op),
        _ => false,
    }
}

/// Greedy suppression among candidates in order: which are left, when each that is still there takes
/// away those after it that `overlap` tells.
fn suppress(count: usize, overlap: impl Fn(usize, usize) -> bool) -> Vec<bool> {
    let mut kept = vec![true; count];
    for first in 0..count {
        if kept[first] {
            for (second, kept) in kept.iter_mut().enumerate().skip(first + 1) {
                *kept = *kept && !overlap(first, second);
            }
        }
    }
    kept
}
