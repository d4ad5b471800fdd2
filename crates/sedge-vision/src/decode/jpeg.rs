use std::panic::{AssertUnwindSafe, catch_unwind};

use libjpeg_turbo_rs::common::types::ComponentInfo;
use libjpeg_turbo_rs::{Decoder, JpegError, PixelFormat};

use super::{DecodeError, DecodeLimits, exif};
use crate::picture::{Picture, PictureFormat};

const FORMAT: PictureFormat = PictureFormat::Jpeg;

/// A progressive file of real life has about ten scans; each costs a pass over the picture, so a
/// small file with thousands would keep a core busy for minutes.
const MAX_SCANS: usize = 200;

pub(super) fn decode(bytes: &[u8], limits: DecodeLimits) -> Result<Picture, DecodeError> {
    let error = |source: JpegError| match source {
        JpegError::UnexpectedEof => DecodeError::Truncated { format: FORMAT, length: bytes.len() },
        JpegError::Unsupported(reason) => DecodeError::Unsupported { format: FORMAT, reason },
        other => DecodeError::Malformed { format: FORMAT, reason: other.to_string() },
    };
    let decoder_limits = libjpeg_turbo_rs::DecodeLimits {
        max_width: usize::from(u16::MAX),
        max_height: usize::from(u16::MAX),
        max_pixels: limits.max_pixels,
        max_scans: MAX_SCANS,
        max_memory: None,
    };
    let mut decoder = Decoder::new_with_limits(bytes, decoder_limits).map_err(error)?;
    let header = decoder.header();
    let (width, height) = (u32::from(header.width), u32::from(header.height));
    limits.check(width, height)?;
    if width == 0 || height == 0 {
        let reason = format!("its header gives {width} x {height} pixels");
        return Err(DecodeError::Malformed { format: FORMAT, reason });
    }
    if header.precision != 8 || header.is_lossless {
        let reason = if header.is_lossless {
            "lossless coding".to_owned()
        } else {
            format!("a sample depth of {} bits", header.precision)
        };
        return Err(DecodeError::Unsupported { format: FORMAT, reason });
    }
    let sampling = |c: &ComponentInfo| (c.horizontal_sampling, c.vertical_sampling);
    let (output, channels) = match header.components.as_slice() {
        [_] => (PixelFormat::Grayscale, 1),
        [_, _, _] => (PixelFormat::Rgb, 3),
        [first, second, third, black] => {
            // The decoder takes these for granted and panics (safely) where they do not hold.
            let ((h, v), (chroma_h, chroma_v)) = (sampling(first), sampling(second));
            let whole = chroma_h > 0 && chroma_v > 0 && h % chroma_h == 0 && v % chroma_v == 0;
            if !whole || sampling(second) != sampling(third) || sampling(black) != (h, v) {
                let reason = "this subsampling of four colour components".to_owned();
                return Err(DecodeError::Unsupported { format: FORMAT, reason });
            }
            (PixelFormat::Cmyk, 3)
        }
        other => {
            let reason = format!("a number of {} colour components", other.len());
            return Err(DecodeError::Unsupported { format: FORMAT, reason });
        }
    };
    decoder.set_output_format(output);
    // Fuzzing found panics in the decoder (above); should there be more, they are this picture's
    // problem. They come from bounds checks, and nothing of the decoder outlives the call.
    let image = catch_unwind(AssertUnwindSafe(|| decoder.decode_image()))
        .unwrap_or_else(|_| Err(JpegError::CorruptData("the decoder gave up".to_owned())))
        .map_err(error)?;
    let expected = width as usize * height as usize * output.bytes_per_pixel();
    if image.pixel_format != output || image.data.len() != expected {
        let reason = format!("the decoder gave {} bytes instead of {expected}", image.data.len());
        return Err(DecodeError::Malformed { format: FORMAT, reason });
    }
    let orientation = image.exif_data.as_deref().map_or(1, exif::orientation);
    let pixels = if output == PixelFormat::Cmyk { cmyk_to_rgb(&image.data) } else { image.data };
    Ok(Picture { width, height, channels, pixels, format: FORMAT, orientation })
}

/// CMYK samples as JPEG files carry them to RGB, bit for bit as Pillow does it: the samples are
/// taken as inverted (what Adobe's programs write, and Pillow assumes of every file), then
/// `white - black - ink * (white - black) / 255`, rounded (`cmyk2rgb` in Pillow's Convert.c).
fn cmyk_to_rgb(cmyk: &[u8]) -> Vec<u8> {
    let (pixels, _) = cmyk.as_chunks::<4>();
    let mut rgb = Vec::with_capacity(pixels.len() * 3);
    for &[c, m, y, k] in pixels {
        let not_black = u32::from(k);
        let mix = |inverted: u8| {
            let product = u32::from(255 - inverted) * not_black + 128;
            not_black.saturating_sub(((product >> 8) + product) >> 8) as u8
        };
        rgb.extend([mix(c), mix(m), mix(y)]);
    }
    rgb
}
