//! What the program says: results on standard output, everything else on standard error.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// One line of results.
pub(crate) fn line(text: impl Display) {
    write(format_args!("{text}\n"));
}

/// A machine-readable result.
pub(crate) fn json(value: &serde_json::Value) {
    write(format_args!("{value:#}\n"));
}

/// Text as it is, at once, for output that grows.
pub(crate) fn piece(text: impl Display) {
    write(format_args!("{text}"));
}

/// Rows in columns that line up, two spaces apart. The last column is not padded.
pub(crate) fn table(rows: &[Vec<String>]) {
    for text in aligned(rows) {
        line(text);
    }
}

/// A remark that is not a result.
pub(crate) fn note(text: impl Display) {
    crate::progress::above(|| drop(writeln!(std::io::stderr(), "{text}")));
}

/// Something that the user should know, though the command goes on.
pub(crate) fn warning(text: impl Display) {
    note(format_args!("warning: {text}"));
}

/// Why the command ends.
pub(crate) fn error(text: impl Display) {
    note(format_args!("error: {text}"));
}

fn write(text: std::fmt::Arguments) {
    let mut output = std::io::stdout().lock();
    match output.write_fmt(text).and_then(|()| output.flush()) {
        Ok(()) => {}
        // The reader has seen enough, as in `seqlab report | head`; what is being done is done to its end.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(problem) => {
            error(format_args!("cannot write to standard output: {problem}"));
            std::process::exit(1);
        }
    }
}

fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let align = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(align).collect()
}

#[cfg(test)]
mod tests {
    use super::aligned;

    #[test]
    fn columns_line_up_and_no_line_ends_in_spaces() {
        let rows =
            [vec!["lstm".to_owned(), "gates".to_owned()], vec!["transformer".to_owned(), String::new()]];
        assert_eq!(aligned(&rows), ["lstm         gates", "transformer"]);
    }
}
