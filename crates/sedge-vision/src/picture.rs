use std::fmt;

/// A decoded picture: interleaved 8-bit samples, rows from the top.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width of the stored pixels.
    pub width: u32,
    /// Height of the stored pixels.
    pub height: u32,
    /// Samples per pixel: 1 gray, 3 red, green, blue, 4 with alpha last (not premultiplied).
    pub channels: u8,
    /// `height * width * channels` samples.
    pub pixels: Vec<u8>,
    /// Where the pixels came from.
    pub format: PictureFormat,
    /// EXIF orientation, 1 to 8, that the stored pixels still need; 1 is upright
    /// (TIFF 6.0, tag 274).
    pub orientation: u8,
}

/// A picture format this crate decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    /// ISO/IEC 10918-1.
    Jpeg,
    /// ISO/IEC 15948.
    Png,
}

impl fmt::Display for PictureFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PictureFormat::Jpeg => "JPEG",
            PictureFormat::Png => "PNG",
        })
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picture")
            .field("width", &self.width)
            .field("height", &self.height)
            .field("channels", &self.channels)
            .field("format", &self.format)
            .field("orientation", &self.orientation)
            .finish_non_exhaustive()
    }
}

impl Picture {
    /// Width and height as a person sees the picture, after its orientation.
    pub fn upright_size(&self) -> (u32, u32) {
        if self.orientation >= 5 { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// The picture with red, green and blue only: gray is repeated, alpha forgotten.
    pub fn into_rgb(mut self) -> Picture {
        self.pixels = match self.channels {
            1 => self.pixels.iter().flat_map(|&gray| [gray; 3]).collect(),
            4 => {
                self.pixels.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect()
            }
            _ => return self,
        };
        self.channels = 3;
        self
    }

    /// The picture turned and mirrored as its orientation says; free when it already is upright.
    pub fn upright(self) -> Picture {
        if matches!(self.orientation, 2..=8) { self.turned() } else { self }
    }

    /// An upright copy.
    pub(crate) fn turned(&self) -> Picture {
        let pixels = match self.channels {
            1 => self.turned_pixels::<1>(),
            3 => self.turned_pixels::<3>(),
            _ => self.turned_pixels::<4>(),
        };
        let (width, height) = self.upright_size();
        Picture { width, height, pixels, orientation: 1, ..*self }
    }

    fn turned_pixels<const N: usize>(&self) -> Vec<u8> {
        let (stored_width, stored_height) = (self.width as usize, self.height as usize);
        let (width, height) = self.upright_size();
        let (width, height) = (width as usize, height as usize);
        let (stored, _) = self.pixels.as_chunks::<N>();
        let mut upright = vec![0; self.pixels.len()];
        let (target, _) = upright.as_chunks_mut::<N>();
        let row = |y: usize| &stored[y * stored_width..][..stored_width];
        if self.orientation < 5 {
            let mirrored = matches!(self.orientation, 2 | 3);
            let upside_down = matches!(self.orientation, 3 | 4);
            for (y, out) in target.chunks_exact_mut(width.max(1)).enumerate() {
                let source = row(if upside_down { stored_height - 1 - y } else { y });
                out.copy_from_slice(source);
                if mirrored {
                    out.reverse();
                }
            }
            return upright;
        }
        // Columns become rows. In tiles, so that the strided side stays in the cache.
        const TILE: usize = 32;
        let mirrored = matches!(self.orientation, 6 | 7);
        let upside_down = matches!(self.orientation, 7 | 8);
        for tile_y in (0..height).step_by(TILE) {
            for tile_x in (0..width).step_by(TILE) {
                for y in tile_y..(tile_y + TILE).min(height) {
                    let column = if upside_down { stored_width - 1 - y } else { y };
                    let end = (tile_x + TILE).min(width);
                    let out = &mut target[y * width..][tile_x..end];
                    for (x, pixel) in (tile_x..end).zip(out) {
                        let line = if mirrored { stored_height - 1 - x } else { x };
                        *pixel = stored[line * stored_width + column];
                    }
                }
            }
        }
        upright
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_orientation_is_undone() {
        // Stored 3 x 2:  1 2 3      The eight answers are those of Pillow's
        //                4 5 6      ImageOps.exif_transpose.
        let cases: [(u8, (u32, u32), [u8; 6]); 8] = [
            (1, (3, 2), [1, 2, 3, 4, 5, 6]),
            (2, (3, 2), [3, 2, 1, 6, 5, 4]),
            (3, (3, 2), [6, 5, 4, 3, 2, 1]),
            (4, (3, 2), [4, 5, 6, 1, 2, 3]),
            (5, (2, 3), [1, 4, 2, 5, 3, 6]),
            (6, (2, 3), [4, 1, 5, 2, 6, 3]),
            (7, (2, 3), [6, 3, 5, 2, 4, 1]),
            (8, (2, 3), [3, 6, 2, 5, 1, 4]),
        ];
        for (orientation, size, expected) in cases {
            for channels in [1u8, 3, 4] {
                let spread =
                    |v: &[u8]| v.iter().flat_map(|&p| vec![p; channels.into()]).collect::<Vec<_>>();
                let stored = Picture {
                    width: 3,
                    height: 2,
                    channels,
                    pixels: spread(&[1, 2, 3, 4, 5, 6]),
                    format: PictureFormat::Png,
                    orientation,
                };
                assert_eq!(stored.upright_size(), size);
                let upright = stored.upright();
                assert_eq!((upright.width, upright.height), size, "orientation {orientation}");
                assert_eq!(upright.pixels, spread(&expected), "orientation {orientation}");
                assert_eq!(upright.orientation, 1);
            }
        }
    }

    #[test]
    fn tiles_cover_pictures_larger_than_one() {
        let (width, height) = (70u32, 45u32);
        let pixels: Vec<u8> = (0..width * height).map(|i| (i * 7 % 251) as u8).collect();
        let stored = Picture {
            width,
            height,
            channels: 1,
            pixels,
            format: PictureFormat::Png,
            orientation: 6,
        };
        let there = stored.clone().upright();
        let back = Picture { orientation: 8, ..there }.upright();
        assert_eq!(back.pixels, stored.pixels);
    }
}
