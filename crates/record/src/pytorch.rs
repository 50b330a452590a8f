//! PyTorch's step times, from the committed benchmark: what equal seconds are also judged with.

use std::io::ErrorKind;
use std::path::Path;

use crate::RecordError;

/// The name of the table in a results folder, copied there by the run that used it.
pub const PYTORCH_STEPS: &str = "pytorch-steps.csv";

/// One timed repeat of training steps.
#[derive(Clone, Debug, PartialEq)]
pub struct PytorchStep {
    /// Label of the model.
    pub model: String,
    /// Positions a sequence.
    pub time: usize,
    /// Processor seconds a step.
    pub seconds: f64,
}

/// Reads the columns `model,time,seconds`. A file that is not there has no rows; lines with `#` are comments.
///
/// # Errors
/// When the file cannot be read, or a line is not such a row.
pub fn read_pytorch(path: &Path) -> Result<Vec<PytorchStep>, RecordError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RecordError::File { path: path.to_owned(), source }),
    };
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
    let step = |(index, line): (usize, &str)| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let wrong = || RecordError::Format {
            path: path.to_owned(),
            message: format!("line {}: `{line}` is not `model,time,seconds`", index + 1),
        };
        let &[model, time, seconds, ..] = fields.as_slice() else { return Err(wrong()) };
        let (Ok(time), Ok(seconds)) = (time.parse(), seconds.parse()) else { return Err(wrong()) };
        Ok(PytorchStep { model: model.to_owned(), time, seconds })
    };
    lines.skip(1).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_and_a_wrong_line_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("steps.csv");
        assert_eq!(read_pytorch(&path).unwrap(), []);
        std::fs::write(&path, "# by bench.py\nmodel,time,seconds\nlstm,64,0.5\n").unwrap();
        let expected = PytorchStep { model: "lstm".to_owned(), time: 64, seconds: 0.5 };
        assert_eq!(read_pytorch(&path).unwrap(), [expected]);
        std::fs::write(&path, "model,time,seconds\nlstm,long,0.5\n").unwrap();
        assert!(read_pytorch(&path).unwrap_err().to_string().contains("line 2: `lstm,long,0.5`"));
    }
}
