//! Where finished cells live: one file a cell, written whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::RecordError;
use crate::cell::{Cell, CellRecord};

/// A folder of finished cells, `ab/KEY.json`, safe to share between processes.
#[derive(Clone, Debug)]
pub struct CellStore {
    folder: PathBuf,
}

impl CellStore {
    /// The store in `folder`, which is made when the first cell is written.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where the cell with this key is stored.
    #[must_use]
    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.join(&key[..2]).join(format!("{key}.json"))
    }

    /// The finished record of a cell, if there is one.
    ///
    /// # Errors
    /// [`RecordError::Damaged`] when the file is not a record of this very cell; it has then been moved aside.
    pub fn load(&self, cell: &Cell) -> Result<Option<CellRecord>, RecordError> {
        let key = cell.key();
        let path = self.path(&key);
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(RecordError::file(&path, error)),
        };
        match parse(&text, cell, &key) {
            Ok(record) => Ok(Some(record)),
            Err(message) => {
                let aside = path.with_extension("json.damaged");
                std::fs::rename(&path, &aside).map_err(|error| RecordError::file(&path, error))?;
                Err(RecordError::Damaged { path, aside, message })
            }
        }
    }

    /// Whether the cell has a file, without reading it.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.path(key).exists()
    }

    /// Stores a finished cell: a temporary file in the same folder, then a rename.
    ///
    /// # Errors
    /// When the folder cannot be written.
    ///
    /// # Panics
    /// Never: a cell record holds plain values.
    pub fn store(&self, record: &CellRecord) -> Result<(), RecordError> {
        let body = serde_json::to_string(record).expect("a cell record holds plain values");
        let digest = blake3::hash(body.as_bytes()).to_hex();
        write_whole(&self.path(&record.key), format!("{digest}\n{body}\n").as_bytes())
    }
}

fn parse(text: &str, cell: &Cell, key: &str) -> Result<CellRecord, String> {
    let (digest, body) = text.split_once('\n').ok_or("it has no checksum line")?;
    let body = body.strip_suffix('\n').ok_or("it is cut off")?;
    if blake3::hash(body.as_bytes()).to_hex().as_str() != digest {
        return Err("its checksum does not match".to_owned());
    }
    let record: CellRecord = serde_json::from_str(body).map_err(|error| error.to_string())?;
    if record.key != key || record.cell != *cell {
        return Err("it holds another cell".to_owned());
    }
    Ok(record)
}

/// Writes a file so that a reader sees the old one or the new one, never a part.
///
/// # Errors
/// When the folder cannot be made or the file cannot be written.
///
/// # Panics
/// When `path` is the root of the file system.
pub fn write_whole(path: &Path, contents: &[u8]) -> Result<(), RecordError> {
    let folder = path.parent().expect("a file has a folder");
    let attempt = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(contents)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.persist(path)?;
        Ok(())
    };
    attempt().map_err(|error| RecordError::file(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::cell::{Component, Cost, Outcome, Row, SCHEMA, Size};

    fn record() -> CellRecord {
        let component = |name: &str| Component { name: name.into(), version: 1, settings: Settings::new() };
        let cell = Cell {
            schema: SCHEMA,
            task: component("task"),
            data: None,
            model: component("model"),
            size: Size { width: 8, body_parameters: Some(100) },
            training: Settings::new(),
            measurement: component("train"),
            seed: 1,
        };
        CellRecord {
            key: cell.key(),
            cell,
            outcome: Outcome::Diverged,
            message: None,
            rows: vec![Row {
                setting: Settings::new(),
                split: "test".into(),
                metric: "accuracy".into(),
                outcome: Outcome::Diverged,
                value: f64::NAN,
                count: 0,
            }],
            curve: Vec::new(),
            cost: Cost::default(),
            revision: "unknown".into(),
            dirty: true,
        }
    }

    #[test]
    fn a_cell_comes_back_as_it_was_stored() {
        let folder = tempfile::tempdir().unwrap();
        let store = CellStore::new(folder.path());
        let record = record();
        assert_eq!(store.load(&record.cell).unwrap(), None);
        store.store(&record).unwrap();
        let loaded = store.load(&record.cell).unwrap().unwrap();
        assert!(loaded.rows[0].value.is_nan());
        assert_eq!(loaded.key, record.key);
    }

    #[test]
    fn damage_of_any_kind_is_set_aside_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = CellStore::new(folder.path());
        let record = record();
        store.store(&record).unwrap();
        let path = store.path(&record.key);
        let good = std::fs::read_to_string(&path).unwrap();
        let flipped = good.replace("\"seed\":1", "\"seed\":2");
        for bad in ["", "garbage", &good[..good.len() - 10], &good[..70], &flipped] {
            std::fs::write(&path, bad).unwrap();
            let error = store.load(&record.cell).unwrap_err();
            assert!(matches!(error, RecordError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains(&record.key), "{error}");
            assert!(!path.exists());
        }
        store.store(&record).unwrap();
        assert!(store.load(&record.cell).unwrap().is_some());
    }
}
