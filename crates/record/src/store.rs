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
