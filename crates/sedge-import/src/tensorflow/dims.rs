//! What is known of shapes that a graph computes.
//!
//! A graph for any number of pictures reshapes to `[shape(x)[0], 5]`. Of such a list all is known
//! but one size, which `Reshape` can find out by itself; followed to the end, the arithmetic is
//! gone.

use sedge_graph::{Dim, Node, ValueId};
use sedge_tensor::{DType, Tensor};

use super::Refusal;
use super::builder::{Context, Op};

/// Longest list that is followed.
const MAX_LENGTH: usize = 16;

/// The elements of a small tensor of integers.
pub(super) type Contents = Vec<Element>;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Known(i64),
    /// The size that this dimension of an input has.
    Size(String),
    Unknown,
}

impl From<&Dim> for Element {
    fn from(dim: &Dim) -> Self {
        match dim {
            Dim::Fixed(n) => i64::try_from(*n).map_or(Element::Unknown, Element::Known),
            Dim::Symbol(name) => Element::Size(name.clone()),
            Dim::Unknown => Element::Unknown,
        }
    }
}

impl Context<'_> {
    /// What is known of a value's elements.
    pub(super) fn contents(&self, value: ValueId) -> Option<Contents> {
        if let Some(contents) = self.contents.get(&value) {
            return Some(contents.clone());
        }
        let constant = self.graph.constant(Some(value)).filter(|c| c.len() <= MAX_LENGTH)?;
        Some(constant.to_i64()?.into_iter().map(Element::Known).collect())
    }
}

impl Context<'_> {
    /// Makes constants of the values noted since `start` of which everything is known.
    pub(super) fn fold_noted(&mut self, start: usize) {
        for value in std::mem::take(&mut self.noted) {
            if let Some(constant) = self.whole(value) {
                let value = self.graph.value_mut(value);
                value.shape = Some(constant.shape().iter().map(|&n| Dim::Fixed(n)).collect());
                value.constant = Some(constant);
            }
        }
        let constant = |id: &ValueId| self.graph.value(*id).constant.is_some();
        let start = start.min(self.graph.nodes.len());
        let superfluous = |node: &Node| node.outputs.iter().flatten().all(constant);
        let kept: Vec<bool> =
            self.graph.nodes[start..].iter().map(|node| !superfluous(node)).collect();
        let added: Vec<Node> = self.graph.nodes.drain(start..).collect();
        let added = added.into_iter().zip(kept).filter(|(_, kept)| *kept);
        self.graph.nodes.extend(added.map(|(node, _)| node));
    }

    /// The value as a constant.
    fn whole(&self, value: ValueId) -> Option<Tensor> {
        let known = |element: &Element| match element {
            Element::Known(n) => Some(*n),
            _ => None,
        };
        let list: Vec<i64> = self.contents.get(&value)?.iter().map(known).collect::<Option<_>>()?;
        let value = self.graph.value(value);
        let shape = value.fixed_shape()?;
        match value.dtype? {
            DType::I64 => Tensor::new(shape, list).ok(),
            DType::I32 => {
                let short = list.iter().map(|&n| i32::try_from(n).ok()).collect::<Option<Vec<_>>>();
                Tensor::new(shape, short?).ok()
            }
            _ => None,
        }
    }
}

impl Op<'_, '_> {
    /// Notes what is known of the elements of the list `value`.
    pub(super) fn note(&mut self, value: ValueId, contents: Option<Contents>) {
        if let Some(contents) = contents.filter(|list| list.len() <= MAX_LENGTH) {
            self.context.contents.insert(value, contents);
            self.context.noted.push(value);
        }
    }

    /// What is known of operand `index`.
    pub(super) fn contents(&self, index: usize) -> Option<Contents> {
        self.context.contents(self.operand(index).ok()?)
    }

    /// The elements of all operands from `from` on, one after the other.
    pub(super) fn joined(&self, range: std::ops::Range<usize>) -> Option<Contents> {
        let mut joined = Contents::new();
        for index in range {
            joined.extend(self.contents(index)?);
        }
        Some(joined)
    }

    /// `value` in the shape that operand `index` gives.
    pub(super) fn reshaped(&mut self, value: ValueId, index: usize) -> Result<ValueId, Refusal> {
        let contents = self.contents(index);
        let name = self.name("reshape");
        if let Some(list) = contents.as_deref().and_then(|list| self.literal(value, list)) {
            // A zero is a size in TensorFlow; ONNX would copy the operand's.
            let sizes = contents.iter().flatten().any(|e| *e == Element::Known(0));
            let mut node = self.start("Reshape").input(value).ints(&list);
            if sizes {
                node = node.attribute("allowzero", 1i64);
            }
            return Ok(node.output(&name));
        }
        let shape = self.shape_operand(index)?;
        let result = self.start("Reshape").input(value).input(shape).output(&name);
        if !self.tell_shape(result, contents.as_deref()) {
            let length = self.dims(self.operand(index)?).and_then(|dims| dims.first()?.fixed());
            let rank = length.filter(|&rank| rank <= MAX_LENGTH);
            self.context.graph.value_mut(result).shape = rank.map(|n| vec![Dim::Unknown; n]);
        }
        Ok(result)
    }

    /// Says that a value has the shape of which this is known; false when that is nothing.
    pub(super) fn tell_shape(&mut self, value: ValueId, contents: Option<&[Element]>) -> bool {
        let dim = |element: &Element| match element {
            Element::Known(n) => usize::try_from(*n).map_or(Dim::Unknown, Dim::Fixed),
            Element::Size(name) => Dim::Symbol(name.clone()),
            Element::Unknown => Dim::Unknown,
        };
        let shape = contents.map(|list| list.iter().map(dim).collect());
        let known = shape.is_some();
        if known {
            self.context.graph.value_mut(value).shape = shape;
        }
        known
    }

    /// The list as `Reshape` takes it: 0 copies a size, -1 is what is left.
    fn literal(&self, value: ValueId, list: &[Element]) -> Option<Vec<i64>> {
        let zero = list.contains(&Element::Known(0));
        let mut rest = list.contains(&Element::Known(-1));
        let dims = self.dims(value);
        let mut literal = Vec::with_capacity(list.len());
        for (axis, element) in list.iter().enumerate() {
            let copied = match (element, dims.and_then(|dims| dims.get(axis))) {
                (Element::Size(name), Some(Dim::Symbol(same))) => name == same && !zero,
                _ => false,
            };
            literal.push(match element {
                Element::Known(n) => *n,
                _ if copied => 0,
                _ if !rest => {
                    rest = true;
                    -1
                }
                _ => return None,
            });
        }
        Some(literal)
    }
}
