use super::{Fit, PreprocessError, upright, validate};
use crate::input::{Alpha, Color, Filter, ImageInput, Layout, Orientation, Resize};
use crate::picture::Picture;

/// What [`preprocess`](super::preprocess) does with this picture for this input, step by step, for
/// people. The same code decides both; only the words are made here, so that preparing a picture
/// makes none.
pub fn explain(picture: &Picture, input: &ImageInput) -> Result<Vec<String>, PreprocessError> {
    validate(picture, input)?;
    let kind = match picture.channels {
        1 => "gray",
        3 => "RGB",
        _ => "RGBA",
    };
    let mut steps = vec![format!(
        "decode: {} x {} {kind} pixels from {}",
        picture.width, picture.height, picture.format
    )];
    match (picture.orientation, input.orientation) {
        (tag @ 2..=8, Orientation::Exif) => {
            let (width, height) = picture.upright_size();
            steps.push(format!("orientation: EXIF {tag} undone, now {width} x {height}"));
        }
        (tag @ 2..=8, Orientation::Ignore) => {
            steps.push(format!("orientation: EXIF {tag} ignored"));
        }
        _ => {}
    }
    if picture.channels == 4 {
        let what = match input.alpha {
            Alpha::Drop => "dropped, the colours beneath it kept",
            Alpha::Black => "blended onto black",
            Alpha::White => "blended onto white",
        };
        steps.push(format!("alpha: {what}"));
    }
    if input.color == Color::Gray && picture.channels != 1 {
        steps.push("color: luma (BT.601, as Pillow's L)".to_owned());
    }
    let upright = upright(picture, input);
    steps.extend(fit_steps(&Fit::new((upright.width, upright.height), input), input));
    if input.color != Color::Gray && picture.channels == 1 {
        steps.push("color: gray copied to three channels".to_owned());
    }
    steps.push(format!(
        "normalise: (pixel * {} - {}) / {}",
        input.scale,
        list(&input.mean),
        list(&input.std)
    ));
    let color = match input.color {
        Color::Rgb => "RGB",
        Color::Bgr => "BGR",
        Color::Gray => "gray",
    };
    let layout = match input.layout {
        Layout::Nhwc => "NHWC",
        Layout::Nchw => "NCHW",
    };
    let rounding =
        if input.dtype.is_integer() { ", rounded half to even and saturated" } else { "" };
    steps.push(format!("store: {} {layout} {color} {:?}{rounding}", input.dtype, input.shape()));
    Ok(steps)
}

fn fit_steps(fit: &Fit, input: &ImageInput) -> Vec<String> {
    let (x, y) = (fit.window.x, fit.window.y);
    let mut steps = Vec::new();
    if (x.source, y.source) == (x.full, y.full) {
        steps.push(format!("resize: none, already {} x {}", x.full, y.full));
    } else {
        let how = match input.resize {
            Resize::Stretch => "stretched",
            Resize::Letterbox => "scaled to fit",
            Resize::Crop => "scaled to cover",
        };
        let filter = filter_name(input.filter);
        steps.push(format!("resize: {how} to {} x {}, {filter}", x.full, y.full));
    }
    if (x.length, y.length) != (x.full, y.full) {
        steps.push(format!(
            "crop: {} x {} from column {}, row {}",
            x.length, y.length, x.start, y.start
        ));
    }
    if (x.length, y.length) != (input.width as usize, input.height as usize) {
        steps.push(format!(
            "letterbox: into {} x {} at column {}, row {}, bars {:?}",
            input.width, input.height, fit.at.0, fit.at.1, input.pad
        ));
    }
    steps
}

fn list(values: &[f32]) -> String {
    match values {
        [value] => value.to_string(),
        values => format!("{values:?}"),
    }
}

fn filter_name(filter: Filter) -> &'static str {
    match filter {
        Filter::PillowNearest => "pillow-nearest",
        Filter::PillowBilinear => "pillow-bilinear",
        Filter::PillowBicubic => "pillow-bicubic",
        Filter::PillowLanczos => "pillow-lanczos",
        Filter::OpencvNearest => "opencv-nearest",
        Filter::OpencvLinear => "opencv-linear",
        Filter::OpencvCubic => "opencv-cubic",
        Filter::OpencvArea => "opencv-area",
    }
}
