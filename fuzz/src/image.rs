//! Encoded pictures: decoded, and made into a small model's input.
//!
//! The last bytes of the file, which both formats ignore, choose how it is prepared.

use sedge_tensor::DType;
use sedge_vision::{
    Alpha, Color, DecodeLimits, Filter, ImageInput, Layout, Orientation, Resize, decode, explain,
    preprocess,
};

use crate::{Target, png};

/// Pixels of the largest picture: small enough that ten thousand of them are quick.
const MAX_PIXELS: u64 = 1 << 18;

/// See the module.
pub const TARGET: Target = Target {
    name: "image",

    // 12 bytes per pixel while decoding (see `DecodeLimits`), and as much for all that follows.
    max_peak_bytes: 24 * MAX_PIXELS as usize + (4 << 20),
    body,
};

fn body(bytes: &[u8]) {
    picture(bytes);
    if let Some(mended) = png::with_checksums(bytes) {
        picture(&mended);
    }
}

fn picture(bytes: &[u8]) {
    let picture = match decode(bytes, &DecodeLimits { max_pixels: MAX_PIXELS }) {
        Ok(picture) => picture,
        Err(error) => return drop(error.to_string()),
    };
    assert!(u64::from(picture.width) * u64::from(picture.height) <= MAX_PIXELS);
    let input = settings(bytes);
    match preprocess(&picture, &input) {
        Ok(prepared) => assert_eq!(prepared.tensor.shape(), input.shape()),
        Err(error) => return drop(error.to_string()),
    }
    assert!(explain(&picture, &input).is_ok());
}

fn settings(bytes: &[u8]) -> ImageInput {
    let last = |n: usize| bytes.iter().rev().nth(n).map_or(0, |&byte| usize::from(byte));
    let (first, second) = (last(0), last(1));
    let filters = [
        Filter::PillowNearest,
        Filter::PillowBilinear,
        Filter::PillowBicubic,
        Filter::PillowLanczos,
        Filter::OpencvNearest,
        Filter::OpencvLinear,
        Filter::OpencvCubic,
        Filter::OpencvArea,
    ];
    let channels = [Color::Rgb, Color::Bgr, Color::Gray];
    let (scale, dtype) = if second & 128 == 0 { (1.0, DType::U8) } else { (0.5, DType::F32) };
    ImageInput {
        width: 1 + (last(2) % 48) as u32,
        height: 1 + (last(3) % 48) as u32,
        layout: if first & 8 == 0 { Layout::Nhwc } else { Layout::Nchw },
        dtype,
        color: channels[(first >> 4) % 3],
        orientation: Orientation::Exif,
        alpha: [Alpha::Drop, Alpha::Black, Alpha::White][(second >> 4) % 3],
        resize: [Resize::Stretch, Resize::Letterbox, Resize::Crop][second % 3],
        filter: filters[first % filters.len()],
        scale,
        ..ImageInput::default()
    }
}
