//! Downloading or making one corpus file: whole and checked, or not at all.

use std::fs;
use std::io::{Cursor, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use ureq::Agent;
use zip::ZipArchive;

use super::{CorpusEntry, Download, cannot, hexadecimal};
use crate::DataError;

/// The client that downloads go through. It waits 30 s for a connection, an answer or more data.
pub(super) fn agent() -> Agent {
    let patience = Some(Duration::from_secs(30));
    Agent::config_builder()
        .timeout_connect(patience)
        .timeout_recv_response(patience)
        .timeout_per_read(patience)
        .build()
        .new_agent()
}

/// The file of a corpus at `path`.
pub(super) fn get(
    agent: &Agent,
    entry: &CorpusEntry,
    path: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PathBuf, DataError> {
    let wrong = |reason| DataError::WrongDownload { url: entry.url.to_owned(), reason };
    let content = match entry.download {
        Download::Made(make) => make().into_bytes(),
        other => file_of(other, download(agent, entry, path, progress)?).map_err(wrong)?,
    };
    let found = hexadecimal(&Sha256::digest(&content));
    if found != entry.sha256 {
        return Err(wrong(format!("sha256 {found}, expected {}", entry.sha256)));
    }
    store(entry, &content, path)
}

/// What the address of a corpus gives.
fn download(
    agent: &Agent,
    entry: &CorpusEntry,
    path: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<u8>, DataError> {
    let url = || entry.url.to_owned();
    let response = agent.get(entry.url).call().map_err(|error| match error {
        ureq::Error::StatusCode(status) => DataError::Refused { url: url(), status, path: path.to_owned() },
        other => DataError::Unreachable { url: url(), reason: other.to_string(), path: path.to_owned() },
    })?;
    let mut body = response.into_body().into_reader();
    let mut content = Vec::new();
    let mut received = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return Err(DataError::CutDownload { url: url(), received, expected: entry.bytes }),
        };
        content.extend_from_slice(&buffer[..count]);
        received += count as u64;
        if received > entry.bytes {
            let reason = format!("more than its {} bytes", entry.bytes);
            return Err(DataError::WrongDownload { url: url(), reason });
        }
        progress(received, entry.bytes);
    }
    if received < entry.bytes {
        return Err(DataError::CutDownload { url: url(), received, expected: entry.bytes });
    }
    Ok(content)
}

/// Writes to a temporary file beside `path` and renames it into place.
fn store(entry: &CorpusEntry, content: &[u8], path: &Path) -> Result<PathBuf, DataError> {
    let folder = path.parent().expect("a corpus file lies in a data folder");
    fs::create_dir_all(folder).map_err(|source| cannot("create", folder, source))?;
    // Dropping the temporary file on any error below removes it.
    let mut temporary = tempfile::Builder::new()
        .prefix(".download-")
        .tempfile_in(folder)
        .map_err(|source| cannot("write to", folder, source))?;
    let written = if matches!(entry.download, Download::Rows(_))
        && path.extension().is_some_and(|extension| extension == "gz")
    {
        let mut packed = GzEncoder::new(&mut temporary, Compression::default());
        packed.write_all(content).and_then(|()| packed.finish().map(|_| ()))
    } else {
        temporary.write_all(content)
    };
    written.map_err(|source| cannot("write", temporary.path(), source))?;
    temporary.as_file().sync_all().map_err(|source| cannot("write", path, source))?;
    if path.exists() {
        // A file that fails its check is somebody's: it is set aside, not overwritten.
        let aside = path.with_extension("damaged");
        fs::rename(path, &aside).map_err(|source| cannot("rename", path, source))?;
        tracing::warn!(corpus = entry.name, "what was there is damaged; it is now {}", aside.display());
    }
    temporary.persist(path).map_err(|error| cannot("write", path, error.error))?;
    tracing::info!(corpus = entry.name, path = %path.display(), "stored");
    Ok(path.to_owned())
}

/// The file of a corpus, from what was downloaded; or why it cannot be had of that.
fn file_of(download: Download, content: Vec<u8>) -> Result<Vec<u8>, String> {
    match download {
        Download::File | Download::Made(_) => Ok(content),
        Download::ZipMember(name) => {
            let mut archive = ZipArchive::new(Cursor::new(content)).map_err(|error| error.to_string())?;
            let mut member =
                archive.by_name(name).map_err(|error| format!("member {name} of the archive: {error}"))?;
            let mut file = Vec::new();
            member
                .read_to_end(&mut file)
                .map_err(|error| format!("member {name} of the archive: {error}"))?;
            Ok(file)
        }
        Download::Rows(table) => {
            let text = String::from_utf8(content).map_err(|error| error.to_string())?;
            Ok(table.make(&text).into_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpora::{ClassColumn, CorpusStatus, Preparation, RawTable};
    use std::io::BufRead;
    use std::net::TcpListener;

    const TEXT: &[u8] = b"to be or not to be";

    static TABLE: RawTable = RawTable {
        skipped: 1,
        class: ClassColumn::First,
        kept: &[],
        header: "a,class",
        categories: &[],
        codes: &[],
    };

    /// Answers one request with `answer`, then closes. Returns the address.
    fn serve(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = std::io::BufReader::new(stream.try_clone().unwrap());
            let header = request.lines().take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
            assert!(header.count() > 0);
            stream.write_all(&answer).unwrap();
        });
        format!("http://{address}/text")
    }

    fn answer(status: &str, length: usize, body: &[u8]) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }

    fn entry(url: String) -> CorpusEntry {
        CorpusEntry {
            name: "text",
            file: "lm/text.txt",
            url: url.leak(),
            download: Download::File,
            bytes: TEXT.len() as u64,
            sha256: hexadecimal(&Sha256::digest(TEXT)).leak(),
            preparation: Preparation::Verbatim,
            licence: "none",
            source: "none",
            split: "none",
            note: "none",
        }
    }

    struct Attempt {
        result: Result<PathBuf, DataError>,
        /// Progress that was told.
        told: Vec<(u64, u64)>,
        /// Name and content of what the folder then holds.
        files: Vec<(String, Vec<u8>)>,
    }

    /// Downloads into a new folder.
    fn attempt(entry: &CorpusEntry) -> Attempt {
        attempt_in(&tempfile::tempdir().unwrap(), entry)
    }

    fn attempt_in(folder: &tempfile::TempDir, entry: &CorpusEntry) -> Attempt {
        let mut told = Vec::new();
        // A proxy in the environment must not stand between a test and its own machine.
        let direct = Agent::config_builder().proxy(None).build().new_agent();
        let path = folder.path().join(entry.file);
        let result = get(&direct, entry, &path, &mut |done, total| told.push((done, total)));
        let files = fs::read_dir(path.parent().unwrap()).into_iter().flatten().map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())
        });
        let files = files.collect();
        Attempt { result, told, files }
    }

    /// The message of a download that fails, after checking that it left nothing behind.
    fn failure(entry: &CorpusEntry) -> String {
        let Attempt { result, files, .. } = attempt(entry);
        assert_eq!(files, []);
        result.unwrap_err().to_string()
    }

    #[test]
    fn an_intact_file_arrives_in_its_place() {
        let Attempt { result, told, files } = attempt(&entry(serve(answer("200 OK", 18, TEXT))));
        assert!(result.unwrap().ends_with("lm/text.txt"));
        assert_eq!(files, [("text.txt".to_owned(), TEXT.to_vec())]);
        assert_eq!(told.last(), Some(&(18, 18)));
    }

    #[test]
    fn a_damaged_file_is_set_aside_by_a_good_download_and_stays_where_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lm/text.txt");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "to be or").unwrap();
        let refused = attempt_in(&folder, &entry(serve(answer("404 Not Found", 0, b""))));
        assert!(refused.result.is_err());
        assert_eq!(refused.files, [("text.txt".to_owned(), b"to be or".to_vec())]);
        let mut files = attempt_in(&folder, &entry(serve(answer("200 OK", 18, TEXT)))).files;
        files.sort();
        let damaged = ("text.damaged".to_owned(), b"to be or".to_vec());
        assert_eq!(files, [damaged, ("text.txt".to_owned(), TEXT.to_vec())]);
    }

    #[test]
    fn another_file_is_refused() {
        let message = failure(&entry(serve(answer("200 OK", 18, b"to be or not to me"))));
        assert!(message.contains("another file") && message.contains("sha256"), "{message}");
        let longer = failure(&entry(serve(answer("200 OK", 20, b"to be or not to be, "))));
        assert!(longer.contains("more than its 18 bytes"), "{longer}");
    }

    #[test]
    fn a_member_of_an_archive_and_a_table_are_made_before_they_are_checked() {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        archive.start_file("texts/text.txt", zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(TEXT).unwrap();
        let packed = archive.finish().unwrap().into_inner();
        let served = || serve(answer("200 OK", packed.len(), &packed));
        let bytes = packed.len() as u64;
        let whole = CorpusEntry { download: Download::ZipMember("texts/text.txt"), bytes, ..entry(served()) };
        assert_eq!(attempt(&whole).files, [("text.txt".to_owned(), TEXT.to_vec())]);
        let other =
            CorpusEntry { download: Download::ZipMember("texts/other.txt"), bytes, ..entry(served()) };
        assert!(failure(&other).contains("member texts/other.txt"), "{}", failure(&other));

        let published = b"class,a\nyes, 1\n";
        let made = "a,class\n1,yes\n";
        let table = CorpusEntry {
            file: "uci/table.csv.gz",
            download: Download::Rows(&TABLE),
            bytes: published.len() as u64,
            sha256: hexadecimal(&Sha256::digest(made)).leak(),
            ..entry(serve(answer("200 OK", published.len(), published)))
        };
        let folder = tempfile::tempdir().unwrap();
        let path = attempt_in(&folder, &table).result.unwrap();
        let corpora = crate::Corpora { search: Vec::new(), cache: folder.path().to_owned() };
        assert_eq!(corpora.verify(&table).unwrap(), CorpusStatus::Present { path: path.clone() });
        assert_eq!(super::super::unpacked(fs::read(&path).unwrap(), &path).unwrap(), made.as_bytes());
    }

    #[test]
    fn a_cut_download_is_refused() {
        let cut = "was cut after 5 of 18 bytes";
        // The connection closes before the announced length, or the server announces too little.
        for announced in [18, 5] {
            let message = failure(&entry(serve(answer("200 OK", announced, b"to be"))));
            assert!(message.contains(cut), "{message}");
        }
    }

    #[test]
    fn a_refusal_and_a_dead_address_are_told_apart() {
        let refused = failure(&entry(serve(answer("404 Not Found", 0, b""))));
        assert!(refused.contains("status 404") && refused.contains("lm/text.txt"), "{refused}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/text", listener.local_addr().unwrap());
        drop(listener);
        let dead = failure(&entry(url));
        assert!(dead.contains("cannot reach http://127.0.0.1"), "{dead}");
    }
}
