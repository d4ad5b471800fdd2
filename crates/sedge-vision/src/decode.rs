use crate::picture::{Picture, PictureFormat};

mod exif;
mod jpeg;
mod png;

/// What a picture may cost before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Largest width x height, compared with the header before pixels are allocated.
    ///
    /// Decoding takes at its peak about 12 bytes per pixel (a progressive colour JPEG keeps its
    /// coefficients), otherwise 3 to 8.
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_pixels: 64_000_000 }
    }
}

impl DecodeLimits {
    /// Pictures of at most so many million pixels.
    pub fn of_megapixels(count: u64) -> Self {
        Self { max_pixels: count.saturating_mul(1_000_000) }
    }

    fn check(self, width: u32, height: u32) -> Result<(), DecodeError> {
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(DecodeError::TooLarge { width, height, max_pixels: self.max_pixels });
        }
        Ok(())
    }
}

/// Why bytes did not become a picture.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("cannot decode the picture: it has no bytes")]
    Empty,
    /// Neither JPEG nor PNG.
    #[error(
        "cannot decode the picture: the bytes are {found}, not JPEG or PNG. \
         Hint: convert it to JPEG or PNG"
    )]
    Format {
        /// What the bytes look like, with its article ("a GIF picture").
        found: &'static str,
    },
    /// More pixels than the limit allows.
    #[error(
        "cannot decode the picture: {width} x {height} pixels exceed the limit of {max_pixels}. \
         Hint: scale it down, or raise the limit with --max-megapixels"
    )]
    TooLarge {
        /// Width the header claims.
        width: u32,
        /// Height the header claims.
        height: u32,
        /// The limit it exceeds.
        max_pixels: u64,
    },
    /// The bytes end before the picture does.
    #[error(
        "cannot decode the {format} picture: it is damaged, or its {length} bytes end too early"
    )]
    Truncated {
        /// The picture's format.
        format: PictureFormat,
        /// Bytes given.
        length: usize,
    },
    /// The bytes break the format's rules.
    #[error("cannot decode the {format} picture: {reason}")]
    Malformed {
        /// The picture's format.
        format: PictureFormat,
        /// What is wrong.
        reason: String,
    },
    /// A valid picture of a kind that is not decoded.
    #[error(
        "cannot decode the {format} picture: {reason} is not supported. \
         Hint: convert it to a baseline JPEG or to PNG"
    )]
    Unsupported {
        /// The picture's format.
        format: PictureFormat,
        /// The feature.
        reason: String,
    },
}

/// The format of a picture by its first bytes; `None` when it is one this crate does not decode.
pub fn sniff(bytes: &[u8]) -> Option<PictureFormat> {
    if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        Some(PictureFormat::Jpeg)
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(PictureFormat::Png)
    } else {
        None
    }
}

/// Decodes a JPEG or PNG, recognised by its first bytes.
///
/// The pixels are those of the file, not yet turned by its orientation note
/// ([`Picture::upright`] does that):
///
/// - JPEG (baseline, progressive, arithmetic; gray, colour, CMYK and YCCK) is bit-identical to
///   libjpeg-turbo with its default integer transform and smooth chroma upsampling, which is what
///   Pillow and OpenCV use. CMYK becomes RGB as Pillow's `convert("RGB")` does it.
/// - PNG of every kind; 16-bit samples keep their high byte; palettes are expanded.
///
/// Strict where a wrong picture would be the alternative: a JPEG whose scan ends early or holds
/// codes that do not exist is an error (other decoders fill the rest with gray), as is a PNG chunk
/// with a wrong checksum. JPEG has no checksum, so damage that happens to give valid codes is
/// not seen. Stray bytes between JPEG segments and a missing end marker do no harm and pass.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Picture, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    match sniff(bytes) {
        Some(PictureFormat::Jpeg) => jpeg::decode(bytes, *limits),
        Some(PictureFormat::Png) => png::decode(bytes, *limits),
        None => Err(DecodeError::Format { found: foreign(bytes) }),
    }
}

/// Names bytes that are not a picture we decode.
fn foreign(bytes: &[u8]) -> &'static str {
    let at = |offset: usize, magic: &[u8]| {
        bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic))
    };
    let brand = |names: &[&[u8; 4]]| at(4, b"ftyp") && names.iter().any(|name| at(8, *name));
    if at(0, b"GIF8") {
        "a GIF picture"
    } else if at(0, b"RIFF") && at(8, b"WEBP") {
        "a WebP picture"
    } else if at(0, b"BM") && bytes.len() >= 26 && at(6, &[0; 4]) {
        "a BMP picture"
    } else if at(0, b"II*\0") || at(0, b"MM\0*") {
        "a TIFF picture"
    } else if brand(&[b"avif", b"avis"]) {
        "an AVIF picture"
    } else if brand(&[b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1"]) {
        "a HEIC picture"
    } else if at(0, b"\0\0\0\x0cJXL ") || at(0, &[0xff, 0x0a]) {
        "a JPEG XL picture"
    } else if at(0, b"\0\0\0\x0cjP  ") {
        "a JPEG 2000 picture"
    } else if at(0, b"PK\x03\x04") || at(0, b"PK\x05\x06") {
        "a ZIP archive"
    } else if at(0, &[0x1f, 0x8b]) {
        "gzip data"
    } else if at(0, b"%PDF") {
        "a PDF document"
    } else if bytes.len() < 4 {
        "too short for a picture"
    } else if looks_like_text(&bytes[..bytes.len().min(512)]) {
        "text"
    } else {
        "of an unknown format"
    }
}

fn looks_like_text(start: &[u8]) -> bool {
    let valid = match std::str::from_utf8(start) {
        Ok(_) => start.len(),
        // A multi-byte character may be cut by the 512-byte window.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return false,
    };
    start[..valid].iter().all(|&b| b >= 0x20 || matches!(b, b'\t' | b'\n' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_bytes_are_named() {
        let cases: [(&[u8], &str); 9] = [
            (b"GIF89a\x01\0", "a GIF picture"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP picture"),
            (b"BM\x36\x10\x0e\0\0\0\0\0\x36\0\0\0\x28\0\0\0\0\0\0\0\0\0\0\0", "a BMP picture"),
            (b"II*\0\x08\0\0\0", "a TIFF picture"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC picture"),
            (b"PK\x03\x04\x14\0", "a ZIP archive"),
            ("größe: <html>".as_bytes(), "text"),
            (b"\x89", "too short for a picture"),
            (b"\x00\x01\x02\x03\x04", "of an unknown format"),
        ];
        for (bytes, found) in cases {
            let error = decode(bytes, &DecodeLimits::default()).unwrap_err();
            assert_eq!(error, DecodeError::Format { found });
            assert!(error.to_string().ends_with("Hint: convert it to JPEG or PNG"));
        }
        assert_eq!(decode(&[], &DecodeLimits::default()), Err(DecodeError::Empty));
    }
}
