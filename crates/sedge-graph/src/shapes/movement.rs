//! Operators that move elements and change none.

use super::operands::{Operands, wrap};
use crate::Dim;

/// More dimensions than any tensor of a network has.
const MAX_RANK: usize = 16;

impl Operands<'_> {
    pub(super) fn reshape(&self) -> Option<Vec<Dim>> {
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

    pub(super) fn flatten(&self) -> Option<Vec<Dim>> {
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

    pub(super) fn transpose(&self) -> Option<Vec<Dim>> {
        let shape = self.shape(0)?;
        match self.node.ints("perm") {
            None => Some(shape.into_iter().rev().collect()),
            Some(perm) => {
                perm.iter().map(|&p| shape.get(usize::try_from(p).ok()?).cloned()).collect()
            }
        }
    }

    pub(super) fn squeeze(&self) -> Option<Vec<Dim>> {
        let shape = self.shape(0)?;
        let drop: Vec<usize> = match self.ints(1) {
            Some(axes) => axes.iter().map(|&a| wrap(a, shape.len())).collect::<Option<_>>()?,
            None if self.id(1).is_some() => return None,
            None => (0..shape.len()).filter(|&i| shape[i] == Dim::Fixed(1)).collect(),
        };
        let keep = |(i, _): &(usize, Dim)| !drop.contains(i);
        Some(shape.into_iter().enumerate().filter(keep).map(|(_, dim)| dim).collect())
    }

    pub(super) fn unsqueeze(&self) -> Option<Vec<Dim>> {
        let (shape, axes) = (self.shape(0)?, self.ints(1)?);
        let rank = shape.len() + axes.len();
        let axes: Vec<usize> = axes.iter().map(|&a| wrap(a, rank)).collect::<Option<_>>()?;
        let mut rest = shape.into_iter();
        (0..rank)
            .map(|i| if axes.contains(&i) { Some(Dim::Fixed(1)) } else { rest.next() })
            .collect()
    }

    pub(super) fn concat(&self) -> Option<Vec<Dim>> {
        let mut shape = self.shape(0)?;
        let axis = self.axis(shape.len(), 0)?;
        let along = |index| self.shape(index)?.get(axis)?.fixed();
        let total =
            (0..self.node.inputs.len()).map(along).try_fold(0usize, |n, m| n.checked_add(m?));
        shape[axis] = total.map_or(Dim::Unknown, Dim::Fixed);
        Some(shape)
    }

    pub(super) fn split(&self) -> Vec<Option<Vec<Dim>>> {
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

    /// Of an equation that names its result and has no ellipsis: the size of each letter.
    pub(super) fn einsum(&self) -> Option<Vec<Dim>> {
        let equation: String =
            self.node.string("equation")?.chars().filter(|c| !c.is_whitespace()).collect();
        let (operands, result) = equation.split_once("->")?;
        if equation.contains('.') {
            return None;
        }
        let size = |letter: char| {
            let of_operand = |(index, letters): (usize, &str)| {
                let at = letters.chars().position(|other| other == letter)?;
                self.shape(index)?.get(at).cloned()
            };
            let mut sizes = operands.split(',').enumerate().filter_map(of_operand);
            sizes.find(|dim| *dim != Dim::Unknown).unwrap_or(Dim::Unknown)
        };
        Some(result.chars().map(size).collect())
    }

    /// What two shapes of which it may have either have in common.
    pub(super) fn either(&self, one: usize, other: usize) -> Option<Vec<Dim>> {
        let (one, other) = (self.shape(one)?, self.shape(other)?);
        let common = |(a, b): (Dim, Dim)| if a == b { a } else { Dim::Unknown };
        (one.len() == other.len()).then(|| one.into_iter().zip(other).map(common).collect())
    }

    pub(super) fn slice(&self) -> Option<Vec<Dim>> {
        let mut shape = self.shape(0)?;
        let all = || (0..shape.len() as i64).collect();
        let axes: Vec<i64> = self.id(3).map_or_else(|| Some(all()), |_| self.ints(3))?;
        // Bounds that are computed leave the sizes along their axes open.
        let starts = self.ints(1).unwrap_or_default();
        let ends = self.ints(2).unwrap_or_default();
        let steps = match self.id(4) {
            Some(_) => self.ints(4).unwrap_or_default(),
            None => vec![1; axes.len()],
        };
        for (i, &axis) in axes.iter().enumerate() {
            let axis = wrap(axis, shape.len())?;
            // All of a dimension, whatever its size.
            if (starts.get(i), ends.get(i), steps.get(i)) == (Some(&0), Some(&i64::MAX), Some(&1)) {
                continue;
            }
            let size = shape[axis].fixed().and_then(|size| {
                slice_length(size, *starts.get(i)?, *ends.get(i)?, *steps.get(i)?)
            });
            shape[axis] = size.map_or(Dim::Unknown, Dim::Fixed);
        }
        Some(shape)
    }

    pub(super) fn gather(&self) -> Option<Vec<Dim>> {
        let (data, indices) = (self.shape(0)?, self.shape(1)?);
        let axis = self.axis(data.len(), 0)?;
        let mut shape = data[..axis].to_vec();
        shape.extend(indices);
        shape.extend_from_slice(&data[axis + 1..]);
        Some(shape)
    }

    pub(super) fn pad(&self) -> Option<Vec<Dim>> {
        let mut shape = self.shape(0)?;
        // Pads that are computed leave the sizes along their axes open.
        let pads = self.ints(1).unwrap_or_default();
        let axes: Vec<usize> = match self.id(3) {
            Some(_) => {
                self.ints(3)?.iter().map(|&a| wrap(a, shape.len())).collect::<Option<_>>()?
            }
            None => (0..shape.len()).collect(),
        };
        for (i, &axis) in axes.iter().enumerate() {
            let ends = pads.get(i).zip(pads.get(i + axes.len()));
            if ends == Some((&0, &0)) {
                continue;
            }
            let grow = ends.and_then(|(before, after)| before.checked_add(*after));
            let grown = |n: usize| n.checked_add_signed(grow? as isize);
            let size = shape[axis].fixed().and_then(grown);
            shape[axis] = size.map_or(Dim::Unknown, Dim::Fixed);
        }
        Some(shape)
    }

    pub(super) fn expand(&self) -> Option<Vec<Dim>> {
        let from = self.shape(0)?;
        // Of a shape that is computed perhaps its length is known.
        let open = || match self.shape(1)?.as_slice() {
            &[Dim::Fixed(rank)] if rank <= MAX_RANK => Some(vec![Dim::Unknown; rank]),
            _ => None,
        };
        let to = self.dims_of_constant(1).or_else(open)?;
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

    pub(super) fn tile(&self) -> Option<Vec<Dim>> {
        let shape = self.shape(0)?;
        let Some(repeats) = self.ints(1) else {
            return Some(vec![Dim::Unknown; shape.len()]);
        };
        let times = |(dim, repeat): (Dim, &i64)| match (dim, usize::try_from(*repeat)) {
            (dim, Ok(1)) => dim,
            (Dim::Fixed(n), Ok(r)) => n.checked_mul(r).map_or(Dim::Unknown, Dim::Fixed),
            _ => Dim::Unknown,
        };
        (shape.len() == repeats.len()).then(|| shape.into_iter().zip(&repeats).map(times).collect())
    }

    pub(super) fn blocks(&self, outwards: bool) -> Option<Vec<Dim>> {
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
    let (span, step) = (span.max(0).unsigned_abs(), step.unsigned_abs());
    (step > 0).then(|| span.div_ceil(step)).and_then(|length| usize::try_from(length).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Graph, Value};

    #[test]
    fn slices_are_counted_as_numpy_does() {
        for (size, start, end, step, want) in [
            (10, 0, 10, 1, 10),
            (10, -3, i64::MAX, 1, 3),
            (10, 9, i64::MIN, -1, 10),
            (5, 4, 1, 2, 0),
            (7, 1, 7, 3, 2),
            (7, 1, 7, i64::MAX, 1),
        ] {
            assert_eq!(slice_length(size, start, end, step), Some(want), "{start}:{end}:{step}");
        }
    }

    #[test]
    fn what_leaves_a_dimension_as_it_is_keeps_its_symbol() {
        let mut graph = Graph::new("g");
        let batch = Dim::Symbol("N".into());
        let shape = Some(vec![batch.clone(), Dim::Fixed(4)]);
        let x = graph.add_value(Value { name: "x".into(), shape, ..Default::default() });
        graph.inputs.push(x);
        let padded = graph.node("Pad").input(x).ints(&[0, 1, 0, 0]).output("padded");
        let node = graph.node("Slice").input(padded).ints(&[0, 2]).ints(&[i64::MAX, 4]);
        let cut = node.output("cut");
        crate::shapes::infer(&mut graph);
        assert_eq!(graph.value(padded).shape, Some(vec![batch.clone(), Dim::Fixed(5)]));
        assert_eq!(graph.value(cut).shape, Some(vec![batch, Dim::Fixed(2)]));
    }

    #[test]
    fn a_reshape_keeps_a_symbolic_batch() {
        let batch = Dim::Symbol("N".into());
        let source = [batch.clone(), Dim::Fixed(3), Dim::Fixed(4)];
        assert_eq!(remaining(&source, &[batch.clone(), Dim::Unknown], 1), Dim::Fixed(12));
        assert_eq!(remaining(&source, &[Dim::Unknown, Dim::Fixed(12)], 0), batch);
    }
}
