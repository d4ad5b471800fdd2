use super::palette::Rgb;

/// A rectangle of pixels; `x1` and `y1` lie outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x0: i64,
    pub(super) y0: i64,
    pub(super) x1: i64,
    pub(super) y1: i64,
}

impl Rect {
    pub(super) fn width(self) -> i64 {
        (self.x1 - self.x0).max(0)
    }

    pub(super) fn height(self) -> i64 {
        (self.y1 - self.y0).max(0)
    }

    pub(super) fn area(self) -> i64 {
        self.width() * self.height()
    }

    /// Larger by so much on every side.
    pub(super) fn grown(self, by: i64) -> Self {
        Self { x0: self.x0 - by, y0: self.y0 - by, x1: self.x1 + by, y1: self.y1 + by }
    }

    pub(super) fn within(self, other: Self) -> Self {
        Self {
            x0: self.x0.max(other.x0),
            y0: self.y0.max(other.y0),
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
        }
    }

    /// Moved, not cut, so that it lies inside the other as far as it fits.
    pub(super) fn moved_into(self, other: Self) -> Self {
        let x0 = self.x0.min(other.x1 - self.width()).max(other.x0);
        let y0 = self.y0.min(other.y1 - self.height()).max(other.y0);
        Self { x0, y0, x1: x0 + self.width(), y1: y0 + self.height() }
    }
}

/// An RGB picture to draw on. Whatever falls outside is cut off.
pub(super) struct Canvas<'a> {
    rgb: &'a mut [u8],
    width: i64,
    height: i64,
}

impl<'a> Canvas<'a> {
    /// `None` when the buffer is not `width * height * 3` bytes.
    pub(super) fn new(rgb: &'a mut [u8], width: u32, height: u32) -> Option<Self> {
        let size = u64::from(width).checked_mul(u64::from(height))?.checked_mul(3)?;
        let (width, height) = (i64::from(width), i64::from(height));
        (u64::try_from(rgb.len()) == Ok(size)).then_some(Self { rgb, width, height })
    }

    /// The whole picture.
    pub(super) fn size(&self) -> Rect {
        Rect { x0: 0, y0: 0, x1: self.width, y1: self.height }
    }

    pub(super) fn fill(&mut self, rect: Rect, color: Rgb, opacity: f32) {
        let rect = rect.within(self.size());
        if rect.area() == 0 {
            return;
        }
        for y in rect.y0..rect.y1 {
            let (start, end) = (self.offset(rect.x0, y), self.offset(rect.x1, y));
            for pixel in self.rgb[start..end].chunks_exact_mut(3) {
                blend(pixel, color, opacity);
            }
        }
    }

    /// The border of a rectangle, of the given thickness, inside it.
    pub(super) fn frame(&mut self, rect: Rect, thickness: i64, color: Rgb, opacity: f32) {
        let Rect { x0, y0, x1, y1 } = rect;
        if thickness <= 0 || rect.area() == 0 {
            return;
        }
        if rect.width() <= 2 * thickness || rect.height() <= 2 * thickness {
            return self.fill(rect, color, opacity);
        }
        let (top, bottom) = (y0 + thickness, y1 - thickness);
        self.fill(Rect { y1: top, ..rect }, color, opacity);
        self.fill(Rect { y0: bottom, ..rect }, color, opacity);
        self.fill(Rect { x0, y0: top, x1: x0 + thickness, y1: bottom }, color, opacity);
        self.fill(Rect { x0: x1 - thickness, y0: top, x1, y1: bottom }, color, opacity);
    }

    pub(super) fn pixel(&mut self, x: i64, y: i64, color: Rgb, opacity: f32) {
        if (0..self.width).contains(&x) && (0..self.height).contains(&y) {
            let start = self.offset(x, y);
            blend(&mut self.rgb[start..start + 3], color, opacity);
        }
    }

    /// For coordinates inside the picture, whose offsets are below the buffer's length.
    fn offset(&self, x: i64, y: i64) -> usize {
        ((y * self.width + x) * 3) as usize
    }
}

fn blend(pixel: &mut [u8], color: Rgb, opacity: f32) {
    for (old, new) in pixel.iter_mut().zip(color) {
        let mixed = f32::from(*old) + (f32::from(new) - f32::from(*old)) * opacity;
        *old = mixed.round().clamp(0.0, 255.0) as u8;
    }
}
