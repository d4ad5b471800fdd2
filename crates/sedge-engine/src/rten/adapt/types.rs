//! Element types that rten lacks, wholly or for some operators.

use sedge_graph::{Attribute, Dim, Graph, Node, Value, ValueId, onnx};
use sedge_tensor::{DType, Tensor};

use super::{dtype, wrap};

/// Most scales or zero points that are written out, one for each element of their blocks.
const MAX_REPEATED: usize = 1 << 28;

/// Operators that rten has for floats only although they merely choose among elements; 8-bit
/// integers go through `f32`, which holds them exactly.
const CHOOSING: [&str; 19] = [
    "MaxPool",
    "GlobalMaxPool",
    "ReduceMax",
    "ReduceMin",
    "Concat",
    "Resize",
    "Where",
    "Max",
    "Min",
    "TopK",
    "ScatterElements",
    "DepthToSpace",
    "GatherElements",
    "GatherND",
    "NonZero",
    "OneHot",
    "ReverseSequence",
    "ScatterND",
    "Trilu",
];

/// Operators that compute on 8-bit integers, in `i32` and back with what overflows cut off.
const COMPUTING: [&str; 14] = [
    "Abs",
    "Add",
    "Clip",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Mul",
    "Neg",
    "Relu",
    "Sign",
    "Sub",
];

fn narrowed(dtype: DType) -> Option<DType> {
    match dtype {
        DType::F16 | DType::Bf16 | DType::F64 => Some(DType::F32),
        DType::I16 | DType::U16 | DType::U32 | DType::U64 => Some(DType::I32),
        _ => None,
    }
}

/// Values and casts of types that rten lacks.
pub(super) fn narrow(graph: &mut Graph) {
    let ids: Vec<ValueId> = graph.values().map(|(id, _)| id).collect();
    for id in ids {
        let value = graph.value_mut(id);
        let Some(narrow) = value.dtype.and_then(narrowed) else { continue };
        if let Some(constant) = &value.constant {
            let shape = constant.shape().to_vec();
            let converted = match narrow {
                DType::F32 => {
                    constant.to_f32().and_then(|x| Tensor::new(shape, x.into_owned()).ok())
                }
                _ => constant.to_i64().and_then(|x| {
                    let narrow =
                        x.into_iter().map(|x| i32::try_from(x).ok()).collect::<Option<Vec<_>>>()?;
                    Tensor::new(shape, narrow).ok()
                }),
            };
            // What does not fit stays, and rten says so.
            let Some(converted) = converted else { continue };
            value.constant = Some(converted);
        }
        value.dtype = Some(narrow);
    }
    for node in &mut graph.nodes {
        let to = node.int("to").and_then(onnx::dtype_of).and_then(narrowed);
        if let (true, Some(to)) = (node.is("Cast"), to) {
            node.attributes.insert("to".into(), Attribute::Int(onnx::dtype_number(to)));
        }
    }
}

pub(super) fn cast(graph: &mut Graph, x: ValueId, to: DType) -> ValueId {
    let shape = graph.value(x).shape.clone();
    let y = graph.node("Cast").input(x).attribute("to", onnx::dtype_number(to)).output("cast");
    let value = graph.value_mut(y);
    (value.dtype, value.shape) = (Some(to), shape);
    y
}

/// Quantisation to 16 bits, and in blocks, in floats.
pub(super) fn rewrite_quantization(graph: &mut Graph, node: &Node) -> Option<()> {
    let quantizes = node.is("QuantizeLinear");
    if !quantizes && !node.is("DequantizeLinear") {
        return None;
    }
    let (x, y) = (node.input(0)?, node.output(0)?);
    let integer = if quantizes {
        let stated = node.int("output_dtype").and_then(onnx::dtype_of);
        dtype(graph, node.input(2)).or(stated).unwrap_or(DType::U8)
    } else {
        dtype(graph, Some(x))?
    };
    let blocked = node.int("block_size").is_some_and(|size| size != 0);
    if !blocked && !matches!(integer, DType::I16 | DType::U16) {
        return None;
    }
    let scale = spread(graph, node, 1)?;
    let zero = match node.input(2) {
        Some(_) => spread(graph, node, 2)?,
        None => Tensor::scalar(0f32),
    };
    if !quantizes {
        let real = cast(graph, x, DType::F32);
        let centred = graph.node("Sub").input(real).constant(zero).output("centred");
        graph.node("Mul").named(&node.name).input(centred).constant(scale).output_to(y);
        return Some(());
    }
    let (least, most) = match integer {
        DType::I16 => (-32768.0, 32767.0),
        DType::U16 => (0.0, 65535.0),
        DType::I8 => (-128.0, 127.0),
        _ => (0.0, 255.0),
    };
    let steps = graph.node("Div").input(x).constant(scale).output("steps");
    let whole = graph.node("Round").input(steps).output("whole");
    let moved = graph.node("Add").input(whole).constant(zero).output("moved");
    let held = graph.node("Clip").input(moved).scalar(least).scalar(most).output("held");
    let to = onnx::dtype_number(narrowed(integer).unwrap_or(integer));
    graph.node("Cast").named(&node.name).input(held).attribute("to", to).output_to(y);
    graph.value_mut(y).dtype = Some(integer);
    Some(())
}

/// A scale or zero point as floats that broadcast over the whole operand.
fn spread(graph: &Graph, node: &Node, operand: usize) -> Option<Tensor> {
    let tensor = graph.constant(node.input(operand))?;
    let numbers = tensor.to_f32()?.into_owned();
    if numbers.len() == 1 {
        return Some(Tensor::scalar(numbers[0]));
    }
    let shape = graph.value(node.input(0)?).shape.as_ref()?;
    let axis = wrap(node.int("axis").unwrap_or(1), shape.len())?;
    let block = usize::try_from(node.int("block_size").unwrap_or(0)).ok()?;
    if block == 0 {
        let mut column = vec![1; shape.len() - axis];
        column[0] = numbers.len();
        return Tensor::new(column, numbers).ok();
    }
    let length = shape[axis].fixed()?;
    let mut whole = tensor.shape().to_vec();
    if whole.len() != shape.len() || whole[axis] != length.div_ceil(block) {
        return None;
    }
    // Each block's number once per element of it.
    let inner: usize = whole[axis + 1..].iter().product();
    // The length is what the file states of a value that it need not hold.
    let rows = numbers.len() / whole[axis].max(1);
    rows.checked_mul(length).filter(|&count| count <= MAX_REPEATED)?;
    let rows = numbers.chunks(whole[axis].checked_mul(inner)?.max(1));
    let repeated = rows.flat_map(|row| {
        (0..length).flat_map(move |i| row[i / block * inner..][..inner].iter().copied())
    });
    whole[axis] = length;
    Tensor::new(whole, repeated.collect()).ok()
}

/// rten's booleans are the integers 0 and 1, but its cast keeps other integers as they are.
pub(super) fn to_bool(graph: &mut Graph, node: &Node) -> Option<()> {
    if node.int("to") != Some(onnx::dtype_number(DType::Bool)) {
        return None;
    }
    let (x, y) = (node.input(0)?, node.output(0)?);
    let zero = match dtype(graph, Some(x))? {
        DType::F32 => Tensor::scalar(0f32),
        DType::I32 | DType::I64 | DType::Bool => Tensor::scalar(0i32),
        DType::U8 | DType::I8 => {
            let wide = cast(graph, x, DType::I32);
            let equal =
                graph.node("Equal").input(wide).constant(Tensor::scalar(0i32)).output("equal");
            graph.node("Not").named(&node.name).input(equal).output_to(y);
            return Some(());
        }
        _ => return None,
    };
    let equal = graph.node("Equal").input(x).constant(zero).output("equal");
    graph.node("Not").named(&node.name).input(equal).output_to(y);
    Some(())
}

pub(super) fn is_small(dtype: Option<DType>) -> bool {
    matches!(dtype, Some(DType::U8 | DType::I8))
}

/// Casts 8-bit operands to a type that rten computes the operator in, and the results back.
pub(super) fn through_wider(graph: &mut Graph, node: &Node) -> Option<()> {
    let wide = match node.op.as_str() {
        op if CHOOSING.contains(&op) => DType::F32,
        op if COMPUTING.contains(&op) => DType::I32,
        _ => return None,
    };
    let kind = node.inputs.iter().map(|&id| dtype(graph, id)).find(|&kind| is_small(kind))??;
    let mut moved = node.clone();
    for input in moved.inputs.iter_mut().flatten() {
        if is_small(dtype(graph, Some(*input))) {
            *input = cast(graph, *input, wide);
        }
    }
    if node.op == "Relu" {
        // rten rectifies floats only.
        moved.op = "Max".into();
        moved.inputs.push(Some(graph.add_constant("zero", Tensor::scalar(0i32))));
    }
    // Indices and truths are no elements.
    let elements = match node.op.as_str() {
        "NonZero" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" => 0,
        "TopK" => 1,
        _ => node.outputs.len(),
    };
    let mut after = Vec::new();
    for output in moved.outputs.iter_mut().take(elements).flatten() {
        let shape: Option<Vec<Dim>> = graph.value(*output).shape.clone();
        let value = Value { name: "wide".into(), dtype: Some(wide), shape, ..Value::default() };
        let fresh = graph.add_value(value);
        after.push((fresh, std::mem::replace(output, fresh)));
    }
    graph.nodes.push(moved);
    for (fresh, output) in after {
        let to = onnx::dtype_number(kind);
        graph.node("Cast").input(fresh).attribute("to", to).output_to(output);
        graph.value_mut(output).dtype = Some(kind);
    }
    Some(())
}
