//! Rewrites change no answer: graphs run as they are and as every imported graph is rewritten.
#![cfg(feature = "native")]
#![allow(clippy::unwrap_used)]

use sedge_engine::{Engine, LoadOptions, Model, Native};
use sedge_graph::{Dim, Graph, NodeBuilder, Value, ValueId, passes};
use sedge_tensor::{DType, Tensor};

/// Numbers without a pattern, the same in every run (xorshift).
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as f32 / u32::MAX as f32 * 2.0 - 1.0
    }

    fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let values = (0..shape.iter().product()).map(|_| self.next()).collect::<Vec<f32>>();
        Tensor::new(shape, values).unwrap()
    }

    fn positive(&mut self, count: usize) -> Tensor {
        Tensor::vector((0..count).map(|_| self.next().abs() + 0.1).collect::<Vec<f32>>())
    }
}

fn normalised(graph: &mut Graph, x: ValueId, channels: usize, numbers: &mut Numbers) -> ValueId {
    let [gamma, beta, mean] = [0; 3].map(|_| numbers.tensor(&[channels]));
    let variance = numbers.positive(channels);
    let node = graph.node("BatchNormalization").input(x).constant(gamma).constant(beta);
    node.constant(mean).constant(variance).attribute("epsilon", 1e-3f32).output("normal")
}

fn padded(node: NodeBuilder<'_>) -> NodeBuilder<'_> {
    node.attribute("pads", vec![1i64, 1, 1, 1])
}

/// One linear operator behind the input, before scales and shifts of every kind.
fn network(linear: &str, shape: &[usize], numbers: &mut Numbers) -> Graph {
    let mut graph = Graph::new(linear);
    let dims = Some(shape.iter().map(|&n| Dim::Fixed(n)).collect());
    let input =
        Value { name: "x".into(), dtype: Some(DType::F32), shape: dims, ..Value::default() };
    let x = graph.add_value(input);
    graph.inputs.push(x);
    let (y, channels) = match linear {
        "conv" => {
            let weight = numbers.tensor(&[6, 4, 3, 3]);
            (padded(graph.node("Conv").input(x).constant(weight)).output("c"), 6)
        }
        "depthwise" => {
            let (weight, bias) = (numbers.tensor(&[4, 1, 3, 3]), numbers.tensor(&[4]));
            let node = graph.node("Conv").input(x).constant(weight).constant(bias);
            (padded(node).attribute("group", 4).output("c"), 4)
        }
        "transposed" => {
            let (weight, bias) = (numbers.tensor(&[4, 6, 3, 3]), numbers.tensor(&[6]));
            let node = graph.node("ConvTranspose").input(x).constant(weight).constant(bias);
            (node.attribute("strides", vec![2i64, 2]).output("c"), 6)
        }
        "half" => {
            let weight = numbers.tensor(&[6, 4, 3, 3]);
            let half = weight.to_f32().unwrap().iter().map(|&w| half::f16::from_f32(w)).collect();
            let half = graph.add_constant("half", Tensor::new([6, 4, 3, 3], half).unwrap());
            let weight = graph.node("Cast").input(half).attribute("to", 1).output("w");
            (padded(graph.node("Conv").input(x).input(weight)).output("c"), 6)
        }
        _ => {
            let (weight, bias) = (numbers.tensor(&[6, 4]), numbers.tensor(&[1, 6]));
            let node = graph.node("Gemm").input(x).constant(weight).constant(bias);
            (node.attribute("transB", 1).output("g"), 6)
        }
    };
    let y = normalised(&mut graph, y, channels, numbers);
    let mut per_channel = vec![1; shape.len()];
    per_channel[1] = channels;
    let y = graph.node("Mul").input(y).constant(numbers.tensor(&per_channel)).output("m");
    let y = graph.node("Sub").scalar(0.5).input(y).output("s");
    let y = graph.node("Div").input(y).constant(numbers.positive(1)).output("d");
    let y = graph.node("Relu").input(y).output("y");
    graph.outputs.push(y);
    graph
}

fn answer(graph: Graph, input: &Tensor) -> Tensor {
    let session = Native.load(Model::Graph(graph), &LoadOptions { threads: 1 }).unwrap();
    session.run(std::slice::from_ref(input)).unwrap().remove(0)
}

#[test]
fn folded_graphs_answer_as_before() {
    let mut numbers = Numbers(2_463_534_242);
    for (linear, shape) in [
        ("conv", &[2, 4, 7, 5][..]),
        ("depthwise", &[1, 4, 6, 6]),
        ("transposed", &[1, 4, 5, 3]),
        ("half", &[1, 4, 7, 5]),
        ("product", &[3, 4]),
    ] {
        let graph = network(linear, shape, &mut numbers);
        let mut rewritten = graph.clone();
        passes::simplify(&mut rewritten).unwrap();
        assert_eq!(rewritten.nodes.len(), 2, "{linear}: the operator and its activation are left");
        let input = numbers.tensor(shape);
        let (want, got) = (answer(graph, &input), answer(rewritten, &input));
        assert_eq!(got.shape(), want.shape());
        let (want, got) = (want.to_f32().unwrap(), got.to_f32().unwrap());
        let greatest = want.iter().fold(0f32, |most, x| most.max(x.abs()));
        let off = got.iter().zip(want.iter()).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(greatest > 0.0 && off <= 2e-6 * greatest, "{linear}: off by {off} of {greatest}");
    }
}

/// What exporters spell out: zeros around a convolution, then an activation in several operators.
fn spelled_out(activation: &str, numbers: &mut Numbers) -> Graph {
    let mut graph = Graph::new(activation);
    let dims = [1, 4, 7, 5].map(Dim::Fixed).to_vec();
    let input =
        Value { name: "x".into(), dtype: Some(DType::F32), shape: Some(dims), ..Value::default() };
    let x = graph.add_value(input);
    graph.inputs.push(x);
    let wide = graph.node("Pad").input(x).ints(&[0, 0, 0, 1, 0, 0, 2, 1]).output("wide");
    let weight = numbers.tensor(&[6, 4, 3, 3]);
    let node = graph.node("Conv").input(wide).constant(weight).attribute("strides", vec![2i64, 2]);
    let x = node.output("c");
    let gate = |graph: &mut Graph| {
        let sum = graph.node("Add").input(x).scalar(3.0).output("sum");
        let least = graph.node("Max").input(sum).scalar(0.0).output("least");
        graph.node("Min").input(least).scalar(6.0).output("gate")
    };
    let y = match activation {
        "limits" => {
            let least = graph.node("Relu").input(x).output("least");
            graph.node("Clip").input(least).scalar(-1.0).scalar(1.5).output("y")
        }
        "gate" => {
            let gate = gate(&mut graph);
            graph.node("Div").input(gate).scalar(6.0).output("y")
        }
        "swish" => {
            let gate = gate(&mut graph);
            let sixth = graph.node("Mul").input(gate).scalar(1.0 / 6.0).output("sixth");
            graph.node("Mul").input(x).input(sixth).output("y")
        }
        _ => {
            let gate = gate(&mut graph);
            let product = graph.node("Mul").input(gate).input(x).output("product");
            graph.node("Div").input(product).scalar(6.0).output("y")
        }
    };
    graph.outputs.push(y);
    graph
}

#[test]
fn fused_graphs_answer_as_before() {
    let mut numbers = Numbers(88_172_645);
    for activation in ["limits", "gate", "swish", "swish divided last"] {
        let graph = spelled_out(activation, &mut numbers);
        let mut rewritten = graph.clone();
        passes::simplify(&mut rewritten).unwrap();
        assert_eq!(rewritten.nodes.len(), 2, "{activation}: a convolution and its activation");
        let input = numbers.tensor(&[1, 4, 7, 5]);
        let (want, got) = (answer(graph, &input), answer(rewritten, &input));
        assert_eq!(got.shape(), want.shape());
        let (want, got) = (want.to_f32().unwrap(), got.to_f32().unwrap());
        let off = got.iter().zip(want.iter()).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(want.iter().any(|x| *x > 0.5) && off <= 1e-6, "{activation}: off by {off}");
    }
}

#[test]
fn pictures_of_an_open_batch_are_resized() {
    let mut graph = Graph::new("resize");
    let dims = [Dim::Symbol("batch".into()), Dim::Fixed(1), Dim::Fixed(2), Dim::Fixed(2)];
    let input = Value {
        name: "x".into(),
        dtype: Some(DType::F32),
        shape: Some(dims.to_vec()),
        ..Value::default()
    };
    let x = graph.add_value(input);
    graph.inputs.push(x);
    let node = graph.node("Resize").input(x).optional(None).optional(None).ints(&[4, 2]);
    let node = node.attribute("axes", vec![2i64, 3]).attribute("mode", "nearest");
    let y = node.attribute("coordinate_transformation_mode", "asymmetric").output("y");
    graph.outputs.push(y);
    let input = Tensor::new([2, 1, 2, 2], (0..8).map(|n| n as f32).collect()).unwrap();
    let resized = answer(graph, &input);
    assert_eq!(resized.shape(), [2, 1, 4, 2]);
    let rows = [0., 1., 0., 1., 2., 3., 2., 3., 4., 5., 4., 5., 6., 7., 6., 7.];
    assert_eq!(*resized.to_f32().unwrap(), rows);
}
