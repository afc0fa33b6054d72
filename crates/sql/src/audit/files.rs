//! The trail's files.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Link;
use crate::folder;

const FOLDER: &str = "audit";
const EXTENSION: &str = ".jsonl";

/// The folder of the trail.
#[derive(Debug, Clone)]
pub(super) struct Files(PathBuf);

impl Files {
    pub(super) fn of(data: &Path) -> Self {
        Self(data.join(FOLDER))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    pub(super) fn path(&self, number: u32) -> PathBuf {
        self.0.join(format!("{number:06}{EXTENSION}"))
    }

    /// The numbers of those that are there, in order, and the names of what is none. A folder that does not exist has
    /// none.
    pub(super) fn list(&self) -> io::Result<(Vec<u32>, Vec<String>)> {
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
            Err(error) => return Err(error),
        };
        let (mut numbers, mut others) = (Vec::new(), Vec::new());
        for entry in entries {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(EXTENSION));
            let number = number.and_then(|number| number.parse().ok());
            // Written in one way alone.
            match number.filter(|number| self.path(*number).file_name() == Some(&name)) {
                Some(number) => numbers.push(number),
                None => others.push(name.to_string_lossy().escape_debug().to_string()),
            }
        }
        numbers.sort_unstable();
        others.sort_unstable();
        Ok((numbers, others))
    }

    /// Makes a file, for its owner's eyes, so that a power cut does not take it away. An empty one may be there, from an
    /// attempt that failed.
    pub(super) fn make(&self, number: u32) -> io::Result<File> {
        folder::make(&self.0)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let made = options.open(self.path(number))?;
        if made.metadata()?.len() > 0 {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        folder::sync(&self.0)?;
        Ok(made)
    }

    /// Opens a file that is there, for writing.
    pub(super) fn open(&self, number: u32) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.path(number))
    }

    /// Opens a file for reading; `None` where it is not there.
    pub(super) fn read(&self, number: u32) -> io::Result<Option<File>> {
        match File::open(self.path(number)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the line that `link` knows ends at this place of a file.
    pub(super) fn ends_at(&self, number: u32, bytes: u64, link: Link) -> io::Result<bool> {
        let Some(from) = bytes.checked_sub(Link::ENDS_BYTES) else {
            return Ok(false);
        };
        let Some(file) = self.read(number)? else {
            return Ok(false);
        };
        let mut tail = [0; Link::ENDS_BYTES as usize];
        match file.read_exact_at(&mut tail, from) {
            Ok(()) => Ok(link.ends(&tail)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Hands each line from a place of a file on to `each`, with its line feed if it has one, and where it begins.
    pub(super) fn lines(&self, number: u32, from: u64, mut each: impl FnMut(u64, &[u8])) -> io::Result<()> {
        let mut file = File::open(self.path(number))?;
        file.seek(SeekFrom::Start(from))?;
        // What is appended meanwhile is for the next time.
        let length = file.metadata()?.len().saturating_sub(from);
        let (mut reader, mut line, mut at) = (
            BufReader::with_capacity(256 * 1024, file.take(length)),
            Vec::new(),
            from,
        );
        while reader.read_until(b'\n', &mut line)? > 0 {
            each(at, &line);
            at += line.len() as u64;
            line.clear();
        }
        Ok(())
    }
}
