//! Predictions drawn into the picture they were made from, and charts of measurements.

mod canvas;
pub mod chart;
mod encode;
mod legend;
mod palette;
mod plates;
mod text;

pub use encode::encode_png;

use crate::{Answer, Object};
use canvas::{Canvas, Rect};

/// Why a picture could not be drawn into or encoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DrawError {
    /// The buffer is not `width * height * 3` bytes.
    #[error("a {width} x {height} picture in RGB does not have {bytes} bytes")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes given.
        bytes: usize,
    },
    /// The PNG encoder refused.
    #[error("cannot encode a {width} x {height} picture as PNG: {why}")]
    Encode {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The encoder's words.
        why: String,
    },
}

/// Draws objects as boxes with a plate naming each, classes as a legend in the top left corner,
/// and nothing for raw tensors.
///
/// `rgb` is the upright picture, three bytes a pixel, rows from the top. Lines and letters grow
/// with the picture. Where the picture is too small for letters that can be read, or plates would
/// hide too much of it, the boxes stand alone.
pub fn draw(rgb: &mut [u8], width: u32, height: u32, answer: &Answer) -> Result<(), DrawError> {
    let bytes = rgb.len();
    let mut canvas =
        Canvas::new(rgb, width, height).ok_or(DrawError::Size { width, height, bytes })?;
    let style = Style::of(width, height);
    match answer {
        Answer::Classes(classes) => legend::draw(&mut canvas, &style, classes),
        Answer::Objects(objects) => {
            // The best are drawn last, on top.
            for object in objects.iter().rev() {
                outline(&mut canvas, &style, object);
            }
            plates::draw(&mut canvas, &style, objects);
        }
        Answer::Tensors(_) => {}
    }
    Ok(())
}

/// Sizes that go with a picture's size, in pixels.
struct Style {
    /// Width of a box's line.
    line: i64,
    /// Height of a line of text.
    text: f32,
}

impl Style {
    fn of(width: u32, height: u32) -> Self {
        let short = width.min(height) as f32;
        Self {
            line: ((short / 260.0).round() as i64).clamp(1, 24),
            // Below 11 pixels the letters of the font run together.
            text: (short * 0.022 + 8.0).round().clamp(11.0, 160.0),
        }
    }

    /// Thickness of the contrasting edge along a line of the given width.
    fn edge(line: i64) -> i64 {
        (line / 3).max(1)
    }
}

/// The line of an object's box between contrasting edges, all inside the picture.
fn outline(canvas: &mut Canvas<'_>, style: &Style, object: &Object) {
    let inner = bounds(object);
    let line = style.line.min((inner.width().min(inner.height()) / 10).max(1));
    let edge = Style::edge(line);
    let outer = inner.grown(line / 2 + edge).within(canvas.size());
    let color = palette::color(object.index);
    let contrast = palette::contrast(color);
    canvas.frame(outer, edge, contrast, 0.75);
    canvas.frame(outer.grown(-edge), line, color, 1.0);
    canvas.frame(outer.grown(-edge - line), edge, contrast, 0.75);
}

fn bounds(object: &Object) -> Rect {
    let b = object.bounds;
    // A conversion from float saturates, and takes NaN for 0.
    let round = |v: f32| i64::from(v.round() as i32);
    Rect { x0: round(b.xmin), y0: round(b.ymin), x1: round(b.xmax), y1: round(b.ymax) }
}

/// What is written for a class: its label, or its number.
fn name(label: Option<&str>, index: usize) -> String {
    match label {
        Some(label) if !label.trim().is_empty() => label.trim().to_owned(),
        _ => format!("#{index}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Box2d, Class};

    fn object(index: usize, xmin: f32, ymin: f32, xmax: f32, ymax: f32) -> Object {
        let bounds = Box2d { xmin, ymin, xmax, ymax };
        let label = Some(format!("Grüße {index}"));
        Object { index, label, score: 0.9, bounds, box_normalized: bounds }
    }

    fn changed(width: u32, height: u32, answer: &Answer) -> f32 {
        let mut rgb = vec![100u8; (width * height * 3) as usize];
        draw(&mut rgb, width, height, answer).unwrap();
        let different = rgb.chunks_exact(3).filter(|p| *p != [100, 100, 100]).count();
        different as f32 / (width * height).max(1) as f32
    }

    #[test]
    fn plates_leave_most_of_the_picture_at_every_size() {
        for (width, height) in [(1, 1), (8, 8), (32, 32), (96, 96), (640, 480), (3000, 200)] {
            let (w, h) = (width as f32, height as f32);
            let crowd = (0..40).map(|i| object(i, 0.1 * w, 0.1 * h, 0.9 * w, 0.9 * h)).collect();
            let classes = (0..40)
                .map(|index| Class {
                    index,
                    label: Some("a class of long name".into()),
                    score: 0.5,
                })
                .collect();
            // A picture as small as the lines themselves may vanish under them.
            if width >= 32 {
                let share = changed(width, height, &Answer::Objects(crowd));
                assert!(share > 0.0 && share < 0.6, "{width}x{height}: {share}");
            }
            let share = changed(width, height, &Answer::Classes(classes));
            assert!(share < 0.5, "{width}x{height}: {share}");
        }
    }

    #[test]
    fn broken_boxes_and_buffers_are_survived() {
        let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -5.0, 3.0];
        let objects = wild.iter().flat_map(|&a| wild.map(|b| object(7, a, b, b, a))).collect();
        changed(50, 40, &Answer::Objects(objects));
        let mut rgb = vec![0; 5];
        let error = draw(&mut rgb, 1, 1, &Answer::Objects(Vec::new())).unwrap_err();
        assert_eq!(error, DrawError::Size { width: 1, height: 1, bytes: 5 });
        assert!(draw(&mut [], 0, 0, &Answer::Objects(vec![object(1, 0., 0., 1., 1.)])).is_ok());
    }
}
