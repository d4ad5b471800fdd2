//! A package's inputs and outputs as the rest of Sedge sees those of every model.

use sedge_graph::{Dim, Graph, Value};
use sedge_import::{Fact, Format, Imported, interface_facts};
use sedge_tensor::DType;

use super::{Neo, NeoTensor};

impl Neo {
    /// The package as if it had been imported, named by its file `main`.
    pub(crate) fn imported(&self, main: &str) -> Imported {
        let graph = self.interface();
        let facts = self.facts(&graph);
        let parts = self.files.iter().filter(|file| file.role != "other" && file.name != main);
        let beside = parts.map(|file| file.name.clone()).collect();
        Imported { format: Format::Neo, graph, facts, beside }
    }

    /// A graph of inputs and outputs without anything between them.
    fn interface(&self) -> Graph {
        let mut graph = Graph::new("");
        graph.inputs = self.inputs.iter().map(|tensor| graph.add_value(value(tensor))).collect();
        graph.outputs = self.outputs.iter().map(|tensor| graph.add_value(value(tensor))).collect();
        graph
    }

    /// What follows from inputs, outputs, and the last function of the graph.
    fn facts(&self, interface: &Graph) -> Vec<Fact> {
        let mut facts = interface_facts(interface);
        let is_classifier =
            |fact: &Fact| fact.key == "decoder.kind" && fact.value.as_str() == Some("classes");
        if let Some(function) = &self.last_function
            && facts.iter().any(is_classifier)
            && ["softmax", "sigmoid"].iter().any(|end| ends_in(function, end))
        {
            let origin = format!("graph ends in {function}");
            facts.push(Fact::new("decoder.activation", "none", &origin));
        }
        facts
    }
}

/// TVM names a function for the operators that it fused, in their order, and numbers equal names:
/// `fused_nn_dense_add_nn_softmax_1`.
fn ends_in(function: &str, operator: &str) -> bool {
    let name = function.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
    name.ends_with(operator)
}

fn value(tensor: &NeoTensor) -> Value {
    let dim = |&dim: &i64| usize::try_from(dim).map_or(Dim::Unknown, Dim::Fixed);
    Value {
        name: tensor.name.clone(),
        dtype: DType::of_numpy(&tensor.dtype),
        shape: Some(tensor.shape.iter().map(dim).collect()),
        ..Value::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fused_functions_are_named_for_their_operators() {
        for (function, end, is) in [
            ("fused_nn_softmax", "softmax", true),
            ("fused_nn_dense_add_nn_softmax_12", "softmax", true),
            ("fused_nn_softmax_multiply", "softmax", false),
            ("fused_sigmoid_3", "sigmoid", true),
        ] {
            assert_eq!(ends_in(function, end), is, "{function}");
        }
    }
}
