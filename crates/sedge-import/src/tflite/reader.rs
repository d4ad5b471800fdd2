//! Tensors, operators and buffers of a file, each checked before it is used.

use bytes::Bytes;
use sedge_graph::Dim;
use sedge_tensor::{DType, Quantization, Tensor, element_count};

use super::model::{MAX_OPERATORS, Operator, TensorInfo};
use super::{Error, operators, schema, sparse};
use crate::flatbuffer::Table;

pub(super) const MAX_RANK: usize = 16;
pub(super) const MAX_NAME: usize = 256;

pub(super) struct Reader<'a> {
    bytes: &'a Bytes,
    buffers: Vec<Option<&'a [u8]>>,
    /// List elements that may still be read. Vectors may be shared in a FlatBuffer, so the size
    /// of the file alone does not bound what reading all of it yields.
    budget: usize,
    pub(super) copy_budget: usize,
    /// Bytes that sparse weights may still grow to: networks are pruned to a tenth or a twentieth.
    dense_budget: usize,
}

pub(super) fn limit(what: &'static str, count: usize, most: usize) -> Result<(), Error> {
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

/// A constant as the file stores it.
struct Stored<'s, 'a> {
    number: i8,
    dtype: DType,
    sizes: &'s [i32],
    sparsity: Option<Table<'a>>,
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a Bytes, root: &Table<'a>) -> Result<Self, Error> {
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
        let copy_budget = budget.saturating_mul(2);
        Ok(Self { bytes, buffers, budget, copy_budget, dense_budget: budget.saturating_mul(16) })
    }

    fn spend<T>(&mut self, list: Vec<T>) -> Result<Vec<T>, Error> {
        match self.budget.checked_sub(list.len()) {
            Some(rest) => self.budget = rest,
            None => return Err(Error::Shared),
        }
        Ok(list)
    }

    pub(super) fn codes(&self, root: &Table<'_>) -> Result<Vec<(String, bool)>, Error> {
        let codes = root.tables(schema::model::OPERATOR_CODES)?;
        limit("operator codes", codes.len(), MAX_OPERATORS)?;
        codes.iter().map(|code| operator_name(&code?)).collect()
    }

    pub(super) fn tensor(&mut self, table: &Table<'a>) -> Result<TensorInfo, Error> {
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
        let sparsity = table.table(schema::tensor::SPARSITY)?;
        if table.bool(schema::tensor::IS_VARIABLE)? {
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
                let stored = Stored { number, dtype, sizes: &sizes, sparsity, data };
                tensor.constant = Some(self.constant(&tensor.name, &stored)?);
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

    fn constant(&mut self, name: &str, stored: &Stored<'_, 'a>) -> Result<Tensor, Error> {
        let too_short = || Error::Constant { name: name.to_owned() };
        let Stored { number, dtype, sizes, data, .. } = *stored;
        let shape: Option<Vec<usize>> = sizes.iter().map(|&n| usize::try_from(n).ok()).collect();
        let shape = shape.ok_or_else(too_short)?;
        let count = element_count(&shape).ok_or_else(too_short)?;
        let size = dtype.size().unwrap_or(1);
        let length = count.checked_mul(size).ok_or_else(too_short)?;
        let bytes = match (&stored.sparsity, number) {
            (Some(sparsity), _) if number != schema::INT4 => {
                self.dense_budget = self.dense_budget.checked_sub(length).ok_or(Error::Shared)?;
                let dense = sparse::densify(sparsity, &shape, count, size, data)?;
                dense.ok_or_else(too_short)?.into()
            }
            (_, schema::INT4) => {
                let data = data.get(..count.div_ceil(2)).ok_or_else(too_short)?;
                self.copy_budget = self.copy_budget.checked_sub(count).ok_or(Error::Shared)?;
                unpack_int4(data, count)
            }
            _ => self.bytes.slice_ref(data.get(..length).ok_or_else(too_short)?),
        };
        Tensor::from_bytes(dtype, shape, bytes).map_err(|_| too_short())
    }

    pub(super) fn operator(
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
        // Newer operators have their options in a second union.
        let options = match table.table(schema::operator::BUILTIN_OPTIONS)? {
            Some(options) => options,
            None => table.table(schema::operator::BUILTIN_OPTIONS_2)?.unwrap_or(Table::EMPTY),
        };
        Ok(Operator {
            name: name.clone(),
            custom: *custom,
            inputs: operands(&inputs, tensors)?,
            outputs: operands(&outputs, tensors)?,
            options,
            custom_options,
            initialiser: false,
        })
    }

    /// The tensors that a list of a subgraph names.
    pub(super) fn indices(
        &mut self,
        table: &Table<'_>,
        field: usize,
        tensors: usize,
    ) -> Result<Vec<Option<usize>>, Error> {
        operands(&self.spend(table.i32s(field)?)?, tensors)
    }

    pub(super) fn metadata(&self, root: &Table<'_>) -> Result<Option<Bytes>, Error> {
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
    let known = usize::try_from(number).ok().and_then(operators::name);
    Ok((known.map_or_else(|| format!("operator {number}"), str::to_owned), false))
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
