//! The embedded engine on quantised graphs.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used)]

use sedge_engine::{Engine, LoadOptions, Model, Native, Registry, Rten, Session};
use sedge_graph::{Attribute, Dim, Graph, Value, ValueId};
use sedge_tensor::{DType, Tensor};

const ONE_THREAD: LoadOptions = LoadOptions { threads: 1 };

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

fn one_node(op: &str, operands: usize, attributes: &[(&str, Attribute)]) -> Graph {
    let mut graph = Graph::new("one");
    let shape = || Some(vec![Dim::Fixed(1), Dim::Fixed(2), Dim::Fixed(usize::MAX), Dim::Fixed(3)]);
    let x = Value { name: "x".into(), dtype: Some(DType::F32), shape: shape(), ..Value::default() };
    let x = graph.add_value(x);
    graph.inputs.push(x);
    let mut node = graph.node(op).named("the one").input(x);
    for _ in 1..operands {
        node = node.constant(Tensor::new([2, 2, 1, 1], vec![1f32; 4]).unwrap());
    }
    for (name, value) in attributes {
        node = node.attribute(name, value.clone());
    }
    let y = node.output("y");
    graph.value_mut(y).dtype = Some(DType::F32);
    graph.outputs.push(y);
    graph
}

#[test]
fn sizes_beyond_all_measure_are_no_panic() {
    let far = |count: usize| Attribute::Ints(vec![i64::MAX; count]);
    let lower = ("auto_pad", Attribute::from("SAME_LOWER"));
    for (op, operands, attributes) in [
        ("Conv", 2, vec![lower.clone(), ("strides", far(2)), ("dilations", far(2))]),
        ("ConvTranspose", 2, vec![("output_shape", far(2)), ("strides", far(2))]),
        ("ConvTranspose", 2, vec![lower, ("output_padding", far(2)), ("dilations", far(2))]),
        ("LpPool", 1, vec![("kernel_shape", far(2))]),
        ("LRN", 1, vec![("size", Attribute::Int(i64::MIN))]),
        ("SpaceToDepth", 1, vec![("blocksize", Attribute::Int(i64::MAX))]),
        ("GroupNormalization", 3, vec![("num_groups", Attribute::Int(i64::MAX))]),
        ("RoiAlign", 3, vec![("output_height", Attribute::Int(i64::MAX))]),
    ] {
        let loaded = Native.load(Model::Graph(one_node(op, operands, &attributes)), &ONE_THREAD);
        let Err(error) = loaded else { continue };
        assert!(!error.to_string().contains("panicked"), "{op}: {error}");
    }
}

#[test]
fn what_is_lacking_is_named_with_its_place_and_a_way_out() {
    for (graph, words) in [
        (one_node("Det", 1, &[]), "operator 'Det' at node 'the one': it has no such operator"),
        (one_node("GRU", 3, &[]), "operator 'GRU' at node 'the one': linear_before_reset = 0"),
    ] {
        let error = Native.load(Model::Graph(graph), &ONE_THREAD).unwrap_err().to_string();
        assert!(error.starts_with("the embedded engine cannot run "), "{error}");
        assert!(error.contains(words), "{error}");
        assert!(error.contains("Hint: try --engine onnxruntime"), "{error}");
    }
}

#[test]
fn operators_that_need_sizes_run_where_each_request_brings_them() {
    let mut graph = one_node("SpaceToDepth", 1, &[("blocksize", Attribute::Int(2))]);
    let open = |name: &str| Dim::Symbol(name.into());
    let shape = Some(vec![open("batch"), Dim::Fixed(1), open("height"), open("width")]);
    let x = graph.inputs[0];
    graph.value_mut(x).shape = shape;
    let session = load(&Native, graph);
    for [height, width] in [[2, 4], [4, 2], [2, 4]] {
        let pixels: Vec<f32> = (0..8).map(|n| n as f32).collect();
        let input = Tensor::new([1, 1, height, width], pixels).unwrap();
        let output = session.run(&[input]).unwrap().remove(0);
        assert_eq!(output.shape(), [1, 4, height / 2, width / 2]);
        let corners: Vec<f32> =
            output.view::<f32>().unwrap()[..].iter().step_by(2).copied().collect();
        assert_eq!(corners, [0.0, 1.0, width as f32, width as f32 + 1.0]);
    }
}
