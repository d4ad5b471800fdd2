//! One array of a parameter file, of any version, dense or sparse.

use bytes::Bytes;
use sedge_tensor::{DType, Tensor, element_count};

use super::params::{ParamsError, Reader};

/// First words of the versions; before the first, it was the number of dimensions.
const V1: u32 = 0xF993_FAC8;
const V2: u32 = 0xF993_FAC9;
/// As version 2, with shapes as NumPy has them: scalars, and dimensions of zero.
const V3: u32 = 0xF993_FACA;

const MOST_DIMENSIONS: u32 = 32;

const ARRAY: &str = "an array";

/// How the elements are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Storage {
    Dense,
    RowSparse,
    Csr,
}

/// Reads an array; `None` for one that was never filled.
pub(super) fn read(reader: &mut Reader) -> Result<Option<Tensor>, ParamsError> {
    let magic = reader.u32(ARRAY)?;
    if !matches!(magic, V1 | V2 | V3) {
        let shape = dimensions(reader, magic, |reader| reader.u32(ARRAY).map(i64::from))?;
        return if shape.is_empty() { Ok(None) } else { dense(reader, shape).map(Some) };
    }
    let storage = if magic == V1 { Storage::Dense } else { storage_type(reader.i32(ARRAY)?)? };
    let stored = if storage == Storage::Dense { None } else { shape(reader, magic)? };
    let Some(shape) = shape(reader, magic)? else { return Ok(None) };
    match storage {
        Storage::Dense => dense(reader, shape).map(Some),
        storage => sparse(reader, storage, stored.unwrap_or_default(), shape, magic).map(Some),
    }
}

fn storage_type(number: i32) -> Result<Storage, ParamsError> {
    match number {
        // -1 is "undefined", which is written for arrays that were never filled.
        -1 | 0 => Ok(Storage::Dense),
        1 => Ok(Storage::RowSparse),
        2 => Ok(Storage::Csr),
        number => Err(ParamsError::Type { what: "storage type", number }),
    }
}

/// A shape of 64-bit dimensions; `None` for that of an array that was never filled.
fn shape(reader: &mut Reader, magic: u32) -> Result<Option<Vec<usize>>, ParamsError> {
    let rank = reader.i32(ARRAY)?;
    let none = if magic == V3 { -1 } else { 0 };
    if rank == none {
        return Ok(None);
    }
    let rank = u32::try_from(rank).map_err(|_| ParamsError::Shape)?;
    dimensions(reader, rank, |reader| reader.i64(ARRAY)).map(Some)
}

fn dimensions(
    reader: &mut Reader,
    rank: u32,
    next: impl Fn(&mut Reader) -> Result<i64, ParamsError>,
) -> Result<Vec<usize>, ParamsError> {
    if rank > MOST_DIMENSIONS {
        return Err(ParamsError::Shape);
    }
    let dimension = |_| usize::try_from(next(reader)?).map_err(|_| ParamsError::Shape);
    (0..rank).map(dimension).collect()
}

/// Device, element type and elements.
fn dense(reader: &mut Reader, shape: Vec<usize>) -> Result<Tensor, ParamsError> {
    let dtype = device_and_type(reader)?;
    let bytes = elements(reader, dtype, &shape)?;
    Tensor::from_bytes(dtype, shape, bytes).map_err(|_| ParamsError::Shape)
}

fn device_and_type(reader: &mut Reader) -> Result<DType, ParamsError> {
    // Where the array was: processor or accelerator, and which.
    reader.i32(ARRAY)?;
    reader.i32(ARRAY)?;
    element_type(reader.i32(ARRAY)?)
}

fn elements(reader: &mut Reader, dtype: DType, shape: &[usize]) -> Result<Bytes, ParamsError> {
    let count = element_count(shape).ok_or(ParamsError::Shape)?;
    let length = count.checked_mul(dtype.size().unwrap_or(1)).ok_or(ParamsError::Shape)?;
    reader.take(length, ARRAY)
}

/// Numbers of `mshadow/base.h`.
fn element_type(number: i32) -> Result<DType, ParamsError> {
    Ok(match number {
        0 => DType::F32,
        1 => DType::F64,
        2 => DType::F16,
        3 => DType::U8,
        4 => DType::I32,
        5 => DType::I8,
        6 => DType::I64,
        7 => DType::Bool,
        8 => DType::I16,
        9 => DType::U16,
        10 => DType::U32,
        11 => DType::U64,
        12 => DType::Bf16,
        number => return Err(ParamsError::Type { what: "element type", number }),
    })
}

/// Rows, or entries of a matrix, that are not zero; written out with the others.
fn sparse(
    reader: &mut Reader,
    storage: Storage,
    mut stored: Vec<usize>,
    shape: Vec<usize>,
    magic: u32,
) -> Result<Tensor, ParamsError> {
    let dtype = device_and_type(reader)?;
    let kinds = if storage == Storage::Csr { 2 } else { 1 };
    let mut indices = Vec::new();
    for _ in 0..kinds {
        let dtype = element_type(reader.i32(ARRAY)?)?;
        indices.push((dtype, self::shape(reader, magic)?.unwrap_or_default()));
    }
    // A writer that did not wait for the array's computation left an old first dimension.
    if let (Some(first), Some((_, last))) = (stored.first_mut(), indices.last())
        && let Some(&count) = last.first()
    {
        *first = count;
    }
    let data = elements(reader, dtype, &stored)?;
    let mut lists = Vec::new();
    for (dtype, shape) in indices {
        let bytes = elements(reader, dtype, &shape)?;
        let list = Tensor::from_bytes(dtype, shape, bytes).ok().and_then(|list| list.to_i64());
        lists.push(list.ok_or(ParamsError::Sparse)?);
    }
    let count = element_count(&shape).ok_or(ParamsError::Shape)?;
    reader.grown = reader.grown.checked_sub(count).ok_or(ParamsError::TooLarge)?;
    let size = dtype.size().unwrap_or(1);
    let mut all = vec![0u8; count * size];
    let filled = match (storage, lists.as_slice()) {
        (Storage::Csr, [starts, columns]) => fill_matrix(&mut all, &data, starts, columns, &shape),
        (_, [rows, ..]) => fill_rows(&mut all, &data, rows, &shape),
        _ => None,
    };
    filled.ok_or(ParamsError::Sparse)?;
    Tensor::from_bytes(dtype, shape, all.into()).map_err(|_| ParamsError::Shape)
}

fn fill_rows(all: &mut [u8], data: &[u8], rows: &[i64], shape: &[usize]) -> Option<()> {
    let row = all.len().checked_div(*shape.first()?)?;
    for (index, &to) in rows.iter().enumerate() {
        let from = data.get(index.checked_mul(row)?..)?.get(..row)?;
        let to = usize::try_from(to).ok()?.checked_mul(row)?;
        all.get_mut(to..)?.get_mut(..row)?.copy_from_slice(from);
    }
    Some(())
}

fn fill_matrix(
    all: &mut [u8],
    data: &[u8],
    starts: &[i64],
    columns: &[i64],
    shape: &[usize],
) -> Option<()> {
    let &[rows, width] = shape else { return None };
    let size = all.len().checked_div(rows.checked_mul(width)?)?;
    for (row, bounds) in starts.windows(2).enumerate().take(rows) {
        let (start, end) = (usize::try_from(bounds[0]).ok()?, usize::try_from(bounds[1]).ok()?);
        for (index, &column) in columns.get(start..end)?.iter().enumerate() {
            let column = usize::try_from(column).ok().filter(|&column| column < width)?;
            let from = data.get((start + index) * size..)?.get(..size)?;
            let to = (row * width + column) * size;
            all.get_mut(to..)?.get_mut(..size)?.copy_from_slice(from);
        }
    }
    Some(())
}
