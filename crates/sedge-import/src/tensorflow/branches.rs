//! Which results exist under which condition: the branches between `Switch` and `Merge` whose choice
//! the input makes.

use std::collections::HashMap;

use sedge_graph::ValueId;

use super::Refusal;
use super::program::Output;

/// How many conditions may lie in each other.
const MAX_CONDITIONS: usize = 32;

/// A condition, and what it has to be.
type Condition = (ValueId, bool);

/// The conditions that hold where results are made, the outermost first.
#[derive(Debug, Default)]
pub(super) struct Branches {
    /// Of the two results of a `Switch`.
    opened: HashMap<Output, Condition>,
    /// Of all results of a node.
    under: HashMap<usize, Vec<Condition>>,
}

impl Branches {
    /// A `Switch` gives this result where `condition` is `side`.
    pub(super) fn open(&mut self, output: Output, condition: ValueId, side: bool) {
        self.opened.insert(output, (condition, side));
    }

    /// Says under which conditions a node is that reads `operands`.
    pub(super) fn enter(&mut self, node: usize, operands: &[Output]) -> Result<(), Refusal> {
        if self.opened.is_empty() {
            return Ok(());
        }
        let mut under: Vec<Condition> = Vec::new();
        for operand in operands {
            for condition in self.conditions(*operand) {
                if !under.contains(&condition) {
                    under.push(condition);
                }
            }
        }
        if under.len() > MAX_CONDITIONS {
            return Err(Refusal::new("too many conditions lie in each other"));
        }
        self.under.insert(node, under);
        Ok(())
    }

    /// True for a result that is there only where some condition holds.
    pub(super) fn is_within(&self, output: Output) -> bool {
        !self.opened.is_empty() && !self.conditions(output).is_empty()
    }

    fn conditions(&self, output: Output) -> Vec<Condition> {
        let under = self.under.get(&output.node).map_or(&[][..], Vec::as_slice);
        under.iter().chain(self.opened.get(&output)).copied().collect()
    }

    /// The condition that tells the operands of a `Merge` apart, and whether it is the first that is
    /// for true: what comes behind is under the other conditions only.
    pub(super) fn close(
        &mut self,
        node: usize,
        first: Output,
        second: Output,
    ) -> Result<(ValueId, bool), Refusal> {
        let (first, second) = (self.conditions(first), self.conditions(second));
        let against = |(value, side): Condition, others: &[Condition]| {
            others.contains(&(value, !side)) || !others.iter().any(|(other, _)| *other == value)
        };
        // The innermost; a branch that is a constant has no condition of its own.
        let of_first = first.iter().rev().find(|&&condition| against(condition, &second));
        let of_second = second.iter().rev().find(|&&condition| against(condition, &first));
        let (condition, turned) = match (of_second, of_first) {
            (Some(&(value, side)), _) => (value, !side),
            (None, Some(&(value, side))) => (value, side),
            (None, None) => {
                return Err(Refusal::new("nothing tells which of its branches is taken"));
            }
        };
        if let Some(under) = self.under.get_mut(&node) {
            under.retain(|&(value, _)| value != condition);
        }
        Ok((condition, turned))
    }
}
