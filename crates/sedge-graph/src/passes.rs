//! Rewrites: each takes a graph and leaves an equal one that is smaller or easier to run.

mod affine;
mod box_nms;
mod branches;
mod cleanup;
mod constants;
mod detection;
mod expand;
mod greedy;
mod layout;
mod multibox;
mod patterns;
mod qlinear;

pub use affine::fold_affine;
pub use branches::CHOOSE;
pub use cleanup::clean;
pub use constants::fold_constants;
pub use expand::{
    ExpandError, expand, expand_quantized, is_fused_integer, remaining_custom_operators,
};
pub use layout::{Transposed, sink_transposes};
pub use patterns::fuse_patterns;
pub use qlinear::FUSED_INTEGERS;

use crate::{Graph, GraphError, shapes};

/// The rewrites every imported graph goes through before an engine sees it: shape arithmetic is
/// folded, transposes of layout conversion cancel, constants are computed, what is spelled
/// out in several operators becomes one, scales and shifts of channels go into the weights before
/// them, what nobody reads is gone.
pub fn simplify(graph: &mut Graph) -> Result<(), GraphError> {
    graph.sort()?;
    shapes::fold(graph);
    clean(graph);
    sink_transposes(graph);
    fold_constants(graph);
    clean(graph);
    fuse_patterns(graph);
    fold_affine(graph);
    clean(graph);
    graph.sort()?;
    shapes::infer(graph);
    Ok(())
}
