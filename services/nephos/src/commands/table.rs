//! Tables for people.

use std::io::IsTerminal;

/// Rows under a heading, columns padded; the heading bold on a terminal.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        line.trim_end().to_owned()
    };
    let mut text = line(&mut heading.iter().copied());
    if std::io::stdout().is_terminal() {
        text = format!("\u{1b}[1m{text}\u{1b}[0m");
    }
    for row in rows {
        text.push('\n');
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            vec![vec!["cpu".to_owned(), "ns".to_owned()], vec!["host.uptime".to_owned(), "s".to_owned()]];
        assert_eq!(table(&["METER", "UNIT"], &rows), "METER        UNIT\ncpu          ns\nhost.uptime  s");
    }
}
