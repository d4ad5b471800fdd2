//! An ONNX file as the network: a parameter, given as an input or as an initialiser of any content,
//! gets the array of its name.

use sedge_graph::{Dim, Graph, ValueId, onnx};
use sedge_tensor::Tensor;

use super::Error;
use super::weights::Weights;
use crate::Source;

/// Reads the file beside the weights and fills it.
pub(super) fn fill(source: &Source<'_>, name: &str, weights: &mut Weights) -> Result<Graph, Error> {
    let unreadable = |problem: String| Error::Architecture { name: name.to_owned(), problem };
    let bytes = source.read(name).map_err(|error| unreadable(error.to_string()))?;
    let read = onnx::read(&bytes).map_err(|error| unreadable(error.to_string()));
    let mut graph = read?;
    let initialised = graph.values().filter(|(_, value)| value.constant.is_some());
    let initialised: Vec<ValueId> = initialised.map(|(id, _)| id).collect();
    for id in graph.inputs.clone().into_iter().chain(initialised) {
        if let Some(array) = weights.find(&graph.value(id).name) {
            put(&mut graph, id, array)?;
        }
    }
    let inputs = std::mem::take(&mut graph.inputs);
    graph.inputs = inputs.into_iter().filter(|&id| graph.value(id).constant.is_none()).collect();
    // Shapes that followed from what stood in the place of weights do not matter any more.
    sedge_graph::shapes::fold(&mut graph);
    Ok(graph)
}

fn put(graph: &mut Graph, id: ValueId, array: Tensor) -> Result<(), Error> {
    let value = graph.value_mut(id);
    let fits = value.shape.as_ref().is_none_or(|shape| {
        let same = |(dim, &size): (&Dim, &usize)| dim.fixed().is_none_or(|n| n == size);
        shape.len() == array.shape().len() && shape.iter().zip(array.shape()).all(same)
    });
    if !fits || value.dtype.is_some_and(|dtype| dtype != array.dtype()) {
        let wanted = value.shape.iter().flatten().map(|dim| dim.fixed().unwrap_or(0)).collect();
        let found = array.shape().to_vec();
        return Err(Error::Shape { name: value.name.clone(), found, wanted });
    }
    value.dtype = Some(array.dtype());
    value.shape = Some(array.shape().iter().map(|&n| Dim::Fixed(n)).collect());
    value.constant = Some(array);
    Ok(())
}
