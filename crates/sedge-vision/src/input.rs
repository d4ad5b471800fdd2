use sedge_tensor::DType;
use serde::{Deserialize, Serialize};

/// How a model wants its picture: every step between decoded pixels and the input tensor.
///
/// These are the keys of `[[input]]` with `kind = "image"` in `model.toml`. A value of the tensor
/// is `(pixel * scale - mean) / std` with the pixel in 0..=255; for integer tensors it is rounded
/// (half to even) and saturated. The formula gives the *stored element*, so a `u8` input with the
/// defaults takes the pixels as they are and an `i8` input usually has `mean = 128`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImageInput {
    /// Width of the input in pixels.
    pub width: u32,
    /// Height of the input in pixels.
    pub height: u32,
    /// Order of the dimensions.
    pub layout: Layout,
    /// Element type of the tensor.
    pub dtype: DType,
    /// Channels, in tensor order.
    pub color: Color,
    /// Whether the camera's orientation note is honoured.
    pub orientation: Orientation,
    /// What happens to transparency.
    pub alpha: Alpha,
    /// How the picture is fitted into width x height.
    pub resize: Resize,
    /// The resampling arithmetic.
    pub filter: Filter,
    /// For `resize = "crop"`: the short side is scaled to `size / crop_fraction` before the centre
    /// crop (0.875 is the common 224-of-256).
    #[serde(rename = "crop_fraction")]
    pub crop_fraction: f32,
    /// For `resize = "letterbox"`: the colour of the bars, red, green, blue.
    pub pad: [u8; 3],
    /// Factor on the pixel value.
    pub scale: f32,
    /// Subtracted after scaling; one value, or one per channel in tensor order.
    pub mean: Vec<f32>,
    /// Divisor; one value, or one per channel in tensor order.
    pub std: Vec<f32>,
}

impl Default for ImageInput {
    fn default() -> Self {
        Self {
            width: 0,
            height: 0,
            layout: Layout::Nhwc,
            dtype: DType::F32,
            color: Color::Rgb,
            orientation: Orientation::Exif,
            alpha: Alpha::Drop,
            resize: Resize::Stretch,
            filter: Filter::PillowBilinear,
            crop_fraction: 1.0,
            pad: [114; 3],
            scale: 1.0,
            mean: vec![0.0],
            std: vec![1.0],
        }
    }
}

impl ImageInput {
    /// Channels of the tensor: 1 for gray, else 3.
    pub fn channels(&self) -> usize {
        match self.color {
            Color::Gray => 1,
            Color::Rgb | Color::Bgr => 3,
        }
    }

    /// The tensor's shape with a batch of one.
    pub fn shape(&self) -> [usize; 4] {
        let (h, w, c) = (self.height as usize, self.width as usize, self.channels());
        match self.layout {
            Layout::Nhwc => [1, h, w, c],
            Layout::Nchw => [1, c, h, w],
        }
    }
}

/// Order of an image tensor's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, height, width, channels: TensorFlow's habit.
    Nhwc,
    /// Batch, channels, height, width: the habit of MXNet, PyTorch and most ONNX files.
    Nchw,
}

/// Channels of an image tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red: OpenCV's order.
    Bgr,
    /// One channel, luma as Pillow's `convert("L")` (ITU-R BT.601).
    Gray,
}

/// Treatment of the EXIF orientation tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orientation {
    /// Turn and mirror the picture as the tag says.
    Exif,
    /// Take the pixels as stored.
    Ignore,
}

/// Treatment of transparency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alpha {
    /// Forget the alpha channel, keep the colours beneath it (Pillow's `convert("RGB")`).
    Drop,
    /// Blend onto black.
    Black,
    /// Blend onto white.
    White,
}

/// How a picture is fitted into the input's rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// Both sides to size, proportions not kept.
    Stretch,
    /// Scaled to fit, centred, bars in the `pad` colour.
    Letterbox,
    /// Short side to `size / crop_fraction`, then the centre.
    Crop,
}

/// Resampling arithmetic, named after the library it equals on 8-bit pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Filter {
    PillowNearest,
    PillowBilinear,
    PillowBicubic,
    PillowLanczos,
    OpencvNearest,
    OpencvLinear,
    OpencvCubic,
    OpencvArea,
}
