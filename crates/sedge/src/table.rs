//! Tables that line up, for people.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

/// How a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows as text: columns padded to their widest cell, two spaces between, no trailing blanks.
pub(crate) fn lines(rows: &[Vec<String>], aligns: &[Align], indent: &str) -> String {
    let rows: Vec<Vec<_>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = indent.to_owned();
        for (column, cell) in row.iter().enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            let blanks = " ".repeat(widths[column] - cell.width());
            match aligns.get(column) {
                Some(Align::Right) => line.extend([blanks.as_str(), cell.as_ref()]),
                _ => line.extend([cell.as_ref(), &blanks]),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Rows under a head, the first `left` columns of them texts.
pub(crate) fn under(head: &[&str], rows: impl Iterator<Item = Vec<String>>, left: usize) -> String {
    let head = head.iter().map(|&cell| cell.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let align = |column| if column < left { Align::Left } else { Align::Right };
    let aligns: Vec<Align> = (0..rows[0].len()).map(align).collect();
    lines(&rows, &aligns, "")
}

/// A text from outside, such as a label or a file's name, with what would steer a terminal or turn
/// the reading order (Unicode's bidirectional controls) spelled out as `\u{1b}`.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let spelled = |c: char| match steers(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    Cow::Owned(text.chars().map(spelled).collect())
}

/// A large number with thin groups: `3 538 984`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Bytes for people: `3.4 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_for_wide_letters_too() {
        let row = |cells: [&str; 2]| cells.map(String::from).to_vec();
        let rows = [row(["猫", "0.9"]), row(["dog", "10"])];
        assert_eq!(lines(&rows, &[Align::Left, Align::Right], "  "), "  猫   0.9\n  dog   10\n");
    }

    #[test]
    fn what_steers_terminals_is_spelled_out() {
        assert_eq!(printable("\u{1b}]0;x\u{7}\t\u{9b}1m"), "\\u{1b}]0;x\\u{7}\\t\\u{9b}1m");
        assert_eq!(printable("a\u{202e}gpj.exe"), "a\\u{202e}gpj.exe");
        assert_eq!(printable("Größe 猫"), "Größe 猫");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([grouped(7), grouped(1234), grouped(3_538_984)], ["7", "1 234", "3 538 984"]);
    }
}
