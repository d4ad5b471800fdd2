//! TensorFlow Lite's integer operators in plain ONNX operators, to the last bit.
//!
//! An ONNX runtime that is given quantise and dequantise nodes around float operators rounds its own
//! way. Here the recognised operators are written with integers, and with doubles whose roundings
//! are known not to matter: sums of products in `ConvInteger` and `MatMulInteger` (or in floats,
//! while all sums are integers below 2^24), scaling in doubles between casts. Whether a formula
//! gives the kernels' bytes is checked while it is written, at every step of the result.

mod elementwise;
mod layer;
mod pool;
mod requantize;
mod softmax;

use std::collections::HashMap;

use sedge_graph::{Graph, Node, Value, ValueId, onnx, passes, shapes};
use sedge_tensor::{DType, Tensor};

use crate::integers::pattern::{Family, Found, Operator, Search};
use crate::integers::{affine, sink};

/// Writes the integer operators of a graph that follows TensorFlow Lite's arithmetic out in plain
/// ONNX operators (set 21) that give the same bytes; other graphs, and operators that are none of
/// them, stay as they are. Names, types and shapes of inputs and outputs stay.
///
/// Returns how many operators were written.
pub fn spell_out(graph: &mut Graph) -> usize {
    if Family::of(graph) != Family::Tflite {
        return 0;
    }
    let mut source = graph.clone();
    if source.sort().is_err() {
        // What does not hang together is the engine's to refuse.
        return 0;
    }
    shapes::infer(&mut source);
    sink::sink_dequantize(&mut source);
    if source.sort().is_err() {
        return 0;
    }
    shapes::infer(&mut source);
    let search = Search::new(&source);
    let mut out = source.clone();
    out.nodes.clear();
    let mut writer = Writer { source: &source, out, bytes: HashMap::new(), checked: 0 };
    let mut count = 0;
    for node in &source.nodes {
        let found = search.find(node);
        match found.and_then(|found| writer.write(&found, node)) {
            Some(()) => count += 1,
            // What an attempt has left behind is read by nobody and goes below.
            None => writer.out.nodes.push(node.clone()),
        }
    }
    let mut out = writer.out;
    passes::clean(&mut out);
    if out.sort().is_err() {
        return 0;
    }
    shapes::infer(&mut out);
    *graph = out;
    count
}

/// A graph while it is written anew.
struct Writer<'g> {
    /// The graph that is read, with types and shapes.
    source: &'g Graph,
    /// The same values, other nodes.
    out: Graph,
    /// For values of bytes those that hold them unsigned: sign bits flipped where they have one.
    bytes: HashMap<ValueId, ValueId>,
    /// Sums that were checked for all pairs of bytes.
    checked: usize,
}

impl Writer<'_> {
    fn write(&mut self, found: &Found, node: &Node) -> Option<()> {
        let (&input, &output) = (found.inputs.first()?, found.outputs.first()?);
        let bytes = match &found.operator {
            Operator::Layer(layer) => self.layer(layer, input, output)?,
            Operator::Binary { arithmetic, from: [left, right], to, limits } => {
                let operands = [(input, *left), (*found.inputs.get(1)?, *right)];
                self.binary(*arithmetic, operands, *to, *limits)?
            }
            Operator::Average { from, limits, node, .. } => {
                self.average(node, input, *from, *limits)?
            }
            Operator::Mean { from, to, axes, keeps_dimensions } => {
                self.mean((input, *from), *to, axes, *keeps_dimensions)?
            }
            Operator::Softmax { beta, axis, from, to } => {
                self.softmax(input, *axis, *beta, *from, *to)?
            }
            Operator::Table(table) => {
                let bytes = self.bytes(input)?;
                self.table(bytes, table)
            }
            Operator::Concat { axis, tables } => self.concat(*axis, tables, &found.inputs)?,
            Operator::Pad { pads, fill } => {
                let bytes = self.bytes(input)?;
                let node = self.out.node("Pad").input(bytes).ints(pads);
                node.constant(Tensor::scalar(*fill)).output("padded")
            }
            Operator::MaxPool { node } => self.max_pool(node, input)?,
            Operator::Transpose { .. } | Operator::Reshape => {
                let bytes = self.bytes(input)?;
                let inputs = std::iter::once(Some(bytes)).chain(node.inputs[1..].iter().copied());
                self.like(node, inputs.collect(), "moved")
            }
            Operator::Quantize(to) => self.quantize(input, *to),
            Operator::Dequantize(from) => {
                let bytes = self.bytes(input)?;
                let node = self.out.node("DequantizeLinear").input(bytes).scalar(from.scale);
                node.constant(Tensor::scalar(from.zero)).output_to(output);
                return Some(());
            }
            Operator::Detection(_) => return None,
        };
        self.give(output, bytes);
        Some(())
    }

    /// A value's bytes, unsigned.
    fn bytes(&mut self, value: ValueId) -> Option<ValueId> {
        if let Some(&bytes) = self.bytes.get(&value) {
            return Some(bytes);
        }
        let known = self.source.value(value);
        let bytes = match (known.dtype?, &known.constant) {
            (DType::U8, _) => value,
            (DType::I8, Some(constant)) => {
                let bytes = affine::unsigned(constant)?;
                let tensor = Tensor::new(constant.shape(), bytes).ok()?;
                self.out.add_constant(format!("{}/unsigned", known.name), tensor)
            }
            (DType::I8, None) => {
                let floats = self.cast(value, DType::F32);
                let moved = self.with("Add", floats, Tensor::scalar(128f32));
                self.cast(moved, DType::U8)
            }
            _ => return None,
        };
        self.bytes.insert(value, bytes);
        Some(bytes)
    }

    /// Makes unsigned bytes those of a value of the graph.
    fn give(&mut self, value: ValueId, bytes: ValueId) {
        self.bytes.insert(value, bytes);
        if self.source.value(value).dtype == Some(DType::I8) {
            let raw = self.raw(bytes, true);
            let to = onnx::dtype_number(DType::I8);
            self.out.node("Cast").input(raw).attribute("to", to).output_to(value);
        } else {
            self.out.node("Identity").input(bytes).output_to(value);
        }
    }

    fn cast(&mut self, x: ValueId, to: DType) -> ValueId {
        let node = self.out.node("Cast").input(x).attribute("to", onnx::dtype_number(to));
        node.output("cast")
    }

    fn with(&mut self, op: &str, x: ValueId, constant: Tensor) -> ValueId {
        self.out.node(op).input(x).constant(constant).output(&op.to_lowercase())
    }

    fn pair(&mut self, op: &str, a: ValueId, b: ValueId) -> ValueId {
        self.out.node(op).input(a).input(b).output(&op.to_lowercase())
    }

    fn one(&mut self, op: &str, x: ValueId) -> ValueId {
        self.out.node(op).input(x).output(&op.to_lowercase())
    }

    /// A node with the attributes of another.
    fn like(&mut self, node: &Node, inputs: Vec<Option<ValueId>>, name: &str) -> ValueId {
        let y = self.out.add_value(Value { name: name.to_owned(), ..Value::default() });
        self.out.nodes.push(Node { inputs, outputs: vec![Some(y)], ..node.clone() });
        y
    }

    /// Bytes as floats of the model's own integers.
    fn raw(&mut self, bytes: ValueId, signed: bool) -> ValueId {
        self.steps(bytes, if signed { 128 } else { 0 })
    }

    /// Bytes as floats above a zero point.
    fn steps(&mut self, bytes: ValueId, zero: u8) -> ValueId {
        let floats = self.cast(bytes, DType::F32);
        if zero == 0 {
            return floats;
        }
        self.with("Sub", floats, Tensor::scalar(f32::from(zero)))
    }

    /// Bytes of doubles: limited, then rounded down, which a cast does above zero.
    fn floor(&mut self, x: ValueId, (low, high): (i32, i32)) -> ValueId {
        let limit = |end: i32| Tensor::scalar(f64::from(end.clamp(0, 255)));
        let node = self.out.node("Clip").input(x).constant(limit(low)).constant(limit(high));
        let limited = node.output("limited");
        self.cast(limited, DType::U8)
    }
}
