use sedge_tensor::Tensor;

use crate::Graph;

/// A static parameter of a [`crate::Node`].
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Attribute {
    Int(i64),
    Float(f32),
    String(String),
    Tensor(Tensor),
    /// The body of a control-flow operator; it sees outer values by their names.
    Graph(Box<Graph>),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Strings(Vec<String>),
}

macro_rules! from {
    ($($ty:ty => $variant:ident),* $(,)?) => {
        $(impl From<$ty> for Attribute {
            fn from(value: $ty) -> Self {
                Attribute::$variant(value.into())
            }
        })*
    };
}

from! {
    i64 => Int,
    f32 => Float,
    &str => String,
    String => String,
    Tensor => Tensor,
    Vec<i64> => Ints,
    &[i64] => Ints,
    Vec<f32> => Floats,
    Vec<String> => Strings,
}
