//! Finds dequantise, operator, activation and quantise nodes that make one integer operator.

use std::collections::{HashMap, HashSet};

use sedge_graph::{Attribute, Graph, Node, ValueId};
use sedge_kernels::{Affine, Arithmetic, DetectionOptions};

use super::affine;
use super::layer::{self, Layer};

/// Whose arithmetic a graph follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Tflite,
    Onnx,
}

impl Family {
    pub(crate) fn of(graph: &Graph) -> Self {
        match graph.metadata.get("sedge.rounding").map(String::as_str) {
            Some("tflite") => Self::Tflite,
            _ => Self::Onnx,
        }
    }
}

/// An operator the kernels know, by the values it reads and makes.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) operator: Operator,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) outputs: Vec<ValueId>,
}

#[derive(Clone, Debug)]
pub(crate) enum Operator {
    Layer(Box<Layer>),
    Binary {
        arithmetic: Arithmetic,
        from: [Affine; 2],
        to: Affine,
        limits: (u8, u8),
    },
    Average {
        from: Affine,
        to: Affine,
        limits: (u8, u8),
        node: Box<Node>,
    },
    Mean {
        from: Affine,
        to: Affine,
        axes: Vec<i64>,
        keeps_dimensions: bool,
    },
    Softmax {
        beta: f32,
        axis: i64,
        from: Affine,
        to: Affine,
    },
    Table(Box<[u8; 256]>),
    /// Joins operands, each through its table.
    Concat {
        axis: i64,
        tables: Vec<[u8; 256]>,
    },
    Pad {
        pads: Vec<i64>,
        fill: u8,
    },
    MaxPool {
        node: Box<Node>,
    },
    Transpose {
        order: Vec<usize>,
    },
    /// The same bytes under another shape.
    Reshape,
    Quantize(Affine),
    Dequantize(Affine),
    Detection(Box<DetectionOptions>),
}

/// What the search needs to know of a graph.
pub(crate) struct Search<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) family: Family,
    producers: HashMap<ValueId, usize>,
    uses: HashMap<ValueId, usize>,
    /// Results that are joined with others at once.
    joined: HashSet<ValueId>,
}

impl<'g> Search<'g> {
    pub(crate) fn new(graph: &'g Graph) -> Self {
        let consumers = graph.consumers();
        let uses = |(&value, uses): (&ValueId, &Vec<(usize, usize)>)| {
            (value, uses.len() + usize::from(graph.outputs.contains(&value)))
        };
        let only_joined = |(&value, uses): (&ValueId, &Vec<(usize, usize)>)| {
            uses.iter().all(|&(node, _)| graph.nodes[node].is("Concat")).then_some(value)
        };
        Self {
            graph,
            family: Family::of(graph),
            producers: graph.producers(),
            uses: consumers.iter().map(uses).collect(),
            joined: consumers.iter().filter_map(only_joined).collect(),
        }
    }

    pub(crate) fn producer(&self, value: ValueId) -> Option<&'g Node> {
        self.producers.get(&value).map(|&index| &self.graph.nodes[index])
    }

    /// The bytes behind a dequantised value, and their meaning.
    pub(crate) fn dequantized(&self, value: ValueId) -> Option<(ValueId, Affine)> {
        let node = self.producer(value).filter(|node| node.is("DequantizeLinear"))?;
        Some((node.input(0)?, affine::of_node(self.graph, node)?))
    }

    /// The integer operator that ends with this node, if it is one.
    pub(crate) fn find(&self, node: &Node) -> Option<Found> {
        if node.is("QuantizeLinear") {
            return self.fused(node).or_else(|| self.quantize(node));
        }
        if node.is("DequantizeLinear") {
            let (bytes, to) = (node.input(0)?, affine::of_node(self.graph, node)?);
            if self.graph.value(bytes).constant.is_some() {
                return None;
            }
            return found(Operator::Dequantize(to), vec![bytes], node);
        }
        if node.op == "DetectionPostProcess" && node.domain == sedge_graph::SEDGE_DOMAIN {
            return self.detection(node);
        }
        self.moving(node)
    }

    fn quantize(&self, node: &Node) -> Option<Found> {
        found(Operator::Quantize(affine::of_node(self.graph, node)?), vec![node.input(0)?], node)
    }

    fn fused(&self, quantize: &Node) -> Option<Found> {
        let to = affine::of_node(self.graph, quantize)?;
        let mut limits = (0u8, 255u8);
        let mut real = quantize.input(0)?;
        let mut node = self.producer(real)?;
        while let Some((low, high)) = self.activation(node) {
            limits = (limits.0.max(self.byte(to, low)), limits.1.min(self.byte(to, high)));
            if self.uses.get(&real) != Some(&1) || limits.0 > limits.1 {
                return None;
            }
            real = node.input(0)?;
            node = self.producer(real)?;
        }
        if let Some((bytes, from)) = self.dequantized(real) {
            return self.rescale(quantize, (bytes, from), to, limits);
        }
        if self.uses.get(&real) != Some(&1) || !node.domain.is_empty() {
            return None;
        }
        let operand = |index: usize| self.dequantized(node.input(index)?);
        let whole = limits == (0, 255);
        match node.op.as_str() {
            "Conv" | "Gemm" | "MatMul" => {
                let (layer, input) = layer::read(self, node, to, limits)?;
                found(Operator::Layer(Box::new(layer)), vec![input], quantize)
            }
            "Add" | "Sub" | "Mul" if node.inputs.len() == 2 => {
                let arithmetic = match node.op.as_str() {
                    "Add" => Arithmetic::Add,
                    "Sub" => Arithmetic::Subtract,
                    _ => Arithmetic::Multiply,
                };
                let ((a, left), (b, right)) = (operand(0)?, operand(1)?);
                let operator = Operator::Binary { arithmetic, from: [left, right], to, limits };
                found(operator, vec![a, b], quantize)
            }
            "AveragePool" | "GlobalAveragePool" => {
                let (bytes, from) = operand(0)?;
                if self.family == Family::Tflite && !same_steps(from, to) {
                    return None;
                }
                let operator = Operator::Average { from, to, limits, node: Box::new(node.clone()) };
                found(operator, vec![bytes], quantize)
            }
            "ReduceMean" if whole && self.family == Family::Tflite => {
                let (bytes, from) = operand(0)?;
                let axes = self.graph.constant_ints(node.input(1))?;
                let keeps_dimensions = node.int("keepdims") != Some(0);
                // The importer's way of rounding averages of equal steps is no step of its own.
                let to = if same_steps(from, to) { Affine { scale: from.scale, ..to } } else { to };
                let operator = Operator::Mean { from, to, axes, keeps_dimensions };
                found(operator, vec![bytes], quantize)
            }
            "Softmax" if whole => {
                let axis = node.int("axis").unwrap_or(-1);
                let (beta, (bytes, from)) = match operand(0) {
                    Some(operand) => (1.0, operand),
                    None => self.scaled(node.input(0)?)?,
                };
                found(Operator::Softmax { beta, axis, from, to }, vec![bytes], quantize)
            }
            "Concat" if whole => {
                let operands: Vec<_> =
                    (0..node.inputs.len()).map(operand).collect::<Option<_>>()?;
                let tables =
                    operands.iter().map(|(_, from)| *self.rescaling(*from, to, limits, true));
                let operator =
                    Operator::Concat { axis: node.int("axis")?, tables: tables.collect() };
                found(operator, operands.iter().map(|(bytes, _)| *bytes).collect(), quantize)
            }
            "Pad" if whole => self.padding(node, operand(0)?, to, quantize),
            "LeakyRelu" if whole && self.family == Family::Tflite => {
                let (bytes, from) = operand(0)?;
                let slope = node.float("alpha").unwrap_or(0.01);
                let table = Box::new(from.rescale(&to, slope, limits));
                found(Operator::Table(table), vec![bytes], quantize)
            }
            _ => {
                let (bytes, from) = operand(0)?;
                let tflite = self.family == Family::Tflite;
                let mut table = Box::new(match node.op.as_str() {
                    "HardSwish" if tflite => from.hard_swish(&to)?,
                    "Sqrt" if tflite => from.square_roots(&to),
                    _ => from.table(&to, tflite, function(node)?),
                });
                table.iter_mut().for_each(|byte| *byte = (*byte).clamp(limits.0, limits.1));
                found(Operator::Table(table), vec![bytes], quantize)
            }
        }
    }

    /// The real range a rectifier leaves, when the node is one with constant ends.
    fn activation(&self, node: &Node) -> Option<(f32, f32)> {
        let end = |index: usize, none: f32| match node.input(index) {
            Some(end) => self.graph.constant(Some(end))?.to_f32()?.first().copied(),
            None => Some(none),
        };
        if node.is("Relu") {
            return Some((0.0, f32::INFINITY));
        }
        let range =
            node.is("Clip").then(|| Some((end(1, f32::NEG_INFINITY)?, end(2, f32::INFINITY)?)));
        range.flatten()
    }

    fn byte(&self, to: Affine, real: f32) -> u8 {
        match self.family {
            Family::Tflite => to.nearest_away(real),
            Family::Onnx => to.nearest_even(real),
        }
    }

    /// Bytes from one meaning to another, with a rectifier between.
    fn rescale(
        &self,
        quantize: &Node,
        (bytes, from): (ValueId, Affine),
        to: Affine,
        limits: (u8, u8),
    ) -> Option<Found> {
        let joined = self.joined.contains(&quantize.output(0)?);
        let table = self.rescaling(from, to, limits, joined);
        found(Operator::Table(table), vec![bytes], quantize)
    }

    fn rescaling(
        &self,
        from: Affine,
        to: Affine,
        limits: (u8, u8),
        joined: bool,
    ) -> Box<[u8; 256]> {
        let mut table = match self.family {
            Family::Tflite if joined => from.rescale_in_floats(&to),
            Family::Tflite => from.rescale(&to, 1.0, limits),
            Family::Onnx => from.table(&to, false, |real| real),
        };
        table.iter_mut().for_each(|byte| *byte = (*byte).clamp(limits.0, limits.1));
        Box::new(table)
    }

    /// A dequantised value times a constant number.
    fn scaled(&self, value: ValueId) -> Option<(f32, (ValueId, Affine))> {
        let node = self.producer(value).filter(|node| node.is("Mul"))?;
        let factor = self.graph.constant(node.input(1)).filter(|t| t.len() == 1)?;
        Some((*factor.to_f32()?.first()?, self.dequantized(node.input(0)?)?))
    }

    fn padding(
        &self,
        node: &Node,
        (bytes, from): (ValueId, Affine),
        to: Affine,
        quantize: &Node,
    ) -> Option<Found> {
        let constant = match node.attributes.get("mode") {
            Some(Attribute::String(mode)) => mode == "constant",
            _ => true,
        };
        let real = match node.input(2) {
            Some(fill) => *self.graph.constant(Some(fill))?.to_f32()?.first()?,
            None => 0.0,
        };
        let pads = self.graph.constant_ints(node.input(1))?;
        if !constant || from != to || node.input(3).is_some() || pads.iter().any(|&p| p < 0) {
            return None;
        }
        found(Operator::Pad { pads, fill: self.byte(to, real) }, vec![bytes], quantize)
    }

    /// Operators that only move bytes.
    fn moving(&self, node: &Node) -> Option<Found> {
        let input = node.input(0)?;
        let output = node.output(0)?;
        if !node.domain.is_empty()
            || !affine::is_byte(self.graph, output)
            || !affine::is_byte(self.graph, input)
            || node.outputs.len() != 1
        {
            return None;
        }
        let operator = match node.op.as_str() {
            "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "Identity" => Operator::Reshape,
            "Transpose" => {
                let rank = self.graph.value(input).shape.as_ref()?.len();
                let order: Vec<usize> = match node.ints("perm") {
                    Some(perm) => perm.iter().map(|&p| p as usize).collect(),
                    None => (0..rank).rev().collect(),
                };
                let mut each_once = order.clone();
                each_once.sort_unstable();
                if !each_once.into_iter().eq(0..rank) {
                    return None;
                }
                Operator::Transpose { order }
            }
            "MaxPool" => Operator::MaxPool { node: Box::new(node.clone()) },
            "Concat" => {
                let same: [u8; 256] = std::array::from_fn(|byte| byte as u8);
                let tables = vec![same; node.inputs.len()];
                let inputs: Option<Vec<ValueId>> = node.inputs.iter().copied().collect();
                return found(Operator::Concat { axis: node.int("axis")?, tables }, inputs?, node);
            }
            _ => return None,
        };
        found(operator, vec![input], node)
    }

    fn detection(&self, node: &Node) -> Option<Found> {
        let count = |name: &str| usize::try_from(node.int(name)?).ok();
        let scale = |name: &str| node.float(name).unwrap_or(1.0);
        let options = DetectionOptions {
            max_detections: count("max_detections")?,
            max_classes_per_detection: count("max_classes_per_detection").unwrap_or(1),
            detections_per_class: count("detections_per_class").unwrap_or(100),
            per_class: node.int("use_regular_nms") == Some(1),
            classes: count("num_classes")?,
            score_threshold: node.float("nms_score_threshold").unwrap_or(0.0),
            overlap_threshold: node.float("nms_iou_threshold").unwrap_or(0.5),
            scales: ["y_scale", "x_scale", "h_scale", "w_scale"].map(scale),
        };
        let bounded = options.rows() <= 1 << 20;
        let inputs = vec![node.input(0)?, node.input(1)?, node.input(2)?];
        let outputs: Option<Vec<ValueId>> = node.outputs.iter().copied().collect();
        let outputs = outputs.filter(|outputs| bounded && outputs.len() == 4)?;
        Some(Found { operator: Operator::Detection(Box::new(options)), inputs, outputs })
    }
}

fn found(operator: Operator, inputs: Vec<ValueId>, last: &Node) -> Option<Found> {
    Some(Found { operator, inputs, outputs: vec![last.output(0)?] })
}

/// True when both count the same steps, but for the trifle by which the importer pushes halfway
/// cases over.
fn same_steps(from: Affine, to: Affine) -> bool {
    from.zero == to.zero && (from.scale / to.scale - 1.0).abs() < 2e-6
}

/// An operator of one real operand, when it is such.
fn function(node: &Node) -> Option<Box<dyn Fn(f32) -> f32>> {
    let number = |name: &str, default: f32| node.float(name).unwrap_or(default);
    Some(match node.op.as_str() {
        // In doubles, rounded once: what a correct single-precision function gives.
        "Sigmoid" => Box::new(|x| 1.0 / (1.0 + f64::from(-x).exp() as f32)),
        "Tanh" => Box::new(|x| f64::from(x).tanh() as f32),
        "HardSwish" => Box::new(|x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
        "HardSigmoid" => {
            let (alpha, beta) = (number("alpha", 0.2), number("beta", 0.5));
            Box::new(move |x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        "LeakyRelu" => {
            let alpha = number("alpha", 0.01);
            Box::new(move |x| if x >= 0.0 { x } else { alpha * x })
        }
        "Elu" => {
            let alpha = number("alpha", 1.0);
            Box::new(move |x| if x >= 0.0 { x } else { alpha * f64::from(x).exp_m1() as f32 })
        }
        // As TensorFlow Lite's kernel rounds between its operations.
        "Gelu" if node.string("approximate") == Some("tanh") => Box::new(|x| {
            let inner = (2.0 / std::f64::consts::PI).sqrt() as f32 * (x + 0.044715 * x * x * x);
            let gate = 1.0 + f64::from(inner).tanh() as f32;
            (0.5 * f64::from(x) * f64::from(gate)) as f32
        }),
        "Exp" => Box::new(|x| f64::from(x).exp() as f32),
        "Sqrt" => Box::new(f32::sqrt),
        "Abs" => Box::new(f32::abs),
        "Neg" => Box::new(|x| -x),
        _ => return None,
    })
}
