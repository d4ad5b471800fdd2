//! Rewrites a graph for what rten 0.27 lacks, each into operators and types that it has.
//!
//! Element types: it computes in `f32`, `i32`, `i8` and `u8`. Other floats become `f32`, other
//! integers and booleans `i32`; what a request brings and wants is converted at the border.

use sedge_graph::{Attribute, Dim, Graph, Node, NodeBuilder, Value, ValueId, onnx};
use sedge_tensor::{DType, Tensor};

/// Operators that rten has for floats only although they merely choose among elements; 8-bit
/// integers go through `f32`, which holds them exactly.
const CHOOSING: [&str; 14] = [
    "MaxPool",
    "GlobalMaxPool",
    "ReduceMax",
    "ReduceMin",
    "ArgMax",
    "ArgMin",
    "Concat",
    "Resize",
    "Where",
    "Max",
    "Min",
    "TopK",
    "ScatterElements",
    "DepthToSpace",
];

/// The graph in rten's operators and types. What has no rewrite stays, for rten to refuse by name.
pub(super) fn adapt(graph: &mut Graph) {
    narrow_types(graph);
    for mut node in std::mem::take(&mut graph.nodes) {
        if node.domain.is_empty() {
            spell_out(graph, &mut node);
        }
        if !node.domain.is_empty() || !rewrite(graph, &node) {
            graph.nodes.push(node);
        }
    }
}

/// True when the node was replaced.
fn rewrite(graph: &mut Graph, node: &Node) -> bool {
    let done = match node.op.as_str() {
        "QuantizeLinear" if is_16_bit(graph, node.input(2)) => quantize_16(graph, node),
        "DequantizeLinear" if is_16_bit(graph, node.input(2)) => dequantize_16(graph, node),
        "Cast" if node.int("to") == Some(onnx::dtype_number(DType::Bool)) => to_bool(graph, node),
        "LRN" => local_response_normalization(graph, node),
        "SpaceToDepth" => space_to_depth(graph, node),
        "Pad" if !matches!(node.string("mode"), None | Some("constant")) => mirror(graph, node),
        op if CHOOSING.contains(&op) => through_floats(graph, node),
        _ => None,
    };
    done.is_some()
}

/// Writes down what ONNX lets a node leave to be inferred and rten does not infer.
fn spell_out(graph: &mut Graph, node: &mut Node) {
    let _ = match node.op.as_str() {
        "Conv" | "ConvInteger" | "ConvTranspose" => spell_out_kernel(graph, node),
        "MaxPool" | "AveragePool" => spell_out_strides(node),
        "Resize" => all_axes(graph, node),
        _ => None,
    };
    let _ = same_lower(graph, node);
}

fn spell_out_kernel(graph: &Graph, node: &mut Node) -> Option<()> {
    if node.ints("kernel_shape").is_none() {
        let weight = graph.value(node.input(1)?).fixed_shape()?;
        let kernel: Vec<i64> = weight.get(2..)?.iter().map(|&n| n as i64).collect();
        node.attributes.insert("kernel_shape".into(), kernel.into());
    }
    spell_out_strides(node)
}

fn spell_out_strides(node: &mut Node) -> Option<()> {
    let ones = vec![1i64; node.ints("kernel_shape")?.len()];
    for name in ["strides", "dilations"] {
        node.attributes.entry(name.into()).or_insert_with(|| ones.clone().into());
    }
    Some(())
}

/// `auto_pad = SAME_LOWER` of convolutions and pools as explicit pads: the odd pixel in front.
fn same_lower(graph: &Graph, node: &mut Node) -> Option<()> {
    if node.string("auto_pad") != Some("SAME_LOWER") || node.op == "ConvTranspose" {
        return None;
    }
    let shape = graph.value(node.input(0)?).shape.clone()?;
    let kernel = node.ints("kernel_shape")?.to_vec();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (axis, &size) in kernel.iter().enumerate() {
        let at =
            |name: &str| node.ints(name).and_then(|v| v.get(axis)).copied().unwrap_or(1).max(1);
        let length = shape.get(axis + 2)?.fixed()? as i64;
        let count = (length + at("strides") - 1) / at("strides");
        let reach = (size - 1) * at("dilations") + 1;
        let total = ((count - 1) * at("strides") + reach - length).max(0);
        before.push(total - total / 2);
        after.push(total / 2);
    }
    before.extend(after);
    node.attributes.remove("auto_pad");
    node.attributes.insert("pads".into(), before.into());
    Some(())
}

/// A resize of some axes as one of all.
fn all_axes(graph: &mut Graph, node: &mut Node) -> Option<()> {
    let axes = node.ints("axes")?.to_vec();
    let dims = graph.value(node.input(0)?).shape.clone()?;
    let rank = dims.len() as i64;
    let places: Vec<usize> = axes
        .iter()
        .map(|&a| {
            usize::try_from(if a < 0 { a + rank } else { a }).ok().filter(|&a| a < dims.len())
        })
        .collect::<Option<_>>()?;
    if let Some(sizes) = graph.constant_ints(node.input(3)).filter(|s| s.len() == places.len()) {
        let mut all: Vec<i64> =
            dims.iter().map(|d| d.fixed().map(|n| n as i64)).collect::<Option<_>>()?;
        places.iter().zip(sizes).for_each(|(&place, size)| all[place] = size);
        node.inputs[3] = Some(graph.add_constant("resize_sizes", Tensor::vector(all)));
    } else {
        let scales = graph.constant(node.input(2))?.to_f32()?.into_owned();
        let mut all = vec![1f32; dims.len()];
        places.iter().zip(scales).for_each(|(&place, scale)| all[place] = scale);
        node.inputs[2] = Some(graph.add_constant("resize_scales", Tensor::vector(all)));
    }
    node.attributes.remove("axes");
    Some(())
}

fn dtype(graph: &Graph, id: Option<ValueId>) -> Option<DType> {
    graph.value(id?).dtype
}

fn narrowed(dtype: DType) -> Option<DType> {
    match dtype {
        DType::F16 | DType::Bf16 | DType::F64 => Some(DType::F32),
        DType::U32 | DType::U64 => Some(DType::I32),
        _ => None,
    }
}

/// Constants and casts of types that rten lacks; 16-bit integers wait for their quantisation.
fn narrow_types(graph: &mut Graph) {
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

fn is_16_bit(graph: &Graph, zero_point: Option<ValueId>) -> bool {
    matches!(dtype(graph, zero_point), Some(DType::I16 | DType::U16))
}

fn cast(graph: &mut Graph, x: ValueId, to: DType) -> ValueId {
    let shape = graph.value(x).shape.clone();
    let y = graph.node("Cast").input(x).attribute("to", onnx::dtype_number(to)).output("cast");
    let value = graph.value_mut(y);
    (value.dtype, value.shape) = (Some(to), shape);
    y
}

/// Per-tensor zero point and scale of a quantisation.
fn parameters(graph: &Graph, node: &Node) -> Option<(f32, f32)> {
    let one = |id| graph.constant(id).filter(|t| t.len() == 1)?.to_f32()?.first().copied();
    Some((one(node.input(1))?, one(node.input(2))?))
}

/// 16-bit quantisation in floats; the integers are kept as `i32`.
fn quantize_16(graph: &mut Graph, node: &Node) -> Option<()> {
    let (scale, zero) = parameters(graph, node)?;
    let signed = dtype(graph, node.input(2)) == Some(DType::I16);
    let (x, y) = (node.input(0)?, node.output(0)?);
    let (least, most) = if signed { (-32768.0, 32767.0) } else { (0.0, 65535.0) };
    let steps = graph.node("Div").input(x).scalar(scale).output("steps");
    let whole = graph.node("Round").input(steps).output("whole");
    let moved = graph.node("Add").input(whole).scalar(zero).output("moved");
    let held = graph.node("Clip").input(moved).scalar(least).scalar(most).output("held");
    let to = onnx::dtype_number(DType::I32);
    graph.node("Cast").named(&node.name).input(held).attribute("to", to).output_to(y);
    graph.value_mut(y).dtype = Some(DType::I32);
    Some(())
}

fn dequantize_16(graph: &mut Graph, node: &Node) -> Option<()> {
    let (scale, zero) = parameters(graph, node)?;
    let (x, y) = (node.input(0)?, node.output(0)?);
    let real = cast(graph, x, DType::F32);
    let centred = graph.node("Sub").input(real).scalar(zero).output("centred");
    graph.node("Mul").named(&node.name).input(centred).scalar(scale).output_to(y);
    Some(())
}

/// rten's booleans are the integers 0 and 1, but its cast keeps other integers as they are.
fn to_bool(graph: &mut Graph, node: &Node) -> Option<()> {
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

/// `x / (bias + alpha * mean of the squares in a window of channels) ^ beta` (ONNX `LRN`).
fn local_response_normalization(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let dims = graph.value(x).fixed_shape()?;
    let [batch, channels, rest @ ..] = dims.as_slice() else { return None };
    let size = node.int("size")?;
    let (before, after) = ((size - 1) / 2, size / 2);
    let area = rest.iter().product::<usize>() as i64;
    let squares = graph.node("Mul").input(x).input(x).output("squares");
    let rows = [*batch as i64, 1, *channels as i64, area];
    let rows = graph.node("Reshape").input(squares).ints(&rows).output("rows");
    // Padding counts, so that the mean is over `size` everywhere.
    let mean = graph
        .node("AveragePool")
        .input(rows)
        .attribute("kernel_shape", vec![size, 1])
        .attribute("pads", vec![before, 0, after, 0])
        .attribute("strides", vec![1i64, 1])
        .attribute("count_include_pad", 1)
        .output("mean");
    let shape: Vec<i64> = dims.iter().map(|&n| n as i64).collect();
    let mean = graph.node("Reshape").input(mean).ints(&shape).output("mean");
    let float = |name, default| node.float(name).unwrap_or(default);
    let scaled = graph.node("Mul").input(mean).scalar(float("alpha", 1e-4)).output("scaled");
    let based = graph.node("Add").input(scaled).scalar(float("bias", 1.0)).output("based");
    let power = graph.node("Pow").input(based).scalar(float("beta", 0.75)).output("power");
    graph.node("Div").named(&node.name).input(x).input(power).output_to(y);
    Some(())
}

/// Blocks of pixels into channels, by the definition of ONNX's operator.
fn space_to_depth(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let dims: [usize; 4] = graph.value(x).fixed_shape()?.try_into().ok()?;
    let [n, c, h, w] = dims.map(|n| n as i64);
    let b = node.int("blocksize").filter(|&b| b > 0 && h % b == 0 && w % b == 0)?;
    let split = graph.node("Reshape").input(x).ints(&[n, c, h / b, b, w / b, b]).output("split");
    let perm = vec![0i64, 3, 5, 1, 2, 4];
    let turned = graph.node("Transpose").input(split).attribute("perm", perm).output("turned");
    let shape = [n, c * b * b, h / b, w / b];
    graph.node("Reshape").named(&node.name).input(turned).ints(&shape).output_to(y);
    Some(())
}

/// rten mirrors the last two dimensions only: the padded ones are moved there, two at a time.
fn mirror(graph: &mut Graph, node: &Node) -> Option<()> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let pads = graph.constant_ints(node.input(1))?;
    let rank = graph.value(x).shape.as_ref()?.len();
    if node.input(3).is_some() || pads.len() != 2 * rank || rank < 2 {
        return None;
    }
    let padded: Vec<usize> = (0..rank).filter(|&i| pads[i] != 0 || pads[i + rank] != 0).collect();
    if padded.iter().all(|&axis| axis + 2 >= rank) {
        return None;
    }
    let mode = node.string("mode").unwrap_or("reflect").to_owned();
    let mut current = x;
    for axes in padded.chunks(2) {
        let mut perm: Vec<usize> = (0..rank).filter(|i| !axes.contains(i)).collect();
        perm.extend(axes);
        let moved = |list: &[usize]| list.iter().map(|&i| i as i64).collect::<Vec<_>>();
        let mut inverse = vec![0; rank];
        perm.iter().enumerate().for_each(|(i, &p)| inverse[p] = i);
        let amount = |i: &usize, offset| if axes.contains(i) { pads[i + offset] } else { 0 };
        let leading = perm.iter().map(|i| amount(i, 0));
        let amounts: Vec<i64> = leading.chain(perm.iter().map(|i| amount(i, rank))).collect();
        let last =
            graph.node("Transpose").input(current).attribute("perm", moved(&perm)).output("last");
        let wide = graph
            .node("Pad")
            .input(last)
            .ints(&amounts)
            .attribute("mode", mode.as_str())
            .output("wide");
        current =
            graph.node("Transpose").input(wide).attribute("perm", moved(&inverse)).output("back");
    }
    graph.node("Identity").named(&node.name).input(current).output_to(y);
    Some(())
}

/// Casts 8-bit operands to `f32` and the results back.
fn through_floats(graph: &mut Graph, node: &Node) -> Option<()> {
    let small = |dtype: Option<DType>| matches!(dtype, Some(DType::U8 | DType::I8));
    if !node.inputs.iter().any(|&id| small(dtype(graph, id))) {
        return None;
    }
    let kind = node.inputs.iter().find_map(|&id| dtype(graph, id).filter(|&d| small(Some(d))))?;
    let mut moved = node.clone();
    for input in moved.inputs.iter_mut().flatten() {
        if small(dtype(graph, Some(*input))) {
            *input = cast(graph, *input, DType::F32);
        }
    }
    // Indices are no elements.
    let elements = match node.op.as_str() {
        "ArgMax" | "ArgMin" => 0,
        "TopK" => 1,
        _ => node.outputs.len(),
    };
    let mut after = Vec::new();
    for output in moved.outputs.iter_mut().take(elements).flatten() {
        let shape: Option<Vec<Dim>> = graph.value(*output).shape.clone();
        let value =
            Value { name: "float".into(), dtype: Some(DType::F32), shape, ..Value::default() };
        after.push((graph.add_value(value), *output));
    }
    for (output, (fresh, _)) in moved.outputs.iter_mut().take(elements).flatten().zip(&after) {
        *output = *fresh;
    }
    graph.nodes.push(moved);
    for (fresh, output) in after {
        let to = onnx::dtype_number(kind);
        let node: NodeBuilder<'_> = graph.node("Cast").input(fresh).attribute("to", to);
        node.output_to(output);
        graph.value_mut(output).dtype = Some(kind);
    }
    Some(())
}
