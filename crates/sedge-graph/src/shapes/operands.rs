use sedge_tensor::DType;

use crate::{Dim, Graph, Node, ValueId};

/// A node with what is known of its operands.
pub(super) struct Operands<'a> {
    pub(super) graph: &'a Graph,
    pub(super) node: &'a Node,
}

impl Operands<'_> {
    pub(super) fn id(&self, index: usize) -> Option<ValueId> {
        self.node.input(index)
    }

    pub(super) fn dtype(&self, index: usize) -> Option<DType> {
        self.graph.value(self.id(index)?).dtype
    }

    pub(super) fn shape(&self, index: usize) -> Option<Vec<Dim>> {
        self.graph.value(self.id(index)?).shape.clone()
    }

    pub(super) fn ints(&self, index: usize) -> Option<Vec<i64>> {
        self.graph.constant_ints(self.id(index))
    }

    pub(super) fn axis(&self, rank: usize, default: i64) -> Option<usize> {
        wrap(self.node.int("axis").unwrap_or(default), rank)
    }

    pub(super) fn dims_of_constant(&self, index: usize) -> Option<Vec<Dim>> {
        let dim = |n: i64| usize::try_from(n).map_or(Dim::Unknown, Dim::Fixed);
        Some(self.ints(index)?.into_iter().map(dim).collect())
    }
}

/// A possibly negative axis as an index below `rank`.
pub(super) fn wrap(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}
