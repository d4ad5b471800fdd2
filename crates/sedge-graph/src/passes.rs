//! Rewrites: each takes a graph and leaves an equal one that is smaller or easier to run.

mod cleanup;
mod detection;
mod expand;
mod layout;
mod qlinear;

pub use cleanup::clean;
pub use expand::{
    ExpandError, expand, expand_quantized, is_fused_integer, remaining_custom_operators,
};
pub use layout::{Transposed, sink_transposes};
pub use qlinear::FUSED_INTEGERS;

use crate::{Graph, GraphError, shapes};

/// The rewrites every imported graph goes through before an engine sees it: shape arithmetic is
/// folded, transposes of layout conversion cancel, what nobody reads is gone.
pub fn simplify(graph: &mut Graph) -> Result<(), GraphError> {
    graph.sort()?;
    shapes::fold(graph);
    clean(graph);
    sink_transposes(graph);
    clean(graph);
    graph.sort()?;
    shapes::infer(graph);
    Ok(())
}
