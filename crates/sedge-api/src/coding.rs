//! Content encodings: gzip, and deflate as HTTP means it (a zlib stream).

use std::io::{Read, Write};

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::body::{BodyError, Reservation};

/// A content encoding other than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    /// How a request's body is encoded.
    pub(crate) fn of_body(headers: &HeaderMap) -> Result<Option<Self>, BodyError> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(None) };
        let name = String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase();
        match name.as_str() {
            "" | "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Self::Gzip)),
            "deflate" => Ok(Some(Self::Deflate)),
            _ => Err(BodyError::Encoding(name)),
        }
    }

    /// The first known encoding that the client takes for the answer.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(header::ACCEPT_ENCODING);
        values.iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(',')).find_map(
            |item| {
                let (name, rest) = item.split_once(';').unwrap_or((item, ""));
                let quality = rest.trim().strip_prefix("q=").map(|q| q.trim().parse::<f32>());
                if matches!(quality, Some(Ok(0.0))) {
                    return None;
                }
                match name.trim().to_ascii_lowercase().as_str() {
                    "gzip" | "x-gzip" => Some(Self::Gzip),
                    "deflate" => Some(Self::Deflate),
                    _ => None,
                }
            },
        )
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// Decompresses at most `limit` bytes.
    pub(crate) fn decode(
        self,
        bytes: &[u8],
        limit: u64,
        held: &mut Reservation,
    ) -> Result<Bytes, BodyError> {
        match self {
            Self::Gzip => drain(MultiGzDecoder::new(bytes), limit, held),
            Self::Deflate if is_zlib(bytes) => drain(ZlibDecoder::new(bytes), limit, held),
            // Some clients read the word as the bare format.
            Self::Deflate => drain(DeflateDecoder::new(bytes), limit, held),
        }
    }

    /// Compresses an answer.
    pub(crate) fn encode(self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let room = Vec::with_capacity(bytes.len() / 2);
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(room, Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(room, Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
        }
    }
}

/// RFC 1950 section 2.2: method 8 in the low bits, and the two bytes divide by 31.
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [cmf, flg, ..] if cmf & 15 == 8 && (u16::from(*cmf) << 8 | u16::from(*flg)) % 31 == 0)
}

fn drain(mut decoder: impl Read, limit: u64, held: &mut Reservation) -> Result<Bytes, BodyError> {
    let mut plain = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = decoder.read(&mut chunk).map_err(|e| BodyError::Broken(e.to_string()))?;
        if count == 0 {
            return Ok(plain.into());
        }
        if (plain.len() + count) as u64 > limit {
            return Err(BodyError::TooLarge { limit });
        }
        held.grow(count as u64)?;
        plain.extend_from_slice(&chunk[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Budget;

    #[test]
    fn both_encodings_return_what_was_put_in() {
        let text = b"the same bytes again and again and again".repeat(100);
        for coding in [Coding::Gzip, Coding::Deflate] {
            let packed = coding.encode(&text).unwrap();
            assert!(packed.len() < text.len());
            let mut held = Budget::new(1 << 20).reserve();
            assert_eq!(coding.decode(&packed, 1 << 20, &mut held).unwrap(), text);
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let packed = Coding::Gzip.encode(&vec![0; 10 << 20]).unwrap();
        let mut held = Budget::new(1 << 30).reserve();
        let error = Coding::Gzip.decode(&packed, 1 << 20, &mut held).unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { .. }), "{error}");
        let mut held = Budget::new(1 << 20).reserve();
        let error = Coding::Gzip.decode(&packed, 1 << 30, &mut held).unwrap_err();
        assert!(matches!(error, BodyError::Busy), "{error}");
    }

    #[test]
    fn the_bare_deflate_format_is_understood() {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"bare").unwrap();
        let packed = encoder.finish().unwrap();
        let mut held = Budget::new(1 << 20).reserve();
        assert_eq!(Coding::Deflate.decode(&packed, 100, &mut held).unwrap(), "bare");
    }

    #[test]
    fn accepted_encodings_follow_the_header() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            Coding::accepted(&headers)
        };
        assert_eq!(of("gzip, deflate"), Some(Coding::Gzip));
        assert_eq!(of("br, gzip;q=0, deflate;q=0.5"), Some(Coding::Deflate));
        assert_eq!(of("identity"), None);
    }
}
