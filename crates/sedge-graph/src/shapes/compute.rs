//! Operators that compute: windows, products, reductions.

use sedge_tensor::DType;

use super::operands::{Operands, wrap};
use super::window;
use crate::{Attribute, Dim};

impl Operands<'_> {
    pub(super) fn broadcast(&self, from: usize) -> Option<Vec<Dim>> {
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

    pub(super) fn kernel(&self, skip: usize) -> Option<Vec<usize>> {
        match self.node.ints("kernel_shape") {
            Some(kernel) => kernel.iter().map(|&n| usize::try_from(n).ok()).collect(),
            None => self.shape(1)?.iter().skip(skip).map(Dim::fixed).collect(),
        }
    }

    pub(super) fn conv(&self) -> Option<Vec<Dim>> {
        let (x, w, kernel) = (self.shape(0)?, self.shape(1)?, self.kernel(2)?);
        (x.len() >= 3 && x.len() == kernel.len() + 2).then(|| {
            let mut shape = vec![x[0].clone(), w[0].clone()];
            shape.extend(window::slide(self.node, &x[2..], &kernel));
            shape
        })
    }

    pub(super) fn conv_transpose(&self) -> Option<Vec<Dim>> {
        let (x, w, kernel) = (self.shape(0)?, self.shape(1)?, self.kernel(2)?);
        let groups = usize::try_from(self.node.int("group").unwrap_or(1)).ok()?;
        (x.len() >= 3 && x.len() == kernel.len() + 2).then(|| {
            let channels = w[1].fixed().and_then(|n| n.checked_mul(groups));
            let mut shape = vec![x[0].clone(), channels.map_or(Dim::Unknown, Dim::Fixed)];
            shape.extend(window::slide_back(self.node, &x[2..], &kernel));
            shape
        })
    }

    pub(super) fn pool(&self) -> Option<Vec<Dim>> {
        let (x, kernel) = (self.shape(0)?, self.kernel(0)?);
        (x.len() >= 3 && x.len() == kernel.len() + 2).then(|| {
            let mut shape = x[..2].to_vec();
            shape.extend(window::slide(self.node, &x[2..], &kernel));
            shape
        })
    }

    pub(super) fn gemm(&self) -> Option<Vec<Dim>> {
        let (a, b) = (self.shape(0)?, self.shape(1)?);
        let turned = |name: &str| usize::from(self.node.int(name) == Some(1));
        Some(vec![a.get(turned("transA"))?.clone(), b.get(1 - turned("transB"))?.clone()])
    }

    pub(super) fn matmul(&self) -> Option<Vec<Dim>> {
        let (a, b) = (self.shape(0)?, self.shape(1)?);
        if a.len() < 2 || b.len() < 2 {
            return None;
        }
        let longer = if a.len() >= b.len() { &a } else { &b };
        let mut shape = longer[..longer.len() - 2].to_vec();
        shape.extend([a[a.len() - 2].clone(), b[b.len() - 1].clone()]);
        Some(shape)
    }

    pub(super) fn resize(&self) -> Option<Vec<Dim>> {
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

    pub(super) fn reduce(&self) -> Option<Vec<Dim>> {
        let rank = self.shape(0)?.len() as i64;
        match (self.id(1), self.ints(1)) {
            (Some(_), None) => None,
            (_, Some(axes)) if !axes.is_empty() => self.reduce_axes(&axes),
            _ if self.node.int("noop_with_empty_axes") == Some(1) => self.shape(0),
            _ => self.reduce_axes(&(0..rank).collect::<Vec<_>>()),
        }
    }

    pub(super) fn reduce_axes(&self, axes: &[i64]) -> Option<Vec<Dim>> {
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

    pub(super) fn top_k(&self) -> Option<Vec<Dim>> {
        let mut shape = self.shape(0)?;
        let axis = self.axis(shape.len(), -1)?;
        let k = self.ints(1).and_then(|k| usize::try_from(*k.first()?).ok());
        shape[axis] = k.map_or(Dim::Unknown, Dim::Fixed);
        Some(shape)
    }

    /// As many results as there are regions.
    pub(super) fn regions(&self) -> Option<Vec<Dim>> {
        let (x, regions) = (self.shape(0)?, self.shape(1)?);
        let pooled = self.node.ints("pooled_shape")?.iter();
        let pooled = pooled.map(|&n| usize::try_from(n).map_or(Dim::Unknown, Dim::Fixed));
        let mut shape = vec![regions.first()?.clone(), x.get(1)?.clone()];
        shape.extend(pooled);
        Some(shape)
    }

    pub(super) fn fill_dtype(&self) -> Option<DType> {
        match self.node.attributes.get("value") {
            Some(Attribute::Tensor(tensor)) => Some(tensor.dtype()),
            _ => Some(DType::F32),
        }
    }
}
