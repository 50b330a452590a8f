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

/// What happens to a text between its file and a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// Nothing.
    Verbatim,
    /// Lines that occurred before are dropped and the rest is put in a fixed random order, so that a cut at
    /// any place gives two samples of the same kind that share no line.
    DistinctLinesShuffled,
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
    /// Digest of the file, in hexadecimal.
    pub sha256: &'static str,
    /// Size of the file.
    pub bytes: u64,
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

/// How texts are cut: the tail is never trained on, and which half of it is tested follows the definition.
const TAIL: &str = "the first 90% for training, the rest for validation and test";

/// How labelled examples are cut.
const FOLDS: &str =
    "by distinct example into folds, one of them for test; a tenth of the rest for validation";

/// All corpora.
pub static CORPORA: &[CorpusEntry] = &[
    CorpusEntry {
        name: "tiny-shakespeare",
        file: "lm/tinyshakespeare/input.txt",
        url: "https://raw.githubusercontent.com/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
        sha256: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        bytes: 1_115_394,
        preparation: Preparation::Verbatim,
        licence: "public domain text",
        source: "plays of William Shakespeare, collected in github.com/karpathy/char-rnn",
        split: TAIL,
        note: "1,115,394 characters, 65 symbols; speaker names repeat, which flatters every model",
    },
    CorpusEntry {
        name: "names",
        file: "lm/names/names.txt",
        url: "https://raw.githubusercontent.com/karpathy/makemore/988aa59e4d8fefa526d06f3b453ad116258398d4/names.txt",
        sha256: "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
        bytes: 228_145,
        preparation: Preparation::DistinctLinesShuffled,
        licence: "public domain data, MIT repository",
        source: "given names of the US Social Security Administration, collected in github.com/karpathy/makemore",
        split: TAIL,
        note: "32,033 names of which 2,539 are repeats; repeats are dropped, or test names would be trained on",
    },
    CorpusEntry {
        name: "sms-spam",
        file: "textcls/sms/sms.tsv",
        url: "https://raw.githubusercontent.com/justmarkham/pycon-2016-tutorial/5339710562cc46c4a32a369d63f1e8751a18a54e/data/sms.tsv",
        sha256: "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d",
        bytes: 477_907,
        preparation: Preparation::Verbatim,
        licence: "CC BY 4.0",
        source: "SMS Spam Collection of Almeida, Hidalgo and Yamakami (2011), UCI data set 228",
        split: FOLDS,
        note: "5,574 messages, 747 of them spam, of which 403 are repeats; repeats are dropped, or test messages would be trained on",
    },
    CorpusEntry {
        name: "movie-reviews-negative",
        file: "textcls/mr/rt-polarity.neg",
        url: "https://raw.githubusercontent.com/dennybritz/cnn-text-classification-tf/18762b459e21d9c70e5c242f8d43fc4e6db37a0d/data/rt-polaritydata/rt-polarity.neg",
        sha256: "2d11cfbc790f1cd96d78339f41ce53ced1efa83cd22d37d6788fa3fe3d17e2fd",
        bytes: 612_506,
        preparation: Preparation::Verbatim,
        licence: "CC BY 4.0",
        source: "sentences of film reviews of Pang and Lee (2005), the negative ones",
        split: FOLDS,
        note: "5,331 sentences, one half of the set `movie-reviews`",
    },
    CorpusEntry {
        name: "movie-reviews-positive",
        file: "textcls/mr/rt-polarity.pos",
        url: "https://raw.githubusercontent.com/dennybritz/cnn-text-classification-tf/18762b459e21d9c70e5c242f8d43fc4e6db37a0d/data/rt-polaritydata/rt-polarity.pos",
        sha256: "4134882974a28d0c7b5151256f0e33a6169984ee7372c279e673f1114f475d58",
        bytes: 626_395,
        preparation: Preparation::Verbatim,
        licence: "CC BY 4.0",
        source: "sentences of film reviews of Pang and Lee (2005), the positive ones",
        split: FOLDS,
        note: "5,331 sentences, the other half of the set `movie-reviews`",
    },
    CorpusEntry {
        name: "tatoeba-nld-eng",
        file: "mt/tatoeba-nld-eng/eng-nld.txt",
        url: "https://raw.githubusercontent.com/devcem/NMT-seq2seq-with-pytorch/c7feb6b987c40f4d8c17f98e3ccda271dba82553/data/eng-nld.txt",
        sha256: "cfefbe4772f56b2916ab47a7ae4e9f080418d92b4b99d0c994e9bada7b4360e3",
        bytes: 1_809_959,
        preparation: Preparation::Verbatim,
        licence: "CC BY 2.0 FR",
        source: "Dutch and English sentences of the volunteers of tatoeba.org, paired by manythings.org/anki, collected in github.com/devcem/NMT-seq2seq-with-pytorch",
        split: "by groups of pairs that share a sentence of either language, into folds, one of them for test; a tenth of the rest for validation",
        note: "28,224 pairs of 25,359 English and 26,043 Dutch sentences; many differ in a word, and Tom is in one of eight",
    },
    CorpusEntry {
        name: "handwritten-digits",
        file: "pixels/sklearn-digits.csv.gz",
        url: "https://raw.githubusercontent.com/scikit-learn/scikit-learn/5f920ef810b73e0f475a93450f11a791b4c0fc44/sklearn/datasets/data/digits.csv.gz",
        sha256: "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
        bytes: 57_523,
        preparation: Preparation::Verbatim,
        licence: "CC BY 4.0",
        source: "Optical Recognition of Handwritten Digits of Alpaydin and Kaynak (1998), UCI data set 80, its test set as scikit-learn ships it",
        split: FOLDS,
        note: "1,797 images of 8 x 8 pixels with 17 levels, of ten digits, by 13 people; who wrote an image is not told, so that all may have written in every part",
    },
];

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
    /// The file of a corpus, checked against its digest.
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
    /// As [`locate`](Self::locate), and when the file cannot be decompressed or is not UTF-8.
    pub fn read_text(&self, name: &str) -> Result<String, DataError> {
        let path = self.locate(name)?;
        let bytes = fs::read(&path).map_err(|source| cannot("read", &path, source))?;
        let bytes = unpacked(bytes, &path)?;
        let text = String::from_utf8(bytes)
            .map_err(|error| DataError::NotUtf8 { path, offset: error.utf8_error().valid_up_to() })?;
        let preparation = match own_text(name) {
            Some(_) => Preparation::Verbatim,
            None => corpus(name)?.preparation,
        };
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
            match sha256(&path) {
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

    /// The file of a registered corpus, downloaded to the cache folder unless it is already here.
    ///
    /// `progress` is told bytes done and bytes in total. A proxy is taken from the usual variables. The file
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
                fetch::download(&fetch::agent(), entry, &self.cache.join(entry.file), progress)
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
        Preparation::Verbatim => text,
        Preparation::DistinctLinesShuffled => {
            let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
            lines.sort_unstable();
            lines.dedup();
            Random::new(0, Stream::Order).shuffle(&mut lines);
            lines.iter().flat_map(|line| [line, "\n"]).collect()
        }
    }
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
