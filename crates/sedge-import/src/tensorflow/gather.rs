//! Operators that pick elements by their positions.

use sedge_tensor::DType;

use super::Refusal;
use super::builder::Op;

/// Gather, GatherV2 (the axis is operand 2; attribute batch_dims) and ResourceGather.
pub(super) fn gather(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (value, mut positions) = (op.operand(0)?, op.operand(1)?);
    let mut axis = if op.count() > 2 { op.single(2, "the axis")? } else { 0 };
    let mut batch = op.int("batch_dims").unwrap_or(0);
    let name = op.name("gather");
    if batch == 0 {
        let contents = op.contents(0);
        let one = op.known_ints(1).filter(|list| list.len() == 1);
        let node = op.start("Gather").input(value).input(positions);
        let result = node.attribute("axis", axis).output(&name);
        if let (Some(list), Some(&[at])) = (contents, one.as_deref()) {
            let picked = usize::try_from(at).ok().and_then(|at| list.get(at)).cloned();
            op.note(result, picked.map(|element| vec![element]));
        }
        return op.finish(result);
    }
    if axis < 0 {
        axis += op.rank(value)? as i64;
    }
    if batch < 0 {
        batch += op.rank(positions)? as i64;
    }
    if axis != batch {
        return Err(Refusal(format!("it gathers along axis {axis} in {batch} batch dimensions")));
    }
    positions = op.apply_ints("Unsqueeze", positions, &[-1]);
    positions = op.cast(positions, DType::I64);
    let node = op.start("GatherND").input(value).input(positions);
    let result = node.attribute("batch_dims", batch).output(&name);
    op.finish(result)
}

/// GatherNd.
pub(super) fn gather_nd(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (value, positions) = (op.operand(0)?, op.operand(1)?);
    let positions = op.cast(positions, DType::I64);
    let value = op.apply("GatherND", &[value, positions]);
    op.finish(value)
}

/// ScatterNd: into zeros.
pub(super) fn scatter_nd(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let (positions, updates) = (op.operand(0)?, op.operand(1)?);
    let shape = op.shape_operand(2)?;
    let positions = op.cast(positions, DType::I64);
    let zero = sedge_tensor::Tensor::vector(vec![0f32]);
    let name = op.name("zeros");
    let zeros = op.start("ConstantOfShape").input(shape).attribute("value", zero).output(&name);
    let name = op.name("scatter");
    // Updates of one place add up.
    let node = op.start("ScatterND").input(zeros).input(positions).input(updates);
    let value = node.attribute("reduction", "add").output(&name);
    op.finish(value)
}
