//! What of a graph serves inference: labels, targets and losses are cut away.

use super::Error;
use super::symbol::{Entry, Node, Symbol};

/// Outputs that are answered, and the nodes they need.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) heads: Vec<Entry>,
    needed: Vec<bool>,
    variables: Vec<bool>,
}

impl Wanted {
    pub(super) fn of(symbol: &Symbol) -> Result<Self, Error> {
        let of_training = of_training(symbol);
        let serves = |head: &&Entry| !of_training[head.node];
        let mut heads: Vec<Entry> = symbol.heads.iter().filter(serves).copied().collect();
        if heads.is_empty() {
            // An input may be called a label and be none.
            let only_labelled = |entry: &Entry| !needs_target(symbol, *entry);
            heads = symbol.heads.iter().filter(|head| only_labelled(head)).copied().collect();
        }
        if heads.is_empty() {
            return Err(Error::OnlyTraining);
        }
        let reached = reached(symbol, &heads);
        let is_variable: Vec<bool> = symbol.nodes.iter().map(Node::is_variable).collect();
        let both = |want: bool| {
            let pairs = reached.iter().zip(&is_variable);
            pairs.map(|(&reached, &variable)| reached && variable == want).collect()
        };
        Ok(Self { heads, needed: both(false), variables: both(true) })
    }

    /// Operators, each after those it reads.
    pub(super) fn nodes(&self) -> impl Iterator<Item = usize> + use<'_> {
        self.needed.iter().enumerate().filter_map(|(index, &needed)| needed.then_some(index))
    }

    /// Weights and inputs.
    pub(super) fn variables(&self) -> impl Iterator<Item = usize> + use<'_> {
        self.variables.iter().enumerate().filter_map(|(index, &needed)| needed.then_some(index))
    }
}

/// The operands that a node's answer depends on: an output layer compares with its label in
/// training only.
pub(super) fn operands(node: &Node) -> &[Entry] {
    let only_data = matches!(
        node.op.as_str(),
        "SoftmaxOutput"
            | "Softmax"
            | "SVMOutput"
            | "LinearRegressionOutput"
            | "MAERegressionOutput"
            | "LogisticRegressionOutput"
            | "IdentityAttachKLSparseReg"
    );
    if only_data { node.inputs.get(..1).unwrap_or_default() } else { &node.inputs }
}

fn is_target(node: &Node) -> bool {
    matches!(
        node.op.trim_start_matches("_contrib_"),
        "MultiBoxTarget" | "softmax_cross_entropy" | "CTCLoss" | "ctc_loss"
    )
}

fn is_label(node: &Node) -> bool {
    node.is_variable() && (node.name == "label" || node.name.ends_with("_label"))
}

/// For each node, whether its value depends on labels or targets.
fn of_training(symbol: &Symbol) -> Vec<bool> {
    let mut marked = vec![false; symbol.nodes.len()];
    for (index, node) in symbol.nodes.iter().enumerate() {
        marked[index] = is_target(node)
            || is_label(node)
            || operands(node).iter().any(|entry| marked[entry.node]);
    }
    marked
}

fn needs_target(symbol: &Symbol, head: Entry) -> bool {
    let reached = reached(symbol, &[head]);
    symbol.nodes.iter().zip(reached).any(|(node, reached)| reached && is_target(node))
}

/// For each node, whether one of `heads` depends on it.
fn reached(symbol: &Symbol, heads: &[Entry]) -> Vec<bool> {
    let mut reached = vec![false; symbol.nodes.len()];
    heads.iter().for_each(|head| reached[head.node] = true);
    for index in (0..symbol.nodes.len()).rev() {
        if reached[index] {
            for entry in operands(&symbol.nodes[index]) {
                reached[entry.node] = true;
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_what_depends_on_them_are_cut_away() {
        let text = r#"{"nodes": [
            {"op": "null", "name": "data", "inputs": []},
            {"op": "null", "name": "label", "inputs": []},
            {"op": "_contrib_MultiBoxTarget", "name": "target", "inputs": [[0, 0], [1, 0], [0, 0]]},
            {"op": "SoftmaxOutput", "name": "prob", "inputs": [[0, 0], [2, 2]]},
            {"op": "MakeLoss", "name": "loss", "inputs": [[2, 0]]}],
            "heads": [[4, 0], [3, 0]]}"#;
        let symbol = Symbol::read(text.as_bytes()).unwrap();
        let wanted = Wanted::of(&symbol).unwrap();
        assert_eq!(wanted.heads, [Entry { node: 3, output: 0 }]);
        assert_eq!(wanted.nodes().collect::<Vec<_>>(), [3]);
        assert_eq!(wanted.variables().collect::<Vec<_>>(), [0]);
        let loss = text.replace("[[4, 0], [3, 0]]", "[[4, 0]]");
        let symbol = Symbol::read(loss.as_bytes()).unwrap();
        assert!(matches!(Wanted::of(&symbol), Err(Error::OnlyTraining)));
    }
}
