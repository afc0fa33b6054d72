//! Whether the trail is what was written.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use patchbay_core::store::StoreError;

use super::files::Files;
use super::line::Line;
use super::{Head, Link, Waiting};
use crate::database::Database as _;
use crate::folder::{self, OpenError};

/// Problems that a report names; further ones are counted.
const NAMED: usize = 100;

/// What was found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Files read.
    pub files: u64,
    /// Lines read, without what is [torn](Self::torn).
    pub lines: u64,
    /// The number of the last line, 0 if there is none.
    pub last: u64,
    /// The number of the last line that the database knows, 0 if it knows none.
    pub known: u64,
    /// Bytes at the end of the last file that are no whole line, and of which the database knows nothing: as a power cut
    /// leaves them, or a server that runs is about to complete. Nothing of them was acknowledged, and a start cuts them off.
    pub torn: u64,
    /// Records of changes that are in the database and in no line: a start appends them, or a server that runs is about to.
    pub waiting: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// Problems beyond those.
    pub more: u64,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line in that file, counted from 1, where it is one.
    pub line: Option<u64>,
    /// What is wrong with it, as the end of a sentence.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Why the trail could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The database cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The trail cannot be read.
    #[error("the audit trail in {folder} cannot be read: {error}")]
    Io {
        /// Its folder.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Reads the whole trail of a data folder, from its first file on or from file `from`, before which files were moved away;
/// the server may run. Whether the first line follows another can be said only where the file before `from` is there, or
/// `from` is the first. What is wrong is in the report.
///
/// # Errors
/// Where the database or the trail cannot be read.
pub fn verify(data: &Path, from: Option<u32>) -> Result<Verified, VerifyError> {
    // Before the lines: the trail may grow meanwhile, and is never shorter than its head.
    let (head, waiting) = known(data)?;
    let files = Files::of(data);
    let mut walk = Walk {
        files: &files,
        head,
        waiting,
        before: None,
        found: Verified {
            known: head.link.number,
            ..Verified::default()
        },
    };
    let first = from.unwrap_or(1);
    let read = before(&files, first).and_then(|before| {
        walk.before = before;
        walk.all(first)
    });
    read.map_err(|error| VerifyError::Io {
        folder: files.folder().to_owned(),
        error,
    })?;
    walk.found.waiting = walk.waiting.0.count() as u64;
    Ok(walk.found)
}

/// What the first line of a file follows, where that is known: nothing in the first file, else the last line of the one
/// before.
fn before(files: &Files, first: u32) -> io::Result<Option<Link>> {
    let Some(previous) = first.checked_sub(1).filter(|previous| *previous > 0) else {
        return Ok(Some(Link::default()));
    };
    if !files.list()?.0.contains(&previous) {
        return Ok(None);
    }
    let mut last = None;
    files.lines(previous, 0, |_, bytes| {
        last = Line::read(bytes).map(|line| line.link).or(last)
    })?;
    Ok(last)
}

fn known(data: &Path) -> Result<(Head, Waiting), OpenError> {
    let connection = folder::open_beside(data)?;
    let known = connection.transaction(|statements| {
        if let Err(error) = folder::require_current(data, statements) {
            return Ok::<_, StoreError>(Err(error));
        }
        Head::read_with_rows(statements).map(Ok)
    });
    known.unwrap_or_else(|error| {
        Err(OpenError::Database {
            path: data.join(folder::DATABASE_FILE),
            error,
        })
    })
}

struct Walk<'f> {
    files: &'f Files,
    head: Head,
    /// Those of which no line has come so far.
    waiting: Waiting,
    /// The line before; `None` where nothing is known of it.
    before: Option<Link>,
    found: Verified,
}

impl Walk<'_> {
    fn all(&mut self, first: u32) -> io::Result<()> {
        let files = self.files;
        let (mut numbers, others) = files.list()?;
        for other in others {
            self.problem(files.folder().join(other), None, "is none of the trail's files");
        }
        numbers.retain(|number| *number >= first);
        let last = numbers.last().copied();
        let mut expected = first;
        for number in numbers {
            for missing in expected..number {
                self.problem(files.path(missing), None, "is missing");
            }
            expected = number + 1;
            self.file(number, Some(number) == last)?;
        }
        let (last, known) = (self.found.last, self.head.link.number);
        if last < known {
            let file = files.path(expected.saturating_sub(1).max(first));
            self.problem(
                file,
                None,
                format!(
                    "the trail's end is cut off: it ends with number {last}, and the database knows number {known}"
                ),
            );
        }
        Ok(())
    }

    fn file(&mut self, number: u32, is_last: bool) -> io::Result<()> {
        let files = self.files;
        let path = files.path(number);
        self.found.files += 1;
        let (mut count, mut torn) = (0, 0);
        files.lines(number, 0, |at, bytes| {
            count += 1;
            let covered = (number, at) < (self.head.file, self.head.bytes);
            match Line::read(bytes) {
                Some(line) => {
                    // What is broken before it is no end.
                    (count - torn..count).for_each(|place| self.broken(&path, place));
                    (torn, self.found.torn) = (0, 0);
                    self.line(&path, count, &line);
                }
                None if is_last && !covered => {
                    torn += 1;
                    self.found.torn += bytes.len() as u64;
                }
                None => self.broken(&path, count),
            }
        })
    }

    fn broken(&mut self, path: &Path, place: u64) {
        self.found.lines += 1;
        self.problem(path.to_owned(), Some(place), "it is not as it was written");
        // What follows may follow it: only the numbers tell.
        if let Some(before) = &mut self.before {
            before.number += 1;
            before.hash = UNKNOWN;
            self.found.last = self.found.last.max(before.number);
        }
    }

    fn line(&mut self, path: &Path, place: u64, line: &Line<'_>) {
        self.found.lines += 1;
        self.waiting.meet(line);
        let number = line.link.number;
        let wrong = self.before.and_then(|before| {
            let expected = before.number + 1;
            if number > expected {
                Some(format!("numbers {expected} to {} are missing before it", number - 1))
            } else if number < expected {
                Some(format!("it has number {number}, where {expected} should stand"))
            } else if line.previous != before.hash && before.hash != UNKNOWN {
                Some("it does not follow the line before, which was replaced".to_owned())
            } else {
                None
            }
        });
        if let Some(wrong) = wrong {
            self.problem(path.to_owned(), Some(place), wrong);
        }
        if number == self.head.link.number && line.link.hash != self.head.link.hash {
            let wrong = "it is not the line that the database knows by this number";
            self.problem(path.to_owned(), Some(place), wrong);
        }
        self.before = Some(line.link);
        self.found.last = self.found.last.max(number);
    }

    fn problem(&mut self, file: PathBuf, line: Option<u64>, what: impl Into<String>) {
        if self.found.problems.len() < NAMED {
            let what = what.into();
            self.found.problems.push(Problem { file, line, what });
        } else {
            self.found.more += 1;
        }
    }
}

/// Stands for the hash of a line that cannot be read. No line has it.
const UNKNOWN: [u8; 32] = [0xff; 32];
