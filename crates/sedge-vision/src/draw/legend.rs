use super::canvas::{Canvas, Rect};
use super::palette::{BLACK, WHITE};
use super::{Style, name, palette, text};
use crate::Class;

/// Most classes shown.
const ROWS: usize = 5;
/// The legend may be this part of the picture's height and width.
const HIGHEST: f32 = 0.45;
const WIDEST: f32 = 0.95;
/// In pictures narrower than so many times the height of the text, names get the room of swatches.
const NARROW: f32 = 14.0;

/// Draws the best classes, each with its colour, name and score, on a dark plate.
pub(super) fn draw(canvas: &mut Canvas<'_>, style: &Style, classes: &[Class]) {
    let picture = canvas.size();
    let height = style.text.ceil() as i64;
    let gap = (style.text * 0.35).round() as i64;
    let fitting = (picture.height() as f32 * HIGHEST) as i64 - 2 * gap;
    let rows = usize::try_from(fitting / height).unwrap_or(0).min(ROWS);
    // A class that would be shown as 0.00 says nothing, unless there is no better one.
    let telling = |(i, class): &(usize, &Class)| *i == 0 || class.score >= 0.005;
    let shown: Vec<&Class> =
        classes.iter().enumerate().filter(telling).map(|(_, c)| c).take(rows).collect();

    let score = |class: &Class| format!("{:.2}", class.score);
    let scores = shown.iter().map(|c| text::width(&score(c), style.text)).fold(0.0, f32::max);
    let narrow = (picture.width() as f32) < style.text * NARROW;
    let swatch = if narrow { 0 } else { (style.text * 0.6).round() as i64 };
    let before = if narrow { 0 } else { swatch + gap };
    let around = 3 * gap + before + scores.ceil() as i64;
    let space = picture.width() as f32 * WIDEST - around as f32;
    let label = |class: &&Class| {
        text::fitted(&name(class.label.as_deref(), class.index), style.text, space)
    };
    let Some(labels) = shown.iter().map(label).collect::<Option<Vec<String>>>() else { return };
    let widest = labels.iter().map(|l| text::width(l, style.text)).fold(0.0, f32::max);
    if labels.is_empty() {
        return;
    }

    let margin = (gap / 2).min(picture.width() / 50);
    let plate = Rect {
        x0: margin,
        y0: margin,
        x1: margin + around + widest.ceil() as i64,
        y1: margin + 2 * gap + labels.len() as i64 * height,
    };
    canvas.fill(plate, BLACK, 0.72);
    canvas.frame(plate, Style::edge(style.line), WHITE, 0.35);
    for (row, (class, label)) in shown.iter().zip(&labels).enumerate() {
        let top = plate.y0 + gap + row as i64 * height;
        let (x, y) = (plate.x0 + gap, top + (height - swatch) / 2);
        let square = Rect { x0: x, y0: y, x1: x + swatch, y1: y + swatch };
        canvas.fill(square, palette::color(class.index), 1.0);
        canvas.frame(square, 1, WHITE, 0.5);
        let words = (x + before) as f32;
        text::draw(canvas, label, words, top as f32, style.text, WHITE);
        let score = score(class);
        let right = (plate.x1 - gap) as f32 - text::width(&score, style.text);
        text::draw(canvas, &score, right, top as f32, style.text, WHITE);
    }
}
