//! Tables of one's own: comma- or tab-separated text with a header.

use std::path::{Path, PathBuf};

use crate::DataError;

/// A table as it is written, every value a text.
#[derive(Debug)]
pub(crate) struct Table {
    path: PathBuf,
    /// Names of the columns.
    pub(crate) header: Vec<String>,
    /// Rows, each as long as the header.
    pub(crate) rows: Vec<Vec<String>>,
}

/// Reads a table: separated by commas if the file is named `.csv` or `.csv.gz`, otherwise by tabs. Values may stand in double quotes where
/// commas separate; with tabs a quote is a character like any other.
///
/// # Errors
/// When the table is empty or ragged; the message names the file and the line.
pub(crate) fn read(path: &Path, text: &str) -> Result<Table, DataError> {
    let named = |path: &Path, extension: &str| {
        path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
    };
    let unpacked = if named(path, "gz") { path.with_extension("") } else { path.to_owned() };
    let commas = named(&unpacked, "csv");
    let wrong = |line: u64, reason: String| DataError::Table { path: path.to_owned(), line, reason };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(if commas { b',' } else { b'\t' })
        .quoting(commas)
        .flexible(true)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().map_err(|error| wrong(1, error.to_string()))?;
    let header: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
    if header.iter().all(String::is_empty) {
        return Err(wrong(1, "the file is empty; the first line names the columns".to_owned()));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record
            .map_err(|error| wrong(error.position().map_or(0, csv::Position::line), error.to_string()))?;
        if record.len() != header.len() {
            let line = record.position().map_or(0, csv::Position::line);
            let other = if commas { "commas" } else { "tabs" };
            let reason = format!(
                "{} values where the header has {} columns, separated by {other}",
                record.len(),
                header.len()
            );
            return Err(wrong(line, reason));
        }
        rows.push(record.iter().map(|value| value.trim().to_owned()).collect());
    }
    if rows.is_empty() {
        return Err(wrong(1, "there is a header and nothing below it".to_owned()));
    }
    Ok(Table { path: path.to_owned(), header, rows })
}

impl Table {
    /// The place of the column of that name.
    ///
    /// # Errors
    /// When there is none; the message names those that there are.
    pub(crate) fn column(&self, name: &str) -> Result<usize, DataError> {
        self.header.iter().position(|column| column == name).ok_or_else(|| {
            let known: Vec<String> = self.header.iter().map(|column| format!("`{column}`")).collect();
            let reason = format!("no column is named `{name}`; there are {}", known.join(", "));
            DataError::Table { path: self.path.clone(), line: 1, reason }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Result<Table, String> {
        read(Path::new(name), text).map_err(|error| error.to_string())
    }

    #[test]
    fn commas_may_be_quoted_and_tabs_need_no_quotes() {
        let table = of("my.csv", "class, text\nspam,\"win, now\"\nham,\"say \"\"hi\"\"\"\n").unwrap();
        assert_eq!(table.rows, [["spam", "win, now"], ["ham", "say \"hi\""]]);
        assert_eq!(table.column("text").unwrap(), 1);
        assert_eq!(of("my.csv.gz", "class,text\nspam,win\n").unwrap().rows, [["spam", "win"]]);
        let table = of("my.tsv", "\u{feff}class\ttext\nham\tsay \"hi\", you\r\n").unwrap();
        assert_eq!(table.rows, [["ham", "say \"hi\", you"]]);
        assert_eq!(table.column("class").unwrap(), 0);
    }

    #[test]
    fn what_is_no_table_is_refused_with_the_line() {
        let ragged = of("my.csv", "class,text\nham,hello\nspam,win, now\n").unwrap_err();
        assert_eq!(ragged, "my.csv, line 3: 3 values where the header has 2 columns, separated by commas");
        assert!(of("my.tsv", "").unwrap_err().contains("the file is empty"));
        assert!(of("my.tsv", "class\ttext\n").unwrap_err().contains("nothing below it"));
        let table = of("my.tsv", "label\ttext\nham\thello\n").unwrap();
        let message = table.column("class").unwrap_err().to_string();
        assert_eq!(message, "my.tsv, line 1: no column is named `class`; there are `label`, `text`");
    }
}
