//! Integer operators spelled out in plain ONNX operators give the bytes of the kernels: in the
//! embedded engine, whose doubles are its own, and in onnxruntime where there is one.

#![cfg(feature = "native")]
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use sedge_engine::{LoadOptions, Model, Registry, spell_out};
use sedge_graph::{Dim, Graph, Value, ValueId};
use sedge_tensor::{DType, Tensor};

/// A graph as the importer of TensorFlow Lite makes them.
struct Tflite {
    graph: Graph,
    signed: bool,
    state: u64,
}

impl Tflite {
    fn new(signed: bool) -> Self {
        let mut graph = Graph::new("tflite");
        graph.metadata.insert("sedge.rounding".into(), "tflite".into());
        Self { graph, signed, state: 7 }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.state >> 33) % below
    }

    fn input(&mut self, shape: &[usize]) -> ValueId {
        let dtype = Some(if self.signed { DType::I8 } else { DType::U8 });
        // The number of pictures is open.
        let rest = shape[1..].iter().map(|&n| Dim::Fixed(n));
        let name = format!("x{}", self.graph.inputs.len());
        let count = Dim::Symbol(format!("pictures of {name}"));
        let shape = Some(std::iter::once(count).chain(rest).collect());
        let x = self.graph.add_value(Value { name, dtype, shape, ..Value::default() });
        self.graph.inputs.push(x);
        x
    }

    /// A zero point, told without the sign.
    fn zero(&self, zero: u8) -> Tensor {
        if self.signed { Tensor::scalar((zero ^ 0x80) as i8) } else { Tensor::scalar(zero) }
    }

    fn real(&mut self, bytes: ValueId, scale: f32, zero: u8) -> ValueId {
        let zero = self.zero(zero);
        let node = self.graph.node("DequantizeLinear").input(bytes).scalar(scale);
        node.constant(zero).output("real")
    }

    fn bytes(&mut self, real: ValueId, scale: f32, zero: u8) -> ValueId {
        let zero = self.zero(zero);
        let node = self.graph.node("QuantizeLinear").input(real).scalar(scale);
        let bytes = node.constant(zero).output("bytes");
        self.graph.outputs.push(bytes);
        bytes
    }

    /// Weights with one scale when they are unsigned, else one for each output, and a bias.
    fn weights(&mut self, shape: &[usize], scale: f32, input: f32) -> [ValueId; 2] {
        let count = shape.iter().product();
        let weights: Vec<u8> = (0..count).map(|_| self.random(255) as u8).collect();
        let outputs = if self.signed { shape[0] } else { 1 };
        let scales: Vec<f32> =
            (0..outputs).map(|_| scale * (1.0 + self.random(1000) as f32 / 1000.0)).collect();
        let (tensor, zeros) = if self.signed {
            let weights = weights.iter().map(|&w| (w as i8).max(-127)).collect();
            (Tensor::new(shape, weights).unwrap(), Tensor::vector(vec![0i8; outputs]))
        } else {
            (Tensor::new(shape, weights).unwrap(), Tensor::scalar(131u8))
        };
        let stored = self.graph.add_constant("weights", tensor);
        let given = Tensor::vector(scales.clone());
        let given = if self.signed { given } else { given.reshaped([]).unwrap() };
        let node =
            self.graph.node("DequantizeLinear").input(stored).constant(given).constant(zeros);
        let weights = node.attribute("axis", 0i64).output("weights_real");
        let bias = (0..shape[0]).map(|_| self.random(20000) as i32 - 10000).collect();
        let bias = self.graph.add_constant("bias", Tensor::vector::<i32>(bias));
        let steps = (0..shape[0]).map(|o| input * scales[o.min(outputs - 1)]).collect();
        let node = self.graph.node("DequantizeLinear").input(bias);
        let bias = node.constant(Tensor::vector::<f32>(steps)).attribute("axis", 0i64);
        [weights, bias.output("bias_real")]
    }

    fn convolution(&mut self, x: ValueId, shape: &[usize], groups: i64, scale: f32) {
        let real = self.real(x, 0.02, 117);
        let [weights, bias] = self.weights(shape, scale, 0.02);
        let node = self.graph.node("Conv").input(real).input(weights).input(bias);
        let side = shape[2] as i64 / 2;
        let node = node.attribute("pads", vec![side; 4]).attribute("strides", vec![2i64, 1]);
        let node = node.attribute("dilations", vec![1i64; 2]).attribute("group", groups);
        let y = node.output("convolved");
        self.bytes(y, 0.05, 140);
    }

    /// Panics where answers differ, and says by how many bytes.
    fn same(got: &[Tensor], want: &[Tensor], what: &str) {
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert_eq!((got.dtype(), got.shape()), (want.dtype(), want.shape()), "{what}");
            let pairs = got.bytes().iter().zip(want.bytes());
            let off = pairs.filter(|(a, b)| a != b).count();
            assert_eq!(off, 0, "{what}: of {} bytes", want.len());
        }
    }

    /// Runs the graph as it is and spelled out; `operators` is how many are.
    fn check(mut self, operators: usize, shapes: &[&[usize]]) {
        let inputs: Vec<Tensor> = shapes
            .iter()
            .map(|shape| {
                let bytes: Vec<u8> =
                    (0..shape.iter().product()).map(|_| self.random(256) as u8).collect();
                let dtype = if self.signed { DType::I8 } else { DType::U8 };
                Tensor::from_bytes(dtype, *shape, bytes.into()).unwrap()
            })
            .collect();
        let registry = Registry::new(None);
        let run = |engine: &str, graph: &Graph| {
            let engine = registry.engine(engine).unwrap();
            let session = engine.load(Model::Graph(graph.clone()), &LoadOptions { threads: 2 });
            session.unwrap().run(&inputs).unwrap()
        };
        let want = run("native", &self.graph);
        let mut spelled = self.graph.clone();
        assert_eq!(spell_out(&mut spelled), operators);
        let quantised = |node: &sedge_graph::Node| node.op == "QuantizeLinear";
        assert!(!spelled.nodes.iter().any(quantised));
        Self::same(&run("native", &spelled), &want, "embedded engine");
        if registry.names().contains(&"onnxruntime") {
            match registry.engine("onnxruntime").unwrap().version() {
                Ok(_) => Self::same(&run("onnxruntime", &self.graph), &want, "onnxruntime"),
                Err(error) => {
                    assert!(std::env::var_os("CI").is_none(), "{error}");
                    println!("skipped: {error}");
                }
            }
        }
    }
}

#[test]
fn convolutions_of_every_kind() {
    for signed in [false, true] {
        // Outputs, inputs of a group, height and width; groups; scale of the weights.
        for (shape, groups, scale) in [
            ([7, 5, 3, 3], 1, 0.003),
            ([16, 5, 1, 1], 1, 0.01),
            ([5, 1, 3, 3], 5, 0.01),
            ([10, 1, 3, 3], 10, 0.02),
            ([20, 1, 3, 3], 10, 0.02),
            ([6, 4, 5, 5], 2, 0.002),
            // Sums that floats do not hold.
            ([4, 2400, 1, 1], 2, 0.0002),
            ([2, 1, 3, 3], 1, 40.0),
        ] {
            let mut model = Tflite::new(signed);
            let input = [2, shape[1] * groups, 9, 8];
            let x = model.input(&input);
            model.convolution(x, &shape, groups as i64, scale);
            model.check(2, &[&input]);
        }
    }
}

#[test]
fn products_of_matrices() {
    for signed in [false, true] {
        let mut model = Tflite::new(signed);
        let x = model.input(&[3, 40]);
        let real = model.real(x, 0.02, 117);
        let [weights, bias] = model.weights(&[9, 40], 0.004, 0.02);
        let node = model.graph.node("Gemm").input(real).input(weights).input(bias);
        let y = node.attribute("transB", 1i64).output("product");
        model.bytes(y, 0.05, 140);
        model.check(2, &[&[3, 40]]);
    }
}

#[test]
fn sums_differences_and_products_of_all_pairs() {
    for signed in [false, true] {
        // Left, right, result; the first has ties in every second sum.
        for scales in [[0.5, 0.5, 1.0], [0.02, 0.03, 0.04], [1.0, 0.001, 0.9], [0.3, 0.3, 0.1]] {
            for op in ["Add", "Sub", "Mul"] {
                let mut model = Tflite::new(signed);
                let shapes: [&[usize]; 2] = [&[6, 1, 128, 256], &[1, 1, 128, 256]];
                let (a, b) = (model.input(shapes[0]), model.input(shapes[1]));
                let (a, b) = (model.real(a, scales[0], 100), model.real(b, scales[1], 130));
                let y = model.graph.node(op).input(a).input(b).output("y");
                model.bytes(y, scales[2], 120);
                model.check(3, &shapes);
            }
        }
    }
}
