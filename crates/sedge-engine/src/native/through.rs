//! Models whose outputs are their inputs: nothing is computed, so that no engine is asked.

use sedge_graph::{Graph, ValueId};
use sedge_tensor::Tensor;

use crate::session::accept_all;
use crate::{RunError, Session, TensorInfo};

/// A model that answers with what it was given.
#[derive(Debug)]
pub(super) struct Through {
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    /// For each output the input it is.
    sources: Vec<usize>,
}

impl Through {
    /// The session for a graph without an operator that computes; `None` when there is one.
    pub(super) fn of(graph: &Graph) -> Option<Self> {
        let source = |&output: &ValueId| {
            let mut value = output;
            // Every step is a node, and a sorted graph has no circle.
            for _ in 0..=graph.nodes.len() {
                if let Some(index) = graph.inputs.iter().position(|&input| input == value) {
                    return Some(index);
                }
                let maker = graph.nodes.iter().find(|node| node.output(0) == Some(value))?;
                value = maker.input(0).filter(|_| maker.is("Identity"))?;
            }
            None
        };
        let sources = graph.outputs.iter().map(source).collect::<Option<Vec<_>>>()?;
        let (inputs, outputs) = TensorInfo::of_graph(graph);
        Some(Self { inputs, outputs, sources })
    }
}

impl Session for Through {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
        accept_all(&self.inputs, inputs)?;
        Ok(self.sources.iter().map(|&source| inputs[source].clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use sedge_graph::Value;
    use sedge_tensor::DType;

    use super::*;

    #[test]
    fn outputs_are_inputs_only_where_nothing_computes() {
        let mut graph = Graph::new("through");
        let input = |graph: &mut Graph, name: &str| {
            let value = Value { name: name.into(), dtype: Some(DType::F32), ..Value::default() };
            let id = graph.add_value(value);
            graph.inputs.push(id);
            id
        };
        let (a, b) = (input(&mut graph, "a"), input(&mut graph, "b"));
        let copy = graph.node("Identity").input(b).output("copy");
        let twice = graph.node("Identity").input(copy).output("twice");
        graph.outputs = vec![twice, a];
        let session = Through::of(&graph).unwrap();
        let inputs = [1.0f32, 2.0].map(|x| Tensor::new([1], vec![x]).unwrap());
        let answer = session.run(&inputs).unwrap();
        assert_eq!(answer, [inputs[1].clone(), inputs[0].clone()]);
        let negative = graph.node("Neg").input(a).output("negative");
        graph.outputs.push(negative);
        assert!(Through::of(&graph).is_none());
    }
}
