use std::io::{self, Write};

use bytes::Bytes;
use prost::Message;
use sedge_tensor::{DType, Tensor};

use super::{dtype_number, proto};
use crate::{Attribute, Dim, Graph, Node, OPSET, SEDGE_DOMAIN, Value, ValueId};

/// IR version that goes with operator set 21.
const IR_VERSION: i64 = 10;

/// Operators younger than the pinned set, with the set they came with; nothing else changed so that
/// an older operator would mean something else.
const YOUNGER: [(&str, i64); 4] =
    [("Attention", 23), ("RMSNormalization", 23), ("RotaryEmbedding", 23), ("Swish", 24)];

/// Weights of at least this many bytes go to the side file when there is one.
const EXTERNAL_FROM_BYTES: usize = 1024;

/// Start of every weight in the side file: engines map it and want aligned elements.
const EXTERNAL_ALIGNMENT: usize = 64;

/// How a graph is written.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Name under which large weights are stored beside the model instead of inside it.
    pub external: Option<String>,
}

/// The large weights of a written model, to be stored under the name that
/// [`WriteOptions::external`] gave. They are shared with the graph until they are written out.
#[derive(Clone, Debug, Default)]
pub struct SideFile {
    weights: Vec<(usize, Tensor)>,
    length: usize,
}

impl SideFile {
    /// True when every weight is small enough for the model file itself.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Bytes of the file.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Writes the file, weight by weight.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut at = 0;
        for (offset, tensor) in &self.weights {
            out.write_all(&[0; EXTERNAL_ALIGNMENT][..offset - at])?;
            out.write_all(tensor.bytes())?;
            at = offset + tensor.bytes().len();
        }
        Ok(())
    }

    /// The file in memory. Weights that nobody else holds any more are given back one by one.
    pub fn into_vec(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length);
        for (offset, tensor) in self.weights {
            bytes.resize(offset, 0);
            bytes.extend_from_slice(tensor.bytes());
        }
        bytes
    }

    /// Takes a weight in; gives the offset of its first byte.
    fn push(&mut self, tensor: &Tensor) -> usize {
        let offset = self.length.next_multiple_of(EXTERNAL_ALIGNMENT);
        self.length = offset + tensor.bytes().len();
        self.weights.push((offset, tensor.clone()));
        offset
    }
}

/// A graph as one self-contained ONNX file.
pub fn write(graph: &Graph) -> Vec<u8> {
    write_with(graph, &WriteOptions::default()).0
}

/// A graph as an ONNX file and, when asked for, its side file of weights.
pub fn write_with(graph: &Graph, options: &WriteOptions) -> (Vec<u8>, SideFile) {
    let (model, external) = message(graph, options);
    (model.encode_to_vec(), external)
}

/// Writes a graph as an ONNX file without a copy of it in memory, and gives its side file.
///
/// # Errors
/// What the writer says.
pub fn write_to(
    graph: &Graph,
    options: &WriteOptions,
    out: &mut dyn Write,
) -> io::Result<SideFile> {
    let (mut model, external) = message(graph, options);
    let mut inner = model.graph.take().unwrap_or_default();
    let weights = std::mem::take(&mut inner.initializer);
    let framed = |length: usize| 1 + prost::length_delimiter_len(length) + length;
    let length = inner.encoded_len()
        + weights.iter().map(|weight| framed(weight.encoded_len())).sum::<usize>();
    out.write_all(&model.encode_to_vec())?;
    out.write_all(&frame(GRAPH_FIELD, length))?;
    out.write_all(&inner.encode_to_vec())?;
    for weight in weights {
        let bytes = weight.encode_to_vec();
        out.write_all(&frame(WEIGHT_FIELD, bytes.len()))?;
        out.write_all(&bytes)?;
    }
    Ok(external)
}

/// `ModelProto.graph` and `GraphProto.initializer`.
const GRAPH_FIELD: u8 = 7;
const WEIGHT_FIELD: u8 = 5;

/// What stands before a nested message: field number, wire type 2, length.
fn frame(field: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    let mut rest = length;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// A graph as a message; weights are shared.
fn message(graph: &Graph, options: &WriteOptions) -> (proto::Model, SideFile) {
    let mut writer = Writer { options, external: SideFile::default() };
    let domains = ["", SEDGE_DOMAIN, "com.microsoft"];
    let used = |domain: &str| domain.is_empty() || has_node(graph, &|n| n.domain == domain);
    let young = |(op, _): &&(&str, i64)| has_node(graph, &|node| node.is(op));
    let opset = YOUNGER.iter().filter(young).map(|&(_, set)| set).max().unwrap_or(OPSET);
    let model = proto::Model {
        ir_version: IR_VERSION,
        producer_name: "sedge".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: domains
            .iter()
            .filter(|domain| used(domain))
            .map(|domain| proto::OperatorSet {
                domain: (*domain).to_owned(),
                version: if domain.is_empty() { opset } else { 1 },
            })
            .collect(),
        metadata_props: graph
            .metadata
            .iter()
            .map(|(key, value)| proto::StringEntry { key: key.clone(), value: value.clone() })
            .collect(),
        graph: Some(writer.graph(graph)),
        ..proto::Model::default()
    };
    (model, writer.external)
}

/// True when a node of the graph or of a body inside it is such.
fn has_node(graph: &Graph, is: &dyn Fn(&Node) -> bool) -> bool {
    let in_body = |attribute: &Attribute| match attribute {
        Attribute::Graph(body) => has_node(body, is),
        _ => false,
    };
    graph.nodes.iter().any(|node| is(node) || node.attributes.values().any(in_body))
}

struct Writer<'o> {
    options: &'o WriteOptions,
    external: SideFile,
}

impl Writer<'_> {
    fn graph(&mut self, graph: &Graph) -> proto::Graph {
        let mut used: Vec<ValueId> =
            graph.nodes.iter().flat_map(|node| node.inputs.iter().flatten()).copied().collect();
        used.extend(graph.nodes.iter().flat_map(|node| graph.captured(node)));
        used.extend(&graph.outputs);
        used.sort();
        used.dedup();
        let constants = used.iter().filter_map(|&id| {
            let value = graph.value(id);
            Some((value.name.clone(), value.constant.as_ref()?))
        });
        let initializer = constants.map(|(name, tensor)| self.tensor(name, tensor)).collect();
        let infos = |ids: &[ValueId]| ids.iter().map(|&id| value_info(graph.value(id))).collect();
        proto::Graph {
            name: if graph.name.is_empty() { "graph".into() } else { graph.name.clone() },
            node: graph.nodes.iter().map(|node| self.node(graph, node)).collect(),
            initializer,
            input: infos(&graph.inputs),
            output: infos(&graph.outputs),
            ..proto::Graph::default()
        }
    }

    fn node(&mut self, graph: &Graph, node: &Node) -> proto::Node {
        let names = |ids: &[Option<ValueId>]| {
            ids.iter()
                .map(|id| id.map_or(String::new(), |id| graph.value(id).name.clone()))
                .collect()
        };
        proto::Node {
            input: names(&node.inputs),
            output: names(&node.outputs),
            name: node.name.clone(),
            op_type: node.op.clone(),
            domain: node.domain.clone(),
            attribute: node
                .attributes
                .iter()
                .map(|(name, attribute)| self.attribute(name.clone(), attribute))
                .collect(),
            ..proto::Node::default()
        }
    }

    fn attribute(&mut self, name: String, attribute: &Attribute) -> proto::Attribute {
        let mut out = proto::Attribute { name, ..proto::Attribute::default() };
        match attribute {
            Attribute::Float(value) => (out.kind, out.f) = (1, *value),
            Attribute::Int(value) => (out.kind, out.i) = (2, *value),
            Attribute::String(value) => (out.kind, out.s) = (3, Bytes::from(value.clone())),
            Attribute::Tensor(value) => {
                // Attribute tensors stay inside: some readers look for external data only in weights.
                let inline = WriteOptions::default();
                let mut writer = Writer { options: &inline, external: SideFile::default() };
                (out.kind, out.t) = (4, Some(writer.tensor(String::new(), value)));
            }
            Attribute::Graph(value) => (out.kind, out.g) = (5, Some(self.graph(value))),
            Attribute::Floats(values) => (out.kind, out.floats) = (6, values.clone()),
            Attribute::Ints(values) => (out.kind, out.ints) = (7, values.clone()),
            Attribute::Strings(values) => {
                out.kind = 8;
                out.strings = values.iter().map(|value| Bytes::from(value.clone())).collect();
            }
        }
        out
    }

    fn tensor(&mut self, name: String, tensor: &Tensor) -> proto::Tensor {
        let mut out = proto::Tensor {
            name,
            dims: tensor.shape().iter().map(|&n| n as i64).collect(),
            data_type: dtype_number(tensor.dtype()) as i32,
            ..proto::Tensor::default()
        };
        match (&self.options.external, tensor.dtype()) {
            (_, DType::String) => out.string_data = tensor.strings().to_vec(),
            (Some(file), _) if tensor.bytes().len() >= EXTERNAL_FROM_BYTES => {
                let offset = self.external.push(tensor);
                out.data_location = 1;
                out.external_data = [
                    ("location", file.clone()),
                    ("offset", offset.to_string()),
                    ("length", tensor.bytes().len().to_string()),
                ]
                .map(|(key, value)| proto::StringEntry { key: key.into(), value })
                .into();
            }
            _ => out.raw_data = Some(tensor.shared_bytes()),
        }
        out
    }
}

fn value_info(value: &Value) -> proto::ValueInfo {
    let dim = |dim: &Dim| match dim {
        Dim::Fixed(n) => proto::Dimension { value: Some(*n as i64), parameter: None },
        Dim::Symbol(name) => proto::Dimension { value: None, parameter: Some(name.clone()) },
        Dim::Unknown => proto::Dimension::default(),
    };
    let shape =
        value.shape.as_ref().map(|dims| proto::Shape { dim: dims.iter().map(dim).collect() });
    let elem_type = value.dtype.map_or(0, |dtype| dtype_number(dtype) as i32);
    proto::ValueInfo {
        name: value.name.clone(),
        r#type: Some(proto::Type { tensor: Some(proto::TensorType { elem_type, shape }) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_in_pieces_reads_the_same() {
        let mut graph = Graph::new("g");
        let x = graph.add_value(Value { name: "x".into(), ..Value::default() });
        graph.inputs.push(x);
        let y = graph.node("Add").input(x).constant(Tensor::vector(vec![1f32; 300])).output("y");
        let z = graph.node("Mul").input(y).scalar(2.0).output("z");
        graph.outputs.push(z);
        graph.metadata.insert("key".into(), "value".into());
        for external in [None, Some("side".to_owned())] {
            let options = WriteOptions { external };
            let mut pieces = Vec::new();
            let side = write_to(&graph, &options, &mut pieces).unwrap();
            let (whole, other) = write_with(&graph, &options);
            let read = |bytes: Vec<u8>, side: SideFile| {
                let side = Bytes::from(side.into_vec());
                super::super::read_with(&bytes.into(), &|_| Ok(side.clone())).unwrap()
            };
            assert_eq!(read(pieces, side), read(whole, other));
        }
    }
}
