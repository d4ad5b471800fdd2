//! Operators that pick elements by their positions.

use sedge_tensor::DType;

use super::Refusal;
use super::builder::Op;

/// GATHER: options axis, batch_dims.
pub(super) fn gather(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    let mut axis = i64::from(options.i32(0, 0)?);
    let mut batch = i64::from(options.i32(1, 0)?);
    let value = op.stored(0)?;
    let mut indices = op.stored(1)?;
    let name = op.name("gather");
    if batch == 0 {
        let node = op.node("Gather").input(value).input(indices);
        let value = node.attribute("axis", axis).output(&name);
        return op.finish_stored(0, value);
    }
    if axis < 0 {
        axis += op.rank(0)? as i64;
    }
    if batch < 0 {
        batch += op.rank(1)? as i64;
    }
    if axis != batch {
        return Err(Refusal(format!("it gathers along axis {axis} in {batch} batch dimensions")));
    }
    indices = op.unsqueeze(indices, &[-1]);
    indices = op.cast(indices, DType::I64);
    let node = op.node("GatherND").input(value).input(indices);
    let value = node.attribute("batch_dims", batch).output(&name);
    op.finish_stored(0, value)
}

/// GATHER_ND.
pub(super) fn gather_nd(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let value = op.stored(0)?;
    let indices = op.stored(1)?;
    let indices = op.cast(indices, DType::I64);
    let value = op.apply("GatherND", &[value, indices]);
    op.finish_stored(0, value)
}

/// EMBEDDING_LOOKUP: which rows, and the table.
pub(super) fn embedding_lookup(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let rows = op.stored(0)?;
    let table = op.real(1)?;
    let value = op.apply("Gather", &[table, rows]);
    op.finish_real(0, value)
}

/// REVERSE_SEQUENCE: options seq_dim, batch_dim; the lengths are operand 1.
pub(super) fn reverse_sequence(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let options = op.operator.options;
    let rank = op.rank(0)?;
    let axis = |field| -> Result<usize, Refusal> {
        let axis = options.i32(field, 0)?;
        let axis = usize::try_from(if axis < 0 { axis.saturating_add(rank as i32) } else { axis });
        let axis = axis.ok().filter(|&axis| axis < rank);
        axis.ok_or_else(|| Refusal::new("its axes lie outside of its operand"))
    };
    let (time, batch) = (axis(0)?, axis(1)?);
    if time == batch {
        return Err(Refusal::new("it reverses the axis that it counts along"));
    }
    // ONNX has both axes first; others are brought there and back.
    let mut order = vec![batch as i64, time as i64];
    order.extend((0..rank).filter(|&axis| axis != batch && axis != time).map(|axis| axis as i64));
    let mut back = vec![0; rank];
    order.iter().enumerate().for_each(|(to, &from)| back[from as usize] = to as i64);
    let value = op.stored(0)?;
    let lengths = op.shape_operand(1)?;
    let value = op.transpose(value, &order);
    let name = op.name("reversed");
    let node = op.node("ReverseSequence").input(value).input(lengths);
    let node = node.attribute("batch_axis", 0i64).attribute("time_axis", 1i64);
    let value = node.output(&name);
    let value = op.transpose(value, &back);
    op.finish_stored(0, value)
}
