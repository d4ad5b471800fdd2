//! Horizontal bars and distributions with labels, for reports of measurements.

use super::canvas::{Canvas, Rect};
use super::palette::{BLACK, Rgb, WHITE};
use super::text;

/// A picture of panels, one below the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What is shown.
    pub title: String,
    /// Where it comes from, in small letters.
    pub subtitle: String,
    /// From top to bottom; at most [`MOST_ROWS`] rows are drawn of each.
    pub panels: Vec<Panel>,
}

/// Rows over one axis, which begins at 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What the axis means, with its unit.
    pub title: String,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

/// One labelled row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Written to its left.
    pub label: String,
    /// Rows of the same number have the same colour.
    pub color: usize,
    /// What is drawn.
    pub bar: Bar,
}

/// What a row shows. Negative and not finite values count as 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Bar {
    /// A bar with its value behind it.
    Length(f64),
    /// How often which value occurs.
    Spread(Spread),
}

/// A distribution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread {
    /// Everything that was measured, in any order.
    pub values: Vec<f64>,
    /// Values to mark, such as percentiles; they are written behind the row.
    pub marks: Vec<f64>,
}

/// Rows of a panel that are drawn.
pub const MOST_ROWS: usize = 64;

const WIDTH: u32 = 1100;
const MARGIN: i64 = 28;
const TITLE: f32 = 24.0;
const SMALL: f32 = 14.0;
const LABEL: f32 = 16.0;
const LENGTH_ROW: i64 = 30;
const SPREAD_ROW: i64 = 58;
/// Width of the column of marks behind a distribution.
const MARKS: i64 = 190;
const BINS: usize = 160;
const GRAY: Rgb = [110, 110, 110];
const GRID: Rgb = [222, 222, 222];

/// Okabe and Ito, "Color Universal Design" (2008): told apart by colour-blind readers too.
const COLORS: [Rgb; 7] = [
    [0, 114, 178],
    [230, 159, 0],
    [0, 158, 115],
    [213, 94, 0],
    [204, 121, 167],
    [86, 180, 233],
    [90, 90, 90],
];

/// Draws the chart: width, height and RGB bytes, three a pixel.
pub fn render(chart: &Chart) -> (u32, u32, Vec<u8>) {
    let head = MARGIN + 64;
    let height = head + chart.panels.iter().map(Panel::height).sum::<i64>() + MARGIN / 2;
    let height = u32::try_from(height).unwrap_or(u32::MAX).min(16_384);
    let mut rgb = vec![255; WIDTH as usize * height as usize * 3];
    if let Some(mut canvas) = Canvas::new(&mut rgb, WIDTH, height) {
        let space = (i64::from(WIDTH) - 2 * MARGIN) as f32;
        write(&mut canvas, &chart.title, MARGIN, MARGIN, TITLE, BLACK, space);
        write(&mut canvas, &chart.subtitle, MARGIN, MARGIN + 34, SMALL, GRAY, space);
        let mut top = head;
        for panel in &chart.panels {
            panel.draw(&mut canvas, top);
            top += panel.height();
        }
    }
    (WIDTH, height, rgb)
}

impl Panel {
    fn rows(&self) -> &[Row] {
        self.rows.get(..MOST_ROWS).unwrap_or(&self.rows)
    }

    fn height(&self) -> i64 {
        self.rows().iter().map(Row::height).sum::<i64>() + 86
    }

    fn draw(&self, canvas: &mut Canvas<'_>, top: i64) {
        let right = i64::from(WIDTH) - MARGIN;
        write(canvas, &self.title, MARGIN, top + 8, LABEL + 2.0, BLACK, (right - MARGIN) as f32);
        let widest =
            self.rows().iter().map(|row| text::width(&row.label, LABEL)).fold(0.0, f32::max);
        let left = MARGIN + (widest.ceil() as i64).min(360) + 14;
        let spread = self.rows().iter().any(|row| matches!(row.bar, Bar::Spread(_)));
        let end = if spread { right - MARKS } else { right - 90 };
        let most = self.rows().iter().map(Row::most).fold(0.0, f64::max);
        let axis = Axis { left, right: end, most: if most > 0.0 { most * 1.02 } else { 1.0 } };
        let (first, last) = (top + 42, top + self.height() - 40);
        axis.draw(canvas, first, last);
        let mut y = first;
        for row in self.rows() {
            let space = (left - MARGIN - 10) as f32;
            let middle = y + row.height() / 2;
            let at = middle - (LABEL / 2.0) as i64;
            write(canvas, &row.label, MARGIN, at, LABEL, BLACK, space);
            row.draw(canvas, &axis, y);
            y += row.height();
        }
    }
}

impl Row {
    fn height(&self) -> i64 {
        match self.bar {
            Bar::Length(_) => LENGTH_ROW,
            Bar::Spread(_) => SPREAD_ROW,
        }
    }

    fn most(&self) -> f64 {
        match &self.bar {
            Bar::Length(value) => sound(*value),
            Bar::Spread(spread) => {
                spread.values.iter().chain(&spread.marks).copied().map(sound).fold(0.0, f64::max)
            }
        }
    }

    fn draw(&self, canvas: &mut Canvas<'_>, axis: &Axis, top: i64) {
        let color = COLORS[self.color % COLORS.len()];
        let bottom = top + self.height() - 4;
        match &self.bar {
            Bar::Length(value) => {
                let end = axis.x(sound(*value)).max(axis.left + 1);
                let bar = Rect { x0: axis.left, y0: top + 4, x1: end, y1: bottom };
                canvas.fill(bar, color, 1.0);
                let at = (top + bottom) / 2 - (SMALL / 2.0) as i64 + 1;
                write(canvas, &figure(*value), end + 8, at, SMALL, BLACK, 90.0);
            }
            Bar::Spread(spread) => {
                let counts = spread.counts(axis);
                let fullest = counts.iter().copied().max().unwrap_or(0).max(1);
                let room = (bottom - top - 8) as f64;
                for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                    // A single outlier is still a pixel high.
                    let high = (room * *count as f64 / fullest as f64).ceil() as i64;
                    let [x0, x1] = [bin, bin + 1].map(|edge| axis.edge(edge));
                    canvas.fill(Rect { x0, y0: bottom - high, x1, y1: bottom }, color, 0.75);
                }
                for (index, mark) in spread.marks.iter().enumerate() {
                    let x = axis.x(sound(*mark));
                    let (wide, opacity) = if index == 0 { (3, 1.0) } else { (2, 0.55) };
                    let line = Rect { x0: x - 1, y0: top + 4, x1: x - 1 + wide, y1: bottom };
                    canvas.fill(line, BLACK, opacity);
                }
                let marks: Vec<_> = spread.marks.iter().map(|mark| figure(*mark)).collect();
                let at = (top + bottom) / 2 - (SMALL / 2.0) as i64;
                let space = (MARKS - 16) as f32;
                write(canvas, &marks.join("  "), axis.right + 16, at, SMALL, BLACK, space);
            }
        }
    }
}

impl Spread {
    fn counts(&self, axis: &Axis) -> [usize; BINS] {
        let mut counts = [0; BINS];
        for value in self.values.iter().copied().map(sound) {
            let bin = (value / axis.most * BINS as f64) as usize;
            counts[bin.min(BINS - 1)] += 1;
        }
        counts
    }
}

/// From 0 at `left` to `most` at `right`.
struct Axis {
    left: i64,
    right: i64,
    most: f64,
}

impl Axis {
    fn x(&self, value: f64) -> i64 {
        let share = (value / self.most).clamp(0.0, 1.0);
        self.left + (share * (self.right - self.left) as f64).round() as i64
    }

    /// Where a bin of a distribution begins.
    fn edge(&self, bin: usize) -> i64 {
        self.left + (self.right - self.left) * bin as i64 / BINS as i64
    }

    /// Lines and numbers at round values.
    fn draw(&self, canvas: &mut Canvas<'_>, top: i64, bottom: i64) {
        let step = round_step(self.most / 6.0);
        for index in 0.. {
            let value = f64::from(index) * step;
            if value > self.most || index > 12 {
                break;
            }
            let x = self.x(value);
            canvas.fill(Rect { x0: x, y0: top, x1: x + 1, y1: bottom + 5 }, GRID, 1.0);
            let label = figure(value);
            let half = (text::width(&label, SMALL) / 2.0) as i64;
            write(canvas, &label, x - half, bottom + 9, SMALL, GRAY, 120.0);
        }
    }
}

/// 1, 2 or 5 times a power of ten, the next at or above.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.map(|factor| factor * power).into_iter().find(|step| *step >= least).unwrap_or(power)
}

fn sound(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

/// A number with three figures that count, without zeros at its end.
fn figure(value: f64) -> String {
    let value = sound(value);
    let decimals = match value {
        100.0.. => 0,
        10.0..100.0 => 1,
        1.0..10.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// One line of text, cut to the space there is.
fn write(
    canvas: &mut Canvas<'_>,
    words: &str,
    x: i64,
    y: i64,
    height: f32,
    color: Rgb,
    space: f32,
) {
    debug_assert_ne!(color, WHITE, "the paper is white");
    if let Some(fitted) = text::fitted(words, height, space).or_else(|| short(words)) {
        text::draw(canvas, &fitted, x as f32, y as f32, height, color);
    }
}

/// Texts that are too short to be cut are written as they are.
fn short(words: &str) -> Option<String> {
    (words.chars().count() < 4).then(|| words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(bars: Vec<Bar>) -> Chart {
        let row = |(color, bar)| Row { label: format!("row {color}"), color, bar };
        let panel =
            Panel { title: "ms".into(), rows: bars.into_iter().enumerate().map(row).collect() };
        Chart { title: "title".into(), subtitle: "subtitle".into(), panels: vec![panel] }
    }

    fn pixels(rgb: &[u8], color: Rgb) -> usize {
        rgb.chunks_exact(3).filter(|pixel| *pixel == color).count()
    }

    #[test]
    fn bars_are_as_long_as_their_values() {
        let (_, _, rgb) = render(&chart(vec![Bar::Length(10.0), Bar::Length(5.0)]));
        let ratio = pixels(&rgb, COLORS[0]) as f64 / pixels(&rgb, COLORS[1]) as f64;
        assert!((1.95..2.05).contains(&ratio), "{ratio}");
    }

    #[test]
    fn whatever_was_measured_can_be_drawn() {
        let wild = vec![f64::NAN, -1.0, 0.0, 1e-9, 1e300, f64::INFINITY];
        let spread = Spread { values: wild.clone(), marks: wild.clone() };
        let mut bars: Vec<Bar> = wild.into_iter().map(Bar::Length).collect();
        bars.extend([Bar::Spread(spread), Bar::Spread(Spread::default())]);
        for bars in [bars, Vec::new(), vec![Bar::Length(0.0); 1000]] {
            let (width, height, rgb) = render(&chart(bars));
            assert_eq!(rgb.len(), (width * height * 3) as usize);
        }
    }

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!([0.13, 0.7, 3.0, 60.0].map(round_step), [0.2, 1.0, 5.0, 100.0]);
        assert_eq!([0.0, 0.25, 2.5, 40.0, 1234.5].map(figure), ["0", "0.25", "2.5", "40", "1234"]);
    }
}
