//! Integer kernels: quantised operators whose results equal the original framework's, bit for bit.
//!
//! For: convolutions, pooling, sums and the like on 8-bit activations, with the rounding of either
//! TensorFlow Lite or onnxruntime ([`Rounding`]). Not for: graphs, layouts to choose, floats.
//!
//! Activations are always unsigned here: signed ones are stored with their top bit flipped and a
//! zero point 128 higher ([`flip_sign`]), which changes no difference to the zero point. Pictures
//! are channels last (`Nhwc`).
//!
//! Read [`Convolution`] first, then [`Requantize`].

mod convolution;
mod depthwise;
mod detection;
mod elementwise;
mod fixed_point;
mod gather;
mod hard_swish;
mod matrix;
mod movement;
mod parallel;
mod pool;
mod quantize;
mod requantize;
mod simd;
mod softmax;
mod suppression;
mod window;

pub use convolution::Convolution;
pub use depthwise::Depthwise;
pub use detection::{Detection, DetectionOptions};
pub use elementwise::{Arithmetic, Binary, Broadcast};
pub use fixed_point::Multiplier;
pub use movement::{concatenate, pad, transpose};
pub use parallel::Threads;
pub use pool::{Average, Mean, max_pool};
pub use quantize::{Affine, dequantize, flip_sign, quantize};
pub use requantize::{FixedPoint, Requantize, Rounding};
pub use simd::Level;
pub use softmax::Softmax;
pub use suppression::{Corners, Suppression};
pub use window::{Nhwc, Window};
