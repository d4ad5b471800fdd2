use std::borrow::Cow;

use half::{bf16, f16};
use sedge_tensor::{DType, Element, Tensor};

use crate::input::{Color, ImageInput, Layout, Orientation};
use crate::picture::Picture;
use crate::placement::Placement;
use crate::resize::{Source, resize};

mod color;
mod explain;
mod fit;

pub use explain::explain;
use fit::Fit;

/// Largest `width * height` of a model's input, so that a manifest cannot ask for all memory.
const MAX_INPUT_PIXELS: u64 = 1 << 26;

const NUMBERS: &str = "give a number type such as f32, u8 or i8";

/// A picture as a model's input.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The input tensor, shaped as [`ImageInput::shape`] says.
    pub tensor: Tensor,
    /// Where the picture lies in it.
    pub placement: Placement,
}

/// Why a picture could not be prepared. All of them are mistakes in the settings or the picture
/// value; every decoded picture suits every valid input.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PreprocessError {
    /// An [`ImageInput`] that means nothing.
    #[error("cannot prepare the picture: input setting `{key}` {problem}. Hint: {hint}")]
    Setting {
        /// The key in the manifest.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
        /// What to write instead.
        hint: &'static str,
    },
    /// A [`Picture`] whose fields contradict each other.
    #[error(
        "cannot prepare the picture: {samples} samples are not {width} x {height} pixels of \
         {channels} channels"
    )]
    Picture {
        /// Claimed width.
        width: u32,
        /// Claimed height.
        height: u32,
        /// Claimed samples per pixel.
        channels: u8,
        /// Samples there are.
        samples: usize,
    },
}

/// Turns a picture into a model's input: orientation, transparency, colour, fit and resize,
/// then `(pixel * scale - mean) / std` in `f32`, stored in the input's type and layout.
///
/// The order of the steps is the one above; it matters in the last bit. Gray inputs are converted
/// before they are resized (Pillow's `convert("L").resize(...)`), and so is transparency blended.
/// Integer types are rounded half to even and saturated. All arithmetic of `f32` results is that of
/// NumPy on `float32`, operation by operation. So `std = 255` with `mean = 0` and `scale = 1` gives
/// the bits of `x / 255`, and `scale = 0.003921569` those of `x * float32(1 / 255)`, which are not
/// always the same.
pub fn preprocess(picture: &Picture, input: &ImageInput) -> Result<Prepared, PreprocessError> {
    validate(picture, input)?;
    let picture = upright(picture, input);
    let fit = Fit::new((picture.width, picture.height), input);
    let (pixels, channels) = color::working(&picture, input.color, input.alpha);
    let source = Source {
        pixels: &pixels,
        width: picture.width as usize,
        height: picture.height as usize,
        channels,
    };
    let resized = resize(source, fit.window, input.filter);
    let tensor = store(&resized, channels, &fit, input)?;
    Ok(Prepared { tensor, placement: fit.placement })
}

fn upright<'a>(picture: &'a Picture, input: &ImageInput) -> Cow<'a, Picture> {
    if input.orientation == Orientation::Exif && matches!(picture.orientation, 2..=8) {
        Cow::Owned(picture.turned())
    } else {
        Cow::Borrowed(picture)
    }
}

fn validate(picture: &Picture, input: &ImageInput) -> Result<(), PreprocessError> {
    let &Picture { width, height, channels, .. } = picture;
    let samples = picture.pixels.len();
    let expected = u64::from(width) * u64::from(height) * u64::from(channels);
    if expected == 0 || expected != samples as u64 || !matches!(channels, 1 | 3 | 4) {
        return Err(PreprocessError::Picture { width, height, channels, samples });
    }
    input.check()
}

impl ImageInput {
    /// Finds values that no picture can be prepared with.
    pub fn check(&self) -> Result<(), PreprocessError> {
        let wrong =
            |key, problem: String, hint| Err(PreprocessError::Setting { key, problem, hint });
        let pixels = u64::from(self.width) * u64::from(self.height);
        if pixels == 0 || pixels > MAX_INPUT_PIXELS {
            let problem = format!("with `height` gives {} x {} pixels", self.width, self.height);
            return wrong("width", problem, "give both sides, at most 67108864 pixels in all");
        }
        for (key, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() != 1 && values.len() != self.channels() {
                let problem =
                    format!("has {} values for {} channels", values.len(), self.channels());
                return wrong(key, problem, "give one value, or one per channel");
            }
            if !values.iter().all(|v| v.is_finite()) || (key == "std" && values.contains(&0.0)) {
                let problem = format!("holds {values:?}");
                return wrong(key, problem, "give finite numbers, and no zero in `std`");
            }
        }
        if !self.scale.is_finite() || self.scale == 0.0 {
            return wrong(
                "scale",
                format!("is {}", self.scale),
                "give a finite number that is not 0",
            );
        }
        if matches!(self.dtype, DType::Bool | DType::String) {
            return wrong("dtype", format!("is {}, which holds no pixels", self.dtype), NUMBERS);
        }
        let fraction = self.crop_fraction;
        if !(0.01..=1.0).contains(&fraction) {
            return wrong("crop_fraction", format!("is {fraction}"), "give a ratio from 0.01 to 1");
        }
        Ok(())
    }
}

/// The bits of a normalised pixel in an element type: rounded half to even and saturated where that
/// is narrower than `f32`. `None` for types that hold no numbers.
fn stored(value: f32, dtype: DType) -> Option<u64> {
    let whole = value.round_ties_even();
    Some(match dtype {
        DType::U8 => (whole as u8).into(),
        DType::I8 => (whole as i8 as u8).into(),
        DType::U16 => (whole as u16).into(),
        DType::I16 => (whole as i16 as u16).into(),
        DType::U32 => (whole as u32).into(),
        DType::I32 => (whole as i32 as u32).into(),
        DType::U64 => whole as u64,
        DType::I64 => whole as i64 as u64,
        DType::F16 => f16::from_f32(value).to_bits().into(),
        DType::Bf16 => bf16::from_f32(value).to_bits().into(),
        DType::F32 => value.to_bits().into(),
        DType::F64 => f64::from(value).to_bits(),
        DType::Bool | DType::String => return None,
    })
}

/// As many bits as an element has. Pixels are looked up, so that only an element's width matters
/// where they are many.
trait Word: Element + Default {
    fn of(bits: u64) -> Self;
}

macro_rules! words {
    ($($ty:ty),*) => {
        $(impl Word for $ty {
            fn of(bits: u64) -> Self {
                bits as $ty
            }
        })*
    };
}

words!(u8, u16, u32, u64);

fn store(
    resized: &[u8],
    channels: usize,
    fit: &Fit,
    input: &ImageInput,
) -> Result<Tensor, PreprocessError> {
    match input.dtype.size() {
        Some(1) => laid_out::<u8>(resized, channels, fit, input),
        Some(2) => laid_out::<u16>(resized, channels, fit, input),
        Some(4) => laid_out::<u32>(resized, channels, fit, input),
        _ => laid_out::<u64>(resized, channels, fit, input),
    }
}

fn laid_out<W: Word>(
    resized: &[u8],
    channels: usize,
    fit: &Fit,
    input: &ImageInput,
) -> Result<Tensor, PreprocessError> {
    let tables: Option<Vec<[W; 256]>> = (0..input.channels()).map(|c| table(input, c)).collect();
    let tables = tables.ok_or_else(|| PreprocessError::Setting {
        key: "dtype",
        problem: format!("is {}, which holds no pixels", input.dtype),
        hint: NUMBERS,
    })?;
    let elements = match (channels, tables.as_slice()) {
        (1, [gray]) => filled::<W, 1, 1>(resized, [gray], [0], fit, input),
        (1, [a, b, c]) => filled::<W, 1, 3>(resized, [a, b, c], [0; 3], fit, input),
        (_, [a, b, c]) => {
            let order = if input.color == Color::Bgr { [2, 1, 0] } else { [0, 1, 2] };
            filled::<W, 3, 3>(resized, [a, b, c], order, fit, input)
        }
        _ => Vec::new(),
    };
    let tensor = Tensor::new(input.shape(), elements)
        .and_then(|words| Tensor::from_bytes(input.dtype, input.shape(), words.shared_bytes()));
    tensor.map_err(|error| PreprocessError::Setting {
        key: "width",
        problem: format!("gives no tensor: {error}"),
        hint: "give a smaller input",
    })
}

/// The stored element of every pixel value in one channel. Of 256 values each has one answer, so
/// the arithmetic is done once per value and not once per pixel.
fn table<W: Word>(input: &ImageInput, channel: usize) -> Option<[W; 256]> {
    let of = |values: &[f32]| values[if values.len() == 1 { 0 } else { channel }];
    let (mean, std) = (of(&input.mean), of(&input.std));
    let mut table = [W::default(); 256];
    for (pixel, element) in table.iter_mut().enumerate() {
        *element = W::of(stored((pixel as f32 * input.scale - mean) / std, input.dtype)?);
    }
    Some(table)
}

/// Looks the pixels up: `N` channels in the resized picture, `C` in the tensor, of which channel
/// `c` comes from `order[c]`.
fn filled<T: Word, const N: usize, const C: usize>(
    resized: &[u8],
    tables: [&[T; 256]; C],
    order: [usize; C],
    fit: &Fit,
    input: &ImageInput,
) -> Vec<T> {
    let (width, height) = (input.width as usize, input.height as usize);
    let (pixels, _) = resized.as_chunks::<N>();
    let inner = (fit.window.x.length, fit.window.y.length);
    let pad: [T; C] = {
        let pad = color::pad::<C>(input);
        std::array::from_fn(|c| tables[c][usize::from(pad[c])])
    };
    let padded = inner != (width, height);
    let mut out = vec![T::default(); width * height * C];
    match input.layout {
        Layout::Nhwc => {
            let (cells, _) = out.as_chunks_mut::<C>();
            if padded {
                cells.fill(pad);
            }
            for (y, row) in pixels.chunks_exact(inner.0).enumerate() {
                let cells = &mut cells[(fit.at.1 + y) * width + fit.at.0..][..inner.0];
                for (cell, pixel) in cells.iter_mut().zip(row) {
                    for c in 0..C {
                        cell[c] = tables[c][usize::from(pixel[order[c]])];
                    }
                }
            }
        }
        Layout::Nchw => {
            for (c, plane) in out.chunks_exact_mut(width * height).enumerate() {
                if padded {
                    plane.fill(pad[c]);
                }
                for (y, row) in pixels.chunks_exact(inner.0).enumerate() {
                    let cells = &mut plane[(fit.at.1 + y) * width + fit.at.0..][..inner.0];
                    for (cell, pixel) in cells.iter_mut().zip(row) {
                        *cell = tables[c][usize::from(pixel[order[c]])];
                    }
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
