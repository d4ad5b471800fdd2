//! The embedded engine on quantised graphs.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used)]

use sedge_engine::{Engine, LoadOptions, Model, Native, Registry, Rten, Session};
use sedge_graph::{Dim, Graph, Value, ValueId};
use sedge_tensor::{DType, Tensor};

fn load(engine: &dyn Engine, graph: Graph) -> Box<dyn Session> {
    engine.load(Model::Graph(graph), &LoadOptions { threads: 2 }).unwrap()
}

struct Builder(Graph);

impl Builder {
    fn quantize(&mut self, real: ValueId, scale: f32, zero: u8) -> ValueId {
        let node = self.0.node("QuantizeLinear").input(real).scalar(scale);
        node.constant(Tensor::scalar(zero)).output("quantized")
    }

    fn dequantize(&mut self, bytes: ValueId, scale: f32, zero: u8) -> ValueId {
        let node = self.0.node("DequantizeLinear").input(bytes).scalar(scale);
        node.constant(Tensor::scalar(zero)).output("real")
    }

    fn convolution(&mut self, real: ValueId, channels: usize) -> ValueId {
        let weights: Vec<i8> = (0..channels * channels * 9).map(|i| (i * 37 % 255) as i8).collect();
        let weights = Tensor::new([channels, channels, 3, 3], weights).unwrap();
        let weights = self.0.add_constant("weights", weights);
        let scales = Tensor::vector((0..channels).map(|c| 0.001 + c as f32 * 1e-4).collect());
        let zeros = Tensor::vector(vec![0i8; channels]);
        let node = self.0.node("DequantizeLinear").input(weights).constant(scales).constant(zeros);
        let weights = node.attribute("axis", 0i64).output("weights_real");
        let node = self.0.node("Conv").input(real).input(weights);
        let node = node.attribute("strides", vec![1i64; 2]).attribute("dilations", vec![1i64; 2]);
        node.attribute("pads", vec![1i64; 4]).output("convolved")
    }
}

/// Integer operators with floats between and beside them, for any number of pictures.
fn mixed() -> Graph {
    let mut graph = Graph::new("mixed");
    let batch = Dim::Symbol("batch".into());
    let shape = Some(vec![batch, Dim::Fixed(4), Dim::Fixed(6), Dim::Fixed(5)]);
    let x = Value { name: "x".into(), dtype: Some(DType::U8), shape, ..Value::default() };
    let x = graph.add_value(x);
    graph.inputs.push(x);
    let mut builder = Builder(graph);
    let real = builder.dequantize(x, 0.02, 120);
    let first = builder.convolution(real, 4);
    let first = builder.0.node("Relu").input(first).output("relu");
    let first = builder.quantize(first, 0.03, 0);
    let first_real = builder.dequantize(first, 0.03, 0);
    // No kernel is for this one: it goes to the other engine.
    let float = builder.0.node("Erf").input(first_real).output("erf");
    let back = builder.quantize(float, 1.0 / 128.0, 0);
    let back = builder.dequantize(back, 1.0 / 128.0, 0);
    let second = builder.convolution(back, 4);
    let second = builder.quantize(second, 0.02, 128);
    let second = builder.dequantize(second, 0.02, 128);
    let sum = builder.0.node("Add").input(first_real).input(second).output("sum");
    let sum = builder.quantize(sum, 0.04, 60);
    let flat = builder.0.node("Flatten").input(sum).output("flat");
    let mut graph = builder.0;
    graph.outputs.extend([flat, float]);
    graph.sort().unwrap();
    sedge_graph::shapes::infer(&mut graph);
    graph
}

fn pictures(count: usize) -> Tensor {
    let bytes: Vec<u8> = (0..count * 120).map(|i| (i * 73 % 251) as u8).collect();
    Tensor::new([count, 4, 6, 5], bytes).unwrap()
}

#[test]
fn integers_and_floats_take_turns_for_any_batch() {
    let (native, floats) = (load(&Native, mixed()), load(&Rten, mixed()));
    for count in [1, 3, 2, 5, 4, 1] {
        let input = [pictures(count)];
        let (got, want) = (native.run(&input).unwrap(), floats.run(&input).unwrap());
        assert_eq!((got[0].dtype(), got[0].shape()), (DType::U8, &[count, 120][..]));
        let steps = got[0].bytes().iter().zip(want[0].bytes()).map(|(a, b)| a.abs_diff(*b));
        // A halfway case may fall the other way, and once more after the second layer.
        assert!(steps.max() <= Some(2), "{count} pictures");
        assert_eq!(got[1].shape(), [count, 4, 6, 5]);
    }
}

#[test]
fn one_session_answers_several_threads() {
    let session = load(&Native, mixed());
    let want: Vec<_> = (1..4).map(|n| session.run(&[pictures(n)]).unwrap()).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..30 {
                    let n = round % 3;
                    assert_eq!(session.run(&[pictures(n + 1)]).unwrap(), want[n]);
                }
            });
        }
    });
}

/// An operator between bytes, whose result the file states to be ten times as long as it is.
fn misstated(op: &str) -> Graph {
    let mut graph = Graph::new(op);
    let shape = |last: usize| Some([1, 4, 6, last].map(Dim::Fixed).to_vec());
    let x = Value { name: "x".into(), dtype: Some(DType::U8), shape: shape(5), ..Value::default() };
    let x = graph.add_value(x);
    graph.inputs.push(x);
    let mut builder = Builder(graph);
    let real = builder.dequantize(x, 0.02, 120);
    let node = builder.0.node(op).input(real);
    let result = match op {
        "Concat" => node.input(real).attribute("axis", 3i64),
        "Transpose" => node.attribute("perm", vec![0i64, 2, 3, 1]),
        _ => node,
    };
    let result = result.output("result");
    let bytes = builder.quantize(result, 1.0 / 256.0, 0);
    let mut graph = builder.0;
    graph.value_mut(result).shape = shape(50);
    graph.value_mut(bytes).shape = shape(50);
    graph.outputs.push(bytes);
    graph
}

#[test]
fn shapes_that_a_file_states_wrongly_panic_nowhere() {
    for op in ["Sigmoid", "Softmax", "Concat", "Transpose", "Relu", "Erf"] {
        let loaded = Native.load(Model::Graph(misstated(op)), &LoadOptions { threads: 1 });
        let input = Tensor::new([1, 4, 6, 5], vec![7u8; 120]).unwrap();
        let answer = loaded
            .map_err(|error| error.to_string())
            .and_then(|session| session.run(&[input]).map_err(|error| error.to_string()));
        assert!(!answer.is_err_and(|error| error.contains("panicked")), "{op}");
    }
}

#[test]
fn wrong_inputs_are_named() {
    let session = load(&Native, mixed());
    let error = session.run(&[Tensor::new([1, 4, 6, 6], vec![0u8; 144]).unwrap()]).unwrap_err();
    assert!(error.to_string().contains("'x' takes shape batchx4x6x5"), "{error}");
}

#[test]
fn it_is_the_automatic_choice() {
    assert_eq!(Registry::new(None).engine("auto").unwrap().name(), "native");
}
