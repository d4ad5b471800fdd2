use serde::{Deserialize, Serialize};

/// Where the upright picture lies inside a model's input, in pixels of each.
///
/// `input = picture * scale + offset`, per axis. Letterboxing gives positive offsets (the bars),
/// cropping negative ones; stretching gives two different scales and no offset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Width of the upright picture.
    pub picture_width: u32,
    /// Height of the upright picture.
    pub picture_height: u32,
    /// Width of the model's input.
    pub input_width: u32,
    /// Height of the model's input.
    pub input_height: u32,
    /// Input pixels per picture pixel, horizontally.
    pub scale_x: f64,
    /// Input pixels per picture pixel, vertically.
    pub scale_y: f64,
    /// Where the picture's left edge lies in the input.
    pub offset_x: f64,
    /// Where the picture's top edge lies in the input.
    pub offset_y: f64,
}

/// An axis-aligned box; the unit is told by whoever hands it out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Box2d {
    /// Left edge.
    pub xmin: f32,
    /// Top edge.
    pub ymin: f32,
    /// Right edge.
    pub xmax: f32,
    /// Bottom edge.
    pub ymax: f32,
}

impl Placement {
    /// The placement of a picture that fills the input, each axis scaled on its own.
    pub fn stretch(picture: (u32, u32), input: (u32, u32)) -> Self {
        Self {
            picture_width: picture.0,
            picture_height: picture.1,
            input_width: input.0,
            input_height: input.1,
            scale_x: f64::from(input.0) / f64::from(picture.0),
            scale_y: f64::from(input.1) / f64::from(picture.1),
            offset_x: 0.0,
            offset_y: 0.0,
        }
    }

    /// A box in relative input coordinates (0..1 over the whole input) to picture pixels,
    /// clamped to the picture.
    pub fn to_picture(&self, relative: Box2d) -> Box2d {
        let x = |v: f32| {
            let input = f64::from(v) * f64::from(self.input_width);
            let picture = (input - self.offset_x) / self.scale_x;
            picture.clamp(0.0, f64::from(self.picture_width)) as f32
        };
        let y = |v: f32| {
            let input = f64::from(v) * f64::from(self.input_height);
            let picture = (input - self.offset_y) / self.scale_y;
            picture.clamp(0.0, f64::from(self.picture_height)) as f32
        };
        Box2d {
            xmin: x(relative.xmin),
            ymin: y(relative.ymin),
            xmax: x(relative.xmax),
            ymax: y(relative.ymax),
        }
    }

    /// A box in picture pixels as ratios of the picture's size.
    pub fn normalized(&self, pixels: Box2d) -> Box2d {
        let (w, h) = (self.picture_width as f32, self.picture_height as f32);
        Box2d {
            xmin: pixels.xmin / w,
            ymin: pixels.ymin / h,
            xmax: pixels.xmax / w,
            ymax: pixels.ymax / h,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letterboxed_box_comes_back_to_the_picture() {
        // A 200x100 picture in a 100x100 input: half size, bars of 25 above and below.
        let placement = Placement {
            picture_width: 200,
            picture_height: 100,
            input_width: 100,
            input_height: 100,
            scale_x: 0.5,
            scale_y: 0.5,
            offset_x: 0.0,
            offset_y: 25.0,
        };
        let relative = Box2d { xmin: 0.1, ymin: 0.25, xmax: 0.5, ymax: 0.9 };
        let pixels = placement.to_picture(relative);
        assert_eq!(pixels, Box2d { xmin: 20.0, ymin: 0.0, xmax: 100.0, ymax: 100.0 });
        assert_eq!(placement.normalized(pixels).xmax, 0.5);
    }
}
