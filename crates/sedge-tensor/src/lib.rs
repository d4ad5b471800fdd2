//! Tensors as they travel between a picture, a graph and an engine.
//!
//! For: element types ([`DType`]), and dense row-major tensors ([`Tensor`]) whose bytes are owned,
//! shared or memory-mapped without a copy. Not for: arithmetic; that is what engines do.
//!
//! Read [`Tensor`] first, then [`DType`].

#![forbid(unsafe_code)]

mod dtype;
mod tensor;

pub use dtype::{DType, Element};
pub use tensor::{Quantization, Tensor, TensorError, element_count};
