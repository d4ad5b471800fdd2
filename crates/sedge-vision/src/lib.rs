//! The picture's way: from JPEG and PNG bytes to an input tensor, and from output tensors to
//! classes and objects in the pixels of the picture.
//!
//! Not for: running models, reading manifests, or any input and output of its own.
//!
//! Read [`ImageInput`] (how a model wants its picture) and [`Placement`] (where the picture ended
//! up inside the input, so that boxes find their way back) first.

#![forbid(unsafe_code)]

mod input;
mod placement;

pub use input::{Alpha, Color, Filter, ImageInput, Layout, Orientation, Resize};
pub use placement::{Box2d, Placement};
