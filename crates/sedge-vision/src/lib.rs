//! The picture's way: from JPEG and PNG bytes to an input tensor, and from output tensors to
//! classes and objects in the pixels of the picture.
//!
//! Not for: running models, reading manifests, or any input and output of its own.
//!
//! Read [`ImageInput`] (how a model wants its picture) and [`Placement`] (where the picture ended
//! up inside the input, so that boxes find their way back) first.

#![forbid(unsafe_code)]

mod decode;
pub mod decoders;
mod draw;
mod input;
pub mod nms;
mod picture;
mod placement;
mod prediction;
mod preprocess;
mod resize;

pub use decode::{DecodeError, DecodeLimits, decode, sniff};
pub use decoders::{Decoder, DecoderError, Output, Selection};
pub use draw::{DrawError, chart, draw, encode_png};
pub use input::{Alpha, Color, Filter, ImageInput, Layout, Orientation, Resize};
pub use picture::{Picture, PictureFormat};
pub use placement::{Box2d, Placement};
pub use prediction::{Answer, Class, Labels, Object};
pub use preprocess::{Prepared, PreprocessError, explain, preprocess};
