use super::canvas::{Canvas, Rect};
use super::{Style, bounds, name, palette, text};
use crate::Object;

/// Plates together may hide this much of the picture.
const ALL_PLATES: f32 = 0.25;
/// No single plate may be wider than this part of the picture, or in a small picture, than the
/// second part or so many times the height of the text.
const WIDEST: f32 = 0.6;
const WIDEST_SMALL: f32 = 0.95;
const SHORT_WORDS: f32 = 12.0;
/// A plate that would lie on others for more than this part of itself is left out.
const MOST_OVERLAP: f32 = 0.35;

/// Draws a plate for each object, the best first, each beside its box where there is room.
pub(super) fn draw(canvas: &mut Canvas<'_>, style: &Style, objects: &[Object]) {
    let picture = canvas.size();
    let mut budget = picture.area() as f32 * ALL_PLATES;
    let mut placed: Vec<Rect> = Vec::new();
    for object in objects {
        let Some(words) = words(style, object, picture) else { continue };
        let (width, height) = size(style, &words);
        if (width * height) as f32 > budget {
            continue;
        }
        let Some(plate) = place(style, bounds(object), [width, height], picture, &placed) else {
            continue;
        };
        budget -= plate.area() as f32;
        placed.push(plate);

        let color = palette::color(object.index);
        let ink = palette::contrast(color);
        let edge = Style::edge(style.line);
        canvas.fill(plate, ink, 0.75);
        canvas.fill(plate.grown(-edge), color, 1.0);
        let (x, y) = (plate.x0 + edge + padding(style), plate.y0 + edge);
        text::draw(canvas, &words, x as f32, y as f32, style.text, ink);
    }
}

fn padding(style: &Style) -> i64 {
    (style.text * 0.2).round() as i64
}

/// Name and score, the name cut where it is too long; only the score where nothing else fits.
fn words(style: &Style, object: &Object, picture: Rect) -> Option<String> {
    let score = format!("{:.2}", object.score);
    let around = 2 * (padding(style) + Style::edge(style.line));
    let width = picture.width() as f32;
    let widest = (width * WIDEST).max((style.text * SHORT_WORDS).min(width * WIDEST_SMALL));
    let space = widest - around as f32;
    let name = name(object.label.as_deref(), object.index);
    let left = space - text::width(&format!(" {score}"), style.text);
    match text::fitted(&name, style.text, left) {
        Some(name) => Some(format!("{name} {score}")),
        None => Some(score).filter(|score| text::width(score, style.text) <= space),
    }
}

fn size(style: &Style, words: &str) -> (i64, i64) {
    let edge = Style::edge(style.line);
    let width = text::width(words, style.text).ceil() as i64 + 2 * (padding(style) + edge);
    (width, style.text.ceil() as i64 + 2 * edge)
}

/// Above the box, else inside it, below it, or further down along it: the first place that is
/// free, else the one that hides least of the other plates.
fn place(
    style: &Style,
    object: Rect,
    [width, height]: [i64; 2],
    picture: Rect,
    placed: &[Rect],
) -> Option<Rect> {
    let edge = Style::edge(style.line) + style.line / 2;
    let (left, right) = (object.x0 - edge, object.x1 + edge - width);
    let (above, below) = (object.y0 - edge - height, object.y1 + edge);
    let (top, bottom) = (object.y0 - edge, object.y1 + edge - height);
    let mut corners = vec![
        (left, above),
        (left, top),
        (left, below),
        (right, above),
        (right, top),
        (right, below),
        (left, bottom),
        (right, bottom),
    ];
    // A crowd of boxes with the same corner: one plate under the other.
    for row in 1..12 {
        corners.extend([(left, top + row * height), (left, above - row * height)]);
    }
    let overlap = |plate: &Rect| placed.iter().map(|p| p.within(*plate).area()).sum::<i64>();
    let mut best: Option<(i64, Rect)> = None;
    for (x0, y0) in corners {
        let wanted = Rect { x0, y0, x1: x0 + width, y1: y0 + height };
        let plate = wanted.moved_into(picture);
        // One pushed far from its box would name something else.
        if (plate.y0 - y0).abs() > height / 2 && best.is_some() {
            continue;
        }
        let hidden = overlap(&plate);
        if best.is_none_or(|(least, _)| hidden < least) {
            best = Some((hidden, plate));
        }
        if hidden == 0 {
            break;
        }
    }
    let (hidden, plate) = best?;
    (hidden as f32 <= plate.area() as f32 * MOST_OVERLAP).then_some(plate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plates_keep_to_the_picture_and_from_one_another() {
        let style = Style::of(640, 480);
        let picture = Rect { x0: 0, y0: 0, x1: 640, y1: 480 };
        let mut placed = Vec::new();
        for i in 0..8 {
            let object = Rect { x0: 500 + i, y0: 3, x1: 640, y1: 300 };
            let plate = place(&style, object, [120, 22], picture, &placed).unwrap();
            assert_eq!(plate.within(picture), plate);
            assert!(placed.iter().all(|p: &Rect| p.within(plate).area() == 0), "{plate:?}");
            placed.push(plate);
        }
    }
}
