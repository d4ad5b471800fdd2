//! A model whose requests say how it behaves.

use sedge_graph::{Dim, Graph, Value, onnx};
use sedge_tensor::{DType, Tensor};

/// Rounds of multiplication: with matrices of 600 x 600 they take about a second.
const ROUNDS: usize = 24;

/// An ONNX file that answers `y = x + constant`, and on the way multiplies matrices of `size` x
/// `size` (time) and holds `bulk` numbers at once (memory; it gives up when there is not as much).
pub(crate) fn model(constant: f32) -> Vec<u8> {
    let mut graph = Graph::new("conduct");
    let input = |graph: &mut Graph, name: &str, dtype| {
        let shape = Some(vec![Dim::Fixed(1)]);
        let value = Value { name: name.into(), dtype: Some(dtype), shape, ..Value::default() };
        let id = graph.add_value(value);
        graph.inputs.push(id);
        id
    };
    let x = input(&mut graph, "x", DType::F32);
    let size = input(&mut graph, "size", DType::I64);
    let bulk = input(&mut graph, "bulk", DType::I64);
    let shape =
        graph.node("Concat").input(size).input(size).attribute("axis", 0_i64).output("shape");
    let zero = Tensor::vector(vec![0.0_f32]);
    let zeros = graph.node("ConstantOfShape").input(shape).attribute("value", zero.clone());
    let zeros = zeros.output("zeros");
    let mut product = zeros;
    for _ in 0..ROUNDS {
        product = graph.node("MatMul").input(product).input(zeros).output("product");
    }
    let nothing = graph.node("ReduceSum").input(product).attribute("keepdims", 0_i64).output("sum");
    let one = Tensor::vector(vec![1.0_f32]);
    let ones = graph.node("ConstantOfShape").input(bulk).attribute("value", one).output("ones");
    let ones = graph.node("ReduceSum").input(ones).attribute("keepdims", 0_i64).output("count");
    let still_nothing = graph.node("Min").input(ones).constant(zero).output("nothing");
    let y = graph.node("Add").input(x).constant(Tensor::vector(vec![constant])).output("moved");
    let y = graph.node("Add").input(y).input(nothing).output("timed");
    let y = graph.node("Add").input(y).input(still_nothing).output("y");
    graph.value_mut(y).dtype = Some(DType::F32);
    graph.value_mut(y).shape = Some(vec![Dim::Fixed(1)]);
    graph.outputs.push(y);
    onnx::write(&graph)
}
