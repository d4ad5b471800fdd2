//! The graph for the size it is served at.

use sedge_graph::{Dim, Graph, GraphError, passes};

use crate::Settings;

/// Gives inputs whose height and width are open the stated ones. What depends on nothing but the
/// size is then known before the first request: shapes, and with them what engines may choose.
/// Where the `operators` of a graph are not known, there is nothing more to conclude.
pub(crate) fn specialise(
    graph: &mut Graph,
    settings: &Settings,
    operators: bool,
) -> Result<(), GraphError> {
    let mut changed = false;
    for (index, id) in graph.inputs.clone().into_iter().enumerate() {
        let setting =
            |key: &str| settings.get(&format!("input.{index}.{key}")).map(|setting| &setting.value);
        let text = |key: &str| setting(key).and_then(|value| value.as_str());
        let size = |key: &str| {
            let size = setting(key)?.as_integer()?;
            usize::try_from(size).ok().filter(|&size| size > 0)
        };
        let (height, width) = match (text("kind"), text("layout")) {
            (Some("image"), Some("nhwc")) => (1, 2),
            (Some("image"), Some("nchw")) => (2, 3),
            _ => continue,
        };
        let Some(shape) = graph.value_mut(id).shape.as_mut().filter(|shape| shape.len() == 4)
        else {
            continue;
        };
        for (axis, size) in [(height, size("height")), (width, size("width"))] {
            if let Some(size) = size.filter(|_| shape[axis].fixed().is_none()) {
                shape[axis] = Dim::Fixed(size);
                changed = true;
            }
        }
    }
    if changed && operators { passes::simplify(graph) } else { Ok(()) }
}
