use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};

use super::canvas::Canvas;
use super::palette::Rgb;

/// DejaVu Sans Bold cut down to Latin, Greek and Cyrillic; its licence lies beside it.
const FONT: &[u8] = include_bytes!("../../assets/DejaVuSans-Bold.subset.ttf");

/// Longest text that is looked at, in characters.
const LONGEST: usize = 256;

fn font() -> Option<&'static FontRef<'static>> {
    static PARSED: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    PARSED.get_or_init(|| FontRef::try_from_slice(FONT).ok()).as_ref()
}

/// What the font can show: white space becomes a blank, an unknown character a replacement mark.
fn shown(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().take(LONGEST).filter(|c| !c.is_control() || c.is_whitespace()).map(|c| {
        let known = font().is_some_and(|font| font.glyph_id(c).0 != 0);
        match c {
            c if c.is_whitespace() => ' ',
            c if known => c,
            _ => '\u{fffd}',
        }
    })
}

/// Width in pixels of a text whose line is `height` pixels high.
pub(super) fn width(text: &str, height: f32) -> f32 {
    let Some(font) = font() else { return 0.0 };
    let scaled = font.as_scaled(PxScale::from(height));
    shown(text).map(|c| scaled.h_advance(scaled.glyph_id(c))).sum()
}

/// The text, or as much of it as fits with an ellipsis; `None` when not even two characters do.
pub(super) fn fitted(text: &str, height: f32, space: f32) -> Option<String> {
    if width(text, height) <= space && text.chars().count() <= LONGEST {
        return Some(text.to_owned());
    }
    let room = space - width("…", height);
    let mut used = 0.0;
    let mut kept = String::new();
    for c in shown(text) {
        used += width(c.encode_utf8(&mut [0; 4]), height);
        if used > room {
            break;
        }
        kept.push(c);
    }
    let kept = kept.trim_end();
    (kept.chars().count() >= 2).then(|| format!("{kept}…"))
}

/// Draws one line of text, its top left corner at `x`, `y`.
pub(super) fn draw(canvas: &mut Canvas<'_>, text: &str, x: f32, y: f32, height: f32, color: Rgb) {
    let Some(font) = font() else { return };
    let scaled = font.as_scaled(PxScale::from(height));
    let mut pen = point(x, (y + scaled.ascent()).round());
    for c in shown(text) {
        let mut glyph = scaled.scaled_glyph(c);
        glyph.position = pen;
        pen.x += scaled.h_advance(glyph.id);
        if let Some(outline) = font.outline_glyph(glyph) {
            let bounds = outline.px_bounds();
            let (left, top) = (bounds.min.x as i64, bounds.min.y as i64);
            outline.draw(|dx, dy, coverage| {
                canvas.pixel(left + i64::from(dx), top + i64::from(dy), color, coverage.min(1.0));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_is_there_and_knows_its_letters() {
        let font = font().unwrap();
        for c in "Aß…Žłéñ€ЖΩ\u{fffd}".chars() {
            assert_ne!(font.glyph_id(c).0, 0, "{c}");
        }
        assert_eq!(shown("a\t猫\u{7}").collect::<String>(), "a \u{fffd}");
    }

    #[test]
    fn long_texts_end_in_an_ellipsis() {
        let space = width("Egyptian", 20.0);
        assert_eq!(fitted("Egyptian", 20.0, space).unwrap(), "Egyptian");
        let cut = fitted("Egyptian cat", 20.0, space).unwrap();
        assert!(cut.ends_with('…') && width(&cut, 20.0) <= space, "{cut}");
        assert_eq!(fitted("Egyptian", 20.0, 10.0), None);
        assert!(fitted(&"i".repeat(100_000), 1.0, 1e9).unwrap().len() < 1000);
    }
}
