//! Matrices and their diagonals.

use sedge_graph::ValueId;
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::Op;

/// Longest side of a matrix whose diagonal is marked by a constant.
const LONGEST: usize = 1 << 11;

/// MATRIX_DIAG: vectors along the last dimension become the diagonals of square matrices.
pub(super) fn matrix_diag(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let size = op.info(0)?.dim(-1).ok_or_else(unknown)?;
    let mask = mask(op, size, size)?;
    let diagonal = op.stored(0)?;
    let diagonal = op.unsqueeze(diagonal, &[-2]);
    let dtype = op.info(0)?.dtype.unwrap_or(DType::F32);
    let zero = Tensor::from_bytes(dtype, [1], vec![0; dtype.size().unwrap_or(0)].into());
    let zero = zero.map_err(|error| Refusal(error.to_string()))?;
    let name = op.name("zero");
    let zero = op.context.graph.add_constant(name, zero);
    let value = op.apply("Where", &[mask, diagonal, zero]);
    op.finish_stored(0, value)
}

/// MATRIX_SET_DIAG: matrices, and what to put on their diagonals.
pub(super) fn matrix_set_diag(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let sides = op.info(0)?.dim(-2).zip(op.info(0)?.dim(-1));
    let (rows, columns) = sides.ok_or_else(unknown)?;
    let mask = mask(op, rows, columns)?;
    let (matrix, mut diagonal) = (op.stored(0)?, op.stored(1)?);
    if rows < columns {
        // As long as a row; what is added meets no diagonal.
        let places: Vec<i64> = (0..columns).map(|at| at.min(rows.max(1) - 1) as i64).collect();
        let name = op.name("stretched");
        let node = op.node("Gather").input(diagonal).ints(&places);
        diagonal = node.attribute("axis", -1i64).output(&name);
    }
    let diagonal = op.unsqueeze(diagonal, &[-2]);
    let value = op.apply("Where", &[mask, diagonal, matrix]);
    op.finish_stored(0, value)
}

/// True on the diagonal of a matrix.
fn mask(op: &mut Op<'_, '_>, rows: usize, columns: usize) -> Result<ValueId, Refusal> {
    if rows.max(columns) > LONGEST {
        return Err(Refusal(format!("its matrices of {rows} x {columns} are too large")));
    }
    op.context.charge(rows * columns)?;
    let mut mask = vec![0u8; rows * columns];
    (0..rows.min(columns)).for_each(|at| mask[at * columns + at] = 1);
    let mask = Tensor::new([rows, columns], mask).map_err(|error| Refusal(error.to_string()))?;
    let name = op.name("diagonal");
    let mask = op.context.graph.add_constant(name, mask);
    Ok(op.cast(mask, DType::Bool))
}

fn unknown() -> Refusal {
    Refusal::new("the size of its matrices is not known")
}
