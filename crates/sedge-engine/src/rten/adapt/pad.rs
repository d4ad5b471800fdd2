//! Padding: of some axes, and by mirroring others than the last two.

use sedge_graph::{Graph, Node};
use sedge_tensor::Tensor;

use super::{rank, wrap};

/// A padding of some axes as one of all.
pub(super) fn all_axes(graph: &mut Graph, node: &mut Node) -> Option<()> {
    let axes = graph.constant_ints(node.input(3))?;
    let pads = graph.constant_ints(node.input(1))?;
    let rank = rank(graph, node.input(0)?)?;
    if pads.len() != 2 * axes.len() {
        return None;
    }
    let mut all = vec![0i64; 2 * rank];
    for (i, &axis) in axes.iter().enumerate() {
        let axis = wrap(axis, rank)?;
        (all[axis], all[axis + rank]) = (pads[i], pads[i + axes.len()]);
    }
    node.inputs[1] = Some(graph.add_constant("pads", Tensor::vector(all)));
    node.inputs.truncate(3);
    Some(())
}

/// True for constant pads of no other dimensions than the last two.
pub(super) fn is_of_last_two(graph: &Graph, node: &Node) -> bool {
    let Some(pads) = graph.constant_ints(node.input(1)) else { return false };
    let rank = pads.len() / 2;
    (0..rank.saturating_sub(2)).all(|axis| pads[axis] == 0 && pads[axis + rank] == 0)
}

/// rten mirrors the last two dimensions only: the padded ones are moved there, two at a time.
pub(super) fn mirror(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    if matches!(node.string("mode"), None | Some("constant")) {
        return None;
    }
    let pads = graph.constant_ints(node.input(1))?;
    let rank = pads.len() / 2;
    if node.input(3).is_some() || is_of_last_two(graph, node) {
        return None;
    }
    let padded: Vec<usize> = (0..rank).filter(|&i| pads[i] != 0 || pads[i + rank] != 0).collect();
    let mode = node.string("mode").unwrap_or("reflect").to_owned();
    let mut current = x;
    for axes in padded.chunks(2) {
        let mut perm: Vec<usize> = (0..rank).filter(|i| !axes.contains(i)).collect();
        perm.extend(axes);
        let moved = |list: &[usize]| list.iter().map(|&i| i as i64).collect::<Vec<_>>();
        let mut inverse = vec![0; rank];
        perm.iter().enumerate().for_each(|(i, &p)| inverse[p] = i);
        let amount = |i: &usize, offset| if axes.contains(i) { pads[i + offset] } else { 0 };
        let leading = perm.iter().map(|i| amount(i, 0));
        let amounts: Vec<i64> = leading.chain(perm.iter().map(|i| amount(i, rank))).collect();
        let last =
            graph.node("Transpose").input(current).attribute("perm", moved(&perm)).output("last");
        let wide = graph
            .node("Pad")
            .input(last)
            .ints(&amounts)
            .attribute("mode", mode.as_str())
            .output("wide");
        current =
            graph.node("Transpose").input(wide).attribute("perm", moved(&inverse)).output("back");
    }
    graph.node("Identity").named(&node.name).input(current).output_to(y);
    Some(())
}
