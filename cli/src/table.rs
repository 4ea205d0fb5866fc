//! Columns of text, two spaces apart, as `ps` and `onevm list` print them.
//!
//! Cells come from other zones too: what a terminal would obey is spelled out, so that nobody
//! writes escape sequences to an engineer's terminal, or turns the order of a line.

use zonemesh_core::visible::visible;

/// A table that is filled row by row.
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column; an empty cell is shown as `-`.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { plain(&cell) };
        let cells: Vec<String> = cells.into_iter().map(shown).collect();
        debug_assert_eq!(cells.len(), self.header.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// The lines, each with its newline; nothing at all without rows.
    pub(crate) fn text(&self, with_header: bool) -> String {
        let header: Vec<String> = self.header.iter().map(|word| (*word).to_owned()).collect();
        let above = (with_header && !self.rows.is_empty()).then_some(&header);
        let lines: Vec<&Vec<String>> = above.into_iter().chain(&self.rows).collect();
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        lines.iter().map(|line| one_line(line, &widths)).collect()
    }
}

fn one_line(cells: &[String], widths: &[usize]) -> String {
    let padded: Vec<String> =
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    format!("{}\n", padded.join("  ").trim_end())
}

/// Columns of a terminal that nobody has widened.
pub(crate) const WIDTH: usize = 80;

/// Lines of at most 80 columns, all but the first behind `indent`; a longer word has a line of its
/// own.
pub(crate) fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        let wide = line + word.trim_end().chars().count() > WIDTH;
        if wide && line > indent.len() {
            lines.push(indent.to_owned());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// What stands between two parts of a line above a table.
const BETWEEN: &str = "   ";

/// A line of such parts, broken between them where it is wider than 80 columns.
pub(crate) fn packed(parts: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for part in parts.split(BETWEEN) {
        let width = |text: &str| text.chars().count();
        match lines.last_mut() {
            Some(line) if width(line) + BETWEEN.len() + width(part) <= WIDTH => {
                line.push_str(BETWEEN);
                line.push_str(part);
            }
            Some(_) => lines.push(format!("  {part}")),
            None => lines.push(part.to_owned()),
        }
    }
    lines.iter().map(|line| wrapped(line, "  ")).collect()
}

/// `text` without anything that a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    visible(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ZONE", "VIA"]);
        table.row(["madrid".to_owned(), "203.0.113.50:51820".to_owned()]);
        table.row(["aü".to_owned(), String::new()]);
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = "ZONE    VIA\nmadrid  203.0.113.50:51820\naü      -\n";
        assert_eq!(table().text(true), text);
    }

    #[test]
    fn without_a_header_only_the_rows_count() {
        assert_eq!(table().text(false), "madrid  203.0.113.50:51820\naü      -\n");
        assert_eq!(Table::new(&["ZONE"]).text(true), "");
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        let mut table = Table::new(&["ZONE"]);
        table.row(["\u{1b}[2Jx\u{9b}\u{202e}\u{2028}\n".to_owned()]);
        let shown = "\\u{1b}[2Jx\\u{9b}\\u{202e}\\u{2028}\\n\n";
        assert_eq!(table.text(false), shown);
    }
}
