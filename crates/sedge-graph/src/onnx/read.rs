use std::collections::HashSet;

use bytes::Bytes;
use prost::Message;
use sedge_tensor::{DType, Tensor};

use super::{dtype_of, proto, upgrade};
use crate::{Attribute, Dim, Graph, GraphError, Node, OPSET, Value};

/// Oldest operator set read: what MXNet, Chainer and early PyTorch exporters wrote.
const OLDEST_OPSET: i64 = 7;

/// Why bytes are not a model that can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not the protobuf encoding of an ONNX model.
    #[error("not an ONNX file: {0}")]
    Encoding(#[from] prost::DecodeError),
    /// A protobuf, but without a graph.
    #[error("not an ONNX model: the file holds no graph")]
    NoGraph,
    /// An operator set before the oldest supported one.
    #[error(
        "the file uses ONNX operator set {0}, the oldest that is read is 7. \
         Hint: export it again with a newer framework"
    )]
    OldOpset(i64),
    /// A feature that is deliberately left out.
    #[error("the file uses {0}, which is not supported")]
    Unsupported(String),
    /// A tensor whose data, shape and type do not agree.
    #[error("tensor '{name}': {problem}")]
    Tensor {
        /// Name of the initialiser or attribute.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A node whose attributes or operands break its operator's rules.
    #[error("node '{node}' ({op}): {problem}")]
    Node {
        /// Name of the node.
        node: String,
        /// Its operator.
        op: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The graph does not hang together.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// Reads an ONNX model of operator set 7 or newer into the pinned operator set.
///
/// Weights stored as raw data share `bytes`. Initialisers that are also listed as inputs (files
/// before IR version 4) are constants, not inputs.
///
/// # Errors
/// Files that are not ONNX, hold unreadable tensors, or use functions, sparse weights or external
/// data.
pub fn read(bytes: &Bytes) -> Result<Graph, ReadError> {
    let model = proto::Model::decode(bytes.clone())?;
    let source = model.graph.ok_or(ReadError::NoGraph)?;
    if let Some(function) = model.functions.first() {
        return Err(ReadError::Unsupported(format!("a model function ('{}')", function.name)));
    }
    let default_domain =
        |set: &&proto::OperatorSet| set.domain.is_empty() || set.domain == "ai.onnx";
    let opset = model.opset_import.iter().find(default_domain).map_or(1, |set| set.version);
    if opset < OLDEST_OPSET {
        return Err(ReadError::OldOpset(opset));
    }
    let mut graph = read_graph(source)?;
    graph.metadata =
        model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect();
    let mut note = |key: &str, value: String| {
        if !value.is_empty() {
            graph.metadata.entry(key.to_owned()).or_insert(value);
        }
    };
    note(
        "onnx.producer",
        format!("{} {}", model.producer_name, model.producer_version).trim().into(),
    );
    note("onnx.opset", opset.to_string());
    note("onnx.description", model.doc_string);
    if opset < OPSET {
        upgrade::upgrade(&mut graph, opset)?;
    }
    graph.sort()?;
    Ok(graph)
}

fn read_graph(source: proto::Graph) -> Result<Graph, ReadError> {
    if !source.sparse_initializer.is_empty() {
        return Err(ReadError::Unsupported("sparse weights".into()));
    }
    let mut graph = Graph::new(source.name);
    let mut of_4_bits = HashSet::new();
    for tensor in source.initializer {
        let name = tensor.name.clone();
        let small = four_bits(tensor.data_type).is_some();
        let tensor = read_tensor(tensor)?;
        let id = graph.add_constant(name, tensor);
        if small {
            of_4_bits.insert(id);
        }
    }
    for info in source.input {
        if graph.find(&info.name).is_none() {
            let id = graph.add_value(read_value(info));
            graph.inputs.push(id);
        }
    }
    // Outputs keep their names even when a subgraph or a pass would like to take them.
    let outputs: Vec<_> = source.output.iter().map(|info| info.name.clone()).collect();
    for info in source.output.into_iter().chain(source.value_info) {
        if graph.find(&info.name).is_none() {
            graph.add_value(read_value(info));
        }
    }
    for node in source.node {
        read_node(&mut graph, node)?;
    }
    // As weights they are the same numbers in eight bits; what is rounded to them would differ.
    let rounds = |node: &&Node| {
        node.is("QuantizeLinear") && node.input(2).is_some_and(|zero| of_4_bits.contains(&zero))
    };
    if let Some(node) = graph.nodes.iter().find(rounds) {
        return Err(ReadError::Node {
            node: node.name.clone(),
            op: node.op.clone(),
            problem: "activations of 4 bits are not supported. Hint: quantise activations to \
                8 bits; weights may have 4"
                .into(),
        });
    }
    graph.outputs = outputs.iter().filter_map(|name| graph.find(name)).collect();
    Ok(graph)
}

fn read_node(graph: &mut Graph, source: proto::Node) -> Result<(), ReadError> {
    let mut node = Node {
        name: source.name,
        op: source.op_type,
        domain: if source.domain == "ai.onnx" { String::new() } else { source.domain },
        ..Node::default()
    };
    let mut value = |name: String| {
        (!name.is_empty()).then(|| {
            graph.find(&name).unwrap_or_else(|| graph.add_value(Value { name, ..Value::default() }))
        })
    };
    node.inputs = source.input.into_iter().map(&mut value).collect();
    node.outputs = source.output.into_iter().map(&mut value).collect();
    for attribute in source.attribute {
        let name = attribute.name.clone();
        node.attributes.insert(name, read_attribute(attribute, &node.name, &node.op)?);
    }
    // A constant is a constant, however it is spelled.
    if node.is("Constant") {
        let tensor = constant_value(&node)?;
        if let Some(output) = node.output(0) {
            let value = graph.value_mut(output);
            value.dtype = Some(tensor.dtype());
            value.shape = Some(tensor.shape().iter().map(|&n| Dim::Fixed(n)).collect());
            value.constant = Some(tensor);
        }
        return Ok(());
    }
    graph.nodes.push(node);
    Ok(())
}

fn constant_value(node: &Node) -> Result<Tensor, ReadError> {
    for (name, attribute) in &node.attributes {
        return Ok(match (name.as_str(), attribute) {
            ("value", Attribute::Tensor(tensor)) => tensor.clone(),
            ("value_float", Attribute::Float(value)) => Tensor::scalar(*value),
            ("value_int", Attribute::Int(value)) => Tensor::scalar(*value),
            ("value_floats", Attribute::Floats(values)) => Tensor::vector(values.clone()),
            ("value_ints", Attribute::Ints(values)) => Tensor::vector(values.clone()),
            _ => continue,
        });
    }
    Err(ReadError::Node {
        node: node.name.clone(),
        op: node.op.clone(),
        problem: "a constant without a readable value".into(),
    })
}

fn read_attribute(source: proto::Attribute, node: &str, op: &str) -> Result<Attribute, ReadError> {
    let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
    // Files of IR version 1 and some hand-made ones leave the kind out.
    let kind = match source.kind {
        0 if source.t.is_some() => 4,
        0 if source.g.is_some() => 5,
        0 if !source.floats.is_empty() => 6,
        0 if !source.ints.is_empty() => 7,
        0 if !source.strings.is_empty() => 8,
        0 if !source.s.is_empty() => 3,
        0 if source.f != 0.0 => 1,
        0 => 2,
        kind => kind,
    };
    Ok(match kind {
        1 => Attribute::Float(source.f),
        2 => Attribute::Int(source.i),
        3 => Attribute::String(text(source.s)),
        4 => Attribute::Tensor(read_tensor(source.t.unwrap_or_default())?),
        5 => Attribute::Graph(Box::new(read_graph(source.g.unwrap_or_default())?)),
        6 => Attribute::Floats(source.floats),
        7 => Attribute::Ints(source.ints),
        8 => Attribute::Strings(source.strings.into_iter().map(text).collect()),
        kind => {
            return Err(ReadError::Node {
                node: node.to_owned(),
                op: op.to_owned(),
                problem: format!("attribute '{}' has the unsupported kind {kind}", source.name),
            });
        }
    })
}

fn read_value(source: proto::ValueInfo) -> Value {
    let tensor = source.r#type.and_then(|ty| ty.tensor);
    let dim = |dim: proto::Dimension| match (dim.value, dim.parameter) {
        (Some(n), _) if n >= 0 => Dim::Fixed(n as usize),
        (_, Some(name)) if !name.is_empty() => Dim::Symbol(name),
        _ => Dim::Unknown,
    };
    Value {
        name: source.name,
        dtype: tensor.as_ref().and_then(|t| dtype_of(t.elem_type.into())),
        shape: tensor.and_then(|t| t.shape).map(|s| s.dim.into_iter().map(dim).collect()),
        ..Value::default()
    }
}

/// The 8-bit type that holds the numbers of a 4-bit one (`UINT4`, `INT4`).
fn four_bits(data_type: i32) -> Option<DType> {
    match data_type {
        21 => Some(DType::U8),
        22 => Some(DType::I8),
        _ => None,
    }
}

/// Two numbers a byte, the lower half first.
fn unpack(packed: &[u8], dtype: DType, count: usize) -> Vec<u8> {
    let halves = packed.iter().flat_map(|&byte| [byte & 0xf, byte >> 4]);
    let extended = |half: u8| match dtype {
        DType::I8 => ((half << 4) as i8 >> 4) as u8,
        _ => half,
    };
    halves.take(count).map(extended).collect()
}

fn read_tensor(source: proto::Tensor) -> Result<Tensor, ReadError> {
    let name = source.name.clone();
    let problem = |problem: String| ReadError::Tensor { name: name.clone(), problem };
    let dtype = four_bits(source.data_type)
        .or_else(|| dtype_of(source.data_type.into()))
        .ok_or_else(|| problem(format!("element type {} is not supported", source.data_type)))?;
    let shape: Vec<usize> = source
        .dims
        .iter()
        .map(|&n| usize::try_from(n).map_err(|_| problem(format!("dimension {n} is negative"))))
        .collect::<Result<_, _>>()?;
    if source.data_location == 1 || !source.external_data.is_empty() {
        return Err(problem(
            "its data is in another file, which is not supported yet. \
             Hint: save the model with its weights inside (onnx.save_model without external data)"
                .into(),
        ));
    }
    let narrow = |bits: fn(i32) -> Vec<u8>| -> Vec<u8> {
        source.int32_data.iter().copied().flat_map(bits).collect()
    };
    if let Some(dtype) = four_bits(source.data_type) {
        let packed = source.raw_data.unwrap_or_else(|| narrow(|x| vec![x as u8]).into());
        let count = shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim));
        let bytes = unpack(&packed, dtype, count.unwrap_or(usize::MAX));
        return Tensor::from_bytes(dtype, shape, bytes.into()).map_err(|e| problem(e.to_string()));
    }
    let bytes: Bytes = match source.raw_data {
        Some(raw) if dtype != DType::String => raw,
        _ => match dtype {
            DType::F32 => Tensor::vector(source.float_data).shared_bytes(),
            DType::F64 => Tensor::vector(source.double_data).shared_bytes(),
            DType::I64 => Tensor::vector(source.int64_data).shared_bytes(),
            DType::I32 => Tensor::vector(source.int32_data).shared_bytes(),
            DType::U64 => Tensor::vector(source.uint64_data).shared_bytes(),
            DType::U32 => Tensor::vector(source.uint64_data.iter().map(|&x| x as u32).collect())
                .shared_bytes(),
            DType::U8 | DType::I8 | DType::Bool => narrow(|x| vec![x as u8]).into(),
            DType::U16 | DType::I16 | DType::F16 | DType::Bf16 => {
                narrow(|x| (x as u16).to_le_bytes().to_vec()).into()
            }
            DType::String => {
                return Tensor::from_strings(shape, source.string_data)
                    .map_err(|e| problem(e.to_string()));
            }
        },
    };
    Tensor::from_bytes(dtype, shape, bytes).map_err(|e| problem(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four_bit(data_type: i32, packed: &[u8]) -> proto::Tensor {
        proto::Tensor {
            name: "small".into(),
            dims: vec![3],
            data_type,
            raw_data: Some(packed.to_vec().into()),
            ..proto::Tensor::default()
        }
    }

    #[test]
    fn numbers_of_4_bits_are_read_into_8() {
        // Two a byte, the lower half first; the last half is padding.
        let signed = read_tensor(four_bit(22, &[0x8f, 0x07])).unwrap();
        assert_eq!((signed.dtype(), signed.to_i64()), (DType::I8, Some(vec![-1, -8, 7])));
        let unsigned = read_tensor(four_bit(21, &[0x8f, 0x07])).unwrap();
        assert_eq!((unsigned.dtype(), unsigned.to_i64()), (DType::U8, Some(vec![15, 8, 7])));
        assert!(read_tensor(four_bit(22, &[0x8f])).is_err());
    }

    #[test]
    fn activations_of_4_bits_are_refused() {
        let node = proto::Node {
            name: "rounding".into(),
            op_type: "QuantizeLinear".into(),
            input: vec!["x".into(), "scale".into(), "small".into()],
            output: vec!["y".into()],
            ..proto::Node::default()
        };
        let graph = proto::Graph {
            node: vec![node],
            initializer: vec![four_bit(22, &[0, 0])],
            ..proto::Graph::default()
        };
        let error = read_graph(graph).unwrap_err().to_string();
        assert!(error.contains("'rounding' (QuantizeLinear): activations of 4 bits"), "{error}");
    }
}
