//! One rule per family of operators.

use sedge_tensor::DType;

use super::{Inferred, window};
use crate::{Attribute, Dim, Graph, Node, SEDGE_DOMAIN, ValueId, onnx};

/// What a node's results are, as far as its operands tell.
pub(super) fn infer(graph: &Graph, node: &Node) -> Vec<Inferred> {
    let first = Operands { graph, node };
    if node.domain == SEDGE_DOMAIN {
        return detection_post_process(node);
    }
    if !node.domain.is_empty() {
        return Vec::new();
    }
    let dtype = first.dtype(0);
    let one = |dtype, shape| vec![Inferred { dtype, shape }];
    match node.op.as_str() {
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "PRelu" | "Sum" | "Mean" | "Min"
        | "Max" => one(dtype, first.broadcast(0)),
        "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "And" | "Or" | "Xor" => {
            one(Some(DType::Bool), first.broadcast(0))
        }
        "Where" => one(first.dtype(1), first.broadcast(0)),
        "Not" | "IsNaN" | "IsInf" => one(Some(DType::Bool), first.shape(0)),
        "Conv" => one(dtype, first.conv()),
        "ConvInteger" => one(Some(DType::I32), first.conv()),
        "ConvTranspose" => one(dtype, first.conv_transpose()),
        "MaxPool" | "AveragePool" | "LpPool" => one(dtype, first.pool()),
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => {
            let ones = |mut shape: Vec<Dim>| {
                shape.iter_mut().skip(2).for_each(|dim| *dim = Dim::Fixed(1));
                shape
            };
            one(dtype, first.shape(0).map(ones))
        }
        "Gemm" => one(dtype, first.gemm()),
        "MatMul" => one(dtype, first.matmul()),
        "MatMulInteger" => one(Some(DType::I32), first.matmul()),
        "Reshape" => one(dtype, first.reshape()),
        "Flatten" => one(dtype, first.flatten()),
        "Transpose" => one(dtype, first.transpose()),
        "Squeeze" => one(dtype, first.squeeze()),
        "Unsqueeze" => one(dtype, first.unsqueeze()),
        "Concat" => one(dtype, first.concat()),
        "Split" => first.split().into_iter().map(|shape| Inferred { dtype, shape }).collect(),
        "Slice" => one(dtype, first.slice()),
        "Gather" => one(dtype, first.gather()),
        "Pad" => one(dtype, first.pad()),
        "Expand" => one(dtype, first.expand()),
        "Tile" => one(dtype, first.tile()),
        "Resize" => one(dtype, first.resize()),
        "ArgMax" | "ArgMin" => {
            one(Some(DType::I64), first.reduce_axes(&[node.int("axis").unwrap_or(0)]))
        }
        "TopK" => {
            let shape = first.top_k();
            vec![
                Inferred { dtype, shape: shape.clone() },
                Inferred { dtype: Some(DType::I64), shape },
            ]
        }
        "Cast" => one(node.int("to").and_then(onnx::dtype_of), first.shape(0)),
        "QuantizeLinear" => one(first.dtype(2).or(Some(DType::U8)), first.shape(0)),
        "DequantizeLinear" => one(first.dtype(1), first.shape(0)),
        "DynamicQuantizeLinear" => vec![
            Inferred { dtype: Some(DType::U8), shape: first.shape(0) },
            Inferred { dtype: Some(DType::F32), shape: Some(Vec::new()) },
            Inferred { dtype: Some(DType::U8), shape: Some(Vec::new()) },
        ],
        "Shape" => one(Some(DType::I64), first.shape(0).map(|shape| vec![Dim::Fixed(shape.len())])),
        "Size" => one(Some(DType::I64), Some(Vec::new())),
        "ConstantOfShape" => one(first.fill_dtype(), first.dims_of_constant(0)),
        "NonMaxSuppression" => one(Some(DType::I64), Some(vec![Dim::Unknown, Dim::Fixed(3)])),
        "NonZero" => {
            let rank = first.shape(0).map_or(Dim::Unknown, |shape| Dim::Fixed(shape.len()));
            one(Some(DType::I64), Some(vec![rank, Dim::Unknown]))
        }
        "DepthToSpace" => one(dtype, first.blocks(true)),
        "SpaceToDepth" => one(dtype, first.blocks(false)),
        "GatherElements" => one(dtype, first.shape(1)),
        "CastLike" => one(first.dtype(1), first.shape(0)),
        "OneHot" => one(first.dtype(2), None),
        "GatherND" | "Einsum" | "Range" | "GridSample" | "RoiAlign" | "Compress" => {
            one(dtype, None)
        }
        "LSTM" | "GRU" | "RNN" => {
            node.outputs.iter().map(|_| Inferred { dtype, shape: None }).collect()
        }
        "If" => branch(node),
        op if op.starts_with("Reduce") => one(dtype, first.reduce()),
        op if SAME_AS_FIRST.contains(&op) => one(dtype, first.shape(0)),
        _ => Vec::new(),
    }
}

/// Operators whose first result looks like their first operand.
const SAME_AS_FIRST: [&str; 54] = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BatchNormalization",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "CumSum",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "GroupNormalization",
    "Hardmax",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "LRN",
    "MeanVarianceNormalization",
    "Mish",
    "Neg",
    "Reciprocal",
    "Relu",
    "ReverseSequence",
    "RMSNormalization",
    "Round",
    "ScatterElements",
    "ScatterND",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tanh",
    "ThresholdedRelu",
    "Trilu",
];

/// The element types of a condition's results, which both branches agree on.
fn branch(node: &Node) -> Vec<Inferred> {
    let Some(Attribute::Graph(body)) = node.attributes.get("then_branch") else {
        return Vec::new();
    };
    let result = |&id| Inferred { dtype: body.value(id).dtype, shape: None };
    body.outputs.iter().map(result).collect()
}

fn detection_post_process(node: &Node) -> Vec<Inferred> {
    let rows = node.int("max_detections").and_then(|n| usize::try_from(n).ok());
    let rows = rows.map_or(Dim::Unknown, Dim::Fixed);
    let one = Dim::Fixed(1);
    let float = |shape| Inferred { dtype: Some(DType::F32), shape: Some(shape) };
    vec![
        float(vec![one.clone(), rows.clone(), Dim::Fixed(4)]),
        float(vec![one.clone(), rows.clone()]),
        float(vec![one.clone(), rows]),
        float(vec![one]),
    ]
}

struct Operands<'a> {
    graph: &'a Graph,
    node: &'a Node,
}

impl Operands<'_> {
    fn id(&self, index: usize) -> Option<ValueId> {
        self.node.input(index)
    }

    fn dtype(&self, index: usize) -> Option<DType> {
        self.graph.value(self.id(index)?).dtype
    }

    fn shape(&self, index: usize) -> Option<Vec<Dim>> {
        self.graph.value(self.id(index)?).shape.clone()
    }

    fn ints(&self, index: usize) -> Option<Vec<i64>> {
        self.graph.constant_ints(self.id(index))
    }

    fn axis(&self, rank: usize, default: i64) -> Option<usize> {
        wrap(self.node.int("axis").unwrap_or(default), rank)
    }

    fn dims_of_constant(&self, index: usize) -> Option<Vec<Dim>> {
        let dim = |n: i64| usize::try_from(n).map_or(Dim::Unknown, Dim::Fixed);
        Some(self.ints(index)?.into_iter().map(dim).collect())
    }

    fn broadcast(&self, from: usize) -> Option<Vec<Dim>> {
        let mut shape: Vec<Dim> = Vec::new();
        for index in from..self.node.inputs.len() {
            let other = self.shape(index)?;
            while shape.len() < other.len() {
                shape.insert(0, Dim::Fixed(1));
            }
            let lead = shape.len() - other.len();
            for (dim, other) in shape[lead..].iter_mut().zip(other) {
                if *dim == Dim::Fixed(1) || matches!(other, Dim::Fixed(n) if n > 1) {
                    *dim = other;
                }
            }
        }
        Some(shape)
    }

    fn kernel(&self, skip: usize) -> Option<Vec<usize>> {
        match self.node.ints("kernel_shape") {
            Some(kernel) => kernel.iter().map(|&n| usize::try_from(n).ok()).collect(),
            None => self.shape(1)?.iter().skip(skip).map(Dim::fixed).collect(),
        }
    }

    fn conv(&self) -> Option<Vec<Dim>> {
        let (x, w, kernel) = (self.shape(0)?, self.shape(1)?, self.kernel(2)?);
        (x.len() >= 3 && x.len() == kernel.len() + 2).then(|| {
            let mut shape = vec![x[0].clone(), w[0].clone()];
            shape.extend(window::slide(self.node, &x[2..], &kernel));
            shape
        })
    }

    fn conv_transpose(&self) -> Option<Vec<Dim>> {
        let (x, w, kernel) = (self.shape(0)?, self.shape(1)?, self.kernel(2)?);
        let groups = usize::try_from(self.node.int("group").unwrap_or(1)).ok()?;
        (x.len() >= 3 && x.len() == kernel.len() + 2).then(|| {
            let channels = w[1].fixed().and_then(|n| n.checked_mul(groups));
            let mut shape = vec![x[0].clone(), channels.map_or(Dim::Unknown, Dim::Fixed)];
            shape.extend(window::slide_back(self.node, &x[2..], &kernel));
            shape
        })
    }

    fn pool(&self) -> Option<Vec<Dim>> {
        let (x, kernel) = (self.shape(0)?, self.kernel(0)?);
        (x.len() >= 3 && x.len() == kernel.len() + 2).then(|| {
            let mut shape = x[..2].to_vec();
            shape.extend(window::slide(self.node, &x[2..], &kernel));
            shape
        })
    }

    fn gemm(&self) -> Option<Vec<Dim>> {
        let (a, b) = (self.shape(0)?, self.shape(1)?);
        let turned = |name: &str| usize::from(self.node.int(name) == Some(1));
        Some(vec![a.get(turned("transA"))?.clone(), b.get(1 - turned("transB"))?.clone()])
    }

    fn matmul(&self) -> Option<Vec<Dim>> {
        let (a, b) = (self.shape(0)?, self.shape(1)?);
        if a.len() < 2 || b.len() < 2 {
            return None;
        }
        let longer = if a.len() >= b.len() { &a } else { &b };
        let mut shape = longer[..longer.len() - 2].to_vec();
        shape.extend([a[a.len() - 2].clone(), b[b.len() - 1].clone()]);
        Some(shape)
    }

    fn reshape(&self) -> Option<Vec<Dim>> {
        let target = self.ints(1)?;
        let source = self.shape(0);
        let keep_zero = self.node.int("allowzero") == Some(1);
        let mut shape: Vec<Dim> = Vec::new();
        for (i, &n) in target.iter().enumerate() {
            shape.push(match n {
                0 if !keep_zero => {
                    source.as_ref().and_then(|s| s.get(i)).cloned().unwrap_or(Dim::Unknown)
                }
                n => usize::try_from(n).map_or(Dim::Unknown, Dim::Fixed),
            });
        }
        if let (Some(rest), Some(source)) = (target.iter().position(|&n| n == -1), source) {
            shape[rest] = remaining(&source, &shape, rest);
        }
        Some(shape)
    }

    fn flatten(&self) -> Option<Vec<Dim>> {
        let shape = self.shape(0)?;
        let axis = match self.node.int("axis").unwrap_or(1) {
            axis if axis == shape.len() as i64 => shape.len(),
            axis => wrap(axis, shape.len())?,
        };
        let product = |dims: &[Dim]| match dims {
            [one] => one.clone(),
            dims => dims
                .iter()
                .try_fold(1usize, |n, dim| n.checked_mul(dim.fixed()?))
                .map_or(Dim::Unknown, Dim::Fixed),
        };
        Some(vec![product(&shape[..axis]), product(&shape[axis..])])
    }

    fn transpose(&self) -> Option<Vec<Dim>> {
        let shape = self.shape(0)?;
        match self.node.ints("perm") {
            None => Some(shape.into_iter().rev().collect()),
            Some(perm) => {
                perm.iter().map(|&p| shape.get(usize::try_from(p).ok()?).cloned()).collect()
            }
        }
    }

    fn squeeze(&self) -> Option<Vec<Dim>> {
        let shape = self.shape(0)?;
        let drop: Vec<usize> = match self.ints(1) {
            Some(axes) => axes.iter().map(|&a| wrap(a, shape.len())).collect::<Option<_>>()?,
            None if self.id(1).is_some() => return None,
            None => (0..shape.len()).filter(|&i| shape[i] == Dim::Fixed(1)).collect(),
        };
        let keep = |(i, _): &(usize, Dim)| !drop.contains(i);
        Some(shape.into_iter().enumerate().filter(keep).map(|(_, dim)| dim).collect())
    }

    fn unsqueeze(&self) -> Option<Vec<Dim>> {
        let (shape, axes) = (self.shape(0)?, self.ints(1)?);
        let rank = shape.len() + axes.len();
        let axes: Vec<usize> = axes.iter().map(|&a| wrap(a, rank)).collect::<Option<_>>()?;
        let mut rest = shape.into_iter();
        (0..rank)
            .map(|i| if axes.contains(&i) { Some(Dim::Fixed(1)) } else { rest.next() })
            .collect()
    }

    fn concat(&self) -> Option<Vec<Dim>> {
        let mut shape = self.shape(0)?;
        let axis = self.axis(shape.len(), 0)?;
        let along = |index| self.shape(index)?.get(axis)?.fixed();
        let total =
            (0..self.node.inputs.len()).map(along).try_fold(0usize, |n, m| n.checked_add(m?));
        shape[axis] = total.map_or(Dim::Unknown, Dim::Fixed);
        Some(shape)
    }

    fn split(&self) -> Vec<Option<Vec<Dim>>> {
        let count = self.node.outputs.len();
        let Some(shape) = self.shape(0) else { return vec![None; count] };
        let Some(axis) = self.axis(shape.len(), 0) else { return vec![None; count] };
        let sizes = self.ints(1);
        let part = |index: usize| {
            if let Some(sizes) = &sizes {
                return usize::try_from(*sizes.get(index)?).ok();
            }
            let total = shape[axis].fixed()?;
            let chunk = total.div_ceil(count.max(1));
            Some(chunk.min(total.saturating_sub(chunk * index)))
        };
        let shaped = |index| {
            let mut shape = shape.clone();
            shape[axis] = part(index).map_or(Dim::Unknown, Dim::Fixed);
            Some(shape)
        };
        (0..count).map(shaped).collect()
    }

    fn slice(&self) -> Option<Vec<Dim>> {
        let mut shape = self.shape(0)?;
        let (starts, ends) = (self.ints(1)?, self.ints(2)?);
        let axes = match self.id(3) {
            Some(_) => self.ints(3)?,
            None => (0..starts.len() as i64).collect(),
        };
        let steps = match self.id(4) {
            Some(_) => self.ints(4)?,
            None => vec![1; starts.len()],
        };
        for (i, &axis) in axes.iter().enumerate() {
            let axis = wrap(axis, shape.len())?;
            let size = shape[axis].fixed().and_then(|size| {
                slice_length(size, *starts.get(i)?, *ends.get(i)?, *steps.get(i)?)
            });
            shape[axis] = size.map_or(Dim::Unknown, Dim::Fixed);
        }
        Some(shape)
    }

    fn gather(&self) -> Option<Vec<Dim>> {
        let (data, indices) = (self.shape(0)?, self.shape(1)?);
        let axis = self.axis(data.len(), 0)?;
        let mut shape = data[..axis].to_vec();
        shape.extend(indices);
        shape.extend_from_slice(&data[axis + 1..]);
        Some(shape)
    }

    fn pad(&self) -> Option<Vec<Dim>> {
        let (mut shape, pads) = (self.shape(0)?, self.ints(1)?);
        let axes: Vec<usize> = match self.id(3) {
            Some(_) => {
                self.ints(3)?.iter().map(|&a| wrap(a, shape.len())).collect::<Option<_>>()?
            }
            None => (0..shape.len()).collect(),
        };
        for (i, &axis) in axes.iter().enumerate() {
            let grow = pads.get(i)?.checked_add(*pads.get(i + axes.len())?)?;
            let size = shape[axis].fixed().and_then(|n| n.checked_add_signed(grow as isize));
            shape[axis] = size.map_or(Dim::Unknown, Dim::Fixed);
        }
        Some(shape)
    }

    fn expand(&self) -> Option<Vec<Dim>> {
        let (from, to) = (self.shape(0)?, self.dims_of_constant(1)?);
        let rank = from.len().max(to.len());
        let at = |dims: &[Dim], i: usize| {
            (i + dims.len())
                .checked_sub(rank)
                .and_then(|i| dims.get(i).cloned())
                .unwrap_or(Dim::Fixed(1))
        };
        let wider = |i| match (at(&from, i), at(&to, i)) {
            (Dim::Fixed(1), other) | (other, Dim::Fixed(1)) => other,
            (dim, _) => dim,
        };
        Some((0..rank).map(wider).collect())
    }

    fn tile(&self) -> Option<Vec<Dim>> {
        let (shape, repeats) = (self.shape(0)?, self.ints(1)?);
        let times = |(dim, repeat): (Dim, &i64)| match (dim, usize::try_from(*repeat)) {
            (dim, Ok(1)) => dim,
            (Dim::Fixed(n), Ok(r)) => n.checked_mul(r).map_or(Dim::Unknown, Dim::Fixed),
            _ => Dim::Unknown,
        };
        (shape.len() == repeats.len()).then(|| shape.into_iter().zip(&repeats).map(times).collect())
    }

    fn resize(&self) -> Option<Vec<Dim>> {
        let shape = self.shape(0)?;
        if let Some(sizes) = self.dims_of_constant(3) {
            return (sizes.len() == shape.len()).then_some(sizes);
        }
        let scales = self.graph.constant(self.id(2))?.to_f32()?.into_owned();
        let scaled = |(dim, scale): (Dim, f32)| match dim.fixed() {
            Some(n) if (0.0..1e6).contains(&scale) => {
                Dim::Fixed((n as f32 * scale).floor() as usize)
            }
            _ if scale == 1.0 => dim,
            _ => Dim::Unknown,
        };
        (scales.len() == shape.len()).then(|| shape.into_iter().zip(scales).map(scaled).collect())
    }

    fn reduce(&self) -> Option<Vec<Dim>> {
        let rank = self.shape(0)?.len() as i64;
        match (self.id(1), self.ints(1)) {
            (Some(_), None) => None,
            (_, Some(axes)) if !axes.is_empty() => self.reduce_axes(&axes),
            _ if self.node.int("noop_with_empty_axes") == Some(1) => self.shape(0),
            _ => self.reduce_axes(&(0..rank).collect::<Vec<_>>()),
        }
    }

    fn reduce_axes(&self, axes: &[i64]) -> Option<Vec<Dim>> {
        let shape = self.shape(0)?;
        let axes: Vec<usize> = axes.iter().map(|&a| wrap(a, shape.len())).collect::<Option<_>>()?;
        let keep = self.node.int("keepdims").unwrap_or(1) == 1;
        let reduced = |(i, dim): (usize, Dim)| match (axes.contains(&i), keep) {
            (false, _) => Some(dim),
            (true, true) => Some(Dim::Fixed(1)),
            (true, false) => None,
        };
        Some(shape.into_iter().enumerate().filter_map(reduced).collect())
    }

    fn top_k(&self) -> Option<Vec<Dim>> {
        let mut shape = self.shape(0)?;
        let axis = self.axis(shape.len(), -1)?;
        let k = self.ints(1).and_then(|k| usize::try_from(*k.first()?).ok());
        shape[axis] = k.map_or(Dim::Unknown, Dim::Fixed);
        Some(shape)
    }

    fn fill_dtype(&self) -> Option<DType> {
        match self.node.attributes.get("value") {
            Some(crate::Attribute::Tensor(tensor)) => Some(tensor.dtype()),
            _ => Some(DType::F32),
        }
    }

    fn blocks(&self, outwards: bool) -> Option<Vec<Dim>> {
        let shape = self.shape(0)?;
        let block = usize::try_from(self.node.int("blocksize")?).ok().filter(|&b| b > 0)?;
        let [n, c, h, w] = shape.as_slice() else { return None };
        let sized = |dim: &Dim, grow: bool, by: usize| match dim.fixed() {
            Some(n) if grow => n.checked_mul(by).map_or(Dim::Unknown, Dim::Fixed),
            Some(n) => Dim::Fixed(n / by),
            None => Dim::Unknown,
        };
        let area = block.checked_mul(block)?;
        Some(vec![
            n.clone(),
            sized(c, !outwards, area),
            sized(h, outwards, block),
            sized(w, outwards, block),
        ])
    }
}

/// A possibly negative axis as an index below `rank`.
fn wrap(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

/// What `-1` in a reshape stands for: what is left of the source's elements.
fn remaining(source: &[Dim], shape: &[Dim], rest: usize) -> Dim {
    // A symbolic dimension that is carried over cancels on both sides.
    let mut left: Vec<&Dim> = source.iter().collect();
    let mut known = 1usize;
    for (i, dim) in shape.iter().enumerate().filter(|(i, _)| *i != rest) {
        match dim {
            Dim::Fixed(n) => known = known.saturating_mul(*n),
            _ => match left.iter().position(|d| *d == &shape[i]) {
                Some(position) => drop(left.remove(position)),
                None => return Dim::Unknown,
            },
        }
    }
    let open: Vec<&&Dim> = left.iter().filter(|dim| dim.fixed().is_none()).collect();
    let fixed = left.iter().filter_map(|dim| dim.fixed()).try_fold(1usize, usize::checked_mul);
    match (open.as_slice(), fixed) {
        ([], Some(total)) if known > 0 && total % known == 0 => Dim::Fixed(total / known),
        ([one], Some(total)) if total == known => (**one).clone(),
        _ => Dim::Unknown,
    }
}

/// Number of elements a slice takes from a dimension.
fn slice_length(size: usize, start: i64, end: i64, step: i64) -> Option<usize> {
    let size = i64::try_from(size).ok()?;
    let absolute = |i: i64| if i < 0 { i.saturating_add(size) } else { i };
    let (start, end) = (absolute(start), absolute(end));
    let (span, step) = if step > 0 {
        (end.clamp(0, size) - start.clamp(0, size), step)
    } else {
        (start.clamp(-1, size - 1) - end.clamp(-1, size - 1), step.checked_neg()?)
    };
    if step == 0 {
        return None;
    }
    usize::try_from((span.max(0) + step - 1) / step).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_counted_as_numpy_does() {
        for (size, start, end, step, want) in [
            (10, 0, 10, 1, 10),
            (10, -3, i64::MAX, 1, 3),
            (10, 9, i64::MIN, -1, 10),
            (5, 4, 1, 2, 0),
            (7, 1, 7, 3, 2),
        ] {
            assert_eq!(slice_length(size, start, end, step), Some(want), "{start}:{end}:{step}");
        }
    }

    #[test]
    fn a_reshape_keeps_a_symbolic_batch() {
        let batch = Dim::Symbol("N".into());
        let source = [batch.clone(), Dim::Fixed(3), Dim::Fixed(4)];
        assert_eq!(remaining(&source, &[batch.clone(), Dim::Unknown], 1), Dim::Fixed(12));
        assert_eq!(remaining(&source, &[Dim::Unknown, Dim::Fixed(12)], 0), batch);
    }
}
