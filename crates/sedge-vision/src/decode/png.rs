use std::io::{Cursor, ErrorKind};

use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Limits, Transformations};

use super::{DecodeError, DecodeLimits, exif};
use crate::picture::{Picture, PictureFormat};

const FORMAT: PictureFormat = PictureFormat::Png;

/// What the decoder may allocate for chunks besides the pixels; the largest we keep is `eXIf`.
const MAX_CHUNK_BYTES: usize = 4 << 20;

pub(super) fn decode(bytes: &[u8], limits: DecodeLimits) -> Result<Picture, DecodeError> {
    let error = |source: DecodingError| match source {
        DecodingError::IoError(io) if io.kind() == ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { format: FORMAT, length: bytes.len() }
        }
        other => {
            let mut reason = other.to_string();
            // The library prints the chunk as its source code does.
            if reason.starts_with("CRC error") {
                reason = "a checksum does not fit, so that the file is damaged".into();
            }
            DecodeError::Malformed { format: FORMAT, reason }
        }
    };
    let mut options = DecodeOptions::default();
    options.set_ignore_adler32(false);
    options.set_skip_ancillary_crc_failures(false);
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    let header = decoder.read_header_info().map_err(error)?;
    let (width, height) = (header.width, header.height);
    limits.check(width, height)?;
    // A row may be longer than the limit for chunks: at most 8 bytes a pixel, and two rows.
    decoder.set_limits(Limits { bytes: MAX_CHUNK_BYTES + width as usize * 8 * 2 });
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);

    let mut reader = decoder.read_info().map_err(error)?;
    let malformed = |reason: &str| DecodeError::Malformed { format: FORMAT, reason: reason.into() };
    let size = reader.output_buffer_size().ok_or_else(|| malformed("its size overflows"))?;
    let mut data = vec![0; size];
    let info = reader.next_frame(&mut data).map_err(error)?;
    // To the end: `eXIf` may follow the pixels, and a cut file shall not pass.
    reader.finish().map_err(error)?;
    let orientation = reader.info().exif_metadata.as_deref().map_or(1, exif::orientation);

    if (info.width, info.height) != (width, height) || info.bit_depth != BitDepth::Eight {
        return Err(malformed("its first frame differs from the header"));
    }
    data.truncate(info.buffer_size());
    let (channels, pixels) = match info.color_type {
        ColorType::Grayscale => (1, data),
        ColorType::Rgb => (3, data),
        ColorType::Rgba => (4, data),
        ColorType::GrayscaleAlpha => {
            let (pairs, _) = data.as_chunks::<2>();
            (4, pairs.iter().flat_map(|&[v, alpha]| [v, v, v, alpha]).collect())
        }
        ColorType::Indexed => return Err(malformed("its palette is missing")),
    };
    if pixels.len() != width as usize * height as usize * usize::from(channels) {
        return Err(malformed("its pixels do not fill its size"));
    }
    Ok(Picture { width, height, channels, pixels, format: FORMAT, orientation })
}
