/// Red, green, blue.
pub(super) type Rgb = [u8; 3];

pub(super) const BLACK: Rgb = [0, 0, 0];
pub(super) const WHITE: Rgb = [255, 255, 255];

/// Colours told apart easily, after Sasha Trubetskoy's "List of 20 Simple, Distinct Colors"
/// (2017), without black, white, gray and those that drown in a dark picture; strong ones first.
const COLORS: [Rgb; 14] = [
    [230, 25, 75],
    [66, 212, 244],
    [255, 225, 25],
    [60, 180, 75],
    [240, 50, 230],
    [245, 130, 49],
    [67, 99, 216],
    [191, 239, 69],
    [145, 30, 180],
    [250, 190, 212],
    [70, 153, 144],
    [220, 190, 255],
    [170, 255, 195],
    [255, 216, 177],
];

/// The colour of a class, the same in every picture.
pub(super) fn color(class: usize) -> Rgb {
    COLORS[class % COLORS.len()]
}

/// Black or white, whichever stands out more from the colour (WCAG 2 contrast ratio).
pub(super) fn contrast(color: Rgb) -> Rgb {
    let linear = |v: u8| (f32::from(v) / 255.0).powf(2.2);
    let luminance =
        0.2126 * linear(color[0]) + 0.7152 * linear(color[1]) + 0.0722 * linear(color[2]);
    // (L + 0.05) / 0.05 equals 1.05 / (L + 0.05) at L = 0.179.
    if luminance > 0.179 { BLACK } else { WHITE }
}
