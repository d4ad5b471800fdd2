use std::borrow::Cow;

use crate::input::{Alpha, Color, ImageInput};
use crate::picture::Picture;

/// The picture's pixels with as many channels as are worth resizing, 1 or 3: gray pictures stay
/// gray (replicated later for colour inputs), gray inputs get luma.
pub(super) fn working(picture: &Picture, color: Color, alpha: Alpha) -> (Cow<'_, [u8]>, usize) {
    let pixels = picture.pixels.as_slice();
    match (picture.channels, color) {
        (1, _) => (Cow::Borrowed(pixels), 1),
        (3, Color::Rgb | Color::Bgr) => (Cow::Borrowed(pixels), 3),
        (3, Color::Gray) => {
            let (pixels, _) = pixels.as_chunks::<3>();
            (pixels.iter().map(|&rgb| luma(rgb)).collect(), 1)
        }
        (_, color) => {
            let (pixels, _) = pixels.as_chunks::<4>();
            let opaque = pixels.iter().map(|&pixel| blend(pixel, alpha));
            if color == Color::Gray {
                (opaque.map(luma).collect(), 1)
            } else {
                let opaque: Vec<[u8; 3]> = opaque.collect();
                (Cow::Owned(opaque.into_flattened()), 3)
            }
        }
    }
}

/// Pillow's `convert("L")`: ITU-R BT.601 luma in 16 bits of fraction, rounded.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

/// Pillow's `background.paste(picture, mask=alpha)`: `(a * over + (255 - a) * under) / 255`, rounded.
fn blend([r, g, b, a]: [u8; 4], alpha: Alpha) -> [u8; 3] {
    let under = match alpha {
        Alpha::Drop => return [r, g, b],
        Alpha::Black => 0,
        Alpha::White => 255,
    };
    [r, g, b].map(|over| {
        let a = u32::from(a);
        let sum = a * u32::from(over) + (255 - a) * under + 128;
        (((sum >> 8) + sum) >> 8) as u8
    })
}

/// The bars' colour in tensor order.
pub(super) fn pad<const C: usize>(input: &ImageInput) -> [u8; C] {
    let [r, g, b] = input.pad;
    std::array::from_fn(|c| match input.color {
        Color::Rgb => [r, g, b][c],
        Color::Bgr => [b, g, r][c],
        Color::Gray => luma(input.pad),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::PictureFormat;

    #[test]
    fn pixels_become_what_pillow_makes_of_them() {
        // Expected values: Pillow 13, convert("L"), and paste with the alpha channel as mask.
        let rgba = [[200, 100, 50, 255], [200, 100, 50, 128], [200, 100, 50, 0], [7, 8, 9, 1]];
        let cases: [(Color, Alpha, &[u8]); 5] = [
            (Color::Rgb, Alpha::Drop, &[200, 100, 50, 200, 100, 50, 200, 100, 50, 7, 8, 9]),
            (Color::Rgb, Alpha::Black, &[200, 100, 50, 100, 50, 25, 0, 0, 0, 0, 0, 0]),
            (
                Color::Bgr,
                Alpha::White,
                &[200, 100, 50, 227, 177, 152, 255, 255, 255, 254, 254, 254],
            ),
            (Color::Gray, Alpha::Drop, &[124, 124, 124, 8]),
            (Color::Gray, Alpha::Black, &[124, 62, 0, 0]),
        ];
        let picture = Picture {
            width: 4,
            height: 1,
            channels: 4,
            pixels: rgba.concat(),
            format: PictureFormat::Png,
            orientation: 1,
        };
        for (color, alpha, expected) in cases {
            let (pixels, channels) = working(&picture, color, alpha);
            assert_eq!(&*pixels, expected, "{color:?} {alpha:?}");
            assert_eq!(channels, expected.len() / 4);
        }
    }
}
