//! Standard output and standard error. A reader that went away (`| head`) is no error.

use std::io::{IsTerminal, Write, stderr, stdout};

use serde::Serialize;

/// Prints text and a line break.
pub(crate) fn out(text: &str) {
    let mut stdout = stdout().lock();
    // A closed pipe: nobody reads on, and there is nobody to tell.
    let _ = writeln!(stdout, "{text}");
    let _ = stdout.flush();
}

/// Prints text and a line break on standard error. Where that cannot be written nobody is there to be told.
pub(crate) fn err(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => out(&text),
        Err(e) => out(&format!("{{\"error\": \"cannot be written as JSON: {e}\"}}")),
    }
}

/// True when a person looks at standard output.
pub(crate) fn is_terminal() -> bool {
    stdout().is_terminal()
}

/// Rows under a heading, columns aligned by characters as terminals show them.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let columns = heading.len();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| shown_width(cell));
        cells.chain(heading.get(column).map(|cell| shown_width(cell))).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(cell);
            text.push_str(&" ".repeat(width.saturating_sub(shown_width(cell)) + 2));
        }
        text.trim_end().to_owned()
    };
    let mut lines = vec![line(&mut heading.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// Columns that a text takes: wide for CJK and emoji, nothing for what combines.
///
/// Source: Unicode Standard Annex 11; the ranges are the wide blocks, coarsely.
pub(crate) fn shown_width(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
            0x1100..=0x115f
            | 0x2e80..=0xa4cf
            | 0xac00..=0xd7a3
            | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f
            | 0xff00..=0xff60
            | 0xffe0..=0xffe6
            | 0x1f300..=0x1faff
            | 0x20000..=0x3fffd => 2,
            _ => 1,
        })
        .sum()
}

/// Text from outside without what could steer a terminal.
pub(crate) fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_wide_names() {
        let rows = [vec!["张三".to_owned(), "up".to_owned()], vec!["lin".to_owned(), "down".to_owned()]];
        assert_eq!(table(&["NAME", "STATE"], &rows), "NAME  STATE\n张三  up\nlin   down");
    }

    #[test]
    fn what_steers_a_terminal_is_taken_out() {
        assert_eq!(tame("a\x1b[31mb\r\nc"), "a [31mb  c");
    }
}
