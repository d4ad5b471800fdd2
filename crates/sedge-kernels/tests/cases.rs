//! Every kernel, on every instruction set of this machine, against what LiteRT and onnxruntime
//! computed. The cases are written by `testdata/make_kernel_cases.py`.

use sedge_kernels::{
    Affine, Arithmetic, Average, Binary, Broadcast, Convolution, Depthwise, Level, Mean, Nhwc,
    Requantize, Rounding, Softmax, Threads, Window,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Case {
    Conv(Layer),
    Depthwise(Layer),
    Dense(Layer),
    Binary {
        name: String,
        framework: String,
        signed: bool,
        left: Parameters,
        right: Parameters,
        result: Parameters,
        a: String,
        b: String,
        y: String,
    },
    Unary {
        name: String,
        framework: String,
        signed: bool,
        source: Parameters,
        result: Parameters,
        length: usize,
        x: String,
        y: String,
    },
    Mean {
        signed: bool,
        shape: [usize; 4],
        keep: bool,
        source: Parameters,
        result: Parameters,
        x: String,
        y: String,
    },
    Average {
        framework: String,
        signed: bool,
        shape: [usize; 4],
        kernel: [usize; 2],
        stride: usize,
        source: Parameters,
        result: Parameters,
        x: String,
        y: String,
    },
}

#[derive(Deserialize)]
struct Layer {
    signed: bool,
    shape: Vec<usize>,
    kernel: [usize; 2],
    stride: usize,
    same: bool,
    dilation: usize,
    outputs: usize,
    input: Parameters,
    result: Parameters,
    scales: Vec<f32>,
    zeros: Vec<i32>,
    weights: String,
    bias: Vec<i32>,
    x: String,
    y: String,
}

#[derive(Clone, Copy, Deserialize)]
struct Parameters(f32, i32);

impl Parameters {
    fn affine(self, signed: bool) -> Affine {
        let zero = (self.1 + if signed { 128 } else { 0 }) as u8;
        Affine { scale: self.0, zero, signed }
    }
}

const ALL: (u8, u8) = (0, 255);

fn decode(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|&c| c != b'=').map(digit).collect();
    let group = |four: &[u8]| {
        let bits =
            four.iter().fold(0u32, |bits, &d| bits << 6 | u32::from(d)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

/// Bytes as the kernels have them.
fn bytes(text: &str, signed: bool) -> Vec<u8> {
    decode(text).into_iter().map(|b| if signed { b ^ 0x80 } else { b }).collect()
}

fn window(
    kernel: [usize; 2],
    stride: usize,
    dilation: usize,
    same: bool,
    size: [usize; 2],
) -> Window {
    let mut window = Window {
        kernel,
        strides: [stride; 2],
        dilations: [dilation; 2],
        before: [0; 2],
        after: [0; 2],
    };
    for axis in 0..2 {
        let covered = (kernel[axis] - 1) * dilation + 1;
        let steps = size[axis].div_ceil(stride);
        let total = ((steps - 1) * stride + covered).saturating_sub(size[axis]);
        if same {
            (window.before[axis], window.after[axis]) = (total / 2, total - total / 2);
        }
    }
    window
}

fn layer(layer: &Layer, level: Level, depthwise: bool, dense: bool) -> (Vec<u8>, Vec<u8>) {
    let (input, result) = (layer.input.affine(layer.signed), layer.result.affine(layer.signed));
    let down = if layer.signed { 0 } else { 128 };
    let flip = if layer.signed { 0 } else { 0x80 };
    let weights: Vec<i8> = decode(&layer.weights).into_iter().map(|b| (b ^ flip) as i8).collect();
    let zeros: Vec<i32> = layer.zeros.iter().map(|z| z - down).collect();
    let in_floats = !layer.signed || dense;
    let factor = |&scale: &f32| match in_floats {
        true => f64::from(input.scale * scale) / f64::from(result.scale),
        false => f64::from(input.scale) * f64::from(scale) / f64::from(result.scale),
    };
    let factors: Vec<f64> = layer.scales.iter().map(factor).collect();
    let rounding = match (depthwise, layer.signed) {
        (false, _) => Rounding::FixedUp,
        (true, false) => Rounding::FixedAway,
        (true, true) => Rounding::FixedUpByEight,
    };
    let requantize = Requantize::new(level, rounding, layer.outputs, &factors, result.zero, ALL);
    let x = bytes(&layer.x, layer.signed);
    let y = bytes(&layer.y, layer.signed);
    let mut output = vec![0; y.len()];
    let threads = Threads::new(1);
    let (shape, window) = if dense {
        let shape = Nhwc { batch: 1, height: 1, width: layer.shape[0], channels: layer.shape[1] };
        (shape, Window::POINT)
    } else {
        let &[batch, height, width, channels] = layer.shape.as_slice() else { panic!("a picture") };
        let shape = Nhwc { batch, height, width, channels };
        let size = [height, width];
        (shape, window(layer.kernel, layer.stride, layer.dilation, layer.same, size))
    };
    let (zero, bias) = (input.zero, Some(layer.bias.as_slice()));
    if depthwise {
        Depthwise::new(window, zero, &weights, &zeros, bias, requantize).run(
            threads,
            (&x, shape),
            &mut output,
        );
    } else {
        Convolution::new(window, zero, &weights, &zeros, bias, requantize).run(
            threads,
            (&x, shape),
            &mut output,
        );
    }
    (output, y)
}

fn table(name: &str, tflite: bool, from: Affine, to: Affine) -> [u8; 256] {
    match (name, tflite) {
        ("Quantize", true) => from.rescale(&to, 1.0, ALL),
        ("Relu", true) => from.rescale(&to, 1.0, (to.zero, 255)),
        ("LeakyRelu", true) => from.rescale(&to, 0.1, ALL),
        ("LeakyRelu", false) => from.table(&to, false, |x| if x >= 0.0 { x } else { 0.1 * x }),
        ("Sigmoid", _) => from.table(&to, tflite, |x| 1.0 / (1.0 + f64::from(-x).exp() as f32)),
        ("Tanh", _) => from.table(&to, tflite, |x| f64::from(x).tanh() as f32),
        _ => panic!("no kernel is {name}"),
    }
}

fn run(case: &Case, level: Level) -> (String, Vec<u8>, Vec<u8>) {
    let threads = Threads::new(1);
    match case {
        Case::Conv(of) => {
            let (got, want) = layer(of, level, false, false);
            (format!("conv {:?} {:?} signed {}", of.shape, of.kernel, of.signed), got, want)
        }
        Case::Depthwise(of) => {
            let (got, want) = layer(of, level, true, false);
            (format!("depthwise {:?} {:?} signed {}", of.shape, of.kernel, of.signed), got, want)
        }
        Case::Dense(of) => {
            let (got, want) = layer(of, level, false, true);
            (format!("dense signed {}", of.signed), got, want)
        }
        Case::Binary { name, framework, signed, left, right, result, a, b, y } => {
            let arithmetic = match name.as_str() {
                "Add" => Arithmetic::Add,
                "Sub" => Arithmetic::Subtract,
                _ => Arithmetic::Multiply,
            };
            let rounding =
                if framework == "tflite" { Rounding::FixedAway } else { Rounding::Float };
            let operands = (left.affine(*signed), right.affine(*signed));
            let binary =
                Binary::new(level, rounding, arithmetic, operands, result.affine(*signed), ALL);
            let (a, b, want) = (bytes(a, *signed), bytes(b, *signed), bytes(y, *signed));
            let mut got = vec![0; want.len()];
            let broadcast = Broadcast { left: a.len(), right: b.len() };
            binary.run(threads, (&a, &b), broadcast, &mut got);
            (format!("{name} {framework} signed {signed}"), got, want)
        }
        Case::Unary { name, framework, signed, source, result, length, x, y } => {
            let tflite = framework == "tflite";
            let (from, to) = (source.affine(*signed), result.affine(*signed));
            let (x, want) = (bytes(x, *signed), bytes(y, *signed));
            let mut got = vec![0; want.len()];
            if name == "Softmax" {
                let rounding = if tflite { Rounding::FixedAway } else { Rounding::Float };
                Softmax::new(rounding, *length, 1.0, from, to).run(&x, &mut got);
            } else {
                let table = table(name, tflite, from, to);
                got = x.iter().map(|&byte| table[usize::from(byte)]).collect();
            }
            (format!("{name} {framework} signed {signed}"), got, want)
        }
        Case::Mean { signed, shape, keep, source, result, x, y } => {
            let (from, to) = (source.affine(*signed), result.affine(*signed));
            let size = (shape[1] * shape[2], shape[3]);
            let (x, want) = (bytes(x, *signed), bytes(y, *signed));
            let mut got = vec![0; want.len()];
            Mean::new(level, size, *keep, from, to).run(&x, &mut got);
            (format!("mean {shape:?} keep {keep} signed {signed}"), got, want)
        }
        Case::Average { framework, signed, shape, kernel, stride, source, result, x, y } => {
            let rounding =
                if framework == "tflite" { Rounding::FixedAway } else { Rounding::Float };
            let (from, to) = (source.affine(*signed), result.affine(*signed));
            let average = Average { rounding, from, to, with_padding: false, limits: ALL };
            let [batch, height, width, channels] = *shape;
            let window = window(*kernel, *stride, 1, true, [height, width]);
            let (x, want) = (bytes(x, *signed), bytes(y, *signed));
            let mut got = vec![0; want.len()];
            let input = (x.as_slice(), Nhwc { batch, height, width, channels });
            average.run(threads, input, &window, &mut got);
            (format!("average {framework} signed {signed}"), got, want)
        }
    }
}

#[test]
fn every_kernel_equals_the_original_bit_for_bit() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/kernels/cases.json");
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for level in Level::available() {
        for case in &cases {
            let (name, got, want) = run(case, level);
            let differing = got.iter().zip(&want).filter(|(a, b)| a != b).count();
            let most = got.iter().zip(&want).map(|(a, b)| a.abs_diff(*b)).max();
            if differing > 0 || got.len() != want.len() {
                wrong.push(format!(
                    "{level:?} {name}: {differing} of {}, most {most:?}",
                    want.len()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
