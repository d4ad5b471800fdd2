use std::collections::HashSet;

use bytes::Bytes;
use prost::Message;
use sedge_tensor::Tensor;

use super::tensor::{ReadSibling, Tensors, four_bits};
use super::{dtype_of, functions, proto, upgrade};
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

/// Reads an ONNX model of operator set 7 or newer, whose weights are all inside, into the pinned
/// operator set.
///
/// # Errors
/// As [`read_with`], and weights that lie in another file.
pub fn read(bytes: &Bytes) -> Result<Graph, ReadError> {
    read_with(bytes, &|_| Err(std::io::ErrorKind::NotFound.into()))
}

/// Reads an ONNX model of operator set 7 or newer into the pinned operator set. `sibling` gives the
/// content of files beside it, where models keep large weights.
///
/// Weights stored as raw data share `bytes`, those of other files share theirs. Initialisers that
/// are also listed as inputs (files before IR version 4) are constants, not inputs.
///
/// # Errors
/// Files that are not ONNX, hold unreadable tensors, or use sparse weights.
pub fn read_with(bytes: &Bytes, sibling: ReadSibling<'_>) -> Result<Graph, ReadError> {
    let model = proto::Model::decode(bytes.clone())?;
    let mut source = model.graph.ok_or(ReadError::NoGraph)?;
    functions::inline(&mut source, model.functions)?;
    let default_domain =
        |set: &&proto::OperatorSet| set.domain.is_empty() || set.domain == "ai.onnx";
    let opset = model.opset_import.iter().find(default_domain).map_or(1, |set| set.version);
    if opset < OLDEST_OPSET {
        return Err(ReadError::OldOpset(opset));
    }
    let mut graph = read_graph(source, &mut Tensors::new(sibling))?;
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

fn read_graph(source: proto::Graph, tensors: &mut Tensors<'_>) -> Result<Graph, ReadError> {
    if !source.sparse_initializer.is_empty() {
        return Err(ReadError::Unsupported("sparse weights".into()));
    }
    let mut graph = Graph::new(source.name);
    let mut of_4_bits = HashSet::new();
    for tensor in source.initializer {
        let name = tensor.name.clone();
        let small = four_bits(tensor.data_type).is_some();
        let tensor = tensors.read(tensor)?;
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
        read_node(&mut graph, node, tensors)?;
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

fn read_node(
    graph: &mut Graph,
    source: proto::Node,
    tensors: &mut Tensors<'_>,
) -> Result<(), ReadError> {
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
        let attribute = read_attribute(attribute, &node, tensors)?;
        node.attributes.insert(name, attribute);
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

fn read_attribute(
    source: proto::Attribute,
    node: &Node,
    tensors: &mut Tensors<'_>,
) -> Result<Attribute, ReadError> {
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
        4 => Attribute::Tensor(tensors.read(source.t.unwrap_or_default())?),
        5 => Attribute::Graph(Box::new(read_graph(source.g.unwrap_or_default(), tensors)?)),
        6 => Attribute::Floats(source.floats),
        7 => Attribute::Ints(source.ints),
        8 => Attribute::Strings(source.strings.into_iter().map(text).collect()),
        kind => {
            return Err(ReadError::Node {
                node: node.name.clone(),
                op: node.op.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;

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
            initializer: vec![proto::Tensor {
                name: "small".into(),
                dims: vec![3],
                data_type: 22,
                raw_data: Some(vec![0, 0].into()),
                ..proto::Tensor::default()
            }],
            ..proto::Graph::default()
        };
        let error =
            read_graph(graph, &mut Tensors::new(&|_| unreachable!())).unwrap_err().to_string();
        assert!(error.contains("'rounding' (QuantizeLinear): activations of 4 bits"), "{error}");
    }
}
