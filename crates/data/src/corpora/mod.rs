//! Corpora: which texts are known, and how to find, check, fetch and read them.
//!
//! A corpus is named by its entry in [`CORPORA`], or `file:PATH` for any UTF-8 text of one's own. A registered
//! file is only ever used after its sha256 was checked.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sequence::{Random, Stream};
use sha2::{Digest, Sha256};

use crate::DataError;

mod fetch;
pub(crate) mod mnist_1d;
mod raw_table;
mod registered;

pub use raw_table::{ClassColumn, RawTable};
pub use registered::CORPORA;

/// What happens to a text between its file and a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// Nothing.
    Verbatim,
    /// Lines that occurred before are dropped and the rest is put in a fixed random order, so that a cut at
    /// any place gives two samples of the same kind that share no line.
    DistinctLinesShuffled,
    /// Read as ISO-8859-1, in which every byte is a character.
    Latin1,
}

/// What the address of a corpus gives.
#[derive(Clone, Copy, Debug)]
pub enum Download {
    /// The file.
    File,
    /// A zip archive, of which the file is this member.
    ZipMember(&'static str),
    /// Rows of values, of which the file is made: a table with a header, separated by commas.
    Rows(&'static RawTable),
    /// How the file is made, which is done here without a download.
    Made(fn() -> String),
}

/// A corpus as the registry knows it.
#[derive(Clone, Debug)]
pub struct CorpusEntry {
    /// Name in definitions and tables.
    pub name: &'static str,
    /// Place of the file below a data folder.
    pub file: &'static str,
    /// Where it is downloaded from: one revision, so that it cannot change.
    pub url: &'static str,
    /// What is there.
    pub download: Download,
    /// Its size.
    pub bytes: u64,
    /// Digest of the file, in hexadecimal; of what it unpacks to where it is made here and named `.gz`, since the same text may be
    /// compressed to different bytes.
    pub sha256: &'static str,
    /// What is done to the text before use.
    pub preparation: Preparation,
    /// Terms of use.
    pub licence: &'static str,
    /// Who made it.
    pub source: &'static str,
    /// Which part is for what.
    pub split: &'static str,
    /// Size in units of the corpus, and its traps.
    pub note: &'static str,
}

/// The registered corpus of that name.
///
/// # Errors
/// When there is none; the message lists the known names.
pub fn corpus(name: &str) -> Result<&'static CorpusEntry, DataError> {
    CORPORA.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let known: Vec<String> = CORPORA.iter().map(|entry| format!("`{}`", entry.name)).collect();
        DataError::UnknownCorpus { name: name.to_owned(), known: known.join(", ") }
    })
}

/// Whether a registered corpus can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorpusStatus {
    /// An intact file was found.
    Present {
        /// The file.
        path: PathBuf,
    },
    /// No folder has the file.
    Missing,
    /// A file was found, but it is not the registered one.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its sha256.
        found: String,
    },
}

/// The folders that corpora are looked for in.
#[derive(Clone, Debug)]
pub struct Corpora {
    /// Folders of the user, never written to; the first intact file wins.
    pub search: Vec<PathBuf>,
    /// Folder that downloads go to; looked at last.
    pub cache: PathBuf,
}

impl Corpora {
    /// The file of a corpus, checked against its digest. One that is made here is made if it is missing.
    ///
    /// # Errors
    /// When the name is unknown, or the file is missing, damaged or unreadable.
    pub fn locate(&self, name: &str) -> Result<PathBuf, DataError> {
        if let Some(path) = own_text(name) {
            fs::metadata(path).map_err(|source| cannot("read", path, source))?;
            return Ok(path.to_owned());
        }
        let entry = corpus(name)?;
        match self.verify(entry)? {
            CorpusStatus::Present { path } => Ok(path),
            CorpusStatus::Missing if matches!(entry.download, Download::Made(_)) => {
                self.fetch(entry, &mut |_, _| {})
            }
            CorpusStatus::Missing => Err(DataError::MissingCorpus {
                name: name.to_owned(),
                looked: self
                    .places(entry)
                    .map(|path| path.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
                file: entry.file,
                bytes: entry.bytes,
            }),
            CorpusStatus::Damaged { path, found } => Err(DataError::DamagedCorpus {
                name: name.to_owned(),
                path,
                expected: entry.sha256.to_owned(),
                found,
            }),
        }
    }

    /// The text of a corpus, decompressed if its file is named `.gz`, and prepared as its entry says.
    ///
    /// # Errors
    /// As [`locate`](Self::locate), and when the file cannot be decompressed or is neither UTF-8 nor said to be other.
    pub fn read_text(&self, name: &str) -> Result<String, DataError> {
        let path = self.locate(name)?;
        let bytes = fs::read(&path).map_err(|source| cannot("read", &path, source))?;
        let bytes = unpacked(bytes, &path)?;
        let preparation = match own_text(name) {
            Some(_) => Preparation::Verbatim,
            None => corpus(name)?.preparation,
        };
        if preparation == Preparation::Latin1 {
            return Ok(bytes.into_iter().map(char::from).collect());
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| DataError::NotUtf8 { path, offset: error.utf8_error().valid_up_to() })?;
        Ok(prepare(text, preparation))
    }

    /// The sha256 of a corpus, in hexadecimal. That of a registered corpus is known without its file.
    ///
    /// # Errors
    /// When the name is unknown, or a text of one's own cannot be read.
    pub fn digest(&self, name: &str) -> Result<String, DataError> {
        match own_text(name) {
            Some(path) => sha256(path).map_err(|source| cannot("read", path, source)),
            None => Ok(corpus(name)?.sha256.to_owned()),
        }
    }

    /// What a cell's key holds of the corpora that its task reads: nothing of none, the sha256 of one, and of several the sha256
    /// of theirs in order.
    ///
    /// # Errors
    /// As [`digest`](Self::digest).
    pub fn digest_of_all(&self, names: &[String]) -> Result<Option<String>, DataError> {
        let digests = names.iter().map(|name| self.digest(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(match digests.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(hexadecimal(&Sha256::digest(several.concat()))),
        })
    }

    /// Looks for a registered corpus and checks its digest. A damaged file is passed over where a later
    /// folder has an intact one.
    ///
    /// # Errors
    /// When a file is there but cannot be read.
    pub fn verify(&self, entry: &CorpusEntry) -> Result<CorpusStatus, DataError> {
        let mut status = CorpusStatus::Missing;
        for path in self.places(entry) {
            match digest_of(&path, entry) {
                Ok(found) if found == entry.sha256 => return Ok(CorpusStatus::Present { path }),
                Ok(found) => {
                    tracing::warn!(corpus = entry.name, path = %path.display(), "damaged corpus file");
                    if status == CorpusStatus::Missing {
                        status = CorpusStatus::Damaged { path, found };
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(source) => return Err(cannot("read", &path, source)),
            }
        }
        Ok(status)
    }

    /// The file of a registered corpus, downloaded to the cache folder, or made there, unless it is already here.
    ///
    /// Of a download `progress` is told bytes done and bytes in total. A proxy is taken from the usual variables. The file
    /// appears in its place whole and checked, or not at all.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, is cut off or sends another file, or the cache folder
    /// cannot be written.
    pub fn fetch(
        &self,
        entry: &CorpusEntry,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<PathBuf, DataError> {
        match self.verify(entry)? {
            CorpusStatus::Present { path } => Ok(path),
            CorpusStatus::Missing | CorpusStatus::Damaged { .. } => {
                fetch::get(&fetch::agent(), entry, &self.cache.join(entry.file), progress)
            }
        }
    }

    fn places<'a>(&'a self, entry: &'a CorpusEntry) -> impl Iterator<Item = PathBuf> + 'a {
        self.search.iter().chain([&self.cache]).map(|folder| folder.join(entry.file))
    }
}

/// The path of `file:PATH`.
fn own_text(name: &str) -> Option<&Path> {
    name.strip_prefix("file:").map(Path::new)
}

/// What a file holds, which is compressed if it is named `.gz`.
fn unpacked(bytes: Vec<u8>, path: &Path) -> Result<Vec<u8>, DataError> {
    if path.extension().is_none_or(|extension| extension != "gz") {
        return Ok(bytes);
    }
    let mut content = Vec::new();
    GzDecoder::new(bytes.as_slice())
        .read_to_end(&mut content)
        .map_err(|source| cannot("decompress", path, source))?;
    Ok(content)
}

fn prepare(text: String, preparation: Preparation) -> String {
    match preparation {
        Preparation::Verbatim | Preparation::Latin1 => text,
        Preparation::DistinctLinesShuffled => {
            let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
            lines.sort_unstable();
            lines.dedup();
            Random::new(0, Stream::Order).shuffle(&mut lines);
            lines.iter().flat_map(|line| [line, "\n"]).collect()
        }
    }
}

/// The digest of a registered file, which is damaged if it cannot be unpacked.
fn digest_of(path: &Path, entry: &CorpusEntry) -> Result<String, std::io::Error> {
    let bytes = fs::read(path)?;
    let content = match entry.download {
        Download::Rows(_) => unpacked(bytes.clone(), path).unwrap_or(bytes),
        Download::File | Download::ZipMember(_) | Download::Made(_) => bytes,
    };
    Ok(hexadecimal(&Sha256::digest(content)))
}

fn sha256(path: &Path) -> Result<String, std::io::Error> {
    Ok(hexadecimal(&Sha256::digest(fs::read(path)?)))
}

/// Two lower-case digits a byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|half| char::from(DIGITS[usize::from(half)]));
    bytes.iter().flat_map(digits).collect()
}

fn cannot(action: &'static str, path: &Path, source: std::io::Error) -> DataError {
    DataError::File { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// By coreutils: `printf 'emma\n' | sha256sum`.
    const EMMA: &str = "5fd583206cdb580e6c821d1da5e8515e18f659c8a1a6061d0066f807f88bdd9c";

    fn corpora(root: &Path) -> Corpora {
        Corpora { search: vec![root.join("user")], cache: root.join("cache") }
    }

    fn put(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn entries_are_unique_and_pinned() {
        for (index, entry) in CORPORA.iter().enumerate() {
            assert!(
                CORPORA[..index].iter().all(|other| other.name != entry.name && other.file != entry.file)
            );
            assert!(entry.sha256.len() == 64 && entry.bytes > 0, "{}", entry.name);
            // A revision in the address is 40 hexadecimal digits.
            let revision = |part: &str| part.len() == 40 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(entry.url.split('/').any(revision), "{}", entry.url);
        }
        assert!(corpus("tiny-shakespear").unwrap_err().to_string().contains("`tiny-shakespeare`, `names`"));
    }

    #[test]
    fn a_missing_corpus_says_how_to_get_it() {
        let root = tempfile::tempdir().unwrap();
        let message = corpora(root.path()).locate("names").unwrap_err().to_string();
        for part in
            ["user/lm/names/names.txt", "cache/lm/names/names.txt", "seqlab data fetch names", "SEQLAB_DATA"]
        {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(corpora(root.path()).digest("names").unwrap(), corpus("names").unwrap().sha256);
    }

    #[test]
    fn a_damaged_file_is_named_and_passed_over_where_an_intact_one_follows() {
        let root = tempfile::tempdir().unwrap();
        let corpora = corpora(root.path());
        let names = corpus("names").unwrap();
        put(&corpora.search[0].join(names.file), b"emma\n");
        let message = corpora.locate("names").unwrap_err().to_string();
        for part in ["user/lm/names/names.txt", names.sha256, EMMA, "seqlab data fetch names"] {
            assert!(message.contains(part), "{message}");
        }
        let entry = CorpusEntry { sha256: EMMA, ..names.clone() };
        put(&corpora.search[0].join(entry.file), b"emm");
        put(&corpora.cache.join(entry.file), b"emma\n");
        let path = corpora.cache.join(entry.file);
        assert_eq!(corpora.verify(&entry).unwrap(), CorpusStatus::Present { path: path.clone() });
        // What is here is not downloaded again.
        let dead = CorpusEntry { url: "http://127.0.0.1:1/names", ..entry };
        assert_eq!(corpora.fetch(&dead, &mut |_, _| panic!("no download")).unwrap(), path);
    }

    #[test]
    fn a_text_of_ones_own_must_exist_and_be_utf8() {
        let root = tempfile::tempdir().unwrap();
        let corpora = corpora(root.path());
        let path = root.path().join("my.txt");
        let name = format!("file:{}", path.display());
        let missing = corpora.read_text(&name).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read") && missing.contains("my.txt"), "{missing}");
        put(&path, "déjà vu".as_bytes());
        assert_eq!(corpora.read_text(&name).unwrap(), "déjà vu");
        assert_ne!(corpora.digest(&name).unwrap(), EMMA);
        put(&path, b"abc\xff");
        let message = corpora.read_text(&name).unwrap_err().to_string();
        assert!(message.contains("my.txt") && message.contains("offset 3"), "{message}");
        put(&path, b"emma\n");
        assert_eq!(corpora.digest(&name).unwrap(), EMMA);
    }

    #[test]
    fn a_compressed_text_is_read_as_what_it_holds() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("emma.txt.gz");
        let name = format!("file:{}", path.display());
        // By gzip 1.12: `printf 'emma\n' | gzip -n | xxd -p`.
        let packed = [
            0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0x03, 0x4b, 0xcd, 0xcd, 0x4d, 0xe4, 0x02, 0, 0x75, 0xcb,
            0x80, 0x82, 0x05, 0, 0, 0,
        ];
        put(&path, &packed);
        assert_eq!(corpora(root.path()).read_text(&name).unwrap(), "emma\n");
        put(&path, &packed[..12]);
        let message = corpora(root.path()).read_text(&name).unwrap_err().to_string();
        assert!(message.starts_with("cannot decompress") && message.contains("emma.txt.gz"), "{message}");
    }

    #[test]
    fn repeats_are_dropped_before_any_cut() {
        let names: String = (0..400)
            .flat_map(|index| ["name".to_owned(), (index % 300).to_string(), "\n".to_owned()])
            .collect();
        let halves_share = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            let (first, second) = lines.split_at(lines.len() / 2);
            let first: HashSet<_> = first.iter().collect();
            second.iter().any(|line| first.contains(line))
        };
        let prepared = prepare(names.clone(), Preparation::DistinctLinesShuffled);
        assert_eq!(prepared.lines().count(), 300);
        assert!(!halves_share(&prepared));
        assert!(prepared.ends_with('\n'));
        assert_ne!(prepared.lines().next(), Some("name0"), "shuffled");
        // Verbatim, the trap is there.
        assert!(halves_share(&prepare(names, Preparation::Verbatim)));
    }
}
