//! The trail at a start: where it ends, and what it lacks.

use std::fs::File;
use std::io;
use std::path::Path;

use patchbay_core::store::StoreError;
use rusqlite::Connection;

use super::appender::Appender;
use super::files::Files;
use super::line::Line;
use super::{Head, Link, Row, Waiting};
use crate::database::Database as _;
use crate::folder::{DATABASE_FILE, OpenError};

/// The trail of a data folder, ready to be appended to.
pub(crate) struct Recovered {
    pub(crate) appender: Appender,
    /// Rows that it lacks.
    pub(crate) rows: Vec<Row>,
    /// What the log should say.
    pub(crate) notes: Vec<String>,
}

/// Finds the end of the trail, from the head on that the database has. What follows the last whole line but was not written
/// to its end, as a power cut leaves it, was never acknowledged and is cut off; a whole line never is, also behind damage.
/// Where the trail does not come as far as the head, nothing is touched: a new file goes on after the head, and the gap
/// stays to be seen. Needs the folder's lock.
pub(crate) fn recover(data: &Path, connection: &Connection, file_bytes: u64) -> Result<Recovered, OpenError> {
    let recovered = look(data, connection, file_bytes)?;
    let head = recovered.appender.head();
    let kept = connection.transaction(|statements| head.keep(statements));
    kept.map_err(|error| unusable(data, error))?;
    Ok(recovered)
}

/// Appends the rows that the trail lacks, for a database that is about to make way for another, and stays as it is. Needs
/// the folder's lock.
pub(crate) fn append_rest(data: &Path, connection: &Connection) -> Result<(), OpenError> {
    let Recovered { mut appender, rows, .. } = look(data, connection, u64::MAX)?;
    let appended = appender.append(&rows, &[]);
    appended.map_err(|error| unwritable(appender.files(), error))
}

fn look(data: &Path, connection: &Connection, file_bytes: u64) -> Result<Recovered, OpenError> {
    let files = Files::of(data);
    let known = connection.transaction(Head::read_with_rows);
    let (known, mut waiting) = known.map_err(|error| unusable(data, error))?;
    let mut notes = Vec::new();
    let end = end(&files, known, &mut waiting, &mut notes);
    let (file, head) = end.map_err(|error| unwritable(&files, error))?;
    Ok(Recovered {
        appender: Appender::new(files, file, head, file_bytes),
        rows: waiting.0.collect(),
        notes,
    })
}

fn unusable(data: &Path, error: StoreError) -> OpenError {
    let path = data.join(DATABASE_FILE);
    OpenError::Database { path, error }
}

fn unwritable(files: &Files, error: io::Error) -> OpenError {
    let path = files.folder().to_owned();
    OpenError::Io { path, error }
}

/// Where the trail ends, and the file to go on in if it is not to be the next one. Leaves those `waiting` that are in no
/// line.
fn end(files: &Files, known: Head, waiting: &mut Waiting, notes: &mut Vec<String>) -> io::Result<(Option<File>, Head)> {
    let (numbers, _) = files.list()?;
    let Some((&first, &last)) = numbers.first().zip(numbers.last()) else {
        if known.link.number > 0 {
            notes.push(gap(known));
        }
        return Ok((None, known));
    };
    // The head may be in a file that was moved away: of a database that was restored.
    let unknown = known.link == Link::default() || known.file < first;
    if !unknown && !files.ends_at(known.file, known.bytes, known.link)? {
        notes.push(gap(known));
        let file = known.file.max(last);
        return Ok((None, Head { file, ..known }));
    }
    let mut head = if unknown {
        Head {
            file: first,
            bytes: 0,
            ..known
        }
    } else {
        known
    };
    let begin = head.file;
    for number in numbers.into_iter().filter(|number| *number >= begin) {
        let from = if number == begin { head.bytes } else { 0 };
        head = Head {
            file: number,
            bytes: from,
            ..head
        };
        let mut broken = false;
        files.lines(number, from, |at, bytes| {
            // Whether a line follows the one before is for `verify` to say, and what is broken before a whole one.
            match Line::read(bytes) {
                Some(line) => {
                    broken = false;
                    head.link = line.link;
                    head.row = waiting.meet(&line).unwrap_or(head.row);
                    head.bytes = at + bytes.len() as u64;
                }
                None => broken = true,
            }
        })?;
        if broken && number == last {
            let file = files.open(number)?;
            let lost = file.metadata()?.len().saturating_sub(head.bytes);
            file.set_len(head.bytes)?;
            file.sync_data()?;
            notes.push(format!(
                "the last {lost} bytes of {} were not written to their end, and nothing of them was acknowledged: they are \
                 cut off",
                files.path(number).display()
            ));
        }
    }
    Ok((Some(files.open(last)?), head))
}

fn gap(known: Head) -> String {
    format!(
        "the audit trail does not come as far as line {}, which the database knows; it goes on after that in a new file, \
         and `patchbay audit verify` says what is missing",
        known.link.number
    )
}
