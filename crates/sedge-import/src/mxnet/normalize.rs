//! Normalisations.

use sedge_graph::{Dim, ValueId};
use sedge_tensor::Tensor;

use super::Refusal;
use super::builder::Op;

/// BatchNorm by stored statistics. `fix_gamma`, which is the default, takes gamma as 1.
pub(super) fn batch(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let epsilon = op.attributes().float("eps")?.unwrap_or(1e-3);
    let axis = op.attributes().int("axis")?.unwrap_or(1);
    let x = op.input(0)?;
    let [beta, mean, variance] = [op.input(2)?, op.input(3)?, op.input(4)?];
    let gamma =
        if op.attributes().flag("fix_gamma", true)? { ones(op, beta)? } else { op.input(1)? };
    // ONNX normalises along the second axis.
    let order = match axis {
        1 => None,
        axis => {
            let rank = op.rank(x)?;
            let axis = op.axis(axis, rank)?;
            let mut order: Vec<i64> = (0..rank as i64).collect();
            order.swap(1, axis);
            (axis != 1).then_some(order)
        }
    };
    let turned = match &order {
        Some(order) => op.transpose(x, order),
        None => x,
    };
    let name = op.name("normalized");
    let node = op.node("BatchNormalization").input(turned).input(gamma).input(beta);
    let node = node.input(mean).input(variance).attribute("epsilon", epsilon);
    let mut value = node.output(&name);
    if let Some(order) = &order {
        value = op.transpose(value, order);
    }
    op.finish(value)
}

/// As many ones as `like` has elements.
fn ones(op: &mut Op<'_, '_>, like: ValueId) -> Result<ValueId, Refusal> {
    match op.sizes(like).as_deref() {
        Some(&[count]) => Ok(op.constant(Tensor::vector(vec![1f32; count]))),
        _ => Err(Refusal::new("the number of its channels is not known")),
    }
}

/// InstanceNorm.
pub(super) fn instance(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let epsilon = op.attributes().float("eps")?.unwrap_or(1e-3);
    let (x, gamma, beta) = (op.input(0)?, op.input(1)?, op.input(2)?);
    let name = op.name("normalized");
    let node = op.node("InstanceNormalization").input(x).input(gamma).input(beta);
    let value = node.attribute("epsilon", epsilon).output(&name);
    op.finish(value)
}

/// LayerNorm: along one axis.
pub(super) fn layer(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let epsilon = op.attributes().float("eps")?.unwrap_or(1e-5);
    let axis = op.attributes().int("axis")?.unwrap_or(-1);
    let (x, gamma, beta) = (op.input(0)?, op.input(1)?, op.input(2)?);
    let order = if axis == -1 {
        None
    } else {
        let rank = op.rank(x)?;
        let axis = op.axis(axis, rank)?;
        let mut order: Vec<i64> = (0..rank as i64).collect();
        order.swap(rank - 1, axis);
        (axis != rank - 1).then_some(order)
    };
    let turned = match &order {
        Some(order) => op.transpose(x, order),
        None => x,
    };
    let name = op.name("normalized");
    let node = op.node("LayerNormalization").input(turned).input(gamma).input(beta);
    let mut value = node.attribute("axis", -1i64).attribute("epsilon", epsilon).output(&name);
    if let Some(order) = &order {
        value = op.transpose(value, order);
    }
    op.finish(value)
}

/// GroupNorm: MXNet has a scale and a shift for each group, ONNX for each channel.
pub(super) fn group(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let epsilon = op.attributes().float("eps")?.unwrap_or(1e-5);
    let groups = op.attributes().int("num_groups")?.unwrap_or(1);
    let x = op.input(0)?;
    let channels = op.ranked(x)?.get(1).and_then(Dim::fixed);
    let (gamma, beta) = (by_channel(op, 1, channels)?, by_channel(op, 2, channels)?);
    let name = op.name("normalized");
    let node = op.node("GroupNormalization").input(x).input(gamma).input(beta);
    let value = node.attribute("num_groups", groups).attribute("epsilon", epsilon).output(&name);
    op.finish(value)
}

/// A weight with one element per group, each repeated for the channels of its group.
fn by_channel(
    op: &mut Op<'_, '_>,
    index: usize,
    channels: Option<usize>,
) -> Result<ValueId, Refusal> {
    let value = op.input(index)?;
    let Some(&[count]) = op.sizes(value).as_deref() else { return Ok(value) };
    let channels = channels.filter(|&channels| count > 0 && channels.is_multiple_of(count));
    let Some(times) = channels.map(|channels| channels / count).filter(|&times| times > 1) else {
        return Ok(value);
    };
    let weight = op.weight(index)?;
    let of_groups = weight.to_f32().ok_or_else(|| Refusal::new("its weights are no numbers"))?;
    let repeated = of_groups.iter().flat_map(|&element| std::iter::repeat_n(element, times));
    Ok(op.constant(Tensor::vector(repeated.collect::<Vec<f32>>())))
}

/// L2Normalization: over an instance, over its channels, or over each of its pictures.
pub(super) fn l2(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let epsilon = op.attributes().float("eps")?.unwrap_or(1e-10);
    let mode = op.attributes().word("mode", &["instance", "channel", "spatial"])?;
    let x = op.input(0)?;
    let axes: Vec<i64> = match mode {
        "channel" => vec![1],
        "spatial" => (2..op.rank(x)? as i64).collect(),
        _ => (1..op.rank(x)? as i64).collect(),
    };
    let name = op.name("squares");
    let squares = op.node("ReduceSumSquare").input(x).ints(&axes).output(&name);
    let epsilon = op.scalar_like(x, epsilon);
    let squares = op.apply("Add", &[squares, epsilon]);
    let length = op.apply("Sqrt", &[squares]);
    let value = op.apply("Div", &[x, length]);
    op.finish(value)
}

/// LRN: across channels.
pub(super) fn local_response(op: &mut Op<'_, '_>) -> Result<(), Refusal> {
    let attributes = op.attributes();
    let size = attributes.int("nsize")?.ok_or_else(|| Refusal::new("its nsize is not stated"))?;
    let number = |name: &str, default| attributes.float(name).map(|x| x.unwrap_or(default));
    let (alpha, beta, bias) =
        (number("alpha", 1e-4)?, number("beta", 0.75)?, number("knorm", 2.0)?);
    let x = op.input(0)?;
    let name = op.name("normalized");
    let node = op.node("LRN").input(x).attribute("size", size).attribute("alpha", alpha);
    let value = node.attribute("beta", beta).attribute("bias", bias).output(&name);
    op.finish(value)
}
