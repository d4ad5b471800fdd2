//! Sorting; of equal elements the first comes first.

use sedge_graph::ValueId;
use sedge_tensor::DType;

use super::Refusal;
use super::builder::Op;
use super::elementwise::dtype;
use super::shape::{Size, sizes};

/// The `count` greatest or least elements along an axis in order, and where they were; `None` for
/// all elements.
fn ordered(
    op: &mut Op<'_, '_>,
    count: Option<i64>,
    ascending: bool,
) -> Result<(ValueId, ValueId), Refusal> {
    let mut x = op.input(0)?;
    // An axis of None is all of them; without the attribute it is the last.
    let flat = op.attributes().has("axis") && op.attributes().text("axis").is_none();
    let axis = if flat {
        x = op.reshape(x, &[-1]);
        0
    } else {
        op.attributes().int("axis")?.unwrap_or(-1)
    };
    let rank = op.rank(x)?;
    let axis = op.axis(axis, rank)?;
    let count = match count {
        Some(count) => op.ints(&[count]),
        None => sizes(op, &[Size::Of(x, axis, axis + 1)]),
    };
    let (values, places) = (op.fresh("values"), op.fresh("places"));
    let node = op.node("TopK").input(x).input(count).attribute("axis", axis as i64);
    node.attribute("largest", i64::from(!ascending)).outputs_to(vec![Some(values), Some(places)]);
    Ok((values, places))
}

/// topk: attribute ret_typ says what is answered.
pub(super) fn topk(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let count = op.attributes().int("k")?.unwrap_or(1);
    let ascending = op.attributes().flag("is_ascend", false)?;
    let kind = op.attributes().word("ret_typ", &["indices", "value", "both"])?;
    let (values, places) = ordered(op, (count > 0).then_some(count), ascending)?;
    let to = dtype(op, "dtype")?.unwrap_or(DType::F32);
    let results = match kind {
        "value" => vec![values],
        "both" => vec![values, op.cast(places, to)],
        _ => vec![op.cast(places, to)],
    };
    op.finish_all(results)
}

/// sort: ascending unless stated.
pub(super) fn sort(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let ascending = op.attributes().flag("is_ascend", true)?;
    let (values, _) = ordered(op, None, ascending)?;
    op.finish(values)
}

/// argsort: ascending unless stated.
pub(super) fn argsort(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let ascending = op.attributes().flag("is_ascend", true)?;
    let (_, places) = ordered(op, None, ascending)?;
    let to = dtype(op, "dtype")?.unwrap_or(DType::F32);
    let value = op.cast(places, to);
    op.finish(value)
}
