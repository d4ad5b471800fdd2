//! Integer operators in a quantised graph: dequantise, operator, activation and quantise nodes that
//! together are one operator on bytes.
//!
//! One search for two ways of computing them: in Sedge's kernels ([`crate::Native`]), and in plain
//! ONNX operators of the same arithmetic ([`crate::spell_out`]).

pub(crate) mod affine;
pub(crate) mod layer;
pub(crate) mod pattern;
pub(crate) mod sink;
