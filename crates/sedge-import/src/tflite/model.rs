use bytes::Bytes;
use sedge_graph::Dim;
use sedge_tensor::{DType, Quantization, Tensor};

use super::reader::Reader;
use super::subgraphs::{Flat, Flattener, main_subgraph};
use super::{Error, schema};
use crate::flatbuffer::Table;

/// More operators than any model has; a longer list is taken for damage.
pub(super) const MAX_OPERATORS: usize = 1 << 16;
pub(super) const MAX_TENSORS: usize = 1 << 18;

/// A file's main subgraph, with those it calls, and every reference checked.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) name: String,
    /// Index of the subgraph in the file.
    pub(super) index: usize,
    pub(super) description: Option<String>,
    pub(super) tensors: Vec<TensorInfo>,
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
    pub(super) operators: Vec<Operator<'a>>,
    /// The buffer named `TFLITE_METADATA`.
    pub(super) metadata: Option<Bytes>,
    /// Bytes the importer may still copy; keeps a small hostile file from growing without end.
    pub(super) copy_budget: usize,
}

/// A tensor as the file describes it.
#[derive(Debug, Default)]
pub(super) struct TensorInfo {
    pub(super) name: String,
    /// `None` when even the rank is unknown.
    pub(super) shape: Option<Vec<Dim>>,
    /// `None` for types the graph has no equal for.
    pub(super) dtype: Option<DType>,
    pub(super) quantization: Option<Quantization>,
    pub(super) constant: Option<Tensor>,
    /// A way of storing that the importer does not know.
    pub(super) storage: Option<&'static str>,
}

impl TensorInfo {
    /// The quantisation of an activation's or a weight's integers.
    pub(super) fn quantized(&self) -> Option<&Quantization> {
        let integers = matches!(self.dtype, Some(DType::U8 | DType::I8 | DType::I16 | DType::I32));
        self.quantization.as_ref().filter(|_| integers)
    }

    /// The shape when every dimension is known.
    pub(super) fn fixed_shape(&self) -> Option<Vec<usize>> {
        self.shape.as_ref()?.iter().map(Dim::fixed).collect()
    }

    /// One dimension, counted from the end when negative, when it is known.
    pub(super) fn dim(&self, axis: isize) -> Option<usize> {
        let shape = self.shape.as_ref()?;
        let axis = if axis < 0 { shape.len().checked_add_signed(axis)? } else { axis as usize };
        shape.get(axis)?.fixed()
    }

    /// Number of dimensions, when it is known.
    pub(super) fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(Vec::len)
    }
}

/// One operator application.
#[derive(Debug)]
pub(super) struct Operator<'a> {
    /// The schema's name, or the string of a custom operator.
    pub(super) name: String,
    pub(super) custom: bool,
    /// Indices of tensors, `None` for optional operands left out.
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<Option<usize>>,
    /// Parameters of a built-in operator; empty when the file gives none.
    pub(super) options: Table<'a>,
    pub(super) custom_options: &'a [u8],
    /// Part of what runs once, before the first request.
    pub(super) initialiser: bool,
}

impl<'a> Model<'a> {
    /// Reads the main subgraph.
    pub(super) fn read(bytes: &'a Bytes) -> Result<Self, Error> {
        let root = Table::root(bytes)?;
        let version = root.u32(schema::model::VERSION, 0)?;
        if version != schema::VERSION {
            return Err(Error::Version(version));
        }
        let graphs = root.tables(schema::model::SUBGRAPHS)?;
        let index = main_subgraph(&root)?;
        let Some(main) = graphs.get(index) else { return Err(Error::Empty) };
        let mut reader = Reader::new(bytes, &root)?;
        let codes = reader.codes(&root)?;
        let mut flattener = Flattener { reader: &mut reader, graphs, codes, flat: Flat::default() };
        let ends = flattener.main(index)?;
        let Flat { mut tensors, operators, .. } = flattener.flat;
        fill_empty_constants(&mut tensors, &operators, &ends.inputs);
        Ok(Self {
            name: main?.string(schema::subgraph::NAME)?.unwrap_or_default(),
            index,
            description: root.string(schema::model::DESCRIPTION)?,
            metadata: reader.metadata(&root)?,
            copy_budget: reader.copy_budget,
            tensors,
            inputs: ends.inputs,
            outputs: ends.outputs,
            operators,
        })
    }
}

/// A constant without elements has an empty buffer, as activations have: it is recognised by that
/// nothing produces it.
fn fill_empty_constants(tensors: &mut [TensorInfo], operators: &[Operator<'_>], inputs: &[usize]) {
    let mut produced = vec![false; tensors.len()];
    let outputs = operators.iter().flat_map(|operator| operator.outputs.iter().flatten());
    for &tensor in outputs.chain(inputs) {
        produced[tensor] = true;
    }
    for (tensor, _) in tensors.iter_mut().zip(produced).filter(|(_, produced)| !produced) {
        if let (None, Some(dtype), Some(shape)) =
            (&tensor.constant, tensor.dtype, tensor.fixed_shape())
            && shape.contains(&0)
        {
            tensor.constant = Tensor::from_bytes(dtype, shape, Bytes::new()).ok();
        }
    }
}
