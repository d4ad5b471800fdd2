//! How values are written for people; the page's script writes them the same way.

#![allow(unreachable_pub)] // what askama's attribute makes of these functions

use std::fmt::Display;

use askama::{Result, Values};

/// `image-classification` as `Image classification`.
#[askama::filter_fn]
pub(crate) fn words(text: impl Display, _: &dyn Values) -> Result<String> {
    let text = text.to_string().replace('-', " ");
    let mut letters = text.chars();
    Ok(letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect()))
}

/// Microseconds with three digits and a fitting unit; a dash for none.
#[askama::filter_fn]
pub(crate) fn micros(micros: &Option<u64>, _: &dyn Values) -> Result<String> {
    Ok(micros.map_or_else(|| "–".to_owned(), duration))
}

/// Dimensions as `1 × 224 × 224 × 3`, `?` where they vary.
#[askama::filter_fn]
pub(crate) fn shape(shape: &[i64], _: &dyn Values) -> Result<String> {
    let size = |&size: &i64| if size < 0 { "?".to_owned() } else { size.to_string() };
    Ok(shape.iter().map(size).collect::<Vec<_>>().join(" × "))
}

fn duration(micros: u64) -> String {
    let (value, unit) = match micros {
        0..1_000 => return format!("{micros} µs"),
        1_000..1_000_000 => (micros as f64 / 1e3, "ms"),
        _ => (micros as f64 / 1e6, "s"),
    };
    let digits = if value >= 100.0 { 0 } else { 1 + usize::from(value < 10.0) };
    format!("{value:.digits$} {unit}")
}

/// A limit in bytes as `64 MiB`.
pub(crate) fn mebibytes(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} bytes"),
        mebibytes => format!("{mebibytes} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_fitting_unit() {
        let written = [0, 999, 1_000, 12_345, 123_456, 1_234_567].map(duration);
        assert_eq!(written, ["0 µs", "999 µs", "1.00 ms", "12.3 ms", "123 ms", "1.23 s"]);
        assert_eq!(mebibytes(64 << 20), "64 MiB");
    }
}
