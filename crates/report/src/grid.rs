//! A table of text, as Markdown for cards and aligned for terminals.

/// Headings and rows of equal length.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    pub(crate) fn new(head: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { head: head.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When it has another length than the headings.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        assert_eq!(row.len(), self.head.len(), "a row as long as the headings {:?}", self.head);
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As a Markdown table, without a final line break; no text at all if there are no rows.
    pub(crate) fn markdown(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
            format!("| {} |", cells.join(" | "))
        };
        let rule = format!("|{}", "---|".repeat(self.head.len()));
        let rows = self.rows.iter().map(|row| line(row));
        [line(&self.head), rule].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
    }

    /// As aligned columns, every line indented by two spaces.
    pub(crate) fn plain(&self) -> String {
        let width = |column: usize| {
            let cells = [&self.head].into_iter().chain(&self.rows).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
        };
        [&self.head].into_iter().chain(&self.rows).map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Text that stays within its cell.
pub(crate) fn escape(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new(["model", "score"]);
        grid.push(vec!["lstm".into(), "0.9 | best".into()]);
        grid.push(vec!["a longer\nname".into(), "≥ 1".into()]);
        grid
    }

    #[test]
    fn markdown_keeps_text_in_its_cell() {
        let expected = "| model | score |\n|---|---|\n| lstm | 0.9 \\| best |\n| a longer name | ≥ 1 |";
        assert_eq!(grid().markdown(), expected);
        assert_eq!(Grid::new(["model"]).markdown(), "");
    }

    #[test]
    fn plain_columns_line_up() {
        let mut grid = Grid::new(["model", "score"]);
        grid.push(vec!["lstm".into(), "≥ 1".into()]);
        grid.push(vec!["transformer".into(), "2".into()]);
        assert_eq!(grid.plain(), "  model        score\n  lstm         ≥ 1\n  transformer  2");
    }

    #[test]
    #[should_panic(expected = "as long as the headings")]
    fn a_short_row_is_refused() {
        Grid::new(["model", "score"]).push(vec!["lstm".into()]);
    }
}
