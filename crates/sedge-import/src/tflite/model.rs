use bytes::Bytes;
use sedge_graph::Dim;
use sedge_tensor::{DType, Quantization, Tensor, element_count};

use super::{Error, schema};
use crate::flatbuffer::Table;

/// More operators than any model has; a longer list is taken for damage.
const MAX_OPERATORS: usize = 1 << 16;
const MAX_TENSORS: usize = 1 << 18;
const MAX_RANK: usize = 16;
const MAX_NAME: usize = 256;

/// A file's main subgraph with every reference checked.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) name: String,
    /// Subgraphs of the file, this one included.
    pub(super) subgraphs: usize,
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
}

struct Reader<'a> {
    bytes: &'a Bytes,
    buffers: Vec<Option<&'a [u8]>>,
    /// List elements that may still be read. Vectors may be shared in a FlatBuffer, so the size
    /// of the file alone does not bound what reading all of it yields.
    budget: usize,
    copy_budget: usize,
}

impl<'a> Model<'a> {
    /// Reads the main subgraph.
    pub(super) fn read(bytes: &'a Bytes) -> Result<Self, Error> {
        let root = Table::root(bytes)?;
        let version = root.u32(schema::model::VERSION, 0)?;
        if version != schema::VERSION {
            return Err(Error::Version(version));
        }
        let subgraphs = root.tables(schema::model::SUBGRAPHS)?;
        let Some(main) = subgraphs.get(0) else { return Err(Error::Empty) };
        let main = main?;
        let mut reader = Reader::new(bytes, &root)?;
        let tensors = main.tables(schema::subgraph::TENSORS)?;
        limit("tensors", tensors.len(), MAX_TENSORS)?;
        let mut tensors: Vec<_> =
            tensors.iter().map(|tensor| reader.tensor(&tensor?)).collect::<Result<_, _>>()?;
        let codes = reader.codes(&root)?;
        let operators = main.tables(schema::subgraph::OPERATORS)?;
        limit("operators", operators.len(), MAX_OPERATORS)?;
        let operators: Vec<_> = operators
            .iter()
            .map(|operator| reader.operator(&operator?, &codes, tensors.len()))
            .collect::<Result<_, _>>()?;
        let ends = |reader: &mut Reader<'a>, field| -> Result<Vec<usize>, Error> {
            let list = reader.spend(main.i32s(field)?)?;
            Ok(operands(&list, tensors.len())?.into_iter().flatten().collect())
        };
        let inputs = ends(&mut reader, schema::subgraph::INPUTS)?;
        let outputs = ends(&mut reader, schema::subgraph::OUTPUTS)?;
        fill_empty_constants(&mut tensors, &operators, &inputs);
        Ok(Self {
            name: main.string(schema::subgraph::NAME)?.unwrap_or_default(),
            subgraphs: subgraphs.len(),
            description: root.string(schema::model::DESCRIPTION)?,
            metadata: reader.metadata(&root)?,
            copy_budget: reader.copy_budget,
            tensors,
            inputs,
            outputs,
            operators,
        })
    }
}

fn limit(what: &'static str, count: usize, most: usize) -> Result<(), Error> {
    if count > most { Err(Error::TooMany { what, count, most }) } else { Ok(()) }
}

fn operands(list: &[i32], tensors: usize) -> Result<Vec<Option<usize>>, Error> {
    let operand = |&index: &i32| match usize::try_from(index) {
        Ok(index) if index < tensors => Ok(Some(index)),
        Ok(index) => Err(Error::Reference { what: "tensor", index }),
        Err(_) => Ok(None),
    };
    list.iter().map(operand).collect()
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

impl<'a> Reader<'a> {
    fn new(bytes: &'a Bytes, root: &Table<'a>) -> Result<Self, Error> {
        let tables = root.tables(schema::model::BUFFERS)?;
        let mut buffers = Vec::with_capacity(tables.len());
        for table in tables.iter() {
            let table = table?;
            // Buffers of files over 2 GB lie behind the FlatBuffer; offsets 0 and 1 mean "not".
            let offset = table.u64(schema::buffer::OFFSET, 0)?;
            buffers.push(if offset > 1 {
                Some(outside(bytes, offset, table.u64(schema::buffer::SIZE, 0)?)?)
            } else {
                table.blob(schema::buffer::DATA)?.filter(|data| !data.is_empty())
            });
        }
        let budget = bytes.len().saturating_mul(4).saturating_add(1 << 20);
        Ok(Self { bytes, buffers, budget, copy_budget: budget.saturating_mul(2) })
    }

    fn spend<T>(&mut self, list: Vec<T>) -> Result<Vec<T>, Error> {
        match self.budget.checked_sub(list.len()) {
            Some(rest) => self.budget = rest,
            None => return Err(Error::Shared),
        }
        Ok(list)
    }

    fn codes(&self, root: &Table<'_>) -> Result<Vec<(String, bool)>, Error> {
        let codes = root.tables(schema::model::OPERATOR_CODES)?;
        limit("operator codes", codes.len(), MAX_OPERATORS)?;
        codes.iter().map(|code| operator_name(&code?)).collect()
    }

    fn tensor(&mut self, table: &Table<'a>) -> Result<TensorInfo, Error> {
        let name = table.string(schema::tensor::NAME)?.unwrap_or_default();
        let name = String::from_utf8_lossy(&self.spend(name.into_bytes())?).into_owned();
        let sizes = self.spend(table.i32s(schema::tensor::SHAPE)?)?;
        let signature = self.spend(table.i32s(schema::tensor::SHAPE_SIGNATURE)?)?;
        limit("dimensions", sizes.len().max(signature.len()), MAX_RANK)?;
        let number = table.i8(schema::tensor::TYPE, 0)?;
        let mut tensor = TensorInfo { name, dtype: schema::dtype(number), ..TensorInfo::default() };
        tensor.quantization = match table.table(schema::tensor::QUANTIZATION)? {
            Some(table) => self.quantization(&table, &mut tensor.storage)?,
            None => None,
        };
        if table.table(schema::tensor::SPARSITY)?.is_some() {
            tensor.storage = Some("sparse weights");
        } else if table.bool(schema::tensor::IS_VARIABLE)? {
            tensor.storage = Some("state that is kept between runs");
        }
        let buffer = table.u32(schema::tensor::BUFFER, 0)? as usize;
        let data = match self.buffers.get(buffer) {
            Some(&data) => data,
            None if buffer == 0 => None,
            None => return Err(Error::Reference { what: "buffer", index: buffer }),
        };
        tensor.shape = dims(&sizes, &signature);
        let known_rank = !sizes.is_empty() || table.bool(schema::tensor::HAS_RANK)?;
        match (data, tensor.dtype) {
            (Some(data), Some(dtype)) if dtype.size().is_some() && tensor.storage.is_none() => {
                tensor.constant = Some(self.constant(&tensor.name, number, dtype, &sizes, data)?);
                tensor.shape = dims(&sizes, &[]);
            }
            _ if !known_rank => tensor.shape = None,
            _ => {}
        }
        Ok(tensor)
    }

    fn quantization(
        &mut self,
        table: &Table<'_>,
        storage: &mut Option<&'static str>,
    ) -> Result<Option<Quantization>, Error> {
        if table.u8(schema::quantization::DETAILS_TYPE, 0)? != 0 {
            *storage = Some("block-wise or custom quantisation");
        }
        let scale = self.spend(table.f32s(schema::quantization::SCALE)?)?;
        if scale.is_empty() || scale.iter().any(|scale| !scale.is_finite() || *scale <= 0.0) {
            return Ok(None);
        }
        let mut zero_point = self.spend(table.i64s(schema::quantization::ZERO_POINT)?)?;
        // Per-channel weights may state their one zero point once.
        zero_point.resize(scale.len(), zero_point.first().copied().unwrap_or(0));
        let axis = table.i32(schema::quantization::QUANTIZED_DIMENSION, 0)?;
        Ok(Some(Quantization { scale, zero_point, axis: usize::try_from(axis).unwrap_or(0) }))
    }

    fn constant(
        &mut self,
        name: &str,
        number: i8,
        dtype: DType,
        sizes: &[i32],
        data: &'a [u8],
    ) -> Result<Tensor, Error> {
        let too_short = || Error::Constant { name: name.to_owned() };
        let shape: Option<Vec<usize>> = sizes.iter().map(|&n| usize::try_from(n).ok()).collect();
        let shape = shape.ok_or_else(too_short)?;
        let count = element_count(&shape).ok_or_else(too_short)?;
        let bytes = if number == schema::INT4 {
            let data = data.get(..count.div_ceil(2)).ok_or_else(too_short)?;
            self.copy_budget = self.copy_budget.checked_sub(count).ok_or(Error::Shared)?;
            unpack_int4(data, count)
        } else {
            let length = count.checked_mul(dtype.size().unwrap_or(1)).ok_or_else(too_short)?;
            self.bytes.slice_ref(data.get(..length).ok_or_else(too_short)?)
        };
        Tensor::from_bytes(dtype, shape, bytes).map_err(|_| too_short())
    }

    fn operator(
        &mut self,
        table: &Table<'a>,
        codes: &[(String, bool)],
        tensors: usize,
    ) -> Result<Operator<'a>, Error> {
        let index = table.u32(schema::operator::OPCODE_INDEX, 0)? as usize;
        let (name, custom) =
            codes.get(index).ok_or(Error::Reference { what: "operator code", index })?;
        let inputs = self.spend(table.i32s(schema::operator::INPUTS)?)?;
        let outputs = self.spend(table.i32s(schema::operator::OUTPUTS)?)?;
        let offset = table.u64(schema::operator::LARGE_CUSTOM_OPTIONS_OFFSET, 0)?;
        let custom_options = if offset > 1 {
            let size = table.u64(schema::operator::LARGE_CUSTOM_OPTIONS_SIZE, 0)?;
            outside(self.bytes, offset, size)?
        } else {
            table.blob(schema::operator::CUSTOM_OPTIONS)?.unwrap_or_default()
        };
        Ok(Operator {
            name: name.clone(),
            custom: *custom,
            inputs: operands(&inputs, tensors)?,
            outputs: operands(&outputs, tensors)?,
            options: table.table(schema::operator::BUILTIN_OPTIONS)?.unwrap_or(Table::EMPTY),
            custom_options,
        })
    }

    fn metadata(&self, root: &Table<'_>) -> Result<Option<Bytes>, Error> {
        for entry in root.tables(schema::model::METADATA)?.iter() {
            let entry = entry?;
            if entry.blob(schema::metadata::NAME)? == Some(b"TFLITE_METADATA") {
                let buffer = entry.u32(schema::metadata::BUFFER, 0)? as usize;
                let data = self.buffers.get(buffer).copied().flatten();
                return Ok(data.map(|data| self.bytes.slice_ref(data)));
            }
        }
        Ok(None)
    }
}

/// Name of an operator code, and whether it is a custom operator's.
fn operator_name(code: &Table<'_>) -> Result<(String, bool), Error> {
    // Old files fill the byte only, new ones both as far as the byte reaches.
    let byte = code.i8(schema::operator_code::DEPRECATED_BUILTIN_CODE, 0)?;
    let number = code.i32(schema::operator_code::BUILTIN_CODE, 0)?.max(byte.into());
    if number == schema::CUSTOM {
        let name = code.blob(schema::operator_code::CUSTOM_CODE)?.unwrap_or_default();
        // Every operator of this code gets a copy, and codes may share one long text.
        let name = &name[..name.len().min(MAX_NAME)];
        return Ok((String::from_utf8_lossy(name).into_owned(), true));
    }
    let known = usize::try_from(number).ok().and_then(|number| schema::OPERATORS.get(number));
    Ok((known.map_or_else(|| format!("operator {number}"), |&name| name.to_owned()), false))
}

fn outside(bytes: &[u8], offset: u64, size: u64) -> Result<&[u8], Error> {
    let start = usize::try_from(offset).ok();
    let length = usize::try_from(size).ok();
    start
        .and_then(|start| bytes.get(start..))
        .and_then(|rest| rest.get(..length?))
        .ok_or(Error::Outside { offset, size })
}

fn dims(sizes: &[i32], signature: &[i32]) -> Option<Vec<Dim>> {
    let list = if signature.len() == sizes.len() { signature } else { sizes };
    let dim = |&n: &i32| usize::try_from(n).map_or(Dim::Unknown, Dim::Fixed);
    Some(list.iter().map(dim).collect())
}

/// Two's complement nibbles, the low one first, as bytes.
fn unpack_int4(data: &[u8], count: usize) -> Bytes {
    let nibbles = data.iter().flat_map(|&byte| [byte << 4, byte & 0xf0]);
    nibbles.take(count).map(|high| ((high as i8) >> 4) as u8).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nibbles_are_signed_and_low_first() {
        let unpacked = unpack_int4(&[0x71, 0x8f, 0x03], 5);
        let signed: Vec<i8> = unpacked.iter().map(|&byte| byte as i8).collect();
        assert_eq!(signed, [1, 7, -1, -8, 3]);
    }

    #[test]
    fn minus_one_is_unknown_and_a_short_signature_is_ignored() {
        assert_eq!(dims(&[1, 4], &[-1, 4]), Some(vec![Dim::Unknown, Dim::Fixed(4)]));
        assert_eq!(dims(&[1, 4], &[]), Some(vec![Dim::Fixed(1), Dim::Fixed(4)]));
    }
}
